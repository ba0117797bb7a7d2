//! Stores and servers that go away, refuse, or are full.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::proxy::Proxy;
use super::{Lock, dump_of, only_tenants};
use crate::world::cluster::Major;
use crate::world::run::Ran;
use crate::world::s3::{HttpFault, S3Server};
use crate::world::setup::{Place, Setup, ran};

/// Two applies: the second one collects what the disturbed one left.
async fn assert_recovers(setup: &Setup) {
    let _ = setup.apply().success();
    let _ = setup.apply().success();
    setup.assert_whole().await;
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_store_that_goes_away_meanwhile_is_said_and_found_again() {
    let mut setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme", "globex"]).await;
    let proxy = Proxy::before(&setup.s3().endpoint());
    setup.set("S3_ENDPOINT", &proxy.endpoint());
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let before = setup.manifests().await;
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let child = setup.spawn(&["apply", "--auto-approve"]);
    let _ = dump_of(&child);
    proxy.cut();
    lock.release().await;
    let ran = ran(child.wait_with_output().unwrap());
    // All that is shared and both tenants are of one dump: nothing succeeded.
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("BK81"), "{}", ran.stdout);
    assert_eq!(setup.manifests().await.len(), before.len());
    // While it is away, everything waits, and that is no success.
    let away = setup.run(&["plan"]).exits(0);
    assert!(away.stdout.contains("Held"), "{}", away.stdout);
    proxy.mend();
    assert_recovers(&setup).await;
    assert_eq!(setup.manifests().await.len(), before.len() + 3);
}

#[tokio::test]
async fn storms_slow_answers_and_lost_replies_are_weathered() {
    let mut setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme", "globex"]).await;
    let s3 = setup.s3();
    for (method, containing) in
        [("PUT", "manifest.json"), ("PUT", "bkup.json"), ("PUT", "keys/"), ("PUT", "a-1/"), ("PUT", "state/")]
    {
        s3.inject(method, containing, 0, 1, HttpFault::LostReply);
        s3.inject(method, containing, 1, 2, HttpFault::Unavailable);
    }
    s3.inject("GET", "list-type=2", 0, 2, HttpFault::Unavailable);
    s3.inject("HEAD", "", 0, 2, HttpFault::Unavailable);
    s3.inject("GET", "a-1/", 0, 1, HttpFault::LostReply);
    let _ = setup.first();
    setup.assert_whole().await;
    setup.assert_converges().await;
    for day in 3..=7 {
        setup.s3().inject("DELETE", "", 0, 1, HttpFault::LostReply);
        setup.s3().inject("POST", "delete", 0, 1, HttpFault::LostReply);
        setup.s3().inject("PUT", "marks/", 0, 1, HttpFault::LostReply);
        setup.now(&format!("2026-03-{day:02}T03:10:00Z"));
        let _ = setup.apply().success();
    }
    setup.assert_whole().await;
    setup.assert_converges().await;
    assert_ne!(setup.catalog("SELECT count(*) FROM bkup.executions WHERE deleted").await, "0");
}

