//! The planner: what it plans, what it holds back, what it refuses; and that a second plan finds nothing to do.

use bkup::domain::{
    Action, ActionClass, ActionKind, Address, BackupType, Between, CatalogState, DocumentOp, HeldReason, Observation,
    Period, Pick, Plan, PlanType, ReasonCode, RetentionRule, Scope, Section, Timing,
};
use proptest::prelude::*;

use crate::world::model::{Model, at, cron, name, recovery_plan, schedule};

fn keep_last(count: u32) -> RetentionRule {
    RetentionRule { last: Some(count), ..RetentionRule::default() }
}

fn tenants_daily(retention: RetentionRule) -> bkup::domain::ScheduleSpec {
    schedule(BackupType::TenantData, cron("0 3 * * *"), retention)
}

fn words(plan: &Plan) -> Vec<&'static str> {
    plan.actions.iter().map(|a| a.kind.word()).collect()
}

fn backups(plan: &Plan) -> Vec<String> {
    let scope = |kind: &ActionKind| match kind {
        ActionKind::BackUp(work) => Some(work.scope.to_string()),
        _ => None,
    };
    plan.actions.iter().filter_map(|a| scope(&a.kind)).collect()
}

#[test]
fn plans_a_first_run_from_nothing_and_then_nothing() {
    let mut model =
        Model::new("2026-11-20T14:00:00Z", &["acme", "birch"]).schedule("nightly", tenants_daily(keep_last(7)));
    let plan = model.step();
    assert_eq!(plan.lineage, None);
    assert_eq!(backups(&plan), ["shared", "tenant=acme", "tenant=birch"]);
    let ActionKind::BackUp(work) = &plan.actions.iter().find(|a| a.kind.word() == "back_up").expect("a backup").kind
    else {
        unreachable!()
    };
    assert_eq!(work.slot, at("2026-11-20T03:00:00Z"), "the newest past slot is run at once");
    assert_eq!(work.leave_out, ["tenant_acme", "tenant_birch"]);
}

#[test]
fn runs_the_slot_that_has_come_and_records_the_ones_that_nobody_ran_once() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(7)));
    model.run();
    model.pass(Period::days(1));
    let plan = model.step();
    assert_eq!(words(&plan), ["back_up", "back_up"]);
    // Three nights without a run, and the fourth one's time to start is over too.
    model.pass(Period::days(4));
    model.pass(Period::hours(5));
    let plan = model.step();
    let ActionKind::RecordMissed { slots, scopes, .. } = &plan.actions[0].kind else { panic!("{:?}", words(&plan)) };
    assert_eq!((slots.len(), *scopes), (4, 1));
    assert_eq!(slots[0], at("2026-11-22T03:00:00Z"));
    assert_eq!(words(&plan), ["record_missed"]);
}

#[test]
fn a_new_tenant_is_backed_up_at_once_and_the_others_are_left_alone() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(7)));
    model.run();
    model.pass(Period::hours(9));
    model.set_tenants(&["acme", "new"]);
    let plan = model.step();
    assert_eq!(backups(&plan), ["tenant=new"], "the slot's shared archive is there already");
}

#[test]
fn a_backup_never_counts_for_two_schedules() {
    let spec = tenants_daily(keep_last(7));
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("one", spec.clone()).schedule("two", spec);
    let plan = model.step();
    assert_eq!(backups(&plan), ["shared", "tenant=acme", "shared", "tenant=acme"]);
}

#[test]
fn an_unreachable_catalog_leaves_nothing_to_do_and_says_so() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(7)));
    model.observed.catalog = Observation::Unreachable("connection refused".to_owned());
    let plan = model.plan();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.held[0].reason, HeldReason::CatalogUnreachable);
}

