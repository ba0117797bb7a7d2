//! What a catalog records and no policy says, as policies: things that were applied, and rows put in by hand. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::{
    Address, AlertsSpec, Applied, BackupType, ByHand, ChannelSpec, ClassSpec, DatabaseSpec, EnvText, Guards, Instant,
    Name, Period, PlanStep, RecoveryPlanSpec, RetentionRule, ScheduleSpec, Section, StoreSpec, Suspension,
    TenantFilter, When,
};
use crate::policy::PolicySet;
use crate::policy::write::{
    Draft, Line, Part, Value, alerts_lines, channel_lines, class_lines, database_lines, guards_lines, mark_lines,
    plan_lines, retention_lines, schedule_lines, store_lines, variable,
};
use crate::schedule::{Calendar, Losses};

use super::{Circumstances, Imported, plans, rows};

/// What is defined already, so that it is referred to and not written again.
#[derive(Debug, Clone, Default)]
pub struct Defined {
    /// Addresses of things.
    pub(super) addresses: BTreeSet<Address>,
    /// Databases, and whether they have tenants.
    pub(super) databases: BTreeMap<Name, bool>,
    /// Stores.
    pub(super) stores: BTreeSet<Name>,
    /// What is backed up of which database, with what may be lost of it.
    pub(super) made: BTreeMap<(Name, BackupType), Option<Period>>,
}

impl Defined {
    /// Notes everything that policies define, as of now.
    #[must_use]
    pub fn of(set: &PolicySet, now: Instant) -> Self {
        let mut defined = Self::default();
        let of = |section: Section| move |name: &Name| Address::of(section, name.clone());
        defined.addresses.extend(set.stores.keys().map(of(Section::Store)));
        defined.addresses.extend(set.databases.keys().map(of(Section::Database)));
        defined.addresses.extend(set.classes.keys().map(of(Section::Class)));
        defined.addresses.extend(set.retentions.keys().map(of(Section::Retention)));
        defined.addresses.extend(set.schedules.keys().map(of(Section::Schedule)));
        defined.addresses.extend(set.recovery_plans.keys().map(of(Section::RecoveryPlan)));
        defined.addresses.extend(set.channels.keys().map(of(Section::Channel)));
        if set.alerts.is_some() {
            defined.addresses.insert(Address::once(Section::Alerts));
        }
        if set.guards.is_some() {
            defined.addresses.insert(Address::once(Section::Guards));
        }
        defined.stores.extend(set.stores.keys().cloned());
        for (name, thing) in &set.databases {
            defined.databases.insert(name.clone(), thing.spec.tenants.is_some());
        }
        for thing in set.schedules.values() {
            defined.note_schedule(&thing.spec, now);
        }
        defined
    }

    pub(super) fn note_schedule(&mut self, spec: &ScheduleSpec, now: Instant) {
        let bound = Calendar::new(&spec.when).ok().and_then(|calendar| worst(&calendar, spec.start_within, now));
        // What takes a part of a database promises nothing of the whole.
        let bound = bound.filter(|_| spec.tables.is_empty() && spec.tenants == TenantFilter::All);
        for database in &spec.databases {
            self.note(database, spec.backup, bound);
        }
    }

    pub(super) fn note(&mut self, database: &Name, kind: BackupType, bound: Option<Period>) {
        let known = self.made.entry((database.clone(), kind)).or_default();
        *known = [*known, bound].into_iter().flatten().min();
    }

    fn has(&self, section: Section, name: &Name) -> bool {
        self.addresses.contains(&Address::of(section, name.clone()))
    }
}

/// Returns the longest time that a rule can lose, with the time that a slot may be late, rounded up to what people
/// write; `None` for what has no slots.
pub(super) fn worst(calendar: &Calendar, start_within: Period, now: Instant) -> Option<Period> {
    let exact = Losses::new(now).worst(&[(calendar, start_within)])?.length.as_seconds();
    let unit = if exact > 7200 { 3600 } else { 60 };
    Some(Period::seconds((exact + unit - 1) / unit * unit))
}

