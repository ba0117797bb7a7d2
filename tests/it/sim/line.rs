//! A runner's connection to the catalog: every statement goes through its weather, and what deletes is looked at by the
//! auditor at the moment it happens.

use std::sync::Arc;

use async_trait::async_trait;
use bkup::catalog::{
    AuditEvent, Begun, CatalogError, ClaimOutcome, Completed, Completion, Created, DigestKey, DocumentChange, Failure,
    Intended, Intent, Lease, Ledger, MarkOutcome, OutcomeRow, ReadLedger, Reading, ReadingEnd, ReadingKind,
    StoreRecord, Validation,
};
use bkup::domain::{
    Action, ActionId, ActionOutcome, Address, BackupId, CatalogState, Digest, DrillWork, Evidence, Instant, Name,
    Period, Plan, PruneWork, RunId, Tenant, TenantWork,
};

use super::auditor::Auditor;
use super::ledger::Memory;
use super::weather::Weather;

/// A runner's connection.
pub struct Connection {
    pub catalog: Arc<Memory>,
    pub weather: Arc<Weather>,
    pub auditor: Arc<Auditor>,
    pub runner: String,
}

type Answer<T> = Result<T, CatalogError>;

#[async_trait]
impl ReadLedger for Connection {
    async fn clock(&self) -> Answer<Instant> {
        self.weather.ask(false, "clock", self.catalog.clock()).await
    }

    async fn state(&self) -> Answer<CatalogState> {
        self.weather.ask(false, "state", self.catalog.state()).await
    }

    async fn finished_plan(&self, digest: &Digest) -> Answer<Option<Instant>> {
        self.weather.ask(false, "finished_plan", self.catalog.finished_plan(digest)).await
    }

    async fn outcomes(&self, digest: &Digest) -> Answer<Vec<OutcomeRow>> {
        self.weather.ask(false, "outcomes", self.catalog.outcomes(digest)).await
    }

    async fn unmet(&self, action: &Action, now: Instant) -> Answer<Option<String>> {
        self.weather.ask(false, "unmet", self.catalog.unmet(action, now)).await
    }

    async fn applied_digest(&self, address: &Address) -> Answer<Option<Digest>> {
        self.weather.ask(false, "applied_digest", self.catalog.applied_digest(address)).await
    }

    async fn digest_key(&self, store: &Name, database: &Name) -> Answer<Option<DigestKey>> {
        self.weather.ask(false, "digest_key", self.catalog.digest_key(store, database)).await
    }

    async fn evidence_head(&self) -> Answer<Option<Digest>> {
        self.weather.ask(false, "evidence_head", self.catalog.evidence_head()).await
    }

    async fn newest_evidence(&self) -> Answer<Vec<(Name, Evidence)>> {
        self.weather.ask(false, "newest_evidence", self.catalog.newest_evidence()).await
    }

    async fn audit_head(&self) -> Answer<Option<Digest>> {
        self.weather.ask(false, "audit_head", self.catalog.audit_head()).await
    }
}

#[async_trait]
impl Ledger for Connection {
    fn reader(&self) -> &dyn ReadLedger {
        self
    }

    fn telling(&self, event: AuditEvent) -> Box<dyn Ledger> {
        Box::new(Self {
            catalog: Arc::new(self.catalog.that_tells(event)),
            weather: Arc::clone(&self.weather),
            auditor: Arc::clone(&self.auditor),
            runner: self.runner.clone(),
        })
    }

    async fn create(&self, lineage: &str, simulated: Option<Instant>) -> Answer<Created> {
        self.weather.ask(true, "create", self.catalog.create(lineage, simulated)).await
    }

    async fn set_clock(&self, to: Instant) -> Answer<()> {
        self.weather.ask(true, "set_clock", self.catalog.set_clock(to)).await
    }

    async fn bump_serial(&self, run: &RunId) -> Answer<i64> {
        self.weather.ask(true, "bump_serial", self.catalog.bump_serial(run)).await
    }

    async fn audit(&self, events: &[AuditEvent]) -> Answer<Option<Digest>> {
        self.weather.ask(true, "audit", self.catalog.audit(events)).await
    }

    async fn claim(&self, action: ActionId, runner: &str, lease: Period) -> Answer<ClaimOutcome> {
        self.weather.ask(true, "claim", self.catalog.claim(action, runner, lease)).await
    }

    async fn claim_many(&self, actions: &[ActionId], runner: &str, lease: Period, most: u32) -> Answer<Vec<Lease>> {
        self.weather.ask(true, "claim_many", self.catalog.claim_many(actions, runner, lease, most)).await
    }

    async fn heartbeat(&self, leases: &[Lease], lease: Period) -> Answer<Vec<Lease>> {
        self.weather.ask(false, "heartbeat", self.catalog.heartbeat(leases, lease)).await
    }

    async fn release(&self, lease: &Lease) -> Answer<()> {
        self.weather.ask(true, "release", self.catalog.release(lease)).await
    }

    async fn begin_plan(&self, plan: &Plan, run: &RunId, at: Instant) -> Answer<Begun> {
        self.weather.ask(true, "begin_plan", self.catalog.begin_plan(plan, run, at)).await
    }

    async fn record_outcomes(&self, plan: &Digest, outcomes: &[ActionOutcome], run: &RunId, at: Instant) -> Answer<()> {
        self.weather.ask(true, "record_outcomes", self.catalog.record_outcomes(plan, outcomes, run, at)).await
    }

