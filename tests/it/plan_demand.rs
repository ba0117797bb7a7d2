//! The planner on backups that somebody asks for by what they are of: their own windows, ids, shared archives and floors.

use bkup::domain::{
    ActionKind, Address, AskedFor, BackupMethod, BackupType, BackupWork, Compression, Document, Name, OnDemand, Period,
    Plan, RetentionRule, ScheduleSpec, Scope, Section, SourceLocation, Timing, Wanted, digest_of,
};

use crate::world::model::{Model, cron, name, schedule};

fn within(days: i64) -> RetentionRule {
    RetentionRule { within: Some(Period::days(days)), ..RetentionRule::default() }
}

fn nightly(days: i64) -> ScheduleSpec {
    schedule(BackupType::Database, cron("0 3 * * *"), within(days))
}

fn tenants(slugs: &[&str]) -> Wanted {
    Wanted::Tenants(slugs.iter().map(|slug| (*slug).to_owned()).collect())
}

fn tables(globs: &[&str]) -> Wanted {
    Wanted::Tables(globs.iter().map(|glob| (*glob).to_owned()).collect())
}

/// Asks for a backup, does what the plan says, and asks for nothing any more.
#[track_caller]
fn ask(model: &mut Model, what: Wanted) -> Plan {
    let plan = asked(model, what, None);
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    model.apply(&plan);
    plan
}

fn asked(model: &mut Model, what: Wanted, jobs: Option<u32>) -> Plan {
    let only = bkup::domain::Narrowing { only: Some("backups".to_owned()), ..Default::default() };
    let before = std::mem::replace(&mut model.request.narrowing, only);
    let store = name("primary");
    model.request.on_demand = Some(OnDemand { database: name("app"), what, store, jobs, csv: false });
    let reason = Some("pre-migration".to_owned());
    model.request.asked_for = Some(AskedFor { by: "ann".to_owned(), reason, tables: Vec::new() });
    let plan = model.plan();
    model.request.narrowing = before;
    model.request.on_demand = None;
    model.request.asked_for = None;
    plan
}

fn works(plan: &Plan) -> Vec<&BackupWork> {
    let backups = plan.actions.iter().filter_map(|action| match &action.kind {
        ActionKind::BackUp(work) => Some(work),
        _ => None,
    });
    backups.collect()
}

/// How many backups of a schedule are live.
fn live(model: &mut Model, of: &Name) -> usize {
    model.facts().backups.iter().filter(|b| &b.schedule == of && b.tombstoned_at.is_none()).count()
}

/// A world with one schedule, applied; with documents of databases and rules, too.
fn applied(tenants: &[&str], key: &str, spec: ScheduleSpec) -> Model {
    let mut model = Model::new("2026-03-01T03:10:00Z", tenants).schedule(key, spec);
    document(&mut model);
    model.run();
    model
}

fn world(days: i64) -> Model {
    applied(&["a", "b"], "nightly", nightly(days))
}

fn document(model: &mut Model) {
    model.document();
    let mut add = |section: Section, key: &Name, body: serde_json::Value| {
        let location = SourceLocation { file: "bkup.yaml".to_owned(), line: 1 };
        let document = Document { digest: digest_of(&body), body, location };
        model.desired.documents.insert(Address::of(section, key.clone()), document);
    };
    for (key, spec) in &model.desired.databases {
        add(Section::Database, key, serde_json::to_value(spec).expect("JSON"));
    }
    for (key, rule) in &model.desired.retentions {
        add(Section::Retention, key, serde_json::to_value(rule).expect("JSON"));
    }
}

#[test]
fn what_is_asked_for_says_by_whom_and_why_and_belongs_to_a_schedule_of_its_own() {
    let mut model = world(7);
    let plan = ask(&mut model, Wanted::Database);
    let [work] = works(&plan)[..] else { panic!("{:?}", plan.actions) };
    assert_eq!(
        (work.schedule.as_str(), &work.scope, work.method),
        ("on-demand", &Scope::Database, BackupMethod::Manual)
    );
    assert_eq!(work.retention, within(30));
    let asked = work.asked_for.as_ref().expect("it was asked for");
    assert_eq!((asked.by.as_str(), asked.reason.as_deref()), ("ann", Some("pre-migration")));
    assert_eq!(plan.actions.len(), 1, "nothing else is done: {:?}", plan.actions);
    model.assert_converges();
}

#[test]
fn asked_for_twice_within_a_second_it_is_taken_once_and_a_second_later_again() {
    let mut model = world(7);
    for what in [Wanted::Database, tenants(&["a"]), tables(&["public.x"])] {
        let first = ask(&mut model, what.clone());
        assert!(!works(&first).is_empty());
        assert_eq!(ask(&mut model, what.clone()).actions, [], "{what:?}");
        model.pass(Period::seconds(1));
        assert!(!works(&ask(&mut model, what)).is_empty());
    }
    model.pass(Period::seconds(1));
    // Different tables of one second do not meet each other's slot.
    let one = ask(&mut model, tables(&["public.x"]));
    let other = ask(&mut model, tables(&["public.y"]));
    assert_eq!((works(&one).len(), works(&other).len()), (1, 1));
    assert_ne!(works(&one)[0].scope, works(&other)[0].scope);
}

#[test]
fn a_tenant_that_is_asked_for_brings_its_shared_archive_and_no_other_tenant() {
    let mut model = applied(&["a", "b", "*"], "nightly", nightly(7));
    let plan = ask(&mut model, tenants(&["*"]));
    let scopes: Vec<String> = works(&plan).iter().map(|work| work.scope.to_string()).collect();
    assert_eq!(scopes, ["shared", "tenant=*"], "a slug is no glob");
    assert_eq!(works(&plan)[1].shared.as_ref(), Some(&works(&plan)[0].backup));
    model.assert_converges();
    let plan = asked(&mut model, tenants(&["nobody"]), None);
    assert_eq!(plan.actions, []);
    assert!(plan.held.iter().any(|held| held.words.contains("no tenant \"nobody\"")), "{:?}", plan.held);
}

