//! A catalog in memory: the same promises as PostgreSQL's, by a clock that is handed in. `tests/it/catalog/agrees.rs`
//! holds it to the real one: the same functions run over both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bkup::catalog::{
    AuditEvent, Begun, CatalogError, ClaimOutcome, Completed, Completion, Created, DigestKey, DocumentChange, Intended,
    Intent, Lease, Ledger, MarkOutcome, OutcomeRow, ReadLedger, Reading, ReadingEnd, ReadingKind, StoreRecord,
    TenantLink, Validation, as_recorded, newest_version,
};
use bkup::domain::{
    Action, ActionId, ActionKind, ActionOutcome, Address, Applied, Backup, BackupId, CatalogFacts, CatalogState,
    Digest, DocumentOp, DrillRecord, DrillWork, Evidence, Garbage, Instant, Name, Outcome, Period, Plan, Precondition,
    Progress, PruneWork, RunId, ScheduleSpec, Scope, Section, Tenant, Verification, digest_of,
};

use super::rows::{Row, Status};

/// The clock of the catalog's own machine.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A catalog in memory.
pub struct Memory {
    clock: Clock,
    tables: Mutex<Tables>,
}

/// Everything it holds; a value, so that a world can be copied.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    pub meta: Option<Meta>,
    pub applied: BTreeMap<Address, Applied>,
    pub rows: Vec<Row>,
    pub claims: BTreeMap<ActionId, Claim>,
    pub plans: BTreeMap<Digest, PlanRow>,
    pub drills: Vec<DrillRow>,
    pub readings: BTreeMap<String, (Vec<BackupId>, Option<Instant>)>,
    pub missed: BTreeMap<(Name, Option<Name>, Instant), u64>,
    pub progress: BTreeMap<(Name, Option<Name>), Instant>,
    pub stores: BTreeMap<Name, StoreRecord>,
    pub keys: BTreeMap<(Name, Name), DigestKey>,
    pub audit: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Meta {
    lineage: String,
    pub serial: i64,
    serial_run: Option<RunId>,
    simulated: Option<Instant>,
    head: Option<Digest>,
}

#[derive(Debug, Clone)]
pub struct Claim {
    pub token: u64,
    pub runner: String,
    pub until: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
pub struct PlanRow {
    finished: Option<Instant>,
    rows: Vec<OutcomeRow>,
}

#[derive(Debug, Clone)]
pub struct DrillRow {
    plan: Name,
    attempt: u64,
    record: DrillRecord,
    digest: Digest,
}

type Answer<T> = Result<T, CatalogError>;

fn refused(why: &str) -> Answer<MarkOutcome> {
    Ok(MarkOutcome::Refused(why.to_owned()))
}

impl Memory {
    /// Makes one that is not there yet.
    pub fn new(clock: Clock) -> Self {
        Self::with(clock, Tables::default())
    }

    /// Makes one that holds this.
    pub fn with(clock: Clock, tables: Tables) -> Self {
        Self { clock, tables: Mutex::new(tables) }
    }

    /// Returns what it holds.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        as_recorded((self.clock)())
    }

    /// The same, for a statement that needs a catalog.
    fn there(&self) -> Answer<MutexGuard<'_, Tables>> {
        let tables = self.tables();
        if tables.meta.is_some() { Ok(tables) } else { Err(CatalogError::Absent) }
    }

    /// The same, for an effect that a lease guards.
    fn fenced(&self, lease: &Lease) -> Answer<MutexGuard<'_, Tables>> {
        let tables = self.there()?;
        let held = tables.claims.get(&lease.action).is_some_and(|c| c.token == lease.token && c.until.is_some());
        if held { Ok(tables) } else { Err(CatalogError::Fenced { action: lease.action, token: lease.token }) }
    }
}

