//! What the planner looks at: policies and world side by side, with the questions every family of work asks.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::tenancy::{Tenures, tenures};
use super::{Request, narrow, on_demand};
use crate::domain::{
    Address, Backup, BackupId, CatalogFacts, CatalogSigns, Desired, HeldReason, Instant, Name, Observation, Observed,
    ResolvedTenants, RetentionRule, Scope, Section, ServerFacts, StoreFacts,
};
use crate::retention::Tenure;

/// The oldest and newest server major versions that logical backups serve.
const SERVED_MAJORS: std::ops::RangeInclusive<u32> = 14..=18;

/// Policies and world side by side.
pub struct View<'a> {
    pub desired: &'a Desired,
    pub observed: &'a Observed,
    pub catalog: Option<&'a CatalogFacts>,
    pub request: &'a Request,
    missing: HashSet<&'a BackupId>,
    leased: HashSet<&'a BackupId>,
    doubted: HashSet<&'a BackupId>,
    protected: HashSet<&'a Address>,
    tenures: Tenures<'a>,
    /// The places of the backups in the order of their ids, made when first asked for: with nothing to do, nobody asks.
    by_id: OnceCell<Vec<usize>>,
    /// What other backups need, as shared archive or parent, and whether it can be counted on.
    needed: HashMap<&'a BackupId, Eligible>,
    /// Whether all of that can be counted on, as nearly always: then no backup has to look for its own.
    needs_met: bool,
    groups: BTreeMap<GroupKey<'a>, Vec<&'a Backup>>,
    by_scope: HashMap<(Option<&'a Name>, &'a Scope), Vec<&'a Backup>>,
    /// The rules of backups that are asked for, made when first asked for.
    on_demand: OnceCell<(RetentionRule, RetentionRule)>,
}

/// What retention and slots are counted by: a backup belongs to exactly one schedule and scope of a database.
pub type GroupKey<'a> = (&'a Name, Option<&'a Name>, &'a Scope);

/// Whether a backup can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligible {
    /// It can be restored, as far as anyone knows.
    Yes,
    /// It is quarantined, or what it needs is.
    Quarantined,
    /// Its manifest, or that of what it needs, is gone.
    Missing,
    /// It is tombstoned.
    Tombstoned,
}

impl<'a> View<'a> {
    /// Indexes the world.
    pub fn new(
        desired: &'a Desired,
        observed: &'a Observed,
        catalog: Option<&'a CatalogFacts>,
        request: &'a Request,
    ) -> Self {
        let mut missing: HashSet<&BackupId> =
            observed.stores.values().filter_map(Observation::known).flat_map(|facts| facts.missing.iter()).collect();
        let objects = observed.signs.stores.values().map(|signs| &signs.objects);
        missing.extend(objects.flat_map(|objects| &objects.damaged).map(|damage| &damage.backup));
        let edits = observed.signs.catalog.as_ref().and_then(Observation::known);
        missing.extend(edits.into_iter().flat_map(|edits| &edits.failed_looks).map(|look| &look.backup));
        let doubted = edits.into_iter().flat_map(|edits| &edits.executions).collect();
        let backups = catalog.map_or(&[][..], |facts| &facts.backups);
        let needed = needed(backups, &missing);
        let needs_met = needed.values().all(|state| *state == Eligible::Yes);
        let (groups, by_scope) = grouped(backups);
        let mut protected: HashSet<&Address> = desired.protected.iter().collect();
        // Also of what left the policies: else removing a protected thing would be a way to delete it.
        let applied = catalog.into_iter().flat_map(|catalog| &catalog.applied);
        let protect =
            |applied: &crate::domain::Applied| applied.body.get("protect") == Some(&serde_json::Value::Bool(true));
        protected.extend(applied.filter(|(_, applied)| protect(applied)).map(|(address, _)| address));
        let leased = catalog.into_iter().flat_map(|catalog| &catalog.leased).collect();
        let by_id = OnceCell::new();
        Self {
            desired,
            observed,
            catalog,
            request,
            missing,
            leased,
            doubted,
            protected,
            tenures: tenures(desired, catalog),
            by_id,
            needed,
            needs_met,
            groups,
            by_scope,
            on_demand: OnceCell::new(),
        }
    }

