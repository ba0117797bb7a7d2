//! Drift: the planner over signs built by hand, one test for each kind; what it looks like; and the real thing.

mod catalog;
mod objects;
mod show;
mod world;

use std::sync::Arc;

use bkup::domain::{
    Action, ActionKind, Address, BackupId, BackupType, BucketEncryption, BucketSettings, BucketVersioning, Bytes,
    CatalogSigns, ClassSpec, Damage, DocumentOp, DocumentSign, DriftFinding, DriftKind, DriftSeverity, FailedLook,
    LifecycleRule, LockHold, LockMode, Method, Neighbours, ObjectLock, ObjectSigns, Objectives, Observation, Period,
    Plan, RetentionRule, RowEdit, Scope, ServerSetting, ServerSide, ServerSigns, Standby, StoreSettings, StoreSigns,
    StoreUrl, UploadOwner, UploadSign, Verification, WalSpec,
};

use crate::world::model::{Model, at, cron, name, schedule};

const NOW: &str = "2026-03-01T03:10:00Z";
/// A name that closes quotes, moves the cursor and drops a schema.
pub const HOSTILE: &str = "`\"; DROP SCHEMA x\u{1b}[2J\u{202e}\n";

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

/// A world in which everything was looked at and nothing is wrong.
fn sound() -> Model {
    let retention = RetentionRule { within: Some(Period::days(30)), ..RetentionRule::default() };
    let mut model = Model::new(NOW, &["a", "b"])
        .schedule("tenants", schedule(BackupType::TenantData, cron("0 3 * * *"), retention));
    model.run();
    let signs = &mut model.observed.signs;
    let place = Some((Some("7".to_owned()), "catalog".to_owned()));
    signs.catalog = Some(Observation::Known(CatalogSigns { place, ..CatalogSigns::default() }));
    signs.stores.insert(
        name("primary"),
        StoreSigns {
            objects: ObjectSigns::default(),
            uploads: Observation::Known(Some(Vec::new())),
            settings: StoreSettings::None,
        },
    );
    let databases = [("app", 100), ("catalog", 9), ("postgres", 8)];
    signs.servers.insert(
        name("app"),
        ServerSigns {
            settings: Observation::Known(Default::default()),
            standbys: Observation::Known(Vec::new()),
            neighbours: Observation::Known(Arc::new(Neighbours {
                system: Some("7".to_owned()),
                databases: databases.map(|(name, size)| (name.to_owned(), Some(Bytes(size << 20)))).into(),
                empty: ["postgres".to_owned()].into(),
            })),
        },
    );
    model
}

fn edits(model: &mut Model) -> &mut CatalogSigns {
    match &mut model.observed.signs.catalog {
        Some(Observation::Known(signs)) => signs,
        other => panic!("the catalog was not read: {other:?}"),
    }
}

fn store(model: &mut Model) -> &mut StoreSigns {
    model.observed.signs.stores.get_mut(&name("primary")).expect("a store")
}

fn server(model: &mut Model) -> &mut ServerSigns {
    model.observed.signs.servers.get_mut(&name("app")).expect("a server")
}

fn neighbours(model: &mut Model) -> &mut Neighbours {
    match &mut server(model).neighbours {
        Observation::Known(found) => Arc::make_mut(found),
        Observation::Unreachable(why) => panic!("{why}"),
    }
}

/// A bucket about which nothing can be said against backups.
fn bucket() -> BucketSettings {
    BucketSettings {
        versioning: Observation::Known(Some(BucketVersioning::On)),
        object_lock: Observation::Known(Some(true)),
        encryption: Observation::Known(Some(BucketEncryption::Aes256)),
        public: Observation::Known(Some(Vec::new())),
        access_blocked: Observation::Known(Some(true)),
        lifecycle: Observation::Known(Some(Vec::new())),
    }
}

