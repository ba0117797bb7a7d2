//! From what a test assumes to what a planner looks at: the tenants that live, the backups that are there, what can be
//! read and what cannot. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::Diagnostic;
use crate::domain::{
    Address, Applied, Backup, Bytes, CatalogFacts, CatalogState, ConfigurationSeen, Desired, DrillRecord, Instant,
    Name, Narrowing, Observation, Observed, Period, ResolvedTenants, Section, ServerFacts, Signs, StoreFacts,
    StoreMarker, Tenant, TenantSelector,
};
use crate::plan::Request;
use crate::policy::codes as policy_codes;
use crate::policy::decode::Context;
use crate::policy::text::shown;
use crate::policy::{LiveTenants, PolicySet};

use super::codes;
use super::history::{History, history};
use super::names;
use super::raw;
use super::value::At;

/// The version of the catalog that is there, and that the planner writes: the same, so that none is migrated.
const CATALOG_VERSION: i64 = 1;
/// The version of every server: one that every kind of backup serves.
const SERVER_VERSION: u32 = 170_000;
/// The size of every database.
const DATABASE_SIZE: Bytes = Bytes(1 << 30);
/// How long a restore of a drill took.
const DRILL_TAKES: Period = Period::minutes(1);
/// Why something cannot be read.
const SAYS_SO: &str = "the test says so";

/// Everything a plan is made of.
pub(super) struct World {
    /// What the policies ask for, with the tenants that can be seen.
    pub desired: Desired,
    /// What can be seen.
    pub observed: Observed,
    /// What the planner is asked.
    pub request: Request,
    /// What resolving the tenants found.
    pub found: Vec<Diagnostic>,
    /// Every tenant that lives, also in databases that cannot be read.
    pub living: Desired,
}

impl World {
    /// Returns the backups that the catalog shows; none where it cannot be read.
    pub fn backups(&self) -> impl Iterator<Item = &Backup> {
        let facts = match &self.observed.catalog {
            Observation::Known(CatalogState::Present(facts)) => Some(facts),
            _ => None,
        };
        facts.into_iter().flat_map(|facts| &facts.backups)
    }

    /// Returns whether the catalog can be read.
    pub const fn sees_catalog(&self) -> bool {
        matches!(self.observed.catalog, Observation::Known(_))
    }
}

/// Makes the world of a test at its instant.
pub(super) fn world(test: &At<raw::Test>, now: Instant, policies: &PolicySet, cx: &mut Context<'_>) -> World {
    let (base, _) = policies.desired(&BTreeMap::new());
    let unreachable = unreachable(test, &base, cx);
    let mut tenants = tenants(test, &base, cx);
    let (living, _) = policies.desired(&tenants);
    for (database, live) in &mut tenants {
        if unreachable.contains(&Address::of(Section::Database, database.clone())) {
            *live = LiveTenants::Unknown(SAYS_SO.to_owned());
        }
    }
    let (desired, found) = policies.desired(&tenants);
    let past = history(test.value.history.as_deref().unwrap_or_default(), now, &living, cx);
    let applied = test.value.applied != Some(false);
    if !applied {
        for key in ["history", "drills"].into_iter().filter(|key| test.places.has(key)) {
            let message = format!("nothing was applied before this test, so it cannot have a `{key}`");
            let help = format!("remove `{key}`, or `applied: false`");
            cx.error(policy_codes::CONFLICT, test.places.get(key), message, "nobody made them", help);
        }
    }
    let drills = drills(test, now, &base, cx);
    let observed = observe(&desired, &living, past, drills, applied, &unreachable, now);
    let request = Request {
        now,
        simulated: false,
        tool_version: "test".to_owned(),
        catalog_version: CATALOG_VERSION,
        identities: desired.stores.keys().cloned().collect(),
        on_demand: None,
        asked_for: None,
        requested: BTreeSet::new(),
        requested_drills: BTreeSet::new(),
        narrowing: Narrowing::default(),
        allow_delete: None,
        with_kept: true,
    };
    World { desired, observed, request, found, living }
}

