//! Plans, reports and rows built by hand, rich in everything that can be shown, with names that attack terminals.

use bkup::domain::{
    Action, ActionClass, ActionId, ActionKind, ActionOutcome, Address, ApplyReport, Backup, BackupId, BackupMethod,
    BackupType, BackupWork, Between, Bytes, Check, CheckResult, Compression, Connections, Digest, DocumentOp,
    DriftFinding, DriftKind, DrillBackup, DrillWork, Engine, Evidence, GuardRefusal, Held, HeldReason, Instant, Name,
    Narrowing, ObjectiveRow, Outcome, PLAN_FORMAT, Period, Phase, Plan, PruneWork, Reason, ReasonCode, RetentionRule,
    RunId, Scope, SourceLocation, TableComparison, Verification,
};

/// A name that clears the screen, reorders text, forges a line and drops a schema.
pub const HOSTILE: &str = "\u{1b}[2J\u{202e}\"; DROP SCHEMA x\nDeletions (0)\u{200b}";

pub fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn digest(byte: u8) -> Digest {
    Digest::new([byte; 32])
}

fn tenant(slug: &str) -> Scope {
    Scope::Tenant(slug.to_owned())
}

fn reason(code: ReasonCode, words: &str, line: Option<u32>) -> Reason {
    let location = line.map(|line| SourceLocation { file: "policies/app.yaml".to_owned(), line });
    Reason { code, words: words.to_owned(), location }
}

fn action(address_text: &str, class: ActionClass, kind: ActionKind, why: Reason, bytes: Option<u64>) -> Action {
    let address = address(address_text);
    let slot = format!("{kind:?}");
    let id = ActionId::of(kind.word(), None, None, &address, Some(&slot));
    Action {
        id,
        address,
        class,
        kind,
        reason: why,
        preconditions: Vec::new(),
        after: Vec::new(),
        bytes: bytes.map(Bytes),
    }
}

fn back_up(slug: &str, slot: &str, code: ReasonCode, words: &str) -> Action {
    let work = BackupWork {
        schedule: name("nightly"),
        database: Some(name("app")),
        scope: if slug == "shared" { Scope::Shared } else { tenant(slug) },
        tenant: None,
        slot: at(slot),
        start_before: None,
        backup: BackupId::from_text(format!("20261120T020000Z-nightly-{slug}")),
        backup_type: BackupType::TenantData,
        engine: Engine::Logical,
        method: BackupMethod::Scheduled,
        store: name("primary"),
        shared: None,
        leave_out: Vec::new(),
        priority: 10,
        compression: Compression::default(),
        retention: RetentionRule { daily: Some(7), ..RetentionRule::default() },
        parallel: 2,
        protect: false,
        configuration: None,
        asked_for: None,
        tables: Vec::new(),
        csv: false,
        jobs: None,
        files: None,
        found: None,
    };
    action("schedule.nightly", ActionClass::Due, ActionKind::BackUp(work), reason(code, words, Some(14)), Some(3 << 20))
}

fn prune(scope: Scope, purge_after: Option<&str>, caused_by_change: bool) -> PruneWork {
    PruneWork {
        backup: BackupId::from_text("20261020T020000Z-nightly-00c0ffee00c0ffee".to_owned()),
        database: Some(name("app")),
        filed_under: None,
        scope,
        store: name("primary"),
        consistent_at: at("2026-10-20T02:00:03Z"),
        mark: 0,
        caused_by_change,
        purge_after: purge_after.map(at),
        min_keep: 2,
        any_schedule: false,
        newest: Between::default(),
    }
}

fn documents() -> Vec<Action> {
    let before = serde_json::json!({"daily": 14, "weekly": 8, "monthly": 12, "pick": "first", "timezone": "UTC"});
    let mut after = before.clone();
    after["daily"] = 7.into();
    after["yearly"] = 2.into();
    let new = serde_json::json!({"databases": ["app"], "backup": "tenant_data", "when": {"frequency": "daily", "time": "02:00"},
        "note": HOSTILE, "url": "${APP_URL}"});
    let document = |address, op, before: Option<&serde_json::Value>, after: Option<&serde_json::Value>, why| {
        let kind = ActionKind::ApplyDocument { op, before: before.cloned(), after: after.cloned(), location: None };
        action(address, ActionClass::Change, kind, why, None)
    };
    vec![
        document(
            "schedule.nightly",
            DocumentOp::Create,
            None,
            Some(&new),
            reason(ReasonCode::Missing, "it is new", Some(9)),
        ),
        document(
            "retention.gfs",
            DocumentOp::Update,
            Some(&before),
            Some(&after),
            reason(ReasonCode::PolicyChanged, "the policy differs from what was applied", Some(31)),
        ),
        document(
            "class.trial",
            DocumentOp::Archive,
            Some(&before),
            None,
            reason(ReasonCode::PolicyRemoved, "it left the policies", None),
        ),
        document(
            "class.vip",
            DocumentOp::Revive,
            Some(&before),
            Some(&before),
            reason(ReasonCode::Missing, "it came back", None),
        ),
    ]
}

