//! The catalog as those see it who work with it: an interface, so that the executor can be run against another one than
//! PostgreSQL's. What each question and each effect means is told where PostgreSQL's is: at [`Reader`] and [`Writer`].
//! An implementation keeps their promises: every effect is whole or not there, and a guarded one passes the fence first.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_trait::async_trait;

use super::session::answered;
use super::{
    AuditEvent, Begun, CatalogError, ClaimOutcome, Completed, Completion, Created, DigestKey, DocumentChange,
    ErasureAsked, ErasureBegun, Failure, Intended, Intent, Lease, MarkOutcome, Meta, OutcomeRow, PlanEnd, Reader,
    Reading, ReadingEnd, ReadingKind, Recorded, RecordedBackup, RecordedObjects, Rename, RunBegin, StoreRecord,
    ToComplete, Validation, Writer,
};
use crate::domain::{
    Action, ActionId, ActionOutcome, Address, ApplyReport, BackupId, CatalogFacts, CatalogSigns, CatalogState, Digest,
    DrillWork, Erased, Evidence, Instant, Kept, Name, Period, Plan, PruneWork, RemovedBackups, RunId, Tenant,
    TenantWork,
};

type Answer<T> = Result<T, CatalogError>;

/// A catalog as a reader sees it: no method writes.
#[async_trait]
#[expect(missing_docs, reason = "each is told at `Reader`, under the same name")]
pub trait ReadLedger: Send + Sync {
    async fn clock(&self) -> Answer<Instant>;
    async fn state(&self) -> Answer<CatalogState>;
    async fn finished_plan(&self, digest: &Digest) -> Answer<Option<Instant>>;
    async fn outcomes(&self, digest: &Digest) -> Answer<Vec<OutcomeRow>>;
    async fn unmet(&self, action: &Action, now: Instant) -> Answer<Option<String>>;
    async fn applied_digest(&self, address: &Address) -> Answer<Option<Digest>>;
    async fn digest_key(&self, store: &Name, database: &Name) -> Answer<Option<DigestKey>>;
    async fn evidence_head(&self) -> Answer<Option<Digest>>;
    async fn newest_evidence(&self) -> Answer<Vec<(Name, Evidence)>>;
    async fn audit_head(&self) -> Answer<Option<Digest>>;

    // What tells drift: a catalog that records none of it says nothing of it.

    async fn signs(&self) -> Answer<CatalogSigns> {
        Ok(CatalogSigns::default())
    }
    /// `None`: what objects a backup has is not recorded, and nothing is said of them.
    async fn state_and_objects(&self) -> Answer<(CatalogState, Option<RecordedObjects>)> {
        Ok((self.state().await?, None))
    }
    async fn recorded_backups(&self, _backups: &[&BackupId]) -> Answer<Vec<(BackupId, RecordedBackup)>> {
        Ok(Vec::new())
    }
    async fn ended_attempts(&self, _attempts: &[(BackupId, u64)]) -> Answer<HashSet<(BackupId, u64)>> {
        Ok(HashSet::new())
    }
    /// A catalog that no store could bring back keeps nothing for them.
    async fn kept(&self) -> Answer<Kept> {
        Ok(Kept::default())
    }

    // Narrow questions. What a catalog does not answer by itself is looked up in its whole state.

