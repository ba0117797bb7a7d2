//! What must hold at every moment, whoever runs and whatever fails: looked at when a plan is made, when something is
//! deleted, and after every step. It asks the world itself, and never what the executor says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bkup::catalog::Lease;
use bkup::domain::{
    ActionKind, Address, Backup, BackupId, Bytes, CatalogState, Guards, Instant, Manifest, Name, Observation, Observed,
    Period, Plan, PruneWork, RetentionRule, Scope, Section, Verification, sha256,
};
use bkup::retention::{Floors, Point, decide};
use bkup::store::MemoryStore;

use super::ledger::{Memory, Tables};
use super::rows::Row;

/// How far clocks may be apart before nothing is done by them, both ways.
const TOLERANCE: Period = Period::minutes(10);

/// Looks, and remembers what is wrong.
pub struct Auditor {
    catalog: Arc<Memory>,
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    violations: Vec<String>,
    plans: BTreeMap<String, Arc<Plan>>,
    /// Backups whose objects the simulation damaged: they may be anything.
    damaged: BTreeSet<BackupId>,
    /// When each was tombstoned by the true clock, and the grace that was promised.
    graces: BTreeMap<BackupId, (Instant, Period)>,
    lineage: Option<String>,
    /// Schedules whose rule has changed: what it kept before is not known here.
    changed: BTreeSet<Name>,
    /// Keys that a store may have got after all, when nobody waited for them any longer.
    late: BTreeSet<String>,
    deletions: u64,
}

type Group<'a> = (&'a Name, Option<&'a Name>, &'a Scope);

fn group_of(row: &Row) -> Group<'_> {
    (&row.schedule, row.database.as_ref(), &row.scope)
}