fn with_bucket(change: impl FnOnce(&mut BucketSettings)) -> Model {
    let mut model = sound();
    let spec = model.desired.stores.get_mut(&name("primary")).expect("a store");
    spec.url = StoreUrl::S3 { bucket: "backups".to_owned(), prefix: "prod".to_owned() };
    spec.versioning_required = true;
    spec.object_lock = Some(ObjectLock { mode: LockMode::Governance, hold: LockHold::Retention });
    spec.server_side = Some(ServerSide::Aes256);
    model.document();
    let plan = model.plan();
    model.apply(&plan);
    let mut settings = bucket();
    change(&mut settings);
    store(&mut model).settings = StoreSettings::Bucket(Box::new(settings));
    model
}

fn rule(prefix: &str) -> LifecycleRule {
    LifecycleRule {
        id: "tidy".to_owned(),
        prefix: prefix.to_owned(),
        narrowed: false,
        expires: Some(Some(30)),
        moves: Vec::new(),
    }
}

/// Returns the findings as `kind severity`.
fn kinds(plan: &Plan) -> Vec<String> {
    plan.findings.iter().map(|f| format!("{} {:?}", f.kind.word(), f.severity)).collect()
}

#[track_caller]
fn one(model: &Model) -> DriftFinding {
    let plan = model.plan();
    assert_eq!(plan.findings.len(), 1, "{:#?}", plan.findings);
    assert_eq!(plan.actions, [], "nothing of it is bkup's to mend");
    assert_eq!(plan.counts().drift, usize::from(plan.findings[0].severity != DriftSeverity::Note));
    plan.findings[0].clone()
}

#[track_caller]
fn mending(model: &Model) -> Action {
    let plan = model.plan();
    assert_eq!(plan.actions.len(), 1, "{:#?}", plan.actions);
    assert_eq!((plan.counts().drift, plan.counts().changes, plan.counts().due), (1, 0, 0));
    plan.actions[0].clone()
}

fn first_backup(model: &mut Model) -> BackupId {
    let tenant = |b: &&bkup::domain::Backup| b.scope == Scope::Tenant("a".to_owned());
    model.facts().backups.iter().find(tenant).expect("a backup").id.clone()
}

fn days(count: u32) -> Option<u32> {
    Some(count)
}

#[test]
fn a_sound_world_has_no_drift() {
    let mut model = sound();
    let plan = model.plan();
    assert_eq!((plan.findings, plan.actions), (Vec::new(), Vec::new()));
    model = with_bucket(|_| {});
    let plan = model.plan();
    assert_eq!((plan.findings, plan.actions), (Vec::new(), Vec::new()));
}

#[test]
fn an_edited_row_is_written_again_and_then_all_is_well() {
    let mut model = sound();
    let edit = |column: &str, found: &str, written: &str| RowEdit {
        column: column.to_owned(),
        found: found.to_owned(),
        written: written.to_owned(),
    };
    let edits_made = vec![edit("frequency", HOSTILE, "CRON"), edit("enabled", "false", "true")];
    let sign = DocumentSign { intact: true, edits: edits_made };
    edits(&mut model).documents.insert(address("schedule.tenants"), sign);
    let action = mending(&model);
    assert!(matches!(action.kind, ActionKind::ApplyDocument { op: DocumentOp::Restore, .. }), "{action:?}");
    assert!(action.reason.words.contains("enabled is false instead of true"), "{}", action.reason.words);
    let before = model.plan();
    model.run();
    assert_ne!(before.digest, model.plan().digest);
    assert_eq!(before.change_digest, model.plan().change_digest, "drift is no change that somebody reviews");
}