    async fn finish_plan(&self, digest: &Digest, at: Instant) -> Answer<()> {
        self.weather.ask(true, "finish_plan", self.catalog.finish_plan(digest, at)).await
    }

    async fn apply_document_if(
        &self,
        lease: &Lease,
        change: &DocumentChange<'_>,
        expected: Option<Digest>,
    ) -> Answer<bool> {
        self.weather.ask(true, "apply_document_if", self.catalog.apply_document_if(lease, change, expected)).await
    }

    async fn store_learnt(&self, lease: &Lease, record: &StoreRecord) -> Answer<()> {
        self.weather.ask(true, "store_learnt", self.catalog.store_learnt(lease, record)).await
    }

    async fn keep_digest_key(&self, store: &Name, database: &Name, offered: &DigestKey) -> Answer<DigestKey> {
        self.weather.ask(true, "keep_digest_key", self.catalog.keep_digest_key(store, database, offered)).await
    }

    async fn tenants_seen(&self, database: &Name, tenants: &[(Tenant, Option<Name>)], at: Instant) -> Answer<()> {
        self.weather.ask(true, "tenants_seen", self.catalog.tenants_seen(database, tenants, at)).await
    }

    async fn offboard(&self, lease: &Lease, work: &TenantWork, at: Instant) -> Answer<MarkOutcome> {
        self.weather.ask(true, "offboard", self.catalog.offboard(lease, work, at)).await
    }

    async fn onboard(&self, lease: &Lease, work: &TenantWork, at: Instant) -> Answer<MarkOutcome> {
        self.weather.ask(true, "onboard", self.catalog.onboard(lease, work, at)).await
    }

    async fn show_next_runs(&self, next: &[(Name, Option<Instant>)]) -> Answer<()> {
        self.weather.ask(true, "show_next_runs", self.catalog.show_next_runs(next)).await
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
        self.weather.ask(true, "settle", self.catalog.settle(lease, schedule, database, slots, scopes, at)).await
    }

    async fn intend_backup(&self, lease: &Lease, intent: &Intent<'_>) -> Answer<Intended> {
        self.weather.ask(true, "intend_backup", self.catalog.intend_backup(lease, intent)).await
    }

    async fn complete_backup(&self, lease: &Lease, done: &Completed<'_>, at: Instant) -> Answer<Completion> {
        self.weather.ask(true, "complete_backup", self.catalog.complete_backup(lease, done, at)).await
    }

    async fn fail_backups(&self, failures: &[Failure], at: Instant) -> Answer<()> {
        self.weather.ask(true, "fail_backups", self.catalog.fail_backups(failures, at)).await
    }

    async fn condemn(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<MarkOutcome> {
        self.weather.ask(true, "condemn", self.catalog.condemn(lease, backup, attempt, at)).await
    }

    async fn collected(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<()> {
        self.weather.ask(true, "collected", self.catalog.collected(lease, backup, attempt, at)).await
    }

    async fn validated(&self, look: &Validation<'_>) -> Answer<()> {
        self.weather.ask(true, "validated", self.catalog.validated(look)).await
    }

    async fn quarantine(&self, backup: &BackupId, reason: &str, at: Instant) -> Answer<MarkOutcome> {
        self.weather.ask(true, "quarantine", self.catalog.quarantine(backup, reason, at)).await
    }

    async fn tombstone(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome> {
        let statement = async {
            let before = self.auditor.before_tombstone(&self.runner, lease, work);
            let marked = self.catalog.tombstone(lease, work, at).await;
            if matches!(marked, Ok(MarkOutcome::Done)) {
                self.auditor.after_tombstone(&self.runner, lease, work, before);
            }
            marked
        };
        self.weather.ask(true, "tombstone", statement).await
    }

    async fn undelete(&self, backup: &BackupId, pinned_until: Option<Instant>) -> Answer<(MarkOutcome, u32)> {
        self.weather.ask(true, "undelete", self.catalog.undelete(backup, pinned_until)).await
    }

    async fn intend_purge(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome> {
        let statement = async {
            let before = self.auditor.before_intend_purge(&self.runner, lease, work);
            let marked = self.catalog.intend_purge(lease, work, at).await;
            if matches!(marked, Ok(MarkOutcome::Done)) {
                self.auditor.after_intend_purge(&self.runner, lease, work, before);
            }
            marked
        };
        self.weather.ask(true, "intend_purge", statement).await
    }

    async fn purged(&self, lease: &Lease, backup: &BackupId, at: Instant) -> Answer<MarkOutcome> {
        self.weather.ask(true, "purged", self.catalog.purged(lease, backup, at)).await
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
        self.weather
            .ask(true, "begin_reading", self.catalog.begin_reading(kind, backups, target, runner, lease, at))
            .await
    }

    async fn keep_reading(&self, reading: &Reading, lease: Period) -> Answer<bool> {
        self.weather.ask(false, "keep_reading", self.catalog.keep_reading(reading, lease)).await
    }

    async fn end_reading(&self, reading: &Reading, end: &ReadingEnd, at: Instant) -> Answer<()> {
        self.weather.ask(true, "end_reading", self.catalog.end_reading(reading, end, at)).await
    }

    async fn record_drill(&self, lease: &Lease, work: &DrillWork, evidence: &Evidence, run: &RunId) -> Answer<()> {
        self.weather.ask(true, "record_drill", self.catalog.record_drill(lease, work, evidence, run)).await
    }
}
