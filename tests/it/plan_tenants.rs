//! The planner on tenants that go and come back: who is taken for gone, what becomes of their backups, and what refuses a
//! discovery that nobody should believe.

use bkup::domain::{
    Action, ActionClass, ActionKind, BackupType, Consent, HeldReason, Instant, Narrowing, Percent, Period, Plan,
    ResolvedTenants, RetentionRule, ScheduleSpec, Scope, Suspension, TenantWork,
};
use proptest::prelude::*;

use crate::world::model::{Model, at, cron, name, schedule};

const SLUGS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

fn daily(retention: RetentionRule) -> ScheduleSpec {
    schedule(BackupType::TenantData, cron("0 3 * * *"), retention)
}

fn within(days: i64) -> RetentionRule {
    RetentionRule { within: Some(Period::days(days)), ..RetentionRule::default() }
}

fn model(retention: RetentionRule, slugs: &[&str]) -> Model {
    let mut model = Model::new("2026-03-01T03:10:00Z", slugs).schedule("tenants", daily(retention));
    model.desired.guards.grace = Period::days(1);
    model.document();
    model
}

/// Applies day by day.
fn run_days(model: &mut Model, days: i64) {
    for _ in 0..days {
        model.pass(Period::days(1));
        model.run();
    }
}

fn unknown(model: &mut Model) {
    let reason = "the query fails: relation \"tnnt.tenants\" does not exist".to_owned();
    model.desired.tenants.insert(name("app"), ResolvedTenants::Unknown(reason));
}

fn offboarded(plan: &Plan) -> Vec<TenantWork> {
    let work = |action: &'_ Action| match &action.kind {
        ActionKind::Offboard(work) => Some(work.clone()),
        _ => None,
    };
    plan.actions.iter().filter_map(work).collect()
}

fn backups(model: &mut Model, slug: &str) -> usize {
    model.live(&Scope::Tenant(slug.to_owned())).len()
}

