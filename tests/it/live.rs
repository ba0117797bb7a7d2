//! Suite: `validate --live`, with the binary, on a real server: what only catalog and databases can tell.

use crate::world::cluster::Major;
use crate::world::place::{RECOVERY, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_live_tenant_without_a_class_is_found_and_offline_nobody_knows() {
    let world = World::new(Major::ALL[0], &["a", "b"]).await;
    let _ = world.apply();
    let _ = world.run(&["validate", "--live"]).exits(0);
    world.policy("classes.yaml", "version: 1\nclasses: { gold: { tenants: [\"gold-*\"], priority: 1 } }\n");
    let ran = world.run(&["validate", "--live"]);
    assert!(ran.stdout.contains("BK211"), "a live tenant without a class: {}", ran.stdout);
    let offline = world.run(&["validate"]);
    assert!(!offline.stdout.contains("BK211"), "{}", offline.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_changed_after_its_approval_is_told_and_one_that_was_approved_again_is_not() {
    let world = World::new(Major::ALL[0], &["a"]).await;
    let approved =
        RECOVERY.replace("status: pending_approval", "status: approved, by: cto@example.com, at: 2020-01-15");
    world.policy("recovery.yaml", &approved);
    let _ = world.apply();
    assert!(!world.run(&["validate", "--live"]).stdout.contains("BK711"));
    let changed = approved.replace("rto: 1h", "rto: 2h");
    world.policy("recovery.yaml", &changed);
    let ran = world.run(&["validate", "--live"]);
    assert!(ran.stdout.contains("BK711"), "{}", ran.stdout);
    world.policy("recovery.yaml", &changed.replace("by: cto", "by: ceo"));
    assert!(!world.run(&["validate", "--live"]).stdout.contains("BK711"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_catalog_it_says_so_and_judges_nothing() {
    let world = World::new(Major::ALL[0], &["a"]).await.env("BKUP_CATALOG_URL", "postgres://nobody@127.0.0.1:1/none");
    let _ = world.run(&["validate", "--live"]).exits(1);
    let _ = world.run(&["validate"]).exits(0);
}
