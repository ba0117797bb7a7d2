//! The catalog in memory that simulations use keeps the promises of the real one: the same things done to both give the
//! same answers and the same state, in scenes by hand and in long random ones.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bkup::catalog::{
    CatalogError, ClaimOutcome, Completed, DocumentChange, Failure, Intent, LEASE, Lease, Ledger, Reading, ReadingEnd,
    ReadingKind, StoreRecord, ToComplete, Validation, Writer,
};
use bkup::domain::{
    ActionId, Address, BackupWork, Between, CatalogFacts, DocumentOp, DrillWork, Evidence, Instant, Manifest, Period,
    PruneWork, Scope, Section, Tenant, TenantWork, Verification, digest_of,
};

use jiff::SignedDuration;

use super::build::{action, at, facts, manifest, name, other_action, prune, run, work};
use super::chain::event;
use super::scratch::{Guard, database};
use crate::sim::ledger::Memory;
use crate::sim::random::Random;

const SLOTS: [&str; 2] = ["2026-03-01T02:00:00Z", "2026-03-02T02:00:00Z"];

/// Both catalogs, side by side.
struct Both {
    guard: Guard,
    real: Writer,
    memory: Arc<Memory>,
    passed: Arc<AtomicI64>,
    readings: Mutex<Vec<(Reading, Reading)>>,
}

impl Both {
    async fn new() -> Self {
        let (guard, url) = database().await;
        let real = Writer::open(&url).unwrap();
        let passed = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&passed);
        let now = move || Period::seconds(clock.load(Ordering::Relaxed)).after(at("2026-03-03T00:00:00Z"));
        let memory = Arc::new(Memory::new(Arc::new(now)));
        let both = Self { guard, real, memory, passed, readings: Mutex::default() };
        both.ask("create", async |ledger| ledger.create("lineage", None).await.map(|made| made.from_version)).await;
        both
    }

    /// Does the same to both, and compares what they say.
    async fn ask<T: std::fmt::Debug>(
        &self,
        what: &str,
        question: impl AsyncFn(&dyn Ledger) -> Result<T, CatalogError>,
    ) -> Option<T> {
        let (real, memory) = (question(&self.real).await, question(self.memory.as_ref()).await);
        assert_eq!(said(&memory), said(&real), "{what}: memory and PostgreSQL differ");
        real.ok()
    }

    /// Every lease ends, and what was abandoned is old enough to be collected.
    async fn leases_end(&self) {
        self.passed.fetch_add(3600, Ordering::Relaxed);
        for statement in [
            "UPDATE bkup.claims SET lease_until = lease_until - interval '1 hour'",
            "UPDATE bkup.executions SET lease_until = lease_until - interval '1 hour' WHERE status = 'RUNNING'",
            "UPDATE bkup.restores SET lease_until = lease_until - interval '1 hour'",
        ] {
            self.guard.admin(statement).await;
        }
    }

    async fn agree(&self, what: &str) {
        let (real, memory) = (told(facts(&self.real).await), told(facts(self.memory.as_ref()).await));
        assert_eq!(memory, real, "after {what}: memory and PostgreSQL hold different things");
    }
}

/// An answer as far as both can give it: leases end by different clocks, and words of errors are each one's own.
fn said<T: std::fmt::Debug>(answer: &Result<T, CatalogError>) -> String {
    match answer {
        Ok(value) => {
            let text = format!("{value:?}");
            match text.split_once(", until:") {
                Some((begin, _)) => begin.to_owned(),
                None => text,
            }
        }
        Err(error) => {
            let text = format!("{error:?}");
            text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
        }
    }
}

/// What both must hold alike.
fn told(mut facts: CatalogFacts) -> CatalogFacts {
    for garbage in &mut facts.garbage {
        garbage.abandoned_at = at(SLOTS[0]);
    }
    for backup in &mut facts.backups {
        backup.quarantine = backup.quarantine.as_ref().map(|_| "quarantined".to_owned());
    }
    facts
}

/// One thing that is done to both.
struct Scene<'a> {
    both: &'a Both,
    random: Random,
    leases: Vec<Lease>,
}