#[test]
fn an_edited_record_is_restored_from_the_policies_whether_its_body_or_its_digest_was_edited() {
    for body in [true, false] {
        let mut model = sound();
        let applied = model.facts().applied.get_mut(&address("schedule.tenants")).expect("applied");
        let wanted = applied.body.clone();
        if body {
            applied.body["max_parallel_jobs"] = 99.into();
        } else {
            applied.digest = bkup::domain::sha256(b"other");
        }
        let sign = DocumentSign { intact: false, edits: Vec::new() };
        edits(&mut model).documents.insert(address("schedule.tenants"), sign);
        let action = mending(&model);
        let ActionKind::ApplyDocument { op: DocumentOp::Restore, after, .. } = action.kind else {
            panic!("{action:?}")
        };
        assert_eq!(after, Some(wanted));
        model.run();
    }
}

#[test]
fn a_damaged_record_of_a_thing_that_left_the_policies_is_told_and_holds_its_deletions() {
    let mut model = sound();
    model.pass(Period::days(1));
    model.run();
    model.desired.schedules.clear();
    model.document();
    let plan = model.plan();
    model.apply(&plan);
    let applied = model.facts().applied.get_mut(&address("schedule.tenants")).expect("applied");
    applied.retention = Some(RetentionRule { last: Some(1), ..RetentionRule::default() });
    model.desired.guards.min_keep = 1;
    let sign = DocumentSign { intact: false, edits: Vec::new() };
    edits(&mut model).documents.insert(address("schedule.tenants"), sign);
    model.pass(Period::days(60));
    let plan = model.plan();
    assert!(kinds(&plan).contains(&"document_damaged Error".to_owned()), "{:?}", plan.findings);
    assert!(!plan.actions.iter().any(|action| action.kind.deletes()), "{:#?}", plan.actions);
    assert!(plan.held.iter().any(|held| held.words.contains("changed in the catalog by hand")), "{:#?}", plan.held);
}

#[test]
fn an_edit_of_what_the_plan_changes_anyway_is_told_beside_it() {
    let mut model = sound();
    model.desired.schedules.get_mut(&name("tenants")).expect("a schedule").max_parallel_jobs = 7;
    model.document();
    let sign = DocumentSign { intact: false, edits: Vec::new() };
    edits(&mut model).documents.insert(address("schedule.tenants"), sign);
    let plan = model.plan();
    assert_eq!((plan.counts().changes, plan.counts().drift), (1, 1), "{:#?}", plan.findings);
    assert_eq!(kinds(&plan), ["row_edited Warning"]);
}

#[test]
fn rows_put_in_by_hand_are_told_with_the_command_that_takes_them_over() {
    let mut model = sound();
    edits(&mut model).schedules_by_hand = (vec![HOSTILE.to_owned()], 4);
    let finding = one(&model);
    assert_eq!(finding.kind, DriftKind::RowByHand);
    assert!(finding.words.contains("and 3 more") && finding.help.contains("bkup import --catalog"), "{finding:?}");
}

#[test]
fn nothing_of_a_backup_whose_row_was_edited_is_deleted() {
    let mut model = sound();
    for _ in 0..5 {
        model.pass(Period::days(1));
        model.run();
    }
    let edited = first_backup(&mut model);
    edits(&mut model).executions.push(edited.clone());
    model.pass(Period::days(60));
    let plan = model.plan();
    assert!(kinds(&plan).contains(&"execution_edited Error".to_owned()), "{:?}", plan.findings);
    let deleted: Vec<&BackupId> = plan
        .actions
        .iter()
        .filter_map(|action| match &action.kind {
            ActionKind::Tombstone(work) => Some(&work.backup),
            _ => None,
        })
        .collect();
    assert!(!deleted.is_empty() && !deleted.contains(&&edited), "{deleted:?}");
}

