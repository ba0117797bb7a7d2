//! From a question to its answer: the world at the begin, each side run part by part, and the report. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::change;
use super::drilled;
use super::objectives::Judge;
use super::parts::{restrict, split};
use super::population::{Population, group};
use super::record::{Life, Record};
use super::run::{self, Span};
use super::served::{AsServed, as_served};
use super::sizes::Sizes;
use super::storage::{Reading, days, milestones};
use super::world::World;
use super::{Faults, ForecastError, LONGEST, Question, Start};
use crate::domain::{
    BackupId, CatalogFacts, Desired, FORECAST_FORMAT, ForecastReport, ForecastStart, Instant, Period, SizeSource,
};

/// How many slots a forecast looks at, all schedules and both sides together.
const MOST_SLOTS: usize = 1_000_000;

/// How each backup fared.
pub type Lives = BTreeMap<BackupId, Life>;

/// A question with everything in place to run it.
struct Prepared<'a> {
    question: &'a Question<'a>,
    end: Instant,
    population: Population,
    sizes: Sizes,
    /// The world of each side at the begin: before the change where there is one, then after it.
    worlds: Vec<World>,
    left_out: BTreeSet<crate::domain::Name>,
    /// What of each side is taken as if it were done.
    notes: Vec<AsServed>,
}

/// Answers a question.
///
/// # Errors
/// Where it is about more time or more slots than anybody waits for.
pub fn forecast(question: &Question<'_>) -> Result<ForecastReport, ForecastError> {
    let prepared = Prepared::of(question)?;
    let records: Vec<Record> = prepared.worlds.iter().map(|world| prepared.run(world)).collect();
    Ok(prepared.report(&records))
}

/// Returns how each backup fares under the policies in question: for comparisons with what really happens.
///
/// # Errors
/// As [`forecast`].
pub fn lives(question: &Question<'_>) -> Result<Lives, ForecastError> {
    let prepared = Prepared::of(question)?;
    let record = prepared.worlds.last().map(|world| prepared.run(world));
    Ok(record.into_iter().flat_map(|record| record.lives).collect())
}

impl<'a> Prepared<'a> {
    fn of(question: &'a Question<'a>) -> Result<Self, ForecastError> {
        let (begin, length) = (question.begin, question.length);
        if length > LONGEST || length < Period::days(1) {
            return Err(ForecastError::TooLong(length));
        }
        let end = length.after(begin);
        let asked = question.before.iter().map(|(desired, _)| *desired).chain([question.after.0]);
        let (served, notes): (Vec<Desired>, Vec<AsServed>) = asked.map(as_served).unzip();
        let sides: Vec<&Desired> = served.iter().collect();
        let (facts, first) = match question.start {
            Start::Catalog(facts) => (Some(facts), begin),
            Start::AsIf(past) => (None, past.before(begin)),
            Start::Nothing => (None, begin),
        };
        let placeholders = question.counts.as_ref().is_some_and(|counts| {
            counts.otherwise.is_some_and(|count| count > 1) || counts.by_class.values().any(|count| *count > 1)
        });
        let drilled = drilled::find(&sides, facts, placeholders, first, end);
        let mut population = group(&sides, facts, &drilled.alone, question.counts.as_ref());
        for side in &mut population.sides {
            for (_, plan) in side.recovery_plans.iter_mut().filter(|(name, _)| drilled.left_out.contains(*name)) {
                plan.drill = None;
            }
        }
        let sizes = Sizes::of(&population, &question.databases, begin, question.growth);
        let mut prepared =
            Self { question, end, population, sizes, worlds: Vec::new(), left_out: drilled.left_out, notes };
        prepared.worlds = prepared.worlds_at_begin(first)?;
        Ok(prepared)
    }