    async fn meta(&self) -> Answer<Option<Meta>> {
        Ok(present(self.state().await?).map(|facts| Meta {
            version: facts.version,
            lineage: facts.lineage,
            serial: facts.serial,
            simulated: facts.simulated,
        }))
    }
    async fn plan_end(&self, digest: &Digest) -> Answer<Option<PlanEnd>> {
        let at = self.finished_plan(digest).await?;
        let run = self.outcomes(digest).await?.into_iter().rev().find_map(|row| row.run);
        Ok(at.map(|at| PlanEnd { run: run.unwrap_or_default(), at }))
    }
    async fn applied_digests(&self, addresses: &[&Address]) -> Answer<BTreeMap<Address, Digest>> {
        let applied = present(self.state().await?).map(|facts| facts.applied).unwrap_or_default();
        let wanted = applied.into_iter().filter(|(address, _)| addresses.contains(&address));
        Ok(wanted.map(|(address, applied)| (address, applied.digest)).collect())
    }
    async fn completed(&self, backups: &[&BackupId]) -> Answer<BTreeSet<BackupId>> {
        let there = present(self.state().await?).map(|facts| facts.backups).unwrap_or_default();
        Ok(there.into_iter().map(|backup| backup.id).filter(|id| backups.contains(&id)).collect())
    }
    async fn restorable(&self, backup: &BackupId) -> Answer<bool> {
        let there = present(self.state().await?).map(|facts| facts.backups).unwrap_or_default();
        Ok(there.iter().any(|b| b.id == *backup && b.quarantine.is_none() && b.tombstoned_at.is_none()))
    }
    async fn store_id(&self, store: &Name) -> Answer<Option<String>> {
        Ok(present(self.state().await?).and_then(|facts| facts.stores.get(store).cloned()))
    }
    async fn drill_attempts(&self, plan: &Name) -> Answer<u64> {
        Ok(present(self.state().await?).and_then(|facts| Some(facts.drills.get(plan)?.attempts)).unwrap_or(0))
    }
    async fn recorded(&self) -> Answer<Option<Recorded>> {
        Ok(present(self.state().await?).map(|facts| Recorded {
            lineage: facts.lineage,
            simulated: facts.simulated,
            applied: facts.applied,
            drills: facts.drills,
            progress: facts.progress,
            protected: facts.backups.into_iter().filter(|backup| backup.protected).map(|backup| backup.id).collect(),
        }))
    }
    /// Without an answer of its own, a catalog names nobody.
    async fn holders(&self, _actions: &[ActionId]) -> Answer<BTreeMap<ActionId, String>> {
        Ok(BTreeMap::new())
    }
    /// Without an answer of its own, a catalog that one runner works with.
    async fn runners(&self) -> Answer<u64> {
        Ok(1)
    }
    /// Without an answer of its own, a catalog in which nothing is canceled.
    async fn canceled(&self, _backup: &BackupId, _attempt: u64) -> Answer<Option<String>> {
        Ok(None)
    }
}

fn present(state: CatalogState) -> Option<Box<CatalogFacts>> {
    match state {
        CatalogState::Present(facts) => Some(facts),
        CatalogState::Absent => None,
    }
}

/// A catalog as an executor sees it.
#[async_trait]
#[expect(missing_docs, reason = "each is told at `Writer`, under the same name")]
pub trait Ledger: Send + Sync {
    fn reader(&self) -> &dyn ReadLedger;
    fn telling(&self, event: AuditEvent) -> Box<dyn Ledger>;

    async fn create(&self, lineage: &str, simulated: Option<Instant>) -> Answer<Created>;
    async fn set_clock(&self, to: Instant) -> Answer<()>;
    async fn bump_serial(&self, run: &RunId) -> Answer<i64>;
    async fn audit(&self, events: &[AuditEvent]) -> Answer<Option<Digest>>;

    async fn claim(&self, action: ActionId, runner: &str, lease: Period) -> Answer<ClaimOutcome>;
    async fn claim_many(&self, actions: &[ActionId], runner: &str, lease: Period, most: u32) -> Answer<Vec<Lease>>;
    async fn heartbeat(&self, leases: &[Lease], lease: Period) -> Answer<Vec<Lease>>;
    async fn release(&self, lease: &Lease) -> Answer<()>;
    /// A catalog may give them back one by one.
    async fn release_many(&self, leases: &[Lease]) -> Answer<()> {
        for lease in leases {
            self.release(lease).await?;
        }
        Ok(())
    }

    /// A catalog may keep no runs.
    async fn begin_run(&self, _begin: &RunBegin<'_>) -> Answer<()> {
        Ok(())
    }
    async fn keep_run(&self, _run: &RunId) -> Answer<Option<String>> {
        Ok(None)
    }
    async fn end_run(&self, _report: &ApplyReport) -> Answer<()> {
        Ok(())
    }

    async fn begin_plan(&self, plan: &Plan, run: &RunId, at: Instant) -> Answer<Begun>;
    async fn record_outcomes(&self, plan: &Digest, outcomes: &[ActionOutcome], run: &RunId, at: Instant) -> Answer<()>;
    async fn finish_plan(&self, digest: &Digest, at: Instant) -> Answer<()>;