#[test]
fn a_backup_that_is_not_whole_goes_to_quarantine_with_its_reason_and_nothing_counts_on_it() {
    let mut model = sound();
    let id = first_backup(&mut model);
    let damage = Damage { backup: id.clone(), words: "its data object is gone".to_owned(), gone: true };
    store(&mut model).objects = ObjectSigns { damaged: vec![damage], ..ObjectSigns::default() };
    let action = mending(&model);
    assert!(matches!(&action.kind, ActionKind::Quarantine { backup, .. } if *backup == id), "{action:?}");
    assert_eq!(action.reason.words, "its data object is gone in store.primary");
    let row = |plan: &Plan| plan.objectives.iter().find(|r| r.scope == Scope::Tenant("a".to_owned())).cloned();
    assert_eq!(row(&model.plan()).and_then(|row| row.newest), None, "it is no backup any more");
    model.run();
    assert_eq!(kinds(&model.plan()), ["quarantined Note"], "what the catalog knows is no drift");
    model.pass(Period::days(1));
    let plan = model.step();
    assert!(plan.actions.iter().any(|a| matches!(&a.kind, ActionKind::BackUp(_))), "the next slot replaces it");
}

#[test]
fn a_row_that_was_edited_condemns_no_backup() {
    let mut model = sound();
    let id = first_backup(&mut model);
    let damage = Damage { backup: id.clone(), words: "its data object is gone".to_owned(), gone: true };
    store(&mut model).objects = ObjectSigns { damaged: vec![damage], ..ObjectSigns::default() };
    edits(&mut model).executions.push(id);
    assert_eq!(one(&model).kind, DriftKind::ExecutionEdited);
}

#[test]
fn a_failed_verification_without_quarantine_goes_there_now() {
    let mut model = sound();
    let id = first_backup(&mut model);
    let look = FailedLook {
        backup: id.clone(),
        depth: Verification::Checksum,
        at: at("2026-02-28T10:00:00Z"),
        detail: Some(HOSTILE.to_owned()),
    };
    edits(&mut model).failed_looks.push(look);
    let action = mending(&model);
    assert!(action.reason.words.starts_with("reading its checksums back failed on 2026-02-28 10:00 UTC"), "{action:?}");
    model.run();
}

#[test]
fn a_listing_that_damages_many_at_once_is_refused_like_one_that_lacks_them() {
    let mut model = sound();
    for _ in 0..5 {
        model.pass(Period::days(1));
        model.run();
    }
    let damage = |id: BackupId| Damage { backup: id, words: "its data object is gone".to_owned(), gone: true };
    let damaged = model.facts().backups.iter().map(|b| damage(b.id.clone())).collect();
    store(&mut model).objects = ObjectSigns { damaged, ..ObjectSigns::default() };
    let plan = model.plan();
    assert_eq!(plan.refusals.iter().map(|r| r.guard.as_str()).collect::<Vec<_>>(), ["inventory"]);
}

#[test]
fn objects_of_nobody_are_told_and_left_alone() {
    let mut model = sound();
    let stray_examples = vec![format!("backups/app/{HOSTILE}")];
    let strays = ObjectSigns { strays: 3, stray_bytes: Bytes(2048), stray_examples, ..ObjectSigns::default() };
    store(&mut model).objects = strays;
    let finding = one(&model);
    assert_eq!((finding.kind, finding.code.as_str()), (DriftKind::ForeignObject, "BK901"));
    assert!(finding.words.starts_with("3 objects are among the backups"), "{}", finding.words);
}

#[test]
fn uploads_of_attempts_that_are_over_are_aborted_and_others_are_told() {
    let upload = |key: &str, owner, bytes| UploadSign {
        key: key.to_owned(),
        upload: "id-1".to_owned(),
        begun: Some(at("2026-02-27T03:00:00Z")),
        bytes,
        owner,
    };
    let mut model = sound();
    store(&mut model).uploads = Observation::Known(Some(vec![
        upload("backups/a/a-1/x", UploadOwner::Dead, Some(Bytes(5 << 20))),
        upload("backups/b/a-1/x", UploadOwner::Attempt, None),
    ]));
    let action = mending(&model);
    let ActionKind::AbortUploads { uploads, .. } = &action.kind else { panic!("{action:?}") };
    assert_eq!(uploads.iter().map(|u| u.key.as_str()).collect::<Vec<_>>(), ["backups/a/a-1/x"]);
    assert_eq!(action.bytes, Some(Bytes(5 << 20)));
    model.run();
    store(&mut model).uploads = Observation::Known(Some(vec![upload("other/x", UploadOwner::Unknown, None)]));
    let finding = one(&model);
    assert_eq!(finding.kind, DriftKind::UnfinishedUpload);
    assert!(finding.words.contains("the oldest 2 days old"), "{}", finding.words);
}