    /// Returns the rule in force for backups that are asked for by what they are of, and the one applied before.
    pub fn on_demand_rules(&self) -> &(RetentionRule, RetentionRule) {
        self.on_demand.get_or_init(|| on_demand::rules(self))
    }

    /// Returns the instant the plan is made for.
    pub const fn now(&self) -> Instant {
        self.request.now
    }

    /// Returns every backup the catalog holds.
    pub fn backups(&self) -> &'a [Backup] {
        self.catalog.map_or(&[], |facts| &facts.backups)
    }

    /// Returns the groups of backups.
    pub const fn groups(&self) -> &BTreeMap<GroupKey<'a>, Vec<&'a Backup>> {
        &self.groups
    }

    /// Returns the backups of one schedule and scope of a database.
    pub fn group<'s>(&'s self, schedule: &'s Name, database: Option<&'s Name>, scope: &'s Scope) -> &'s [&'a Backup] {
        self.groups.get(&(schedule, database, scope)).map_or(&[], Vec::as_slice)
    }

    /// Returns the backups of one scope of a database, of whichever schedule.
    pub fn of_scope<'s>(&'s self, database: &'s Name, scope: &'s Scope) -> &'s [&'a Backup] {
        self.by_scope.get(&(Some(database), scope)).map_or(&[], Vec::as_slice)
    }

    /// Returns a backup by its id.
    pub fn backup(&self, id: &BackupId) -> Option<&'a Backup> {
        let backups = self.backups();
        let places = self.by_id.get_or_init(|| {
            let mut places: Vec<usize> = (0..backups.len()).collect();
            places.sort_unstable_by(|a, b| backups[*a].id.cmp(&backups[*b].id));
            places
        });
        let at = places.binary_search_by(|place| backups[*place].id.cmp(id)).ok()?;
        Some(&backups[places[at]])
    }

    /// Returns what people did to the catalog's rows, where that is known.
    pub fn edits(&self) -> Option<&'a CatalogSigns> {
        self.observed.signs.catalog.as_ref().and_then(Observation::known)
    }

    /// Returns why nothing of a backup is deleted, where the catalog's own word for it cannot be taken: its row was
    /// changed by hand, or the rule it is kept by was and no policy says what it should be.
    pub fn doubt(&self, backup: &Backup) -> Option<&'static str> {
        if self.doubted.contains(&backup.id) {
            return Some("its row in the catalog was changed by hand");
        }
        if self.desired.schedules.contains_key(&backup.schedule) {
            return None;
        }
        let sign = self.edits()?.documents.get(&schedule_address(&backup.schedule))?;
        let rule = !sign.intact || sign.edits.iter().any(|edit| edit.column == "retention");
        rule.then_some("the rule that keeps it was changed in the catalog by hand")
    }

    /// Returns whether the store's listing did not show the backup's manifest, or its objects are not as recorded.
    pub fn is_missing(&self, id: &BackupId) -> bool {
        self.missing.contains(id)
    }

    /// Returns whether a backup of this world can be counted on, with everything it needs.
    pub fn eligible(&self, backup: &Backup) -> Eligible {
        if backup.tombstoned_at.is_some() {
            return Eligible::Tombstoned;
        }
        let own = in_itself(backup, &self.missing);
        if self.needs_met {
            return own;
        }
        let others = [&backup.shared, &backup.parent].into_iter().flatten();
        let others = others.map(|id| self.needed.get(id).copied().unwrap_or(Eligible::Missing));
        std::iter::once(own).chain(others).find(|state| *state != Eligible::Yes).unwrap_or(Eligible::Yes)
    }

    /// Returns whether somebody reads the backup now.
    pub fn is_leased(&self, id: &BackupId) -> bool {
        self.leased.contains(id)
    }

    /// Returns what a store holds, or why that is not known.
    pub fn store(&self, name: &Name) -> Result<&'a StoreFacts, String> {
        match self.observed.stores.get(name) {
            Some(Observation::Known(facts)) => Ok(facts),
            Some(Observation::Unreachable(reason)) => Err(reason.clone()),
            None => Err("it was not looked at".to_owned()),
        }
    }

    /// Returns what a server says, or why there is nothing to work with.
    pub fn server(&self, name: &Name) -> Result<&'a ServerFacts, (HeldReason, String)> {
        match self.observed.servers.get(name) {
            Some(Observation::Known(facts)) => {
                let major = facts.version_num / 10_000;
                if SERVED_MAJORS.contains(&major) {
                    Ok(facts)
                } else {
                    let words = format!("the server is PostgreSQL {major}; logical backups serve 14 to 18");
                    Err((HeldReason::UnsupportedServer, words))
                }
            }
            Some(Observation::Unreachable(reason)) => {
                Err((HeldReason::DatabaseUnreachable, format!("the database could not be read: {reason}")))
            }
            None => Err((HeldReason::DatabaseUnreachable, "the database was not looked at".to_owned())),
        }
    }

    /// Returns the tenants of a database with their classes.
    pub fn tenants(&self, database: &Name) -> &'a [(crate::domain::Tenant, Option<Name>)] {
        match self.desired.tenants.get(database) {
            Some(ResolvedTenants::Known(tenants)) => tenants,
            _ => &[],
        }
    }

    /// Returns whether the tenant that a scope is of is still there, and since when it is not.
    pub fn tenure<'s>(&'s self, database: Option<&'s Name>, scope: &'s Scope) -> Tenure {
        let (Some(database), Scope::Tenant(slug)) = (database, scope) else { return Tenure::Lives };
        self.tenures.get(&(database, slug.as_str())).copied().unwrap_or_default()
    }

    /// Returns whether this kind of work is asked for at all: `changes`, `backups`, `retention`, `drills`.
    pub fn wants(&self, family: &str) -> bool {
        self.request.narrowing.only.as_deref().is_none_or(|only| only.split(',').any(|one| one == family))
    }

    /// Returns whether an address is inside the narrowing.
    pub fn in_target(&self, address: &Address) -> bool {
        narrow::in_target(&self.request.narrowing, address)
    }

    /// Returns why work on these things waits, where the policies pause one of them now.
    pub fn pause<'s>(&'s self, addresses: impl IntoIterator<Item = &'s Address>) -> Option<String> {
        let suspended = &self.desired.suspended;
        let on = |address: &'s Address| suspended.get(address).filter(|s| s.is_on(self.now())).map(|s| (address, s));
        let (address, suspension) = addresses.into_iter().find_map(on)?;
        let until = suspension.until.strftime("%Y-%m-%d %H:%M UTC");
        let why = suspension.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        Some(format!("{address} is suspended until {until}{why}"))
    }

    /// Returns the end of the newest pause of these things that is over: what lay in it was not missed.
    pub fn paused_until<'s>(&'s self, addresses: impl IntoIterator<Item = &'s Address>) -> Option<Instant> {
        let ends = addresses.into_iter().filter_map(|address| self.desired.suspended.get(address)).map(|s| s.until);
        ends.filter(|until| *until <= self.now()).max()
    }

    /// Returns the things that a backup belongs to: what is said of one of them is said of the backup.
    pub fn things_of(&self, backup: &Backup) -> Vec<Address> {
        let mut things = vec![schedule_address(&backup.schedule), Address::of(Section::Store, backup.store.clone())];
        things.extend(backup.database.clone().map(|name| Address::of(Section::Database, name)));
        let retention = self.desired.schedules.get(&backup.schedule).and_then(|spec| spec.retention_name.clone());
        let on_demand = backup.schedule.is_on_demand() && !self.desired.schedules.contains_key(&backup.schedule);
        let retention = retention.or_else(|| on_demand.then(Name::on_demand));
        things.extend(retention.map(|name| Address::of(Section::Retention, name)));
        things
    }

    /// Returns whether a backup is protected: by its own pin, or by a thing it belongs to that carries `protect`, in
    /// the policies or as last applied. Taking the key away frees nothing before that change was applied.
    pub fn protects(&self, backup: &Backup) -> bool {
        // Asked of every backup, and nearly always of a world in which nothing is protected.
        let by_thing = || self.things_of(backup).iter().any(|address| self.protected.contains(address));
        backup.protected || !self.protected.is_empty() && by_thing()
    }

    /// Returns whether a thing of the policies is, or will be by this very plan, in the catalog as the policies have
    /// it. Work of a thing that is not must wait: it would run under rules that nobody applied.
    pub fn is_applied(&self, address: &Address) -> bool {
        if self.wants("changes") && self.in_target(address) {
            return true;
        }
        let wanted = self.desired.documents.get(address).map(|document| document.digest);
        let applied = self.catalog.and_then(|facts| facts.applied.get(address));
        applied.is_some_and(|applied| applied.archived_at.is_none() && Some(applied.digest) == wanted)
    }
}