#[test]
fn holds_backups_and_pruning_while_the_store_cannot_be_read() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(2)));
    for _ in 0..4 {
        model.run();
        model.pass(Period::days(1));
    }
    let readable = model.observed.stores.clone();
    model.observed.stores.insert(name("primary"), Observation::Unreachable("timed out".to_owned()));
    let plan = model.plan();
    assert!(!words(&plan).contains(&"back_up") && plan.counts().deletes == 0, "{:?}", words(&plan));
    assert!(plan.held.iter().any(|h| h.reason == HeldReason::StoreUnreachable && h.work == "back_up"));
    model.observed.stores = readable;
    assert!(words(&model.plan()).contains(&"tombstone"));
}

#[test]
fn holds_backups_while_the_database_cannot_be_read() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(2)));
    model.observed.servers.insert(name("app"), Observation::Unreachable("connection refused".to_owned()));
    let plan = model.plan();
    assert_eq!(backups(&plan), Vec::<String>::new());
    assert_eq!(plan.held[0].reason, HeldReason::DatabaseUnreachable);
}

#[test]
fn deletions_come_last_and_after_the_backup_they_count_on() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(2)));
    model.run();
    model.pass(Period::days(1));
    model.run();
    model.pass(Period::days(1));
    let plan = model.step();
    assert_eq!(words(&plan), ["back_up", "back_up", "tombstone"]);
    let backup = plan.actions.iter().find(|a| matches!(&a.kind, ActionKind::BackUp(w) if w.scope != Scope::Shared));
    assert_eq!(plan.actions[2].after, [backup.expect("a backup").id], "it holds only with the new backup");
}

#[test]
fn a_deletion_says_of_when_the_backup_it_counts_on_must_be() {
    let retention = RetentionRule { daily: Some(3), pick: Pick::Last, ..RetentionRule::default() };
    let spec = schedule(BackupType::TenantData, cron("0 3,15 * * *"), retention);
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("twice", spec);
    model.desired.guards.min_keep = 1;
    model.document();
    for _ in 0..4 {
        model.run();
        model.pass(Period::hours(12));
    }
    model.run();
    model.pass(Period::hours(12));
    let plan = model.step();
    let ActionKind::Tombstone(work) = &plan.actions[2].kind else { panic!("{:?}", words(&plan)) };
    // Applied behind midnight, the backup of the afternoon is one of the next day, and this day's newest stays.
    let of_today = Between { from: Some(at("2026-11-22T00:00:00Z")), until: Some(at("2026-11-23T00:00:00Z")) };
    assert_eq!((work.consistent_at, work.newest), (at("2026-11-22T03:10:00Z"), of_today));
    model.pass(Period::days(20));
    let purges: Vec<Action> = model.plan().actions.into_iter().filter(|a| a.kind.word() == "purge").collect();
    let text = serde_json::to_string(&purges).expect("a text");
    assert!(!purges.is_empty() && !text.contains("newest"), "what counts on nothing says nothing: {text}");
}

#[test]
fn a_purge_that_has_begun_is_finished_whatever_came_since() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(1)));
    for _ in 0..3 {
        model.run();
        model.pass(Period::days(1));
    }
    let tenant = Scope::Tenant("acme".to_owned());
    let gone = model.facts().backups.iter().find(|b| b.tombstoned_at.is_some() && b.scope == tenant).cloned();
    let id = gone.expect("a tombstoned backup").id;
    model.pass(Period::hours(1));
    let purges = |model: &Model| words(&model.plan()).into_iter().filter(|word| *word == "purge").count();
    assert_eq!(purges(&model), 0, "it is in its grace");
    model.backup(id.as_str()).purging = true;
    model.backup(id.as_str()).protected = true;
    assert_eq!(purges(&model), 1);
    model.backup(id.as_str()).locked_until = Some(at("2027-01-01T00:00:00Z"));
    let plan = model.plan();
    assert!(!words(&plan).contains(&"purge"), "the store would refuse");
    assert!(plan.held.iter().any(|held| held.reason == HeldReason::Locked && held.words.starts_with(id.as_str())));
}