/// A plan with something of everything but refusals.
pub fn plan() -> Plan {
    let mut actions = documents();
    actions.insert(
        0,
        action(
            "catalog",
            ActionClass::Change,
            ActionKind::EnsureCatalog { from_version: Some(1), to_version: 3, simulated: false },
            reason(ReasonCode::Missing, "this version needs catalog version 3", None),
            None,
        ),
    );
    actions.push(action(
        "store.primary",
        ActionClass::Drift,
        ActionKind::EnsureStore { store: name("primary"), url: "s3://backups/app".to_owned() },
        reason(ReasonCode::Missing, "its marker is gone", Some(3)),
        None,
    ));
    actions.extend(
        (1..=11).map(|n| {
            back_up(&format!("tenant-{n:02}"), "2026-11-20T02:00:00Z", ReasonCode::SlotDue, "the slot has come")
        }),
    );
    actions.push(back_up(HOSTILE, "2026-11-20T02:00:00Z", ReasonCode::FirstBackup, "it has no backup yet"));
    actions.push(back_up("shared", "2026-11-20T08:00:00Z", ReasonCode::NeededBy, "tenant backups need it"));
    let missed = ActionKind::RecordMissed {
        schedule: name("nightly"),
        database: Some(name("app")),
        slots: vec![at("2026-11-18T02:00:00Z"), at("2026-11-19T02:00:00Z")],
        scopes: 13,
    };
    actions.push(action(
        "schedule.nightly",
        ActionClass::Due,
        missed,
        reason(ReasonCode::SlotMissed, "nobody ran it in time", None),
        None,
    ));
    let drill = DrillWork {
        plan: name("tenant-loss"),
        plan_digest: digest(7),
        drill: "tenant-loss-0001".to_owned(),
        backups: vec![DrillBackup {
            backup: BackupId::from_text("20261120T020000Z-nightly-tenant-01".to_owned()),
            database: Some(name("app")),
            filed_under: None,
            scope: tenant("tenant-01"),
            store: name("primary"),
        }],
        attempt: 1,
        checks: vec![Check::TablesEqual],
        rpo: Some(Period::hours(27)),
        rto: Some(Period::hours(1)),
    };
    actions.push(action(
        "recovery-plan.tenant-loss",
        ActionClass::Due,
        ActionKind::Drill(drill),
        reason(ReasonCode::DrillDue, "the last attempt was 31 days ago, every 30d", Some(52)),
        Some(3 << 20),
    ));
    actions.push(action(
        "schedule.nightly",
        ActionClass::Change,
        ActionKind::Tombstone(prune(tenant("acme"), Some("2026-11-27T09:00:00Z"), true)),
        reason(ReasonCode::RetentionOver, "no rule keeps it since `daily: 14` became `daily: 7`", Some(31)),
        Some(1_342_177_280),
    ));
    actions.push(action(
        "schedule.nightly",
        ActionClass::Due,
        ActionKind::Purge(prune(tenant(HOSTILE), None, false)),
        reason(ReasonCode::GraceOver, "its grace period of 7d ended", None),
        Some(5 << 20),
    ));
    Plan {
        format_version: PLAN_FORMAT.to_owned(),
        tool_version: "0.1.0".to_owned(),
        as_of: at("2026-11-20T09:00:00Z"),
        simulated: true,
        lineage: Some("7f3a9c0e-1111-2222".to_owned()),
        serial: 12,
        policy_digest: digest(1),
        connections: Connections::default(),
        findings: vec![
            DriftFinding::new(
                address("store.primary"),
                DriftKind::LifecycleDeletes,
                format!("the bucket's lifecycle rule `{HOSTILE}` deletes its objects after 30 days"),
                "remove the rule, or keep it to another prefix; bkup deletes by itself",
            ),
            DriftFinding::new(
                address("store.primary"),
                DriftKind::ForeignManifest,
                format!("2 manifests are unknown to the catalog, such as backups/app/{HOSTILE}"),
                "give each catalog a prefix of its own",
            ),
            DriftFinding::new(
                address("store.primary"),
                DriftKind::SettingsUnread,
                "of the bucket's settings these are not known: versioning (denied)",
                "allow bkup's user to read them, if this should be watched",
            ),
        ],
        rules: std::collections::BTreeMap::default(),
        actions,
        held: held(),
        kept: Vec::new(),
        objectives: rows(),
        offers: Vec::new(),
        refusals: Vec::new(),
        consent: None,
        narrowing: None,
        digest: digest(0xab),
        change_digest: digest(0xcd),
    }
}

