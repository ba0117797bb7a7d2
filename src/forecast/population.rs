//! Ten thousand tenants as the few that differ: tenants with the same class, the same covering schedules and the same
//! history have the same future, so that one of them is simulated and counts for all. Pure.
//!
//! Two tenants have the same history where their backups are of the same slots and in the same state. The seconds
//! between their consistency points within one slot are taken of the one that stands for the others; sizes are summed,
//! not taken of it. A tenant that a drill will sample is alone: the floor of the newest drilled backup is its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use globset::{Glob, GlobMatcher};

use crate::domain::{
    Backup, BackupId, BackupType, CatalogFacts, Desired, Digest, Name, ResolvedTenants, Scope, Tenant, TenantFilter,
    Verification, sha256,
};

/// A tenant of a database, by slug.
pub(super) type Who = (Name, String);

/// How many tenants nobody has counted there are of each class; offline, where a placeholder stands for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Of these classes.
    pub by_class: BTreeMap<Name, u64>,
    /// Of every other one, and of none.
    pub otherwise: Option<u64>,
}

/// The tenants that stand for all.
#[derive(Debug, Clone, Default)]
pub(super) struct Population {
    /// What each set of policies asks for, with these tenants alone.
    pub sides: Vec<Desired>,
    /// What the catalog holds of them, and of everything that is no tenant's.
    pub facts: Option<CatalogFacts>,
    /// How many each of them stands for.
    pub weights: HashMap<Who, u64>,
    /// The bytes of all backups that one of these stands for.
    pub bytes: HashMap<BackupId, u64>,
}

/// One tenant while it is being grouped.
#[derive(Default)]
struct Candidate<'a> {
    history: Vec<&'a Backup>,
    key: Vec<u8>,
}

/// Groups the tenants of all sides and of the catalog together, so that all sides simulate the same ones.
pub(super) fn group(
    sides: &[&Desired],
    facts: Option<&CatalogFacts>,
    alone: &BTreeSet<Who>,
    counts: Option<&Counts>,
) -> Population {
    let mut all: BTreeMap<Who, Candidate<'_>> = BTreeMap::new();
    for side in sides {
        let coverage = Coverage::of(side);
        for (database, tenant, class) in tenants(side) {
            let key = &mut all.entry((database.clone(), tenant.slug.clone())).or_default().key;
            coverage.describe(database, &tenant.slug, class, key);
        }
        // A tenant that this side does not know has nothing written here, and still differs from one that it knows.
        all.values_mut().for_each(|candidate| candidate.key.push(0xff));
    }
    let mut rest = Vec::new();
    for backup in facts.into_iter().flat_map(|facts| &facts.backups) {
        match (&backup.database, &backup.scope) {
            (Some(database), Scope::Tenant(slug)) => {
                all.entry((database.clone(), slug.clone())).or_default().history.push(backup);
            }
            _ => rest.push(backup),
        }
    }
    let leased: BTreeSet<&BackupId> = facts.into_iter().flat_map(|facts| &facts.leased).collect();
    let mut groups: BTreeMap<(Name, Digest), Vec<Who>> = BTreeMap::new();
    let gone: HashMap<(&Name, &str), crate::domain::Instant> = facts
        .into_iter()
        .flat_map(|facts| &facts.tenants)
        .filter_map(|record| Some(((&record.database, record.slug.as_str()), record.offboarded_at?)))
        .collect();
    for (who, candidate) in &mut all {
        // The clock of a tenant that is gone is its own.
        if let Some(at) = gone.get(&(&who.0, who.1.as_str())) {
            candidate.key.extend(at.as_second().to_be_bytes());
        }
        candidate.history.sort_by(|a, b| (&a.schedule, a.slot, &a.id).cmp(&(&b.schedule, b.slot, &b.id)));
        for backup in &candidate.history {
            shape(backup, leased.contains(&backup.id), &mut candidate.key);
        }
        if alone.contains(who) {
            candidate.key.extend(who.1.as_bytes());
        }
        groups.entry((who.0.clone(), sha256(&candidate.key))).or_default().push(who.clone());
    }
    let mut population = Population::default();
    let mut kept: Vec<Backup> = rest.into_iter().cloned().collect();
    for members in groups.values() {
        let Some(first) = members.first() else { continue };
        population.weights.insert(first.clone(), members.len() as u64);
        let standing = all.get(first).map_or(&[][..], |candidate| &candidate.history);
        let mut sums = vec![0_u64; standing.len()];
        for member in members {
            let history = all.get(member).map_or(&[][..], |candidate| &candidate.history);
            for (sum, backup) in sums.iter_mut().zip(history) {
                *sum = sum.saturating_add(backup.size.0);
            }
        }
        for (backup, sum) in standing.iter().zip(sums) {
            population.bytes.insert(backup.id.clone(), sum);
            kept.push((*backup).clone());
        }
    }
    for side in sides {
        population.sides.push(reduced(side, &population.weights));
    }
    if let (Some(counts), Some(side)) = (counts, sides.last()) {
        population.count(counts, side);
    }
    population.facts = facts.map(|facts| CatalogFacts { backups: kept, ..without_backups(facts) });
    population
}