#[test]
fn the_last_backups_that_name_a_shared_archive_are_purged_before_it_is_tombstoned() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(2)));
    model.desired.guards.grace = Period::days(3);
    model.document();
    let mut together = 0;
    for _ in 0..12 {
        let plan = model.step();
        for (index, action) in plan.actions.iter().enumerate() {
            let earlier: Vec<_> = plan.actions[..index].iter().map(|a| a.id).collect();
            assert!(action.after.iter().all(|id| earlier.contains(id)), "{} comes too early", action.kind.word());
        }
        let shared = |a: &Action| matches!(&a.kind, ActionKind::Tombstone(w) if w.scope == Scope::Shared);
        together += plan.actions.iter().filter(|a| shared(a) && !a.after.is_empty()).count();
        model.pass(Period::days(1));
    }
    assert!(together > 0, "no shared archive ever followed its last tenant backup in one plan");
}

#[test]
fn purges_after_the_grace_period_and_the_shared_archive_with_its_last_tenant() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(2)));
    model.desired.guards.grace = Period::days(3);
    model.document();
    for _ in 0..30 {
        model.run();
        model.pass(Period::days(1));
    }
    let live = model.live(&Scope::Tenant("acme".to_owned()));
    assert_eq!(live.len(), 2);
    // Two kept, three in their grace period; the shared archives of purged ones have a grace period of their own.
    let shared = model.facts().backups.iter().filter(|b| b.scope == Scope::Shared).count();
    assert_eq!(shared, 5 + 3);
    for backup in model.facts().backups.clone() {
        if let Some(shared) = &backup.shared {
            assert!(model.facts().backups.iter().any(|b| &b.id == shared), "{} lost its shared archive", backup.id);
        }
    }
}

#[test]
fn a_grace_period_of_nothing_converges_too() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(2)));
    model.desired.guards.grace = Period::seconds(0);
    model.document();
    for _ in 0..6 {
        model.run();
        model.pass(Period::days(1));
    }
    assert_eq!(model.facts().backups.len(), 4);
}

#[test]
fn removing_a_schedule_deletes_nothing_and_archives_it() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"])
        .schedule("nightly", tenants_daily(keep_last(2)))
        .schedule("other", schedule(BackupType::Database, cron("0 4 * * *"), keep_last(2)));
    model.run();
    model.pass(Period::hours(2));
    model.run();
    model.desired.schedules.remove(&name("nightly"));
    model.document();
    let plan = model.step();
    assert_eq!(words(&plan), ["apply_document"]);
    assert!(matches!(&plan.actions[0].kind, ActionKind::ApplyDocument { op: DocumentOp::Archive, .. }));
    model.pass(Period::days(400));
    let plan = model.plan();
    assert!(!plan.actions.iter().any(|a| a.kind.deletes()), "floors keep the last backup of a schedule that is gone");
}

#[test]
fn a_change_that_deletes_too_much_is_refused_with_the_numbers_and_allowed_with_consent() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(20)));
    for _ in 0..20 {
        model.run();
        model.pass(Period::days(1));
    }
    model.desired.schedules.get_mut(&name("nightly")).expect("there").retention = keep_last(5);
    model.document();
    let plan = model.plan();
    assert_eq!(plan.refusals.len(), 1, "{:?}", plan.refusals);
    assert!(plan.refusals[0].words.contains("of 20 backups of database.app tenant=acme"), "{}", plan.refusals[0].words);
    assert!(plan.actions.iter().any(|a| a.kind.deletes() && a.class == ActionClass::Change));
    model.request.allow_delete = Some("90%".parse().expect("a consent"));
    model.run();
    assert_eq!(model.live(&Scope::Tenant("acme".to_owned())).len(), 5);
}

#[test]
fn time_alone_deletes_without_consent() {
    let rule = RetentionRule { within: Some(Period::days(5)), ..RetentionRule::default() };
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(rule));
    for _ in 0..6 {
        model.run();
        model.pass(Period::days(1));
    }
    model.pass(Period::days(30));
    let plan = model.plan();
    assert!(plan.refusals.is_empty());
    assert!(plan.actions.iter().any(|a| a.kind.deletes()));
    assert!(plan.actions.iter().filter(|a| a.kind.deletes()).all(|a| a.class == ActionClass::Due));
}

