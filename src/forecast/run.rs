//! One part of a world, from instant to instant: plan, do it, write it down, go to the next instant at which anything
//! can change. Pure. Between two such instants the planner would say the same, so that nothing is lost by not asking.

use std::collections::BTreeSet;

use super::faults::Faults;
use super::parts::is_drilled;
use super::population::Population;
use super::record::Record;
use super::sizes::Sizes;
use super::world::World;
use crate::domain::{ActionKind, Desired, Instant, Name, Period, Plan};
use crate::schedule::Calendar;

/// What a run is over.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    /// The first instant.
    pub begin: Instant,
    /// The last one.
    pub end: Instant,
    /// What goes wrong.
    pub faults: &'a Faults,
    /// The seed of chance.
    pub seed: u64,
    /// The days on which reasons are counted, by index.
    pub reasons_on: &'a BTreeSet<usize>,
    /// The policies whose classes lines are named after.
    pub naming: &'a Desired,
    /// An apply runs at these distances, and only then; absent: whenever anything can change. For comparisons.
    pub step: Option<Period>,
}

/// Runs a part to the end of its span. `record` may be over no days at all: then only what was taken is noted.
pub(super) fn run(world: &mut World, span: Span<'_>, population: &Population, sizes: &Sizes, record: &mut Record) {
    let calendars = Calendars::of(world);
    let runs = if span.faults.is_none() { Vec::new() } else { calendars.runs(span) };
    let mut next_run = 0;
    let mut next_day = 0;
    let mut now = span.begin;
    loop {
        world.set_now(now);
        let plan = world.plan();
        record.note(&plan, world, population, sizes, next_day.min(record.days.len().saturating_sub(1)));
        world.fold(&plan, &mut |work, at| {
            sizes.amount(work, at, population.weight(work.database.as_ref(), &work.scope)).0
        });
        let next = if !span.faults.is_none() {
            next_run += runs[next_run..].partition_point(|run| *run <= now);
            runs.get(next_run).copied()
        } else if let Some(step) = span.step {
            Some(step.after(now)).filter(|next| *next > now)
        } else {
            calendars.next(world, &plan, now)
        };
        let next = next.filter(|next| *next <= span.end);
        while let Some(day) = record.days.get(next_day).copied().filter(|day| next.is_none_or(|next| *day < next)) {
            let plan = span.reasons_on.contains(&next_day).then(|| {
                world.set_now(day);
                world.plan()
            });
            record.day(next_day, world, span.naming, population, plan.as_ref());
            next_day += 1;
        }
        match next {
            Some(next) => now = next,
            None => break,
        }
    }
    world.set_now(span.end);
}

/// Counts the slots after the begin whose time to start is over by the end and of which no backup was taken. The planner
/// records such a slot only where no newer one is due, so that it is not asked.
pub(super) fn missed(world: &World, span: Span<'_>, record: &Record) -> u64 {
    let mut missed = 0;
    for (name, spec) in &world.desired.schedules {
        // What is held takes no slot at all, and is told as held.
        if !record.slots.iter().any(|(schedule, _)| schedule == name) {
            continue;
        }
        let Ok(calendar) = Calendar::new(&spec.when) else { continue };
        let slots = calendar.between(span.begin, spec.start_within.before(span.end));
        missed += slots.filter(|slot| !record.slots.contains(&(name.clone(), *slot))).count() as u64;
    }
    missed
}

/// Counts the slots between two instants: how much work a run will be.
pub(super) fn slots(world: &World, begin: Instant, end: Instant, most: usize) -> usize {
    let calendars = world.desired.schedules.values().filter_map(|spec| Calendar::new(&spec.when).ok());
    calendars.map(|calendar| calendar.between(begin, end).take(most.saturating_add(1)).count()).sum()
}

/// The calendars of a part's schedules and drills.
struct Calendars {
    schedules: Vec<(Name, Calendar, Period)>,
    drills: Vec<Calendar>,
}

impl Calendars {
    fn of(world: &World) -> Self {
        // What is held for good changes nothing at its slots.
        let schedules = world.desired.schedules.iter().filter(|(_, spec)| spec.not_served().is_none());
        let schedules = schedules
            .filter_map(|(name, spec)| Some((name.clone(), Calendar::new(&spec.when).ok()?, spec.start_within)));
        let drills = world.desired.recovery_plans.values().filter(|plan| is_drilled(plan));
        let drills = drills.filter_map(|plan| Calendar::new(plan.drill.as_ref()?.when.as_ref()?).ok());
        Self { schedules: schedules.collect(), drills: drills.collect() }
    }

    /// Returns when runs come, faults considered: each slot brings one of its own, and nothing else does.
    fn runs(&self, span: Span<'_>) -> Vec<Instant> {
        let mut runs = Vec::new();
        let drills = self.drills.iter().map(|calendar| ("drill", calendar));
        for (name, calendar) in self.schedules.iter().map(|(name, c, _)| (name.as_str(), c)).chain(drills) {
            let slots = calendar.between(span.begin, span.end);
            runs.extend(slots.filter_map(|slot| span.faults.run_of(name, slot, span.seed)));
        }
        runs.sort_unstable();
        runs.dedup();
        runs
    }

    /// Returns the next instant at which the planner may say something new, after `plan` was done.
    fn next(&self, world: &World, plan: &Plan, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut at = |instant: Option<Instant>| {
            if let Some(instant) = instant.filter(|instant| *instant > now) {
                next = Some(next.map_or(instant, |next| next.min(instant)));
            }
        };
        for (name, calendar, start_within) in &self.schedules {
            at(calendar.next_after(now));
            // Work that is held back at its slot is missed once its time to start is over.
            if plan.held.iter().any(|held| held.work == "back_up" && held.address.name() == Some(name)) {
                let over = calendar.last_at_or_before(now).map(|slot| start_within.after(slot));
                at(over.map(|over| Period::seconds(1).after(over)));
            }
        }
        self.drills.iter().for_each(|calendar| at(calendar.next_after(now)));
        plan.kept.iter().for_each(|kept| at(kept.until));
        for action in &plan.actions {
            match &action.kind {
                ActionKind::BackUp(work) => {
                    at(work.retention.within.map(|within| within.after(now)));
                    at(work.retention.max_age.map(|age| age.after(now)));
                }
                ActionKind::Tombstone(work) => at(work.purge_after),
                _ => {}
            }
        }
        let records = world.facts().map(|facts| &facts.drills);
        for (name, spec) in world.desired.recovery_plans.iter().filter(|(_, spec)| is_drilled(spec)) {
            let every = spec.drill.as_ref().and_then(|drill| drill.every);
            at(records.and_then(|records| records.get(name)).zip(every).map(|(record, every)| every.after(record.at)));
        }
        at(world.desired.guards.until);
        world.desired.suspended.values().for_each(|pause| at(Some(pause.until)));
        next
    }
}
