//! Suite: runs as people meet them, through the binary: plans used once, approvals by digest, reports whatever happens,
//! logs, cancel, several runners.

mod canceled;
mod ends;
mod shared;

use serde_json::Value;

use crate::world::cluster::Major;
use crate::world::run::Ran;
use crate::world::setup::{Place, Policy, Setup};

/// Reads the report that a run wrote to `report.json`.
pub fn report(setup: &Setup) -> Value {
    serde_json::from_str(&setup.read("report.json")).expect("a report")
}

/// Returns the outcomes of a report's backups, by scope.
pub fn backups(report: &Value) -> Vec<(String, Value)> {
    let actions = report["actions"].as_array().expect("actions").iter();
    let of = |action: &Value| {
        Some((action["action"]["kind"]["back_up"]["scope"].as_str()?.to_owned(), action["outcome"].clone()))
    };
    actions.filter_map(of).collect()
}

fn retention(last: u32) -> Policy {
    Policy { retention: format!("  short: {{ last: {last} }}\n"), ..Policy::default() }
}

/// Plans, and returns the plan as JSON.
#[track_caller]
fn planned(setup: &Setup) -> Value {
    setup.run(&["--format", "json", "plan"]).exits(0).json()
}

#[tokio::test]
async fn a_finished_plan_says_when_and_by_which_run_and_does_nothing() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let _ = setup.run(&["plan", "--out", "plan.json"]).exits(0);
    let _ = setup.run(&["apply", "plan.json", "--report", "report.json"]).exits(0);
    let run = report(&setup)["run"].as_str().unwrap().to_owned();
    let before = setup.fingerprint().await;
    let again = setup.run(&["apply", "plan.json", "--report", "report.json"]).exits(0);
    let first = again.stdout.lines().next().unwrap_or_default();
    assert_eq!(
        first,
        format!("✓ Already applied: run {run} finished this plan 2026-03-03 03:10 UTC. Nothing was done.")
    );
    assert_eq!(report(&setup)["finished_before"]["run"], run.as_str());
    assert_eq!(setup.fingerprint().await, before);
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_plan_that_only_skipped_is_not_used_up() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let _ = setup.run(&["plan", "--out", "plan.json", "--only", "backups"]).exits(0);
    setup.now("2026-03-03T09:00:00Z");
    for _ in 0..2 {
        let ran = setup.run(&["apply", "plan.json"]).exits(0);
        assert!(ran.stdout.contains("its slot passed") && !ran.stdout.contains("Already applied"), "{}", ran.stdout);
    }
    let _ = setup.apply().exits(0);
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_review_approves_changes_and_a_squashed_merge_finds_them_again() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.policy(&retention(4));
    let digest = planned(&setup)["change_digest"].as_str().unwrap().to_owned();
    // Due work comes and goes: it is no part of what was reviewed.
    setup.now("2026-03-03T03:10:00Z");
    setup.policy(&retention(5));
    let before = setup.fingerprint().await;
    let other = setup.run(&["apply", "--expect-digest", &digest, "--report", "report.json"]).exits(6);
    let found = planned(&setup)["change_digest"].as_str().unwrap().to_owned();
    assert!(other.stderr.contains("BK914") && other.stderr.contains("retention.short"), "{}", other.stderr);
    assert!(other.stderr.contains(&digest) && other.stderr.contains(&found), "{}", other.stderr);
    assert_eq!(report(&setup)["failure"]["code"], "BK914");
    assert_eq!(setup.fingerprint().await, before);

    setup.policy(&retention(4));
    let said = setup.run(&["apply", "--expect-digest", &digest[..12]]).exits(0);
    assert!(said.stdout.contains("Applied:"), "nobody is asked: {}", said.stdout);
    setup.assert_converges().await;
    // The same workflow once more: what was approved is done.
    let twice = setup.run(&["apply", "--expect-digest", &digest]).exits(6);
    assert!(twice.stderr.contains("the plan changes nothing now"), "{}", twice.stderr);
    assert!(twice.stderr.contains("the expected changes were applied 2026-03-03"), "{}", twice.stderr);
    for wrong in ["0123", "not-a-digest", ""] {
        let _ = setup.run(&["apply", "--expect-digest", wrong]).exits(64);
    }
}

