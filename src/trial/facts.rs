//! Actions and held work in the words of a test file, so that they can be compared with what a test expects, and shown
//! as an expectation that somebody can paste. Pure.

use std::collections::HashMap;

use crate::domain::{
    Action, ActionClass, ActionKind, Backup, BackupId, Held, Instant, PruneWork, TrialDifference, TrialThing,
};
use crate::policy::text::shown;

use super::raw;

/// How many things are shown instead of one that is missing.
const MOST_SHOWN: usize = 3;
/// How many values of one key are shown.
const MOST_VALUES: usize = 3;

/// A thing as keys with values; a key can have several, and any of them will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts(Vec<(&'static str, Vec<String>)>);

/// What a test wants of a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted(pub Vec<(&'static str, String)>);

impl Facts {
    fn value(&self, key: &str) -> Option<&[String]> {
        self.0.iter().find(|(own, _)| *own == key).map(|(_, values)| values.as_slice())
    }

    fn has(&self, (key, wanted): &(&'static str, String)) -> bool {
        self.value(key).is_some_and(|values| values.contains(wanted))
    }

    /// Returns whether it is what is wanted.
    pub fn meets(&self, wanted: &Wanted) -> bool {
        wanted.0.iter().all(|pair| self.has(pair))
    }

    /// Returns it as an expectation that it would meet. What follows from its schedule is left out: a line is to be read.
    fn words(&self) -> String {
        let follows = |key: &str| match key {
            "class" => self.value("kind").is_some(),
            "store" => self.value("schedule").is_some(),
            "address" => ["schedule", "plan"].into_iter().any(|key| self.value(key).is_some()),
            _ => false,
        };
        let pairs = self.0.iter().filter(|(key, _)| !follows(key));
        pairs.map(|(key, values)| format!("{key}: {}", some(values))).collect::<Vec<_>>().join(", ")
    }

    fn against(&self, wanted: &Wanted) -> TrialThing {
        let differs = wanted.0.iter().filter(|pair| !self.has(pair)).map(|(key, expected)| TrialDifference {
            key: (*key).to_owned(),
            expected: expected.clone(),
            found: self.value(key).map(some),
        });
        TrialThing { words: self.words(), differs: differs.collect() }
    }
}

fn some(values: &[String]) -> String {
    match values {
        [one] => one.clone(),
        few if few.len() <= MOST_VALUES => few.join(" and "),
        many => format!("{} and {} more", many[..MOST_VALUES - 1].join(", "), many.len() + 1 - MOST_VALUES),
    }
}

/// Returns the things that come nearest to what is wanted: those that have most of its keys, and one at least.
pub(super) fn nearest(wanted: &Wanted, all: &[Facts]) -> Vec<TrialThing> {
    let score = |facts: &Facts| wanted.0.iter().filter(|pair| facts.has(pair)).count();
    let best = all.iter().map(score).max().filter(|best| *best > 0 || wanted.0.len() == 1).unwrap_or(usize::MAX);
    all.iter().filter(|facts| score(facts) == best).take(MOST_SHOWN).map(|facts| facts.against(wanted)).collect()
}

/// Returns the first few of the things that are there.
pub(super) fn first_few<'a>(all: impl Iterator<Item = &'a Facts>) -> Vec<TrialThing> {
    let thing = |facts: &Facts| TrialThing { words: facts.words(), differs: Vec::new() };
    all.take(MOST_SHOWN).map(thing).collect()
}

/// Returns what a test wants of an action.
pub(super) fn wanted_action(raw: &raw::Action) -> Wanted {
    let mut wanted = Vec::new();
    let mut add = |key, value: Option<String>| wanted.extend(value.map(|value| (key, value)));
    add("kind", raw.kind.map(|kind| kind.0.to_owned()));
    add("class", raw.class.map(|class| class.0.to_owned()));
    add("address", raw.address.as_ref().map(|address| address.0.to_string()));
    add("schedule", raw.schedule.as_ref().map(ToString::to_string));
    add("database", raw.database.as_ref().map(ToString::to_string));
    add("scope", raw.scope.as_ref().map(|scope| scope.0.to_string()));
    add("slot", raw.slot.map(|slot| slot.0.to_string()));
    add("store", raw.store.as_ref().map(ToString::to_string));
    add("plan", raw.plan.as_ref().map(ToString::to_string));
    Wanted(wanted)
}

