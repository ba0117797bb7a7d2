//! A live server whose disk is full. Its limit on the size of a file stands for the disk: PostgreSQL ignores the signal
//! so that exceeding it is told like a disk without room, by the kernel, at the same place.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;

use super::{beside, orders};
use crate::restore::content;
use crate::world::cluster::Major;
use crate::world::place::World;

/// Some 30 MB that do not compress, in files of the table's own.
const LARGE: &str = "CREATE TABLE tenant_a.large AS SELECT n,
    (SELECT string_agg(md5((n * 31 + k)::text), '') FROM generate_series(1, 30) k) AS text FROM generate_series(1, 30000) n";

/// Limits the files of the sessions that begin from now on. A segment of the log, 16 MB, fits. The server's own user may do
/// that, and root without every capability may not.
#[expect(clippy::disallowed_methods, reason = "a program that has to be another user")]
fn limit(world: &World, bytes: &str) {
    let pid = world.cluster.server().pid().unwrap().to_string();
    let owner = std::fs::metadata(format!("/proc/{pid}")).unwrap();
    let mut prlimit = std::process::Command::new("prlimit");
    prlimit.args(["--pid", &pid, &format!("--fsize={bytes}:")]).uid(owner.uid()).gid(owner.gid());
    assert!(prlimit.status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_in_the_live_server_is_told_and_what_is_in_use_goes_on() {
    let world = World::new(Major::V17, &["a"]).await;
    world.cluster.exec("app", LARGE).await;
    let _ = world.apply();
    world.cluster.exec("app", "DELETE FROM tenant_a.orders WHERE id > 50").await;
    let before = content(&world, "app", "tenant_a").await;
    // What is in use must not be what cannot be written.
    world.cluster.exec("app", "CHECKPOINT").await;
    limit(&world, "20000000");
    for into in [
        &["restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"][..],
        &["restore", "--latest", "--into", "live", "--auto-approve"],
    ] {
        let ran = world.run(into).exits(1).says("could not extend file").says("loading");
        assert!(!ran.stderr.contains("swapped"), "{}", ran.stderr);
        assert_eq!(beside(&world).await, Vec::<String>::new());
        let databases = "(SELECT string_agg(datname, ',') FROM pg_database WHERE datname LIKE 'app\\_\\_%')";
        assert_eq!(world.cluster.ask("postgres", databases).await, None);
        assert_eq!(content(&world, "app", "tenant_a").await, before);
    }
    world.cluster.exec("app", "INSERT INTO tenant_a.customers (name) VALUES ('goes on')").await;
    limit(&world, "unlimited");
    let _ = world.run(&["restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"]).exits(0);
    assert_eq!(orders(&world, "tenant_a").await, 200);
}
