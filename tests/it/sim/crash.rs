//! Every point at which an apply can die: before an effect, after it, and after one whose reply was lost. Whatever
//! happened, the next apply comes to the same end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bkup::domain::{BackupType, Guards, Instant, Name, Percent, Period, Plan, RetentionRule, Timing};
use bkup::store::MemoryStore;

use super::ledger::Tables;
use super::policies::Policies;
use super::random::Random;
use super::weather::{Moment, Odds};
use super::world::{Ran, Runner, World};
use crate::world::model::{cron, name, recovery_plan, schedule};

/// A world on the evening before an apply that does something of every kind.
struct Evening {
    at: Instant,
    stores: BTreeMap<Name, Arc<MemoryStore>>,
    tables: Tables,
    policies: Policies,
}

fn tenants() -> BTreeSet<String> {
    ["t0", "t1"].map(str::to_owned).into()
}

fn policies() -> Policies {
    let mut policies = Policies::new(Random::new(0));
    let desired = &mut policies.desired;
    desired.stores.retain(|key, _| key.as_str() == "primary");
    desired.schedules.clear();
    desired.recovery_plans.clear();
    let keep = |daily| RetentionRule { daily: Some(daily), ..RetentionRule::default() };
    let daily = |backup, hour: u32, rule| {
        let mut spec = schedule(backup, cron(&format!("0 {hour} * * *")), rule);
        spec.start_within = Period::hours(20);
        spec.max_parallel_jobs = 2;
        spec
    };
    desired.schedules.insert(name("tenants"), daily(BackupType::TenantData, 2, keep(2)));
    desired.schedules.insert(name("whole"), daily(BackupType::Database, 3, keep(3)));
    let plan = recovery_plan(bkup::domain::PlanType::TenantRecovery, Period::days(4));
    desired.recovery_plans.insert(name("back"), plan);
    desired.guards =
        Guards { max_delete: Percent::hundredths(10_000), min_keep: 1, grace: Period::hours(0), ..Guards::default() };
    policies.document();
    policies
}

async fn plan(runner: &Runner, policies: &Policies) -> Arc<Plan> {
    runner.plan(&|tenants| policies.with(tenants), true).await
}

/// Days pass until all kinds of work have something to do.
async fn evening() -> Evening {
    let mut policies = policies();
    let world = World::of(
        "2026-01-05T12:00:00Z".parse().expect("an instant"),
        BTreeMap::from([(name("primary"), Arc::new(MemoryStore::new("primary")))]),
        Tables::default(),
        tenants(),
        Random::new(1),
    );
    for day in 0..4 {
        let runner = Runner::new(&world, format!("day-{day}"));
        if day == 3 {
            // It dies in the middle of its backups, and leaves them behind.
            runner.weather.fall(24, Moment::After);
        }
        let plan = plan(&runner, &policies).await;
        let ran = runner.apply(&plan).await;
        assert_eq!(matches!(ran, Ran::Died), day == 3, "day {day}: {ran:?}");
        tokio::time::sleep(Duration::from_secs(86_400)).await;
    }
    let mut more = schedule(BackupType::Database, cron("0 5 * * *"), RetentionRule::default());
    (more.retention.last, more.start_within) = (Some(3), Period::hours(20));
    policies.desired.schedules.insert(name("more"), more);
    policies.desired.schedules.get_mut(&name("whole")).expect("a schedule").when.timing =
        Timing::Every { period: Period::hours(12) };
    policies.document();
    assert_eq!(world.auditor.violations(), [""; 0]);
    let (stores, tables) = world.copy();
    assert!(tables.rows.iter().any(|row| row.done.is_none()), "the last day's runner died in its backups");
    Evening { at: world.now(), stores, tables, policies }
}

impl Evening {
    fn world(&self) -> Arc<World> {
        let base = World::of(self.at, self.stores.clone(), self.tables.clone(), tenants(), Random::new(2));
        let (stores, tables) = base.copy();
        World::of(self.at, stores, tables, tenants(), Random::new(2))
    }
}