/// Returns what a test wants of held work.
pub(super) fn wanted_held(raw: &raw::Held) -> Wanted {
    let mut wanted = Vec::new();
    let mut add = |key, value: Option<String>| wanted.extend(value.map(|value| (key, value)));
    add("address", raw.address.as_ref().map(|address| address.0.to_string()));
    add("reason", raw.reason.map(|reason| word(&reason)));
    add("database", raw.database.as_ref().map(ToString::to_string));
    add("scope", raw.scope.as_ref().map(|scope| scope.0.to_string()));
    Wanted(wanted)
}

/// Returns an action's keys and values. `backups` are those of the catalog, by id.
pub(super) fn action_facts(action: &Action, backups: &HashMap<&BackupId, &Backup>) -> Facts {
    let mut facts = Facts(Vec::new());
    let mut add = |key, values: Vec<String>| {
        if !values.is_empty() {
            facts.0.push((key, values));
        }
    };
    add("kind", vec![action.kind.word().to_owned()]);
    let one = |text: &dyn ToString| vec![text.to_string()];
    let maybe = |text: Option<String>| text.into_iter().collect::<Vec<_>>();
    let slots = |slots: &[Instant]| slots.iter().map(ToString::to_string).collect::<Vec<_>>();
    let of = |id: &BackupId| backups.get(id).copied();
    match &action.kind {
        ActionKind::BackUp(work) => {
            add("schedule", one(&work.schedule));
            if let Some(database) = &work.database {
                add("database", one(database));
            }
            add("scope", one(&work.scope));
            add("slot", slots(&[work.slot]));
            add("store", one(&work.store));
        }
        ActionKind::RecordMissed { schedule, database, slots: missed, .. } => {
            add("schedule", one(schedule));
            add("database", maybe(database.as_ref().map(ToString::to_string)));
            add("slot", slots(missed));
        }
        ActionKind::Drill(work) => add("plan", one(&work.plan)),
        ActionKind::Tombstone(work) | ActionKind::Purge(work) => pruned(work, of(&work.backup), &mut add),
        ActionKind::Quarantine { backup, store, .. } => {
            add("schedule", maybe(of(backup).map(|b| b.schedule.to_string())));
            add("slot", maybe(of(backup).map(|b| b.slot.to_string())));
            add("store", one(store));
        }
        ActionKind::CollectGarbage { store, database, scope, .. } => {
            add("database", maybe(database.as_ref().map(ToString::to_string)));
            add("scope", vec![scope.to_string()]);
            add("store", one(store));
        }
        ActionKind::EnsureStore { store, .. } | ActionKind::AbortUploads { store, .. } => add("store", one(store)),
        ActionKind::EnsureCatalog { .. }
        | ActionKind::ApplyDocument { .. }
        | ActionKind::Move { .. }
        | ActionKind::Release { .. } => {}
        ActionKind::Offboard(work) | ActionKind::Onboard(work) => {
            add("database", one(&work.database));
            add("scope", vec![format!("tenant={}", work.slug)]);
        }
    }
    add("class", vec![class_word(action.class).to_owned()]);
    add("address", one(&action.address));
    facts
}

fn pruned(work: &PruneWork, backup: Option<&Backup>, add: &mut impl FnMut(&'static str, Vec<String>)) {
    add("schedule", backup.map(|b| b.schedule.to_string()).into_iter().collect());
    add("database", work.database.iter().map(ToString::to_string).collect());
    add("scope", vec![work.scope.to_string()]);
    add("slot", backup.map(|b| b.slot.to_string()).into_iter().collect());
    add("store", vec![work.store.to_string()]);
}

/// Returns the keys and values of held work.
pub(super) fn held_facts(held: &Held) -> Facts {
    let mut facts = vec![("address", vec![held.address.to_string()]), ("reason", vec![word(&held.reason)])];
    facts.extend(held.database.as_ref().map(|database| ("database", vec![database.to_string()])));
    facts.extend(held.scope.as_ref().map(|scope| ("scope", vec![scope.to_string()])));
    Facts(facts)
}

const fn class_word(class: ActionClass) -> &'static str {
    match class {
        ActionClass::Change => "change",
        ActionClass::Drift => "drift",
        ActionClass::Due => "due",
    }
}

/// Returns the word of an enumeration's value, as it is written in plans.
pub(super) fn word<T: serde::Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    shown(value.as_str().unwrap_or_default())
}
