//! What is written through the writer is what the planner reads.

use std::collections::BTreeMap;

use bkup::catalog::{
    DigestKey, DocumentChange, ExecutionFilter, Failure, Found, MarkOutcome, Reader, ReadingEnd, ReadingKind,
    StoreRecord, Validation, Writer, as_recorded, newest_version,
};
use bkup::domain::{
    Address, Applied, Approval, ApprovalStatus, Backup, BackupId, BackupStatus, BackupType, Between, Bytes,
    CatalogFacts, CivilTime, Compression, DayRule, DocumentOp, DrillRecord, DrillSpec, DrillWork, Engine, Evidence,
    Frequency, Garbage, Instant, Period, PlanScope, PlanStep, PlanType, Progress, PruneWork, RecoveryPlanSpec,
    RetentionRule, ScheduleSpec, Scope, Section, Tenant, TenantFilter, TenantWork, Timing, Verification, When,
    ZoneName, digest_of,
};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::build::{action, at, claim, complete, facts, manifest, name, other_action, prune, run, take, work};
use super::scratch::database;

const HOSTILE: &str = "\"; DROP SCHEMA bkup CASCADE; -- ☠ 租户 '%_\\";

fn schedule() -> ScheduleSpec {
    ScheduleSpec {
        databases: vec![name("app")],
        backup: BackupType::TenantData,
        engine: Engine::Logical,
        tenants: TenantFilter::Classes(vec![name("gold")]),
        tables: Vec::new(),
        when: When {
            timing: Timing::Calendar {
                frequency: Frequency::Weekly,
                time: CivilTime::new(2, 30).unwrap(),
                days: vec![DayRule::Weekday(7)],
            },
            timezone: ZoneName::try_from("Asia/Seoul".to_owned()).unwrap(),
        },
        start_within: Period::hours(6),
        retention: RetentionRule { weekly: Some(4), ..RetentionRule::default() },
        retention_name: Some(name("gfs")),
        store: name("primary"),
        compression: Compression::default(),
        max_parallel_jobs: 4,
        base: None,
        max_chain: None,
        passwords: false,
        paths: Vec::new(),
        exclude: Vec::new(),
        notify: None,
    }
}

fn plan() -> RecoveryPlanSpec {
    RecoveryPlanSpec {
        description: Some("bring it back".to_owned()),
        plan_type: PlanType::FullRecovery,
        scope: PlanScope::AllSystems,
        severity: None,
        databases: vec![name("app")],
        rto: Some(Period::hours(4)),
        rpo: Some(Period::hours(1)),
        requires: vec![BackupType::Database],
        minimum_backup_age: None,
        steps: vec![PlanStep::Manual("assess".to_owned()), PlanStep::Check(Vec::new())],
        approval: Approval {
            status: ApprovalStatus::Approved,
            by: Some("cto".to_owned()),
            at: Some("2026-02-01".to_owned()),
        },
        primary_contact: Some("ops".to_owned()),
        escalation_contacts: vec!["cto".to_owned()],
        drill: Some(DrillSpec {
            every: Some(Period::days(30)),
            when: None,
            target: bkup::domain::DrillTarget::Latest,
            into: bkup::domain::DrillInto::Scratch,
            sample_tenants: 1,
            checks: Vec::new(),
        }),
    }
}

fn evidence(backup: &BackupId, passed: bool) -> Evidence {
    Evidence {
        format_version: "1.0".to_owned(),
        drill_id: "drill-0".to_owned(),
        plan: "full".to_owned(),
        plan_digest: digest_of(&1).to_string(),
        drill_timestamp: "2026-03-02T04:00:00Z".to_owned(),
        status: if passed { "passed" } else { "failed" }.to_owned(),
        backups: vec![backup.to_string()],
        backup_age_minutes: 90,
        restore_duration_minutes: 1,
        restore_duration_ms: 12_001,
        rpo_compliant: Some(true),
        rto_compliant: None,
        rpo_minutes: Some(60),
        rto_minutes: None,
        tenants: vec![HOSTILE.to_owned()],
        phases: Vec::new(),
        checks: Vec::new(),
        left_out: Vec::new(),
        bytes_fetched: 400,
        server_version: "15.18".to_owned(),
        tool_version: "0.1.0".to_owned(),
        failure: None,
        previous: None,
        simulated: false,
    }
}