/// Returns the address of a schedule.
pub fn schedule_address(name: &Name) -> Address {
    Address::of(Section::Schedule, name.clone())
}

/// Returns whether a backup can be counted on, but for what it needs. One that is tombstoned while something names it,
/// which only a fault can bring about, is restorable all the same.
fn in_itself(backup: &Backup, missing: &HashSet<&BackupId>) -> Eligible {
    if backup.quarantine.is_some() {
        Eligible::Quarantined
    } else if missing.contains(&backup.id) {
        Eligible::Missing
    } else {
        Eligible::Yes
    }
}

/// Looks at everything that other backups need. What is not there at all is missing.
fn needed<'a>(backups: &'a [Backup], missing: &HashSet<&BackupId>) -> HashMap<&'a BackupId, Eligible> {
    let mut needed: HashMap<&BackupId, Option<Eligible>> = HashMap::new();
    let mut newest: Option<&BackupId> = None;
    for id in backups.iter().flat_map(|backup| [&backup.shared, &backup.parent]).flatten() {
        // Neighbours mostly name the same.
        if newest != Some(id) {
            needed.entry(id).or_default();
            newest = Some(id);
        }
    }
    // What tenants share is nearly always all that others need. Ids are looked up one by one, so the others' are looked at
    // only where something is left that nobody has found.
    let mut left = needed.len();
    for shared in [true, false] {
        for backup in backups.iter().filter(|backup| (backup.scope == Scope::Shared) == shared) {
            if left == 0 {
                break;
            }
            if let Some(state) = needed.get_mut(&backup.id) {
                left -= usize::from(state.is_none());
                *state = Some(in_itself(backup, missing));
            }
        }
    }
    needed.into_iter().map(|(id, state)| (id, state.unwrap_or(Eligible::Missing))).collect()
}