fn held() -> Vec<Held> {
    let held = |slug: &str, reason, words: &str| Held {
        address: address("schedule.nightly"),
        database: Some(name("app")),
        scope: Some(tenant(slug)),
        work: "tombstone".to_owned(),
        reason,
        words: words.to_owned(),
    };
    let mut all: Vec<Held> = (0..10)
        .map(|n| held(&format!("t{n}"), HeldReason::Floor, "min_keep: 2 keeps the newest two restorable backups"))
        .collect();
    all.push(held(HOSTILE, HeldReason::Quarantined, "its backup is quarantined: part 3 does not agree"));
    all.push(Held {
        address: address("recovery-plan.everything"),
        database: None,
        scope: None,
        work: "drill".to_owned(),
        reason: HeldReason::NoIdentity,
        words: "the private key is not at hand: set BKUP_AGE_IDENTITY".to_owned(),
    });
    all
}

/// A plan that finds nothing to do.
pub fn quiet_plan() -> Plan {
    let mut plan = plan();
    plan.actions.clear();
    plan.held.truncate(1);
    plan.objectives.retain(|row| row.breached == Some(false));
    plan.simulated = false;
    plan
}

/// A plan that guards refuse, and that was narrowed.
pub fn refused_plan() -> Plan {
    let mut plan = plan();
    plan.actions.retain(|action| action.kind.deletes());
    plan.held.clear();
    plan.objectives.clear();
    plan.lineage = None;
    plan.narrowing = Some(Narrowing {
        only: Some("retention".to_owned()),
        target: [format!("schedule.{HOSTILE}")].into(),
        exclude: ["schedule.hourly".to_owned()].into(),
    });
    plan.refusals = vec![
        GuardRefusal {
            guard: "max_delete".to_owned(),
            words: "the change deletes 7 of 12 backups (58.33%) of app tenant=acme; max_delete is 10%".to_owned(),
            help: "raise guards.max_delete with a reason and an until, or consent once with --allow-delete 60%@3f2a91c07d44"
                .to_owned(),
        },
        GuardRefusal {
            guard: "clock".to_owned(),
            words: "this clock is 12m behind the catalog's".to_owned(),
            help: "set the clock; nothing is deleted by a clock that may be wrong".to_owned(),
        },
    ];
    plan
}

/// Objective rows of two databases: met, breached, without a backup, without an objective.
pub fn rows() -> Vec<ObjectiveRow> {
    let row = |database: &str, scope: Scope, class: Option<&str>, hours: Option<i64>, rpo: Option<i64>| ObjectiveRow {
        database: name(database),
        scope,
        class: class.map(name),
        newest: hours.map(|_| BackupId::from_text("20261120T020000Z-nightly-00c0ffee00c0ffee".to_owned())),
        consistent_at: hours.map(|hours| Period::hours(hours).before(at("2026-11-20T09:00:00Z"))),
        age: hours.map(Period::hours),
        rpo: rpo.map(Period::hours),
        breached: rpo.map(|rpo| hours.is_none_or(|hours| hours > rpo)),
        verified_at: hours.map(|_| at("2026-11-20T02:05:00Z")),
        drilled_at: (rpo == Some(6)).then(|| at("2026-11-01T03:00:00Z")),
        backups: if hours.is_some() { 14 } else { 0 },
        bytes: Bytes(if hours.is_some() { 40 << 20 } else { 0 }),
    };
    vec![
        row("app", Scope::Database, None, Some(7), Some(24)),
        row("app", tenant("enterprise-acme"), Some("enterprise"), Some(3), Some(6)),
        row("app", tenant("enterprise-borg"), Some("enterprise"), Some(7), Some(6)),
        row("app", tenant("fresh"), Some("standard"), None, Some(24)),
        row("app", tenant("Łódź"), Some("standard"), Some(7), Some(24)),
        row("app", tenant(HOSTILE), None, Some(7), None),
        row("billing", Scope::Database, None, None, None),
    ]
}

/// A completed backup.
pub fn backup(scope: Scope) -> Backup {
    Backup {
        id: BackupId::from_text("20261120T020000Z-nightly-00c0ffee00c0ffee".to_owned()),
        database: Some(name("app")),
        filed_under: None,
        scope,
        backup_type: BackupType::TenantData,
        schedule: name("nightly"),
        slot: at("2026-11-20T02:00:00Z"),
        store: name("primary"),
        consistent_at: at("2026-11-20T02:00:03Z"),
        completed_at: at("2026-11-20T02:01:00Z"),
        size: Bytes(3 << 20),
        original_size: Bytes(11 << 20),
        verification: Verification::Checksum,
        verified_at: Some(at("2026-11-20T02:01:00Z")),
        drilled_at: None,
        quarantine: None,
        tombstoned_at: None,
        purge_after: None,
        purging: false,
        marks: 0,
        shared: None,
        parent: None,
        content: None,
        protected: false,
        asked_for: None,
        pinned_until: None,
        locked_until: None,
        duration_ms: 57_000,
    }
}