async fn apply(writer: &Writer, address: &Address, op: DocumentOp, body: Option<&serde_json::Value>, when: Instant) {
    let lease = claim(writer, other_action("apply_document", &address.to_string())).await;
    let run = run();
    let change =
        DocumentChange { address, op, body, location: None, commit: Some("abc"), by: "me", run: &run, at: when };
    writer.apply_document(&lease, &change).await.unwrap();
    writer.release(&lease).await.unwrap();
}

async fn made() -> (super::scratch::Guard, String, Writer) {
    let (guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", None).await.unwrap();
    (guard, url, writer)
}

#[tokio::test]
async fn the_planner_reads_what_apply_has_written() {
    let (_guard, _url, writer) = made().await;
    let slot = at("2026-03-01T02:00:00Z");
    let scope = Scope::Tenant(HOSTILE.to_owned());
    let since = at("2026-02-28T00:00:00.000001Z");
    let nightly = Address::of(Section::Schedule, name("nightly"));
    let body = serde_json::to_value(schedule()).unwrap();
    apply(&writer, &nightly, DocumentOp::Create, Some(&body), since).await;

    let kept = take(&writer, scope.clone(), slot).await;
    let failed = work(Scope::Shared, slot);
    let lease = claim(&writer, action(&Scope::Shared, slot)).await;
    let run = run();
    let intent = bkup::catalog::Intent { work: &failed, run: &run, started_at: slot };
    writer.intend_backup(&lease, &intent).await.unwrap();
    let failure = Failure { lease, backup: failed.backup.clone(), error: "disk full\0".to_owned() };
    writer.fail_backups(&[failure], at("2026-03-01T02:01:00Z")).await.unwrap();

    let drill = DrillWork {
        plan: name("full"),
        plan_digest: digest_of(&1),
        drill: "drill-0".to_owned(),
        backups: Vec::new(),
        attempt: 0,
        checks: Vec::new(),
        rpo: None,
        rto: None,
    };
    let lease = claim(&writer, other_action("drill", "0")).await;
    let reading = writer.begin_reading(
        ReadingKind::Drill,
        std::slice::from_ref(&kept.backup),
        "scratch",
        "a",
        Period::minutes(1),
        slot,
    );
    reading.await.unwrap();
    writer.record_drill(&lease, &drill, &evidence(&kept.backup, true), &run).await.unwrap();
    writer.record_drill(&lease, &drill, &evidence(&kept.backup, false), &run).await.unwrap();
    assert_eq!(writer.reader().evidence_head().await.unwrap(), Some(digest_of(&evidence(&kept.backup, true))));

    let lease = claim(&writer, other_action("record_missed", "1")).await;
    let missed = [at("2026-02-22T02:00:00Z"), at("2026-02-15T02:00:00Z")];
    let (schedule_name, app) = (name("nightly"), name("app"));
    for (slots, new) in [(&missed[1..], 1), (&missed[..], 1), (&missed[..], 0), (&missed[..0], 0)] {
        let recorded = writer.settle(&lease, &schedule_name, Some(&app), slots, 12, slot).await.unwrap();
        assert_eq!(recorded, new, "only what is recorded for the first time is counted");
    }
    writer.settle_through(&name("nightly"), Some(&name("app")), at("2026-02-01T02:00:00Z")).await.unwrap();
    writer.settle_through(&name("files"), None, slot).await.unwrap();
    let lease = claim(&writer, other_action("ensure_store", "1")).await;
    let store = StoreRecord {
        store: name("primary"),
        url: "s3://bucket".to_owned(),
        store_id: "store-1".to_owned(),
        capabilities: serde_json::json!({"conditional_put": false}),
        probed_at: slot,
    };
    writer.store_learnt(&lease, &store).await.unwrap();
    assert_eq!(writer.bump_serial(&run).await.unwrap(), 1);
    assert_eq!(writer.bump_serial(&run).await.unwrap(), 1, "a run raises it once");

    let expected = CatalogFacts {
        version: newest_version(),
        lineage: "lineage".to_owned(),
        serial: 1,
        simulated: None,
        applied: BTreeMap::from([(
            nightly,
            Applied { digest: digest_of(&body), body, since, archived_at: None, retention: Some(schedule().retention) },
        )]),
        backups: vec![Backup {
            id: kept.backup.clone(),
            database: Some(name("app")),
            filed_under: None,
            scope: scope.clone(),
            backup_type: BackupType::TenantData,
            schedule: name("nightly"),
            slot,
            store: name("primary"),
            consistent_at: at("2026-03-01T02:00:05.123456Z"),
            completed_at: at("2026-03-01T02:00:08.5Z"),
            size: Bytes(400),
            original_size: Bytes(1_600),
            verification: Verification::Restore,
            verified_at: Some(at("2026-03-02T04:00:00Z")),
            drilled_at: Some(at("2026-03-02T04:00:00Z")),
            quarantine: None,
            tombstoned_at: None,
            purge_after: None,
            purging: false,
            marks: 0,
            shared: kept.shared.clone(),
            parent: None,
            content: None,
            protected: false,
            asked_for: None,
            pinned_until: None,
            locked_until: Some(at("2026-04-01T00:00:00Z")),
            duration_ms: 5_500,
        }],
        drills: BTreeMap::from([(
            name("full"),
            DrillRecord {
                at: at("2026-03-02T04:00:00Z"),
                passed: true,
                plan_digest: digest_of(&1),
                restore: Period::seconds(13),
                backup_age: Period::minutes(90),
                attempts: 1,
            },
        )]),
        progress: vec![
            Progress { schedule: name("files"), database: None, settled: slot },
            Progress { schedule: name("nightly"), database: Some(name("app")), settled: at("2026-02-22T02:00:00Z") },
        ],
        garbage: vec![Garbage {
            store: name("primary"),
            backup: failed.backup.clone(),
            database: Some(name("app")),
            scope: Scope::Shared,
            attempt: 1,
            abandoned_at: at("2026-03-01T02:01:00Z"),
        }],
        canceled: Vec::new(),
        leased: vec![kept.backup.clone()],
        stores: BTreeMap::from([(name("primary"), "store-1".to_owned())]),
        removals: BTreeMap::new(),
        tenants: Vec::new(),
    };
    assert_eq!(facts(&writer).await, expected);
    assert_eq!(writer.reader().capabilities(&name("primary")).await.unwrap(), Some(store));
    super::questions::assert_narrow(&writer).await;
}

#[tokio::test]
async fn a_document_is_archived_and_comes_back_with_its_history() {
    let (_guard, url, writer) = made().await;
    let nightly = Address::of(Section::Schedule, name("nightly"));
    let full = Address::of(Section::RecoveryPlan, name("full"));
    let body = serde_json::to_value(schedule()).unwrap();
    let changed = serde_json::to_value(ScheduleSpec { max_parallel_jobs: 9, ..schedule() }).unwrap();
    let times = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"];
    apply(&writer, &full, DocumentOp::Create, Some(&serde_json::to_value(plan()).unwrap()), at(times[0])).await;
    apply(&writer, &nightly, DocumentOp::Create, Some(&body), at(times[0])).await;
    apply(&writer, &nightly, DocumentOp::Update, Some(&changed), at(times[1])).await;
    writer.show_next_runs(&[(name("nightly"), Some(at(times[3])))]).await.unwrap();

    let mut psql = PgConnection::connect(&url).await.unwrap();
    let shown = "SELECT concat_ws(' ', frequency, schedule_time, schedule_days, timezone, retention_days, \
         max_parallel_jobs, target_scope, target_classes, rule, enabled, deleted, next_run_at IS NOT NULL) \
         FROM bkup.schedules";
    let row: String = sqlx::query_scalar(shown).fetch_one(&mut psql).await.unwrap();
    assert_eq!(row, "WEEKLY 02:30:00 {7} Asia/Seoul 28 9 SPECIFIC_TENANTS {gold} weekly sun 02:30 t f t");
    let row: String = sqlx::query_scalar(
        "SELECT concat_ws(' ', plan_type, recovery_scope, recovery_time, recovery_point, test_frequency_days, status, \
         approved_by, approved_at AT TIME ZONE 'UTC', required_backup_types, jsonb_array_length(recovery_steps), \
         jsonb_array_length(manual_steps), recovery_steps->0->>'description') FROM bkup.recovery_plans",
    )
    .fetch_one(&mut psql)
    .await
    .unwrap();
    assert_eq!(row, "FULL_RECOVERY ALL_SYSTEMS 240 60 30 APPROVED cto 2026-02-01 00:00:00 {DATABASE} 2 1 assess");

    apply(&writer, &nightly, DocumentOp::Archive, None, at(times[2])).await;
    let archived = facts(&writer).await.applied[&nightly].clone();
    assert_eq!((archived.since, archived.archived_at), (at(times[0]), Some(at(times[2]))));
    assert_eq!(archived.body, changed);
    let gone: bool =
        sqlx::query_scalar("SELECT deleted AND NOT enabled FROM bkup.schedules").fetch_one(&mut psql).await.unwrap();
    assert!(gone);

    apply(&writer, &nightly, DocumentOp::Revive, Some(&body), at(times[3])).await;
    let back = facts(&writer).await.applied[&nightly].clone();
    // Slots that passed while it was archived were nobody's to run: it counts from its return.
    assert_eq!((back.since, back.archived_at, back.digest), (at(times[3]), None, digest_of(&body)));
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM bkup.schedules WHERE NOT deleted").fetch_one(&mut psql).await.unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_deletion_that_counts_on_a_newer_backup_falls_with_one_of_another_day() {
    let (_guard, _url, writer) = made().await;
    let kept = take(&writer, Scope::Database, at("2026-03-01T02:00:00Z")).await;
    let lease = claim(&writer, other_action("tombstone", "0")).await;
    let now = at("2026-03-02T00:00:00Z");
    let of = facts(&writer).await.backups[0].consistent_at;
    let counting = |from, until| PruneWork { newest: Between { from, until }, ..prune(&kept, 0, None) };
    let beyond = of + jiff::SignedDuration::from_micros(1);
    for (from, until) in [(Some(beyond), None), (None, Some(of)), (Some(beyond), Some(of))] {
        let outcome = writer.tombstone(&lease, &counting(from, until), now).await.unwrap();
        let MarkOutcome::Refused(why) = outcome else { panic!("{from:?} {until:?}: {outcome:?}") };
        assert!(why.ends_with("plan again"), "{why}");
    }
    let outcome = writer.tombstone(&lease, &counting(Some(of), Some(beyond)), now).await.unwrap();
    assert_eq!(outcome, MarkOutcome::Done);
}

#[tokio::test]
async fn a_backup_goes_from_tombstone_to_purge_and_its_slot_stays_taken() {
    let (_guard, _url, writer) = made().await;
    let slot = at("2026-03-01T02:00:00Z");
    let kept = take(&writer, Scope::Database, slot).await;
    let reader = writer.reader();
    let lease = claim(&writer, other_action("tombstone", "0")).await;
    let grace = at("2026-05-01T00:00:00Z");
    let marked = |mark| prune(&kept, mark, Some(grace));
    let now = at("2026-04-24T00:00:00Z");

    let reading = writer.begin_reading(
        ReadingKind::Restore,
        std::slice::from_ref(&kept.backup),
        "new",
        "b",
        Period::minutes(1),
        now,
    );
    let reading = reading.await.unwrap();
    let held = writer.tombstone(&lease, &marked(0), now).await.unwrap();
    assert_eq!(held, MarkOutcome::Refused("something reads it".to_owned()));
    assert!(writer.keep_reading(&reading, Period::minutes(1)).await.unwrap());
    writer.end_reading(&reading, &ReadingEnd::Completed { bytes_fetched: 1 }, now).await.unwrap();
    assert!(!writer.keep_reading(&reading, Period::minutes(1)).await.unwrap());

    assert_eq!(writer.tombstone(&lease, &marked(0), now).await.unwrap(), MarkOutcome::Done);
    assert_eq!(writer.tombstone(&lease, &marked(0), now).await.unwrap(), MarkOutcome::AlreadyDone);
    let early = writer.intend_purge(&lease, &marked(1), now).await.unwrap();
    assert_eq!(early, MarkOutcome::Refused("its grace period is not over".to_owned()));
    assert_eq!(writer.undelete(&kept.backup, None).await.unwrap(), (MarkOutcome::Done, 2));
    assert_eq!(facts(&writer).await.backups[0].marks, 2);
    let stale = writer.intend_purge(&lease, &marked(1), grace).await.unwrap();
    assert_eq!(stale, MarkOutcome::Refused("it is not tombstoned".to_owned()));
    assert_eq!(writer.tombstone(&lease, &marked(2), now).await.unwrap(), MarkOutcome::Done);
    let skipped = writer.purged(&lease, &kept.backup, grace).await.unwrap();
    assert_eq!(skipped, MarkOutcome::Refused("its purge was not begun".to_owned()));
    assert_eq!(writer.intend_purge(&lease, &marked(3), grace).await.unwrap(), MarkOutcome::Done);
    assert_eq!(writer.intend_purge(&lease, &marked(3), grace).await.unwrap(), MarkOutcome::Done, "resumed");
    let (late, _) = writer.undelete(&kept.backup, None).await.unwrap();
    assert_eq!(late, MarkOutcome::Refused("its purge has begun".to_owned()));
    let reading = writer.begin_reading(
        ReadingKind::Restore,
        std::slice::from_ref(&kept.backup),
        "new",
        "b",
        Period::minutes(1),
        now,
    );
    assert!(matches!(reading.await, Err(bkup::catalog::CatalogError::Conflict { .. })));
    assert_eq!(writer.purged(&lease, &kept.backup, grace).await.unwrap(), MarkOutcome::Done);
    assert_eq!(writer.purged(&lease, &kept.backup, grace).await.unwrap(), MarkOutcome::AlreadyDone);

    assert!(facts(&writer).await.backups.is_empty());
    assert_eq!(reader.find_backup(kept.backup.as_str()).await.unwrap(), Found::Nothing);
    let purged = ExecutionFilter { deleted: true, ..ExecutionFilter::default() };
    let row = &reader.executions(&purged).await.unwrap()[0];
    assert_eq!((row.status, row.purged_at), (BackupStatus::Completed, Some(grace)));
    let again = claim(&writer, action(&Scope::Database, slot)).await;
    let work = work(Scope::Database, slot);
    let run = run();
    let intent = bkup::catalog::Intent { work: &work, run: &run, started_at: now };
    let taken = writer.intend_backup(&again, &intent).await.unwrap();
    assert_eq!(taken, bkup::catalog::Intended::SlotTaken(kept.backup.clone()));
}

#[tokio::test]
async fn a_bad_look_quarantines_and_a_shallow_one_takes_nothing_back() {
    let (_guard, _url, writer) = made().await;
    let kept = take(&writer, Scope::Database, at("2026-03-01T02:00:00Z")).await;
    let store = name("primary");
    let look = |depth, passed, when: &str| Validation {
        backup: &kept.backup,
        store: &store,
        depth,
        passed,
        detail: None,
        bytes_read: 400,
        run: None,
        at: at(when),
    };
    writer.validated(&look(Verification::Exists, true, "2026-03-05T00:00:00Z")).await.unwrap();
    let backup = facts(&writer).await.backups[0].clone();
    assert_eq!((backup.verification, backup.verified_at), (Verification::Checksum, Some(at("2026-03-05T00:00:00Z"))));
    assert_eq!(backup.quarantine, None);

    writer.validated(&look(Verification::Checksum, false, "2026-03-06T00:00:00Z")).await.unwrap();
    let again = writer.quarantine(&kept.backup, "another reason", at("2026-03-07T00:00:00Z")).await.unwrap();

    assert_eq!(again, MarkOutcome::AlreadyDone);
    let backup = facts(&writer).await.backups[0].clone();
    assert_eq!(backup.quarantine.as_deref(), Some("checksum verification failed"));
    let lease = claim(&writer, other_action("tombstone", "0")).await;
    let held = writer.tombstone(&lease, &prune(&kept, 0, None), at("2026-03-08T00:00:00Z")).await.unwrap();
    assert_eq!(held, MarkOutcome::Refused("it is quarantined".to_owned()));
}

#[tokio::test]
async fn backups_are_found_by_the_begin_of_their_id_and_listed_by_page() {
    let (_guard, _url, writer) = made().await;
    let reader = writer.reader();
    let mut taken = Vec::new();
    for day in 1..=3 {
        taken.push(take(&writer, Scope::Database, at(&format!("2026-03-0{day}T02:00:00Z"))).await.backup);
    }
    let Found::One(one) = reader.find_backup("20260302").await.unwrap() else { panic!("one begins so") };
    assert_eq!(one.id, taken[1]);
    assert_eq!(reader.find_backup("202603").await.unwrap(), Found::Many(taken.clone()));
    for hostile in ["%", "_", "'; DROP SCHEMA bkup; --", "\u{10ffff}"] {
        assert_eq!(reader.find_backup(hostile).await.unwrap(), Found::Nothing, "{hostile}");
    }

    let mut filter = ExecutionFilter { limit: 2, ..ExecutionFilter::default() };
    let first = reader.executions(&filter).await.unwrap();
    filter.after = first.last().map(|row| (row.listed_at, row.id.clone()));
    let second = reader.executions(&filter).await.unwrap();
    let mut listed: Vec<_> = first.iter().chain(&second).filter_map(|row| row.backup.clone()).collect();
    listed.sort();
    assert_eq!((first.len(), listed), (2, taken));
    let none = ExecutionFilter { schedule: Some(name("other")), ..ExecutionFilter::default() };
    assert!(reader.executions(&none).await.unwrap().is_empty());
}

#[tokio::test]
async fn hostile_tenants_are_only_text() {
    let (_guard, url, writer) = made().await;
    let app = name("app");
    let tenant = |slug: &str, schema: &str| Tenant { slug: slug.to_owned(), schema: schema.to_owned(), id: None };
    let seen = [(tenant(HOSTILE, "tenant_x"), Some(name("gold"))), (tenant("b", HOSTILE), None)];
    writer.tenants_seen(&app, &seen, at("2026-03-01T00:00:00Z")).await.unwrap();
    let gone = TenantWork {
        database: app.clone(),
        slug: HOSTILE.to_owned(),
        schema: "tenant_x".to_owned(),
        last_seen_at: at("2026-03-01T00:00:00Z"),
        offboarded_at: None,
        backups: 0,
    };
    let lease = claim(&writer, other_action("offboard", "1")).await;
    let offboarded = |work: TenantWork, text: &'static str| {
        let (writer, lease) = (&writer, &lease);
        async move { writer.offboard(lease, &work, at(text)).await.unwrap() }
    };
    let early = TenantWork { last_seen_at: at("2026-02-28T00:00:00Z"), ..gone.clone() };
    assert!(matches!(offboarded(early, "2026-03-02T00:00:00Z").await, MarkOutcome::Refused(_)), "it was seen since");
    let stranger = TenantWork { slug: "nobody".to_owned(), ..gone.clone() };
    assert!(matches!(offboarded(stranger, "2026-03-02T00:00:00Z").await, MarkOutcome::Refused(_)));
    assert_eq!(offboarded(gone.clone(), "2026-03-02T00:00:00Z").await, MarkOutcome::Done);
    assert_eq!(offboarded(gone, "2026-03-09T00:00:00Z").await, MarkOutcome::AlreadyDone, "the first instant counts");
    take(&writer, Scope::Tenant(HOSTILE.to_owned()), at("2026-03-01T02:00:00Z")).await;

    let known = writer.reader().tenants(&app).await.unwrap();
    assert_eq!(known.iter().map(|k| k.tenant.clone()).collect::<Vec<_>>(), [seen[0].0.clone(), seen[1].0.clone()]);
    assert_eq!(known[0].offboarded_at, Some(at("2026-03-02T00:00:00Z")));
    writer.tenants_seen(&app, &seen, at("2026-03-03T00:00:00Z")).await.unwrap();
    let known = writer.reader().tenants(&app).await.unwrap();
    assert_eq!((known[0].offboarded_at, known[0].first_seen_at), (None, at("2026-03-01T00:00:00Z")));
    let mut psql = PgConnection::connect(&url).await.unwrap();
    let status: Vec<String> =
        sqlx::query_scalar("SELECT concat_ws(' ', tenant_name, status, verified) FROM bkup.backup_status")
            .fetch_all(&mut psql)
            .await
            .unwrap();
    assert_eq!(status, [format!("{HOSTILE} COMPLETED t"), "b f".to_owned()]);
}

