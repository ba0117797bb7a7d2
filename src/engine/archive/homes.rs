//! Attribution: which of many archives an entry of one archive belongs to. Pure.
//!
//! The rules, the first that fits (an entry's schema is compared byte by byte; tags, which are quoted or not by kind, are
//! never parsed):
//!
//! 1. an entry of a tenant's schema is the tenant's, one of another schema is shared;
//! 2. `SCHEMA` entries have no schema, and their tag is the raw name;
//! 3. what has no schema (casts, extensions, event triggers, grants and comments on these and on schemas) goes where
//!    what it depends on is: one tenant: there; none: shared; several: bridge. What is global by nature (large objects,
//!    publications, servers of foreign data) starts as shared;
//! 4. what is shared and depends, over any number of steps, on a tenant's entry or a bridge's is the bridge's, which is
//!    restored after the tenants; so is what is shared and would change what is made after it: default privileges, which
//!    add grants to every object that is made where they are in force, and event triggers (`pg_restore`, too, keeps both
//!    for its very end); so is what is shared and must come after tables of other archives (`descent` says what). In
//!    whatever archive that is, its entry says so ([`COMES_LAST`]);
//! 5. a partition whose parent is in another archive is attached behind its own constraints and indexes, and behind the
//!    attaching of its own partitions' indexes, before which an index of it is not valid: attached before, it inherits
//!    indexes from the parent, and then fails to make its own. Its indexes are attached to the parent's behind that.
//!
//! The three settings of the session come first in every archive. Ids and dependencies stay as they are, so that
//! archives of one stream can be merged again; a dependency on an entry of another archive dangles, as those on
//! `pg_dump`'s own boundaries do.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::descent::Descent;
use super::{COMES_LAST, Entry, Header, Part, Toc, encode_entry, encode_header};

/// Kinds that every archive begins with: how the session reads everything else.
const PREAMBLE: [&str; 3] = ["ENCODING", "STDSTRINGS", "SEARCHPATH"];

/// Kinds that belong to the database as a whole, whatever they depend on.
const GLOBAL: [&str; 12] = [
    "BLOB",
    "BLOBS",
    "BLOB METADATA",
    "DATABASE",
    "DATABASE PROPERTIES",
    "FOREIGN DATA WRAPPER",
    "FOREIGN SERVER",
    "SERVER",
    "USER MAPPING",
    "PUBLICATION",
    "SUBSCRIPTION",
    "DEFAULT ACL",
];

/// Kinds that change what is made after them, wherever they come from.
const LASTING: [&str; 2] = ["DEFAULT ACL", "EVENT TRIGGER"];

/// Kinds that tie a table to a publication, which is shared.
const PUBLISHED: [&str; 2] = ["PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA"];

/// The archive an entry goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Home {
    /// What tenants have in common; restored first.
    Shared,
    /// The tenant at this place of the list that was given.
    Tenant(usize),
    /// What stands on tenants and belongs to none, or to several; restored last.
    Bridge,
}

/// Where a tenant's membership in publications goes. `pg_dump -n` leaves it out; a restore of the tenant without the
/// shared archive fails at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Publications {
    /// To the tenant, as rule 1 says.
    #[default]
    WithTenant,
    /// To the bridge: a tenant's archive needs no publication then.
    InBridge,
}

/// A table of contents with the home of each of its entries.
#[derive(Debug)]
pub struct Homes {
    toc: Arc<Toc>,
    homes: Vec<Home>,
    /// The entries of each home, in the order in which its archive lists them, the preamble left out.
    members: BTreeMap<Home, Vec<usize>>,
    preamble: Vec<usize>,
    /// Per attaching that is done late: what it waits for besides.
    late: HashMap<usize, Vec<i32>>,
    /// What comes after tables of other archives.
    last: HashSet<usize>,
}

impl Homes {
    /// Attributes every entry. `tenants` are the tenants' schemas, by their exact names.
    #[must_use]
    pub fn new(toc: Arc<Toc>, tenants: &[String], publications: Publications) -> Self {
        let tenants: HashMap<&[u8], usize> =
            tenants.iter().enumerate().map(|(place, schema)| (schema.as_bytes(), place)).collect();
        let mut homes = by_rule(&toc, &tenants, publications);
        bridge(&toc, &mut homes);
        let descent = Descent::of(&toc);
        if keep_for_the_end(&toc, &descent, &mut homes) {
            bridge(&toc, &mut homes);
        }
        let mut members: BTreeMap<Home, Vec<usize>> = BTreeMap::new();
        let mut preamble = Vec::new();
        for (index, entry) in toc.entries.iter().enumerate() {
            if PREAMBLE.contains(&entry.kind()) {
                preamble.push(index);
            } else {
                members.entry(homes[index]).or_default().push(index);
            }
        }
        let mut late = HashMap::new();
        for (home, entries) in &mut members {
            attach_late(&toc, &homes, *home, entries, &mut late);
        }
        let below = descent.homes_below(&homes).into_iter();
        let elsewhere = below.filter(|(entry, below)| below.iter().any(|home| *home != homes[*entry]));
        let last = elsewhere.map(|(entry, _)| entry).collect();
        Self { toc, homes, members, preamble, late, last }
    }

