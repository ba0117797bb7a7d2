//! Several runners, and what one of them holds.

use std::process::Child;
use std::time::{Duration, Instant};

use super::{backups, report};
use crate::faults::proxy::Proxy;
use crate::faults::{Lock, dump_of, only_tenants, with_twin};
use crate::world::cluster::Major;
use crate::world::s3::S3Server;
use crate::world::setup::{CATALOG, Place, Setup, ran};

/// Lets a runner that does not exist hold the backup of a tenant.
async fn hold(setup: &Setup, slug: &str, lease: &str) {
    let plan = setup.run(&["--format", "json", "plan"]).exits(0).json();
    let mut actions = plan["actions"].as_array().unwrap().iter();
    let scope = format!("tenant={slug}");
    let own = actions.find(|action| action["kind"]["back_up"]["scope"] == scope.as_str()).unwrap();
    let id = own["id"].as_str().unwrap();
    let sql = format!(
        "INSERT INTO bkup.claims (action_id, token, runner, claimed_at, heartbeat_at, lease_until) \
         VALUES ('{id}', 1, 'ghost', now(), now(), clock_timestamp() + interval '{lease}')"
    );
    setup.cluster.exec(CATALOG, &sql).await;
}

/// Returns how many backups began at once each time, by the lines of a run.
fn begun_together(said: &str) -> Vec<usize> {
    let lines = said.lines().filter(|line| line.contains("back up app "));
    let kinds: Vec<bool> = lines.map(|line| line.starts_with("begin ")).collect();
    kinds.chunk_by(|a, b| a == b).filter(|run| run[0]).map(<[bool]>::len).collect()
}