impl Tables {
    pub fn completed(&mut self, backup: &BackupId) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| &row.backup == backup && row.done.is_some())
    }

    fn attempt(&mut self, backup: &BackupId, attempt: u64) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| &row.backup == backup && row.attempt == attempt)
    }

    fn holder(&self, schedule: &Name, database: Option<&Name>, scope: &Scope, slot: Instant) -> Option<&Row> {
        self.rows.iter().find(|row| {
            row.done.is_some()
                && (&row.schedule, row.database.as_ref(), &row.scope, row.slot) == (schedule, database, scope, slot)
        })
    }

    pub fn drill_count(&self) -> usize {
        self.drills.len()
    }

    pub fn lineage(&self) -> Option<String> {
        self.meta.as_ref().map(|meta| meta.lineage.clone())
    }

    pub fn leased_now(&self, backup: &BackupId, now: Instant) -> bool {
        self.readings.values().any(|(backups, until)| until.is_some_and(|u| u > now) && backups.contains(backup))
    }

    fn needed(&self, backup: &BackupId, now: Instant) -> bool {
        self.rows.iter().any(|row| {
            let names = row.shared.as_ref() == Some(backup) || row.parent.as_ref() == Some(backup);
            let alive = row.status == Status::Running && row.until.is_some_and(|until| until > now);
            names && !row.deleted && (row.status == Status::Completed || alive)
        })
    }

    /// Why a backup is its scope's floor.
    fn floor(&self, me: &Row, min_keep: u32) -> Option<&'static str> {
        let own = me.done.as_ref()?;
        let others: Vec<&Backup> = self
            .rows
            .iter()
            .filter(|o| o.backup != me.backup && !o.deleted)
            .filter_map(|o| o.done.as_ref())
            .filter(|o| (&o.schedule, &o.database, &o.scope) == (&own.schedule, &own.database, &own.scope))
            .filter(|o| o.tombstoned_at.is_none() && o.quarantine.is_none())
            .collect();
        let verified = |b: &Backup| b.verification >= Verification::Checksum;
        let newer = |b: &&&Backup| b.consistent_at >= own.consistent_at;
        if (others.len() as u64) < u64::from(min_keep) {
            Some("it is among the last restorable ones of its scope")
        } else if verified(own) && !others.iter().filter(newer).any(|b| verified(b)) {
            Some("it is the newest verified one of its scope")
        } else if own.drilled_at.is_some() && !others.iter().filter(newer).any(|b| b.drilled_at.is_some()) {
            Some("it is the newest one of its scope that a drill restored")
        } else {
            None
        }
    }

    fn advance(&mut self, schedule: &Name, database: Option<&Name>, slot: Instant) {
        let settled = self.progress.entry((schedule.clone(), database.cloned())).or_insert(slot);
        *settled = (*settled).max(slot);
    }

    fn facts(&self, now: Instant) -> Option<CatalogFacts> {
        let meta = self.meta.as_ref()?;
        let mut drills: BTreeMap<Name, DrillRecord> = BTreeMap::new();
        for row in &self.drills {
            let newest = drills.get(&row.plan).is_none_or(|known| known.attempts <= row.attempt);
            if newest {
                drills.insert(row.plan.clone(), row.record.clone());
            }
        }
        let mut backups: Vec<Backup> =
            self.rows.iter().filter(|row| !row.deleted).filter_map(|row| row.done.clone()).collect();
        backups.sort_by(|a, b| a.id.cmp(&b.id));
        let mut garbage: Vec<Garbage> =
            self.rows.iter().filter_map(|row| row.garbage(now, meta.simulated.is_some())).collect();
        garbage.sort_by(|a, b| (&a.backup, a.attempt).cmp(&(&b.backup, b.attempt)));
        let readings = self.readings.values().filter(|(_, until)| until.is_some_and(|until| until > now));
        let mut leased: Vec<BackupId> = readings.flat_map(|(backups, _)| backups.clone()).collect();
        leased.sort();
        leased.dedup();
        let progress = self.progress.iter().map(|((schedule, database), settled)| Progress {
            schedule: schedule.clone(),
            database: database.clone(),
            settled: *settled,
        });
        Some(CatalogFacts {
            version: newest_version(),
            lineage: meta.lineage.clone(),
            serial: meta.serial,
            simulated: meta.simulated,
            applied: self.applied.clone(),
            backups,
            drills,
            progress: progress.collect(),
            garbage,
            leased,
            stores: self.stores.iter().map(|(name, record)| (name.clone(), record.store_id.clone())).collect(),
        })
    }
}

#[async_trait]
impl ReadLedger for Memory {
    async fn clock(&self) -> Answer<Instant> {
        Ok(self.now())
    }

    async fn state(&self) -> Answer<CatalogState> {
        Ok(self.tables().facts(self.now()).map_or(CatalogState::Absent, |facts| CatalogState::Present(Box::new(facts))))
    }