/// Returns a longer time to keep backups for, where the one asked for is shorter than the time between two of them: at
/// times nothing but the floors would keep one.
pub(super) fn longer(asked: Period, rule: &When, now: Instant) -> Option<Period> {
    let calendar = Calendar::new(rule).ok()?;
    let between = worst(&calendar, calendar.default_start_within(), now)?;
    let days = (between.as_seconds() + 86_399) / 86_400;
    (asked <= between).then(|| Period::days(days.saturating_mul(2)))
}

/// Writes what a catalog has and policies do not.
#[must_use]
pub fn applied(
    things: &BTreeMap<Address, Applied>,
    by_hand: &ByHand,
    defined: &Defined,
    told: &Circumstances,
) -> Imported {
    let mut writer = Writer {
        draft: Draft::new(["Written by bkup import from the catalog: what it records and no policy said."]),
        known: defined.clone(),
        now: told.now,
        taken: Vec::new(),
        left: Vec::new(),
    };
    for address in &defined.addresses {
        if let (Some(part), Some(name)) = (part_of(address.section()), address.name()) {
            writer.draft.take(part, name);
        }
    }
    let wanted: Vec<(&Address, &Applied)> = things
        .iter()
        .filter(|(address, thing)| thing.archived_at.is_none() && !defined.addresses.contains(address))
        .collect();
    // What is referred to comes before what refers to it.
    let order = [
        Section::Guards,
        Section::Channel,
        Section::Alerts,
        Section::Store,
        Section::Database,
        Section::Class,
        Section::Retention,
        Section::Schedule,
        Section::RecoveryPlan,
    ];
    for section in order {
        let mut things: Vec<_> = wanted.iter().filter(|(address, _)| address.section() == section).collect();
        // A store may be the replica of one before it, and a schedule the base of one: until nothing more comes.
        while !things.is_empty() {
            let waiting: Vec<_> = things.iter().filter(|(_, thing)| !writer.knows_all(&thing.body)).copied().collect();
            let ready = waiting.len() < things.len();
            things.retain(|one| !ready || !waiting.contains(one));
            for (address, thing) in &things {
                writer.thing(address, &thing.body);
            }
            things = if ready { waiting } else { Vec::new() };
        }
    }
    for (address, _) in wanted.iter().filter(|(address, _)| !order.contains(&address.section())) {
        writer.left.push(format!("{address}: write it by hand; `bkup show` has what was applied"));
    }
    for row in &by_hand.schedules {
        rows::schedule(&mut writer, row, told);
    }
    for row in &by_hand.plans {
        plans::plan(&mut writer, row);
    }
    Imported::of(writer.draft, writer.taken, writer.left)
}

pub(super) fn part_of(section: Section) -> Option<Part> {
    match section {
        Section::Store => Some(Part::Stores),
        Section::Database => Some(Part::Databases),
        Section::Class => Some(Part::Classes),
        Section::Retention => Some(Part::Retention),
        Section::Schedule => Some(Part::Schedules),
        Section::RecoveryPlan => Some(Part::RecoveryPlans),
        Section::Channel => Some(Part::Channels),
        _ => None,
    }
}

pub(super) struct Writer {
    pub(super) draft: Draft,
    pub(super) known: Defined,
    pub(super) now: Instant,
    pub(super) taken: Vec<String>,
    pub(super) left: Vec<String>,
}

impl Writer {
    /// Returns whether the other stores or schedules that a thing names are written already.
    fn knows_all(&self, body: &serde_json::Value) -> bool {
        let names = |value: &serde_json::Value| value.as_str().and_then(|text| text.parse::<Name>().ok());
        let base = body.get("base").and_then(names);
        let replicas = body.get("replicate_to").and_then(|list| list.as_array()).into_iter().flatten();
        let replicas = replicas.filter_map(|replica| replica.get("store").and_then(names));
        base.is_none_or(|name| self.known.has(Section::Schedule, &name))
            && replicas.into_iter().all(|name| self.known.has(Section::Store, &name))
    }

