//! However a run ends, its report is there and says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bkup::apply::{Looking, Runtime, StoreHandle, apply};
use bkup::backup::Servers;
use bkup::catalog::{Reader, Writer};
use bkup::domain::{CameSince, Outcome, Plan, RunId};
use bkup::engine::{Connection, Search};
use bkup::restore::Workshop;
use bkup::store::StoreConnection;

use super::{assert_failure, report, retention};
use crate::faults::{Lock, descendants, dump_of, only_tenants, signal};
use crate::world::cluster::Major;
use crate::world::s3::{HttpFault, S3Server};
use crate::world::setup::{BEGIN, Place, Setup, ran};

#[tokio::test]
async fn a_run_that_does_not_begin_leaves_a_report_with_the_reason() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let apply = ["apply", "--auto-approve", "--report", "report.json"];
    let _ = setup.first();
    setup.policy(&retention(4));
    let _ = setup.run(&["plan", "--out", "four.json"]).exits(0);
    setup.policy(&retention(5));
    let _ = setup.apply().exits(0);
    assert_failure(&setup, &setup.run(&["apply", "four.json", "--report", "report.json"]), 6, "BK881");
    assert_failure(&setup, &setup.run(&["apply", "--report", "report.json"]), 64, "BK895");
    std::fs::write(setup.path("bkup.yaml"), "version: 1\nschedules: { nightly: 7 }\n").unwrap();
    assert_failure(&setup, &setup.run(&apply), 3, "BK891");
    setup.policy(&retention(5));
    setup.set("BKUP_CATALOG_URL", "postgres://nobody@/none?host=/nowhere&port=5432");
    assert_failure(&setup, &setup.run(&apply), 1, "BK801");
    // An empty catalog beside a store that holds backups: a guard refuses before anything is done.
    let empty = setup.cluster.url("postgres");
    setup.set("BKUP_CATALOG_URL", &empty);
    let _ = setup.env.remove("BKUP_NOW");
    assert_failure(&setup, &setup.run(&apply), 4, "BK880");
}

#[tokio::test]
async fn the_stream_of_events_has_its_end_also_where_nothing_is_begun() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.policy(&retention(4));
    let _ = setup.run(&["plan", "--out", "four.json"]).exits(0);
    setup.policy(&retention(5));
    let _ = setup.apply().exits(0);
    let stale = setup.run(&["--format", "json", "apply", "four.json"]).exits(6);
    let last: serde_json::Value = serde_json::from_str(stale.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((last["event"].as_str(), last["report"]["failure"]["code"].as_str()), (Some("finished"), Some("BK881")));
}

#[tokio::test]
async fn a_store_that_cannot_keep_the_report_is_said_in_the_report() {
    let mut setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme"]).await;
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    setup.s3().inject("PUT", "runs/", 0, 100, HttpFault::Unavailable);
    let ran = setup.run(&["apply", "--auto-approve", "--report", "report.json"]).exits(0);
    assert!(ran.stdout.contains("The record of this run is not complete"), "{}", ran.stdout);
    let told = report(&setup);
    let unrecorded = told["unrecorded"].as_array().unwrap();
    assert!(
        unrecorded.len() == 1 && unrecorded[0].as_str().unwrap().starts_with("store.primary, runs/2026/03/"),
        "{told:#}"
    );
    let run = told["run"].as_str().unwrap();
    let kept = setup.run(&["--format", "json", "logs", run]).exits(0).json();
    assert_eq!(kept["report"]["unrecorded"], told["unrecorded"], "the catalog has it");
}