    async fn finished_plan(&self, digest: &Digest) -> Answer<Option<Instant>> {
        Ok(self.there()?.plans.get(digest).and_then(|plan| plan.finished))
    }

    async fn outcomes(&self, digest: &Digest) -> Answer<Vec<OutcomeRow>> {
        Ok(self.there()?.plans.get(digest).map(|plan| plan.rows.clone()).unwrap_or_default())
    }

    async fn unmet(&self, action: &Action, now: Instant) -> Answer<Option<String>> {
        let tables = self.tables();
        for precondition in &action.preconditions {
            let words = match (precondition, &action.kind) {
                (Precondition::Lineage(wanted), _) => {
                    let same = tables.meta.as_ref().is_some_and(|meta| &meta.lineage == wanted);
                    (!same).then(|| "it is another catalog".to_owned())
                }
                (Precondition::DocumentDigest(wanted), _) => {
                    let there = tables.applied.get(&action.address).map(|applied| applied.digest);
                    (there != *wanted).then(|| format!("{} was changed", action.address))
                }
                (Precondition::SlotFree, ActionKind::BackUp(work)) => tables
                    .holder(&work.schedule, Some(&work.database), &work.scope, work.slot)
                    .map(|row| format!("the slot has its backup already: {}", row.backup)),
                (Precondition::Prunable, ActionKind::Tombstone(work) | ActionKind::Purge(work)) => {
                    let row = tables.rows.iter().find(|row| row.backup == work.backup && row.done.is_some());
                    let free = row.is_some_and(|row| {
                        let marked =
                            row.done.as_ref().is_none_or(|b| b.tombstoned_at.is_some() || b.quarantine.is_some());
                        let pinned = row.done.as_ref().is_some_and(|b| b.protected);
                        !row.deleted && !marked && !pinned && !tables.leased_now(&work.backup, self.now())
                    });
                    (!free).then(|| "it may not be pruned".to_owned())
                }
                (Precondition::Purgeable, ActionKind::Tombstone(work) | ActionKind::Purge(work)) => {
                    let row = tables.rows.iter().find(|row| row.backup == work.backup && row.done.is_some());
                    let free = row.and_then(|row| row.done.as_ref().map(|b| (row, b))).is_some_and(|(row, b)| {
                        let over = b.purge_after.is_none_or(|after| after <= now);
                        !row.deleted
                            && b.tombstoned_at.is_some()
                            && over
                            && !tables.leased_now(&work.backup, self.now())
                    });
                    (!free).then(|| "it may not be purged".to_owned())
                }
                (Precondition::DrillAttempts(wanted), ActionKind::Drill(work)) => {
                    let made = tables.drills.iter().filter(|d| d.plan == work.plan).map(|d| d.attempt + 1).max();
                    (made.unwrap_or(0) != *wanted).then(|| "it was drilled since".to_owned())
                }
                _ => Some("a precondition that does not fit".to_owned()),
            };
            if words.is_some() {
                return Ok(words);
            }
        }
        Ok(None)
    }

    async fn applied_digest(&self, address: &Address) -> Answer<Option<Digest>> {
        Ok(self.there()?.applied.get(address).map(|applied| applied.digest))
    }

    async fn digest_key(&self, store: &Name, database: &Name) -> Answer<Option<DigestKey>> {
        Ok(self.there()?.keys.get(&(store.clone(), database.clone())).cloned())
    }

    async fn evidence_head(&self) -> Answer<Option<Digest>> {
        Ok(self.there()?.drills.last().map(|drill| drill.digest))
    }

    async fn audit_head(&self) -> Answer<Option<Digest>> {
        Ok(self.there()?.meta.as_ref().and_then(|meta| meta.head))
    }
}

#[async_trait]
impl Ledger for Memory {
    fn reader(&self) -> &dyn ReadLedger {
        self
    }

    async fn create(&self, lineage: &str, simulated: Option<Instant>) -> Answer<Created> {
        let mut tables = self.tables();
        let from_version = tables.meta.as_ref().map(|_| newest_version());
        let meta = tables.meta.get_or_insert_with(|| Meta {
            lineage: lineage.to_owned(),
            serial: 0,
            serial_run: None,
            simulated,
            head: None,
        });
        if simulated.is_some() && meta.simulated.is_none() {
            return Err(CatalogError::Conflict { reason: "it is a real catalog".to_owned() });
        }
        let lineage = meta.lineage.clone();
        Ok(Created { from_version, version: newest_version(), lineage, tenants: TenantLink::NoTable })
    }

