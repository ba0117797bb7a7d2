//! A tenant that goes and comes back, through the binary.

use super::snap;
use crate::world::cluster::Major;
use crate::world::setup::{APP, Place, Policy, Setup};

const SLUGS: [&str; 6] = ["acme", "b", "c", "d", "e", "it's"];

async fn setup() -> Setup {
    let mut setup = Setup::start(Major::V17, Place::Folder, &SLUGS).await;
    setup.policy(&Policy { retention: "  short: { within: 5d }\n".to_owned(), ..Policy::default() });
    let _ = setup.first();
    setup
}

fn of(setup: &Setup, slug: &str) -> usize {
    let json = setup.run(&["--format", "json", "list", "--tenant", slug]).json();
    json["backups"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_offboarded_kept_by_its_clock_and_told_of_until_it_is_back() {
    let mut setup = setup().await;
    setup.now("2026-03-03T03:15:00Z");
    let _ = setup.apply().exits(0);
    setup.cluster.exec(APP, "DROP SCHEMA \"tenant_it's\" CASCADE").await;
    setup.now("2026-03-04T03:15:00Z");
    snap("tenant_gone_plan", &setup.run(&["plan"]).success());
    snap("tenant_gone_apply", &setup.apply().exits(0).stdout);
    setup.assert_converges().await;
    setup.now("2026-03-08T03:15:00Z");
    let _ = setup.apply().exits(0);
    assert_eq!(
        of(&setup, "it's"),
        2,
        "a living tenant's first backup is out of its five days; its clock runs until the 9th"
    );
    snap("tenant_gone_orphans", &setup.run(&["orphans"]).success());
    let status = setup.run(&["status"]);
    assert!(status.stderr.contains("1 tenant was offboarded and still has backups"), "{}", status.stderr);
    let list = setup.run(&["list", "--tenant", "it's"]);
    assert!(list.stderr.contains("was offboarded at 2026-03-04 03:15 UTC"), "{}", list.stderr);
    let json = setup.run(&["--format", "json", "list", "--tenant", "it's"]).json();
    let id = json["backups"][1]["id"].as_str().unwrap().to_owned();
    snap("tenant_gone_explain", &setup.run(&["explain", &id]).success());

    setup.cluster.tenant(APP, "g").await;
    setup.cluster.exec(APP, "CREATE SCHEMA \"tenant_it's\"; CREATE TABLE \"tenant_it's\".customers (id int)").await;
    setup.now("2026-03-09T03:15:00Z");
    snap("tenant_back_plan", &setup.run(&["plan"]).success());
    let _ = setup.apply().exits(0);
    setup.assert_converges().await;
    assert_eq!(of(&setup, "g"), 1, "a tenant that is new is backed up at the next slot");
    assert!(!setup.run(&["orphans"]).success().contains("tenant="));
    let audit = setup.run(&["audit", "verify"]);
    assert_eq!(audit.code, 0, "{}{}", audit.stdout, audit.stderr);
    let events = setup
        .cluster
        .ask(
            "catalog",
            "SELECT string_agg(event, ',' ORDER BY seq) FROM (SELECT event, row_number() OVER (ORDER BY at) AS seq \
             FROM bkup.audit_log WHERE event LIKE 'tenant %') e",
        )
        .await;
    assert_eq!(events.as_deref(), Some("tenant offboarded,tenant onboarded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_backups_go_when_the_clock_is_over_but_for_the_floor() {
    let mut setup = setup().await;
    for day in 3..6 {
        setup.now(&format!("2026-03-0{day}T03:15:00Z"));
        let _ = setup.apply().exits(0);
    }
    assert_eq!(of(&setup, "acme"), 4);
    setup.cluster.exec(APP, "DROP SCHEMA tenant_acme CASCADE").await;
    setup.now("2026-03-06T03:15:00Z");
    let _ = setup.apply().exits(0);
    setup.now("2026-03-11T03:14:00Z");
    let _ = setup.apply().exits(0);
    assert_eq!(of(&setup, "acme"), 4, "none goes before the clock says");
    setup.now("2026-03-11T03:15:00Z");
    let _ = setup.apply().exits(0);
    assert_eq!(of(&setup, "acme"), 1, "the floor stays");
    setup.assert_converges().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_takes_nobody_for_gone() {
    let mut setup = setup().await;
    let text = setup.policy_text(&Policy::default());
    let query = "{ query: \"SELECT 'a' AS slug, 'b' AS schema_name WHERE false\" }";
    std::fs::write(setup.path("bkup.yaml"), text.replace("{ schemas: \"tenant_*\" }", query)).unwrap();
    setup.now("2026-03-03T03:15:00Z");
    let refused = setup.apply().exits(4);
    snap("tenants_all_gone", &refused.stderr);
    let only = setup.run(&["apply", "--auto-approve", "--only", "backups"]);
    assert_eq!(only.code, 0, "{}{}", only.stdout, only.stderr);
    assert_eq!(of(&setup, "acme"), 1);
    let digest = setup.run(&["--format", "json", "plan"]).json()["change_digest"].as_str().unwrap().to_owned();
    let _ = setup.run(&["apply", "--auto-approve", "--allow-delete", &format!("100%@{digest}")]).exits(0);
    let gone = "SELECT count(*)::text FROM bkup.tenants WHERE offboarded_at IS NOT NULL";
    assert_eq!(setup.cluster.ask("catalog", gone).await.as_deref(), Some("6"), "somebody consented to exactly that");
    assert_eq!(of(&setup, "acme"), 1, "and their backups are kept by their clocks");
}