    /// Makes each side's world: all of them hold the same past.
    fn worlds_at_begin(&mut self, first: Instant) -> Result<Vec<World>, ForecastError> {
        let question = self.question;
        let sides = std::mem::take(&mut self.population.sides);
        let new = |side: &Desired, at| World::new(side.clone(), at, &question.tool_version, question.catalog_version);
        let past = match (question.start, sides.first()) {
            (Start::Nothing, _) | (_, None) => None,
            (Start::Catalog(_), _) => self.population.facts.clone(),
            (Start::AsIf(_), Some(old)) => {
                let world = new(old, first);
                check_slots(&world, first, question.begin)?;
                Some(self.live_through(&world, first))
            }
        };
        let mut worlds = Vec::new();
        for side in &sides {
            let world = new(side, question.begin);
            check_slots(&world, question.begin, self.end)?;
            worlds.push(match &past {
                Some(past) => World::with_catalog(side.clone(), past.clone(), question.begin, &question.tool_version),
                None => world,
            });
        }
        Ok(worlds)
    }

    /// Runs the time before the begin without faults, and returns the catalog that it leaves.
    fn live_through(&mut self, world: &World, first: Instant) -> CatalogFacts {
        let question = self.question;
        let (none, nothing) = (Faults::default(), BTreeSet::new());
        let span = Span {
            begin: first,
            // The begin itself is the first instant of what follows.
            end: Period::seconds(1).before(question.begin),
            faults: &none,
            seed: question.seed,
            reasons_on: &nothing,
            naming: &world.desired,
            step: question.step,
        };
        let mut record = Record::new(&[], &self.population);
        let mut all = World::empty_catalog(question.catalog_version);
        for part in split(&world.desired, None) {
            let mut small = restrict(world, &part);
            run::run(&mut small, span, &self.population, &self.sizes, &mut record);
            let Some(facts) = small.facts() else { continue };
            all.applied.extend(facts.applied.clone());
            all.backups.extend(facts.backups.iter().cloned());
            all.drills.extend(facts.drills.clone());
            all.progress.extend(facts.progress.iter().cloned());
            all.stores.extend(facts.stores.clone());
        }
        let left: BTreeSet<&BackupId> = all.backups.iter().map(|backup| &backup.id).collect();
        let bytes = record.bytes.into_iter().filter(|(id, _)| left.contains(id));
        self.population.bytes.extend(bytes);
        all
    }

    /// Runs one side, part by part.
    fn run(&self, world: &World) -> Record {
        let question = self.question;
        let days = days(question.begin, self.end);
        let mut record = Record::new(&days, &self.population);
        let reasons_on: BTreeSet<usize> = milestones(&days).into_iter().chain([0]).collect();
        let span = Span {
            begin: question.begin,
            end: self.end,
            faults: &question.faults,
            seed: question.seed,
            reasons_on: &reasons_on,
            naming: &world.desired,
            step: question.step,
        };
        for part in split(&world.desired, world.facts()) {
            let mut small = restrict(world, &part);
            run::run(&mut small, span, &self.population, &self.sizes, &mut record);
        }
        record.missed = run::missed(world, span, &record);
        record
    }

    fn report(&self, records: &[Record]) -> ForecastReport {
        let question = self.question;
        let judge = |index: usize| Judge {
            world: &self.worlds[index],
            record: &records[index],
            population: &self.population,
            sizes: &self.sizes,
            wal: &self.notes[index].wal,
            begin: question.begin,
            end: self.end,
        };
        let reading = |index: usize, policies: &str| Reading {
            policies: policies.to_owned(),
            world: &self.worlds[index],
            record: &records[index],
            population: &self.population,
            sizes: &self.sizes,
            prices: question.prices.as_ref(),
            refusals: refusals(&self.worlds[index]),
        };
        let last = records.len().saturating_sub(1);
        let mut objectives = judge(last).all();
        let mut before = None;
        let mut change = None;
        if let Some((_, policies)) = &question.before {
            for old in judge(0).all() {
                let same = |new: &&mut crate::domain::ObjectiveForecast| {
                    (&new.address, &new.database, new.kind) == (&old.address, &old.database, old.kind)
                };
                if let Some(new) = objectives.iter_mut().find(same) {
                    new.worst_before = old.worst;
                }
            }
            before = Some(reading(0, policies).side());
            let days = &records[last].days;
            let told = [0].into_iter().chain(milestones(days)).map(|index| {
                let days_after = Period::between(question.begin, days[index]).as_seconds() / 86_400;
                (days_after.unsigned_abs(), days[index])
            });
            let side = |index: usize| change::Side { record: &records[index], world: &self.worlds[index] };
            change = Some(change::compare(&side(0), &side(last), &self.population, &told.collect::<Vec<_>>()));
        }
        let after = reading(last, &question.after.1).side();
        ForecastReport {
            format_version: FORECAST_FORMAT.to_owned(),
            tool_version: question.tool_version.clone(),
            begin: question.begin,
            end: self.end,
            start: match question.start {
                Start::Catalog(_) => ForecastStart::Catalog,
                Start::AsIf(_) => ForecastStart::AsIf,
                Start::Nothing => ForecastStart::Nothing,
            },
            assumptions: self.assumptions(&after.lines),
            faults: question.faults.to_string(),
            seed: question.seed,
            holds: objectives.iter().all(|objective| objective.violated_at.is_none()),
            objectives,
            after,
            before,
            change,
        }
    }