    async fn set_clock(&self, to: Instant) -> Answer<()> {
        let mut tables = self.there()?;
        match tables.meta.as_mut().and_then(|meta| meta.simulated.as_mut()) {
            Some(now) if *now <= to => *now = as_recorded(to),
            Some(now) => return Err(CatalogError::ClockGoesBack { now: *now, wanted: to }),
            None => return Err(CatalogError::Conflict { reason: "it is a real catalog".to_owned() }),
        }
        Ok(())
    }

    async fn bump_serial(&self, run: &RunId) -> Answer<i64> {
        let mut tables = self.there()?;
        let Some(meta) = &mut tables.meta else { return Err(CatalogError::Absent) };
        if meta.serial_run.as_ref() != Some(run) {
            meta.serial += 1;
            meta.serial_run = Some(run.clone());
        }
        Ok(meta.serial)
    }

    async fn audit(&self, events: &[AuditEvent]) -> Answer<Option<Digest>> {
        let mut tables = self.there()?;
        for event in events {
            tables.audit.push(format!("{} {} {}", event.at, event.event, event.subject));
            let previous = tables.meta.as_ref().and_then(|meta| meta.head);
            let head = digest_of(&(previous, &event.event, &event.subject));
            if let Some(meta) = &mut tables.meta {
                meta.head = Some(head);
            }
        }
        Ok(tables.meta.as_ref().and_then(|meta| meta.head))
    }

    async fn claim(&self, action: ActionId, runner: &str, lease: Period) -> Answer<ClaimOutcome> {
        let now = self.now();
        let mut tables = self.there()?;
        let claim =
            tables.claims.entry(action).or_insert_with(|| Claim { token: 0, runner: runner.to_owned(), until: None });
        match claim.until.filter(|until| *until >= now) {
            Some(until) => Ok(ClaimOutcome::HeldBy { runner: claim.runner.clone(), until }),
            None => {
                *claim = Claim { token: claim.token + 1, runner: runner.to_owned(), until: Some(lease.after(now)) };
                Ok(ClaimOutcome::Claimed(Lease { action, token: claim.token }))
            }
        }
    }

    async fn claim_many(&self, actions: &[ActionId], runner: &str, lease: Period, most: u32) -> Answer<Vec<Lease>> {
        let mut mine = Vec::new();
        for action in actions {
            if mine.len() as u64 == u64::from(most) {
                break;
            }
            if let ClaimOutcome::Claimed(lease) = self.claim(*action, runner, lease).await? {
                mine.push(lease);
            }
        }
        Ok(mine)
    }

    async fn heartbeat(&self, leases: &[Lease], lease: Period) -> Answer<Vec<Lease>> {
        let until = lease.after(self.now());
        let mut tables = self.there()?;
        let mut lost = Vec::new();
        for lease in leases {
            match tables.claims.get_mut(&lease.action) {
                Some(claim) if claim.token == lease.token && claim.until.is_some() => claim.until = Some(until),
                _ => {
                    lost.push(lease.clone());
                    continue;
                }
            }
            for row in tables.rows.iter_mut().filter(|row| row.runs_under(lease)) {
                row.until = Some(until);
            }
        }
        Ok(lost)
    }

    async fn release(&self, lease: &Lease) -> Answer<()> {
        let now = self.now();
        let mut tables = self.there()?;
        match tables.claims.get_mut(&lease.action) {
            Some(claim) if claim.token == lease.token => claim.until = None,
            _ => return Ok(()),
        }
        for row in tables.rows.iter_mut().filter(|row| row.runs_under(lease)) {
            row.until = Some(now);
        }
        Ok(())
    }

    async fn begin_plan(&self, plan: &Plan, _run: &RunId, _at: Instant) -> Answer<Begun> {
        let mut tables = self.there()?;
        if let Some(known) = tables.plans.get(&plan.digest) {
            return Ok(if known.finished.is_some() { Begun::AlreadyApplied } else { Begun::Resumed });
        }
        let fresh = |action: &Action| OutcomeRow { action: action.id, outcome: None, run: None, ended_at: None };
        let rows = plan.actions.iter().map(fresh).collect();
        tables.plans.insert(plan.digest, PlanRow { finished: None, rows });
        Ok(Begun::Fresh)
    }

