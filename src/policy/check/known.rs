//! Which names the files define, and what is said where one is missing. Pure.

use std::collections::BTreeMap;

use crate::domain::{Address, Name, Section};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::raw::{File, Named};
use crate::policy::text::{Place, similar};

/// The names that the files define, also of things that are wrong inside.
pub(in crate::policy) struct Known {
    names: BTreeMap<&'static str, BTreeMap<Name, Place>>,
    /// Whether every file could be read. Where one could not, a missing name may stand in it.
    complete: bool,
}

impl Known {
    /// Notes the names of all sections.
    pub fn of(file: &File, complete: bool) -> Self {
        fn names<T>(section: Option<&Named<T>>) -> BTreeMap<Name, Place> {
            section.into_iter().flat_map(|named| &named.0).map(|item| (item.name.clone(), item.place)).collect()
        }
        let names = BTreeMap::from([
            (Section::Store.singular(), names(file.stores.as_ref())),
            (Section::Database.singular(), names(file.databases.as_ref())),
            (Section::Class.singular(), names(file.classes.as_ref())),
            (Section::Retention.singular(), names(file.retention.as_ref())),
            (Section::Schedule.singular(), names(file.schedules.as_ref())),
            (Section::RecoveryPlan.singular(), names(file.recovery_plans.as_ref())),
            (Section::Channel.singular(), names(file.channels.as_ref())),
        ]);
        Self { names, complete }
    }

    /// Returns where a thing is defined, also one that is wrong inside.
    pub fn place(&self, address: &Address) -> Option<Place> {
        self.names.get(address.section().singular())?.get(address.name()?).copied()
    }

    /// Looks up a list of channels, each once.
    pub fn channels(&self, names: &[Name], path: &str, places: &crate::policy::text::Places, cx: &mut Context<'_>) {
        for (index, name) in names.iter().enumerate() {
            self.refer(Section::Channel, name, places.get(&format!("{path}[{index}]")), cx);
        }
    }

    /// Looks a name up; a missing one is a finding.
    pub fn refer(&self, section: Section, name: &Name, place: Place, cx: &mut Context<'_>) {
        let Some(names) = self.names.get(section.singular()) else { return };
        if names.contains_key(name) || !self.complete {
            return;
        }
        let (what, key) = match section {
            Section::Store => ("store", "stores"),
            Section::Database => ("database", "databases"),
            Section::Class => ("class", "classes"),
            Section::Retention => ("retention rule", "retention"),
            Section::RecoveryPlan => ("recovery plan", "recovery_plans"),
            Section::Channel => ("channel", "channels"),
            _ => ("schedule", "schedules"),
        };
        let message = format!("there is no {what} `{name}`");
        let label = format!("no such {what}");
        let guess = cx
            .guesses()
            .then(|| similar(name.as_str(), names.keys().map(Name::as_str)))
            .flatten()
            .and_then(|guess| names.get_key_value(&guess.parse::<Name>().ok()?));
        match guess {
            Some((guess, defined)) => {
                let help = format!("did you mean `{guess}`?");
                cx.error(codes::UNKNOWN_REFERENCE, place, message, label, help)
                    .and(*defined, format!("`{guess}` is defined here"));
            }
            None if names.is_empty() => {
                cx.error(
                    codes::UNKNOWN_REFERENCE,
                    place,
                    message,
                    label,
                    format!("define it under `{key}:`, in any of the files"),
                );
            }
            None => {
                let list: Vec<&str> = names.keys().take(8).map(Name::as_str).collect();
                let help = format!("define it under `{key}:`, or use one that is there: {}", list.join(", "));
                cx.error(codes::UNKNOWN_REFERENCE, place, message, label, help);
            }
        }
    }

    /// Looks up a list of databases that needs at least one, each once.
    pub fn databases(
        &self,
        names: Option<&Vec<Name>>,
        places: &crate::policy::text::Places,
        what: &str,
        cx: &mut Context<'_>,
    ) {
        let Some(names) = names else { return };
        if names.is_empty() {
            let message = format!("{what} without databases does nothing");
            cx.error(
                codes::EMPTY_LIST,
                places.get("databases"),
                message,
                "empty",
                "name a database that is defined under `databases:`",
            );
        }
        let mut seen: BTreeMap<&Name, usize> = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            let place = places.get(&format!("databases[{index}]"));
            match seen.get(name) {
                Some(first) => {
                    let first = places.get(&format!("databases[{first}]"));
                    let message = format!("the database `{name}` is listed twice");
                    let entry = entry_after(places.get(&format!("databases[{}]", index - 1)), place, cx);
                    let told = cx
                        .error(codes::LISTED_TWICE, place, message, "the second time", "remove one of them")
                        .and(first, "the first time");
                    if let Some(entry) = entry {
                        told.fix("remove it where it stands again", &[(entry, "")]);
                    }
                }
                None => {
                    seen.insert(name, index);
                    self.refer(Section::Database, name, place, cx);
                }
            }
        }
    }
}

/// Returns the place of a list's entry with the comma or the dash before it; `None` where more stands between it and
/// the entry before, or where they stand in different places, as aliases do.
fn entry_after(before: Place, entry: Place, cx: &Context<'_>) -> Option<Place> {
    let between = cx.sources.text(entry.file).get(before.end..entry.begin).filter(|_| before.file == entry.file)?;
    let mark = between.trim();
    ((mark == "," || mark == "-") && between.matches('\n').count() <= 1).then_some(Place { begin: before.end, ..entry })
}