#[test]
fn policies_that_ask_for_nothing_are_refused() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(2)));
    model.run();
    model.desired = bkup::domain::Desired::default();
    let plan = model.plan();
    assert_eq!(plan.refusals[0].guard, "empty_desired");
    assert!(!plan.actions.iter().any(|a| a.kind.deletes()));
}

#[test]
fn a_store_with_backups_beside_a_missing_catalog_is_never_a_first_run() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(2)));
    model.run();
    model.observed.catalog = Observation::Known(CatalogState::Absent);
    assert_eq!(model.plan().refusals[0].guard, "catalog_missing");
}

#[test]
fn a_listing_that_lacks_too_much_is_not_believed() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(9)));
    for _ in 0..5 {
        model.run();
        model.pass(Period::days(1));
    }
    let ids: Vec<_> = model.facts().backups.iter().map(|b| b.id.clone()).collect();
    model.store().missing = ids[..1].to_vec();
    let plan = model.plan();
    assert!(plan.refusals.is_empty(), "one of ten may be lost: {:?}", plan.refusals);
    assert!(words(&plan).contains(&"quarantine"));
    model.store().missing = ids[..3].to_vec();
    assert_eq!(model.plan().refusals[0].guard, "inventory");
    // An emptied store has no marker either.
    *model.store() = bkup::domain::StoreFacts { missing: ids, ..Default::default() };
    assert_eq!(model.plan().refusals[0].guard, "inventory");
}

#[test]
fn a_backup_whose_manifest_is_gone_is_quarantined_and_replaced_when_it_was_the_only_one() {
    let mut model =
        Model::new("2026-11-20T03:10:00Z", &["a", "b", "c", "d", "e"]).schedule("nightly", tenants_daily(keep_last(9)));
    model.run();
    let lost = model.live(&Scope::Tenant("a".to_owned()))[0].id.clone();
    model.store().missing = vec![lost];
    let plan = model.step();
    assert_eq!(words(&plan), ["quarantine"], "its slot is taken; the next one is a new backup");
    model.pass(Period::days(1));
    let plan = model.step();
    assert!(backups(&plan).contains(&"tenant=a".to_owned()));
}

#[test]
fn a_clock_that_is_behind_or_off_is_refused() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(9)));
    model.run();
    let mut behind = model.clone();
    behind.request.now = at("2026-11-19T03:10:00Z");
    assert_eq!(behind.plan().refusals[0].guard, "clock");
    model.observed.clocks.push(bkup::domain::Clock { owner: "catalog".to_owned(), ahead_seconds: -301 });
    assert_eq!(model.plan().refusals[0].guard, "clock");
    model.observed.clocks[0].ahead_seconds = 300;
    assert!(model.plan().refusals.is_empty());
}

#[test]
fn a_simulated_clock_and_a_real_catalog_never_meet() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(9)));
    model.run();
    model.request.simulated = true;
    assert_eq!(model.plan().refusals[0].guard, "clock");
}

#[test]
fn a_drill_is_in_the_plan_that_makes_its_first_backups() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme", "birch", "cedar"])
        .schedule("nightly", tenants_daily(keep_last(3)))
        .recovery_plan("tenant", recovery_plan(PlanType::TenantRecovery, Period::days(30)));
    let plan = model.step();
    let drill = plan.actions.iter().find(|a| a.kind.word() == "drill").expect("a drill");
    let ActionKind::Drill(work) = &drill.kind else { unreachable!() };
    assert_eq!(work.backups.len(), 3, "the shared archive and a sample of two");
    assert_eq!(work.backups[0].scope, Scope::Shared);
    assert_eq!(drill.after.len(), 3);
    for _ in 0..29 {
        model.pass(Period::days(1));
        assert!(!words(&model.step()).contains(&"drill"));
    }
    model.pass(Period::days(1));
    assert!(words(&model.step()).contains(&"drill"));
}