type Groups<'a> = BTreeMap<GroupKey<'a>, Vec<&'a Backup>>;
type ByScope<'a> = HashMap<(Option<&'a Name>, &'a Scope), Vec<&'a Backup>>;

/// Sorts backups into their groups and scopes. A million of them have a few thousand keys.
fn grouped(backups: &[Backup]) -> (Groups<'_>, ByScope<'_>) {
    let mut tables: HashMap<(&Name, Option<&Name>), usize> = HashMap::new();
    let mut places: Vec<HashMap<&Scope, usize>> = Vec::new();
    let mut newest: Option<((&Name, Option<&Name>), usize)> = None;
    let mut members: Vec<(GroupKey<'_>, Vec<&Backup>)> = Vec::new();
    for backup in backups {
        let owner = (&backup.schedule, backup.database.as_ref());
        // Neighbours are mostly of one schedule and database, whose names they share.
        let table = newest.filter(|(of, _)| *of == owner).map(|(_, table)| table).unwrap_or_else(|| {
            *tables.entry(owner).or_insert_with(|| {
                places.push(HashMap::new());
                places.len() - 1
            })
        });
        newest = Some((owner, table));
        let place = *places[table].entry(&backup.scope).or_insert_with(|| {
            members.push(((owner.0, owner.1, &backup.scope), Vec::new()));
            members.len() - 1
        });
        members[place].1.push(backup);
    }
    let mut by_scope: ByScope<'_> = HashMap::with_capacity(members.len());
    for ((_, database, scope), group) in &members {
        by_scope.entry((*database, scope)).or_default().extend(group);
    }
    (members.into_iter().collect(), by_scope)
}