    async fn record_outcome(&self, plan: &Digest, outcome: &ActionOutcome, run: &RunId, at: Instant) -> Answer<()> {
        let mut tables = self.there()?;
        let unknown = || CatalogError::Unfit { reason: "the action is not one of the plan's".to_owned() };
        let row = tables.plans.get_mut(plan).and_then(|p| p.rows.iter_mut().find(|row| row.action == outcome.id()));
        let row = row.ok_or_else(unknown)?;
        let did = matches!(row.outcome, Some(Outcome::Done { .. } | Outcome::Violated { .. }));
        let says = matches!(outcome.outcome, Outcome::Done { .. } | Outcome::Violated { .. } | Outcome::Failed { .. });
        if !did || says {
            let said = Some(outcome.outcome.clone());
            *row = OutcomeRow {
                outcome: said,
                run: Some(run.as_str().to_owned()),
                ended_at: Some(as_recorded(at)),
                ..row.clone()
            };
        }
        Ok(())
    }

    async fn finish_plan(&self, digest: &Digest, at: Instant) -> Answer<()> {
        if let Some(plan) = self.there()?.plans.get_mut(digest) {
            plan.finished.get_or_insert(as_recorded(at));
        }
        Ok(())
    }

    async fn apply_document_if(
        &self,
        lease: &Lease,
        change: &DocumentChange<'_>,
        expected: Option<Digest>,
    ) -> Answer<bool> {
        let mut tables = self.fenced(lease)?;
        let there = tables.applied.get(change.address).cloned();
        let archived = there.as_ref().is_some_and(|applied| applied.archived_at.is_some());
        let done = match change.body {
            Some(body) => there.as_ref().map(|applied| applied.digest) == Some(digest_of(body)) && !archived,
            None => archived,
        };
        if done {
            return Ok(false);
        }
        if there.as_ref().map(|applied| applied.digest) != expected {
            let reason = format!("{} was changed since the plan was made", change.address);
            return Err(CatalogError::Conflict { reason });
        }
        let at = as_recorded(change.at);
        match (change.op, change.body) {
            (DocumentOp::Archive, _) => match tables.applied.get_mut(change.address) {
                Some(applied) => applied.archived_at = Some(applied.archived_at.unwrap_or(at)),
                None => return Err(CatalogError::Conflict { reason: format!("{} is not applied", change.address) }),
            },
            (_, Some(body)) => {
                let unfit = |error: serde_json::Error| CatalogError::Unfit { reason: error.to_string() };
                let retention = match change.address.section() {
                    Section::Schedule => {
                        Some(serde_json::from_value::<ScheduleSpec>(body.clone()).map_err(unfit)?.retention)
                    }
                    _ => None,
                };
                let since = there.filter(|_| !archived).map_or(at, |applied| applied.since);
                let applied =
                    Applied { body: body.clone(), digest: digest_of(body), since, archived_at: None, retention };
                tables.applied.insert(change.address.clone(), applied);
            }
            (_, None) => return Err(CatalogError::Unfit { reason: "a document without a body".to_owned() }),
        }
        Ok(true)
    }

    async fn store_learnt(&self, lease: &Lease, record: &StoreRecord) -> Answer<()> {
        let mut tables = self.fenced(lease)?;
        if let Some(known) = tables.stores.get(&record.store)
            && known.store_id != record.store_id
        {
            let id = Some(&known.store_id);
            let holds = |row: &Row| {
                row.done.as_ref().is_some_and(|b| b.store == record.store)
                    && row.store_id.as_ref() == id
                    && !row.deleted
            };
            if tables.rows.iter().any(holds) {
                return Err(CatalogError::Conflict { reason: format!("store {} has another id", record.store) });
            }
        }
        let record = StoreRecord { probed_at: as_recorded(record.probed_at), ..record.clone() };
        tables.stores.insert(record.store.clone(), record);
        Ok(())
    }

    async fn keep_digest_key(&self, store: &Name, database: &Name, offered: &DigestKey) -> Answer<DigestKey> {
        let mut tables = self.there()?;
        Ok(tables.keys.entry((store.clone(), database.clone())).or_insert_with(|| offered.clone()).clone())
    }