#[test]
fn a_drill_without_the_private_key_is_held_and_not_due() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"])
        .schedule("nightly", tenants_daily(keep_last(3)))
        .recovery_plan("tenant", recovery_plan(PlanType::TenantRecovery, Period::days(30)));
    model.desired.stores.get_mut(&name("primary")).expect("there").encryption = Some(bkup::domain::EncryptionSpec {
        recipients: vec!["age1x".to_owned()],
        identity: None,
        per_tenant_keys: false,
    });
    model.document();
    let plan = model.step();
    assert!(!words(&plan).contains(&"drill"));
    assert_eq!(plan.held.iter().map(|h| h.reason).collect::<Vec<_>>(), [HeldReason::NoIdentity]);
}

#[test]
fn narrowing_to_backups_leaves_pruning_and_unapplied_policies_alone() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(2)));
    model.request.narrowing.only = Some("backups".to_owned());
    let plan = model.plan();
    assert!(backups(&plan).is_empty());
    assert_eq!(plan.held[0].reason, HeldReason::Narrowed);
    model.request.narrowing.only = None;
    for _ in 0..4 {
        model.run();
        model.pass(Period::days(1));
    }
    model.request.narrowing.only = Some("backups".to_owned());
    assert_eq!(words(&model.plan()), ["back_up", "back_up"]);
    model.request.narrowing.only = Some("retention".to_owned());
    assert_eq!(words(&model.plan()), Vec::<&str>::new(), "without the new backup nothing may go");
}

#[test]
fn the_change_digest_survives_due_work_and_the_digest_does_not() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("nightly", tenants_daily(keep_last(9)));
    model.run();
    model.desired.schedules.get_mut(&name("nightly")).expect("there").start_within = Period::hours(2);
    model.document();
    let before = model.plan();
    model.pass(Period::days(1));
    let after = model.plan();
    assert_eq!(before.change_digest, after.change_digest);
    assert_ne!(before.digest, after.digest);
    assert!(after.actions.len() > before.actions.len());
    assert_eq!(bkup::plan::digest(&after), after.digest);
}

#[test]
fn a_policy_that_came_back_is_revived() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"])
        .schedule("nightly", tenants_daily(keep_last(2)))
        .schedule("other", schedule(BackupType::Database, cron("0 4 * * *"), keep_last(2)));
    model.run();
    let spec = model.desired.schedules.remove(&name("nightly")).expect("there");
    model.document();
    model.run();
    let mut model = model.schedule("nightly", spec);
    let plan = model.step();
    assert!(matches!(&plan.actions[0].kind, ActionKind::ApplyDocument { op: DocumentOp::Revive, .. }));
    assert_eq!(plan.actions[0].address, Address::of(Section::Schedule, name("nightly")));
}

#[test]
fn a_request_is_taken_now_and_nothing_else_is() {
    let mut model = Model::new("2026-11-20T14:00:00Z", &["acme"])
        .schedule("nightly", tenants_daily(keep_last(2)))
        .schedule("pre-migration", schedule(BackupType::Database, Timing::OnRequest, keep_last(2)));
    model.run();
    model.request.requested.insert(name("pre-migration"));
    model.pass(Period::days(1));
    let plan = model.plan();
    assert_eq!(backups(&plan), ["database"]);
    let action = plan.actions.iter().find(|a| a.kind.word() == "back_up").expect("a backup");
    assert_eq!(action.reason.code, ReasonCode::Requested);
}

