//! What the catalog's tests write: backups, manifests, documents.

use bkup::catalog::{ClaimOutcome, Completed, Completion, Intended, Intent, LEASE, Lease, Ledger};
use bkup::domain::{
    ActionId, Address, BackupId, BackupMethod, BackupType, BackupWork, Between, CatalogFacts, CatalogState, DataPart,
    Engine, Instant, MANIFEST_FORMAT, Manifest, ManifestScope, Name, PartKind, PruneWork, RetentionRule, RunId, Scope,
    Section, Tenant, Verification, sha256,
};

pub const RUNNER: &str = "runner-a";

pub fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn run() -> RunId {
    RunId::of(at("2026-03-01T00:00:00Z"), 7)
}

/// The action that takes a scope's backup for a slot of `nightly`.
pub fn action(scope: &Scope, slot: Instant) -> ActionId {
    let origin = Address::of(Section::Schedule, name("nightly"));
    ActionId::of("back_up", Some("app"), Some(scope), &origin, Some(&slot.to_string()))
}

pub fn other_action(kind: &str, slot: &str) -> ActionId {
    ActionId::of(kind, None, None, &Address::once(Section::Guards), Some(slot))
}

pub fn work(scope: Scope, slot: Instant) -> BackupWork {
    let tenant = scope.tenant().map(|slug| Tenant {
        slug: slug.to_owned(),
        schema: format!("tenant_{slug}"),
        id: Some("0d9f1a52-8f0f-4a4b-9b7e-0a3f8f6f2f11".to_owned()),
    });
    BackupWork {
        schedule: name("nightly"),
        database: Some(name("app")),
        tenant,
        slot,
        start_before: None,
        backup: BackupId::of(slot, "nightly", action(&scope, slot)),
        backup_type: if scope.tenant().is_some() { BackupType::TenantData } else { BackupType::Database },
        engine: Engine::Logical,
        method: BackupMethod::Scheduled,
        store: name("primary"),
        shared: scope.tenant().map(|_| BackupId::from_text("20260301T020000Z-nightly-shared".to_owned())),
        leave_out: Vec::new(),
        priority: 0,
        compression: bkup::domain::Compression::default(),
        retention: RetentionRule::default(),
        parallel: 1,
        protect: false,
        configuration: None,
        asked_for: None,
        tables: Vec::new(),
        csv: false,
        jobs: None,
        files: None,
        found: None,
        scope,
    }
}

pub fn manifest(work: &BackupWork, attempt: u64) -> Manifest {
    let part = |key: &str, size, original_size| DataPart {
        key: key.to_owned(),
        kind: PartKind::Archive,
        size,
        original_size,
        ciphertext_sha256: sha256(key.as_bytes()).to_string(),
        plaintext_digest: sha256(b"plain").to_string(),
        compression: "zstd:3".to_owned(),
        encrypted: true,
    };
    Manifest {
        format_version: MANIFEST_FORMAT.to_owned(),
        backup_id: work.backup.to_string(),
        action_id: action(&work.scope, work.slot).to_string(),
        attempt,
        store_id: "store-1".to_owned(),
        backup_type: work.backup_type.word().to_owned(),
        engine: "logical".to_owned(),
        method: "SCHEDULED".to_owned(),
        simulated: false,
        lineage: None,
        database: work.database.as_ref().map(ToString::to_string),
        schedule: work.schedule.to_string(),
        retention: serde_json::json!({"daily": 7, "pick": "first", "timezone": "UTC"}),
        protect: false,
        slot: work.slot.to_string(),
        consistent_at: "2026-03-01T02:00:05.123456Z".to_owned(),
        started_at: "2026-03-01T02:00:03Z".to_owned(),
        completed_at: "2026-03-01T02:00:08.5Z".to_owned(),
        scope: ManifestScope {
            scope: work.scope.to_string(),
            datname: Some("app".to_owned()),
            tenant_id: work.tenant.as_ref().and_then(|tenant| tenant.id.clone()),
            schemas: Vec::new(),
            tables: Vec::new(),
            sequences: Vec::new(),
            extensions: Vec::new(),
            roles: Vec::new(),
            large_objects: 0,
        },
        parts: vec![part("a", 300, 1_000), part("b", 100, 600)],
        keys: Vec::new(),
        data_recipient: None,
        content_digest: None,
        asked_for: None,
        adopted_from: None,
        digest_key_id: Some("k1".to_owned()),
        shared: work.shared.as_ref().map(BackupId::to_string),
        parent: None,
        mutual: Vec::new(),
        policy_digest: sha256(b"policy").to_string(),
        tool_version: "0.1.0".to_owned(),
        server_version: "15.18".to_owned(),
        dump_version: None,
        system_identifier: Some("7301234567890123456".to_owned()),
        begin_lsn: None,
        end_lsn: Some("16/B374D848".to_owned()),
        timeline: Some(1),
        snapshot: None,
        timings: Vec::new(),
        storage_class: Some("standard".to_owned()),
        locked_until: Some("2026-04-01T00:00:00Z".to_owned()),
        notes: Vec::new(),
    }
}

pub async fn claim(writer: &dyn Ledger, action: ActionId) -> Lease {
    match writer.claim(action, RUNNER, LEASE).await.unwrap() {
        ClaimOutcome::Claimed(lease) => lease,
        other => panic!("not claimed: {other:?}"),
    }
}

/// Claims, intends and completes a backup, and gives its claim back.
pub async fn take(writer: &dyn Ledger, scope: Scope, slot: Instant) -> BackupWork {
    let work = work(scope, slot);
    let lease = claim(writer, action(&work.scope, slot)).await;
    let intent = Intent { work: &work, run: &run(), started_at: at("2026-03-01T02:00:03Z") };
    assert_eq!(writer.intend_backup(&lease, &intent).await.unwrap(), Intended::Go);
    let manifest = manifest(&work, lease.token);
    assert_eq!(complete(writer, &lease, &manifest).await, Completion::Recorded);
    writer.release(&lease).await.unwrap();
    work
}

pub async fn complete(writer: &dyn Ledger, lease: &Lease, manifest: &Manifest) -> Completion {
    let now = at("2026-03-01T02:00:09Z");
    let verified = Some((Verification::Checksum, now));
    let done = Completed { manifest, manifest_key: "backups/app/m.json", store: &name("primary"), verified };
    writer.complete_backup(lease, &done, now).await.unwrap()
}

pub fn prune(work: &BackupWork, mark: u32, purge_after: Option<Instant>) -> PruneWork {
    PruneWork {
        backup: work.backup.clone(),
        database: work.database.clone(),
        filed_under: None,
        scope: work.scope.clone(),
        store: work.store.clone(),
        consistent_at: at("2026-03-01T02:00:05.123456Z"),
        mark,
        caused_by_change: false,
        purge_after,
        min_keep: 0,
        any_schedule: false,
        newest: Between::default(),
    }
}

pub async fn facts(writer: &dyn Ledger) -> CatalogFacts {
    match writer.reader().state().await.unwrap() {
        CatalogState::Present(facts) => *facts,
        CatalogState::Absent => panic!("the catalog is there"),
    }
}
