//! Whole applies through the binary: first ones, saved plans, weeks of simulated time, guards.

use crate::world::cluster::Major;
use crate::world::s3::{Rclone, S3Server};
use crate::world::setup::{Place, Setup};

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
        let said = setup.apply().success();
        println!("{said}");
        assert_first(&setup).await;
        setup.assert_converges().await;
    }
}

#[tokio::test]
async fn the_first_apply_works_on_s3() {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &TENANTS).await;
    let said = setup.apply().success();
    println!("{said}");
    assert_first(&setup).await;
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_server_that_ignores_conditional_writes_is_used_and_told_of() {
    let setup = Setup::start(Major::V17, Place::Rclone(Rclone::start()), &TENANTS).await;
    let said = setup.apply().exits(0);
    println!("{}{}", said.stdout, said.stderr);
    assert_first(&setup).await;
    setup.assert_converges().await;
}
