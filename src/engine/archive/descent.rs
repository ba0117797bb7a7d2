//! Constraints that were added unproven, and the tables that come of theirs: partitions, and what inherits. The server
//! attaches no partition to a table that has such a constraint where the partition has not, and proves it for whatever
//! inherits later, whose rows may be against it. So it must come after all of these. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Entry, Toc};

/// Each such constraint with the tables below its own, to any depth, as indexes of entries.
pub(super) fn unproven(toc: &Toc) -> Vec<(usize, BTreeSet<usize>)> {
    let entries = || toc.entries.iter().enumerate();
    let constraints: Vec<(usize, &Entry)> = entries().filter(|(_, entry)| entry.is_unproven()).collect();
    if constraints.is_empty() {
        return Vec::new();
    }
    let tables = |entry: &Entry| -> Vec<usize> {
        let needs = entry.needs().filter_map(|id| toc.index(id));
        needs.filter(|other| toc.entries[*other].kind() == "TABLE").collect()
    };
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, entry) in entries() {
        match entry.kind() {
            "TABLE" => tables(entry).into_iter().for_each(|of| children.entry(of).or_default().push(index)),
            // It has the name of the partition.
            "TABLE ATTACH" => {
                let is_it = |other: &usize| {
                    let other = &toc.entries[*other];
                    (&other.schema, &other.tag) == (&entry.schema, &entry.tag)
                };
                let (partitions, parents): (Vec<usize>, Vec<usize>) = tables(entry).into_iter().partition(is_it);
                for parent in parents {
                    children.entry(parent).or_default().extend(&partitions);
                }
            }
            _ => {}
        }
    }
    let below = |constraint: &Entry| {
        let mut open = tables(constraint);
        let own: HashSet<usize> = open.iter().copied().collect();
        let mut found = BTreeSet::new();
        while let Some(table) = open.pop() {
            let more = children.get(&table).into_iter().flatten().copied();
            open.extend(more.filter(|child| !own.contains(child) && found.insert(*child)));
        }
        found
    };
    constraints.into_iter().map(|(index, constraint)| (index, below(constraint))).collect()
}
