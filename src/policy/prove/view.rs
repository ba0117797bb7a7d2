//! The set as proofs look at it: every schedule with its calendar, which of them cover what, and what they can lose.
//! Pure.

use std::collections::{BTreeMap, HashMap};

use crate::domain::{BackupType, Engine, Name, Period, ScheduleSpec, TenantFilter};
use crate::policy::globs::contains;
use crate::policy::set::{PolicySet, Thing};
use crate::policy::text::Place;
use crate::schedule::{Calendar, Losses, Worst};

use super::Facts;
use super::reach::Reach;

/// A schedule that fires by itself.
pub(super) struct Line<'a> {
    /// Its name.
    pub name: &'a Name,
    /// What it says.
    pub thing: &'a Thing<ScheduleSpec>,
    /// When it fires.
    pub calendar: Calendar,
    /// Where it says that it, or its store, is suspended.
    pub suspended: Option<Place>,
}

/// What of a database is to be covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part<'a> {
    /// All of it.
    Whole,
    /// The tenants that a pattern matches and that are in a class, where one is given.
    Tenants {
        /// The pattern.
        glob: &'a str,
        /// The class.
        class: Option<&'a Name>,
    },
}

/// The set, ready to be asked.
pub(super) struct View<'a> {
    pub set: &'a PolicySet,
    pub facts: &'a Facts,
    pub losses: Losses,
    /// Every schedule that fires by itself, in the order of names.
    pub lines: Vec<Line<'a>>,
    of_database: BTreeMap<&'a Name, Vec<usize>>,
    worst: HashMap<(&'a Name, Vec<usize>), Option<Worst>>,
    /// How far back schedules reach, as far as it was asked; see `windows`.
    pub reaches: HashMap<usize, Reach>,
}

impl<'a> View<'a> {
    /// Makes calendars of all schedules. Those on request and on change guarantee nothing and are left out.
    pub fn new(set: &'a PolicySet, facts: &'a Facts) -> Self {
        let mut lines = Vec::new();
        let mut of_database: BTreeMap<&Name, Vec<usize>> = BTreeMap::new();
        for (name, thing) in &set.schedules {
            let Some(calendar) = Calendar::new(&thing.spec.when).ok().filter(|calendar| !calendar.is_never()) else {
                continue;
            };
            for database in &thing.spec.databases {
                of_database.entry(database).or_default().push(lines.len());
            }
            let store = set.stores.get(&thing.spec.store).and_then(|store| suspended(store, facts));
            lines.push(Line { name, thing, calendar, suspended: suspended(thing, facts).or(store) });
        }
        Self {
            set,
            facts,
            losses: Losses::new(facts.now),
            lines,
            of_database,
            worst: HashMap::new(),
            reaches: HashMap::new(),
        }
    }

    /// Returns the schedules of a database.
    pub fn of(&self, database: &Name) -> &[usize] {
        self.of_database.get(database).map_or(&[], Vec::as_slice)
    }

    /// Returns the schedules that surely cover a part of a database.
    pub fn covering(&self, database: &Name, part: Part<'_>) -> Vec<usize> {
        self.of(database).iter().copied().filter(|line| covers(&self.lines[*line].thing.spec, part)).collect()
    }

    /// Returns the smallest distance between two slots of a schedule without clock changes, in seconds.
    pub fn regular_gap(&self, line: usize) -> i64 {
        self.lines[line].calendar.regular_gap().map_or(0, Period::as_seconds)
    }

    /// Returns the first of the schedules that is suspended, and where it, its store or its database says so.
    pub fn suspension(&self, database: &Name, lines: &[usize]) -> Option<Place> {
        let of_database = self.set.databases.get(database).and_then(|thing| suspended(thing, self.facts));
        of_database.or_else(|| lines.iter().find_map(|line| self.lines[*line].suspended))
    }

    /// Returns those of the schedules that are not suspended.
    pub fn active(&self, database: &Name, lines: &[usize]) -> Vec<usize> {
        if self.set.databases.get(database).is_some_and(|thing| suspended(thing, self.facts).is_some()) {
            return Vec::new();
        }
        lines.iter().copied().filter(|line| self.lines[*line].suspended.is_none()).collect()
    }

    /// Returns what archived WAL of a database loses at worst, as long as the archiver keeps up; `None` where none is
    /// archived, or no base backup is made to replay it on.
    pub fn wal(&self, database: &Name, active: bool) -> Option<Period> {
        let thing = self.set.databases.get(database)?;
        let wal = thing.spec.wal.as_ref()?;
        let is_base = |line: &&usize| {
            let spec = &self.lines[**line].thing.spec;
            spec.backup == BackupType::FullSystem && spec.engine == Engine::Physical
        };
        let mut bases: Vec<usize> = self.of(database).iter().filter(is_base).copied().collect();
        if active {
            bases = self.active(database, &bases);
        }
        let seconds = wal.archive_timeout.as_seconds().saturating_add(wal.max_lag.as_seconds());
        (!bases.is_empty()).then(|| Period::seconds(seconds))
    }

    /// Returns how long after its slot a backup is complete at the latest: how late it may start, and how long it
    /// takes, where that was measured.
    pub fn lateness(&self, line: usize, database: &Name) -> (Period, Option<Period>) {
        let Line { name, thing, .. } = &self.lines[line];
        let measured = self.facts.measured.as_ref();
        let duration = measured.and_then(|m| m.durations.get(&((*name).clone(), database.clone())).copied());
        (thing.spec.start_within, duration)
    }

    /// Returns what schedules that cover one scope can lose at worst; `None` where there are none. The marks are
    /// indices into `lines`.
    pub fn worst(&mut self, database: &'a Name, lines: Vec<usize>) -> Option<Worst> {
        let key = (database, lines);
        if let Some(known) = self.worst.get(&key) {
            return *known;
        }
        let lateness = |line: &usize| {
            let (late, takes) = self.lateness(*line, database);
            Period::seconds(late.as_seconds().saturating_add(takes.unwrap_or_default().as_seconds()))
        };
        let lateness: Vec<Period> = key.1.iter().map(lateness).collect();
        let calendars = key.1.iter().map(|line| &self.lines[*line].calendar);
        let with_lateness: Vec<(&Calendar, Period)> = calendars.zip(lateness).collect();
        let found = self.losses.worst(&with_lateness).map(|mut worst| {
            worst.counts.line = key.1[worst.counts.line];
            worst.next.line = key.1[worst.next.line];
            worst
        });
        self.worst.insert(key, found);
        found
    }
}

/// Returns where a thing says that it is suspended; a suspension that is over says nothing.
pub(super) fn suspended<T>(thing: &Thing<T>, facts: &Facts) -> Option<Place> {
    let suspension = thing.marks.suspended.as_ref()?;
    (suspension.until > facts.now).then(|| thing.places.get("suspend"))
}

/// Returns whether every backup of a schedule surely holds a part of its databases.
fn covers(spec: &ScheduleSpec, part: Part<'_>) -> bool {
    match (spec.backup, part) {
        (BackupType::FullSystem, _) => true,
        // A backup of some tables is not one of the database.
        (BackupType::Database, _) => spec.tables.is_empty(),
        (BackupType::TenantData, Part::Tenants { glob, class }) => match &spec.tenants {
            TenantFilter::All => true,
            TenantFilter::Classes(classes) => class.is_some_and(|class| classes.contains(class)),
            TenantFilter::Slugs(globs) => globs.iter().any(|outer| contains(outer, glob)),
        },
        _ => false,
    }
}
