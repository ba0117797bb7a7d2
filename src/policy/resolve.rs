//! From what the files say and the tenants that live to what is desired. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::diag::Diagnostic;
use crate::domain::{
    Address, BackupType, Desired, Document, Name, ResolvedTenants, Section, Tenant, TenantFilter, Timing,
    canonical_value, sha256,
};

use super::codes;
use super::globs::Globs;
use super::raw::Marks;
use super::set::{PolicySet, Thing};
use super::text::{Place, shown};

/// The tenants that a live database shows, or why they could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveTenants {
    /// The tenants found.
    Known(Vec<Tenant>),
    /// Why they could not be read.
    Unknown(String),
}

/// The tenants of a database with their classes, by slug.
type Classified<'a> = BTreeMap<&'a str, (&'a Tenant, Option<&'a Name>)>;

impl PolicySet {
    /// Resolves the set with the live tenants of each database that has a tenant selector; one that is missing in
    /// `tenants` counts as unknown, which is never taken for having none. Findings are about tenants only: what the
    /// files say was judged when they were read.
    #[must_use]
    pub fn desired(&self, tenants: &BTreeMap<Name, LiveTenants>) -> (Desired, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let globs: Vec<(&Name, u32, Globs)> = self
            .classes
            .iter()
            .map(|(name, thing)| (name, thing.spec.priority, Globs::new(&thing.spec.tenants)))
            .collect();
        let mut resolved = BTreeMap::new();
        let mut known: BTreeMap<&Name, Classified<'_>> = BTreeMap::new();
        let mut all_known = true;
        for (name, database) in self.databases.iter().filter(|(_, thing)| thing.spec.tenants.is_some()) {
            match tenants.get(name) {
                Some(LiveTenants::Known(live)) => {
                    let classified = self.classify(name, database.places.get("tenants"), live, &globs, &mut found);
                    let list = classified.values().map(|(tenant, class)| ((*tenant).clone(), class.cloned())).collect();
                    resolved.insert(name.clone(), ResolvedTenants::Known(list));
                    known.insert(name, classified);
                }
                other => {
                    all_known = false;
                    let reason = match other {
                        Some(LiveTenants::Unknown(reason)) => reason.clone(),
                        _ => "nobody asked the database for them".to_owned(),
                    };
                    resolved.insert(name.clone(), ResolvedTenants::Unknown(reason));
                }
            }
        }
        self.uncovered(&known, &mut found);
        if all_known && !known.is_empty() {
            self.patterns_without_tenants(&known, &mut found);
        }
        (self.with_tenants(resolved), found)
    }

    /// Gives each tenant the class with the lowest priority whose pattern matches its slug.
    fn classify<'a>(
        &'a self,
        database: &Name,
        place: Place,
        live: &'a [Tenant],
        globs: &[(&'a Name, u32, Globs)],
        found: &mut Vec<Diagnostic>,
    ) -> Classified<'a> {
        let mut classified = Classified::new();
        let mut without = Vec::new();
        for tenant in live {
            let slug = shown(&tenant.slug);
            if let Some((first, _)) = classified.get(tenant.slug.as_str()) {
                let message = format!(
                    "two tenants of `{database}` have the slug `{slug}`: the schemas `{}` and `{}`",
                    shown(&first.schema),
                    shown(&tenant.schema)
                );
                let help = "a tenant's slug is its identity: make the query or the pattern give each tenant its own";
                found.push(
                    Diagnostic::error(codes::SLUG_TWICE, message)
                        .at(self.sources.span(place), "tenants are found this way")
                        .help(help),
                );
                continue;
            }
            let mut matching: Vec<(u32, &Name)> = globs
                .iter()
                .filter(|(_, _, globs)| globs.matches(&tenant.slug))
                .map(|(name, priority, _)| (*priority, *name))
                .collect();
            matching.sort_unstable();
            if let [(first, a), (second, b), ..] = matching.as_slice()
                && first == second
            {
                let message = format!(
                    "the classes `{a}` and `{b}` have the same priority, and both match the tenant `{slug}` of `{database}`"
                );
                let finding = Diagnostic::error(codes::CLASSES_OVERLAP, message)
                    .at(self.sources.span(self.classes[*b].place), format!("`{b}` matches it"))
                    .related(self.sources.span(self.classes[*a].place), format!("so does `{a}`"))
                    .help("give one of them a lower number: it then wins");
                if !found.iter().any(|other| {
                    other.code == finding.code && other.span == finding.span && other.related == finding.related
                }) {
                    found.push(finding);
                }
            }
            let class = matching.first().map(|(_, name)| *name);
            if class.is_none() && !globs.is_empty() {
                without.push(tenant.slug.as_str());
            }
            classified.insert(&tenant.slug, (tenant, class));
        }
        if !without.is_empty() {
            let message = format!(
                "{} of `{database}` {} no class: {}",
                counted(without.len()),
                if without.len() == 1 { "matches" } else { "match" },
                listed(&without)
            );
            let help = "add a class with `tenants: [\"*\"]` and the highest priority number, so that none is left out";
            found.push(
                Diagnostic::warning(codes::TENANT_WITHOUT_CLASS, message)
                    .at(self.sources.span(place), "tenants are found this way")
                    .help(help),
            );
        }
        classified
    }

