//! Suite: forecast. The planner over time: what is exact is compared with the slow way to the same answer.

use std::collections::BTreeMap;

use bkup::domain::{
    ActionKind, BackupId, BackupType, CatalogFacts, Desired, ForecastReport, Name, Period, PlanType, ResolvedTenants,
    RetentionRule, ScheduleSpec, Tenant, Timing,
};
use bkup::forecast::{Counts, Life, Lives, Question, Start, forecast, lives};
use proptest::prelude::*;

use crate::world::model::{Model, at, cron, name, recovery_plan, schedule};

mod compared;
mod year;

/// A question about policies from an instant on, with nothing else said.
pub fn question<'a>(desired: &'a Desired, begin: &str, length: Period) -> Question<'a> {
    Question {
        after: (desired, "policies".to_owned()),
        before: None,
        start: Start::Nothing,
        begin: at(begin),
        length,
        faults: Default::default(),
        seed: 1,
        growth: Default::default(),
        prices: None,
        databases: BTreeMap::new(),
        counts: None,
        step: None,
        tool_version: "0.1.0".to_owned(),
        catalog_version: 1,
    }
}

/// Lives a model hour by hour, asking the planner each time, and says how each backup fared.
fn lived(model: &mut Model, hours: i64) -> Lives {
    let mut lives: Lives = BTreeMap::new();
    let mut life = |id: &BackupId, set: &dyn Fn(&mut Life)| set(lives.entry(id.clone()).or_default());
    for _ in 0..=hours {
        let plan = model.plan();
        let now = Some(plan.as_of);
        for action in &plan.actions {
            match &action.kind {
                ActionKind::BackUp(work) => life(&work.backup, &|life| life.taken_at = now),
                ActionKind::Tombstone(work) => life(&work.backup, &|life| life.tombstoned_at = now),
                ActionKind::Purge(work) => life(&work.backup, &|life| life.purged_at = now),
                _ => {}
            }
        }
        model.apply(&plan);
        model.pass(Period::hours(1));
    }
    lives
}

fn rules() -> impl Strategy<Value = RetentionRule> {
    let part = || prop::option::weighted(0.5, 1_u32..4);
    (part(), part(), part(), part(), prop::option::weighted(0.4, 5_i64..300), prop::option::weighted(0.2, 100_i64..400))
        .prop_map(|(last, daily, weekly, monthly, within, max_age)| RetentionRule {
            last: last.or(Some(1)),
            daily,
            weekly,
            monthly,
            within: within.map(Period::hours),
            max_age: max_age.map(Period::hours),
            ..RetentionRule::default()
        })
}