    fn thing(&mut self, address: &Address, body: &serde_json::Value) {
        let lines = match address.section() {
            Section::Store => read::<StoreSpec>(body).and_then(|spec| {
                self.refers(Section::Store, spec.replicate_to.iter().map(|replica| &replica.store))?;
                Ok(store_lines(&spec))
            }),
            Section::Database => read::<DatabaseSpec>(body).and_then(|spec| self.database(address, &spec)),
            Section::Class => read::<ClassSpec>(body).map(|spec| class_lines(&spec)),
            Section::Retention => read::<RetentionRule>(body).map(|rule| retention_lines(&rule)),
            Section::Schedule => read::<ScheduleSpec>(body).and_then(|spec| self.schedule(spec)),
            Section::RecoveryPlan => read::<RecoveryPlanSpec>(body).and_then(|spec| self.plan(&spec)),
            Section::Guards => read::<Guards>(body).map(|guards| guards_lines(&guards)),
            Section::Channel => read::<ChannelSpec>(body).map(|spec| {
                let name = address.name().map_or("CHANNEL", Name::as_str);
                channel_lines(&spec, &name.to_ascii_uppercase().replace('-', "_"))
            }),
            Section::Alerts => read::<AlertsSpec>(body).and_then(|spec| {
                let routes = [&spec.routes.critical, &spec.routes.warning, &spec.routes.info];
                self.refers(Section::Channel, routes.into_iter().flatten())?;
                Ok(alerts_lines(&spec))
            }),
            Section::Catalog => return,
        };
        let mut lines = match lines {
            Ok(lines) => lines,
            Err(why) => return self.left.push(format!("{address}: {why}")),
        };
        match (part_of(address.section()), address.name()) {
            (Some(part), Some(name)) => {
                let suspended = body.get("suspend").and_then(|value| Suspension::deserialize(value).ok());
                let protected = body.get("protect").and_then(serde_json::Value::as_bool).unwrap_or_default();
                lines.extend(mark_lines(suspended.as_ref(), protected));
                self.draft.add(part, name.as_str(), Vec::new(), lines);
                if address.section() == Section::Store {
                    self.known.stores.insert(name.clone());
                }
            }
            _ => {
                let key = if address.section() == Section::Alerts { "alerts" } else { "guards" };
                self.draft.add_once(Line::new(key, Value::Block(lines)));
            }
        }
        self.known.addresses.insert(address.clone());
        self.taken.push(address.to_string());
    }

    fn database(&mut self, address: &Address, spec: &DatabaseSpec) -> Result<Vec<Line>, String> {
        let Some(name) = address.name() else { return Ok(Vec::new()) };
        self.refers(Section::Store, spec.wal.iter().map(|wal| &wal.store))?;
        self.known.databases.insert(name.clone(), spec.tenants.is_some());
        let mut spec = spec.clone();
        // Records mask passwords, so what they hold connects to nothing.
        if let EnvText::Literal(text) = &spec.url
            && text.contains("***")
        {
            spec.url = EnvText::Variable(variable_of(name.as_str()));
        }
        Ok(database_lines(&spec))
    }

    fn schedule(&mut self, mut spec: ScheduleSpec) -> Result<Vec<Line>, String> {
        self.refers(Section::Store, [&spec.store])?;
        self.refers(Section::Database, &spec.databases)?;
        if let TenantFilter::Classes(names) = &spec.tenants {
            self.refers(Section::Class, names)?;
        }
        if spec.retention_name.as_ref().is_some_and(|name| !self.known.has(Section::Retention, name)) {
            spec.retention_name = None;
        }
        if spec.retention_name.is_none() && spec.retention.keeps_nothing() {
            return Err("its retention rule keeps nothing".to_owned());
        }
        self.refers(Section::Schedule, &spec.base)?;
        if let Some(notify) = &spec.notify {
            self.refers(Section::Channel, notify.success.iter().chain(notify.failure.iter().flatten()))?;
        }
        self.known.note_schedule(&spec, self.now);
        Ok(schedule_lines(&spec))
    }