#[test]
fn a_scheduled_window_never_deletes_what_was_asked_for_and_the_other_way_round() {
    let mut model = world(3);
    let on_demand = Name::on_demand();
    let _ = ask(&mut model, Wanted::Database);
    for _ in 0..12 {
        model.pass(Period::days(1));
        model.run();
    }
    // Twelve nights later the nightly ones go by their window, and the one that was asked for is in its own.
    assert_eq!(live(&mut model, &on_demand), 1);
    assert!(live(&mut model, &name("nightly")) <= 4);
    for _ in 0..3 {
        model.pass(Period::days(1));
        let _ = ask(&mut model, Wanted::Database);
        model.run();
    }
    assert_eq!(live(&mut model, &on_demand), 4);
    for _ in 0..40 {
        model.pass(Period::days(1));
        model.run();
    }
    let left = live(&mut model, &on_demand);
    assert!((1..=2).contains(&left), "its window is over, and the floor keeps the newest: {left}");
    assert!(live(&mut model, &name("nightly")) >= 3, "the nightly ones are counted by themselves");
}

#[test]
fn the_rule_named_on_demand_rules_and_a_change_of_it_is_a_change() {
    let mut model = world(3);
    for _ in 0..6 {
        let _ = ask(&mut model, Wanted::Database);
        model.pass(Period::days(1));
        model.run();
    }
    assert_eq!(live(&mut model, &Name::on_demand()), 6);
    model.desired.retentions.insert(Name::on_demand(), within(2));
    document(&mut model);
    let plan = model.plan();
    // Five of six would go by a change of the policies, which is more than the guard lets pass.
    assert!(plan.refusals.iter().any(|refusal| refusal.guard == "max_delete"), "{:?}", plan.refusals);
    model.desired.retentions.insert(Name::on_demand(), within(90));
    document(&mut model);
    model.run();
    let plan = ask(&mut model, Wanted::Database);
    assert_eq!(works(&plan)[0].retention, within(90));
    model.pass(Period::days(60));
    model.run();
    assert_eq!(live(&mut model, &Name::on_demand()), 7);
    let decides = model.plan().rules.keys().any(|address| address.to_string() == "retention.on-demand");
    assert!(decides, "a deletion is done under the rule that it was decided by");
}

#[test]
fn a_schedule_named_on_demand_gives_its_store_its_rule_and_its_compression() {
    let spec = ScheduleSpec {
        compression: Compression::Lz4,
        max_parallel_jobs: 4,
        ..schedule(BackupType::Database, Timing::OnRequest, within(5))
    };
    let mut model = applied(&["a"], "on-demand", spec);
    let plan = ask(&mut model, Wanted::Database);
    let work = works(&plan)[0];
    assert_eq!((work.compression, &work.retention), (Compression::Lz4, &within(5)));
    assert_eq!(work.jobs, Some(4), "a database of 1 GiB is worth four programs");
    model.assert_converges();
}

#[test]
fn programs_are_shared_out_only_where_each_has_enough_to_do() {
    let mut spec = nightly(7);
    spec.max_parallel_jobs = 64;
    let mut model = Model::new("2026-03-01T03:10:00Z", &["a"]).schedule("nightly", spec);
    document(&mut model);
    let plan = model.step();
    assert_eq!(works(&plan)[0].jobs, Some(5));
    // Whoever names a number gets it.
    model.pass(Period::seconds(1));
    assert_eq!(works(&asked(&mut model, Wanted::Database, Some(9)))[0].jobs, Some(9));
    assert_eq!(works(&asked(&mut model, Wanted::Database, Some(1)))[0].jobs, None);
    assert_eq!(works(&asked(&mut model, tables(&["public.x"]), Some(9)))[0].jobs, None);
}

#[test]
fn a_schedule_of_tables_is_one_history_and_no_whole_database() {
    let spec = ScheduleSpec { tables: vec!["public.tickets".to_owned()], ..nightly(7) };
    let mut model = Model::new("2026-03-01T03:10:00Z", &["a"]).schedule("tickets", spec);
    let plan = model.step();
    let work = works(&plan)[0];
    assert_eq!(
        (work.scope.to_string().as_str(), &work.tables[..]),
        ("tables=tickets", &["public.tickets".to_owned()][..])
    );
    let after = model.plan();
    let row = after.objectives.iter().find(|row| row.scope == Scope::Database).expect("the database's row");
    assert_eq!(row.newest, None, "some tables are no database");
    for _ in 0..12 {
        model.pass(Period::days(1));
        model.run();
    }
    assert!((7..=9).contains(&live(&mut model, &name("tickets"))));
}

#[test]
fn what_is_paused_or_not_applied_yet_is_held() {
    let mut model = world(7);
    let until = "2026-05-01T00:00:00Z".parse().expect("an instant");
    let pause = bkup::domain::Suspension { until, reason: Some("move".to_owned()) };
    model.desired.suspended.insert("database.app".parse().expect("an address"), pause);
    let plan = asked(&mut model, Wanted::Database, None);
    assert!(plan.actions.is_empty() && plan.held[0].words.contains("suspended"), "{:?}", plan.held);
    let mut model = Model::new("2026-03-01T03:10:00Z", &["a"]).schedule("nightly", nightly(7));
    let plan = asked(&mut model, Wanted::Database, None);
    assert!(works(&plan).is_empty());
    assert!(plan.held.iter().any(|held| held.words.contains("run `bkup apply` first")), "{:?}", plan.held);
}
