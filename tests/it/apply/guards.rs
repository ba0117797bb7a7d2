//! What an apply refuses, and that refusing changes nothing.

use std::fs;

use crate::world::cluster::Major;
use crate::world::setup::{Place, Policy, Setup};

fn keep(last: u32) -> Policy {
    Policy {
        retention: format!("  short: {{ last: {last} }}\n"),
        guards: "{ max_delete: 20%, min_keep: 1, grace: 2d }".to_owned(),
        ..Policy::default()
    }
}

/// An installation with five nights of backups.
async fn five_nights() -> Setup {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    setup.policy(&keep(6));
    let _ = setup.first();
    for day in 3..=6 {
        setup.now(&format!("2026-03-0{day}T03:10:00Z"));
        let _ = setup.apply().success();
    }
    setup.assert_converges().await;
    setup
}

#[tokio::test]
async fn policies_that_became_empty_delete_nothing() {
    let setup = five_nights().await;
    let before = setup.fingerprint().await;
    let whole = setup.read("bkup.yaml");
    let begin = whole.split("databases:").next().unwrap();
    for (text, codes) in [(String::new(), [3, 3]), (begin.to_owned(), [3, 4]), ("version: 1\n".to_owned(), [3, 4])] {
        fs::write(setup.path("bkup.yaml"), &text).unwrap();
        let ran = setup.apply();
        assert!(codes.contains(&ran.code), "{text:?}: {}\n{}{}", ran.code, ran.stdout, ran.stderr);
        assert_eq!(setup.fingerprint().await, before, "{text:?}");
    }
    fs::remove_file(setup.path("bkup.yaml")).unwrap();
    let _ = setup.apply().exits(3);
    fs::write(setup.path("bkup.yaml"), whole.replace("retention: short", "retention: shrot")).unwrap();
    let _ = setup.apply().exits(3);
    assert_eq!(setup.fingerprint().await, before);
}

