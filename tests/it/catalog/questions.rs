//! Narrow questions have the answers that the whole state gives; and what was canceled is fenced off.

use async_trait::async_trait;
use bkup::catalog::{
    CancelWish, CatalogError, DigestKey, Intent, LEASE, OutcomeRow, ReadLedger, Reader, RunBegin, Writer,
};
use bkup::domain::{
    Action, Address, BackupId, CanceledSlot, CatalogState, Digest, Evidence, Instant, Meant, Name, Scope, digest_of,
};

use super::build::{action, at, claim, facts, manifest, name, run, take, work};
use super::scratch::database;

/// A catalog that answers only what every catalog must: the rest is looked up in its whole state.
struct Whole<'a>(&'a Reader);

#[async_trait]
impl ReadLedger for Whole<'_> {
    async fn clock(&self) -> Result<Instant, CatalogError> {
        self.0.clock().await
    }
    async fn state(&self) -> Result<CatalogState, CatalogError> {
        self.0.state().await
    }
    async fn finished_plan(&self, digest: &Digest) -> Result<Option<Instant>, CatalogError> {
        self.0.finished_plan(digest).await
    }
    async fn outcomes(&self, digest: &Digest) -> Result<Vec<OutcomeRow>, CatalogError> {
        self.0.outcomes(digest).await
    }
    async fn unmet(&self, action: &Action, now: Instant) -> Result<Option<String>, CatalogError> {
        self.0.unmet(action, now).await
    }
    async fn applied_digest(&self, address: &Address) -> Result<Option<Digest>, CatalogError> {
        self.0.applied_digest(address).await
    }
    async fn digest_key(&self, store: &Name, database: &Name) -> Result<Option<DigestKey>, CatalogError> {
        self.0.digest_key(store, database).await
    }
    async fn evidence_head(&self) -> Result<Option<Digest>, CatalogError> {
        self.0.evidence_head().await
    }
    async fn newest_evidence(&self) -> Result<Vec<(Name, Evidence)>, CatalogError> {
        self.0.newest_evidence().await
    }
    async fn audit_head(&self) -> Result<Option<Digest>, CatalogError> {
        self.0.audit_head().await
    }
}

/// Asserts that every narrow question has the whole state's answer.
pub async fn assert_narrow(writer: &Writer) {
    let reader = writer.reader();
    let whole = Whole(reader);
    let known = facts(writer).await;
    assert_eq!(reader.meta().await.unwrap(), whole.meta().await.unwrap());
    let mut addresses: Vec<&Address> = known.applied.keys().collect();
    let never: Address = "schedule.never".parse().unwrap();
    addresses.push(&never);
    assert_eq!(reader.applied_digests(&addresses).await.unwrap(), whole.applied_digests(&addresses).await.unwrap());
    let unknown = BackupId::from_text("20260301T020000Z-nightly-none".to_owned());
    let mut backups: Vec<&BackupId> = known.backups.iter().map(|backup| &backup.id).collect();
    backups.push(&unknown);
    assert_eq!(reader.completed(&backups).await.unwrap(), whole.completed(&backups).await.unwrap());
    for backup in &backups {
        assert_eq!(reader.restorable(backup).await.unwrap(), whole.restorable(backup).await.unwrap(), "{backup}");
    }
    for store in known.stores.keys().chain([&name("never")]) {
        assert_eq!(reader.store_id(store).await.unwrap(), whole.store_id(store).await.unwrap());
    }
    for plan in known.drills.keys().chain([&name("never")]) {
        assert_eq!(reader.drill_attempts(plan).await.unwrap(), whole.drill_attempts(plan).await.unwrap());
    }
    assert_eq!(reader.recorded().await.unwrap(), whole.recorded().await.unwrap());
}

async fn made() -> (super::scratch::Guard, Writer) {
    let (guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", None).await.unwrap();
    (guard, writer)
}

#[tokio::test]
async fn a_canceled_attempt_is_fenced_off_and_its_slot_is_told() {
    let (_guard, writer) = made().await;
    let slot = at("2026-03-01T02:00:00Z");
    let done = take(&writer, Scope::Shared, slot).await;
    let scope = Scope::Tenant("acme".to_owned());
    let (work, run) = (work(scope.clone(), slot), run());
    let begin = RunBegin { run: &run, plan: &digest_of(&1), runner: "a", actor: "ann", at: slot };
    writer.begin_run(&begin).await.unwrap();
    let lease = claim(&writer, action(&scope, slot)).await;
    writer.intend_backup(&lease, &Intent { work: &work, run: &run, started_at: slot }).await.unwrap();
    let wish = CancelWish { by: "bob", reason: Some("too \0 late"), at: slot };

    let backup = Meant::Backup(done.backup.to_string());
    assert_eq!(writer.cancel(&backup, &wish).await.unwrap(), Some(Vec::new()), "what is done stays");
    assert_eq!(writer.keep_run(&run).await.unwrap(), None);
    let canceled = writer.cancel(&Meant::Run(run.to_string()), &wish).await.unwrap().unwrap();
    assert_eq!(canceled.len(), 1);
    assert_eq!((canceled[0].backup.as_str(), canceled[0].attempt), (work.backup.as_str(), lease.token));
    let words = "canceled by bob: too \u{fffd} late";
    assert_eq!(writer.keep_run(&run).await.unwrap().as_deref(), Some(words));
    assert_eq!(writer.reader().canceled(&work.backup, lease.token).await.unwrap().as_deref(), Some(words));

    assert_eq!(writer.heartbeat(std::slice::from_ref(&lease), LEASE).await.unwrap(), std::slice::from_ref(&lease));
    let manifest = manifest(&work, lease.token);
    let completed =
        bkup::catalog::Completed { manifest: &manifest, manifest_key: "key", store: &name("primary"), verified: None };
    let late = writer.complete_backup(&lease, &completed, slot).await;
    assert!(matches!(late, Err(CatalogError::Fenced { .. })), "{late:?}");
    let state = facts(&writer).await;
    let expected = CanceledSlot {
        schedule: work.schedule.clone(),
        database: work.database.clone(),
        scope,
        slot,
        at: slot,
        words: words.to_owned(),
    };
    assert_eq!(state.canceled, [expected]);
    assert_eq!(state.garbage.len(), 1, "what it has written is collected");
    // By its execution's own id, and once more: there is nothing left.
    let again = writer.cancel(&Meant::Execution(canceled[0].execution.clone()), &wish).await.unwrap();
    assert_eq!(again, Some(Vec::new()));

    let whole = writer.reader().meant(work.backup.as_str()).await.unwrap();
    assert_eq!(whole, [Meant::Backup(work.backup.to_string())]);
    assert_eq!(
        writer.reader().meant(&canceled[0].execution).await.unwrap(),
        [Meant::Execution(canceled[0].execution.clone())]
    );
    assert!(writer.reader().meant("20260301").await.unwrap().len() > 1);
    assert!(writer.reader().meant("'; DROP SCHEMA bkup; --").await.unwrap().is_empty());
    assert_narrow(&writer).await;
}
