//! Whole applies through the binary: first ones, saved plans, weeks of simulated time, guards.

mod guards;
mod hostile;
mod saved;
mod weeks;

use crate::world::cluster::Major;
use crate::world::s3::{Rclone, S3Server};
use crate::world::setup::{Place, Policy, Setup};

const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// What must be in a store after the first apply, wherever it is.
async fn assert_first(setup: &Setup) {
    let keys = setup.keys().await;
    let count = |begin: &str| keys.iter().filter(|key| key.starts_with(begin)).count();
    assert_eq!(keys.iter().filter(|key| *key == "bkup.json").count(), 1, "{keys:#?}");
    assert_eq!(setup.manifests().await.len(), 5, "the database, three tenants, and what they share: {keys:#?}");
    assert_eq!(count("keys/"), 5, "one key object for each backup: {keys:#?}");
    assert_eq!(keys.iter().filter(|key| key.starts_with("state/")).collect::<Vec<_>>(), ["state/1.json"]);
    assert_eq!(count("runs/"), 1, "{keys:#?}");
    assert_eq!(count("marks/"), 0, "{keys:#?}");
    assert_eq!(keys.iter().filter(|key| key.contains("probe")).count(), 0, "the probe cleans up: {keys:#?}");
    setup.assert_whole().await;
}

#[tokio::test]
async fn the_first_apply_makes_catalog_store_and_backups_on_every_version() {
    for major in Major::ALL {
        let setup = Setup::start(major, Place::Folder, &TENANTS).await;
        let _ = setup.apply().success();
        assert_first(&setup).await;
        setup.assert_converges().await;
    }
}

#[tokio::test]
async fn the_first_apply_works_on_s3() {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &TENANTS).await;
    let _ = setup.apply().success();
    assert_first(&setup).await;
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_server_that_ignores_conditional_writes_is_used_and_told_of() {
    let setup = Setup::start(Major::V17, Place::Rclone(Rclone::start()), &TENANTS).await;
    let said = setup.apply().success();
    assert!(said.contains("ignores conditional writes"), "{said}");
    assert_first(&setup).await;
    setup.assert_converges().await;
}

#[tokio::test]
async fn all_tenants_of_a_slot_are_of_one_instant() {
    let setup = Setup::start(Major::V15, Place::Folder, &TENANTS).await;
    let _ = setup.apply().success();
    let mut snapshots = std::collections::BTreeSet::new();
    let mut instants = std::collections::BTreeSet::new();
    let mut shared = std::collections::BTreeSet::new();
    for key in setup.manifests().await.iter().filter(|key| !key.contains("/database/")) {
        let manifest: serde_json::Value =
            serde_json::from_slice(&std::fs::read(setup.folder().join(key)).unwrap()).unwrap();
        snapshots.insert(manifest["snapshot"].to_string());
        instants.insert(manifest["consistent_at"].to_string());
        if key.contains("/tenant=") {
            shared.insert(manifest["shared"].to_string());
        }
    }
    assert_eq!((snapshots.len(), instants.len(), shared.len()), (1, 1, 1), "{snapshots:?} {instants:?} {shared:?}");
}

#[tokio::test]
async fn a_backup_taken_on_request_converges_and_may_be_taken_again() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let mut policy = Policy::default();
    policy.schedules += "  pre-migration: { databases: [app], backup: database, when: { on: request }, retention: short, store: primary }\n";
    setup.policy(&policy);
    let _ = setup.first();
    let before = setup.manifests().await.len();
    for (count, now) in ["2026-03-02T10:00:01Z", "2026-03-02T10:07:00Z"].into_iter().enumerate() {
        setup.now(now);
        let _ = setup.run(&["backup", "pre-migration"]).success();
        assert_eq!(setup.manifests().await.len(), before + count + 1);
        setup.assert_converges().await;
    }
    setup.assert_whole().await;
}
