//! The planner on what the policies say about their own change: renames carry everything, removals do what they say, and
//! nothing goes below a floor. What is renamed runs no slot twice and loses none.

use std::collections::BTreeSet;

use bkup::domain::{
    ActionKind, Address, BackupType, Moved, Period, Plan, PlanType, Removed, RemovedBackups, RetentionRule,
    ScheduleSpec, Scope, Section,
};
use proptest::prelude::*;

use crate::world::model::{Model, cron, name, recovery_plan, schedule};

fn keep_last(count: u32) -> RetentionRule {
    RetentionRule { last: Some(count), ..RetentionRule::default() }
}

fn tenants_daily(retention: RetentionRule) -> ScheduleSpec {
    schedule(BackupType::TenantData, cron("0 3 * * *"), retention)
}

fn database_daily(retention: RetentionRule) -> ScheduleSpec {
    schedule(BackupType::Database, cron("0 2 * * *"), retention)
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn moved(from: &str, to: &str) -> Moved {
    Moved { from: address(from), to: address(to) }
}

fn removed(from: &str, backups: RemovedBackups) -> Removed {
    Removed { from: address(from), backups }
}

fn days(model: &mut Model, days: usize) {
    for _ in 0..days {
        model.run();
        model.pass(Period::days(1));
    }
}

fn deletions(plan: &Plan) -> usize {
    plan.actions.iter().filter(|action| action.kind.deletes()).count()
}

fn words(plan: &Plan) -> Vec<String> {
    plan.actions.iter().map(|a| format!("{} {}", a.kind.word(), a.address)).collect()
}

fn refusals(plan: &Plan) -> Vec<&str> {
    plan.refusals.iter().map(|refusal| refusal.guard.as_str()).collect()
}

/// A world whose schedule `daily` has run for some days; the next slot is done.
fn after_days(count: usize) -> Model {
    let mut model = Model::new("2026-03-01T03:10:00Z", &["a", "b"]).schedule("daily", tenants_daily(keep_last(20)));
    days(&mut model, count);
    model.run();
    model
}

/// Renames a schedule in the policies, and says so.
fn rename(model: &mut Model, from: &str, to: &str) {
    let spec = model.desired.schedules.remove(&name(from)).expect("a schedule");
    model.desired.schedules.insert(name(to), spec);
    model.desired.moved.push(moved(&format!("schedule.{from}"), &format!("schedule.{to}")));
    model.document();
}

#[test]
fn a_renamed_schedule_takes_its_history_along_and_runs_no_slot_twice() {
    let mut model = after_days(4);
    rename(&mut model, "daily", "nightly");
    let plan = model.plan();
    assert_eq!(words(&plan), ["move schedule.nightly"], "the document is the same, and its newest slot is done");
    model.run();
    assert!(model.facts().backups.iter().all(|b| b.schedule == name("nightly")));
    assert!(!model.facts().applied.contains_key(&address("schedule.daily")));
    model.desired.moved.clear();
    model.assert_converges();
    // Retention counts over both names.
    model.desired.schedules.get_mut(&name("nightly")).expect("there").retention = keep_last(5);
    model.document();
    model.run();
    model.pass(Period::days(1));
    model.run();
    assert_eq!(model.live(&Scope::Tenant("a".to_owned())).len(), 5);
}

#[test]
fn a_rename_with_a_change_shows_both_and_what_works_under_the_new_name_waits_for_it() {
    let mut model = after_days(2);
    rename(&mut model, "daily", "nightly");
    model.desired.schedules.get_mut(&name("nightly")).expect("there").max_parallel_jobs = 4;
    model.document();
    model.pass(Period::days(1));
    let plan = model.step();
    let renamed = plan.actions.iter().find(|a| a.kind.word() == "move").expect("a rename").id;
    let waiting = plan.actions.iter().filter(|a| a.kind.word() != "move");
    assert!(waiting.clone().count() > 3, "{:?}", words(&plan));
    for action in waiting {
        assert!(action.after.contains(&renamed), "{} {}", action.address, action.kind.word());
    }
}

#[test]
fn a_chain_of_renames_leads_to_its_end_wherever_the_catalog_stands() {
    for done in [false, true] {
        let mut model = after_days(2);
        if done {
            rename(&mut model, "daily", "b");
            model.run();
            model.desired.moved.clear();
            rename(&mut model, "b", "c");
        } else {
            rename(&mut model, "daily", "c");
            model.desired.moved.clear();
        }
        model.desired.moved = vec![moved("schedule.b", "schedule.c"), moved("schedule.daily", "schedule.b")];
        assert_eq!(deletions(&model.plan()), 0);
        model.run();
        assert!(model.facts().backups.iter().all(|b| b.schedule == name("c")));
    }
}

#[test]
fn a_rename_onto_a_name_with_a_history_of_its_own_is_refused() {
    let mut model = after_days(2).schedule("other", tenants_daily(keep_last(3)));
    model.run();
    model.desired.schedules.remove(&name("daily"));
    model.desired.moved.push(moved("schedule.daily", "schedule.other"));
    model.document();
    let plan = model.plan();
    assert_eq!(refusals(&plan), ["moved"]);
    assert!(plan.refusals[0].words.contains("schedule.other has 3 backups of its own"), "{:?}", plan.refusals);
}

#[test]
fn a_renamed_database_keeps_its_keys_in_the_store() {
    let mut model = after_days(3);
    let spec = model.desired.databases.remove(&name("app")).expect("there");
    model.desired.databases.insert(name("shop"), spec);
    let tenants = model.desired.tenants.remove(&name("app")).expect("there");
    model.desired.tenants.insert(name("shop"), tenants);
    let server = model.observed.servers.remove(&name("app")).expect("there");
    model.observed.servers.insert(name("shop"), server);
    model.desired.schedules.get_mut(&name("daily")).expect("there").databases = vec![name("shop")];
    model.desired.moved.push(moved("database.app", "database.shop"));
    model.document();
    let plan = model.step();
    assert_eq!(words(&plan), ["move database.shop", "apply_document schedule.daily"]);
    let filed = |m: &mut Model| m.facts().backups.iter().map(|b| b.key_database().cloned()).collect::<BTreeSet<_>>();
    assert_eq!(filed(&mut model), BTreeSet::from([Some(name("app"))]), "keys are never rewritten");
    model.pass(Period::days(1));
    model.run();
    assert_eq!(filed(&mut model), BTreeSet::from([Some(name("app")), Some(name("shop"))]));
}

#[test]
fn a_renamed_recovery_plan_is_not_drilled_anew() {
    let spec = recovery_plan(PlanType::TenantRecovery, Period::days(30));
    let mut model = after_days(2).recovery_plan("old", spec.clone());
    model.request.identities.insert(name("primary"));
    model.run();
    assert!(model.facts().drills.contains_key(&name("old")), "drilled");
    model.desired.recovery_plans.remove(&name("old"));
    model.desired.moved.push(moved("recovery-plan.old", "recovery-plan.new"));
    let mut model = model.recovery_plan("new", spec);
    assert_eq!(words(&model.step()), ["move recovery-plan.new"]);
}

#[test]
fn a_vanished_name_beside_the_same_thing_under_another_is_offered_as_a_rename() {
    let mut model = after_days(2);
    rename(&mut model, "daily", "nightly");
    model.desired.moved.clear();
    assert_eq!(model.plan().offers, [moved("schedule.daily", "schedule.nightly")]);
    // Two that are alike are none: a guess would be as likely wrong as right.
    let spec = model.desired.schedules[&name("nightly")].clone();
    let twice = model.clone().schedule("evening", spec);
    assert_eq!(twice.plan().offers, []);
    model.desired.removed.push(removed("schedule.daily", RemovedBackups::Expire));
    assert_eq!(model.plan().offers, [], "the policies say already what becomes of it");
}

#[test]
fn a_name_that_is_used_again_begins_a_history_of_its_own() {
    let mut model = after_days(2);
    rename(&mut model, "daily", "nightly");
    model.run();
    model.desired.moved.clear();
    let mut model = model.schedule("daily", tenants_daily(keep_last(3)));
    model.run();
    model.pass(Period::days(1));
    model.run();
    let of = |m: &mut Model, key: &str| m.facts().backups.iter().filter(|b| b.schedule == name(key)).count();
    assert_eq!(of(&mut model, "daily"), 3, "two tenants and what they share");
}

/// A world in which `weekly` covers the database beside `daily`, both with some backups.
fn two_schedules() -> Model {
    let mut model = Model::new("2026-03-01T02:10:00Z", &[])
        .schedule("daily", database_daily(keep_last(20)))
        .schedule("other", schedule(BackupType::Database, cron("5 2 * * *"), keep_last(20)));
    days(&mut model, 5);
    model
}

fn without(model: &mut Model, schedule: &str, fate: Option<RemovedBackups>) {
    model.desired.schedules.remove(&name(schedule));
    let from = format!("schedule.{schedule}");
    model.desired.removed = fate.map(|fate| removed(&from, fate)).into_iter().collect();
    model.document();
}

#[test]
fn a_removal_without_a_word_or_with_keep_or_expire_deletes_nothing() {
    for fate in [None, Some(RemovedBackups::Keep), Some(RemovedBackups::Expire)] {
        let mut model = two_schedules();
        without(&mut model, "daily", fate);
        let plan = model.step();
        assert_eq!(deletions(&plan), 0, "{fate:?}");
        assert_eq!(plan.refusals, []);
        let before = model.facts().backups.len();
        model.desired.removed.clear();
        model.pass(Period::days(400));
        model.run();
        let left = model.facts().backups.iter().filter(|b| b.schedule == name("daily")).count();
        assert_eq!(left, 5, "{fate:?} of {before}: a count adds nothing and so drops nothing");
    }
}

#[test]
fn keep_outlives_the_recorded_rule_and_taking_it_back_is_a_change() {
    let within = RetentionRule { within: Some(Period::days(10)), ..RetentionRule::default() };
    let mut model = Model::new("2026-03-01T02:10:00Z", &[])
        .schedule("daily", database_daily(within))
        .schedule("other", schedule(BackupType::Database, cron("5 2 * * *"), keep_last(20)));
    days(&mut model, 5);
    without(&mut model, "daily", Some(RemovedBackups::Keep));
    model.run();
    model.desired.removed.clear();
    model.pass(Period::days(100));
    model.run();
    assert_eq!(model.facts().backups.iter().filter(|b| b.schedule == name("daily")).count(), 5);
    model.desired.removed.push(removed("schedule.daily", RemovedBackups::Expire));
    assert_eq!(refusals(&model.plan()), ["max_delete"], "what `keep` promised is taken back by a change");
}

#[test]
fn a_removal_that_deletes_is_refused_over_max_delete_and_goes_with_consent_through_grace() {
    let mut model = two_schedules();
    without(&mut model, "daily", Some(RemovedBackups::Delete));
    let plan = model.plan();
    assert_eq!(refusals(&plan), ["max_delete"]);
    let consent = plan.refusals[0].help.split("--allow-delete ").nth(1).expect("a flag");
    let consent: bkup::domain::Consent = consent.split(',').next().expect("a word").parse().expect("a consent");
    assert_eq!(consent.share.to_string(), "50%", "the smallest that lets it pass");
    model.request.allow_delete = Some(consent);
    let plan = model.step();
    assert_eq!(plan.consent.as_ref().and_then(|c| c.change.clone()), Some(plan.change_digest.to_string()));
    assert_eq!(deletions(&plan), 5);
    model.request.allow_delete = None;
    model.desired.removed.clear();
    model.assert_converges();
    model.pass(Period::days(8));
    model.run();
    assert_eq!(model.facts().backups.iter().filter(|b| b.schedule == name("daily")).count(), 0, "purged");
}

#[test]
fn consent_to_one_change_is_none_to_another() {
    let mut model = two_schedules();
    without(&mut model, "daily", Some(RemovedBackups::Delete));
    let digest = model.plan().change_digest.to_string();
    model.request.allow_delete = Some(format!("100%@{}", &digest[..12]).parse().expect("a consent"));
    assert_eq!(refusals(&model.plan()), Vec::<&str>::new());
    // Somebody pushes another deletion after the review.
    model.desired.schedules.get_mut(&name("other")).expect("there").retention = keep_last(2);
    model.document();
    assert_eq!(refusals(&model.plan()), ["max_delete", "consent"]);
}

#[test]
fn a_removal_that_leaves_a_scope_below_its_floor_needs_consent_to_all_of_it() {
    let mut model = Model::new("2026-03-01T02:10:00Z", &[]).schedule("daily", database_daily(keep_last(20)));
    model.desired.guards.max_delete = "99%".parse().expect("a percentage");
    model.document();
    days(&mut model, 5);
    let other = schedule(BackupType::Database, cron("0 5 1 1 *"), keep_last(3));
    let mut model = model.schedule("yearly", other);
    model.run();
    without(&mut model, "daily", Some(RemovedBackups::Delete));
    let plan = model.plan();
    assert_eq!(refusals(&plan), ["min_keep"], "{:?}", plan.refusals);
    assert!(plan.refusals[0].words.contains("1 of 7 restorable backups"), "{:?}", plan.refusals);
    model.request.allow_delete = Some("100%".parse().expect("a consent"));
    assert_eq!(deletions(&model.step()), 6);
}

#[test]
fn a_removal_never_takes_what_an_approved_plan_must_be_able_to_go_back_to() {
    let mut plan = recovery_plan(PlanType::FullRecovery, Period::days(400));
    plan.minimum_backup_age = Some(Period::days(3));
    plan.drill = None;
    let mut model = two_schedules().recovery_plan("full", plan);
    let mut young = model.desired.schedules[&name("other")].clone();
    young.retention = keep_last(2);
    model.request.allow_delete = Some("100%".parse().expect("a consent"));
    let mut model = model.schedule("other", young);
    model.run();
    without(&mut model, "daily", Some(RemovedBackups::Delete));
    assert_eq!(refusals(&model.plan()), ["recovery_window"], "no flag lets this pass");
}

#[test]
fn after_an_outage_time_keeps_what_an_approved_plan_must_be_able_to_go_back_to() {
    let mut plan = recovery_plan(PlanType::FullRecovery, Period::days(400));
    plan.minimum_backup_age = Some(Period::days(5));
    plan.drill = None;
    let within = RetentionRule { within: Some(Period::days(6)), ..RetentionRule::default() };
    let mut model = Model::new("2026-03-01T02:10:00Z", &[]).schedule("daily", database_daily(within));
    model.desired.guards.grace = Period::days(0);
    let mut model = model.recovery_plan("full", plan);
    days(&mut model, 7);
    model.pass(Period::days(6));
    for day in 0..14 {
        model.run();
        let oldest = model.live(&Scope::Database).iter().map(|b| b.consistent_at).min().expect("one");
        assert!(Period::between(oldest, model.request.now) >= Period::days(5), "day {day}: the oldest is of {oldest}");
        model.pass(Period::days(1));
    }
    assert!(model.live(&Scope::Database).len() <= 7, "it is released once a younger one is old enough");
}

#[test]
fn removing_what_is_protected_is_no_way_to_delete_it() {
    let mut model = two_schedules();
    let document = model.facts().applied.get_mut(&address("schedule.daily")).expect("applied");
    document.body["protect"] = true.into();
    model.request.allow_delete = Some("100%".parse().expect("a consent"));
    without(&mut model, "daily", Some(RemovedBackups::Delete));
    for _ in 0..3 {
        let plan = model.plan();
        assert_eq!(deletions(&plan), 0, "{:?}", words(&plan));
        model.apply(&plan);
        model.pass(Period::days(1));
    }
}

#[test]
fn what_is_taken_under_protection_says_so_in_its_manifest() {
    let mut model = Model::new("2026-03-01T02:10:00Z", &[]).schedule("daily", database_daily(keep_last(3)));
    model.desired.protected.insert(address("store.primary"));
    let plan = model.plan();
    let protected: Vec<bool> = plan
        .actions
        .iter()
        .filter_map(|a| if let ActionKind::BackUp(work) = &a.kind { Some(work.protect) } else { None })
        .collect();
    assert_eq!(protected, [true]);
}

#[test]
fn what_was_brought_back_stays_until_its_pin_ends() {
    let mut model = Model::new("2026-03-01T02:10:00Z", &[]).schedule("daily", database_daily(keep_last(3)));
    days(&mut model, 4);
    model.run();
    let id = model.facts().backups.iter().find(|b| b.tombstoned_at.is_some()).expect("one").id.clone();
    let until = Period::days(10).after(model.request.now);
    let back = model.backup(id.as_str());
    (back.tombstoned_at, back.purge_after, back.pinned_until) = (None, None, Some(until));
    back.marks += 1;
    model.assert_converges();
    for _ in 0..9 {
        model.pass(Period::days(1));
        model.run();
        assert_eq!(model.backup(id.as_str()).tombstoned_at, None);
    }
    model.pass(Period::days(2));
    model.run();
    assert!(model.backup(id.as_str()).tombstoned_at.is_some(), "the rules decide again");
}

#[test]
fn a_slot_that_was_missed_before_one_that_is_still_due_is_recorded() {
    let mut model = after_days(2);
    // Nobody runs on the next day; on the day after, the newest slot is still in time.
    model.pass(Period::days(2));
    let plan = model.step();
    let missed: Vec<String> = plan
        .actions
        .iter()
        .filter_map(|a| if let ActionKind::RecordMissed { slots, .. } = &a.kind { Some(slots.clone()) } else { None })
        .flatten()
        .map(|slot| slot.to_string())
        .collect();
    assert_eq!(missed, ["2026-03-04T03:00:00Z"], "{:?}", words(&plan));
    // A tenant that came later missed nothing of what was before it.
    model.pass(Period::days(1));
    model.set_tenants(&["a", "b", "c"]);
    let plan = model.step();
    assert!(!words(&plan).iter().any(|w| w.starts_with("record_missed")), "{:?}", words(&plan));
}

#[test]
fn policies_without_any_schedule_are_refused_unless_each_is_said_to_be_removed() {
    let mut model = after_days(2);
    model.desired.schedules.clear();
    model.document();
    assert_eq!(refusals(&model.plan()), ["empty_desired"]);
    model.desired.removed.push(removed("schedule.daily", RemovedBackups::Expire));
    assert_eq!(refusals(&model.plan()), Vec::<&str>::new());
    model.run();
}

/// A step of a random life: days pass, and a schedule is renamed or not.
fn steps() -> impl Strategy<Value = Vec<(i64, Option<u8>)>> {
    proptest::collection::vec((0..40i64, proptest::option::weighted(0.4, 0..5u8)), 4..16)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_rename_at_any_time_deletes_nothing_and_runs_no_slot_twice(steps in steps(), keep in 2..6u32) {
        let mut model = Model::new("2026-03-01T01:00:00Z", &["a"]).schedule("s0", tenants_daily(keep_last(keep)));
        let mut current = "s0".to_owned();
        let mut unnamed = model.clone();
        for (index, (hours, rename_to)) in steps.iter().enumerate() {
            model.pass(Period::hours(*hours));
            unnamed.pass(Period::hours(*hours));
            if let Some(to) = rename_to {
                let to = format!("s{}-{index}", to + 1);
                model.desired.moved.clear();
                rename(&mut model, &current, &to);
                current = to;
            }
            let (plan, same) = (model.plan(), unnamed.plan());
            prop_assert_eq!(deletions(&plan), deletions(&same), "a rename changes no verdict");
            model.apply(&plan);
            unnamed.apply(&same);
            model.assert_converges();
            let slots = |m: &mut Model| {
                let mut all: Vec<(Scope, String)> =
                    m.facts().backups.iter().map(|b| (b.scope.clone(), b.slot.to_string())).collect();
                all.sort();
                all
            };
            prop_assert_eq!(slots(&mut model), slots(&mut unnamed));
        }
    }

    #[test]
    fn no_change_and_no_time_leaves_a_scope_below_its_floors(
        steps in proptest::collection::vec((0..60i64, 0..6u8), 4..14), keep in 1..5u32, min_keep in 1..4u32,
    ) {
        let mut model = Model::new("2026-03-01T01:00:00Z", &["a"])
            .schedule("s0", database_daily(keep_last(keep)))
            .schedule("s1", schedule(BackupType::Database, cron("0 */12 * * *"), keep_last(3)));
        model.desired.guards.min_keep = min_keep;
        model.desired.guards.grace = Period::days(1);
        model.desired.guards.max_delete = "99%".parse().expect("a percentage");
        model.document();
        for (hours, change) in steps {
            model.pass(Period::hours(hours));
            match change {
                0 => model.desired.removed = vec![removed("schedule.s0", RemovedBackups::Delete)],
                1 => model.desired.removed = vec![removed("schedule.s0", RemovedBackups::Keep)],
                2 => model.desired.removed.clear(),
                _ => {}
            }
            if change < 2 {
                model.desired.schedules.remove(&name("s0"));
            } else if change == 3 {
                model.desired.removed.clear();
                model.desired.schedules.insert(name("s0"), database_daily(keep_last(keep)));
            }
            model.document();
            let before = live(&mut model);
            let plan = model.plan();
            if plan.refusals.is_empty() {
                model.apply(&plan);
                let floor = before.min(min_keep as usize);
                prop_assert!(live(&mut model) >= floor, "{} of {before} left: {:?}", live(&mut model), words(&plan));
            }
        }
    }
}

fn live(model: &mut Model) -> usize {
    match &model.observed.catalog {
        bkup::domain::Observation::Known(bkup::domain::CatalogState::Present(_)) => model.live(&Scope::Database).len(),
        _ => 0,
    }
}

#[test]
fn a_renamed_store_takes_its_backups_along() {
    let mut model = after_days(2);
    let spec = model.desired.stores.remove(&name("primary")).expect("there");
    model.desired.stores.insert(name("main"), spec);
    let facts = model.observed.stores.remove(&name("primary")).expect("there");
    model.observed.stores.insert(name("main"), facts);
    model.desired.schedules.get_mut(&name("daily")).expect("there").store = name("main");
    model.document();
    let offered = moved("store.primary", "store.main");
    assert!(model.plan().offers.contains(&offered), "{:?}", model.plan().offers);
    model.desired.moved.push(offered);
    let plan = model.plan();
    assert_eq!(plan.refusals, []);
    assert_eq!(words(&plan), ["move store.main", "apply_document schedule.daily"]);
    model.run();
    let store = Address::of(Section::Store, name("main"));
    assert!(model.facts().applied.contains_key(&store));
    assert!(model.facts().backups.iter().all(|b| b.store == name("main")));
}