#[test]
fn what_was_denied_is_a_note_that_holds_nothing_back() {
    let denied = || "denied".to_owned();
    let mut cases: Vec<(Model, &str)> = Vec::new();
    let mut model = sound();
    model.observed.signs.catalog = Some(Observation::Unreachable(denied()));
    cases.push((model, "catalog_unread Note"));
    let mut model = sound();
    store(&mut model).objects.keys_unread = Some(denied());
    cases.push((model, "objects_unread Note"));
    let mut model = sound();
    store(&mut model).uploads = Observation::Unreachable(denied());
    cases.push((model, "objects_unread Note"));
    let mut model = sound();
    server(&mut model).neighbours = Observation::Unreachable(denied());
    cases.push((model, "server_unread Note"));
    cases.push((with_bucket(|b| b.versioning = Observation::Unreachable(denied())), "settings_unread Note"));
    cases.push((with_bucket(|b| b.public = Observation::Unreachable(denied())), "settings_unread Note"));
    for (mut model, expected) in cases {
        if expected.starts_with("catalog") {
            // Where the catalog's own place is not known, its database is one that no policy accounts for.
            neighbours(&mut model).databases.remove("catalog");
        }
        assert_eq!(kinds(&model.plan()), [expected]);
        assert_eq!(model.plan().counts().drift, 0, "unknown is not drift");
        model.pass(Period::days(1));
        let plan = model.plan();
        assert!(plan.actions.iter().any(|a| matches!(a.kind, ActionKind::BackUp(_))), "backups go on: {expected}");
    }
}

#[test]
fn each_setting_of_a_bucket_that_endangers_backups_is_told() {
    let lifecycle = |rules: Vec<LifecycleRule>| with_bucket(|b| b.lifecycle = Observation::Known(Some(rules)));
    let frozen = LifecycleRule { expires: None, moves: vec![(days(10), "glacier".to_owned())], ..rule("") };
    for (model, expected) in [
        (with_bucket(|b| b.versioning = Observation::Known(Some(BucketVersioning::Off))), "versioning Warning"),
        (with_bucket(|b| b.versioning = Observation::Known(Some(BucketVersioning::Suspended))), "versioning Warning"),
        (with_bucket(|b| b.versioning = Observation::Known(None)), "versioning Warning"),
        (with_bucket(|b| b.object_lock = Observation::Known(Some(false))), "object_lock Warning"),
        (with_bucket(|b| b.encryption = Observation::Known(Some(BucketEncryption::None))), "encryption Warning"),
        (with_bucket(|b| b.public = Observation::Known(Some(vec!["open".to_owned()]))), "public Error"),
        (with_bucket(|b| b.access_blocked = Observation::Known(Some(false))), "public_access_block Warning"),
        (lifecycle(vec![rule("")]), "lifecycle_deletes Error"),
        (lifecycle(vec![rule("prod/")]), "lifecycle_deletes Error"),
        (lifecycle(vec![rule("prod/backups/app/")]), "lifecycle_deletes Error"),
        (lifecycle(vec![rule("pr")]), "lifecycle_deletes Error"),
        (lifecycle(vec![frozen]), "lifecycle_moves Warning"),
    ] {
        let finding = one(&model);
        assert_eq!(format!("{} {:?}", finding.kind.word(), finding.severity), expected);
        assert_eq!((finding.code.as_str(), finding.address.to_string().as_str()), ("BK902", "store.primary"));
    }
}

