//! Whole applies that something happens to: kills, signals, two at once, stores and servers that go away. Whatever it
//! was, the next apply ends where an undisturbed one would have.

mod outside;
pub mod proxy;

use std::collections::BTreeSet;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::world::cluster::Major;
use crate::world::s3::S3Server;
use crate::world::setup::{Place, Policy, Setup, ran};

/// Returns the processes below a process, with their command lines.
pub fn descendants(root: u32) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    let mut parents = BTreeSet::from([root]);
    loop {
        let before = found.len();
        for item in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = item.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let Ok(stat) = std::fs::read_to_string(item.path().join("stat")) else { continue };
            let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
            let parent = fields.get(1).and_then(|parent| parent.parse::<u32>().ok());
            if fields.first() != Some(&"Z") && parent.is_some_and(|p| parents.contains(&p)) && parents.insert(pid) {
                let line = std::fs::read(item.path().join("cmdline")).unwrap_or_default();
                found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Waits until something is there.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn signal(pid: u32, name: &str) {
    let _ended_already = assert_cmd::Command::new("kill").args([format!("-{name}"), pid.to_string()]).output();
}

/// Returns the dump of acme that runs below a process, alone or with others: what is asked for names either those that
/// are wanted, or, with what they share, those that are not.
fn dump_of_acme(root: u32) -> Option<u32> {
    let is_its = |line: &str| {
        let without = line.contains("--exclude-schema=\"tenant_acme\"");
        let others = line.contains("--schema=") && !line.contains("tenant_acme");
        line.contains("pg_dump") && line.contains("--snapshot=") && !without && !others
    };
    descendants(root).into_iter().find(|(_, line)| is_its(line)).map(|(pid, _)| pid)
}

/// Waits until the dump of acme runs below a process, and returns its process.
#[track_caller]
pub fn dump_of(child: &Child) -> u32 {
    wait_for("the dump", || dump_of_acme(child.id()))
}

/// Leaves only the backups of tenants: a dump of the whole database would wait for a tenant's lock, too.
pub fn only_tenants(setup: &Setup) {
    let mut policy = Policy::default();
    policy.schedules = policy.schedules.lines().nth(1).unwrap().to_owned() + "\n";
    setup.policy(&policy);
}

/// Adds a schedule like the one of tenants, with slots at another time, to policies of [`only_tenants`].
pub fn with_twin(policies: &str, name: &str, time: &str) -> String {
    let tenants = policies.lines().find(|line| line.trim_start().starts_with("tenants: { databases")).unwrap();
    let twin = tenants.replace("tenants: {", &format!("{name}: {{")).replace("03:00", time);
    policies.replace(tenants, &format!("{tenants}\n{twin}"))
}

/// A session that holds a table of a tenant, so that its dump waits.
pub struct Lock(sqlx::PgConnection);

impl Lock {
    pub async fn take(setup: &Setup, table: &str) -> Self {
        use sqlx::Executor;
        let mut session = setup.cluster.connection("app").connect().await.unwrap();
        let sql = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        session.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
        Self(session)
    }

    pub async fn release(self) {
        use sqlx::Connection;
        self.0.close().await.unwrap();
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "a round that failed is found again by its numbers")]
async fn an_apply_that_is_killed_anywhere_is_finished_by_the_next() {
    let mut random: u64 = 0x5eed_0bac;
    println!("seed {random:#x}");
    let mut setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme", "globex"]).await;
    // The first round is killed while the catalog is made.
    setup.now("2026-03-02T10:00:00Z");
    let begun = setup.s3().requests().len();
    let _ = setup.run(&["apply", "--auto-approve", "--init-simulated"]).success();
    let usual = setup.s3().requests().len() - begun;
    for day in 3..=14 {
        setup.now(&format!("2026-03-{day:02}T03:10:00Z"));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let after = usize::try_from(random >> 33).unwrap() % usual + 1;
        println!("day {day}: killed after {after} of about {usual} requests");
        let begun = setup.s3().requests().len();
        let mut child = setup.spawn(&["apply", "--auto-approve"]);
        let ended = wait_for("requests", || {
            let ended = child.try_wait().unwrap();
            (ended.is_some() || setup.s3().requests().len() >= begun + after).then_some(ended)
        });
        let programs = descendants(child.id());
        child.kill().unwrap();
        let _ = child.wait().unwrap();
        if ended.is_some() {
            println!("  it was done before");
        }
        wait_for("programs to end", || {
            programs.iter().all(|(pid, _)| !std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
        });
        setup.end_leases().await;
        let again = setup.apply();
        assert_eq!(again.code, 0, "{}{}", again.stdout, again.stderr);
        // What the killed one left is collected at the latest by the apply after.
        let _ = setup.apply().exits(0);
        setup.assert_whole().await;
        let done = format!(
            "SELECT count(DISTINCT scope) FROM bkup.executions WHERE status = 'COMPLETED' AND slot::date = '2026-03-{day:02}'"
        );
        assert_eq!(setup.catalog(&done).await, "4", "day {day}");
    }
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_first_apply_that_is_killed_is_finished_by_the_next() {
    for after in [1, 3, 6] {
        let mut setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme"]).await;
        setup.now("2026-03-02T10:00:00Z");
        let mut child = setup.spawn(&["apply", "--auto-approve", "--init-simulated"]);
        wait_for("requests", || (setup.s3().requests().len() >= after).then_some(()));
        child.kill().unwrap();
        let _ = child.wait().unwrap();
        if !setup.catalog("to_regclass('bkup.claims')").await.is_empty() {
            setup.end_leases().await;
        }
        let _ = setup.run(&["apply", "--auto-approve", "--init-simulated"]).exits(0);
        let _ = setup.apply().exits(0);
        setup.assert_whole().await;
        setup.assert_converges().await;
    }
}

#[tokio::test]
async fn any_number_of_applies_at_once_take_each_backup_once() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex", "initech", "umbrella"]).await;
    let _ = setup.first();
    // Each planned by itself, or all of them share a saved plan.
    let nights = [2, 3, 5].into_iter().flat_map(|runners| [(runners, false), (runners, true)]);
    for (day, (runners, saved)) in (3..).zip(nights) {
        setup.now(&format!("2026-03-{day:02}T03:10:00Z"));
        let mut args = vec!["apply", "--auto-approve"];
        if saved {
            let _ = setup.run(&["plan", "--out", "plan.json"]).success();
            args = vec!["apply", "plan.json"];
        }
        let children: Vec<Child> = (0..runners).map(|_| setup.spawn(&args)).collect();
        for child in children {
            let ran = ran(child.wait_with_output().unwrap());
            assert!([0, 7].contains(&ran.code), "{runners}: {}\n{}{}", ran.code, ran.stdout, ran.stderr);
        }
        setup.assert_whole().await;
        let night = format!(
            "SELECT count(*) || ' ' || count(DISTINCT scope) FROM bkup.executions \
             WHERE status = 'COMPLETED' AND slot::date = '2026-03-{day:02}'"
        );
        assert_eq!(setup.catalog(&night).await, "6 6", "{runners} runners, a shared plan: {saved}");
        let manifests = setup.manifests().await;
        let tonight = manifests.iter().filter(|key| key.contains(&format!("/202603{day:02}T"))).count();
        assert_eq!(tonight, 6, "{manifests:#?}");
        let took = setup.catalog("SELECT max(attempt) FROM bkup.executions WHERE status <> 'COMPLETED'").await;
        assert_eq!(took, "", "nobody began what another had");
        setup.assert_converges().await;
    }
}

#[tokio::test]
async fn two_first_applies_at_once_make_one_catalog() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    let children: Vec<Child> = (0..2).map(|_| setup.spawn(&["apply", "--auto-approve"])).collect();
    let codes: Vec<_> = children.into_iter().map(|child| ran(child.wait_with_output().unwrap())).collect();
    assert!(codes.iter().any(|ran| ran.code == 0), "{codes:#?}");
    // The slower one may find the catalog made by another plan, and says so.
    assert!(codes.iter().all(|ran| [0, 6, 7].contains(&ran.code)), "{codes:#?}");
    let _ = setup.apply().success();
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn a_dump_that_dies_fails_alone_and_is_taken_by_the_next_apply() {
    let mut setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme", "globex"]).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let mut child = setup.spawn(&["apply", "--auto-approve"]);
    // It is tried again, and dies again.
    while child.try_wait().unwrap().is_none() {
        if let Some(pid) = dump_of_acme(child.id()) {
            // It has come as far as the lock.
            std::thread::sleep(Duration::from_millis(100));
            signal(pid, "KILL");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let ran = ran(child.wait_with_output().unwrap()).exits(5);
    assert!(ran.stdout.contains("acme") && ran.stdout.contains("BK84"), "{}", ran.stdout);
    lock.release().await;
    let there = |keys: &[String], what: &str| keys.iter().filter(|key| key.contains(what)).count();
    let manifests = setup.manifests().await;
    assert_eq!((there(&manifests, "=acme"), there(&manifests, "=globex")), (1, 2), "{manifests:#?}");
    let _ = setup.apply().success();
    let _ = setup.apply().success();
    setup.assert_whole().await;
    setup.assert_converges().await;
    assert_eq!(there(&setup.manifests().await, "=acme"), 2);
}

#[tokio::test]
async fn what_a_frozen_runner_writes_after_its_leftovers_were_collected_is_collected_too() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    only_tenants(&setup);
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let mut child = setup.spawn(&["apply", "--auto-approve"]);
    let _ = dump_of(&child);
    signal(child.id(), "KILL");
    let _ = child.wait().unwrap();
    lock.release().await;
    setup.end_leases().await;
    let _ = setup.apply().success();
    let of = "FROM bkup.executions WHERE collected_at IS NOT NULL AND scope = 'tenant=acme'";
    let dead = setup.catalog(&format!("(SELECT backup_id || '/a-' || attempt {of})")).await;
    for top in ["backups", "keys"] {
        let folder = setup.folder().join(format!("{top}/app/tenant=acme/{dead}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("archive.dump.zst.age"), "late").unwrap();
    }

    let plan = setup.run(&["plan", "--detailed-exitcode", "--include-due"]).exits(2);
    assert!(plan.stdout.contains("collect"), "{}", plan.stdout);
    let _ = setup.apply().success();

    setup.assert_whole().await;
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_terminated_apply_ends_at_once_and_leaves_nothing_running() {
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let mut setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme", "globex"]).await;
        only_tenants(&setup);
        let _ = setup.first();
        setup.now("2026-03-03T03:10:00Z");
        let lock = Lock::take(&setup, "tenant_acme.orders").await;
        let child = setup.spawn(&["apply", "--auto-approve", "--report", "report.json"]);
        let dump = dump_of(&child);
        let programs = descendants(child.id());
        let begun = Instant::now();
        signal(child.id(), name);
        let ran = ran(child.wait_with_output().unwrap());
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}: {:?}", begun.elapsed());
        assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
        assert!(programs.iter().any(|(pid, _)| *pid == dump));
        for (pid, line) in programs {
            let alive = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|now| !now.is_empty());
            assert!(!alive, "{line} still runs");
        }
        let leases = "SELECT count(*) FROM bkup.claims WHERE lease_until IS NOT NULL";
        assert_eq!(setup.catalog(leases).await, "0", "leases are given back");
        assert_eq!(setup.s3().unfinished(), 0, "uploads are aborted");
        let report: serde_json::Value = serde_json::from_str(&setup.read("report.json")).unwrap();
        assert!(report["interrupted"].is_string(), "{report}");
        lock.release().await;
        let _ = setup.apply().success();
        let _ = setup.apply().success();
        setup.assert_whole().await;
        setup.assert_converges().await;
    }
}
