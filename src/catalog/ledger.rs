//! The catalog as those see it who work with it: an interface, so that the executor can be run against another one than
//! PostgreSQL's. What each question and each effect means is told where PostgreSQL's is: at [`Reader`] and [`Writer`].
//! An implementation keeps their promises: every effect is whole or not there, and a guarded one passes the fence first.

use async_trait::async_trait;

use super::{
    AuditEvent, Begun, CatalogError, ClaimOutcome, Completed, Completion, Created, DigestKey, DocumentChange, Intended,
    Intent, Lease, MarkOutcome, OutcomeRow, Reader, Reading, ReadingEnd, ReadingKind, StoreRecord, Validation, Writer,
};
use crate::domain::{
    Action, ActionId, ActionOutcome, Address, BackupId, CatalogState, Digest, DrillWork, Evidence, Instant, Name,
    Period, Plan, PruneWork, RunId, Tenant,
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

    async fn begin_plan(&self, plan: &Plan, run: &RunId, at: Instant) -> Answer<Begun>;
    async fn record_outcome(&self, plan: &Digest, outcome: &ActionOutcome, run: &RunId, at: Instant) -> Answer<()>;
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
    async fn show_next_runs(&self, next: &[(Name, Option<Instant>)]) -> Answer<()>;
    async fn settle(
        &self,
        lease: &Lease,
        schedule: &Name,
        database: Option<&Name>,
        slots: &[Instant],
        scopes: u64,
        at: Instant,
    ) -> Answer<()>;

    async fn intend_backup(&self, lease: &Lease, intent: &Intent<'_>) -> Answer<Intended>;
    async fn complete_backup(&self, lease: &Lease, done: &Completed<'_>, at: Instant) -> Answer<Completion>;
    async fn fail_backup(&self, lease: &Lease, backup: &BackupId, error: &str, at: Instant) -> Answer<()>;
    async fn condemn(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<MarkOutcome>;
    async fn collected(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<()>;

    async fn validated(&self, look: &Validation<'_>) -> Answer<()>;
    async fn quarantine(&self, backup: &BackupId, reason: &str, at: Instant) -> Answer<MarkOutcome>;
    async fn tombstone(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome>;
    async fn undelete(&self, backup: &BackupId) -> Answer<MarkOutcome>;
    async fn intend_purge(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome>;
    async fn purged(&self, lease: &Lease, backup: &BackupId, at: Instant) -> Answer<MarkOutcome>;

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
        Self::clock(self).await
    }

    async fn state(&self) -> Answer<CatalogState> {
        Self::state(self).await
    }

    async fn finished_plan(&self, digest: &Digest) -> Answer<Option<Instant>> {
        Self::finished_plan(self, digest).await
    }

    async fn outcomes(&self, digest: &Digest) -> Answer<Vec<OutcomeRow>> {
        Self::outcomes(self, digest).await
    }

    async fn unmet(&self, action: &Action, now: Instant) -> Answer<Option<String>> {
        Self::unmet(self, action, now).await
    }

    async fn applied_digest(&self, address: &Address) -> Answer<Option<Digest>> {
        Self::applied_digest(self, address).await
    }

    async fn digest_key(&self, store: &Name, database: &Name) -> Answer<Option<DigestKey>> {
        Self::digest_key(self, store, database).await
    }

    async fn evidence_head(&self) -> Answer<Option<Digest>> {
        Self::evidence_head(self).await
    }

    async fn newest_evidence(&self) -> Answer<Vec<(Name, Evidence)>> {
        Self::newest_evidence(self).await
    }

    async fn audit_head(&self) -> Answer<Option<Digest>> {
        Self::audit_head(self).await
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
        Self::create(self, lineage, simulated).await
    }

    async fn set_clock(&self, to: Instant) -> Answer<()> {
        Self::set_clock(self, to).await
    }

    async fn bump_serial(&self, run: &RunId) -> Answer<i64> {
        Self::bump_serial(self, run).await
    }

    async fn audit(&self, events: &[AuditEvent]) -> Answer<Option<Digest>> {
        Self::audit(self, events).await
    }

    async fn claim(&self, action: ActionId, runner: &str, lease: Period) -> Answer<ClaimOutcome> {
        Self::claim(self, action, runner, lease).await
    }

    async fn claim_many(&self, actions: &[ActionId], runner: &str, lease: Period, most: u32) -> Answer<Vec<Lease>> {
        Self::claim_many(self, actions, runner, lease, most).await
    }

    async fn heartbeat(&self, leases: &[Lease], lease: Period) -> Answer<Vec<Lease>> {
        Self::heartbeat(self, leases, lease).await
    }

    async fn release(&self, lease: &Lease) -> Answer<()> {
        Self::release(self, lease).await
    }

    async fn begin_plan(&self, plan: &Plan, run: &RunId, at: Instant) -> Answer<Begun> {
        Self::begin_plan(self, plan, run, at).await
    }

    async fn record_outcome(&self, plan: &Digest, outcome: &ActionOutcome, run: &RunId, at: Instant) -> Answer<()> {
        Self::record_outcome(self, plan, outcome, run, at).await
    }

    async fn finish_plan(&self, digest: &Digest, at: Instant) -> Answer<()> {
        Self::finish_plan(self, digest, at).await
    }

    async fn apply_document_if(
        &self,
        lease: &Lease,
        change: &DocumentChange<'_>,
        expected: Option<Digest>,
    ) -> Answer<bool> {
        Self::apply_document_if(self, lease, change, expected).await
    }

    async fn store_learnt(&self, lease: &Lease, record: &StoreRecord) -> Answer<()> {
        Self::store_learnt(self, lease, record).await
    }

    async fn keep_digest_key(&self, store: &Name, database: &Name, offered: &DigestKey) -> Answer<DigestKey> {
        Self::keep_digest_key(self, store, database, offered).await
    }

    async fn tenants_seen(&self, database: &Name, tenants: &[(Tenant, Option<Name>)], at: Instant) -> Answer<()> {
        Self::tenants_seen(self, database, tenants, at).await
    }

    async fn show_next_runs(&self, next: &[(Name, Option<Instant>)]) -> Answer<()> {
        Self::show_next_runs(self, next).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        schedule: &Name,
        database: Option<&Name>,
        slots: &[Instant],
        scopes: u64,
        at: Instant,
    ) -> Answer<()> {
        Self::settle(self, lease, schedule, database, slots, scopes, at).await
    }

    async fn intend_backup(&self, lease: &Lease, intent: &Intent<'_>) -> Answer<Intended> {
        Self::intend_backup(self, lease, intent).await
    }

    async fn complete_backup(&self, lease: &Lease, done: &Completed<'_>, at: Instant) -> Answer<Completion> {
        Self::complete_backup(self, lease, done, at).await
    }

    async fn fail_backup(&self, lease: &Lease, backup: &BackupId, error: &str, at: Instant) -> Answer<()> {
        Self::fail_backup(self, lease, backup, error, at).await
    }

    async fn condemn(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<MarkOutcome> {
        Self::condemn(self, lease, backup, attempt, at).await
    }

    async fn collected(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<()> {
        Self::collected(self, lease, backup, attempt, at).await
    }

    async fn validated(&self, look: &Validation<'_>) -> Answer<()> {
        Self::validated(self, look).await
    }

    async fn quarantine(&self, backup: &BackupId, reason: &str, at: Instant) -> Answer<MarkOutcome> {
        Self::quarantine(self, backup, reason, at).await
    }

    async fn tombstone(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome> {
        Self::tombstone(self, lease, work, at).await
    }

    async fn undelete(&self, backup: &BackupId) -> Answer<MarkOutcome> {
        Self::undelete(self, backup).await
    }

    async fn intend_purge(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome> {
        Self::intend_purge(self, lease, work, at).await
    }

    async fn purged(&self, lease: &Lease, backup: &BackupId, at: Instant) -> Answer<MarkOutcome> {
        Self::purged(self, lease, backup, at).await
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
        Self::begin_reading(self, kind, backups, target, runner, lease, at).await
    }

    async fn keep_reading(&self, reading: &Reading, lease: Period) -> Answer<bool> {
        Self::keep_reading(self, reading, lease).await
    }

    async fn end_reading(&self, reading: &Reading, end: &ReadingEnd, at: Instant) -> Answer<()> {
        Self::end_reading(self, reading, end, at).await
    }

    async fn record_drill(&self, lease: &Lease, work: &DrillWork, evidence: &Evidence, run: &RunId) -> Answer<()> {
        Self::record_drill(self, lease, work, evidence, run).await
    }
}