impl Scene<'_> {
    fn work(&mut self) -> BackupWork {
        let scope = if self.random.chance(500) { Scope::Database } else { Scope::Tenant("a".to_owned()) };
        work(scope, at(SLOTS[self.random.below(2) as usize]))
    }

    fn lease(&mut self) -> Lease {
        let fresh = Lease { action: other_action("nobody", "1"), token: 1 };
        if self.leases.is_empty() { fresh } else { self.random.pick(&self.leases).clone() }
    }

    fn lease_of(&mut self, work: &BackupWork) -> Lease {
        let own = action(&work.scope, work.slot);
        let mine: Vec<Lease> = self.leases.iter().filter(|lease| lease.action == own).cloned().collect();
        if mine.is_empty() || self.random.chance(100) { self.lease() } else { mine[mine.len() - 1].clone() }
    }

    fn prune(&mut self, work: &BackupWork) -> PruneWork {
        let after = if self.random.chance(300) { Some(at("2026-04-01T00:00:00Z")) } else { None };
        let mark = self.random.below(3) as u32;
        // Both slots' backups are of the same instant: none of the ends, one before it, one after it, or both.
        let of = at("2026-03-01T02:00:05.123456Z");
        let end = |random: &mut Random| *random.pick(&[None, Some(of), Some(of + SignedDuration::from_micros(1))]);
        let newest = if self.random.chance(700) {
            Between::default()
        } else {
            Between { from: end(&mut self.random), until: end(&mut self.random) }
        };
        PruneWork { min_keep: self.random.below(2) as u32, newest, ..prune(work, mark, after) }
    }

    async fn step(&mut self) -> String {
        let both = self.both;
        let now = at("2026-03-03T01:00:00Z");
        let work = self.work();
        let (lease, own) = (self.lease(), self.lease_of(&work));
        let backup = &work.backup;
        let what = self.random.below(28);
        let words = format!("step {what} with {own:?} and {lease:?} on {backup}");
        match what {
            0..=4 => {
                let wanted: ActionId =
                    if what < 3 { action(&work.scope, work.slot) } else { other_action("other", &what.to_string()) };
                let runner = if self.random.chance(700) { "r" } else { "s" };
                let got = both.ask(&words, async |l| l.claim(wanted, runner, LEASE).await).await;
                if let Some(ClaimOutcome::Claimed(lease)) = got {
                    self.leases.push(lease);
                }
            }
            5 => drop(both.ask(&words, async |l| l.release(&lease).await).await),
            6 => drop(both.ask(&words, async |l| l.heartbeat(&[lease.clone(), own.clone()], LEASE).await).await),
            7..=9 => {
                let run = run();
                let intent = Intent { work: &work, run: &run, started_at: now };
                both.ask(&words, async |l| l.intend_backup(&own, &intent).await).await;
            }
            10 | 11 => {
                let attempt = if self.random.chance(200) { 1 } else { own.token };
                let manifest = manifest(&work, attempt);
                let store = name("primary");
                let verified = self.random.chance(500).then_some((Verification::Checksum, now));
                let done = Completed { manifest: &manifest, manifest_key: "m", store: &store, verified };
                both.ask(&words, async |l| l.complete_backup(&own, &done, now).await).await;
            }
            12 => {
                let failure = Failure { lease: own.clone(), backup: backup.clone(), error: "no".to_owned() };
                both.ask(&words, async |l| l.fail_backups(std::slice::from_ref(&failure), now).await).await;
            }
            13 => drop(both.ask(&words, async |l| l.condemn(&lease, backup, own.token, now).await).await),
            14 => drop(both.ask(&words, async |l| l.collected(&lease, backup, own.token, now).await).await),
            15 => {
                let work = self.prune(&work);
                both.ask(&words, async |l| l.tombstone(&lease, &work, now).await).await;
            }
            16 => {
                let work = self.prune(&work);
                both.ask(&words, async |l| l.intend_purge(&lease, &work, now).await).await;
            }
            17 => drop(both.ask(&words, async |l| l.purged(&lease, backup, now).await).await),
            18 => match self.random.below(4) {
                0 => drop(both.ask(&words, async |l| l.undelete(backup, None).await).await),
                1 => drop(both.ask(&words, async |l| l.quarantine(backup, "bad", now).await).await),
                passed => {
                    let store = name("primary");
                    let depth = Verification::Exists;
                    let (detail, run) = (None, None);
                    let passed = passed > 2;
                    let look = Validation { backup, store: &store, depth, passed, detail, bytes_read: 1, run, at: now };
                    both.ask(&words, async |l| l.validated(&look).await).await;
                }
            },
            19 => {
                let name = name("nightly");
                let slots = [work.slot];
                both.ask(&words, async |l| l.settle(&lease, &name, work.database.as_ref(), &slots, 1, now).await).await;
            }
            20 => self.read(&work).await,
            21 => {
                let attempt = self.random.below(3);
                let evidence = evidence(&work, attempt, now);
                let drill = drill(attempt);
                both.ask(&words, async |l| l.record_drill(&lease, &drill, &evidence, &run()).await).await;
            }
            22 => self.document(&lease).await,
            23 | 24 => self.tenant(&lease).await,
            25 | 26 => self.several().await,
            _ => both.leases_end().await,
        }
        words
    }

    /// Several attempts begin, or are completed, at once: as if they did one after the other.
    async fn several(&mut self) {
        let both = self.both;
        let now = at("2026-03-03T01:00:00Z");
        let works: Vec<BackupWork> = (0..3).map(|_| self.work()).collect();
        let leases: Vec<Lease> = works.iter().map(|work| self.lease_of(work)).collect();
        let told = |answers: Vec<String>| Ok::<_, CatalogError>(answers);
        if self.random.chance(500) {
            let run = run();
            let intents: Vec<Intent<'_>> =
                works.iter().map(|work| Intent { work, run: &run, started_at: now }).collect();
            let pairs: Vec<(&Lease, &Intent<'_>)> = leases.iter().zip(&intents).collect();
            let ask = async |l: &dyn Ledger| told(l.intend_backups(&pairs).await?.iter().map(said).collect());
            both.ask("several begin", ask).await;
        } else {
            let manifests: Vec<Manifest> = works
                .iter()
                .zip(&leases)
                .map(|(work, lease)| manifest(work, if self.random.chance(200) { 1 } else { lease.token }))
                .collect();
            let store = name("primary");
            let all: Vec<ToComplete<'_>> = manifests
                .iter()
                .zip(&leases)
                .map(|(manifest, lease)| ToComplete {
                    lease,
                    done: Completed {
                        manifest,
                        manifest_key: "m",
                        store: &store,
                        verified: self.random.chance(500).then_some((Verification::Checksum, now)),
                    },
                    told: event(&manifest.backup_id),
                    at: now,
                })
                .collect();
            let ask = async |l: &dyn Ledger| told(l.complete_backups(&all).await?.iter().map(said).collect());
            both.ask("several are completed", ask).await;
        }
        if self.random.chance(300) {
            both.ask("several are given back", async |l| l.release_many(&leases).await).await;
        }
    }

    async fn read(&mut self, work: &BackupWork) {
        let both = self.both;
        let open = both.readings.lock().unwrap().pop();
        let now = at("2026-03-03T01:00:00Z");
        match open {
            None => {
                let ids = [work.backup.clone()];
                let begin =
                    async |l: &dyn Ledger| l.begin_reading(ReadingKind::Drill, &ids, "scratch", "r", LEASE, now).await;
                match (begin(&both.real).await, begin(both.memory.as_ref()).await) {
                    (Ok(real), Ok(memory)) => both.readings.lock().unwrap().push((real, memory)),
                    (real, memory) => {
                        assert_eq!(said(&memory.map(|_| ())), said(&real.map(|_| ())), "beginning to read {ids:?}");
                    }
                }
            }
            Some((real, memory)) => {
                let kept = (both.real.keep_reading(&real, LEASE).await, both.memory.keep_reading(&memory, LEASE).await);
                assert_eq!(kept.1.unwrap(), kept.0.unwrap(), "keeping a reading");
                if self.random.chance(500) {
                    let end = ReadingEnd::Completed { bytes_fetched: 1 };
                    both.real.end_reading(&real, &end, now).await.unwrap();
                    both.memory.end_reading(&memory, &end, now).await.unwrap();
                } else {
                    both.readings.lock().unwrap().push((real, memory));
                }
            }
        }
    }

    async fn tenant(&mut self, lease: &Lease) {
        let both = self.both;
        let days = ["2026-03-01T00:00:00Z", "2026-03-02T00:00:00.000001Z", "2026-03-03T00:00:00.9999999Z"];
        let mut day = || at(days[self.random.below(3) as usize]);
        let (seen, now) = (day(), day());
        let slug = if self.random.chance(500) { "a" } else { "B'\"\n%" };
        let schema = if self.random.chance(500) { "one" } else { "two" };
        let database = name("app");
        let tenant = Tenant { slug: slug.to_owned(), schema: schema.to_owned(), id: None };
        let work = TenantWork {
            database: database.clone(),
            slug: slug.to_owned(),
            schema: schema.to_owned(),
            last_seen_at: seen,
            offboarded_at: None,
            backups: 0,
        };
        match self.random.below(3) {
            0 => {
                both.ask("seen", async |l| l.tenants_seen(&database, &[(tenant.clone(), None)], now).await).await;
            }
            1 => drop(both.ask("gone", async |l| l.offboard(lease, &work, now).await).await),
            _ => drop(both.ask("back", async |l| l.onboard(lease, &work, now).await).await),
        }
    }

    async fn document(&mut self, lease: &Lease) {
        let both = self.both;
        let now = at("2026-03-03T01:00:00Z");
        let (address, run) = (Address::once(Section::Guards), run());
        let body = serde_json::json!({ "min_keep": self.random.below(2) });
        let expected = match self.random.below(3) {
            0 => None,
            n => Some(digest_of(&serde_json::json!({ "min_keep": n - 1 }))),
        };
        let op = if self.random.chance(200) { DocumentOp::Archive } else { DocumentOp::Update };
        let change = DocumentChange {
            address: &address,
            op,
            body: Some(&body).filter(|_| op == DocumentOp::Update),
            location: None,
            commit: None,
            by: "me",
            run: &run,
            at: now,
        };
        both.ask("a document", async |l| l.apply_document_if(lease, &change, expected).await).await;
        let record = StoreRecord {
            store: name("primary"),
            url: "memory://".to_owned(),
            store_id: format!("store-{}", 1 + self.random.below(2)),
            capabilities: serde_json::json!({}),
            probed_at: now,
        };
        both.ask("a store", async |l| l.store_learnt(lease, &record).await).await;
    }
}

