//! A catalog in memory: the same promises as PostgreSQL's, by a clock that is handed in. `tests/it/catalog/agrees.rs`
//! holds it to the real one: the same functions run over both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bkup::catalog::{
    AuditEvent, CatalogError, DigestKey, Lease, OutcomeRow, ReadLedger, StoreRecord, as_recorded, newest_version,
};
use bkup::domain::{
    Action, ActionId, ActionKind, Address, Applied, Backup, BackupId, CatalogFacts, CatalogState, Digest, DrillRecord,
    Evidence, Garbage, Instant, Name, Precondition, Progress, RunId, Scope, TenantRecord, Verification, digest_of,
};

use super::rows::{Row, Status};

/// The clock of the catalog's own machine.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A catalog in memory.
pub struct Memory {
    clock: Clock,
    tables: Arc<Mutex<Tables>>,
    telling: Vec<AuditEvent>,
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
    pub tenants: BTreeMap<(Name, String), TenantRecord>,
    pub audit: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Meta {
    pub lineage: String,
    pub serial: i64,
    pub serial_run: Option<RunId>,
    pub simulated: Option<Instant>,
    pub head: Option<Digest>,
}

#[derive(Debug, Clone)]
pub struct Claim {
    pub token: u64,
    pub runner: String,
    pub until: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
pub struct PlanRow {
    pub finished: Option<Instant>,
    pub rows: Vec<OutcomeRow>,
}

#[derive(Debug, Clone)]
pub struct DrillRow {
    pub plan: Name,
    pub attempt: u64,
    pub record: DrillRecord,
    pub evidence: Evidence,
    pub digest: Digest,
}

pub(super) type Answer<T> = Result<T, CatalogError>;

impl Memory {
    /// Makes one that is not there yet.
    pub fn new(clock: Clock) -> Self {
        Self::with(clock, Tables::default())
    }

    /// Makes one that holds this.
    pub fn with(clock: Clock, tables: Tables) -> Self {
        Self { clock, tables: Arc::new(Mutex::new(tables)), telling: Vec::new() }
    }

    /// The same catalog, whose next effect tells the chain of itself.
    pub fn that_tells(&self, event: AuditEvent) -> Self {
        Self { clock: Arc::clone(&self.clock), tables: Arc::clone(&self.tables), telling: vec![event] }
    }

    /// Ends an effect: what is to be told of it is there with it.
    pub(super) fn seal(&self, tables: &mut Tables) {
        tables.append(&self.telling);
    }

    /// Returns what it holds.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Instant {
        as_recorded((self.clock)())
    }

    /// The same, for a statement that needs a catalog.
    pub(super) fn there(&self) -> Answer<MutexGuard<'_, Tables>> {
        let tables = self.tables();
        if tables.meta.is_some() { Ok(tables) } else { Err(CatalogError::Absent) }
    }

    /// The same, for an effect that a lease guards.
    pub(super) fn fenced(&self, lease: &Lease) -> Answer<MutexGuard<'_, Tables>> {
        let tables = self.there()?;
        let held = tables.claims.get(&lease.action).is_some_and(|c| c.token == lease.token && c.until.is_some());
        if held { Ok(tables) } else { Err(CatalogError::Fenced { action: lease.action, token: lease.token }) }
    }
}

impl Tables {
    /// Appends events to the chain.
    pub(super) fn append(&mut self, events: &[AuditEvent]) {
        for event in events {
            self.audit.push(format!("{} {} {}", event.at, event.event, event.subject));
            if let Some(meta) = &mut self.meta {
                meta.head = Some(digest_of(&(meta.head, &event.event, &event.subject)));
            }
        }
    }

    pub fn completed(&mut self, backup: &BackupId) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| &row.backup == backup && row.done.is_some())
    }

    pub(super) fn attempt(&mut self, backup: &BackupId, attempt: u64) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| &row.backup == backup && row.attempt == attempt)
    }

    pub(super) fn holder(
        &self,
        schedule: &Name,
        database: Option<&Name>,
        scope: &Scope,
        slot: Instant,
    ) -> Option<&Row> {
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

    pub(super) fn needed(&self, backup: &BackupId) -> bool {
        self.rows.iter().any(|row| {
            let names = row.shared.as_ref() == Some(backup) || row.parent.as_ref() == Some(backup);
            names && !row.deleted && (row.status == Status::Completed || row.collected.is_none())
        })
    }

    /// Why a backup is its scope's floor.
    pub(super) fn floor(&self, me: &Row, min_keep: u32) -> Option<&'static str> {
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

    /// The instant of the newest backup of a backup's scope.
    pub(super) fn newest(&self, me: &Row) -> Option<Instant> {
        let own = me.done.as_ref()?;
        let there = self.rows.iter().filter(|o| !o.deleted).filter_map(|o| o.done.as_ref());
        let same = |o: &&Backup| (&o.schedule, &o.database, &o.scope) == (&own.schedule, &own.database, &own.scope);
        there.filter(same).filter(|o| o.tombstoned_at.is_none()).map(|o| o.consistent_at).max()
    }

    pub(super) fn advance(&mut self, schedule: &Name, database: Option<&Name>, slot: Instant) {
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
            canceled: Vec::new(),
            removals: BTreeMap::new(),
            tenants: self.tenants.values().cloned().collect(),
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
                    .holder(&work.schedule, work.database.as_ref(), &work.scope, work.slot)
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

    async fn newest_evidence(&self) -> Answer<Vec<(Name, Evidence)>> {
        let tables = self.there()?;
        let mut newest: BTreeMap<&Name, &DrillRow> = BTreeMap::new();
        for row in &tables.drills {
            let known = newest.entry(&row.plan).or_insert(row);
            if known.attempt < row.attempt {
                *known = row;
            }
        }
        Ok(newest.into_iter().map(|(plan, row)| (plan.clone(), row.evidence.clone())).collect())
    }

    async fn audit_head(&self) -> Answer<Option<Digest>> {
        Ok(self.there()?.meta.as_ref().and_then(|meta| meta.head))
    }
}