fn rule() -> impl Strategy<Value = RetentionRule> {
    (0..4u32, 0..4u32, 0..3u32, proptest::option::of(1..20i64), proptest::option::of(10..40i64)).prop_map(
        |(last, daily, weekly, within, max_age)| RetentionRule {
            last: Some(last),
            daily: Some(daily),
            weekly: Some(weekly),
            within: within.map(Period::days),
            max_age: max_age.map(Period::days),
            ..RetentionRule::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the rules, however irregularly it is run, and while tenants come, go and rules change: every apply is
    /// followed by an empty plan, floors hold, and nothing names a backup that is gone.
    #[test]
    fn every_apply_converges_over_random_months(
        tenant_rule in rule(),
        changed_rule in rule(),
        database_rule in rule(),
        grace in 0..9i64,
        min_keep in 1..4u32,
        steps in proptest::collection::vec((1..80i64, 0..6usize), 5..25),
    ) {
        let all = ["ash", "birch", "cedar", "doum", "elm"];
        let mut model = Model::new("2026-03-20T14:00:00Z", &all[..2])
            .schedule("tenants", schedule(BackupType::TenantData, cron("30 */6 * * *"), tenant_rule))
            .schedule("nightly", schedule(BackupType::Database, cron("0 2 * * *"), database_rule))
            .recovery_plan("tenant", recovery_plan(PlanType::TenantRecovery, Period::days(9)));
        model.desired.guards.grace = Period::days(grace);
        model.desired.guards.min_keep = min_keep;
        model.request.allow_delete = Some("100%".parse().expect("a consent"));
        model.document();
        for (index, (hours, tenants)) in steps.iter().enumerate() {
            model.set_tenants(&all[..*tenants.min(&all.len())]);
            if index == steps.len() / 2 {
                model.desired.schedules.get_mut(&name("tenants")).expect("there").retention = changed_rule.clone();
                model.document();
            }
            let before: Vec<Scope> = model.observed.catalog.known().map_or(Vec::new(), |state| match state {
                CatalogState::Present(facts) => facts.backups.iter().map(|b| b.scope.clone()).collect(),
                CatalogState::Absent => Vec::new(),
            });
            model.run();
            for scope in before.iter().filter(|s| **s != Scope::Shared) {
                let live = model.live(scope).len();
                let had = before.iter().filter(|s| *s == scope).count();
                prop_assert!(live >= had.min(1), "{scope} has lost its last backup");
            }
            let ids: Vec<_> = model.facts().backups.iter().map(|b| b.id.clone()).collect();
            for backup in &model.facts().backups {
                prop_assert!(backup.shared.as_ref().is_none_or(|shared| ids.contains(shared)));
            }
            model.pass(Period::hours(*hours));
        }
    }
}

fn files_daily() -> bkup::domain::ScheduleSpec {
    bkup::domain::ScheduleSpec {
        databases: Vec::new(),
        paths: vec!["/srv/**".to_owned()],
        exclude: vec!["*.tmp".to_owned()],
        ..schedule(BackupType::Files, cron("0 3 * * *"), keep_last(2))
    }
}

#[test]
fn files_belong_to_no_database_and_are_planned_missed_kept_and_pruned_as_all_else() {
    let mut model = Model::new("2026-11-20T03:10:00Z", &["acme"]).schedule("uploads", files_daily());
    // A server that nobody reaches is no reason to leave files alone.
    let app = name("app");
    let _ = model.observed.servers.insert(app, Observation::Unreachable("gone".to_owned()));
    let plan = model.step();
    assert_eq!(backups(&plan), ["files=uploads"]);
    let ActionKind::BackUp(work) = &plan.actions.iter().find(|a| a.kind.word() == "back_up").expect("a backup").kind
    else {
        unreachable!()
    };
    assert_eq!(work.database, None);
    let files = work.files.as_ref().expect("which files");
    assert_eq!(
        (files.paths.as_slice(), files.exclude.as_slice()),
        (&["/srv/**".to_owned()][..], &["*.tmp".to_owned()][..])
    );
    model.assert_converges();
    model.pass(Period::days(3));
    let plan = model.step();
    assert_eq!(words(&plan), ["record_missed", "back_up"]);
    for _ in 0..12 {
        model.pass(Period::days(1));
        model.run();
    }
    let left = model.live(&Scope::Files(name("uploads")));
    assert_eq!(left.iter().filter(|backup| backup.tombstoned_at.is_none()).count(), 2, "{left:?}");
}