    /// Returns the whole table of contents.
    #[must_use]
    pub const fn toc(&self) -> &Arc<Toc> {
        &self.toc
    }

    /// Returns the home of the entry with this id; the preamble counts as shared.
    #[must_use]
    pub fn home(&self, id: i32) -> Option<Home> {
        self.toc.index(id).map(|index| self.homes[index])
    }

    /// Returns the homes that have entries of their own, shared first, the bridge last.
    pub fn homes(&self) -> impl Iterator<Item = Home> {
        self.members.keys().copied()
    }

    /// Returns the entries of a home in the order in which its archive lists them, without the preamble.
    pub fn entries(&self, home: Home) -> impl Iterator<Item = &Entry> {
        self.members.get(&home).into_iter().flatten().map(|index| &self.toc.entries[*index])
    }

    /// Returns how many data blocks are promised to a home.
    #[must_use]
    pub fn blocks(&self, home: Home) -> usize {
        self.entries(home).filter(|entry| entry.has_data).count()
    }

    /// Returns which homes' entries depend on entries of which other homes.
    #[must_use]
    pub fn references(&self) -> BTreeSet<(Home, Home)> {
        let mut found = BTreeSet::new();
        for (home, entries) in &self.members {
            let needs = entries.iter().flat_map(|index| self.toc.entries[*index].needs());
            let others = needs.filter_map(|id| self.home(id)).filter(|other| other != home);
            found.extend(others.map(|other| (*home, other)));
        }
        found
    }

    /// Writes what stands before a home's data: header and table of contents. No offset is set, as in every archive
    /// that is written to a pipe.
    #[must_use]
    pub fn head(&self, home: Home) -> Vec<u8> {
        let none = Vec::new();
        let own = self.members.get(&home).unwrap_or(&none);
        let count = self.preamble.len() + own.len();
        let header = Header { entries: u32::try_from(count).unwrap_or(u32::MAX), ..self.toc.header.clone() };
        let mut out = Vec::new();
        encode_header(&header, &mut out);
        for index in self.preamble.iter().chain(own) {
            let entry = &self.toc.entries[*index];
            let waits_for = self.late.get(index);
            let is_last = self.last.contains(index);
            if waits_for.is_none() && !is_last && entry.offset == 0 && entry.offset_flag != 2 {
                encode_entry(&header, entry, &mut out);
                continue;
            }
            let mut entry = Entry { offset: 0, offset_flag: if entry.has_data { 1 } else { 3 }, ..entry.clone() };
            if is_last {
                entry.copy = Some(COMES_LAST.to_vec());
            }
            if let Some(waits_for) = waits_for {
                entry.part = Part::PostData;
                entry.dependencies.extend(waits_for.iter().map(|id| id.to_string().into_bytes()));
            }
            encode_entry(&header, &entry, &mut out);
        }
        out
    }
}

/// Rules 1 to 3.
fn by_rule(toc: &Toc, tenants: &HashMap<&[u8], usize>, publications: Publications) -> Vec<Home> {
    let of = |schema: &[u8]| tenants.get(schema).map_or(Home::Shared, |place| Home::Tenant(*place));
    let direct = |entry: &Entry| {
        let schema = entry.schema.as_deref().unwrap_or_default();
        match entry.kind() {
            kind if PUBLISHED.contains(&kind) && publications == Publications::InBridge => match of(schema) {
                Home::Tenant(_) => Some(Home::Bridge),
                other => Some(other),
            },
            _ if !schema.is_empty() => Some(of(schema)),
            "SCHEMA" => Some(of(entry.tag.as_deref().unwrap_or_default())),
            kind if GLOBAL.contains(&kind) || PREAMBLE.contains(&kind) => Some(Home::Shared),
            _ => None,
        }
    };
    let mut homes: Vec<Option<Home>> = toc.entries.iter().map(direct).collect();
    for index in 0..homes.len() {
        settle(toc, &mut homes, index);
    }
    homes.into_iter().map(|home| home.unwrap_or(Home::Shared)).collect()
}

/// Rule 3 for one entry and, before it, for those it depends on. Without recursion: a damaged archive can hold a chain of
/// any length, or a circle, whose entries settle as shared.
fn settle(toc: &Toc, homes: &mut [Option<Home>], start: usize) {
    let mut path = vec![start];
    let mut seen = HashSet::from([start]);
    while let Some(&index) = path.last() {
        if homes[index].is_some() {
            path.pop();
            continue;
        }
        let needs = || toc.entries[index].needs().filter_map(|id| toc.index(id));
        if let Some(open) = needs().find(|other| homes[*other].is_none() && seen.insert(*other)) {
            path.push(open);
            continue;
        }
        let mut found: Option<Home> = None;
        for home in needs().filter_map(|other| homes[other]).filter(|home| *home != Home::Shared) {
            found = Some(if found.is_none_or(|known| known == home) { home } else { Home::Bridge });
        }
        homes[index] = Some(found.unwrap_or(Home::Shared));
        path.pop();
    }
}

