//! Removals: what becomes of the backups of something that left the policies. Without a word they go by the rule that
//! was recorded; `removed` says otherwise, and the catalog remembers it when the entry is gone from the files. Pure.

use std::collections::BTreeMap;

use super::world::{View, schedule_address};
use crate::domain::{
    Action, ActionClass, ActionId, ActionKind, Address, Backup, Plan, Reason, ReasonCode, RemovedBackups, Section,
};

/// What becomes of what, as it will be after this plan.
pub struct Fates<'a> {
    all: BTreeMap<&'a Address, RemovedBackups>,
    remembered: BTreeMap<&'a Address, RemovedBackups>,
}

impl<'a> Fates<'a> {
    /// Takes what the catalog remembers, and over it what the policies say where this plan applies that.
    #[must_use]
    pub fn of(view: &View<'a>) -> Self {
        let mut all: BTreeMap<&Address, RemovedBackups> = BTreeMap::new();
        let remembered = view.catalog.into_iter().flat_map(|catalog| &catalog.removals);
        all.extend(remembered.map(|(address, fate)| (address, *fate)));
        let remembered = all.clone();
        let said = view.desired.removed.iter().filter(|removed| applies(view, &removed.from));
        all.extend(said.map(|removed| (&removed.from, removed.backups)));
        // What is defined is there: a word about an earlier thing of that name says nothing of it.
        all.retain(|address, _| !view.desired.documents.contains_key(address));
        Self { all, remembered }
    }

    /// Returns what becomes of a backup: its schedule's fate, else its database's, else its store's.
    #[must_use]
    pub fn fate(&self, backup: &Backup) -> Option<RemovedBackups> {
        find(&self.all, backup)
    }

    /// Returns what became of a backup by what the catalog remembers, before this plan.
    #[must_use]
    pub fn before(&self, backup: &Backup) -> Option<RemovedBackups> {
        find(&self.remembered, backup)
    }
}

fn find(fates: &BTreeMap<&Address, RemovedBackups>, backup: &Backup) -> Option<RemovedBackups> {
    // Asked of every backup, and nearly always of a world from which nothing was removed.
    if fates.is_empty() {
        return None;
    }
    let mut things = vec![schedule_address(&backup.schedule)];
    things.extend(backup.database.clone().map(|name| Address::of(Section::Database, name)));
    things.push(Address::of(Section::Store, backup.store.clone()));
    things.iter().find_map(|address| fates.get(address).copied())
}

fn applies(view: &View<'_>, address: &Address) -> bool {
    view.wants("changes") && view.in_target(address)
}

/// Plans what is to be remembered. An entry about something that the catalog never knew has nothing to say.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    let Some(catalog) = view.catalog else { return };
    for removed in view.desired.removed.iter().filter(|removed| applies(view, &removed.from)) {
        let address = &removed.from;
        let before = catalog.removals.get(address).copied();
        // By the recorded rule is what happens anyway; it is written down only to take back another word.
        let plain = before.is_none() && removed.backups == RemovedBackups::Expire;
        let backups = view.backups().iter().filter(|backup| is_of(backup, address)).count() as u64;
        let known = catalog.applied.contains_key(address) || backups > 0;
        let has_backups = matches!(address.section(), Section::Schedule | Section::Database | Section::Store);
        if !has_backups
            || before == Some(removed.backups)
            || plain
            || !known
            || view.desired.documents.contains_key(address)
        {
            continue;
        }
        let words = match removed.backups {
            RemovedBackups::Keep => "its backups stay for good",
            RemovedBackups::Expire => "its backups go by the rule they were made under",
            RemovedBackups::Delete => "its backups are deleted, after the grace period",
        };
        draft.actions.push(Action {
            id: ActionId::of("release", None, None, address, Some(removed.backups.word())),
            address: address.clone(),
            class: ActionClass::Change,
            kind: ActionKind::Release { before, after: removed.backups, backups },
            reason: Reason { code: ReasonCode::PolicyRemoved, words: words.to_owned(), location: None },
            preconditions: Vec::new(),
            after: Vec::new(),
            bytes: None,
        });
    }
}

fn is_of(backup: &Backup, address: &Address) -> bool {
    let name = address.name();
    match address.section() {
        Section::Schedule => Some(&backup.schedule) == name,
        Section::Database => backup.database.as_ref() == name && name.is_some(),
        Section::Store => Some(&backup.store) == name,
        _ => false,
    }
}
