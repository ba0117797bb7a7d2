//! What a listing of a store is compared with: the backups that the catalog has there, numbered, so that one question to
//! one table tells everything of an object. Pure.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use crate::catalog::{RecordedBackup, RecordedObjects};
use crate::domain::{BackupId, CatalogFacts, Garbage, Instant, Name};

/// What a listing is compared with.
pub struct Expected<'a> {
    /// The store's name in the catalog's rows.
    pub store: &'a Name,
    /// The backups that are expected in this store.
    pub book: &'a Book<'a>,
    /// What was recorded of their objects; `None` where that is not known: then nothing is said of them.
    pub recorded: Option<&'a RecordedObjects>,
    /// bkup's own clock.
    pub now: Instant,
}

impl<'a> Expected<'a> {
    /// Returns what was recorded of an attempt in this store whose leftovers were collected.
    pub fn collected(&self, attempt: Option<&(BackupId, u64)>) -> Option<&'a Garbage> {
        self.recorded?.collected.get(attempt?).filter(|garbage| &garbage.store == self.store)
    }
}

/// The backups of one store.
#[derive(Default)]
pub struct Book<'a> {
    /// A quick hasher: what is put in comes from the catalog, and what a store holds is only looked up.
    numbers: HashMap<&'a BackupId, usize, RandomState>,
    entries: Vec<Entry<'a>>,
}

/// A backup that is expected.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// Which one.
    pub id: &'a BackupId,
    /// What was recorded of its objects.
    pub recorded: Option<&'a RecordedBackup>,
}

impl<'a> Book<'a> {
    /// Numbers the backups of each store, by its name in the catalog.
    pub fn by_store(facts: &'a CatalogFacts, recorded: Option<&'a RecordedObjects>) -> BTreeMap<&'a Name, Self> {
        let mut counts: BTreeMap<&Name, usize> = BTreeMap::new();
        facts.backups.iter().for_each(|backup| *counts.entry(&backup.store).or_default() += 1);
        let with_room = |count| Self {
            numbers: HashMap::with_capacity_and_hasher(count, RandomState::default()),
            entries: Vec::with_capacity(count),
        };
        let mut books: BTreeMap<_, _> = counts.into_iter().map(|(store, count)| (store, with_room(count))).collect();
        let mut recorded = recorded.into_iter().flat_map(|recorded| &recorded.backups);
        for backup in &facts.backups {
            let book = books.entry(&backup.store).or_default();
            book.numbers.insert(&backup.id, book.entries.len());
            book.entries.push(Entry { id: &backup.id, recorded: recorded.next().and_then(Option::as_ref) });
        }
        books
    }

    /// Returns a backup with its number; numbers count from 0.
    pub fn find(&self, id: &BackupId) -> Option<(usize, Entry<'a>)> {
        let number = *self.numbers.get(id)?;
        Some((number, *self.entries.get(number)?))
    }

    /// Returns all of them, in the order of their numbers.
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }
}
