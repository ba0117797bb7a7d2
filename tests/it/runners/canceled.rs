//! Backups and runs that somebody cancels.

use std::time::{Duration, Instant};

use super::{backups, report};
use crate::faults::{Lock, dump_of, only_tenants, with_twin};
use crate::world::cluster::Major;
use crate::world::s3::S3Server;
use crate::world::setup::{Place, Setup, ran};

const ACME: &str = "SELECT backup_id FROM bkup.executions WHERE scope = 'tenant=acme' AND slot::date = '2026-03-03'";

#[tokio::test]
async fn a_canceled_backup_stops_at_once_and_its_slot_is_not_taken_again() {
    let mut setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme", "globex"]).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    setup.set("USER", "ann");
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let child = setup.spawn(&["apply", "--auto-approve", "--report", "report.json"]);
    let _ = dump_of(&child);
    let backup = setup.catalog(ACME).await;
    let said = setup.run(&["cancel", &backup, "--reason", "migration"]).exits(0).stdout;
    assert!(said.contains(&backup) && said.contains("not taken again"), "{said}");
    let begun = Instant::now();
    let ended = ran(child.wait_with_output().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(ended.code, 5, "{}{}", ended.stdout, ended.stderr);
    let outcome = backups(&report(&setup)).into_iter().find(|(scope, _)| scope == "tenant=acme").unwrap().1;
    assert_eq!(outcome["failed"]["code"], "BK910", "{outcome}");
    assert!(outcome["failed"]["error"].as_str().unwrap().contains("canceled by ann: migration"), "{outcome}");
    assert_eq!(setup.s3().unfinished(), 0, "the upload is aborted");
    lock.release().await;

    // It is so already; and it is told in plans, and not taken again.
    let _ = setup.run(&["cancel", &backup]).exits(0);
    let plan = setup.run(&["plan"]).exits(0).stdout;
    assert!(plan.contains("canceled by ann: migration") && plan.contains("bkup backup tenants"), "{plan}");
    let _ = setup.apply().exits(0);
    let _ = setup.apply().exits(0);
    let taken = format!("SELECT count(*) FROM bkup.executions WHERE backup_id = '{backup}' AND status = 'COMPLETED'");
    assert_eq!(setup.catalog(&taken).await, "0");
    setup.assert_whole().await;
    setup.assert_converges().await;
    let log = setup.run(&["logs", &backup]).exits(0).stdout;
    assert!(log.contains("attempt 1 canceled") && log.contains("backup canceled by ann"), "{log}");

    // The next slot is taken as usual; what is done cannot be canceled.
    setup.now("2026-03-04T03:10:00Z");
    let _ = setup.apply().exits(0);
    setup.assert_converges().await;
    let next = setup.catalog(&ACME.replace("03-03'", "03-04' AND status = 'COMPLETED'")).await;
    assert!(!next.is_empty());
    let _ = setup.run(&["cancel", &next]).exits(1).says("BK912");
    let _ = setup.run(&["cancel", "2026"]).exits(1).says("BK911");
    setup.assert_whole().await;
}

#[tokio::test]
async fn a_canceled_run_begins_nothing_more() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex", "initech"]).await;
    only_tenants(&setup);
    // The second schedule waits for the first: one program at once.
    let policies = setup.read("bkup.yaml").replace("max_parallel_jobs: 2", "max_parallel_jobs: 1");
    std::fs::write(setup.path("bkup.yaml"), with_twin(&policies, "zulu", "03:00")).unwrap();
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let child = setup.spawn(&["apply", "--auto-approve", "--report", "report.json"]);
    let _ = dump_of(&child);
    let run = setup.catalog("SELECT run FROM bkup.runs WHERE ended_at IS NULL").await;
    let said = setup.run(&["--format", "json", "cancel", &run, "--reason", "wrong night"]).exits(0).json();
    assert_eq!(
        (said["run"].as_str(), said["canceled"].as_array().map(Vec::len)),
        (Some(run.as_str()), Some(4)),
        "of one dump"
    );
    let begun = Instant::now();
    let ended = ran(child.wait_with_output().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!([1, 5].contains(&ended.code), "{}{}", ended.stdout, ended.stderr);
    let told = report(&setup);
    assert!(told["interrupted"].as_str().unwrap().contains("wrong night"), "{told:#}");
    let leases = "SELECT count(*) FROM bkup.claims WHERE lease_until IS NOT NULL";
    assert_eq!(setup.catalog(leases).await, "0");
    let _ = setup.run(&["cancel", &run]).exits(1).says("has ended");
    lock.release().await;
    // What it had not begun stays due; what it was at was canceled.
    let _ = setup.apply().exits(0);
    let _ = setup.apply().exits(0);
    let taken = "SELECT string_agg(schedule || ' ' || scope, ', ' ORDER BY scope) FROM bkup.executions \
                 WHERE slot::date = '2026-03-03' AND status = 'COMPLETED'";
    let zulu = "zulu shared, zulu tenant=acme, zulu tenant=globex, zulu tenant=initech";
    assert_eq!(setup.catalog(taken).await, zulu);
    setup.assert_converges().await;
    setup.assert_whole().await;
}
