//! Saved plans: applied exactly, once, and never when the world has moved on.

use crate::world::cluster::Major;
use crate::world::setup::{Place, Policy, Setup};

fn retention(last: u32) -> Policy {
    Policy { retention: format!("  short: {{ last: {last} }}\n"), ..Policy::default() }
}

#[tokio::test]
async fn a_saved_plan_is_applied_exactly_and_once() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.run(&["plan", "--out", "plan.json"]).success();
    assert_eq!(setup.keys().await, [""; 0], "a plan changes nothing");
    // A tenant that came since is not in the plan.
    setup.cluster.tenant("app", "late").await;
    let first = setup.run(&["apply", "plan.json"]).success();
    let told = first.split_once("Came since the plan was made").expect("something came").1;
    assert!(told.contains("late") && !told.contains("acme"), "{told}");
    assert!(!setup.manifests().await.iter().any(|key| key.contains("late")));
    assert_eq!(setup.manifests().await.len(), 3);
    let before = setup.fingerprint().await;
    let again = setup.run(&["apply", "plan.json"]).success();
    assert!(again.contains("Already applied"), "{again}");
    assert_eq!(setup.fingerprint().await, before);
    let _ = setup.apply().success();
    assert!(setup.manifests().await.iter().any(|key| key.contains("late")));
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn an_edited_plan_is_refused() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.run(&["plan", "--out", "plan.json"]).success();
    let text = setup.read("plan.json");
    for (from, to) in [("02:30:00Z", "01:30:00Z"), ("\"serial\": 0", "\"serial\": 7"), ("primary", "secondary")] {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "the plan has {from}");
        std::fs::write(setup.path("plan.json"), edited).unwrap();
        let ran = setup.run(&["apply", "plan.json"]);
        assert!([1, 64].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
        assert!(ran.stderr.contains("error"), "{}", ran.stderr);
    }
    assert_eq!(setup.keys().await, [""; 0]);
    assert_eq!(setup.catalog("to_regnamespace('bkup')").await, "");
}

#[tokio::test]
async fn a_plan_that_the_world_has_left_behind_changes_nothing() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.policy(&retention(4));
    let _ = setup.run(&["plan", "--out", "four.json"]).success();
    setup.policy(&retention(5));
    let _ = setup.apply().success();
    let before = setup.fingerprint().await;
    let stale = setup.run(&["apply", "four.json"]).exits(6);
    assert!(stale.stderr.contains("retention.short"), "{}", stale.stderr);
    assert_eq!(setup.fingerprint().await, before);
    // It stays stale: being refused once does not make it one that was begun.
    let _ = setup.run(&["apply", "four.json"]).exits(6);
    assert_eq!(setup.fingerprint().await, before);

    // One that is too old, even where everything still fits.
    setup.policy(&retention(6));
    let _ = setup.run(&["plan", "--out", "six.json"]).success();
    setup.now("2026-03-03T11:00:00Z");
    let _ = setup.run(&["apply", "six.json"]).exits(6);
    assert_eq!(setup.fingerprint().await, before);
    let _ = setup.run(&["apply", "six.json", "--max-age", "48h"]).success();
    let _ = setup.apply().success();
    setup.assert_converges().await;
}

#[tokio::test]
async fn policies_may_return_to_what_they_were() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    for last in [4, 3, 4, 3] {
        setup.policy(&retention(last));
        let _ = setup.run(&["plan", "--out", "plan.json"]).success();
        let said = setup.run(&["apply", "plan.json"]).success();
        assert!(!said.contains("already"), "{said}");
        setup.assert_converges().await;
    }
    let _ = setup.run(&["apply", "plan.json"]).success();
}

#[tokio::test]
async fn due_work_whose_slot_has_passed_is_skipped_and_said() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let _ = setup.run(&["plan", "--out", "plan.json"]).success();
    setup.now("2026-03-03T09:00:00Z");
    let before = setup.manifests().await;
    let ran = setup.run(&["apply", "plan.json"]);
    assert!(ran.stdout.contains("its slot passed"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(setup.manifests().await, before);
    let _ = setup.apply().success();
    setup.assert_converges().await;
}