    /// Says what was taken for granted.
    fn assumptions(&self, lines: &[crate::domain::ForecastLine]) -> Vec<String> {
        let question = self.question;
        let mut all = Vec::new();
        let mut say = |words: String| all.push(words);
        match question.start {
            Start::Catalog(_) => say("every store and every database can be reached".to_owned()),
            Start::AsIf(past) => {
                let whose = question.before.as_ref().map_or("these policies", |_| "the old policies");
                say(format!("as if {whose} had run for {past} before; no catalog was read"));
            }
            Start::Nothing => say("nothing was backed up before".to_owned()),
        }
        say(if question.faults.is_none() {
            "an apply runs whenever something is due, and succeeds".to_owned()
        } else {
            let seed = question.seed;
            format!("each slot brings an apply of its own; faults: {}, drawn with seed {seed}", question.faults)
        });
        let of = |source: SizeSource| lines.iter().any(|line| line.sizes == source && line.scope != "shared archives");
        if of(SizeSource::Measured) {
            say("a backup is as large, and takes as long, as the newest of its scope".to_owned());
        }
        if of(SizeSource::Assumed) {
            say("a backup nobody has measured is as large as its database, uncompressed".to_owned());
        }
        if of(SizeSource::Unknown) {
            say("sizes are not known where nothing was measured: backups are counted, not bytes".to_owned());
        }
        if !question.growth.is_none() {
            say(format!("backups grow by {}", question.growth));
        }
        if lines.iter().any(|line| line.scope == "configuration") {
            say("configurations do not change: a schedule `on: change` takes a backup where it has none".to_owned());
        }
        if let Some(counts) = &question.counts {
            let each = counts.otherwise.unwrap_or(1);
            let mut words = format!("tenants are not known: {each} of each class");
            for (class, count) in &counts.by_class {
                words.push_str(&format!(", {count} of {class}"));
            }
            say(words);
        }
        if let Some(notes) = self.notes.last() {
            if !notes.schedules.is_empty() {
                let names: Vec<String> = notes.schedules.iter().map(ToString::to_string).collect();
                say(format!(
                    "as if this version made physical backups, which it does not yet: {}; each is a whole copy here",
                    names.join(", ")
                ));
            }
            for (database, most) in &notes.wal {
                say(format!(
                    "as if WAL of {database} were archived, which it is not yet: at most {most} of it is lost"
                ));
            }
        }
        for plan in &self.left_out {
            say(format!("the drills of recovery-plan.{plan} are left out: which tenants they sample is not followed"));
        }
        all
    }
}

/// Says what an apply at the begin would refuse without the consent to delete that a forecast gives itself.
fn refusals(world: &World) -> Vec<String> {
    let mut strict = world.clone();
    strict.request.allow_delete = None;
    strict.plan().refusals.into_iter().map(|refusal| format!("{}: {}", refusal.guard, refusal.words)).collect()
}

fn check_slots(world: &World, begin: Instant, end: Instant) -> Result<(), ForecastError> {
    let slots = run::slots(world, begin, end, MOST_SLOTS);
    if slots > MOST_SLOTS { Err(ForecastError::TooManySlots(slots, MOST_SLOTS)) } else { Ok(()) }
}