#[test]
fn a_tenant_that_is_gone_is_offboarded_once_and_its_backups_are_counted_from_then() {
    let mut model = model(within(10), &SLUGS);
    model.run();
    run_days(&mut model, 20);
    let before = backups(&mut model, "c");
    model.set_tenants(&[&SLUGS[..2], &SLUGS[3..]].concat());
    model.pass(Period::days(1));
    let plan = model.plan();
    let gone = offboarded(&plan);
    assert_eq!(gone.iter().map(|work| work.slug.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(
        gone[0].backups as usize,
        model.facts().backups.iter().filter(|b| b.scope.tenant() == Some("c")).count()
    );
    let action = plan.actions.iter().find(|a| matches!(a.kind, ActionKind::Offboard(_))).unwrap();
    assert_eq!(action.class, ActionClass::Drift, "the world differs from the catalog");
    model.run();
    let ended = model.request.now;
    assert_eq!(model.record("c").offboarded_at, Some(ended));
    let then = backups(&mut model, "c");
    assert!(then + 1 >= before, "nothing goes because it was offboarded: {before}, {then}");
    run_days(&mut model, 9);
    assert_eq!(backups(&mut model, "c"), then, "a living tenant's would be gone by age; its clock says ten days");
    run_days(&mut model, 1);
    assert_eq!(backups(&mut model, "c"), 2, "the clock is over, and `min_keep` holds");
    run_days(&mut model, 100);
    assert_eq!(backups(&mut model, "c"), 2);
    assert_eq!(model.record("c").offboarded_at, Some(ended), "the clock began once");
}

#[test]
fn counts_of_a_tenant_that_is_gone_end_with_their_calendar() {
    let rule = RetentionRule { daily: Some(7), monthly: Some(2), ..RetentionRule::default() };
    let mut model = model(rule, &SLUGS);
    model.run();
    run_days(&mut model, 45);
    model.set_tenants(&SLUGS[1..]);
    run_days(&mut model, 1);
    let then = backups(&mut model, "a");
    assert!(then >= 8, "{then}");
    run_days(&mut model, 6);
    assert_eq!(backups(&mut model, "a"), then);
    run_days(&mut model, 1);
    assert_eq!(backups(&mut model, "a"), 4, "two months' and the floor's");
    run_days(&mut model, 60);
    assert_eq!(backups(&mut model, "a"), 2);
}

#[test]
fn a_tenant_that_comes_back_is_onboarded_and_its_clock_stops() {
    let mut model = model(within(10), &SLUGS);
    model.run();
    run_days(&mut model, 12);
    model.set_tenants(&SLUGS[1..]);
    run_days(&mut model, 5);
    let first = model.record("a").offboarded_at;
    assert!(first.is_some());
    let id = |plan: &Plan| plan.actions.iter().find(|a| a.address.to_string() == "database.app").map(|a| a.id);
    model.set_tenants(&SLUGS);
    model.pass(Period::days(1));
    let plan = model.plan();
    assert!(plan.actions.iter().any(|a| matches!(&a.kind, ActionKind::Onboard(work) if work.slug == "a")));
    let back = |a: &Action| matches!(&a.kind, ActionKind::BackUp(w) if w.scope.tenant() == Some("a"));
    assert!(plan.actions.iter().any(back), "and backed up at this slot");
    let deleted =
        plan.actions.iter().filter(|a| matches!(&a.kind, ActionKind::Tombstone(w) if w.scope.tenant() == Some("a")));
    assert!(deleted.count() > 0, "its plain rule decides again: what is older than ten days goes");
    model.run();
    assert_eq!(model.record("a").offboarded_at, None);
    let once = id(&plan);
    model.set_tenants(&SLUGS[1..]);
    model.pass(Period::days(1));
    let again = model.plan();
    assert_eq!(offboarded(&again).len(), 1);
    assert_ne!(id(&again), once, "to go again is other work");
    model.run();
    assert!(model.record("a").offboarded_at > first, "the clock begins anew");
}

#[test]
fn unknown_is_not_empty() {
    let mut model = model(within(10), &SLUGS);
    model.run();
    run_days(&mut model, 3);
    unknown(&mut model);
    model.pass(Period::days(1));
    let plan = model.plan();
    assert_eq!(offboarded(&plan).len(), 0);
    let held = plan.held.iter().find(|held| held.work == "back_up").unwrap();
    assert_eq!(held.reason, HeldReason::DatabaseUnreachable);
    assert!(held.words.contains("its tenants are not known: the query fails"), "{}", held.words);
    model.desired.tenants.remove(&name("app"));
    assert_eq!(offboarded(&model.plan()).len(), 0, "policies that name no way to find tenants find none gone");
}

#[test]
fn a_clock_that_nobody_can_check_takes_nothing_early() {
    let mut model = model(RetentionRule { daily: Some(7), ..RetentionRule::default() }, &SLUGS);
    model.run();
    run_days(&mut model, 9);
    model.set_tenants(&SLUGS[1..]);
    run_days(&mut model, 1);
    let then = backups(&mut model, "a");
    unknown(&mut model);
    run_days(&mut model, 30);
    assert_eq!(backups(&mut model, "a"), then, "it may be back: the plain rule counts days that have a backup");
    model.set_tenants(&SLUGS[1..]);
    run_days(&mut model, 1);
    assert_eq!(backups(&mut model, "a"), 2);
}

#[test]
fn too_short_an_answer_is_refused_and_names_the_numbers_and_the_ways_on() {
    let mut model = model(within(10), &SLUGS);
    model.run();
    for left in [0, 1, 8, 9] {
        model.set_tenants(&SLUGS[..left]);
        let refusals = model.plan().refusals;
        assert_eq!(refusals.len(), 1, "{left} of 12: {refusals:?}");
        assert_eq!(refusals[0].guard, "tenants");
        let text = format!("{}\nhelp: {}", refusals[0].words, refusals[0].help);
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("tenants_short_answer_{left}"), text);
        });
    }
    model.set_tenants(&SLUGS[..10]);
    assert_eq!(model.plan().refusals, [], "two of twelve are an ordinary day");
}

#[test]
fn an_empty_answer_is_refused_however_few_tenants_there_were() {
    for many in 1..4 {
        let mut model = model(within(10), &SLUGS[..many]);
        model.run();
        model.set_tenants(&[]);
        assert_eq!(model.plan().refusals.len(), 1, "{many}");
    }
}

#[test]
fn consent_is_to_these_tenants_and_to_no_others() {
    let mut model = model(within(10), &SLUGS);
    model.run();
    model.set_tenants(&SLUGS[..6]);
    let refused = model.plan();
    let consent = |share: u32, plan: &Plan| {
        Some(Consent { share: Percent::hundredths(share * 100), change: Some(plan.change_digest.to_string()) })
    };
    model.request.allow_delete = consent(49, &refused);
    assert!(!model.plan().refusals.is_empty(), "too small a share");
    model.request.allow_delete = consent(50, &refused);
    assert_eq!(model.plan().refusals, []);
    model.set_tenants(&SLUGS[..5]);
    let other = model.plan();
    assert!(other.refusals.iter().any(|r| r.guard == "consent"), "{:?}", other.refusals);
    model.set_tenants(&SLUGS[..6]);
    let plan = model.plan();
    model.apply(&plan);
    model.request.allow_delete = None;
    model.assert_converges();
    assert_eq!(model.facts().tenants.iter().filter(|t| t.offboarded_at.is_some()).count(), 6);
}

