//! What a catalog and the servers have measured, as proofs count on it. Pure.

use std::collections::BTreeMap;

use crate::domain::{
    Address, Backup, Bytes, CatalogState, Desired, Document, DrillRecord, Instant, Name, Observation, Observed, Period,
    Section,
};

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

/// Returns the recovery plans that differ from what was applied while their approval does not: they are being changed
/// `now`, and nobody approved that. Where there is no catalog, nothing is said.
#[must_use]
pub fn changed_plans(desired: &Desired, observed: &Observed, now: Instant) -> BTreeMap<Name, Instant> {
    let Observation::Known(CatalogState::Present(facts)) = &observed.catalog else { return BTreeMap::new() };
    let changed = |address: &Address, document: &Document| {
        let (mut before, mut after) = (facts.applied.get(address)?.body.clone(), document.body.clone());
        let approval = |body: &mut serde_json::Value| body.as_object_mut().and_then(|body| body.remove("approval"));
        let approvals = (approval(&mut before), approval(&mut after));
        (approvals.0 == approvals.1 && before != after).then(|| address.name().cloned()).flatten()
    };
    let plans = desired.documents.iter().filter(|(address, _)| address.section() == Section::RecoveryPlan);
    plans.filter_map(|(address, document)| Some((changed(address, document)?, now))).collect()
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
