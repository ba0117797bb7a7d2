//! What a catalog and the servers have measured, as proofs count on it. Pure.

use std::collections::BTreeMap;

use crate::domain::{Backup, Bytes, CatalogState, DrillRecord, Instant, Name, Observation, Observed, Period};

/// How many of its newest slots tell how long a schedule takes.
const NEWEST: usize = 20;

/// What a catalog has measured.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// How long a slot of a schedule and database takes, from the first content to the last manifest: the longest of
    /// the newest twenty.
    pub durations: BTreeMap<(Name, Name), Period>,
    /// The size of each database.
    pub sizes: BTreeMap<Name, Bytes>,
    /// The newest drill of each plan.
    pub drills: BTreeMap<Name, DrillRecord>,
}

impl Measured {
    /// Takes it from what was seen. What could not be read is not measured.
    #[must_use]
    pub fn of(observed: &Observed) -> Self {
        let catalog = match &observed.catalog {
            Observation::Known(CatalogState::Present(facts)) => Some(facts.as_ref()),
            Observation::Known(CatalogState::Absent) | Observation::Unreachable(_) => None,
        };
        let sizes = observed.servers.iter().filter_map(|(name, server)| Some((name.clone(), server.known()?.size)));
        Self {
            durations: catalog.map(|facts| durations(&facts.backups)).unwrap_or_default(),
            sizes: sizes.collect(),
            drills: catalog.map(|facts| facts.drills.clone()).unwrap_or_default(),
        }
    }
}

/// When each slot's first content was taken, and its last manifest written.
type Slots = BTreeMap<Instant, (Instant, Instant)>;

/// A slot begins with its first content and ends with its last manifest: its backups are made one after another.
fn durations(backups: &[Backup]) -> BTreeMap<(Name, Name), Period> {
    let mut slots: BTreeMap<(&Name, &Name), Slots> = BTreeMap::new();
    for backup in backups {
        let Some(database) = &backup.database else { continue };
        let of = slots.entry((&backup.schedule, database)).or_default();
        let (begin, end) = of.entry(backup.slot).or_insert((backup.consistent_at, backup.completed_at));
        *begin = (*begin).min(backup.consistent_at);
        *end = (*end).max(backup.completed_at);
    }
    let longest =
        |slots: &Slots| slots.values().rev().take(NEWEST).map(|(begin, end)| Period::between(*begin, *end)).max();
    slots
        .iter()
        .filter_map(|((schedule, database), slots)| Some((((*schedule).clone(), (*database).clone()), longest(slots)?)))
        .collect()
}