#[test]
fn consent_in_the_policies_is_as_good() {
    let mut model = model(within(10), &SLUGS);
    model.run();
    model.set_tenants(&SLUGS[..6]);
    model.desired.guards.max_delete = Percent::hundredths(5000);
    assert_eq!(model.plan().refusals, []);
}

#[test]
fn backups_go_on_while_a_short_answer_is_looked_at() {
    let mut model = model(within(10), &SLUGS);
    model.run();
    model.set_tenants(&SLUGS[..2]);
    model.pass(Period::days(1));
    model.request.narrowing = Narrowing { only: Some("backups".to_owned()), ..Narrowing::default() };
    let plan = model.plan();
    assert_eq!(plan.refusals, []);
    let taken = plan.actions.iter().filter(|a| matches!(&a.kind, ActionKind::BackUp(w) if w.scope.tenant().is_some()));
    assert_eq!((taken.count(), offboarded(&plan).len()), (2, 0));
}

#[test]
fn nobody_is_taken_for_gone_while_the_database_is_paused() {
    let mut model = model(within(10), &SLUGS);
    model.run();
    model.set_tenants(&SLUGS[1..]);
    let pause = Suspension { until: at("2026-04-01T00:00:00Z"), reason: Some("migration".to_owned()) };
    model.desired.suspended.insert("database.app".parse().unwrap(), pause);
    let plan = model.plan();
    assert_eq!(offboarded(&plan).len(), 0);
    assert!(plan.held.iter().any(|held| held.work == "offboard" && held.reason == HeldReason::Suspended));
}

#[test]
fn a_tenant_whose_slug_changed_is_told_by_its_schema() {
    let mut model = model(within(10), &SLUGS);
    model.run();
    model.set_tenants(&["a2", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]);
    if let Some(ResolvedTenants::Known(tenants)) = model.desired.tenants.get_mut(&name("app")) {
        tenants[0].0.schema = "tenant_a".to_owned();
    }
    let plan = model.plan();
    let action = plan.actions.iter().find(|a| matches!(a.kind, ActionKind::Offboard(_))).unwrap();
    assert!(action.reason.words.contains("its schema is now that of the tenant \"a2\""), "{}", action.reason.words);
}

#[test]
fn a_changed_rule_is_judged_by_the_same_clock() {
    let mut model = model(within(10), &SLUGS);
    model.run();
    run_days(&mut model, 12);
    model.set_tenants(&SLUGS[1..]);
    run_days(&mut model, 2);
    let then = backups(&mut model, "a");
    model = model.schedule("tenants", daily(within(30)));
    model.run();
    run_days(&mut model, 20);
    assert_eq!(backups(&mut model, "a"), then, "a longer rule keeps longer");
}

/// What may happen to a tenant on a day.
fn any_life() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![6 => Just(0u8), 1 => Just(1u8), 1 => Just(2u8)], 10..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_comes_and_goes_nothing_goes_before_the_clock_says(life in any_life(), window in 3i64..15) {
        let mut model = model(within(window), &SLUGS);
        model.run();
        let (mut there, mut seen, mut since) = (true, true, None::<Instant>);
        for day in life {
            match day {
                1 => there = !there,
                2 => seen = !seen,
                _ => {}
            }
            if seen {
                model.set_tenants(if there { &SLUGS } else { &SLUGS[1..] });
            } else {
                unknown(&mut model);
            }
            model.pass(Period::days(1));
            let now = model.request.now;
            let before = model.live(&Scope::Tenant("a".to_owned()));
            model.run();
            let after = model.live(&Scope::Tenant("a".to_owned()));
            since = match (seen, there) {
                (true, true) => None,
                (true, false) => since.or(Some(now)),
                (false, _) => since,
            };
            prop_assert_eq!(model.record("a").offboarded_at, since, "the clock begins when it is seen to be gone");
            prop_assert!(after.len() >= before.len().min(2), "min_keep holds");
            for gone in before.iter().filter(|b| after.iter().all(|a| a.id != b.id)) {
                let begin = since.map_or(gone.consistent_at, |since| since.max(gone.consistent_at));
                let in_window = |b: Instant| Period::days(window).after(b) > now;
                // What had left its window before the tenant went is not the clock's.
                let stale = since.is_some_and(|since| Period::days(window).after(gone.consistent_at) <= since);
                prop_assert!(!in_window(begin) || stale, "{} goes at {now}, its clock began at {begin}", gone.id);
            }
        }
    }
}
