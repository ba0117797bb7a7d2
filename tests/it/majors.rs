//! Suite: the same day on each version of PostgreSQL that bkup serves: backed up, drilled, lost, brought back, with the
//! binary.

use crate::restore::content;
use crate::world::cluster::Major;
use crate::world::place::{RECOVERY, World};

async fn a_day(major: Major) {
    let slugs = ["acme", "\"; DROP SCHEMA"];
    let world = World::new(major, &slugs).await;
    world.policy("recovery.yaml", RECOVERY);
    let version = world.cluster.ask("app", "SELECT current_setting('server_version_num')::int / 10000").await;
    assert_eq!(version, Some(major.number().to_string()), "the server is of the version that is tested");
    let _ = world.apply();
    let passed = "SELECT count(*) FROM bkup.drills WHERE passed";
    assert_eq!(world.cluster.ask("cat", passed).await.as_deref(), Some("1"));
    let mut before = Vec::new();
    for slug in slugs {
        before.push(content(&world, "app", &format!("tenant_{slug}")).await);
    }

    world.cluster.exec("app", "DROP SCHEMA \"tenant_\"\"; DROP SCHEMA\" CASCADE").await;
    let live = ["restore", "--latest", "--tenant", slugs[1], "--into", "live", "--auto-approve"];
    let _ = world.run(&live).exits(0);
    assert_eq!(content(&world, "app", &format!("tenant_{}", slugs[1])).await, before[1]);

    let ran = world.run(&["restore", "--latest", "--into", "new:all"]).exits(0);
    assert!(ran.stdout.contains("6 tables with 505 rows"), "{}", ran.stdout);
    for (slug, before) in slugs.iter().zip(&before) {
        assert!(before.is_some());
        assert_eq!(content(&world, "all", &format!("tenant_{slug}")).await, *before);
    }
    // A database that no policy names would be drift.
    world.cluster.exec("postgres", "DROP DATABASE \"all\"").await;
    let _ = world.run(&["plan", "--detailed-exitcode", "--include-due"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_a_loss_ends_well_on_15() {
    a_day(Major::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_a_loss_ends_well_on_16() {
    a_day(Major::V16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_a_loss_ends_well_on_17() {
    a_day(Major::V17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_a_loss_ends_well_on_18() {
    a_day(Major::V18).await;
}