    async fn tenants_seen(&self, _: &Name, _: &[(Tenant, Option<Name>)], _: Instant) -> Answer<()> {
        self.there().map(|_| ())
    }

    async fn show_next_runs(&self, _: &[(Name, Option<Instant>)]) -> Answer<()> {
        self.there().map(|_| ())
    }

    async fn settle(
        &self,
        lease: &Lease,
        schedule: &Name,
        database: Option<&Name>,
        slots: &[Instant],
        scopes: u64,
        _at: Instant,
    ) -> Answer<()> {
        let Some(newest) = slots.iter().max() else { return Ok(()) };
        let mut tables = self.fenced(lease)?;
        for slot in slots {
            tables.missed.entry((schedule.clone(), database.cloned(), *slot)).or_insert(scopes);
        }
        tables.advance(schedule, database, *newest);
        Ok(())
    }

    async fn intend_backup(&self, lease: &Lease, intent: &Intent<'_>) -> Answer<Intended> {
        let work = intent.work;
        let mut tables = self.fenced(lease)?;
        if let Some(row) = tables.holder(&work.schedule, Some(&work.database), &work.scope, work.slot) {
            return Ok(Intended::SlotTaken(row.backup.clone()));
        }
        let at = as_recorded(intent.started_at);
        for row in &mut tables.rows {
            if row.action == lease.action && row.attempt < lease.token && row.status == Status::Running {
                row.abandon(at);
            }
        }
        if tables.attempt(&work.backup, lease.token).is_none() {
            let until = tables.claims.get(&lease.action).and_then(|claim| claim.until);
            tables.rows.push(Row::intended(work, lease, at, until));
        }
        Ok(Intended::Go)
    }

    async fn complete_backup(&self, lease: &Lease, done: &Completed<'_>, at: Instant) -> Answer<Completion> {
        let mut fresh = Row::completed(lease, done)?;
        let manifest = done.manifest;
        let mut tables = self.fenced(lease)?;
        let at = as_recorded(at);
        if manifest.attempt != lease.token
            && let Some(row) = tables.attempt(&fresh.backup, lease.token)
        {
            row.abandon(at);
        }
        if tables.attempt(&fresh.backup, manifest.attempt).is_some_and(|row| row.collected.is_some()) {
            let reason = format!("attempt {} of backup {} was collected", manifest.attempt, fresh.backup);
            return Err(CatalogError::Conflict { reason });
        }
        match tables.holder(&fresh.schedule, fresh.database.as_ref(), &fresh.scope, fresh.slot) {
            Some(row) if row.backup == fresh.backup && row.attempt == fresh.attempt => return Ok(Completion::Already),
            Some(_) => {
                if let Some(row) = tables.attempt(&fresh.backup, lease.token) {
                    row.abandon(at);
                }
                return Ok(Completion::SlotTaken);
            }
            None => {}
        }
        match tables.attempt(&fresh.backup, fresh.attempt) {
            Some(row) => {
                fresh.started = row.started;
                *row = fresh;
            }
            None => tables.rows.push(fresh),
        }
        Ok(Completion::Recorded)
    }

    async fn fail_backup(&self, lease: &Lease, backup: &BackupId, _error: &str, at: Instant) -> Answer<()> {
        if let Some(row) = self.fenced(lease)?.attempt(backup, lease.token) {
            row.abandon(as_recorded(at));
        }
        Ok(())
    }

