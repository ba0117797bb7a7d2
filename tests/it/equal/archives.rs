//! Archives taken apart, and what two of them have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bkup::engine::archive::{
    ArchiveError, ArchiveReader, Entry, Event, Home, Homes, Portion, Publications, Splitter, Toc,
};

use crate::sim::random::Random;

/// What each archive begins with.
const PREAMBLE: [&str; 3] = ["ENCODING", "STDSTRINGS", "SEARCHPATH"];

/// An archive in memory.
#[derive(Debug, Clone)]
pub struct Archive {
    pub bytes: Vec<u8>,
    pub toc: Arc<Toc>,
    /// What each block holds, with the lengths of its pieces, and the blocks' order.
    pub blocks: Vec<(i32, Vec<u8>)>,
}

impl Archive {
    /// Takes one apart; it must be whole.
    pub fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let mut blocks: Vec<(i32, Vec<u8>)> = Vec::new();
        let mut reader = ArchiveReader::new();
        let mut sink = |event: Event<'_>| {
            let mut add = |what: &[u8]| {
                if let Some((_, held)) = blocks.last_mut() {
                    held.extend_from_slice(what);
                }
            };
            match event {
                Event::BlockBegin { id, .. } => blocks.push((id, Vec::new())),
                Event::Data(data) => add(data),
                Event::Piece { length } => add(&length.to_le_bytes()),
                Event::ObjectBegin { oid } => add(&oid.to_be_bytes()),
                _ => {}
            }
            Ok::<(), ArchiveError>(())
        };
        reader.feed(&bytes, &mut sink).map_err(|e| e.to_string())?;
        let toc = reader.finish().map_err(|e| e.to_string())?;
        Ok(Self { bytes, toc, blocks })
    }

    /// Returns its entries without what each archive begins with.
    pub fn own(&self) -> impl Iterator<Item = &Entry> {
        self.toc.entries.iter().filter(|entry| !PREAMBLE.contains(&entry.kind()))
    }

    /// Returns its entries as texts, counted.
    pub fn told(&self, how: Told) -> BTreeMap<String, i64> {
        let mut counted = BTreeMap::new();
        for entry in self.own().filter(|entry| !is_of_database(entry)) {
            *counted.entry(told(entry, how)).or_default() += 1;
        }
        counted
    }

    /// Returns the data of each table by what it is loaded with.
    pub fn data(&self) -> BTreeMap<String, &[u8]> {
        let name = |id: i32| self.toc.entry(id).map_or_else(String::new, |entry| told(entry, Told::Whole));
        self.blocks.iter().map(|(id, held)| (name(*id), held.as_slice())).collect()
    }
}

/// What of an entry is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// All but ids inside the archive and dependencies.
    Whole,
    /// That, without the catalog's numbers, which another database gives anew.
    Restored,
}

/// Returns an entry as text.
pub fn told(entry: &Entry, how: Told) -> String {
    let text =
        |value: &Option<Vec<u8>>| value.as_deref().map_or("-".to_owned(), |v| String::from_utf8_lossy(v).into_owned());
    let mut words = format!("{} {:?}.{:?}", entry.kind(), text(&entry.schema), text(&entry.tag));
    for (name, value) in [
        ("owner", &entry.owner),
        ("tablespace", &entry.tablespace),
        ("access method", &entry.access_method),
        ("copy", if entry.comes_last() { &None } else { &entry.copy }),
        ("drop", &entry.drop),
        ("definition", &entry.definition),
    ] {
        if value.as_deref().is_some_and(|value| !value.is_empty()) {
            words.push_str(&format!("\n      {name}: {}", text(value).replace('\n', "\n        ")));
        }
    }
    if how == Told::Whole {
        words.push_str(&format!(
            "\n      oid {}/{} relkind {}",
            text(&entry.table_oid),
            text(&entry.oid),
            entry.relation_kind
        ));
    }
    words
}

/// Returns a short name of an entry.
pub fn named(entry: &Entry) -> String {
    format!("{} {:?}.{:?}", entry.kind(), entry.schema(), entry.tag())
}

/// Whether an entry is of the database itself, which counts only when an archive creates its own.
pub fn is_of_database(entry: &Entry) -> bool {
    let kind = entry.kind();
    kind.starts_with("DATABASE")
        || (["COMMENT", "ACL", "SECURITY LABEL"].contains(&kind) && entry.tag().starts_with("DATABASE "))
}

/// Whether `pg_dump -n` leaves such an entry out although it hangs on the schema alone.
pub fn only_in_split(entry: &Entry) -> bool {
    const KINDS: [&str; 6] =
        ["CAST", "TRANSFORM", "EVENT TRIGGER", "EXTENSION", "PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA"];
    const COMMENTED: [&str; 4] = ["CAST (", "TRANSFORM FOR ", "EVENT TRIGGER ", "EXTENSION "];
    KINDS.contains(&entry.kind())
        || (entry.kind() == "COMMENT" && COMMENTED.iter().any(|words| entry.tag().starts_with(words)))
}

/// Whether every `pg_dump -n` repeats such an entry, and what was split has it once, among what is shared: a grant on
/// something that `initdb` made, which is a member of an extension (the language `plpgsql` and its functions).
pub fn repeated_by_each(entry: &Entry) -> bool {
    entry.kind() == "ACL"
        && (entry.schema() == "pg_catalog" || (entry.schema().is_empty() && entry.tag().starts_with("LANGUAGE ")))
}