    /// Finds tenants that no schedule backs up by itself.
    fn uncovered(&self, known: &BTreeMap<&Name, Classified<'_>>, found: &mut Vec<Diagnostic>) {
        for (database, classified) in known {
            let schedules: Vec<(BackupType, Filter<'_>)> = self
                .schedules
                .values()
                .map(|thing| &thing.spec)
                .filter(|spec| {
                    spec.databases.contains(database)
                        && !matches!(spec.when.timing, Timing::OnRequest | Timing::OnChange)
                })
                .map(|spec| (spec.backup, Filter::of(&spec.tenants)))
                .collect();
            let covers = |slug: &str, class: Option<&Name>| {
                schedules.iter().any(|(backup, filter)| *backup != BackupType::TenantData || filter.takes(slug, class))
            };
            let without: Vec<&str> =
                classified.iter().filter(|(slug, (_, class))| !covers(slug, *class)).map(|(slug, _)| *slug).collect();
            if !without.is_empty() {
                let message = format!(
                    "{} of `{database}` {} covered by no schedule: {}",
                    counted(without.len()),
                    if without.len() == 1 { "is" } else { "are" },
                    listed(&without)
                );
                let help = format!("add a schedule for `{database}` that takes every tenant, or one for their class");
                let span = self.sources.span(self.databases[*database].place);
                found.push(
                    Diagnostic::warning(codes::TENANT_WITHOUT_SCHEDULE, message)
                        .at(span, "nothing backs them up")
                        .help(help),
                );
            }
        }
    }

    /// Finds patterns that match no tenant. Only where every database was read: unknown is not empty.
    fn patterns_without_tenants(&self, known: &BTreeMap<&Name, Classified<'_>>, found: &mut Vec<Diagnostic>) {
        let mut warn = |message: String, place: Place, help: &str| {
            found.push(
                Diagnostic::warning(codes::PATTERN_WITHOUT_TENANT, message)
                    .at(self.sources.span(place), "matches nobody")
                    .help(help),
            );
        };
        let slugs: BTreeSet<&str> = known.values().flat_map(|classified| classified.keys().copied()).collect();
        for (name, thing) in &self.classes {
            for (index, pattern) in thing.spec.tenants.iter().enumerate() {
                let globs = Globs::new(std::slice::from_ref(pattern));
                if !slugs.iter().any(|slug| globs.matches(slug)) {
                    let message = format!("the pattern `{}` of the class `{name}` matches no tenant", shown(pattern));
                    warn(
                        message,
                        thing.places.get(&format!("tenants[{index}]")),
                        "correct the pattern, or remove it until such tenants exist",
                    );
                }
            }
        }
        for (name, thing) in self.schedules.iter().filter(|(_, thing)| thing.spec.backup == BackupType::TenantData) {
            let tenants = || {
                known
                    .iter()
                    .filter(|(database, _)| thing.spec.databases.contains(database))
                    .flat_map(|(_, classified)| classified.values())
            };
            let help = "correct it, or remove it until such tenants exist";
            match &thing.spec.tenants {
                TenantFilter::All => {}
                TenantFilter::Slugs(patterns) => {
                    for (index, pattern) in patterns.iter().enumerate() {
                        let globs = Globs::new(std::slice::from_ref(pattern));
                        if !tenants().any(|(tenant, _)| globs.matches(&tenant.slug)) {
                            let message = format!(
                                "the pattern `{}` of the schedule `{name}` matches no tenant of its databases",
                                shown(pattern)
                            );
                            warn(message, thing.places.get(&format!("tenants[{index}]")), help);
                        }
                    }
                }
                TenantFilter::Classes(classes) => {
                    for (index, class) in classes.iter().enumerate() {
                        if !tenants().any(|(_, of)| *of == Some(class)) {
                            let message = format!(
                                "no tenant of the databases of the schedule `{name}` is in the class `{class}`"
                            );
                            warn(message, thing.places.get(&format!("tenants.class[{index}]")), help);
                        }
                    }
                }
            }
        }
    }

    fn with_tenants(&self, tenants: BTreeMap<Name, ResolvedTenants>) -> Desired {
        let mut documents = BTreeMap::new();
        self.document(Section::Store, &self.stores, &mut documents);
        self.document(Section::Database, &self.databases, &mut documents);
        self.document(Section::Class, &self.classes, &mut documents);
        self.document(Section::Retention, &self.retentions, &mut documents);
        self.document(Section::Schedule, &self.schedules, &mut documents);
        self.document(Section::RecoveryPlan, &self.recovery_plans, &mut documents);
        self.document(Section::Channel, &self.channels, &mut documents);
        if let Some(alerts) = &self.alerts {
            documents.insert(Address::once(Section::Alerts), self.written(alerts));
        }
        if let Some(guards) = &self.guards {
            documents.insert(Address::once(Section::Guards), self.written(guards));
        }
        Desired {
            stores: specs(&self.stores),
            databases: specs(&self.databases),
            classes: specs(&self.classes),
            retentions: specs(&self.retentions),
            schedules: specs(&self.schedules),
            recovery_plans: specs(&self.recovery_plans),
            channels: specs(&self.channels),
            alerts: self.alerts.as_ref().map(|thing| thing.spec.clone()),
            guards: self.guards.as_ref().map(|thing| thing.spec.clone()).unwrap_or_default(),
            moved: self.moved.iter().map(|thing| thing.spec.clone()).collect(),
            removed: self.removed.iter().map(|thing| thing.spec.clone()).collect(),
            suspended: self.marked(|marks| marks.suspended.clone()).collect(),
            protected: self.marked(|marks| marks.protected.then_some(())).map(|(address, ())| address).collect(),
            tolerated: self.tolerated(),
            documents,
            tenants,
        }
    }

    /// Returns the addresses of the things whose marks give something, with what they give.
    fn marked<'a, V: 'a>(
        &'a self,
        of: impl Fn(&Marks) -> Option<V> + Copy + 'a,
    ) -> impl Iterator<Item = (Address, V)> + 'a {
        fn all<'a, T, V>(
            section: Section,
            things: &'a BTreeMap<Name, Thing<T>>,
            of: impl Fn(&Marks) -> Option<V> + 'a,
        ) -> impl Iterator<Item = (Address, V)> + 'a {
            things.iter().filter_map(move |(name, thing)| Some((Address::of(section, name.clone()), of(&thing.marks)?)))
        }
        all(Section::Store, &self.stores, of)
            .chain(all(Section::Database, &self.databases, of))
            .chain(all(Section::Class, &self.classes, of))
            .chain(all(Section::Retention, &self.retentions, of))
            .chain(all(Section::Schedule, &self.schedules, of))
            .chain(all(Section::RecoveryPlan, &self.recovery_plans, of))
            .chain(all(Section::Channel, &self.channels, of))
    }

    fn document<T: Serialize>(
        &self,
        section: Section,
        things: &BTreeMap<Name, Thing<T>>,
        documents: &mut BTreeMap<Address, Document>,
    ) {
        for (name, thing) in things {
            documents.insert(Address::of(section, name.clone()), self.written(thing));
        }
    }

    fn written<T: Serialize>(&self, thing: &Thing<T>) -> Document {
        // The specs are plain data with text keys: writing them as JSON cannot fail.
        let mut body = serde_json::to_value(&thing.spec).unwrap_or_default();
        if let Some(suspension) = &thing.marks.suspended {
            body["suspend"] = serde_json::to_value(suspension).unwrap_or_default();
        }
        if thing.marks.protected {
            body["protect"] = serde_json::Value::Bool(true);
        }
        let digest = sha256(canonical_value(&body).as_bytes());
        Document { body, digest, location: self.location(thing.place) }
    }
}