    fn plan(&mut self, spec: &RecoveryPlanSpec) -> Result<Vec<Line>, String> {
        self.refers(Section::Database, &spec.databases)?;
        let restores = spec.steps.iter().filter_map(|step| match step {
            PlanStep::Restore(restore) => Some(restore),
            _ => None,
        });
        let mut kinds = spec.requires.clone();
        for restore in restores {
            self.refers(Section::Schedule, &restore.schedule)?;
            self.refers(Section::Store, &restore.store)?;
            kinds.extend(restore.backup);
        }
        for kind in kinds {
            if let Some(database) =
                spec.databases.iter().find(|name| !self.known.made.contains_key(&((*name).clone(), kind)))
            {
                return Err(format!("it needs `{}` backups of `{database}`, and no schedule makes them", kind.word()));
            }
        }
        Ok(plan_lines(spec))
    }

    fn refers<'n>(&self, section: Section, names: impl IntoIterator<Item = &'n Name>) -> Result<(), String> {
        match names.into_iter().find(|name| !self.known.has(section, name)) {
            Some(name) => {
                Err(format!("it refers to {}.{name}, which is neither applied nor defined", section.singular()))
            }
            None => Ok(()),
        }
    }

    /// Returns the database that a row means, made where nothing defines it.
    pub(super) fn database_for(&mut self, wanted: Option<&str>) -> Name {
        if let Some(name) =
            wanted.and_then(|text| text.parse::<Name>().ok()).filter(|n| self.known.databases.contains_key(n))
        {
            return name;
        }
        if wanted.is_none()
            && let Some(name) = self.known.databases.keys().next()
        {
            return name.clone();
        }
        let base = crate::policy::write::name_of(wanted.unwrap_or("main"), "database");
        if let Some(name) = base.parse::<Name>().ok().filter(|name| self.known.databases.contains_key(name)) {
            return name;
        }
        let lines = vec![
            Line::new("url", variable(&variable_of(&base))),
            Line::new("tenants", Value::Inline(vec![("schemas", Value::quoted("tenant_*"))]))
                .note("decide: what `*` matches is the slug"),
        ];
        let name = self.draft.add(
            Part::Databases,
            &base,
            vec!["no policy defines it: name it, set its variable".into()],
            lines,
        );
        self.known.databases.insert(name.clone(), true);
        self.known.addresses.insert(Address::of(Section::Database, name.clone()));
        name
    }

    /// Returns the store that a row means, made where there is none.
    pub(super) fn store_for(&mut self, wanted: Option<&str>) -> Name {
        let named = wanted.and_then(|text| text.parse::<Name>().ok()).filter(|name| self.known.stores.contains(name));
        if let Some(name) = named.or_else(|| self.known.stores.iter().next().cloned()) {
            return name;
        }
        let comments = vec![
            "the rows do not say where backups go: decide".to_owned(),
            "add encryption: { recipients: [...] } with the key that `bkup key generate` prints".to_owned(),
        ];
        let url = Line::new("url", Value::text("file:///var/backups/bkup"));
        let name = self.draft.add(Part::Stores, wanted.unwrap_or("primary"), comments, vec![url]);
        self.known.stores.insert(name.clone());
        name
    }
}

fn read<T: DeserializeOwned>(body: &serde_json::Value) -> Result<T, String> {
    T::deserialize(body)
        .map_err(|_| "another version of bkup applied it, in a form that this one does not read".to_owned())
}

/// Returns the variable for a database's URL.
fn variable_of(name: &str) -> String {
    format!("{}_URL", name.to_ascii_uppercase().replace('-', "_"))
}