/// What lasts, without what differs between two ways to the same end: attempts and times.
fn shape(world: &World) -> Vec<String> {
    let tables = world.catalog.tables();
    let mut shape: Vec<String> = Vec::new();
    for row in tables.rows.iter().filter(|row| row.done.is_some()) {
        let tombstoned = row.done.as_ref().is_some_and(|backup| backup.tombstoned_at.is_some());
        let drilled = row.done.as_ref().is_some_and(|backup| backup.drilled_at.is_some());
        shape.push(format!(
            "{} {} tombstoned {tombstoned} purged {} drilled {drilled}",
            row.backup, row.scope, row.deleted
        ));
    }
    shape.extend(tables.applied.iter().map(|(address, applied)| format!("{address} {}", applied.digest)));
    shape.extend(tables.missed.keys().map(|(schedule, _, slot)| format!("{schedule} missed {slot}")));
    shape.push(format!("{} drills", tables.drill_count()));
    shape.sort();
    shape
}

/// Lets a runner fall, waits, and lets others finish; returns what lasts then.
async fn falls(evening: &Evening, fall: Option<(u64, Moment)>, same_plan: bool) -> (Vec<String>, u64, Vec<String>) {
    let world = evening.world();
    let first = Runner::new(&world, "first".to_owned());
    first.weather.set(Odds { latency: 40, ..Odds::default() });
    let planned = plan(&first, &evening.policies).await;
    if let Some((effect, moment)) = fall {
        first.weather.fall(effect, moment);
    }
    let ran = first.apply(&planned).await;
    world.note(format!("first: {ran:?}"));
    let effects = first.weather.effects();
    let mut happened = first.weather.happened();
    tokio::time::sleep(Duration::from_secs(660)).await;
    let second = Runner::new(&world, "second".to_owned());
    if same_plan {
        let ran = second.apply(&planned).await;
        world.note(format!("second, the same plan: {ran:?}"));
    }
    for turn in 0..4 {
        let planned = plan(&second, &evening.policies).await;
        for refusal in &planned.refusals {
            world.auditor.violation(format!("a quiet plan is refused: {}", refusal.words));
        }
        if planned.actions.is_empty() {
            break;
        }
        if turn == 3 {
            let left: Vec<&str> = planned.actions.iter().map(|action| action.kind.word()).collect();
            world.auditor.violation(format!("three quiet applies leave work: {left:?}"));
        }
        let ran = second.apply(&planned).await;
        world.note(format!("second: {ran:?}"));
    }
    world.auditor.look(&world.stores, true);
    world.auditor.tidy(&world.stores);
    world.auditor.covered();
    let violations = world.auditor.violations();
    if !violations.is_empty() {
        happened.extend(violations);
        happened.extend(world.log(40));
        return (shape(&world), effects, happened);
    }
    (shape(&world), effects, Vec::new())
}

fn alone<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}

/// Lets an apply die at every point there is, and returns how many there were.
pub fn enumerate() -> usize {
    let evening = alone(evening());
    let (expected, effects, wrong) = alone(falls(&evening, None, false));
    assert!(wrong.is_empty(), "without any fault: {wrong:#?}");
    let mut points = 0;
    let mut failed: Vec<String> = Vec::new();
    for effect in 1..=effects {
        for moment in [Moment::Before, Moment::After, Moment::Unheard] {
            for same_plan in [false, true] {
                points += 1;
                let (shape, _, wrong) = alone(falls(&evening, Some((effect, moment)), same_plan));
                let only = |a: &[String], b: &[String]| -> Vec<String> {
                    a.iter().filter(|line| !b.contains(line)).cloned().collect()
                };
                let (less, more) = (only(&expected, &shape), only(&shape, &expected));
                if !wrong.is_empty() || shape != expected {
                    failed.push(format!(
                        "effect {effect} of {effects}, {moment:?}, the same plan: {same_plan}\n  lacks {less:#?}\n  \
                         has {more:#?}\n  {}",
                        wrong.join("\n  ")
                    ));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} of {points} points fail, the first:\n{}", failed.len(), failed[0]);
    points
}