#[tokio::test]
async fn a_terminated_run_is_in_the_catalog_with_its_report() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let child = setup.spawn(&["apply", "--auto-approve", "--report", "report.json"]);
    let _ = dump_of(&child);
    let begun = Instant::now();
    signal(child.id(), "TERM");
    let ended = ran(child.wait_with_output().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(ended.code, 143, "{}{}", ended.stdout, ended.stderr);
    let told = report(&setup);
    let run = told["run"].as_str().unwrap();
    let kept = setup.run(&["--format", "json", "logs", run]).exits(0).json();
    assert_eq!(kept["report"]["interrupted"], "the run was told to stop");
    assert_eq!(kept["report"]["actions"], told["actions"]);
    lock.release().await;
    let _ = setup.apply().exits(0);
    let _ = setup.apply().exits(0);
    setup.assert_whole().await;
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_database_that_does_not_answer_holds_up_no_work_of_a_saved_plan() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    setup.cluster.exec("postgres", "CREATE DATABASE idle").await;
    let mut policy = crate::world::setup::Policy::default();
    policy.schedules.push_str(
        "  rare: { databases: [idle], backup: database, when: { frequency: monthly, days: [\"sun#1\"], time: \"02:30\" }, \
                        retention: short, store: primary }\n",
    );
    let text = setup.policy_text(&policy);
    let text = text.replacen("databases:\n", "databases:\n  idle: { url: \"${IDLE_URL}\" }\n", 1);
    std::fs::write(setup.path("bkup.yaml"), text).unwrap();
    setup.set("IDLE_URL", &setup.cluster.url("idle"));
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let _ = setup.run(&["plan", "--out", "plan.json"]).exits(0);
    let answers = setup.env["IDLE_URL"].clone();
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    setup.set("IDLE_URL", &format!("postgres://postgres@{}/idle?sslmode=disable", silent.local_addr().unwrap()));
    let begun = Instant::now();
    let mut child = setup.spawn(&["apply", "plan.json", "--report", "report.json"]);
    let open = "select bool_and(outcome is not null) from bkup.plan_actions join bkup.plans on digest = plan_digest
                where status = 'RUNNING'";
    while setup.catalog(open).await != "true" {
        assert!(begun.elapsed() < Duration::from_secs(25), "the work waits for the look at the databases");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(child.try_wait().unwrap().is_none(), "its report waits for the look at the databases");
    let told_at = Instant::now();
    signal(child.id(), "TERM");
    let ended = ran(child.wait_with_output().unwrap());
    assert!(told_at.elapsed() < Duration::from_secs(5), "{:?}", told_at.elapsed());
    assert_eq!(ended.code, 143, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("What came since the plan was made is not all known"), "{}", ended.stdout);
    let told = report(&setup);
    assert_eq!(told["interrupted"], "the run was told to stop", "{told:#}");
    assert_eq!(told["since_unknown"], "the run was told to stop before it had been looked at");
    assert!(told["actions"].as_array().unwrap().iter().all(|a| a["outcome"].get("done").is_some()), "{told:#}");
    // Nobody waits for it for long.
    let begun = Instant::now();
    let again = setup.run(&["apply", "plan.json", "--report", "report.json"]).exits(0);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(again.stdout.contains("Already applied"), "{}", again.stdout);
    let told = report(&setup);
    let unknown = told["since_unknown"].as_str().unwrap_or_default();
    assert!(unknown.contains("database.idle: the database could not be read: "), "{told:#}");
    setup.set("IDLE_URL", &answers);
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_killed_run_shows_in_the_logs_as_dead_with_what_it_was_at() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let mut child = setup.spawn(&["apply", "--auto-approve"]);
    let _ = dump_of(&child);
    let working = setup.run(&["logs"]).exits(0).stdout;
    assert!(working.contains("at work"), "{working}");
    let programs = descendants(child.id());
    child.kill().unwrap();
    let _ = child.wait().unwrap();
    assert!(!programs.is_empty());
    setup.cluster.exec("catalog", "UPDATE bkup.runs SET seen_at = seen_at - interval '1 hour'").await;
    let list = setup.run(&["--format", "json", "logs"]).exits(0).json();
    assert_eq!(list["runs"][0]["state"], "dead", "{list:#}");
    let run = list["runs"][0]["run"].as_str().unwrap().to_owned();
    let text = setup.run(&["logs", &run]).exits(0).stdout;
    assert!(text.contains("it died") && text.contains("What it was at") && text.contains("tenant=acme"), "{text}");
    lock.release().await;
    setup.end_leases().await;
    let _ = setup.apply().exits(0);
    let _ = setup.apply().exits(0);
    setup.assert_whole().await;
}

#[tokio::test]
async fn silent_work_names_what_runs() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    setup.set("BKUP_HEARTBEAT", "1s");
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let child = setup.spawn(&["apply", "--auto-approve"]);
    let _ = dump_of(&child);
    std::thread::sleep(Duration::from_millis(3500));
    lock.release().await;
    let ran = ran(child.wait_with_output().unwrap()).exits(0);
    let alive: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("still at work: ")).collect();
    let named = |line: &&str| line.contains("back up app tenant=acme for tenants") && line.contains(" in ");
    assert!(alive.iter().any(named), "{}", ran.stderr);
}