#[test]
fn rules_for_other_prefixes_and_settings_nobody_asked_for_are_no_drift() {
    let elsewhere = ["prod-old/", "logs/", "prod/other/"];
    let mut model = with_bucket(|b| b.lifecycle = Observation::Known(Some(elsewhere.map(rule).to_vec())));
    assert_eq!(model.plan().findings, []);
    let spec = model.desired.stores.get_mut(&name("primary")).expect("a store");
    (spec.versioning_required, spec.object_lock, spec.server_side) = (false, None, None);
    let StoreSettings::Bucket(settings) = &mut store(&mut model).settings else { panic!("no bucket") };
    settings.versioning = Observation::Known(Some(BucketVersioning::Off));
    settings.object_lock = Observation::Known(None);
    settings.encryption = Observation::Known(Some(BucketEncryption::None));
    assert_eq!(model.plan().findings, []);
}

fn setting(value: &str) -> ServerSetting {
    ServerSetting { value: value.to_owned(), pending_restart: false }
}

fn archiving(settings: &[(&str, ServerSetting)]) -> Model {
    let mut model = sound();
    let good = [
        ("wal_level", setting("replica")),
        ("archive_mode", setting("on")),
        ("archive_command", setting("bkup wal push %p")),
        ("archive_timeout", setting("60")),
    ];
    let all = good.into_iter().chain(settings.iter().cloned());
    server(&mut model).settings = Observation::Known(all.map(|(name, value)| (name.to_owned(), value)).collect());
    model.desired.databases.get_mut(&name("app")).expect("a database").wal = Some(WalSpec {
        store: name("primary"),
        archive_timeout: Period::seconds(60),
        max_lag: Period::minutes(2),
        window: Period::days(7),
    });
    model
}

#[test]
fn settings_that_wal_needs_are_compared_with_the_server() {
    assert_eq!(archiving(&[]).plan().findings, []);
    let waiting = ServerSetting { value: "replica".to_owned(), pending_restart: true };
    for (name, value, words) in [
        ("wal_level", setting("minimal"), "`wal_level` of its server is minimal"),
        ("wal_level", waiting, "a change of `wal_level` of its server waits for a restart"),
        ("archive_mode", setting("off"), "`archive_mode` of its server is off"),
        ("archive_command", setting(""), "`archive_command` of its server is empty"),
        ("archive_timeout", setting("0"), "`archive_timeout` of its server is off"),
        ("archive_timeout", setting("3600"), "`archive_timeout` of its server is 1h, longer than the 1m"),
    ] {
        let finding = one(&archiving(&[(name, value)]));
        assert_eq!((finding.kind, finding.code.as_str()), (DriftKind::ServerSetting, "BK903"));
        assert!(finding.words.starts_with(words), "{}", finding.words);
    }
}

fn following(standbys: Observation<Vec<Standby>>) -> Model {
    let mut model = sound();
    let objectives = Objectives { rpo: Some(Period::minutes(5)), rto: None, method: Method::HotStandby };
    let tenants = vec!["*".to_owned()];
    model.desired.classes.insert(name("standard"), ClassSpec { tenants, priority: 9, objectives });
    server(&mut model).standbys = standbys;
    model
}

#[test]
fn a_promised_standby_that_is_missing_behind_or_unseen_is_told() {
    let standby = |lag: Option<i64>, bytes: u64| Standby {
        name: HOSTILE.to_owned(),
        lag: lag.map(Period::seconds),
        bytes: Some(Bytes(bytes)),
    };
    let known = |standbys: &[Standby]| following(Observation::Known(standbys.to_vec()));
    assert_eq!(known(&[standby(Some(2), 10)]).plan().findings, []);
    assert_eq!(known(&[standby(None, 0)]).plan().findings, [], "one that has replayed everything");
    assert_eq!(known(&[standby(Some(4000), 9), standby(Some(1), 1)]).plan().findings, [], "the nearest one counts");
    assert_eq!(kinds(&known(&[]).plan()), ["standby_missing Warning"]);
    assert_eq!(kinds(&known(&[standby(Some(4000), 9)]).plan()), ["standby_behind Error"]);
    assert_eq!(kinds(&known(&[standby(None, 9)]).plan()), ["server_unread Note"]);
    assert_eq!(kinds(&following(Observation::Unreachable("no".to_owned())).plan()), ["server_unread Note"]);
    let mut model = known(&[]);
    model.desired.classes.get_mut(&name("standard")).expect("a class").objectives.method = Method::ColdBackup;
    assert_eq!(model.plan().findings, [], "nobody promised one");
}