fn unreachable(test: &At<raw::Test>, base: &Desired, cx: &mut Context<'_>) -> BTreeSet<Address> {
    let mut all = BTreeSet::new();
    for at in test.value.unreachable.iter().flatten() {
        let address = &at.value.0;
        if !matches!(address.section(), Section::Catalog | Section::Store | Section::Database) {
            let message = format!("`{address}` is nothing that is read over a network");
            let help = "write catalog, or the address of a store or a database, as in store.primary";
            cx.bad_value(at.place, message, help);
        } else if names::refer_to(address, at.place, base, cx) {
            all.insert(address.clone());
        }
    }
    all
}

/// Returns the tenants of every database that can have some; those that the test does not name have none.
fn tenants(test: &At<raw::Test>, base: &Desired, cx: &mut Context<'_>) -> BTreeMap<Name, LiveTenants> {
    let selectors = base.databases.iter().filter_map(|(name, spec)| Some((name, spec.tenants.as_ref()?)));
    let mut all: BTreeMap<Name, LiveTenants> =
        selectors.map(|(name, _)| (name.clone(), LiveTenants::Known(Vec::new()))).collect();
    for item in test.value.tenants.iter().flat_map(|named| &named.0) {
        if !names::refer(Section::Database, &item.name, item.place, base, cx) {
            continue;
        }
        let Some(selector) = base.databases.get(&item.name).and_then(|spec| spec.tenants.as_ref()) else {
            let message = format!("the database `{}` has no tenants by its policy", item.name);
            let help = format!("give database.{} a `tenants` key, or remove this one", item.name);
            cx.error(policy_codes::NO_TENANTS, item.place, message, "it has no `tenants`", help);
            continue;
        };
        let mut living: Vec<Tenant> = Vec::new();
        for (index, tenant) in item.raw.iter().flatten().enumerate() {
            let Some((slug, schema)) = slug_and_schema(tenant) else { continue };
            if living.iter().any(|other| other.slug == slug) {
                let place = item.places.get(&format!("[{index}]"));
                let message = format!("the tenant `{}` is listed twice", shown(slug));
                cx.error(policy_codes::LISTED_TWICE, place, message, "the second time", "remove one of them");
                continue;
            }
            let schema = schema.map_or_else(|| schema_of(selector, slug), str::to_owned);
            living.push(Tenant { slug: slug.to_owned(), schema, id: None });
        }
        living.sort();
        all.insert(item.name.clone(), LiveTenants::Known(living));
    }
    all
}

fn slug_and_schema(tenant: &raw::Tenant) -> Option<(&str, Option<&str>)> {
    match tenant {
        raw::Tenant::Slug(slug) => Some((&slug.0, None)),
        raw::Tenant::Whole(whole) => Some((&whole.slug.as_ref()?.0, whole.schema.as_ref().map(|s| s.0.as_str()))),
    }
}

fn schema_of(selector: &TenantSelector, slug: &str) -> String {
    match selector {
        TenantSelector::Schemas(pattern) => pattern.replacen('*', slug, 1),
        TenantSelector::Query(_) => slug.to_owned(),
    }
}

fn drills(test: &At<raw::Test>, now: Instant, base: &Desired, cx: &mut Context<'_>) -> BTreeMap<Name, DrillRecord> {
    let mut newest: BTreeMap<Name, DrillRecord> = BTreeMap::new();
    for drill in test.value.drills.iter().flatten() {
        let (Some(plan), Some(at)) = (&drill.value.plan, drill.value.at) else { continue };
        if !names::refer(Section::RecoveryPlan, plan, drill.places.get("plan"), base, cx) {
            continue;
        }
        if at.0 > now {
            let message = format!("this drill is after {now}, the clock of the test");
            let help = "a history is of the past: take an earlier instant";
            cx.error(codes::NO_HISTORY, drill.places.get("at"), message, "not yet", help);
        }
        let Some(document) = base.documents.get(&Address::of(Section::RecoveryPlan, plan.clone())) else { continue };
        let before = newest.get(plan);
        let attempts = before.map_or(0, |record| record.attempts) + 1;
        if before.is_none_or(|record| record.at <= at.0) {
            let record = DrillRecord {
                at: at.0,
                passed: drill.value.passed != Some(false),
                plan_digest: document.digest,
                restore: DRILL_TAKES,
                backup_age: Period::seconds(0),
                attempts,
            };
            newest.insert(plan.clone(), record);
        } else if let Some(record) = newest.get_mut(plan) {
            record.attempts = attempts;
        }
    }
    newest
}