/// The executor with adapters by hand: no argument of the binary brings it to a fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_bkups_own_leaves_a_report_and_no_lease() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    setup.now(BEGIN);
    let _ = setup.run(&["plan", "--out", "plan.json", "--init-simulated"]).exits(0);
    let plan: Plan = bkup::render::read_plan(&setup.read("plan.json")).unwrap();
    let catalog = Connection::parse(&setup.env["BKUP_CATALOG_URL"]).unwrap();
    let mut stores = BTreeMap::new();
    for (name, spec) in &plan.connections.stores {
        let store = bkup::store::open(StoreConnection::new(spec.clone())).await.unwrap();
        stores.insert(name.clone(), Ok(StoreHandle { store, spec: spec.clone(), identities: Vec::new() }));
    }
    let search = Search { pg_bin: Some(Major::V17.bin().into()), ..Search::default() };
    let drawn = Arc::new(AtomicU32::new(0));
    let begin = plan.as_of;
    let (events, heard) = std::sync::mpsc::channel();
    let runtime = Runtime {
        catalog: Arc::new(Writer::with(catalog.options())),
        stores,
        databases: BTreeMap::from([(
            "app".parse().unwrap(),
            Connection::parse(&setup.env["APP_URL"]).map_err(|e| e.to_string()),
        )]),
        exporter: Arc::new(Servers::new(search.clone())),
        stage: Arc::new(Workshop { search, folder: "/tmp".into() }),
        now: Arc::new(move || begin),
        simulated: Some(begin),
        random: Arc::new(move |bytes: &mut [u8]| {
            // The first draw makes the catalog; the second one is the store's.
            assert!(drawn.fetch_add(1, Ordering::Relaxed) == 0, "no more randomness");
            bytes.fill(7);
            Ok(())
        }),
        runner: "test".to_owned(),
        actor: "ann".to_owned(),
        commit: None,
        run: RunId::of(begin, 7),
        tool_version: "test".to_owned(),
        tenants: BTreeMap::new(),
        policy_texts: BTreeMap::new(),
        adopted: None,
        since: Looking::over(CameSince::default()),
        next_runs: Vec::new(),
        lock_timeout: Duration::from_secs(5),
        stop: tokio::sync::watch::Sender::new(false).subscribe(),
        events,
    };
    let report = apply(&runtime, &plan).await.unwrap();
    let failure = report.failure.as_ref().unwrap();
    assert_eq!(failure.code, "BK913");
    assert!(failure.message.contains("no more randomness"), "{}", failure.message);
    assert!(report.actions.iter().any(|a| matches!(a.outcome, Outcome::Done { .. })), "the catalog was made");
    assert!(report.actions.iter().any(|a| matches!(a.outcome, Outcome::NotReached)));
    drop(runtime);
    let last = heard.iter().last();
    assert!(matches!(last, Some(bkup::domain::Event::Finished { .. })), "{last:?}");
    let leases = "SELECT count(*) FROM bkup.claims WHERE lease_until IS NOT NULL";
    assert_eq!(setup.catalog(leases).await, "0");
    let kept = Reader::with(catalog.options()).run_log(report.run.as_str()).await.unwrap().unwrap();
    assert_eq!(kept.report.unwrap().failure, report.failure);
    let _ = setup.run(&["apply", "plan.json"]).exits(0);
    setup.assert_converges().await;
    setup.assert_whole().await;
}