#[tokio::test]
async fn what_came_since_the_plan_was_made_is_said_and_left_alone() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    for day in 3..=4 {
        setup.now(&format!("2026-03-{day:02}T03:10:00Z"));
        let _ = setup.apply().exits(0);
    }
    setup.now("2026-03-05T03:10:00Z");
    let _ = setup.run(&["plan", "--out", "plan.json"]).exits(0);
    let planned: Value = serde_json::from_str(&setup.read("plan.json")).unwrap();
    let deletes = |v: &Value| v["actions"].to_string().matches("\"tombstone\":").count();
    // Another runner takes that night's backups and the next one's: more becomes deletable than was planned.
    let _ = setup.apply().exits(0);
    setup.now("2026-03-06T02:50:00Z");
    let _ = setup.run(&["apply", "--auto-approve", "--only", "backups"]).exits(0);
    setup.now("2026-03-06T03:10:00Z");
    let before = setup.manifests().await;
    let ran = setup.run(&["apply", "plan.json", "--max-age", "48h", "--report", "report.json"]);
    assert!([0, 5].contains(&ran.code), "{}{}", ran.stdout, ran.stderr);
    let report = report(&setup);
    let since = report["since"].as_array().unwrap();
    assert!(since.iter().any(|s| s["work"] == "back_up"), "{report}");
    assert!(
        since.iter().any(|s| s["deletes"] == true),
        "{deletes} were planned: {since:#?}",
        deletes = deletes(&planned)
    );
    assert!(ran.stdout.contains("Came since the plan was made, and was left alone"), "{}", ran.stdout);
    assert_eq!(setup.manifests().await, before, "nothing of it was done");
    let _ = setup.apply().exits(0);
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn runs_are_kept_in_the_catalog_and_read_from_the_stores_where_it_is_gone() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.run(&["logs"]).exits(1).says("BK911");
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let _ = setup.run(&["apply", "--auto-approve", "--report", "report.json"]).exits(0);
    let told = report(&setup);
    let run = told["run"].as_str().unwrap();
    let list = setup.run(&["--format", "json", "logs"]).exits(0).json();
    let runs = list["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "the newest first: {list:#}");
    assert_eq!((runs[0]["run"].as_str(), runs[0]["state"].as_str()), (Some(run), Some("ended")));
    assert_eq!(runs[0]["counts"]["done"], told["actions"].as_array().unwrap().len());
    assert_eq!(
        setup.run(&["--format", "json", "logs", "--last", "1"]).exits(0).json()["runs"].as_array().unwrap().len(),
        1
    );
    let text = setup.run(&["logs"]).exits(0).stdout;
    assert!(text.contains(run) && text.contains("2026-03-03 03:10"), "{text}");

    let one = setup.run(&["--format", "json", "logs", run]).exits(0).json();
    assert_eq!(one["report"]["actions"], told["actions"]);
    let text = setup.run(&["logs", &run[..run.len() - 4]]).exits(0).stdout;
    assert!(text.contains("Applied:") && text.contains("tenant=acme"), "{text}");
    let acme = "SELECT backup_id FROM bkup.executions WHERE scope = 'tenant=acme' AND slot::date = '2026-03-03'";
    let backup = setup.catalog(acme).await;
    let text = setup.run(&["logs", &backup]).exits(0).stdout;
    assert!(text.contains("attempt 1 completed") && text.contains("backup completed by"), "{text}");
    let _ = setup.run(&["logs", "2026"]).exits(1).says("begins more than one id");
    let _ = setup.run(&["logs", "1999"]).exits(1).says("nothing has an id");

    setup.set("BKUP_CATALOG_URL", "postgres://nobody@/none?host=/nowhere&port=5432");
    let list = setup.run(&["--format", "json", "logs"]).exits(0).json();
    assert_eq!(list["runs"][0]["run"], run, "from the store: {list:#}");
    let one = setup.run(&["--format", "json", "logs", run]).exits(0).json();
    assert_eq!(one["report"]["actions"], told["actions"]);
}

/// Asserts how a run ended and that its report says the same.
#[track_caller]
pub fn assert_failure(setup: &Setup, ran: &Ran, exit: i32, code: &str) {
    assert_eq!(ran.code, exit, "{}{}", ran.stdout, ran.stderr);
    let report = report(setup);
    assert_eq!(report["failure"]["code"], code, "{report:#}");
    std::fs::remove_file(setup.path("report.json")).expect("a report to take away");
}