fn observe(
    desired: &Desired,
    living: &Desired,
    past: History,
    drills: BTreeMap<Name, DrillRecord>,
    applied: bool,
    unreachable: &BTreeSet<Address>,
    now: Instant,
) -> Observed {
    let reachable = |section, name: &Name| !unreachable.contains(&Address::of(section, name.clone()));
    let mut stores = BTreeMap::new();
    for name in desired.stores.keys() {
        let marker = StoreMarker { format_version: "1.0".to_owned(), store_id: name.to_string() };
        let facts = StoreFacts {
            marker: applied.then_some(marker),
            manifests: past.backups.values().filter(|backup| &backup.store == name).count() as u64,
            ..StoreFacts::default()
        };
        stores.insert(name.clone(), seen(reachable(Section::Store, name), facts));
    }
    let mut servers = BTreeMap::new();
    for name in desired.databases.keys() {
        let tenants = match living.tenants.get(name) {
            Some(ResolvedTenants::Known(tenants)) => Some(tenants.iter().map(|(tenant, _)| tenant.clone()).collect()),
            _ => None,
        };
        let facts = ServerFacts {
            version_num: SERVER_VERSION,
            datname: name.to_string(),
            size: DATABASE_SIZE,
            tenants,
            tenants_unread: None,
            configuration: ConfigurationSeen::Assumed,
        };
        servers.insert(name.clone(), seen(reachable(Section::Database, name), facts));
    }
    let catalog = if unreachable.contains(&Address::once(Section::Catalog)) {
        Observation::Unreachable(SAYS_SO.to_owned())
    } else if applied {
        Observation::Known(CatalogState::Present(Box::new(catalog(desired, past, drills, now))))
    } else {
        Observation::Known(CatalogState::Absent)
    };
    Observed { catalog, stores, servers, clocks: Vec::new(), signs: Signs::default() }
}

fn seen<T>(reachable: bool, facts: T) -> Observation<T> {
    if reachable { Observation::Known(facts) } else { Observation::Unreachable(SAYS_SO.to_owned()) }
}

/// A catalog in which everything is applied as the policies have it, so that nothing but time asks for work.
fn catalog(desired: &Desired, past: History, drills: BTreeMap<Name, DrillRecord>, now: Instant) -> CatalogFacts {
    let mut applied = BTreeMap::new();
    for (address, document) in &desired.documents {
        let schedule = address.name().filter(|_| address.section() == Section::Schedule);
        // Slots at or before this instant are nobody's fault; the first of the history is one that was taken.
        let since =
            schedule.and_then(|name| past.since.get(name)).map_or(now, |first| Period::seconds(1).before(*first));
        applied.insert(
            address.clone(),
            Applied {
                body: document.body.clone(),
                digest: document.digest,
                since,
                archived_at: None,
                retention: schedule.and_then(|name| desired.schedules.get(name)).map(|spec| spec.retention.clone()),
            },
        );
    }
    CatalogFacts {
        version: CATALOG_VERSION,
        lineage: "test".to_owned(),
        serial: 1,
        simulated: None,
        applied,
        backups: past.backups.into_values().collect(),
        drills,
        progress: Vec::new(),
        garbage: Vec::new(),
        canceled: Vec::new(),
        leased: Vec::new(),
        stores: desired.stores.keys().map(|name| (name.clone(), name.to_string())).collect(),
        removals: BTreeMap::new(),
        tenants: Vec::new(),
    }
}
