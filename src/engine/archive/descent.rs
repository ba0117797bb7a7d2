//! What must come after tables of other archives, since they come under a table of its own: partitions, and what inherits.
//! Pure.
//!
//! - A constraint that was added unproven: the server attaches no partition behind it that has it not, and proves it for
//!   whatever inherits later, whose rows may be against it.
//! - A foreign key to a table: its rows may lie in the others.
//! - The filling of a materialized view over a table, with views in between or not: the others' rows would be missing.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Entry, Home, Toc};

/// Which tables come under which, and the entries that may have to wait for some, as indexes of entries.
pub(super) struct Descent {
    /// The tables directly under each table.
    children: HashMap<usize, Vec<usize>>,
    /// The tables that such an entry is about.
    about: Vec<(usize, Vec<usize>)>,
}

impl Descent {
    pub(super) fn of(toc: &Toc) -> Self {
        let children = children(toc);
        let entries = toc.entries.iter().enumerate().filter(|_| !children.is_empty());
        let about = entries.map(|(index, entry)| (index, about(toc, entry))).filter(|(_, about)| !about.is_empty());
        Self { about: about.collect(), children }
    }

    /// Returns each such entry with the homes of the tables that come under those it is about, to any depth.
    pub(super) fn homes_below(&self, homes: &[Home]) -> Vec<(usize, BTreeSet<Home>)> {
        // Many keys refer to one table, which may have thousands of partitions.
        let mut known: HashMap<usize, BTreeSet<Home>> = HashMap::new();
        let mut found = Vec::new();
        for (entry, about) in &self.about {
            let below = about.iter().flat_map(|table| {
                let below = known.entry(*table).or_insert_with(|| self.below(*table, homes));
                below.iter().copied().collect::<Vec<Home>>()
            });
            found.push((*entry, below.collect()));
        }
        found
    }

    fn below(&self, table: usize, homes: &[Home]) -> BTreeSet<Home> {
        let mut seen = HashSet::new();
        let mut open = vec![table];
        while let Some(table) = open.pop() {
            let children = self.children.get(&table).into_iter().flatten().copied();
            open.extend(children.filter(|child| seen.insert(*child)));
        }
        seen.into_iter().map(|table| homes[table]).collect()
    }
}

/// Kinds that may be a partition, or inherit.
const TABLES: [&str; 2] = ["TABLE", "FOREIGN TABLE"];

fn needs<'a>(toc: &'a Toc, entry: &'a Entry) -> impl Iterator<Item = usize> + 'a {
    entry.needs().filter_map(|id| toc.index(id))
}

fn tables(toc: &Toc, entry: &Entry) -> Vec<usize> {
    needs(toc, entry).filter(|other| TABLES.contains(&toc.entries[*other].kind())).collect()
}

fn children(toc: &Toc) -> HashMap<usize, Vec<usize>> {
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, entry) in toc.entries.iter().enumerate() {
        match entry.kind() {
            kind if TABLES.contains(&kind) => {
                tables(toc, entry).into_iter().for_each(|of| children.entry(of).or_default().push(index))
            }
            // It has the name of the partition.
            "TABLE ATTACH" => {
                let is_it = |other: &usize| {
                    let other = &toc.entries[*other];
                    (&other.schema, &other.tag) == (&entry.schema, &entry.tag)
                };
                let (partitions, parents): (Vec<usize>, Vec<usize>) = tables(toc, entry).into_iter().partition(is_it);
                for parent in parents {
                    children.entry(parent).or_default().extend(&partitions);
                }
            }
            _ => {}
        }
    }
    children
}

/// The tables whose rows, or whose partitions, an entry is about; none for most entries.
fn about(toc: &Toc, entry: &Entry) -> Vec<usize> {
    let mut about = Vec::new();
    if entry.is_unproven() {
        about.extend(tables(toc, entry));
    }
    match entry.kind() {
        // Of the two tables that it needs it is the one whose key it needs, too.
        "FK CONSTRAINT" => {
            let keys = needs(toc, entry).filter(|other| ["CONSTRAINT", "INDEX"].contains(&toc.entries[*other].kind()));
            about.extend(keys.flat_map(|key| tables(toc, &toc.entries[key])));
        }
        "MATERIALIZED VIEW DATA" => {
            let mut open: Vec<usize> = needs(toc, entry).collect();
            let mut seen: HashSet<usize> = open.iter().copied().collect();
            while let Some(index) = open.pop() {
                match toc.entries[index].kind() {
                    kind if TABLES.contains(&kind) => about.push(index),
                    _ => open.extend(needs(toc, &toc.entries[index]).filter(|other| seen.insert(*other))),
                }
            }
        }
        _ => {}
    }
    about
}