fn specs<T: Clone>(things: &BTreeMap<Name, Thing<T>>) -> BTreeMap<Name, T> {
    things.iter().map(|(name, thing)| (name.clone(), thing.spec.clone())).collect()
}

/// Which tenants a schedule takes, ready to be asked.
enum Filter<'a> {
    All,
    Classes(&'a [Name]),
    Slugs(Globs),
}

impl<'a> Filter<'a> {
    fn of(filter: &'a TenantFilter) -> Self {
        match filter {
            TenantFilter::All => Self::All,
            TenantFilter::Classes(names) => Self::Classes(names),
            TenantFilter::Slugs(patterns) => Self::Slugs(Globs::new(patterns)),
        }
    }

    fn takes(&self, slug: &str, class: Option<&Name>) -> bool {
        match self {
            Self::All => true,
            Self::Classes(names) => class.is_some_and(|class| names.contains(class)),
            Self::Slugs(globs) => globs.matches(slug),
        }
    }
}

fn counted(tenants: usize) -> String {
    if tenants == 1 { "1 tenant".to_owned() } else { format!("{tenants} tenants") }
}

/// Lists the first few slugs, escaped: they come from a database.
fn listed(slugs: &[&str]) -> String {
    let shown: Vec<String> = slugs.iter().take(5).map(|slug| format!("`{}`", shown(slug))).collect();
    let more = slugs.len().saturating_sub(5);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