fn timings() -> impl Strategy<Value = Timing> {
    prop_oneof![
        Just(cron("0 3 * * *")),
        Just(cron("0 */8 * * *")),
        Just(cron("0 5 * * mon,thu")),
        (6_i64..40).prop_map(|hours| Timing::Every { period: Period::hours(hours) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn going_from_change_to_change_is_the_same_as_asking_every_hour(
        whole in rules(), tenants in rules(), often in timings(), seldom in timings(), grace in 0_i64..4, drilled in any::<bool>(),
    ) {
        // Two tenants alike are one here, but for the drills that tell them apart.
        let slugs = if drilled { &["acme", "birch"][..] } else { &["acme"] };
        let mut model = Model::new("2026-03-20T11:00:00Z", slugs)
            .schedule("whole", schedule(BackupType::Database, seldom, whole))
            .schedule("tenants", schedule(BackupType::TenantData, often, tenants));
        if drilled {
            model = model.recovery_plan("tenant-loss", recovery_plan(PlanType::TenantRecovery, Period::days(5)));
        }
        model.desired.guards.grace = Period::days(grace);
        model.desired.guards.min_keep = 1;
        model.document();
        let desired = model.desired.clone();
        let asked = question(&desired, "2026-03-20T11:00:00Z", Period::days(20));
        let found = lives(&asked).unwrap();
        let expected = lived(&mut model, 20 * 24);
        prop_assert_eq!(&found, &expected);
        // Being asked every hour by the forecast itself changes nothing either.
        let stepped = lives(&Question { step: Some(Period::hours(1)), ..asked }).unwrap();
        prop_assert_eq!(&found, &stepped);
    }
}

fn gfs() -> RetentionRule {
    RetentionRule { daily: Some(5), weekly: Some(3), monthly: Some(2), ..RetentionRule::default() }
}

/// Fifty tenants in two classes that two schedules cover differently, with a past in which some were there earlier.
fn many() -> (Desired, CatalogFacts) {
    let slugs: Vec<String> = (0..50).map(|n| format!("{}-{n:02}", if n % 3 == 0 { "ent" } else { "std" })).collect();
    let early: Vec<&str> = slugs.iter().take(35).map(String::as_str).collect();
    let all: Vec<&str> = slugs.iter().map(String::as_str).collect();
    let six_hourly: ScheduleSpec = ScheduleSpec {
        tenants: bkup::domain::TenantFilter::Slugs(vec!["ent-*".to_owned()]),
        ..schedule(
            BackupType::TenantData,
            cron("0 */6 * * *"),
            RetentionRule { last: Some(6), ..RetentionRule::default() },
        )
    };
    let mut model = Model::new("2026-03-01T03:00:00Z", &early)
        .schedule("nightly", schedule(BackupType::TenantData, cron("0 3 * * *"), gfs()))
        .schedule("often", six_hourly);
    model.desired.guards.grace = Period::days(2);
    model.document();
    for day in 0..12 {
        if day == 8 {
            model.set_tenants(&all);
        }
        model.run();
        model.pass(Period::days(1));
    }
    for (index, backup) in model.facts().backups.iter_mut().enumerate() {
        backup.size = bkup::domain::Bytes(1000 + index as u64 * 17);
    }
    (model.desired.clone(), model.facts().clone())
}

/// Adds up what the lines of tenants say, day by day: restore points, tombstoned ones, and bytes.
fn tenant_totals(report: &ForecastReport) -> Vec<(u64, u64, u64)> {
    let lines = report.after.lines.iter().filter(|line| line.scope.starts_with("tenants"));
    let mut totals = vec![(0, 0, 0); report.after.days.len()];
    for line in lines {
        for (day, total) in totals.iter_mut().enumerate() {
            *total = (total.0 + line.restore_points[day], total.1 + line.in_grace[day], total.2 + line.bytes[day].0);
        }
    }
    totals
}

#[test]
fn fifty_tenants_one_by_one_come_to_what_the_few_that_differ_stand_for() {
    let (desired, facts) = many();
    let begin = "2026-03-13T03:00:00Z";
    let start = Start::Catalog(&facts);
    let together = forecast(&Question { start, ..question(&desired, begin, Period::days(12)) }).unwrap();
    let mut one_by_one = vec![(0, 0, 0); together.after.days.len()];
    let Some(ResolvedTenants::Known(tenants)) = desired.tenants.get(&name("app")).cloned() else { unreachable!() };
    assert_eq!(tenants.len(), 50);
    for (tenant, class) in tenants {
        let mut alone = desired.clone();
        let mut past = facts.clone();
        past.backups.retain(|b| b.scope.tenant().is_none_or(|slug| slug == tenant.slug));
        alone.tenants.insert(name("app"), ResolvedTenants::Known(vec![(tenant, class)]));
        let start = Start::Catalog(&past);
        let report = forecast(&Question { start, ..question(&alone, begin, Period::days(12)) }).unwrap();
        for (sum, (points, grace, bytes)) in one_by_one.iter_mut().zip(tenant_totals(&report)) {
            *sum = (sum.0 + points, sum.1 + grace, sum.2 + bytes);
        }
    }
    assert_eq!(tenant_totals(&together), one_by_one);
    let groups: u64 =
        together.after.lines.iter().filter(|line| line.schedule == name("nightly")).map(|l| l.scopes).sum();
    assert_eq!(groups, 50 + 1, "all tenants, and the shared archives");
}

#[test]
fn placeholders_count_for_as_many_tenants_as_somebody_says() {
    let mut model = Model::new("2026-03-01T03:00:00Z", &["any"])
        .schedule("nightly", schedule(BackupType::TenantData, cron("0 3 * * *"), gfs()));
    model.document();
    let points = |count: Option<u64>| {
        let counts = Some(Counts { by_class: BTreeMap::new(), otherwise: count });
        let asked = Question { counts, ..question(&model.desired, "2026-03-01T03:00:00Z", Period::days(30)) };
        let report = forecast(&asked).unwrap();
        let end = report.after.milestones.last().unwrap();
        let class = report.objectives.iter().find(|o| o.address == "class.standard").unwrap();
        (end.restore_points, report.after.taken, class.scopes)
    };
    let (one, taken, _) = points(None);
    assert_eq!(points(Some(1000)), (1000 * one, 1000 * taken, 1000));
}

#[test]
fn an_objective_that_the_slots_cannot_keep_is_broken_with_its_date() {
    let mut model = Model::new("2026-03-01T12:00:00Z", &["acme"])
        .schedule("nightly", schedule(BackupType::TenantData, cron("0 3 * * *"), gfs()));
    let class = model.desired.classes.get_mut(&name("standard")).unwrap();
    class.objectives.rpo = Some(Period::hours(20));
    model.desired.databases.get_mut(&name("app")).unwrap().objectives = None;
    let report = forecast(&question(&model.desired, "2026-03-01T12:00:00Z", Period::days(10))).unwrap();
    assert!(!report.holds);
    let [objective] = report.objectives.as_slice() else { panic!("{:?}", report.objectives) };
    assert_eq!(objective.worst, Some(Period::hours(24)));
    assert_eq!(objective.violated_at, Some(at("2026-03-02T23:00:00Z")));
    assert_eq!(objective.violations, 9);
}

#[test]
fn dropped_runs_show_as_missed_slots_and_lost_time() {
    let mut model = Model::new("2026-03-01T03:00:00Z", &["acme"])
        .schedule("nightly", schedule(BackupType::Database, cron("0 3 * * *"), gfs()));
    model.document();
    let faults = "outage:3d@2026-03-10".parse().unwrap();
    let asked = Question { faults, ..question(&model.desired, "2026-03-01T03:00:00Z", Period::days(20)) };
    let report = forecast(&asked).unwrap();
    assert_eq!(report.after.missed, 3);
    let database = report.objectives.iter().find(|o| o.address == "database.app").unwrap();
    assert_eq!(database.worst, Some(Period::days(4)));
    assert_eq!(database.violated_at, Some(at("2026-03-10T06:00:00Z")));
    assert_eq!((database.misses[0].slots, database.misses[0].broken_at), (Some(1), Some(at("2026-03-02T06:00:00Z"))));
}

#[test]
fn a_forecast_of_more_than_twenty_years_or_of_every_minute_for_long_is_refused() {
    let every_minute = schedule(BackupType::Database, cron("* * * * *"), gfs());
    let model = Model::new("2026-03-01T03:00:00Z", &[]).schedule("busy", every_minute);
    let asked = |length| forecast(&question(&model.desired, "2026-03-01T03:00:00Z", length)).unwrap_err().to_string();
    assert_eq!(
        asked(Period::days(7310)),
        "7310d is too far ahead: a forecast is of at most 20 years, and of at least a day"
    );
    assert!(asked(Period::days(7000)).starts_with("the forecast would look at"));
}

/// Returns a tenant.
pub fn tenant(slug: &str) -> Tenant {
    Tenant { slug: slug.to_owned(), schema: format!("tenant_{slug}"), id: None }
}

/// Reads policies and resolves them with these tenants of `app`.
pub fn read_policies(text: &str, slugs: &[&str]) -> Desired {
    let file = bkup::policy::SourceFile { name: "bkup.yaml".to_owned(), bytes: text.as_bytes().to_vec() };
    let (set, findings) = bkup::policy::read(&[file]);
    assert!(findings.iter().all(|f| f.severity != bkup::diag::Severity::Error), "{findings:?}");
    let live = bkup::policy::LiveTenants::Known(slugs.iter().map(|slug| tenant(slug)).collect());
    let tenants: BTreeMap<Name, _> = BTreeMap::from([(name("app"), live)]);
    set.desired(&tenants).0
}