impl Population {
    /// Returns how many scopes one stands for.
    pub fn weight(&self, database: Option<&Name>, scope: &Scope) -> u64 {
        match (database, scope) {
            (Some(database), Scope::Tenant(slug)) => {
                self.weights.get(&(database.clone(), slug.clone())).copied().unwrap_or(1)
            }
            _ => 1,
        }
    }

    /// Gives placeholders the numbers somebody named: the first group of each class gets them, further ones of the
    /// class, which other schedules cover, stand for one tenant each.
    fn count(&mut self, counts: &Counts, side: &Desired) {
        let mut seen: BTreeSet<(&Name, Option<&Name>)> = BTreeSet::new();
        for (database, tenant, class) in tenants(side) {
            let Some(weight) = self.weights.get_mut(&(database.clone(), tenant.slug.clone())) else { continue };
            let count = class.and_then(|class| counts.by_class.get(class).copied()).or(counts.otherwise).unwrap_or(1);
            *weight = if seen.insert((database, class)) { count } else { 1 };
        }
    }
}

/// Returns every tenant of a side that is known.
pub(super) fn tenants(side: &Desired) -> impl Iterator<Item = (&Name, &Tenant, Option<&Name>)> {
    side.tenants.iter().flat_map(|(database, tenants)| {
        let known = match tenants {
            ResolvedTenants::Known(known) => known.as_slice(),
            ResolvedTenants::Unknown(_) => &[],
        };
        known.iter().map(move |(tenant, class)| (database, tenant, class.as_ref()))
    })
}

fn reduced(side: &Desired, weights: &HashMap<Who, u64>) -> Desired {
    let stay = |database: &Name, tenant: &Tenant| weights.contains_key(&(database.clone(), tenant.slug.clone()));
    let mut kept: BTreeMap<Name, ResolvedTenants> =
        side.tenants.keys().map(|database| (database.clone(), ResolvedTenants::Known(Vec::new()))).collect();
    for (database, tenant, class) in tenants(side).filter(|(database, tenant, _)| stay(database, tenant)) {
        if let Some(ResolvedTenants::Known(list)) = kept.get_mut(database) {
            list.push((tenant.clone(), class.cloned()));
        }
    }
    let mut side = Desired { tenants: BTreeMap::new(), ..side.clone() };
    side.tenants = kept;
    side
}

fn without_backups(facts: &CatalogFacts) -> CatalogFacts {
    CatalogFacts {
        applied: facts.applied.clone(),
        progress: facts.progress.clone(),
        ..super::world::World::frame(facts)
    }
}

/// Writes down what decides over a backup's future, except the second within its slot at which it was taken.
fn shape(backup: &Backup, leased: bool, key: &mut Vec<u8>) {
    let second = |instant: Option<crate::domain::Instant>| instant.map_or(i64::MIN, |i| i.as_second()).to_be_bytes();
    key.extend(backup.schedule.as_str().as_bytes());
    key.push(0);
    key.extend(second(Some(backup.slot)));
    key.extend(second(backup.purge_after));
    key.extend(second(backup.drilled_at));
    key.extend(second(backup.locked_until));
    key.extend(second(backup.pinned_until));
    key.extend(backup.store.as_str().as_bytes());
    key.extend([
        u8::from(backup.tombstoned_at.is_some()),
        u8::from(backup.verification >= Verification::Checksum),
        u8::from(backup.quarantine.is_some()),
        u8::from(backup.protected),
        u8::from(leased),
    ]);
    for needed in [&backup.shared, &backup.parent] {
        key.extend(needed.as_ref().map_or("", |id| id.as_str()).as_bytes());
        key.push(0);
    }
}

/// Which schedules cover which tenants.
struct Coverage<'a> {
    schedules: Vec<(&'a [Name], Takes<'a>)>,
}

enum Takes<'a> {
    All,
    Classes(&'a [Name]),
    Slugs(Vec<GlobMatcher>),
}

impl<'a> Coverage<'a> {
    fn of(side: &'a Desired) -> Self {
        let schedules = side.schedules.values().filter(|spec| spec.backup == BackupType::TenantData);
        let takes = |filter: &'a TenantFilter| match filter {
            TenantFilter::All => Takes::All,
            TenantFilter::Classes(classes) => Takes::Classes(classes),
            TenantFilter::Slugs(globs) => {
                let globs = globs.iter().filter_map(|glob| Glob::new(glob).ok());
                Takes::Slugs(globs.map(|glob| glob.compile_matcher()).collect())
            }
        };
        Self { schedules: schedules.map(|spec| (spec.databases.as_slice(), takes(&spec.tenants))).collect() }
    }

    fn describe(&self, database: &Name, slug: &str, class: Option<&Name>, key: &mut Vec<u8>) {
        key.extend(class.map_or("", Name::as_str).as_bytes());
        key.push(0);
        for (databases, takes) in &self.schedules {
            let taken = databases.contains(database)
                && match takes {
                    Takes::All => true,
                    Takes::Classes(classes) => class.is_some_and(|class| classes.contains(class)),
                    Takes::Slugs(globs) => globs.iter().any(|glob| glob.is_match(slug)),
                };
            key.push(u8::from(taken));
        }
    }
}