#[tokio::test]
async fn a_tenant_goes_once_and_comes_back_in_both() {
    let both = Both::new().await;
    let mut scene = Scene { both: &both, random: Random::new(7), leases: Vec::new() };
    let wanted = other_action("offboard", "1");
    let got = both.ask("a claim", async |l| l.claim(wanted, "r", LEASE).await).await;
    let Some(ClaimOutcome::Claimed(lease)) = got else { panic!("not claimed: {got:?}") };
    let mut went = false;
    for step in 0..40 {
        scene.tenant(&lease).await;
        both.agree(&format!("step {step}")).await;
        went |= facts(&both.real).await.tenants.iter().any(|record| record.offboarded_at.is_some());
    }
    assert!(went, "nobody went in 40 steps");
}

fn drill(attempt: u64) -> DrillWork {
    DrillWork {
        plan: name("back"),
        plan_digest: digest_of(&"plan"),
        drill: format!("back-{attempt}"),
        backups: Vec::new(),
        attempt,
        checks: Vec::new(),
        rpo: None,
        rto: None,
    }
}

fn evidence(work: &BackupWork, attempt: u64, now: Instant) -> Evidence {
    Evidence {
        format_version: "1.0".to_owned(),
        drill_id: format!("back-{attempt}"),
        plan: "back".to_owned(),
        plan_digest: digest_of(&"plan").to_string(),
        drill_timestamp: now.to_string(),
        status: if attempt == 1 { "failed" } else { "passed" }.to_owned(),
        backups: vec![work.backup.to_string()],
        backup_age_minutes: 7,
        restore_duration_minutes: 1,
        restore_duration_ms: 1500,
        rpo_compliant: None,
        rto_compliant: None,
        rpo_minutes: None,
        rto_minutes: None,
        tenants: Vec::new(),
        phases: Vec::new(),
        checks: Vec::new(),
        left_out: Vec::new(),
        bytes_fetched: 1,
        server_version: "17.11".to_owned(),
        tool_version: "0.1.0".to_owned(),
        failure: None,
        previous: None,
        simulated: false,
    }
}

#[tokio::test]
async fn whatever_is_done_to_both_they_say_and_hold_the_same() {
    for seed in 0..12 {
        let both = Both::new().await;
        let mut scene = Scene { both: &both, random: Random::new(seed), leases: Vec::new() };
        let mut history = Vec::new();
        for _ in 0..150 {
            history.push(scene.step().await);
            both.agree(&format!("seed {seed}: {}", history.last().unwrap())).await;
        }
        let facts = facts(&both.real).await;
        assert!(!facts.backups.is_empty() || seed > 0, "a scene in which nothing is completed shows little");
    }
}