/// A cache before the store, a bit on the way, a store that is behind its own writes: what it costs is an attempt.
#[tokio::test]
async fn what_reads_otherwise_than_it_was_written_is_taken_again() {
    for fault in [HttpFault::Emptied, HttpFault::Absent] {
        let mut setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme", "globex"]).await;
        // Read in pieces.
        let bulk = "CREATE TABLE tenant_acme.bulk AS SELECT md5(random()::text) FROM generate_series(1, 90000)";
        setup.cluster.exec("app", bulk).await;
        // A store that is a moment behind costs a second look, and no attempt. An archive that was not read whole at first
        // is read whole then.
        setup.s3().inject("GET", "acme/", 0, 1, fault);
        let _ = setup.first();
        let failed = "SELECT count(*) FROM bkup.executions WHERE status = 'FAILED'";
        assert_eq!(setup.catalog(failed).await, "0");
        let bulky = |key: &String| setup.s3().bytes(key).is_some_and(|bytes| bytes.len() > 1024 * 1024);
        assert!(setup.s3().keys().iter().any(|key| key.contains("acme/") && bulky(key)));
        assert_eq!(setup.manifests().await.len(), 4);
        assert!(setup.keys().await.iter().all(|key| !key.contains("/a-2/")));

        // One that never shows what was written: everything is taken again, each once.
        setup.now("2026-03-03T03:10:00Z");
        setup.s3().inject("GET", "a-1/archive", 0, u64::MAX, fault);
        let _ = setup.apply().exits(0);
        assert_eq!(setup.catalog(failed).await, "4");
        assert_eq!(setup.manifests().await.len(), 8);
        let again = |key: &&String| key.contains("/20260303T") && key.contains("/a-2/archive");
        assert_eq!(setup.keys().await.iter().filter(again).count(), 4);
        assert_recovers(&setup).await;

        // One that never reads as it was written is failed, and costs the others nothing.
        setup.now("2026-03-04T03:10:00Z");
        setup.cluster.exec("app", "DROP TABLE tenant_acme.bulk").await;
        setup.s3().inject("GET", "acme/20260304", 0, u64::MAX, fault);
        let ran = setup.apply().exits(5);
        let said = if fault == HttpFault::Emptied { "BK824" } else { "BK810" };
        assert!(ran.stdout.contains(said) || ran.stderr.contains(said), "{}{}", ran.stdout, ran.stderr);
        assert_eq!(setup.manifests().await.len(), 11);
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_and_keys_that_are_wrong_are_said() {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme"]).await;
    let policies = setup.read("bkup.yaml");
    fs::write(setup.path("bkup.yaml"), policies.replace("s3://bkup-test/", "s3://no-such-bucket/")).unwrap();
    let missing = setup.apply();
    assert_eq!(missing.code, 4, "{}\n{}{}", missing.code, missing.stdout, missing.stderr);
    let said = format!("{}{}", missing.stdout, missing.stderr);
    assert!(said.contains("no-such-bucket") && said.contains("bucket"), "{said}");
    assert_eq!(setup.manifests().await, [""; 0]);
    fs::write(setup.path("bkup.yaml"), policies).unwrap();

    let mut wrong = setup;
    wrong.set("AWS_SECRET_ACCESS_KEY", "wrong-wrong-wrong");
    let refused = wrong.apply();
    assert_eq!(refused.code, 4, "{}\n{}{}", refused.code, refused.stdout, refused.stderr);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("credential") || said.contains("SignatureDoesNotMatch") || said.contains("denied"), "{said}");
    assert!(!said.contains("wrong-wrong-wrong"), "{said}");
    assert_eq!(wrong.manifests().await, [""; 0]);
    wrong.set("AWS_SECRET_ACCESS_KEY", crate::world::s3::SECRET_KEY);
    assert_recovers(&wrong).await;
    assert_eq!(wrong.manifests().await.len(), 3);
}

#[tokio::test]
async fn a_database_or_catalog_that_is_down_is_said() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let (app, catalog) = (setup.env["APP_URL"].clone(), setup.env["BKUP_CATALOG_URL"].clone());
    let before = setup.fingerprint().await;
    for wrong in [
        "postgres://postgres@/app?host=/nowhere/at/all&port=5432".to_owned(),
        app.replace("/app?", "/no_such_database?"),
        app.replace("postgres://postgres@", "postgres://nobody_there:secret-word@"),
    ] {
        setup.set("APP_URL", &wrong);
        let ran = setup.apply().exits(1);
        assert!(ran.stdout.contains("the database could not be read"), "{}{}", ran.stdout, ran.stderr);
        assert!(!ran.stdout.contains("secret-word") && !ran.stderr.contains("secret-word"), "{}", ran.stdout);
        assert_eq!(setup.fingerprint().await, before, "{wrong}");
    }
    setup.set("APP_URL", &app);
    for wrong in [
        "postgres://postgres@/catalog?host=/nowhere/at/all&port=5432".to_owned(),
        catalog.replace("/catalog?", "/none?"),
    ] {
        setup.set("BKUP_CATALOG_URL", &wrong);
        for args in [&["apply", "--auto-approve"][..], &["plan"], &["list"], &["status"]] {
            let ran = setup.run(args).exits(1);
            assert!(ran.stderr.contains("BK80"), "{args:?}: {}", ran.stderr);
        }
    }
    setup.set("BKUP_CATALOG_URL", &catalog);
    assert_eq!(setup.fingerprint().await, before);
    assert_recovers(&setup).await;
}

/// Runs an apply through another program that begins it.
#[expect(clippy::disallowed_methods, reason = "tests run the binary under test")]
fn through(setup: &Setup, program: &str, args: &[&str]) -> Ran {
    let mut command = Command::new(program);
    let bkup = setup.command(&[]);
    command.env_clear().envs(&setup.env).current_dir(setup.path("")).args(args);
    command.arg(bkup.get_program()).args(["apply", "--auto-approve"]);
    ran(command.output().unwrap())
}

#[tokio::test]
async fn a_store_that_is_full_is_said_and_nothing_half_written_is_shown() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let before = setup.manifests().await;
    // No file may grow over 2 KiB: the same to a writer as a disk that is full.
    let ran = through(&setup, "sh", &["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "sh"]);
    assert!([1, 5].contains(&ran.code), "{}\n{}{}", ran.code, ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("full") && ran.stdout.contains("BK81"), "{}", ran.stdout);
    let after = setup.manifests().await;
    assert!(!after.iter().any(|key| key.contains("20260303") && !key.contains("/shared/")), "{after:#?}");
    assert_recovers(&setup).await;
    assert_eq!(setup.manifests().await.len(), before.len() + 3);
}

fn set_modes(folder: &Path, mode: u32) {
    for item in fs::read_dir(folder).unwrap().flatten() {
        if item.path().is_dir() {
            set_modes(&item.path(), mode);
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_said() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let before = setup.keys().await;
    set_modes(&setup.folder(), 0o555);
    // Root obeys modes like everybody else once it has lost the right to pass over them.
    let is_root = fs::metadata("/proc/self").is_ok_and(|facts| std::os::unix::fs::MetadataExt::uid(&facts) == 0);
    let ran = if is_root { through(&setup, "setpriv", &["--bounding-set=-dac_override", "--"]) } else { setup.apply() };
    set_modes(&setup.folder(), 0o755);
    assert!([1, 5].contains(&ran.code), "{}\n{}{}", ran.code, ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("ermission denied") && ran.stdout.contains("BK81"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(setup.keys().await, before);
    assert_recovers(&setup).await;
}

#[tokio::test]
async fn a_catalog_that_goes_away_meanwhile_stops_the_work_and_nothing_is_lost() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let child = setup.spawn(&["apply", "--auto-approve"]);
    let _ = dump_of(&child);
    setup.cluster.exec("postgres", "ALTER DATABASE catalog ALLOW_CONNECTIONS false").await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'catalog'";
    setup.cluster.exec("postgres", kill).await;
    lock.release().await;
    let ran = ran(child.wait_with_output().unwrap());
    assert!([1, 5].contains(&ran.code), "{}\n{}{}", ran.code, ran.stdout, ran.stderr);
    setup.cluster.exec("postgres", "ALTER DATABASE catalog ALLOW_CONNECTIONS true").await;
    setup.end_leases().await;
    assert_recovers(&setup).await;
}
