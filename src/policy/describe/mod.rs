//! Says what one thing of a set means: what is written and what the defaults add, in words and figures, with what
//! refers to it and what is wrong with it. One file per kind of thing. Pure: calendars are walked from an instant that
//! is a parameter, and no live server is asked.

mod channels;
mod classes;
mod databases;
mod plans;
mod retention;
mod schedules;
mod settings;
mod stores;
mod words;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::diag::Diagnostic;
use crate::domain::{Address, Explanation, Instant, Name, Section, Setting, Slot, Topic, Use};

use self::settings::{Computed, Reader};
use super::globs::{self, Globs};
use super::raw::Marks;
use super::set::{PolicySet, Thing};
use super::text::{Place, Places};

/// What a description says of its own, before settings, place, references and findings are added.
#[derive(Default)]
struct Description {
    summary: String,
    computed: Vec<Computed>,
    topics: Vec<Topic>,
    slots: Vec<Slot>,
    used_by: Vec<Use>,
}

impl PolicySet {
    /// Returns the addresses of everything that the files define, and of what stands once and has defaults.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        fn of<T>(section: Section, things: &BTreeMap<Name, Thing<T>>) -> impl Iterator<Item = Address> {
            things.keys().map(move |name| Address::of(section, name.clone()))
        }
        let mut all: Vec<Address> = [Section::Catalog, Section::Alerts, Section::Guards].map(Address::once).to_vec();
        all.extend(of(Section::Store, &self.stores));
        all.extend(of(Section::Database, &self.databases));
        all.extend(of(Section::Class, &self.classes));
        all.extend(of(Section::Retention, &self.retentions));
        all.extend(of(Section::Schedule, &self.schedules));
        all.extend(of(Section::RecoveryPlan, &self.recovery_plans));
        all.extend(of(Section::Channel, &self.channels));
        all.sort();
        all
    }

    /// Returns the addresses that a glob matches: `schedule.*`.
    ///
    /// # Errors
    /// Why the pattern is no glob.
    pub fn addresses_like(&self, pattern: &str) -> Result<Vec<Address>, String> {
        if let Some(reason) = globs::rejection(pattern) {
            return Err(reason);
        }
        let globs = Globs::new(&[pattern.to_owned()]);
        Ok(self.addresses().into_iter().filter(|address| globs.matches(&address.to_string())).collect())
    }

    /// Says what the thing at an address means; `None` where the set has none. `now` is the instant from which slots
    /// are counted, `found` the findings about the whole set, and `schema` the schema of policy files.
    #[must_use]
    pub fn describe(
        &self,
        address: &Address,
        now: Instant,
        found: &[Diagnostic],
        schema: &Value,
    ) -> Option<Explanation> {
        let description = match (address.section(), address.name()) {
            (Section::Store, Some(name)) => stores::describe(self, name, &self.stores.get(name)?.spec),
            (Section::Database, Some(name)) => databases::describe(self, name, &self.databases.get(name)?.spec),
            (Section::Class, Some(name)) => classes::describe(self, name, &self.classes.get(name)?.spec),
            (Section::Retention, Some(name)) => retention::describe(self, name, &self.retentions.get(name)?.spec, now),
            (Section::Schedule, Some(name)) => schedules::describe(self, name, &self.schedules.get(name)?.spec, now),
            (Section::RecoveryPlan, Some(name)) => plans::describe(self, &self.recovery_plans.get(name)?.spec, now),
            (Section::Channel, Some(name)) => channels::describe(self, name, &self.channels.get(name)?.spec),
            (Section::Alerts, None) => channels::alerts(self.alerts.as_ref().map(|thing| &thing.spec)),
            (Section::Catalog, None) => databases::catalog(&self.catalog_url()),
            (Section::Guards, None) => databases::guards(self.guards.as_ref().map(|thing| &thing.spec)),
            _ => return None,
        };
        let places = self.places(address);
        Some(Explanation {
            address: address.clone(),
            location: places.map(|places| self.location(places.get(""))),
            summary: description.summary,
            settings: self.settings(address.section(), places, &description.computed, schema),
            topics: std::iter::once(topic("Its state", self.state(address, now)))
                .chain(description.topics)
                .filter(|topic| !topic.lines.is_empty())
                .collect(),
            slots: description.slots,
            used_by: description.used_by,
            findings: places.map(|places| self.findings_in(places, found)).unwrap_or_default(),
        })
    }

    /// Says what is paused, protected or renamed.
    fn state(&self, address: &Address, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(marks) = self.marks(address) {
            if let Some(suspension) = &marks.suspended {
                let until = suspension.until.strftime("%Y-%m-%d %H:%M UTC");
                let reason = suspension.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                lines.push(if suspension.is_on(now) {
                    format!("paused until {until}{reason}")
                } else {
                    format!("was paused until {until}; `suspend` says nothing any more{reason}")
                });
            }
            if marks.protected {
                lines.push("protected: nothing of it is ever deleted".to_owned());
            }
        }
        for thing in self.moved.iter().filter(|thing| thing.spec.to == *address) {
            lines.push(format!("it was {} before", thing.spec.from));
        }
        lines
    }

    fn marks(&self, address: &Address) -> Option<&Marks> {
        let name = address.name()?;
        match address.section() {
            Section::Store => self.stores.get(name).map(|thing| &thing.marks),
            Section::Database => self.databases.get(name).map(|thing| &thing.marks),
            Section::Class => self.classes.get(name).map(|thing| &thing.marks),
            Section::Retention => self.retentions.get(name).map(|thing| &thing.marks),
            Section::Schedule => self.schedules.get(name).map(|thing| &thing.marks),
            Section::RecoveryPlan => self.recovery_plans.get(name).map(|thing| &thing.marks),
            Section::Channel => self.channels.get(name).map(|thing| &thing.marks),
            Section::Catalog | Section::Alerts | Section::Guards => None,
        }
    }

    fn settings(
        &self,
        section: Section,
        places: Option<&Places>,
        computed: &[Computed],
        schema: &Value,
    ) -> Vec<Setting> {
        let key = match section {
            Section::Catalog => "catalog",
            Section::Store => "stores",
            Section::Database => "databases",
            Section::Class => "classes",
            Section::Retention => "retention",
            Section::Schedule => "schedules",
            Section::RecoveryPlan => "recovery_plans",
            Section::Channel => "channels",
            Section::Alerts => "alerts",
            Section::Guards => "guards",
        };
        Reader { sources: &self.sources, schema }.settings(key, places, computed)
    }

    /// Returns the findings whose place, or second place, lies inside a thing.
    fn findings_in(&self, places: &Places, found: &[Diagnostic]) -> Vec<Diagnostic> {
        let file = self.location(places.get("")).file;
        let inside = |span: &crate::diag::Span| {
            span.file == file && places.holds(Place { begin: span.begin, end: span.end, ..places.get("") })
        };
        let concerns = |finding: &&Diagnostic| {
            finding.span.iter().chain(finding.related.iter().map(|related| &related.span)).any(inside)
        };
        found.iter().filter(concerns).cloned().collect()
    }
}

fn topic(title: &str, lines: Vec<String>) -> Topic {
    Topic { title: title.to_owned(), lines }
}