#[tokio::test]
async fn a_schedule_that_is_removed_leaves_its_backups() {
    let setup = five_nights().await;
    let manifests = setup.manifests().await;
    let mut policy = keep(6);
    policy.schedules = policy.schedules.lines().next().unwrap().to_owned() + "\n";
    setup.policy(&policy);
    let _ = setup.apply().success();
    assert_eq!(setup.manifests().await, manifests);
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_change_that_deletes_too_much_needs_consent() {
    let setup = five_nights().await;
    let before = setup.fingerprint().await;
    setup.policy(&keep(1));
    let refused = setup.apply().exits(4);
    assert!(refused.stderr.contains("max_delete"), "{}", refused.stderr);
    let open = setup.run(&["apply", "--auto-approve", "--allow-delete", "90%"]).exits(64);
    assert!(open.stderr.contains("does not say which change"), "{}", open.stderr);
    let another = setup.run(&["apply", "--auto-approve", "--allow-delete", "90%@0123456789ab"]).exits(4);
    assert!(another.stdout.contains("this is another"), "{}", another.stdout);
    let plan = setup.run(&["--format", "json", "plan"]).exits(4).json();
    let change = plan["change_digest"].as_str().unwrap()[..12].to_owned();
    let _ = setup.run(&["apply", "--auto-approve", "--allow-delete", &format!("40%@{change}")]).exits(4);
    assert_eq!(setup.fingerprint().await, before);
    let _ = setup.run(&["apply", "--auto-approve", "--allow-delete", &format!("90%@{change}")]).success();
    let left = "SELECT count(*) FROM bkup.executions WHERE tombstoned_at IS NULL AND status = 'COMPLETED' \
                AND scope = 'database'";
    assert_eq!(setup.catalog(left).await, "1");
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_store_that_was_emptied_or_exchanged_is_not_taken_for_a_new_one() {
    let mut setup = five_nights().await;
    let (store, aside) = (setup.folder(), setup.folder().with_extension("aside"));
    let before = setup.fingerprint().await;
    setup.now("2026-03-07T03:10:00Z");
    fs::rename(&store, &aside).unwrap();
    let gone = setup.apply();
    assert!([1, 4, 5].contains(&gone.code), "no such folder: {}{}", gone.stdout, gone.stderr);
    fs::create_dir(&store).unwrap();
    let _ = setup.apply().exits(4);
    assert_eq!(setup.keys().await, [""; 0]);
    fs::write(
        store.join("bkup.json"),
        fs::read_to_string(aside.join("bkup.json")).unwrap().replacen("\"store_id\":\"", "\"store_id\":\"0", 1),
    )
    .unwrap();
    let exchanged = setup.apply().exits(4);
    assert!(exchanged.stderr.contains("says it is"), "{}", exchanged.stderr);
    // Its marker is there, and the backups are not: a wrong prefix, or a loss.
    fs::copy(aside.join("bkup.json"), store.join("bkup.json")).unwrap();
    let lost = setup.apply().exits(4);
    assert!(lost.stderr.contains("lacks"), "{}", lost.stderr);
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&aside, &store).unwrap();
    assert_eq!(setup.fingerprint().await, before);
    let _ = setup.apply().success();
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn a_lost_catalog_beside_a_full_store_is_not_begun_anew() {
    let mut setup = five_nights().await;
    setup.cluster.exec("catalog", "DROP SCHEMA bkup CASCADE").await;
    let keys = setup.keys().await;
    let refused = setup.run(&["apply", "--auto-approve", "--init-simulated"]).exits(4);
    assert!(refused.stderr.contains("catalog"), "{}", refused.stderr);
    setup.env.remove("BKUP_NOW");
    let _ = setup.apply().exits(4);
    assert_eq!(setup.keys().await, keys);
    assert_eq!(setup.catalog("to_regnamespace('bkup')").await, "");
}

#[tokio::test]
async fn the_clock_of_a_real_catalog_cannot_be_moved() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    setup.now("2026-03-02T10:00:00Z");
    let _ = setup.apply().exits(64);
    assert_eq!(setup.keys().await, [""; 0]);
    setup.env.remove("BKUP_NOW");
    let _ = setup.apply().success();
    let before = setup.fingerprint().await;
    // Ten years on, retention would release everything.
    setup.now("2036-03-02T10:00:00Z");
    for args in [vec!["apply", "--auto-approve"], vec!["apply", "--auto-approve", "--init-simulated"], vec!["plan"]] {
        let ran = setup.run(&args);
        assert!([4, 64].contains(&ran.code), "{args:?}: {}\n{}{}", ran.code, ran.stdout, ran.stderr);
    }
    assert_eq!(setup.fingerprint().await, before);
}

#[tokio::test]
async fn a_backup_whose_manifest_is_gone_is_quarantined_and_replaced() {
    let mut setup = five_nights().await;
    let manifests = setup.manifests().await;
    let lost = manifests.iter().rfind(|key| key.contains("/database/")).unwrap();
    fs::remove_file(setup.folder().join(lost)).unwrap();
    let plan = setup.run(&["plan", "--detailed-exitcode"]).exits(2);
    assert!(plan.stdout.contains("quarantine"), "{}", plan.stdout);
    let _ = setup.apply().success();
    let quarantined = "SELECT count(*) FROM bkup.executions WHERE quarantine IS NOT NULL";
    assert_eq!(setup.catalog(quarantined).await, "1");
    setup.assert_converges().await;
    setup.now("2026-03-07T03:10:00Z");
    let _ = setup.apply().success();
    setup.assert_converges().await;
    assert_eq!(setup.manifests().await.len(), manifests.len() - 1 + 3);
}

#[tokio::test]
async fn nobody_is_asked_without_a_terminal() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.run(&["apply"]).exits(64);
    assert_eq!(setup.keys().await, [""; 0]);
    assert_eq!(setup.catalog("to_regnamespace('bkup')").await, "");
}