/// The evidence of a drill that failed.
pub fn evidence() -> Evidence {
    Evidence {
        format_version: "1.0".to_owned(),
        drill_id: "tenant-loss-0001".to_owned(),
        plan: "tenant-loss".to_owned(),
        plan_digest: digest(7).to_string(),
        drill_timestamp: "2026-11-20T09:00:05Z".to_owned(),
        status: "failed".to_owned(),
        backups: vec!["20261120T020000Z-nightly-00c0ffee00c0ffee".to_owned()],
        backup_age_minutes: 420,
        restore_duration_minutes: 2,
        restore_duration_ms: 63_000,
        rpo_compliant: Some(false),
        rto_compliant: Some(true),
        rpo_minutes: Some(360),
        rto_minutes: Some(60),
        tenants: vec!["acme".to_owned(), HOSTILE.to_owned()],
        phases: vec![
            Phase { phase: "start server".to_owned(), subject: "PostgreSQL 17".to_owned(), milliseconds: 900 },
            Phase { phase: "restore".to_owned(), subject: HOSTILE.to_owned(), milliseconds: 61_000 },
        ],
        checks: vec![
            CheckResult {
                check: "sql: select count(*) > 0 from {schema}.orders".to_owned(),
                tenant: Some("acme".to_owned()),
                passed: true,
                observed: "t".to_owned(),
                expected: "t".to_owned(),
                differences: Vec::new(),
            },
            CheckResult {
                check: "tables: equal".to_owned(),
                tenant: Some(HOSTILE.to_owned()),
                passed: false,
                observed: "1 table differs".to_owned(),
                expected: "none".to_owned(),
                differences: vec![TableComparison {
                    table: "\"tenant_acme\".\"orders\"".to_owned(),
                    recorded_rows: 120,
                    restored_rows: Some(119),
                    recorded_digest: digest(3).to_string(),
                    restored_digest: Some(digest(4).to_string()),
                }],
            },
        ],
        left_out: vec![
            "FK CONSTRAINT \"tenant_acme\".\"orders orders_partner_fkey\": could not execute query: ERROR:  relation \
             \"tenant_globex.partners\" does not exist"
                .to_owned(),
            HOSTILE.to_owned(),
        ],
        bytes_fetched: 3 << 20,
        server_version: "17.2".to_owned(),
        tool_version: "0.1.0".to_owned(),
        failure: Some("a check failed: tables: equal".to_owned()),
        previous: None,
        simulated: true,
    }
}

/// A report with one of each outcome.
pub fn report() -> ApplyReport {
    let outcomes = [
        Outcome::Done { summary: "12.5 MiB in 0.8 s".to_owned() },
        Outcome::AlreadyDone { summary: "another run made it".to_owned() },
        Outcome::Skipped { reason: "its slot has passed".to_owned() },
        Outcome::Claimed { by: "runner-2".to_owned() },
        Outcome::Failed { code: "BK850".to_owned(), error: format!("pg_dump ended with 1: {HOSTILE}") },
        Outcome::Violated { reason: "tables differ".to_owned() },
        Outcome::NotReached,
    ];
    let plan = plan();
    let deletions = plan.actions.iter().filter(|action| action.kind.deletes()).cloned();
    let others =
        plan.actions.iter().filter(|action| action.class == ActionClass::Due && !action.kind.deletes()).cloned();
    let deleted = deletions.map(|action| (action, Outcome::Done { summary: "deleted 3 objects".to_owned() }));
    let actions = others
        .zip(outcomes)
        .chain(deleted)
        .enumerate()
        .map(|(n, (action, outcome))| ActionOutcome {
            action,
            outcome,
            elapsed_ms: 800 + n as u64 * 7000,
            retries: u32::from(n == 4) * 2,
        })
        .collect();
    ApplyReport {
        format_version: "1.0".to_owned(),
        run: RunId::of(at("2026-11-20T09:00:00Z"), 0xfeed),
        tool_version: "0.1.0".to_owned(),
        plan_digest: Some(plan.digest),
        begin: at("2026-11-20T09:00:00Z"),
        end: at("2026-11-20T09:01:04Z"),
        elapsed_ms: 64_000,
        serial: 13,
        actions,
        held: plan.held,
        evidence: vec![evidence()],
        audit_head: Some(digest(9).to_string()),
        interrupted: None,
        failure: None,
        finished_before: None,
        since: Vec::new(),
        since_unknown: None,
        unrecorded: Vec::new(),
    }
}