#[test]
fn other_databases_of_a_server_are_told_once_and_may_be_lived_with() {
    let mut model = sound();
    neighbours(&mut model).databases.insert(HOSTILE.to_owned(), None);
    neighbours(&mut model).databases.insert("billing".to_owned(), Some(Bytes(120 << 20)));
    neighbours(&mut model).databases.insert("rdsadmin".to_owned(), None);
    let finding = one(&model);
    assert_eq!((finding.kind, finding.code.as_str()), (DriftKind::DatabaseUncovered, "BK904"));
    assert!(finding.words.starts_with("2 databases are on its server and in no policy"), "{}", finding.words);
    assert!(finding.words.contains("`billing (120 MiB)`"), "{}", finding.words);
    model.desired.tolerated.insert((address("database.app"), "BK904".to_owned()));
    assert_eq!(kinds(&model.plan()), ["database_uncovered Note"]);
}

#[test]
fn a_database_that_is_not_the_empty_one_of_every_server_is_told_whatever_its_name() {
    let mut model = sound();
    neighbours(&mut model).empty.clear();
    assert!(one(&model).words.contains("`postgres (8.00 MiB)`"));
}

#[test]
fn while_a_database_of_the_policies_cannot_be_read_others_are_only_noted() {
    let mut model = sound();
    neighbours(&mut model).databases.insert("billing".to_owned(), None);
    let spec = model.desired.databases[&name("app")].clone();
    model.desired.databases.insert(name("billing"), spec);
    model.observed.servers.insert(name("billing"), Observation::Unreachable("denied".to_owned()));
    assert_eq!(kinds(&model.plan()), ["database_uncovered Note"]);
}

#[test]
fn tenants_without_class_or_schedule_are_told_and_may_be_lived_with() {
    let mut model = sound();
    let tenants = match model.desired.tenants.get_mut(&name("app")) {
        Some(bkup::domain::ResolvedTenants::Known(tenants)) => tenants,
        other => panic!("{other:?}"),
    };
    tenants[1].1 = None;
    let finding = one(&model);
    assert_eq!(finding.kind, DriftKind::TenantWithoutClass);
    assert_eq!(finding.words, "1 tenant of no class: `b`");
    model.desired.tolerated.insert((address("database.app"), "tenant_without_class".to_owned()));
    assert_eq!(kinds(&model.plan()), ["tenant_without_class Note"]);
    let mut model = sound();
    let spec = model.desired.schedules.get_mut(&name("tenants")).expect("a schedule");
    spec.tenants = bkup::domain::TenantFilter::Slugs(vec!["a".to_owned()]);
    assert!(kinds(&model.plan()).contains(&"tenant_without_schedule Warning".to_owned()));
}

#[test]
fn a_plan_narrowed_to_other_addresses_tells_nothing_of_the_rest() {
    let mut model = sound();
    neighbours(&mut model).databases.insert("billing".to_owned(), None);
    model.request.narrowing.target.insert("store.*".to_owned());
    assert_eq!(model.plan().findings, []);
}

#[test]
fn the_planner_looks_for_nothing_where_nobody_looked() {
    let mut model = sound();
    model.observed.signs = Default::default();
    model.set_tenants(&[]);
    assert_eq!(model.plan().findings, []);
}