/// Rule 4, for what is kept whatever it depends on. Returns whether anything is.
fn keep_for_the_end(toc: &Toc, descent: &Descent, homes: &mut [Home]) -> bool {
    let lasting = toc.entries.iter().enumerate().filter(|(_, entry)| LASTING.contains(&entry.kind()));
    let mut kept: Vec<usize> = lasting.map(|(index, _)| index).collect();
    let below = descent.homes_below(homes).into_iter();
    let goes_on = below.filter(|(_, below)| below.iter().any(|home| *home != Home::Shared));
    kept.extend(goes_on.map(|(entry, _)| entry));
    kept.retain(|index| homes[*index] == Home::Shared);
    kept.iter().for_each(|index| homes[*index] = Home::Bridge);
    !kept.is_empty()
}

/// Rule 4.
fn bridge(toc: &Toc, homes: &mut [Home]) {
    let mut needed_by: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut open = Vec::new();
    for (index, entry) in toc.entries.iter().enumerate() {
        for other in entry.needs().filter_map(|id| toc.index(id)) {
            if homes[index] == Home::Shared {
                needed_by.entry(other).or_default().push(index);
            }
        }
        if homes[index] != Home::Shared {
            open.push(index);
        }
    }
    while let Some(index) = open.pop() {
        for dependent in needed_by.remove(&index).unwrap_or_default() {
            if homes[dependent] == Home::Shared {
                homes[dependent] = Home::Bridge;
                open.push(dependent);
            }
        }
    }
}

/// Rule 5, for the entries of one home.
fn attach_late(toc: &Toc, homes: &[Home], home: Home, entries: &mut Vec<usize>, late: &mut HashMap<usize, Vec<i32>>) {
    let kind = |index: &usize| toc.entries[*index].kind();
    let needs = |index: &usize| toc.entries[*index].needs().filter_map(|id| toc.index(id)).collect::<Vec<usize>>();
    let is_here = |index: &usize| homes[*index] == home;
    // By the tables alone: an attaching inside one archive, too, depends on the indexes of all ancestors.
    let foreign = |index: &usize| needs(index).iter().any(|other| kind(other) == "TABLE" && !is_here(other));
    let of_kind = |wanted: &str, far: bool| -> Vec<usize> {
        entries.iter().copied().filter(|index| kind(index) == wanted && foreign(index) == far).collect()
    };
    let tables = of_kind("TABLE ATTACH", true);
    if tables.is_empty() {
        return;
    }
    let indexes = of_kind("INDEX ATTACH", true);
    let own = |index: &usize| match kind(index) {
        "CONSTRAINT" | "INDEX" => true,
        "INDEX ATTACH" => !foreign(index),
        _ => false,
    };
    // What hangs on a table: its indexes, and of the tables that are attached to each other both.
    let mut hanging: HashMap<usize, Vec<usize>> = HashMap::new();
    for index in entries.iter().filter(|index| own(index) || kind(index) == "INDEX ATTACH") {
        needs(index).into_iter().for_each(|other| hanging.entry(other).or_default().push(*index));
    }
    let mut attached: HashMap<usize, Vec<usize>> = HashMap::new();
    for index in of_kind("TABLE ATTACH", false) {
        let both = needs(&index);
        both.iter().for_each(|table| attached.entry(*table).or_default().extend(&both));
    }
    for table in &tables {
        // The partition with its own partitions, to any depth.
        let mut open: Vec<usize> = needs(table).into_iter().filter(is_here).collect();
        let mut tree: BTreeSet<usize> = BTreeSet::new();
        let mut waits_for: BTreeSet<usize> = BTreeSet::new();
        while let Some(part) = open.pop() {
            if tree.insert(part) {
                open.extend(attached.get(&part).into_iter().flatten());
                waits_for.extend(hanging.get(&part).into_iter().flatten());
            }
        }
        for index in waits_for.iter().filter(|index| !own(index)) {
            late.entry(*index).or_default().push(toc.entries[*table].id);
        }
        late.insert(*table, waits_for.iter().filter(|index| own(index)).map(|index| toc.entries[*index].id).collect());
    }
    let moved: Vec<usize> = tables.into_iter().chain(indexes).collect();
    let gone: HashSet<usize> = moved.iter().copied().collect();
    entries.retain(|index| !gone.contains(index));
    let behind = entries.iter().rposition(own);
    let behind = behind.or_else(|| entries.iter().rposition(|index| toc.entries[*index].part != Part::PostData));
    let at = behind.map_or(0, |last| last + 1);
    entries.splice(at..at, moved);
}