#[tokio::test]
async fn the_first_digest_key_counts_and_is_not_shown() {
    let (_guard, _url, writer) = made().await;
    let key = |id: &str, byte| DigestKey { id: id.to_owned(), key: vec![byte; 32].into() };
    let (store, app) = (name("primary"), name("app"));
    assert_eq!(writer.reader().digest_key(&store, &app).await.unwrap(), None);
    assert_eq!(writer.keep_digest_key(&store, &app, &key("k1", 171)).await.unwrap(), key("k1", 171));
    assert_eq!(writer.keep_digest_key(&store, &app, &key("k2", 2)).await.unwrap(), key("k1", 171));
    assert!(!format!("{:?}", key("k1", 171)).contains("171"));
}

#[tokio::test]
async fn instants_keep_their_microseconds() {
    let (_guard, _url, writer) = made().await;
    for text in [
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999999Z",
        "2026-03-29T01:30:00.123456Z",
        "9999-12-30T22:00:00Z",
    ] {
        writer.settle_through(&name("n"), None, at(text)).await.unwrap();
        assert_eq!(facts(&writer).await.progress[0].settled, as_recorded(at(text)), "{text}");
    }
}

#[tokio::test]
async fn a_hundred_thousand_executions_cost_as_many_questions_as_one() {
    let (guard, url, writer) = made().await;
    let one = take(&writer, Scope::Database, at("2026-03-01T02:00:00Z")).await;
    let reader = Reader::open(&url).unwrap();
    // Both of its connections are there.
    tokio::try_join!(reader.state(), reader.state()).unwrap();
    let questions = |before: usize| guard.statements().split_off(before);
    let before = guard.statements().len();
    reader.state().await.unwrap();
    let few = questions(before);

    let mut psql = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO bkup.executions (backup_id, attempt, backup_type, backup_name, status, schedule, slot, database, \
             scope, store, consistent_at, completed_at, started_at, backup_size, original_size, duration_ms) \
         SELECT lpad(n::text, 8, '0') || '-nightly', 1, backup_type, backup_name, status, schedule, \
                slot + n * interval '1 hour', database, scope, store, consistent_at, completed_at, started_at, \
                backup_size, original_size, duration_ms FROM bkup.executions e, generate_series(1, 100000) n; \
         ANALYZE bkup.executions",
    )
    .execute(&mut psql)
    .await
    .unwrap();
    let before = guard.statements().len();
    let bkup::domain::CatalogState::Present(read) = reader.state().await.unwrap() else { panic!("it is there") };

    assert_eq!(read.backups.len(), 100_001);
    assert_eq!(questions(before).len(), few.len());
    assert!(few.len() <= 16, "{few:#?}");
    let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "EXPLAIN SELECT backup_id FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted \
         AND backup_id >= '{0}' AND backup_id < '{0}' || '~'",
        one.backup
    )))
    .fetch_all(&mut psql)
    .await
    .unwrap();
    assert!(plan.iter().any(|line| line.contains("executions_kept")), "{plan:?}");
}

#[tokio::test]
async fn a_store_that_was_exchanged_is_not_taken_for_the_one_that_holds_the_backups() {
    let (_guard, _url, writer) = made().await;
    let lease = claim(&writer, other_action("ensure_store", "1")).await;
    let store = |id: &str| StoreRecord {
        store: name("primary"),
        url: "file:///backups".to_owned(),
        store_id: id.to_owned(),
        capabilities: serde_json::json!({}),
        probed_at: at("2026-03-01T00:00:00Z"),
    };
    writer.store_learnt(&lease, &store("store-0")).await.unwrap();
    writer.store_learnt(&lease, &store("store-1")).await.unwrap();
    let slot = at("2026-03-01T02:00:00Z");
    let work = work(Scope::Database, slot);
    let own = claim(&writer, action(&Scope::Database, slot)).await;
    complete(&writer, &own, &manifest(&work, own.token)).await;
    let exchanged = writer.store_learnt(&lease, &store("store-2")).await;
    assert!(matches!(exchanged, Err(bkup::catalog::CatalogError::Conflict { .. })), "{exchanged:?}");
}