#[tokio::test]
async fn a_runner_that_meets_a_held_claim_goes_on_with_other_work() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex", "initech"]).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    hold(&setup, "acme", "1 hour").await;
    let ran = setup.run(&["apply", "--auto-approve", "--lock-timeout", "1s", "--report", "report.json"]).exits(7);
    let told = backups(&report(&setup));
    let of = |scope: &str| &told.iter().find(|(other, _)| other == scope).unwrap().1;
    assert_eq!(of("tenant=acme")["claimed"]["by"], "ghost", "{}", ran.stdout);
    assert!(of("tenant=globex")["done"].is_object() && of("tenant=initech")["done"].is_object(), "{}", ran.stdout);
    setup.end_leases().await;
    let _ = setup.apply().exits(0);
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn a_dead_runners_claim_is_taken_over_when_its_lease_ends() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    hold(&setup, "acme", "4 seconds").await;
    let _ = setup.run(&["apply", "--auto-approve", "--lock-timeout", "1m", "--report", "report.json"]).exits(0);
    let token = "SELECT attempt FROM bkup.executions WHERE scope = 'tenant=acme' AND slot::date = '2026-03-03'";
    assert_eq!(setup.catalog(token).await, "2", "fenced off: the token has grown");
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn the_most_important_classes_go_first_whatever_their_schedule() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex", "initech"]).await;
    only_tenants(&setup);
    // `alpha` comes first by name, and has the slot before.
    let text = with_twin(&setup.read("bkup.yaml"), "alpha", "02:45")
        .replace("max_parallel_jobs: 2", "max_parallel_jobs: 1")
        .replace("classes:\n", "classes:\n  gold: { tenants: [initech], priority: 1 }\n");
    std::fs::write(setup.path("bkup.yaml"), text).unwrap();
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let _ = setup.run(&["--format", "json", "apply", "--auto-approve", "--report", "report.json"]).exits(0);
    // The catalog is simulated: its instants are all the same, but rows are made in turn, those of a group at once.
    let order = "SELECT string_agg(schedule || ' ' || scope, ', ' ORDER BY created_at, scope) FROM bkup.executions \
                 WHERE slot::date = '2026-03-03'";
    assert_eq!(
        setup.catalog(order).await,
        "alpha shared, alpha tenant=initech, tenants shared, tenants tenant=initech, \
         alpha tenant=acme, alpha tenant=globex, tenants tenant=acme, tenants tenant=globex"
    );
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn four_runners_share_one_plan_and_each_takes_a_part() {
    let slugs: Vec<String> = (0..16).map(|n| format!("t{n:02}")).collect();
    let slugs: Vec<&str> = slugs.iter().map(String::as_str).collect();
    let mut setup = Setup::start(Major::V17, Place::Folder, &slugs).await;
    only_tenants(&setup);
    // Two schedules, and one program a runner: who comes late finds a dump that nobody has begun, however far the first
    // has come with the other.
    let text = setup.read("bkup.yaml").replace("max_parallel_jobs: 2", "max_parallel_jobs: 1");
    std::fs::write(setup.path("bkup.yaml"), with_twin(&text, "alpha", "03:00")).unwrap();
    let _ = setup.first();
    for (day, saved) in [(3, true), (4, false)] {
        setup.now(&format!("2026-03-{day:02}T03:10:00Z"));
        let mut args = vec!["apply", "--auto-approve"];
        if saved {
            let _ = setup.run(&["plan", "--out", "plan.json"]).exits(0);
            args = vec!["apply", "plan.json"];
        }
        let lock = Lock::take(&setup, "tenant_t00.orders").await;
        let children: Vec<Child> = (0..4).map(|_| setup.spawn(&args)).collect();
        let runners =
            format!("SELECT count(DISTINCT runner) FROM bkup.executions WHERE slot::date = '2026-03-{day:02}'");
        for _ in 0..600 {
            if setup.catalog(&runners).await.parse::<u32>().unwrap() > 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        lock.release().await;
        for child in children {
            let ran = ran(child.wait_with_output().unwrap());
            assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        }
        let of_day = format!("FROM bkup.executions WHERE slot::date = '2026-03-{day:02}'");
        assert_eq!(
            setup.catalog(&format!("SELECT count(*) || ' ' || count(DISTINCT backup_id) {of_day}")).await,
            "34 34",
            "each once"
        );
        let runners = setup.catalog(&runners).await;
        assert!(runners.parse::<u32>().unwrap() > 1, "the work was split: {runners}");
        setup.assert_whole().await;
        setup.assert_converges().await;
    }
}

#[tokio::test]
async fn a_runner_among_many_takes_its_share_together_whatever_the_others_hold() {
    let slugs: Vec<String> = (0..12).map(|n| format!("t{n:02}")).collect();
    let slugs: Vec<&str> = slugs.iter().map(String::as_str).collect();
    let mut setup = Setup::start(Major::V17, Place::Folder, &slugs).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    // Three that are at work, and have the first half.
    let runners = "INSERT INTO bkup.runs (run, plan_digest, runner, actor, begun_at, seen_at) \
                   SELECT 'ghost-' || n, '', 'ghost', 'ghost', now(), now() + interval '1 hour' FROM generate_series(1, 3) n";
    setup.cluster.exec(CATALOG, runners).await;
    for slug in &slugs[..6] {
        hold(&setup, slug, "1 hour").await;
    }
    let ran = setup.run(&["apply", "--auto-approve", "--lock-timeout", "1s", "--report", "report.json"]).exits(7);
    let told = backups(&report(&setup));
    assert_eq!(told.iter().filter(|(_, outcome)| outcome["done"].is_object()).count(), 7, "{told:?}");
    // A quarter of thirteen is four: what they share with three of them, and the other three.
    assert_eq!(begun_together(&ran.stderr), [4, 3], "{}", ran.stderr);
    setup.end_leases().await;
    let _ = setup.apply().exits(0);
    setup.assert_whole().await;
}

#[tokio::test]
async fn a_group_is_taken_together_also_right_after_others_have_done_the_one_before() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    only_tenants(&setup);
    let text = setup.read("bkup.yaml").replace("max_parallel_jobs: 2", "max_parallel_jobs: 1");
    std::fs::write(setup.path("bkup.yaml"), with_twin(&text, "alpha", "03:00")).unwrap();
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    for (narrowing, file) in [("schedule.alpha*", "first.json"), ("*", "second.json")] {
        let _ = setup.run(&["plan", "--target", narrowing, "--out", file]).exits(0);
    }
    let _ = setup.run(&["apply", "first.json"]).exits(0);
    let ran = setup.run(&["apply", "second.json"]).exits(0);
    assert_eq!(begun_together(&ran.stderr), [3], "{}", ran.stderr);
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn what_tenants_share_is_looked_at_only_where_one_of_them_is_still_to_be_backed_up() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    // The same work as three plans: a run of one is not known to the others.
    for (narrowing, file) in [("schedule.*", "first.json"), ("schedule.tenants*", "second.json"), ("*", "third.json")] {
        let _ = setup.run(&["plan", "--target", narrowing, "--out", file]).exits(0);
    }
    // Whoever looks at it claims it.
    let claims = "SELECT token FROM bkup.claims c JOIN bkup.executions e ON e.action_id = c.action_id \
                  WHERE e.scope = 'shared' AND e.slot::date = '2026-03-03'";
    hold(&setup, "acme", "1 hour").await;
    let _ = setup.run(&["apply", "first.json", "--lock-timeout", "1s"]).exits(7);
    setup.end_leases().await;
    assert_eq!(setup.catalog(claims).await, "1");
    let _ = setup.run(&["apply", "second.json", "--report", "report.json"]).exits(0);
    let told = backups(&report(&setup));
    let of = |scope: &str| &told.iter().find(|(other, _)| other == scope).unwrap().1;
    assert!(of("shared")["already_done"].is_object() && of("tenant=globex")["already_done"].is_object(), "{told:?}");
    assert!(of("tenant=acme")["done"].is_object(), "{told:?}");
    assert_eq!(setup.catalog(claims).await, "2", "a tenant that names it must find it");
    let _ = setup.run(&["apply", "third.json", "--report", "report.json"]).exits(0);
    assert!(backups(&report(&setup)).iter().all(|(_, outcome)| outcome["already_done"].is_object()));
    assert_eq!(setup.catalog(claims).await, "2");
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn a_store_that_is_gone_fails_its_actions_fast_and_each_is_said() {
    let slugs = ["acme", "b1", "b2", "b3", "b4", "globex"];
    let mut setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &slugs).await;
    let proxy = Proxy::before(&setup.s3().endpoint());
    setup.set("S3_ENDPOINT", &proxy.endpoint());
    only_tenants(&setup);
    let policies = setup.read("bkup.yaml").replace("max_parallel_jobs: 2", "max_parallel_jobs: 1");
    std::fs::write(setup.path("bkup.yaml"), policies).unwrap();
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let child = setup.spawn(&["apply", "--auto-approve", "--report", "report.json"]);
    let _ = dump_of(&child);
    proxy.cut();
    lock.release().await;
    let begun = Instant::now();
    let ended = ran(child.wait_with_output().unwrap());
    // One after the other, each with its tries and theirs, would be minutes.
    assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", begun.elapsed());
    // What they share is of the same dump: nothing succeeded.
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    let told = report(&setup);
    let failed: Vec<_> =
        backups(&told).into_iter().filter(|(_, outcome)| outcome["failed"]["code"] == "BK814").collect();
    assert_eq!(failed.len(), 7, "what they share is of the same dump: {told:#}");
    let fast =
        failed.iter().filter(|(_, outcome)| outcome["failed"]["error"].as_str().unwrap().starts_with("not tried"));
    assert!(fast.count() >= 4, "{failed:#?}");
    assert!(!told["unrecorded"].as_array().unwrap().is_empty(), "its reports could not be written there");
    proxy.mend();
    let _ = setup.apply().exits(0);
    let _ = setup.apply().exits(0);
    setup.assert_whole().await;
    setup.assert_converges().await;
}
