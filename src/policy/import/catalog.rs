//! What a catalog records and no policy says, as policies: things that were applied, and rows put in by hand. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use crate::domain::{
    Address, Applied, BackupType, ByHand, ClassSpec, DatabaseSpec, EnvText, Guards, Name, Period, PlanStep,
    RecoveryPlanSpec, RetentionRule, ScheduleSpec, Section, StoreSpec, TenantFilter,
};
use crate::policy::PolicySet;
use crate::policy::write::{
    Draft, Line, Part, Value, class_lines, database_lines, guards_lines, plan_lines, retention_lines, schedule_lines,
    store_lines, variable,
};
use crate::schedule::Calendar;

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
    /// Notes everything that policies define.
    #[must_use]
    pub fn of(set: &PolicySet) -> Self {
        let mut defined = Self::default();
        let of = |section: Section| move |name: &Name| Address::of(section, name.clone());
        defined.addresses.extend(set.stores.keys().map(of(Section::Store)));
        defined.addresses.extend(set.databases.keys().map(of(Section::Database)));
        defined.addresses.extend(set.classes.keys().map(of(Section::Class)));
        defined.addresses.extend(set.retentions.keys().map(of(Section::Retention)));
        defined.addresses.extend(set.schedules.keys().map(of(Section::Schedule)));
        defined.addresses.extend(set.recovery_plans.keys().map(of(Section::RecoveryPlan)));
        if set.guards.is_some() {
            defined.addresses.insert(Address::once(Section::Guards));
        }
        defined.stores.extend(set.stores.keys().cloned());
        for (name, thing) in &set.databases {
            defined.databases.insert(name.clone(), thing.spec.tenants.is_some());
        }
        for thing in set.schedules.values() {
            defined.note_schedule(&thing.spec);
        }
        defined
    }

    pub(super) fn note_schedule(&mut self, spec: &ScheduleSpec) {
        let bound = Calendar::new(&spec.when).ok().and_then(|calendar| worst(&calendar, spec.start_within));
        for database in &spec.databases {
            let known = self.made.entry((database.clone(), spec.backup)).or_default();
            *known = match (*known, bound) {
                (Some(known), Some(bound)) => Some(known.min(bound)),
                (known, bound) => known.or(bound),
            };
        }
    }

    fn has(&self, section: Section, name: &Name) -> bool {
        self.addresses.contains(&Address::of(section, name.clone()))
    }
}

/// Returns the longest distance between two slots, with the time that a slot may be late; `None` for what has none.
pub(super) fn worst(calendar: &Calendar, start_within: Period) -> Option<Period> {
    let mut before = calendar.next_after("2026-01-01T00:00:00Z".parse().ok()?)?;
    let mut widest = 0;
    for _ in 0..400 {
        let next = calendar.next_after(before)?;
        widest = widest.max(next.as_second() - before.as_second());
        before = next;
    }
    Some(Period::seconds(widest + start_within.as_seconds()))
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
        Section::Store,
        Section::Database,
        Section::Class,
        Section::Retention,
        Section::Schedule,
        Section::RecoveryPlan,
    ];
    for section in order {
        for (address, thing) in wanted.iter().filter(|(address, _)| address.section() == section) {
            writer.thing(address, &thing.body);
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
        _ => None,
    }
}

pub(super) struct Writer {
    pub(super) draft: Draft,
    pub(super) known: Defined,
    pub(super) taken: Vec<String>,
    pub(super) left: Vec<String>,
}

impl Writer {
    fn thing(&mut self, address: &Address, body: &serde_json::Value) {
        let lines = match address.section() {
            Section::Store => read::<StoreSpec>(body).map(|spec| store_lines(&spec)),
            Section::Database => read::<DatabaseSpec>(body).map(|spec| self.database(address, &spec)),
            Section::Class => read::<ClassSpec>(body).map(|spec| class_lines(&spec)),
            Section::Retention => read::<RetentionRule>(body).map(|rule| retention_lines(&rule)),
            Section::Schedule => read::<ScheduleSpec>(body).and_then(|spec| self.schedule(spec)),
            Section::RecoveryPlan => read::<RecoveryPlanSpec>(body).and_then(|spec| self.plan(&spec)),
            Section::Guards => read::<Guards>(body).map(|guards| guards_lines(&guards)),
            _ => return,
        };
        let lines = match lines {
            Ok(lines) => lines,
            Err(why) => return self.left.push(format!("{address}: {why}")),
        };
        match (part_of(address.section()), address.name()) {
            (Some(part), Some(name)) => {
                self.draft.add(part, name.as_str(), Vec::new(), lines);
                if address.section() == Section::Store {
                    self.known.stores.insert(name.clone());
                }
            }
            _ => self.draft.add_once(Line::new("guards", Value::Block(lines))),
        }
        self.known.addresses.insert(address.clone());
        self.taken.push(address.to_string());
    }

    fn database(&mut self, address: &Address, spec: &DatabaseSpec) -> Vec<Line> {
        let Some(name) = address.name() else { return Vec::new() };
        self.known.databases.insert(name.clone(), spec.tenants.is_some());
        let mut spec = spec.clone();
        // Records mask passwords, so what they hold connects to nothing.
        if let EnvText::Literal(text) = &spec.url
            && text.contains("***")
        {
            spec.url = EnvText::Variable(variable_of(name.as_str()));
        }
        database_lines(&spec)
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
        self.known.note_schedule(&spec);
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