    async fn apply_document_if(
        &self,
        lease: &Lease,
        change: &DocumentChange<'_>,
        expected: Option<Digest>,
    ) -> Answer<bool>;
    async fn store_learnt(&self, lease: &Lease, record: &StoreRecord) -> Answer<()>;
    async fn keep_digest_key(&self, store: &Name, database: &Name, offered: &DigestKey) -> Answer<DigestKey>;
    async fn tenants_seen(&self, database: &Name, tenants: &[(Tenant, Option<Name>)], at: Instant) -> Answer<()>;
    async fn offboard(&self, lease: &Lease, work: &TenantWork, at: Instant) -> Answer<MarkOutcome>;
    async fn onboard(&self, lease: &Lease, work: &TenantWork, at: Instant) -> Answer<MarkOutcome>;
    async fn show_next_runs(&self, next: &[(Name, Option<Instant>)]) -> Answer<()>;
    async fn settle(
        &self,
        lease: &Lease,
        schedule: &Name,
        database: Option<&Name>,
        slots: &[Instant],
        scopes: u64,
        at: Instant,
    ) -> Answer<u64>;

    async fn intend_backup(&self, lease: &Lease, intent: &Intent<'_>) -> Answer<Intended>;
    /// A catalog may record them one by one.
    async fn intend_backups(&self, intents: &[(&Lease, &Intent<'_>)]) -> Answer<Vec<Answer<Intended>>> {
        let mut answers = Vec::new();
        for (lease, intent) in intents {
            answers.push(self.intend_backup(lease, intent).await);
        }
        Ok(answers)
    }
    async fn complete_backup(&self, lease: &Lease, done: &Completed<'_>, at: Instant) -> Answer<Completion>;
    /// A catalog may record them one by one.
    async fn complete_backups(&self, all: &[ToComplete<'_>]) -> Answer<Vec<Answer<Completion>>> {
        let mut answers = Vec::new();
        for ToComplete { lease, done, told, at } in all {
            answers.push(self.telling(told.clone()).complete_backup(lease, done, *at).await);
        }
        Ok(answers)
    }
    async fn fail_backups(&self, failures: &[Failure], at: Instant) -> Answer<()>;
    async fn condemn(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<MarkOutcome>;
    async fn collected(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<()>;

    async fn validated(&self, look: &Validation<'_>) -> Answer<()>;
    async fn quarantine(&self, backup: &BackupId, reason: &str, at: Instant) -> Answer<MarkOutcome>;
    async fn tombstone(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome>;
    async fn undelete(&self, backup: &BackupId, pinned_until: Option<Instant>) -> Answer<(MarkOutcome, u32)>;
    /// Without an answer of its own, a catalog in which nothing is renamed.
    async fn rename(&self, _lease: &Lease, _rename: &Rename<'_>) -> Answer<MarkOutcome> {
        Ok(MarkOutcome::Refused("this catalog renames nothing".to_owned()))
    }
    /// Without an answer of its own, a catalog that records no removals.
    async fn record_removal(
        &self,
        _lease: &Lease,
        _address: &Address,
        _backups: RemovedBackups,
        _run: &RunId,
        _at: Instant,
    ) -> Answer<()> {
        Err(CatalogError::corrupt("removals", "are not recorded in this catalog"))
    }
    /// Without an answer of its own, a catalog that erases nobody.
    async fn begin_erasure(&self, _lease: &Lease, _asked: &ErasureAsked<'_>) -> Answer<ErasureBegun> {
        Ok(ErasureBegun::Refused("this catalog erases nobody".to_owned()))
    }
    async fn keys_destroyed(&self, _lease: &Lease, _backups: &[BackupId], _at: Instant) -> Answer<()> {
        Ok(())
    }
    async fn end_erasure(&self, _lease: &Lease, _digest: &Digest, _erased: &Erased) -> Answer<()> {
        Ok(())
    }
    async fn intend_purge(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome>;
    async fn purged(&self, lease: &Lease, backup: &BackupId, at: Instant) -> Answer<MarkOutcome>;
    /// A catalog without an archive moves nothing there.
    async fn archive(&self, _now: Instant) -> Answer<u64> {
        Ok(0)
    }

    async fn begin_reading(
        &self,
        kind: ReadingKind,
        backups: &[BackupId],
        target: &str,
        runner: &str,
        lease: Period,
        at: Instant,
    ) -> Answer<Reading>;
    async fn keep_reading(&self, reading: &Reading, lease: Period) -> Answer<bool>;
    async fn end_reading(&self, reading: &Reading, end: &ReadingEnd, at: Instant) -> Answer<()>;
    async fn record_drill(&self, lease: &Lease, work: &DrillWork, evidence: &Evidence, run: &RunId) -> Answer<()>;
}

// The methods below are those of the types themselves, which come before an interface's of the same name.

#[async_trait]
impl ReadLedger for Reader {
    async fn clock(&self) -> Answer<Instant> {
        answered(Self::clock(self)).await
    }

    async fn state(&self) -> Answer<CatalogState> {
        answered(Self::state(self)).await
    }

    async fn finished_plan(&self, digest: &Digest) -> Answer<Option<Instant>> {
        answered(Self::finished_plan(self, digest)).await
    }

    async fn outcomes(&self, digest: &Digest) -> Answer<Vec<OutcomeRow>> {
        answered(Self::outcomes(self, digest)).await
    }

    async fn unmet(&self, action: &Action, now: Instant) -> Answer<Option<String>> {
        answered(Self::unmet(self, action, now)).await
    }

    async fn applied_digest(&self, address: &Address) -> Answer<Option<Digest>> {
        answered(Self::applied_digest(self, address)).await
    }

    async fn digest_key(&self, store: &Name, database: &Name) -> Answer<Option<DigestKey>> {
        answered(Self::digest_key(self, store, database)).await
    }

    async fn evidence_head(&self) -> Answer<Option<Digest>> {
        answered(Self::evidence_head(self)).await
    }

    async fn newest_evidence(&self) -> Answer<Vec<(Name, Evidence)>> {
        answered(Self::newest_evidence(self)).await
    }

    async fn audit_head(&self) -> Answer<Option<Digest>> {
        answered(Self::audit_head(self)).await
    }

    async fn signs(&self) -> Answer<CatalogSigns> {
        answered(Self::signs(self)).await
    }

    async fn state_and_objects(&self) -> Answer<(CatalogState, Option<RecordedObjects>)> {
        let (state, objects) = answered(Self::state_and_objects(self)).await?;
        Ok((state, Some(objects)))
    }

    async fn recorded_backups(&self, backups: &[&BackupId]) -> Answer<Vec<(BackupId, RecordedBackup)>> {
        answered(Self::recorded_backups(self, backups)).await
    }

    async fn ended_attempts(&self, attempts: &[(BackupId, u64)]) -> Answer<HashSet<(BackupId, u64)>> {
        answered(Self::ended_attempts(self, attempts)).await
    }

    async fn kept(&self) -> Answer<Kept> {
        answered(Self::kept(self)).await
    }

    async fn meta(&self) -> Answer<Option<Meta>> {
        answered(Self::meta(self)).await
    }

    async fn plan_end(&self, digest: &Digest) -> Answer<Option<PlanEnd>> {
        answered(Self::plan_end(self, digest)).await
    }

    async fn applied_digests(&self, addresses: &[&Address]) -> Answer<BTreeMap<Address, Digest>> {
        answered(Self::applied_digests(self, addresses)).await
    }

    async fn completed(&self, backups: &[&BackupId]) -> Answer<BTreeSet<BackupId>> {
        answered(Self::completed(self, backups)).await
    }

    async fn restorable(&self, backup: &BackupId) -> Answer<bool> {
        answered(Self::restorable(self, backup)).await
    }

    async fn store_id(&self, store: &Name) -> Answer<Option<String>> {
        answered(Self::store_id(self, store)).await
    }

    async fn drill_attempts(&self, plan: &Name) -> Answer<u64> {
        answered(Self::drill_attempts(self, plan)).await
    }

    async fn recorded(&self) -> Answer<Option<Recorded>> {
        answered(Self::recorded(self)).await
    }

    async fn holders(&self, actions: &[ActionId]) -> Answer<BTreeMap<ActionId, String>> {
        answered(Self::holders(self, actions)).await
    }

    async fn runners(&self) -> Answer<u64> {
        answered(Self::runners(self)).await
    }

    async fn canceled(&self, backup: &BackupId, attempt: u64) -> Answer<Option<String>> {
        answered(Self::canceled(self, backup, attempt)).await
    }
}

#[async_trait]
impl Ledger for Writer {
    fn reader(&self) -> &dyn ReadLedger {
        Self::reader(self)
    }

    fn telling(&self, event: AuditEvent) -> Box<dyn Ledger> {
        Box::new(Self::telling(self, event))
    }

    async fn create(&self, lineage: &str, simulated: Option<Instant>) -> Answer<Created> {
        answered(Self::create(self, lineage, simulated)).await
    }

    async fn set_clock(&self, to: Instant) -> Answer<()> {
        answered(Self::set_clock(self, to)).await
    }

    async fn bump_serial(&self, run: &RunId) -> Answer<i64> {
        answered(Self::bump_serial(self, run)).await
    }

    async fn audit(&self, events: &[AuditEvent]) -> Answer<Option<Digest>> {
        answered(Self::audit(self, events)).await
    }

    async fn claim(&self, action: ActionId, runner: &str, lease: Period) -> Answer<ClaimOutcome> {
        answered(Self::claim(self, action, runner, lease)).await
    }

    async fn claim_many(&self, actions: &[ActionId], runner: &str, lease: Period, most: u32) -> Answer<Vec<Lease>> {
        answered(Self::claim_many(self, actions, runner, lease, most)).await
    }

    async fn heartbeat(&self, leases: &[Lease], lease: Period) -> Answer<Vec<Lease>> {
        answered(Self::heartbeat(self, leases, lease)).await
    }

    async fn release(&self, lease: &Lease) -> Answer<()> {
        answered(Self::release(self, lease)).await
    }

    async fn release_many(&self, leases: &[Lease]) -> Answer<()> {
        answered(Self::release_many(self, leases)).await
    }

    async fn begin_run(&self, begin: &RunBegin<'_>) -> Answer<()> {
        answered(Self::begin_run(self, begin)).await
    }

    async fn keep_run(&self, run: &RunId) -> Answer<Option<String>> {
        answered(Self::keep_run(self, run)).await
    }

    async fn end_run(&self, report: &ApplyReport) -> Answer<()> {
        answered(Self::end_run(self, report)).await
    }

    async fn begin_plan(&self, plan: &Plan, run: &RunId, at: Instant) -> Answer<Begun> {
        answered(Self::begin_plan(self, plan, run, at)).await
    }

    async fn record_outcomes(&self, plan: &Digest, outcomes: &[ActionOutcome], run: &RunId, at: Instant) -> Answer<()> {
        answered(Self::record_outcomes(self, plan, outcomes, run, at)).await
    }

    async fn finish_plan(&self, digest: &Digest, at: Instant) -> Answer<()> {
        answered(Self::finish_plan(self, digest, at)).await
    }

    async fn apply_document_if(
        &self,
        lease: &Lease,
        change: &DocumentChange<'_>,
        expected: Option<Digest>,
    ) -> Answer<bool> {
        answered(Self::apply_document_if(self, lease, change, expected)).await
    }

    async fn store_learnt(&self, lease: &Lease, record: &StoreRecord) -> Answer<()> {
        answered(Self::store_learnt(self, lease, record)).await
    }

    async fn keep_digest_key(&self, store: &Name, database: &Name, offered: &DigestKey) -> Answer<DigestKey> {
        answered(Self::keep_digest_key(self, store, database, offered)).await
    }

    async fn tenants_seen(&self, database: &Name, tenants: &[(Tenant, Option<Name>)], at: Instant) -> Answer<()> {
        answered(Self::tenants_seen(self, database, tenants, at)).await
    }

    async fn offboard(&self, lease: &Lease, work: &TenantWork, at: Instant) -> Answer<MarkOutcome> {
        answered(Self::offboard(self, lease, work, at)).await
    }

    async fn onboard(&self, lease: &Lease, work: &TenantWork, at: Instant) -> Answer<MarkOutcome> {
        answered(Self::onboard(self, lease, work, at)).await
    }

    async fn show_next_runs(&self, next: &[(Name, Option<Instant>)]) -> Answer<()> {
        answered(Self::show_next_runs(self, next)).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        schedule: &Name,
        database: Option<&Name>,
        slots: &[Instant],
        scopes: u64,
        at: Instant,
    ) -> Answer<u64> {
        answered(Self::settle(self, lease, schedule, database, slots, scopes, at)).await
    }

    async fn intend_backup(&self, lease: &Lease, intent: &Intent<'_>) -> Answer<Intended> {
        answered(Self::intend_backup(self, lease, intent)).await
    }

    async fn complete_backup(&self, lease: &Lease, done: &Completed<'_>, at: Instant) -> Answer<Completion> {
        answered(Self::complete_backup(self, lease, done, at)).await
    }

    async fn intend_backups(&self, intents: &[(&Lease, &Intent<'_>)]) -> Answer<Vec<Answer<Intended>>> {
        answered(Self::intend_backups(self, intents)).await
    }

    async fn complete_backups(&self, all: &[ToComplete<'_>]) -> Answer<Vec<Answer<Completion>>> {
        answered(Self::complete_backups(self, all)).await
    }

    async fn fail_backups(&self, failures: &[Failure], at: Instant) -> Answer<()> {
        answered(Self::fail_backups(self, failures, at)).await
    }

    async fn condemn(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<MarkOutcome> {
        answered(Self::condemn(self, lease, backup, attempt, at)).await
    }

    async fn collected(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<()> {
        answered(Self::collected(self, lease, backup, attempt, at)).await
    }

    async fn validated(&self, look: &Validation<'_>) -> Answer<()> {
        answered(Self::validated(self, look)).await
    }

    async fn quarantine(&self, backup: &BackupId, reason: &str, at: Instant) -> Answer<MarkOutcome> {
        answered(Self::quarantine(self, backup, reason, at)).await
    }

    async fn tombstone(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome> {
        answered(Self::tombstone(self, lease, work, at)).await
    }

    async fn undelete(&self, backup: &BackupId, pinned_until: Option<Instant>) -> Answer<(MarkOutcome, u32)> {
        answered(Self::undelete(self, backup, pinned_until)).await
    }

    async fn rename(&self, lease: &Lease, rename: &Rename<'_>) -> Answer<MarkOutcome> {
        answered(Self::rename(self, lease, rename)).await
    }

    async fn record_removal(
        &self,
        lease: &Lease,
        address: &Address,
        backups: RemovedBackups,
        run: &RunId,
        at: Instant,
    ) -> Answer<()> {
        answered(Self::record_removal(self, lease, address, backups, run, at)).await
    }

    async fn begin_erasure(&self, lease: &Lease, asked: &ErasureAsked<'_>) -> Answer<ErasureBegun> {
        answered(Self::begin_erasure(self, lease, asked)).await
    }

    async fn keys_destroyed(&self, lease: &Lease, backups: &[BackupId], at: Instant) -> Answer<()> {
        answered(Self::keys_destroyed(self, lease, backups, at)).await
    }

    async fn end_erasure(&self, lease: &Lease, digest: &Digest, erased: &Erased) -> Answer<()> {
        answered(Self::end_erasure(self, lease, digest, erased)).await
    }

    async fn intend_purge(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome> {
        answered(Self::intend_purge(self, lease, work, at)).await
    }

    async fn purged(&self, lease: &Lease, backup: &BackupId, at: Instant) -> Answer<MarkOutcome> {
        answered(Self::purged(self, lease, backup, at)).await
    }

    async fn archive(&self, now: Instant) -> Answer<u64> {
        answered(Self::archive(self, now)).await
    }

    async fn begin_reading(
        &self,
        kind: ReadingKind,
        backups: &[BackupId],
        target: &str,
        runner: &str,
        lease: Period,
        at: Instant,
    ) -> Answer<Reading> {
        answered(Self::begin_reading(self, kind, backups, target, runner, lease, at)).await
    }

    async fn keep_reading(&self, reading: &Reading, lease: Period) -> Answer<bool> {
        answered(Self::keep_reading(self, reading, lease)).await
    }

    async fn end_reading(&self, reading: &Reading, end: &ReadingEnd, at: Instant) -> Answer<()> {
        answered(Self::end_reading(self, reading, end, at)).await
    }

    async fn record_drill(&self, lease: &Lease, work: &DrillWork, evidence: &Evidence, run: &RunId) -> Answer<()> {
        answered(Self::record_drill(self, lease, work, evidence, run)).await
    }
}