/// Returns what one has more of than the other.
pub fn surplus(of: &BTreeMap<String, i64>, over: &BTreeMap<String, i64>) -> Vec<String> {
    of.iter()
        .filter(|(words, count)| **count > over.get(*words).copied().unwrap_or(0))
        .map(|(words, _)| words.clone())
        .collect()
}

/// What came out of the splitter.
#[derive(Debug)]
pub struct Split {
    pub homes: Arc<Homes>,
    pub archives: BTreeMap<Home, Archive>,
}

/// Splits an archive that comes in random pieces.
pub fn split(bytes: &[u8], tenants: &[String], random: &mut Random) -> Result<Split, String> {
    let mut splitter = Splitter::new(tenants.to_vec(), Publications::WithTenant);
    let mut written: BTreeMap<Home, Vec<u8>> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    let mut left = bytes;
    while !left.is_empty() {
        let length = 1 + usize::try_from(random.below(100_000)).expect("small");
        let (piece, rest) = left.split_at(length.min(left.len()));
        left = rest;
        let fed = splitter.feed(piece, &mut |portion| {
            match portion {
                Portion::Bytes { home, bytes } => written.entry(home).or_default().extend_from_slice(&bytes),
                Portion::End { home } => {
                    ended.insert(home);
                }
                Portion::Begin(_) | Portion::Seen { .. } => {}
            }
            Ok::<(), ArchiveError>(())
        });
        fed.map_err(|e| e.to_string())?;
    }
    let homes = splitter.finish().map_err(|e| e.to_string())?;
    if written.keys().copied().ne(ended.iter().copied()) {
        return Err(format!("archives of {:?} ended, of {:?} were written", ended, written.keys()));
    }
    let read =
        |(home, bytes)| Archive::read(bytes).map(|archive| (home, archive)).map_err(|e| format!("{home:?}: {e}"));
    let archives: Result<BTreeMap<Home, Archive>, String> = written.into_iter().map(read).collect();
    Ok(Split { homes, archives: archives? })
}

/// Says what keeps the archives from being merged into the one that they were split from.
pub fn merged_differs(original: &Archive, split: &Split) -> Option<String> {
    let mut found: BTreeMap<i32, (&Entry, Home)> = BTreeMap::new();
    let mut blocks: BTreeMap<i32, &[u8]> = BTreeMap::new();
    let places: BTreeMap<i32, usize> =
        original.toc.entries.iter().enumerate().map(|(place, entry)| (entry.id, place)).collect();
    for (home, archive) in &split.archives {
        let mut header = archive.toc.header.clone();
        header.entries = original.toc.header.entries;
        if header != original.toc.header {
            return Some(format!("{home:?} has the header {header:?}"));
        }
        let preamble: Vec<&Entry> = original.toc.entries.iter().filter(|e| PREAMBLE.contains(&e.kind())).collect();
        if archive.toc.entries.iter().take(preamble.len()).collect::<Vec<_>>() != preamble {
            return Some(format!("{home:?} does not begin as the original does"));
        }
        let mut last = 0;
        for entry in archive.own() {
            if let Some((_, other)) = found.insert(entry.id, (entry, *home)) {
                return Some(format!("{} is in {home:?} and in {other:?}", named(entry)));
            }
            let place = places.get(&entry.id).copied().unwrap_or(0);
            if !is_attached_late(entry) {
                if place < last {
                    return Some(format!("{} comes late in {home:?}", named(entry)));
                }
                last = place;
            }
            if entry.kind() != "SCHEMA" && *home == Home::Bridge && is_tenants(entry, split) {
                return Some(format!("{} of a tenant is in the bridge", named(entry)));
            }
        }
        let promised: Vec<i32> = archive.toc.entries.iter().filter(|e| e.has_data).map(|e| e.id).collect();
        if promised != archive.blocks.iter().map(|(id, _)| *id).collect::<Vec<_>>() {
            return Some(format!("{home:?} has other blocks than it promises, or in another order"));
        }
        blocks.extend(archive.blocks.iter().map(|(id, held)| (*id, held.as_slice())));
    }
    for entry in original.own() {
        let Some((copied, home)) = found.remove(&entry.id) else { return Some(format!("{} is lost", named(entry))) };
        let mut copied = copied.clone();
        if is_attached_late(entry) {
            (copied.part, copied.dependencies) = (entry.part, entry.dependencies.clone());
        }
        if copied.comes_last() {
            copied.copy.clone_from(&entry.copy);
        }
        if copied != *entry {
            return Some(format!("{} of {home:?} was changed: {copied:?}", named(entry)));
        }
    }
    if let Some((entry, home)) = found.values().next() {
        return Some(format!("{} of {home:?} is not in the original", named(entry)));
    }
    let same = original.blocks.len() == blocks.len()
        && original.blocks.iter().all(|(id, held)| blocks.get(id).is_some_and(|copied| *copied == held.as_slice()));
    (!same).then(|| "the blocks are not the original's".to_owned())
}

/// Whether an entry may come later than in the original, and wait for more: see the splitter's fifth rule.
fn is_attached_late(entry: &Entry) -> bool {
    ["TABLE ATTACH", "INDEX ATTACH"].contains(&entry.kind())
}

fn is_tenants(entry: &Entry, split: &Split) -> bool {
    let schema = entry.schema();
    let published = entry.kind().starts_with("PUBLICATION TABLE");
    !schema.is_empty()
        && !published
        && split.homes.homes().any(|home| {
            matches!(home, Home::Tenant(_))
                && split.homes.entries(home).any(|e| e.kind() == "SCHEMA" && e.tag() == schema)
        })
}