    async fn condemn(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<MarkOutcome> {
        let now = self.now();
        let mut tables = self.fenced(lease)?;
        let Some(row) = tables.attempt(backup, attempt) else { return refused("the catalog has no such attempt") };
        if row.collected.is_some() {
            return Ok(MarkOutcome::AlreadyDone);
        }
        if row.status == Status::Completed {
            return refused("it is a completed backup");
        }
        let action = row.action;
        if let Some(claim) = tables.claims.get_mut(&action).filter(|claim| claim.token == attempt) {
            if claim.until.is_some_and(|until| until >= now) {
                return refused("its runner is alive");
            }
            claim.token += 1;
            claim.until = None;
        }
        if let Some(row) = tables.attempt(backup, attempt) {
            row.condemn(as_recorded(at));
        }
        Ok(MarkOutcome::Done)
    }

    async fn collected(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<()> {
        let now = self.now();
        let mut tables = self.fenced(lease)?;
        match tables.attempt(backup, attempt) {
            Some(row) if row.is_dead(now) => {
                row.status = Status::Failed;
                row.collected.get_or_insert(as_recorded(at));
                Ok(())
            }
            _ => Err(CatalogError::Conflict { reason: format!("attempt {attempt} of backup {backup} is no garbage") }),
        }
    }

    async fn validated(&self, look: &Validation<'_>) -> Answer<()> {
        if look.depth == Verification::None {
            return Err(CatalogError::Unfit { reason: "a validation without depth".to_owned() });
        }
        let mut tables = self.there()?;
        if let Some(row) = tables.completed(look.backup).filter(|row| !row.deleted)
            && let Some(backup) = &mut row.done
        {
            if look.passed {
                backup.verified_at = backup.verified_at.max(Some(as_recorded(look.at)));
                backup.verification = backup.verification.max(look.depth);
            } else {
                backup.quarantine.get_or_insert("verification failed".to_owned());
            }
        }
        Ok(())
    }

    async fn quarantine(&self, backup: &BackupId, reason: &str, _at: Instant) -> Answer<MarkOutcome> {
        let mut tables = self.there()?;
        let Some(backup) = tables.completed(backup).filter(|row| !row.deleted).and_then(|row| row.done.as_mut()) else {
            return refused("the catalog has no such completed backup");
        };
        if backup.quarantine.is_some() {
            return Ok(MarkOutcome::AlreadyDone);
        }
        backup.quarantine = Some(reason.to_owned());
        Ok(MarkOutcome::Done)
    }

    async fn tombstone(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome> {
        let now = self.now();
        let mut tables = self.fenced(lease)?;
        let (leased, needed) = (tables.leased_now(&work.backup, now), tables.needed(&work.backup, now));
        let Some(row) = tables.completed(&work.backup).cloned() else {
            return refused("the catalog has no such completed backup");
        };
        let Some(backup) = &row.done else { return refused("the catalog has no such completed backup") };
        let tombstoned = backup.tombstoned_at.is_some();
        if tombstoned && backup.marks == work.mark + 1 {
            return Ok(MarkOutcome::AlreadyDone);
        }
        let against = [
            (row.deleted, "it is purged"),
            (backup.marks != work.mark, "it was marked since the plan was made"),
            (tombstoned, "it is tombstoned already"),
            (backup.quarantine.is_some(), "it is quarantined"),
            (backup.protected, "it is protected"),
            (leased, "something reads it"),
            (needed, "a backup that is there, or being made, needs it"),
        ];
        if let Some((_, why)) = against.into_iter().find(|(holds, _)| *holds) {
            return refused(why);
        }
        if work.min_keep > 0
            && let Some(why) = tables.floor(&row, work.min_keep)
        {
            return refused(why);
        }
        if let Some(backup) = tables.completed(&work.backup).and_then(|row| row.done.as_mut()) {
            backup.tombstoned_at = Some(as_recorded(at));
            backup.purge_after = work.purge_after.map(as_recorded);
            backup.marks += 1;
        }
        Ok(MarkOutcome::Done)
    }

    async fn undelete(&self, backup: &BackupId) -> Answer<MarkOutcome> {
        let mut tables = self.there()?;
        let Some(row) = tables.completed(backup) else { return refused("the catalog has no such completed backup") };
        let (deleted, purging) = (row.deleted, row.purging);
        let Some(backup) = &mut row.done else { return refused("the catalog has no such completed backup") };
        if deleted {
            return refused("it is purged");
        }
        if purging {
            return refused("its purge has begun");
        }
        if backup.tombstoned_at.is_none() {
            return Ok(MarkOutcome::AlreadyDone);
        }
        backup.tombstoned_at = None;
        backup.purge_after = None;
        backup.marks += 1;
        Ok(MarkOutcome::Done)
    }

    async fn intend_purge(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome> {
        let now = self.now();
        let mut tables = self.fenced(lease)?;
        let (leased, needed) = (tables.leased_now(&work.backup, now), tables.needed(&work.backup, now));
        let Some(row) = tables.completed(&work.backup) else {
            return refused("the catalog has no such completed backup");
        };
        if row.deleted {
            return Ok(MarkOutcome::AlreadyDone);
        }
        let Some(backup) = &row.done else { return refused("the catalog has no such completed backup") };
        let mut against = vec![
            (backup.tombstoned_at.is_none(), "it is not tombstoned"),
            (backup.marks != work.mark, "it was marked since the plan was made"),
        ];
        if !row.purging {
            against.extend([
                (leased, "something reads it"),
                (needed, "a backup that is there, or being made, needs it"),
                (backup.quarantine.is_some(), "it is quarantined"),
                (backup.protected, "it is protected"),
                (backup.purge_after.is_some_and(|after| after > at), "its grace period is not over"),
                (backup.locked_until.is_some_and(|until| until > at), "the store's lock keeps it"),
            ]);
        }
        if let Some((_, why)) = against.into_iter().find(|(holds, _)| *holds) {
            return refused(why);
        }
        row.purging = true;
        Ok(MarkOutcome::Done)
    }

    async fn purged(&self, lease: &Lease, backup: &BackupId, _at: Instant) -> Answer<MarkOutcome> {
        let mut tables = self.fenced(lease)?;
        let Some(row) = tables.completed(backup) else { return refused("the catalog has no such completed backup") };
        if row.deleted {
            return Ok(MarkOutcome::AlreadyDone);
        }
        if !row.purging {
            return refused("its purge was not begun");
        }
        row.deleted = true;
        if let Some(backup) = &mut row.done {
            backup.marks += 1;
        }
        Ok(MarkOutcome::Done)
    }

    async fn begin_reading(
        &self,
        _kind: ReadingKind,
        backups: &[BackupId],
        _target: &str,
        _runner: &str,
        lease: Period,
        _at: Instant,
    ) -> Answer<Reading> {
        let until = lease.after(self.now());
        let mut tables = self.there()?;
        for id in backups {
            if tables.completed(id).is_none_or(|row| row.deleted || row.purging) {
                return Err(CatalogError::Conflict { reason: format!("backup {id} is not there to be read") });
            }
        }
        let id = tables.readings.len().to_string();
        tables.readings.insert(id.clone(), (backups.to_vec(), Some(until)));
        Ok(Reading { id })
    }

    async fn keep_reading(&self, reading: &Reading, lease: Period) -> Answer<bool> {
        let now = self.now();
        let mut tables = self.there()?;
        let held = tables.readings.get_mut(&reading.id).filter(|(_, until)| until.is_some_and(|until| until > now));
        Ok(held.map(|(_, until)| *until = Some(lease.after(now))).is_some())
    }

    async fn end_reading(&self, reading: &Reading, _end: &ReadingEnd, _at: Instant) -> Answer<()> {
        if let Some((_, until)) = self.there()?.readings.get_mut(&reading.id) {
            *until = None;
        }
        Ok(())
    }

    async fn record_drill(&self, lease: &Lease, work: &DrillWork, evidence: &Evidence, _run: &RunId) -> Answer<()> {
        let unfit = |error: String| CatalogError::Unfit { reason: error };
        let at = as_recorded(evidence.drill_timestamp.parse().map_err(|e: jiff::Error| unfit(e.to_string()))?);
        let mut tables = self.fenced(lease)?;
        if tables.drills.iter().any(|row| row.plan == work.plan && row.attempt == work.attempt) {
            return Ok(());
        }
        let passed = evidence.status == "passed";
        let seconds = |n: u64| Period::seconds(i64::try_from(n).unwrap_or(i64::MAX));
        let record = DrillRecord {
            at,
            passed,
            plan_digest: work.plan_digest,
            restore: seconds(evidence.restore_duration_ms.div_ceil(1000)),
            backup_age: seconds(evidence.backup_age_minutes * 60),
            attempts: work.attempt + 1,
        };
        let digest = digest_of(evidence);
        tables.drills.push(DrillRow { plan: work.plan.clone(), attempt: work.attempt, record, digest });
        for row in tables.rows.iter_mut().filter(|_| passed) {
            if let Some(backup) = row.done.as_mut().filter(|b| evidence.backups.contains(&b.id.to_string()))
                && backup.drilled_at.is_none_or(|drilled| drilled < at)
            {
                (backup.drilled_at, backup.verified_at) = (Some(at), Some(at));
                backup.verification = Verification::Restore;
            }
        }
        Ok(())
    }
}