impl Auditor {
    pub fn new(catalog: Arc<Memory>, now: Arc<dyn Fn() -> Instant + Send + Sync>) -> Arc<Self> {
        Arc::new(Self { catalog, now, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn violation(&self, words: impl Into<String>) {
        let words = format!("{}: {}", (self.now)(), words.into());
        self.state().violations.push(words);
    }

    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    pub fn damage(&self, backup: BackupId) {
        self.state().damaged.insert(backup);
    }

    /// Says that keys may come to be written so late that what they belong to is collected.
    pub fn late(&self, keys: Vec<String>) {
        self.state().late.extend(keys);
    }

    pub fn rule_changes(&self, schedule: &Name) {
        self.state().changed.insert(schedule.clone());
    }

    pub fn deletions(&self) -> u64 {
        self.state().deletions
    }

    /// Looks at a plan beside the world it was made of.
    pub fn planned(&self, runner: &str, observed: &Observed, plan: &Arc<Plan>) {
        match &observed.catalog {
            Observation::Unreachable(_) if !plan.actions.is_empty() => {
                self.violation("a catalog that nobody could read was acted on");
            }
            Observation::Known(CatalogState::Absent) if self.state().lineage.is_some() => {
                self.violation("the catalog is gone");
            }
            _ => {}
        }
        for action in &plan.actions {
            let place = match &action.kind {
                ActionKind::EnsureCatalog { from_version: None, .. } if self.state().lineage.is_some() => {
                    self.violation(format!("{runner} plans a first run"));
                    None
                }
                ActionKind::BackUp(work) => Some((&work.store, None)),
                ActionKind::Tombstone(work) | ActionKind::Purge(work) => Some((&work.store, Some(&work.backup))),
                ActionKind::CollectGarbage { store, .. } => Some((store, None)),
                _ => None,
            };
            let Some((store, backup)) = place else { continue };
            match observed.stores.get(store) {
                Some(Observation::Known(facts)) => {
                    let tombstone = matches!(action.kind, ActionKind::Tombstone(_));
                    if let Some(backup) = backup.filter(|b| tombstone && facts.missing.contains(b)) {
                        self.violation(format!("{runner} would delete {backup}, which its listing did not show"));
                    }
                }
                _ => self.violation(format!("{runner} works with a store that it could not read: {}", action.address)),
            }
        }
    }

    /// Says which plan a runner goes by from now on.
    pub fn holds(&self, runner: &str, plan: &Arc<Plan>) {
        self.state().plans.insert(runner.to_owned(), Arc::clone(plan));
    }

    fn plan_of(&self, runner: &str) -> Option<Arc<Plan>> {
        self.state().plans.get(runner).cloned()
    }

    /// What the applied rule says of a backup just before it is tombstoned.
    pub fn before_tombstone(&self, runner: &str, _lease: &Lease, work: &PruneWork) -> Option<Vec<String>> {
        if work.scope == Scope::Shared {
            return None;
        }
        // A plan decides over all of its backups at once: what it drops goes on holding its buckets for the others.
        let plan = self.plan_of(runner)?;
        let dropped: BTreeSet<&BackupId> = plan
            .actions
            .iter()
            .filter_map(|a| if let ActionKind::Tombstone(work) = &a.kind { Some(&work.backup) } else { None })
            .collect();
        let tables = self.catalog.tables();
        let row = tables.rows.iter().find(|row| row.backup == work.backup && row.done.is_some())?;
        let applied = tables.applied.get(&Address::of(Section::Schedule, row.schedule.clone()))?;
        let rule: RetentionRule = applied.retention.clone()?;
        let rows = tables.rows.iter().filter(|other| group_of(other) == group_of(row));
        let rows = rows.filter(|other| !other.deleted || dropped.contains(&other.backup));
        let mut backups: Vec<Backup> = rows.filter_map(|row| row.done.clone()).collect();
        for backup in backups.iter_mut().filter(|backup| dropped.contains(&backup.id)) {
            backup.tombstoned_at = None;
        }
        let points: Vec<Point<'_>> = backups.iter().map(|backup| Point::of(backup, false)).collect();
        let guards: Guards = tables
            .applied
            .get(&Address::once(Section::Guards))
            .and_then(|applied| serde_json::from_value(applied.body.clone()).ok())
            .unwrap_or_default();
        let mine = backups.iter().position(|backup| backup.id == work.backup)?;
        let reasons = |now: Instant| -> Vec<String> {
            let verdicts = decide(&points, &rule, Floors { min_keep: guards.min_keep }, now);
            verdicts[mine].reasons.iter().map(ToString::to_string).collect()
        };
        // A runner whose clock is ahead, by less than what bkup refuses, sees an age end that much earlier.
        let now = (self.now)();
        Some(reasons(now)).filter(|reasons| reasons.is_empty()).or_else(|| Some(reasons(TOLERANCE.after(now))))
    }

    /// Looks at a tombstone that was just set.
    pub fn after_tombstone(&self, runner: &str, lease: &Lease, work: &PruneWork, before: Option<Vec<String>>) {
        let now = (self.now)();
        if let Some(reasons) = before.filter(|reasons| !reasons.is_empty()) {
            self.violation(format!("{runner} tombstoned {}, which was kept by {}", work.backup, reasons.join(", ")));
        }
        self.must_be_planned(runner, lease, &work.backup);
        let mut wrong = Vec::new();
        {
            let tables = self.catalog.tables();
            let Some(row) = tables.rows.iter().find(|row| row.backup == work.backup && row.done.is_some()) else {
                return;
            };
            wrong.extend(protection(&tables, row).map(|what| format!("{what} protects {}", work.backup)));
            if work.scope != Scope::Shared {
                wrong.extend(floors(&tables, row, work.min_keep.max(1)));
            }
            if tables.leased_now(&work.backup, now) {
                wrong.push(format!("{} is being read", work.backup));
            }
        }
        for words in wrong {
            self.violation(format!("{runner} tombstoned against a floor: {words}"));
        }
        let promised = work.purge_after.map_or(Period::seconds(0), |until| Period::between(now, until));
        let mut state = self.state();
        state.deletions += 1;
        state.graces.insert(work.backup.clone(), (now, promised));
    }

    /// Whether a purge had begun before.
    pub fn before_intend_purge(&self, _runner: &str, _lease: &Lease, work: &PruneWork) -> Option<Vec<String>> {
        let tables = self.catalog.tables();
        let row = tables.rows.iter().find(|row| row.backup == work.backup && row.done.is_some())?;
        row.purging().then(Vec::new)
    }

    /// Looks at a purge that just began.
    pub fn after_intend_purge(&self, runner: &str, lease: &Lease, work: &PruneWork, begun: Option<Vec<String>>) {
        if begun.is_some() {
            return;
        }
        self.must_be_planned(runner, lease, &work.backup);
        let now = (self.now)();
        let grace = self.state().graces.get(&work.backup).copied();
        match grace {
            None => self.violation(format!("{runner} purges {}, which nobody tombstoned", work.backup)),
            Some((at, promised)) if TOLERANCE.after(now) < promised.after(at) => {
                self.violation(format!(
                    "{runner} purges {} before its grace is over: it was until {}",
                    work.backup,
                    promised.after(at)
                ));
            }
            Some(_) => {}
        }
        let wrong: Vec<String> = {
            let tables = self.catalog.tables();
            let row = tables.rows.iter().find(|row| row.backup == work.backup && row.done.is_some());
            let protected = row.and_then(|row| protection(&tables, row)).map(|what| format!("{what} protects it"));
            let named = tables
                .rows
                .iter()
                .filter(|row| row.shared.as_ref() == Some(&work.backup) && row.done.is_some() && !row.deleted)
                .map(|row| format!("{} names it", row.backup));
            named.chain(protected).collect()
        };
        for words in wrong {
            self.violation(format!("{runner} purges {}: {words}", work.backup));
        }
    }

    /// Deletions never exceed what was planned.
    fn must_be_planned(&self, runner: &str, lease: &Lease, backup: &BackupId) {
        let planned = self.plan_of(runner).is_some_and(|plan| plan.actions.iter().any(|a| a.id == lease.action));
        if !planned {
            self.violation(format!("{runner} deletes {backup} without a plan that says so"));
        }
    }

    /// Looks at catalog and stores after a step.
    pub fn look(&self, stores: &BTreeMap<Name, Arc<MemoryStore>>, thoroughly: bool) {
        let (rows, lineage) = {
            let tables = self.catalog.tables();
            (tables.rows.clone(), tables.lineage())
        };
        {
            let mut state = self.state();
            if let (Some(before), now) = (&state.lineage, &lineage)
                && now.as_ref() != Some(before)
            {
                let words = format!("the catalog was {before} and is {now:?}");
                state.violations.push(words);
            }
            state.lineage = state.lineage.take().or(lineage);
        }
        let mut slots = BTreeSet::new();
        for row in rows.iter().filter(|row| row.done.is_some()) {
            if !slots.insert((row.schedule.clone(), row.database.clone(), row.scope.to_string(), row.slot)) {
                self.violation(format!("slot {} of {} {} is done twice", row.slot, row.schedule, row.scope));
            }
        }
        let damaged = self.state().damaged.clone();
        let there = |row: &&Row| row.done.is_some() && !row.deleted && !row.purging();
        let ids: BTreeSet<&BackupId> = rows.iter().filter(there).map(|row| &row.backup).collect();
        for row in rows.iter().filter(there) {
            if let Some(shared) = row.shared.as_ref().filter(|shared| !ids.contains(shared)) {
                self.violation(format!("{} names {shared}, which is not there", row.backup));
            }
            if damaged.contains(&row.backup) {
                continue;
            }
            if let Some(store) = stores.get(&row.store)
                && let Err(why) = whole(store, row, thoroughly)
            {
                self.violation(format!("{} is recorded and not whole: {why}", row.backup));
            }
        }
    }

    /// Looks whether each tier's last buckets still have what they had, for groups whose rule never changed.
    pub fn covered(&self) {
        let (rows, applied) = {
            let tables = self.catalog.tables();
            (tables.rows.clone(), tables.applied.clone())
        };
        let changed = self.state().changed.clone();
        let damaged = self.state().damaged.clone();
        let quarantined: BTreeSet<BackupId> = rows
            .iter()
            .filter_map(|r| r.done.as_ref())
            .filter(|b| b.quarantine.is_some())
            .map(|b| b.id.clone())
            .collect();
        let mut groups: BTreeMap<Group<'_>, Vec<&Row>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.done.is_some() && row.scope != Scope::Shared) {
            groups.entry(group_of(row)).or_default().push(row);
        }
        for ((schedule, database, scope), rows) in groups {
            let ill = |id: &BackupId| damaged.contains(id) || quarantined.contains(id);
            let hurt = |row: &&Row| ill(&row.backup) || row.shared.as_ref().is_some_and(ill);
            let rule = applied.get(&Address::of(Section::Schedule, schedule.clone())).and_then(|a| a.retention.clone());
            let Some(rule) = rule.filter(|rule| rule.max_age.is_none() && !changed.contains(schedule)) else {
                continue;
            };
            if rows.iter().any(hurt) {
                continue;
            }
            let zone = rule.timezone.zone();
            for (format, count) in [
                ("%Y-%m-%d %H %z", rule.hourly),
                ("%Y-%m-%d", rule.daily),
                ("%G-%V", rule.weekly),
                ("%Y-%m", rule.monthly),
                ("%Y %Q", rule.quarterly),
                ("%Y", rule.yearly),
            ] {
                let mut buckets: BTreeMap<Instant, (String, bool)> = BTreeMap::new();
                let mut begins: BTreeMap<String, Instant> = BTreeMap::new();
                for row in &rows {
                    let Some(backup) = &row.done else { continue };
                    let label = backup.consistent_at.to_zoned(zone.clone()).strftime(format).to_string();
                    let begin = *begins.entry(label.clone()).or_insert(backup.consistent_at);
                    let kept = !row.deleted && backup.tombstoned_at.is_none();
                    buckets.entry(begin).or_insert((label, false)).1 |= kept;
                }
                for (_, (label, kept)) in buckets.iter().rev().take(count.unwrap_or(0) as usize) {
                    if !kept {
                        let database = database.map_or("_", Name::as_str);
                        let words = format!("{schedule} {database} {scope}: bucket {label} had a backup and has none");
                        self.violation(format!("{words}, by {}", bkup::retention::describe(&rule)));
                    }
                }
            }
        }
    }

    /// Looks, when all is quiet and applied, whether the stores hold what the catalog says and nothing else.
    pub fn tidy(&self, stores: &BTreeMap<Name, Arc<MemoryStore>>) {
        let rows = self.catalog.tables().rows.clone();
        let damaged = self.state().damaged.clone();
        let late = self.state().late.clone();
        for (name, store) in stores {
            let mut expected: BTreeSet<String> = BTreeSet::new();
            for row in rows.iter().filter(|row| &row.store == name && row.done.is_some() && !row.deleted) {
                let Some(key) = &row.manifest_key else { continue };
                expected.insert(key.clone());
                if let Some(manifest) = store.bytes(key).and_then(|b| serde_json::from_slice::<Manifest>(&b).ok()) {
                    expected.extend(manifest.parts.iter().map(|part| part.key.clone()));
                    expected.extend(manifest.keys.iter().map(|key| key.key.clone()));
                }
            }
            // A probe whose deletion failed stays: three small objects, once in a store's life.
            let records = ["bkup.json", "state/", "runs/", "evidence/", "marks/", "probe/"];
            for key in store.keys() {
                let record = records.iter().any(|begin| key.starts_with(begin));
                let hurt = damaged.iter().any(|id| key.contains(id.as_str()));
                if !record && !hurt && !late.contains(&key) && !expected.contains(&key) {
                    self.violation(format!("store {name} holds {key}, which nobody knows"));
                }
            }
        }
    }
}

/// What protects a backup, by what is applied.
fn protection(tables: &Tables, row: &Row) -> Option<String> {
    let backup = row.done.as_ref()?;
    if backup.protected {
        return Some("its own pin".to_owned());
    }
    let things = [
        Address::of(Section::Schedule, row.schedule.clone()),
        Address::of(Section::Store, row.store.clone()),
        Address::of(Section::Database, row.database.clone()?),
    ];
    let protects = |address: &Address| {
        let applied = tables.applied.get(address).filter(|applied| applied.archived_at.is_none());
        applied.is_some_and(|applied| applied.body.get("protect") == Some(&serde_json::Value::Bool(true)))
    };
    things.iter().find(|address| protects(address)).map(ToString::to_string)
}

/// What is wrong with the floors of a backup's group, now that it is tombstoned.
fn floors(tables: &Tables, gone: &Row, min_keep: u32) -> Vec<String> {
    let group: Vec<&Backup> = tables
        .rows
        .iter()
        .filter(|row| group_of(row) == group_of(gone) && !row.deleted)
        .filter_map(|row| row.done.as_ref())
        .filter(|b| b.quarantine.is_none())
        .collect();
    let left: Vec<&&Backup> = group.iter().filter(|b| b.tombstoned_at.is_none()).collect();
    let mut wrong = Vec::new();
    if (left.len() as u64) < u64::from(min_keep) {
        wrong.push(format!("{} restorable backups are left of {min_keep}", left.len()));
    }
    let Some(gone) = &gone.done else { return wrong };
    let newest = |of: &dyn Fn(&Backup) -> bool| left.iter().filter(|b| of(b)).map(|b| b.consistent_at).max();
    let verified = |b: &Backup| b.verification >= Verification::Checksum;
    if verified(gone) && newest(&verified).is_none_or(|at| at < gone.consistent_at) {
        wrong.push("it was the newest verified one".to_owned());
    }
    let drilled = |b: &Backup| b.drilled_at.is_some();
    if drilled(gone) && newest(&drilled).is_none_or(|at| at < gone.consistent_at) {
        wrong.push("it was the newest drilled one".to_owned());
    }
    wrong
}

/// Whether a recorded backup is in the store as its manifest says.
fn whole(store: &MemoryStore, row: &Row, thoroughly: bool) -> Result<(), String> {
    let key = row.manifest_key.as_ref().ok_or("its row names no manifest")?;
    let bytes = store.bytes(key).ok_or_else(|| format!("{key} is gone"))?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| format!("{key}: {error}"))?;
    if manifest.attempt != row.attempt || manifest.backup_id != row.backup.as_str() {
        return Err(format!("{key} is of attempt {}, and {} is recorded", manifest.attempt, row.attempt));
    }
    for part in &manifest.parts {
        let bytes = store.bytes(&part.key).ok_or_else(|| format!("{} is gone", part.key))?;
        let agrees = || sha256(&bytes).to_string() == part.ciphertext_sha256;
        if Bytes(bytes.len() as u64) != Bytes(part.size) || (thoroughly && !agrees()) {
            return Err(format!("{} is damaged", part.key));
        }
    }
    Ok(())
}
