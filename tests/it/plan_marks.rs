//! The planner on what policies say beside work: pauses, protection, and what this version does not do.

use bkup::domain::{
    Action, ActionKind, Address, BackupType, CanceledSlot, Engine, Instant, Period, Plan, RetentionRule, ScheduleSpec,
    Scope, Suspension,
};

use crate::world::model::{Model, at, cron, schedule};

fn tenants_daily(within: i64) -> ScheduleSpec {
    let retention = RetentionRule { within: Some(Period::days(within)), ..RetentionRule::default() };
    schedule(BackupType::TenantData, cron("0 3 * * *"), retention)
}

/// Returns what is held, as `address: reason`.
fn held(plan: &Plan) -> Vec<String> {
    plan.held.iter().map(|held| format!("{}: {:?}", held.address, held.reason)).collect()
}

fn deletions(plan: &Plan) -> Vec<&Action> {
    plan.actions.iter().filter(|action| action.kind.deletes()).collect()
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn pause(until: &str) -> Suspension {
    Suspension { until: at(until), reason: Some("migration".to_owned()) }
}

/// Applies day by day.
fn days(model: &mut Model, days: usize) {
    for _ in 0..days {
        model.run();
        model.pass(Period::days(1));
    }
}

#[test]
fn what_this_version_does_not_do_is_held_and_never_missed() {
    let base = ScheduleSpec { backup: BackupType::FullSystem, engine: Engine::Physical, ..tenants_daily(7) };
    let mut model = Model::new("2026-03-01T03:10:00Z", &["a"]).schedule("base", base);
    model.run();
    for _ in 0..3 {
        model.pass(Period::days(9));
        let plan = model.plan();
        assert_eq!(held(&plan), ["schedule.base: NotServed"]);
        assert_eq!(plan.actions, [], "nothing is missed that nobody could have run");
    }
}

#[test]
fn a_pause_holds_backups_and_deletions_and_what_lay_in_it_was_not_missed() {
    for paused in ["schedule.tenants", "store.primary", "database.app"] {
        let mut model = Model::new("2026-03-01T03:10:00Z", &["a"]).schedule("tenants", tenants_daily(3));
        days(&mut model, 5);
        model.desired.suspended.insert(address(paused), pause("2026-04-01T00:00:00Z"));
        model.pass(Period::days(10));
        let plan = model.plan();
        assert_eq!(plan.actions, [], "{paused}");
        assert!(plan.held.len() > 1, "{paused} holds backups and deletions: {:?}", held(&plan));
        assert!(plan.held.iter().all(|held| held.words.contains("migration")), "{:?}", plan.held);
        model.pass(Period::days(20));
        let plan = model.plan();
        assert!(plan.actions.iter().any(|a| matches!(a.kind, ActionKind::BackUp(_))), "{paused}: {:?}", plan.actions);
        let until: Instant = at("2026-04-01T00:00:00Z");
        let missed = plan.actions.iter().filter_map(|action| match &action.kind {
            ActionKind::RecordMissed { slots, .. } => Some(slots.clone()),
            _ => None,
        });
        assert!(missed.flatten().all(|slot| slot > until), "{paused}: a slot of the pause was missed");
        model.run();
        model.assert_converges();
    }
}

#[test]
fn a_paused_class_holds_its_own_tenants_and_no_others() {
    let mut model = Model::new("2026-03-01T03:10:00Z", &["a"]).schedule("tenants", tenants_daily(3));
    model.desired.suspended.insert(address("class.standard"), pause("2026-04-01T00:00:00Z"));
    let plan = model.plan();
    assert!(!plan.actions.iter().any(|a| matches!(a.kind, ActionKind::BackUp(_))), "{:?}", plan.actions);
    assert_eq!(held(&plan), ["schedule.tenants: Suspended"]);
    model.desired.suspended.clear();
    assert!(model.plan().actions.iter().any(|a| matches!(a.kind, ActionKind::BackUp(_))));
}

#[test]
fn nothing_of_a_protected_thing_is_deleted() {
    for protected in ["schedule.tenants", "store.primary", "database.app"] {
        let mut model = Model::new("2026-03-01T03:10:00Z", &["a"]).schedule("tenants", tenants_daily(2));
        model.desired.protected.insert(address(protected));
        days(&mut model, 20);
        let scope = Scope::Tenant("a".to_owned());
        assert_eq!(model.live(&scope).len(), 20, "{protected}");
        model.desired.protected.clear();
        model.run();
        assert!(model.live(&scope).len() < 5, "{protected}: freed, its retention has its way");
    }
}

#[test]
fn taking_protection_away_frees_nothing_before_that_was_applied() {
    let mut model = Model::new("2026-03-01T03:10:00Z", &["a"]).schedule("tenants", tenants_daily(2));
    days(&mut model, 1);
    let store = address("store.primary");
    model.facts().applied.get_mut(&store).expect("an applied store").body["protect"] = true.into();
    model.pass(Period::days(20));
    assert_eq!(deletions(&model.plan()), Vec::<&Action>::new(), "the catalog still says that it is protected");
    model.facts().applied.get_mut(&store).expect("an applied store").body["protect"] = false.into();
    model.run();
    model.assert_converges();
}

#[test]
fn a_canceled_slot_is_held_until_the_next_one_and_missed_once_when_its_time_is_over() {
    let mut model = Model::new("2026-03-01T03:10:00Z", &["a", "b"]).schedule("tenants", tenants_daily(7));
    days(&mut model, 2);
    // Now it is the third, and a's backup is being taken when somebody cancels it; b's is not looked at yet.
    let slot = at("2026-03-03T03:00:00Z");
    let canceled = |scope: Scope| CanceledSlot {
        schedule: "tenants".parse().unwrap(),
        database: Some("app".parse().unwrap()),
        scope,
        slot,
        at: slot,
        words: "canceled by ann: migration".to_owned(),
    };
    model.facts().canceled = vec![canceled(Scope::Tenant("a".to_owned()))];
    let plan = model.plan();
    assert_eq!(held(&plan), ["schedule.tenants: Canceled"]);
    assert!(plan.held[0].words.contains("canceled by ann: migration"), "{}", plan.held[0].words);
    assert_eq!(backed_up(&plan), ["shared", "tenant=b"]);
    model.run();
    // Whoever asks for one gets it: a request has a slot of its own.
    model.request.requested.insert("tenants".parse().unwrap());
    assert_eq!(backed_up(&model.plan()), ["shared", "tenant=a", "tenant=b"]);
    model.request.requested.clear();
    // What the tenants share cancels all of them.
    model.facts().canceled = vec![canceled(Scope::Shared)];
    model.facts().backups.retain(|backup| backup.slot != slot);
    assert_eq!(held(&model.plan()), ["schedule.tenants: Canceled", "schedule.tenants: Canceled"]);
    model.facts().canceled = vec![canceled(Scope::Tenant("a".to_owned()))];
    // The next slot is taken as usual, and the canceled one was missed, once.
    model.pass(Period::days(1));
    let plan = model.step();
    assert_eq!(held(&plan), [""; 0]);
    assert_eq!(backed_up(&plan), ["shared", "tenant=a", "tenant=b"]);
    days(&mut model, 2);
}

/// Returns the scopes that a plan backs up.
fn backed_up(plan: &Plan) -> Vec<String> {
    let of = |action: &Action| match &action.kind {
        ActionKind::BackUp(work) => Some(work.scope.to_string()),
        _ => None,
    };
    plan.actions.iter().filter_map(of).collect()
}
