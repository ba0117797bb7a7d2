//! A whole database read by several programs at once, all under one snapshot: its definitions in one archive, its rows in
//! as many as programs were asked for, cut along tables. Every one of them is a stream: no file the size of the database
//! is written anywhere, which `pg_dump`'s own directory format cannot do without.

use std::cmp::Reverse;

use futures_util::{FutureExt, StreamExt, TryStreamExt};

use super::BackupError;
use super::logical::{Destination, Order, pack_part, pack_stream};
use super::source::Source;
use crate::crypto::DataKey;
use crate::domain::{DataPart, PartKind};
use crate::engine::tables::{TableKind, TableName, TableSeen, list};
use crate::engine::{DumpScope, DumpSummary};

/// How many tables are named one by one at most: each is an argument, and a question of the program's to the server.
const MOST_NAMED: usize = 500;
/// What is smaller than this part of one program's share stays with the rest.
const CRUMBS: u64 = 50;

/// Takes the archives of a database with `jobs` programs.
pub(super) async fn parts(
    order: &Order,
    source: &dyn Source,
    destination: &Destination,
    data_key: Option<&DataKey>,
    jobs: u32,
) -> Result<(Vec<DataPart>, DumpSummary), BackupError> {
    let Some((connection, _)) = source.server() else {
        return Err(BackupError::NotServed("parallel".to_owned()));
    };
    let seen = list(connection, Some(&source.facts().id), true).await?;
    let jobs = usize::try_from(jobs).unwrap_or(1).max(1);
    let mut works = vec![(DumpScope::Definitions, PartKind::Definitions, "definitions.dump".to_owned())];
    for (index, scope) in shares(&seen, jobs).into_iter().enumerate() {
        works.push((scope, PartKind::Rows, format!("rows-{}.dump", index + 1)));
    }
    // Boxed one by one: a stream of borrowing futures is not known to be `Send` for every lifetime.
    let running = works.into_iter().map(|(scope, kind, name)| {
        let work = async move {
            let archive = source.dump(scope, destination.row_key())?;
            let pack = |reader| pack_part(order, destination, data_key, kind, &name, reader);
            pack_stream(archive.chunks, archive.end, pack).await
        };
        work.boxed()
    });
    let running: Vec<_> = running.collect();
    // The first that fails ends the others: dropped, their programs are killed and their uploads aborted.
    let done: Vec<(DataPart, DumpSummary)> = futures_util::stream::iter(running).buffered(jobs).try_collect().await?;
    Ok(together(done, &seen))
}

/// Puts what was inside of each together. An extension's own tables are told of, not compared.
fn together(done: Vec<(DataPart, DumpSummary)>, seen: &[TableSeen]) -> (Vec<DataPart>, DumpSummary) {
    let mut whole = DumpSummary::default();
    let mut parts = Vec::new();
    for (part, summary) in done {
        if part.kind == PartKind::Definitions {
            (whole.schemas, whole.extensions, whole.roles) = (summary.schemas, summary.extensions, summary.roles);
            whole.dump_version = summary.dump_version;
        } else {
            let of_extension = |schema: &str, table: &str| {
                seen.iter().any(|one| one.of_extension && one.name.schema == schema && one.name.table == table)
            };
            let (theirs, ours): (Vec<_>, Vec<_>) =
                summary.tables.into_iter().partition(|table| of_extension(&table.schema, &table.table));
            whole.tables.extend(ours);
            for table in theirs {
                let name = TableName { schema: table.schema, table: table.table };
                whole
                    .notes
                    .push(format!("{} belongs to an extension: its rows are inside, not digested", name.quoted()));
            }
            whole.sequences.extend(summary.sequences);
            whole.large_objects += summary.large_objects;
        }
        whole.entries += summary.entries;
        whole.bytes += summary.bytes;
        whole.notes.extend(summary.notes);
        parts.push(part);
    }
    (parts, whole)
}

/// Cuts the rows into shares of about one size: the largest tables one by one to whoever has least, all else together.
fn shares(seen: &[TableSeen], jobs: usize) -> Vec<DumpScope> {
    let mut large: Vec<&TableSeen> =
        seen.iter().filter(|one| one.kind == TableKind::Table && !one.of_extension).collect();
    let total: u64 = large.iter().map(|one| one.bytes).sum();
    let crumb = total / (jobs as u64).max(1) / CRUMBS;
    large.retain(|one| one.bytes > crumb);
    large.sort_by_key(|one| (Reverse(one.bytes), &one.name));
    large.truncate(MOST_NAMED);
    let named: u64 = large.iter().map(|one| one.bytes).sum();
    // The first share has what is not named, and is the only one that can stay without tables of its own.
    let mut piles: Vec<(u64, Vec<&TableSeen>)> = vec![(0, Vec::new()); jobs.max(1)];
    piles[0].0 = total - named;
    for one in large {
        if let Some(least) = piles.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            least.0 += one.bytes;
            least.1.push(one);
        }
    }
    let elsewhere: Vec<TableName> = piles[1..].iter().flat_map(|(_, of)| of).map(|one| one.name.clone()).collect();
    let mut scopes = vec![DumpScope::RowsBut(elsewhere)];
    for (_, of) in piles.drain(..).skip(1).filter(|(_, of)| !of.is_empty()) {
        // The values of sequences that belong to a table come along with it otherwise, and once more with the rest.
        let theirs = |one: &&TableSeen| {
            one.kind == TableKind::Sequence && one.parents.iter().any(|p| of.iter().any(|t| t.id == *p))
        };
        scopes.push(DumpScope::RowsOf {
            tables: of.iter().map(|one| one.name.clone()).collect(),
            sequences: seen.iter().filter(theirs).map(|one| one.name.clone()).collect(),
        });
    }
    scopes
}

#[cfg(test)]
mod tests {
    use super::{DumpScope, TableKind, TableName, TableSeen, shares};
    use proptest::prelude::*;

    fn table(id: i64, bytes: u64) -> TableSeen {
        TableSeen {
            name: TableName { schema: "s".to_owned(), table: format!("t{id:04}") },
            kind: TableKind::Table,
            id,
            parents: Vec::new(),
            visible: true,
            of_extension: false,
            bytes,
        }
    }

    proptest! {
        #[test]
        fn every_table_is_in_exactly_one_share(sizes in prop::collection::vec(0_u64..1 << 40, 0..60), jobs in 1_usize..9) {
            let seen: Vec<TableSeen> = sizes.iter().enumerate().map(|(at, bytes)| table(at as i64, *bytes)).collect();
            let scopes = shares(&seen, jobs);
            prop_assert!(scopes.len() <= jobs);
            let DumpScope::RowsBut(but) = &scopes[0] else { return Err(TestCaseError::fail("the rest comes first")) };
            let mut elsewhere: Vec<TableName> = Vec::new();
            for scope in &scopes[1..] {
                let DumpScope::RowsOf { tables, .. } = scope else { return Err(TestCaseError::fail("then tables")) };
                prop_assert!(!tables.is_empty());
                elsewhere.extend(tables.iter().cloned());
            }
            let (mut left_out, mut there) = (but.clone(), elsewhere);
            left_out.sort();
            there.sort();
            let before = there.len();
            there.dedup();
            prop_assert_eq!(before, there.len());
            prop_assert_eq!(left_out, there);
        }
    }

    #[test]
    fn equal_tables_are_shared_out_evenly() {
        let seen: Vec<TableSeen> = (0..8).map(|id| table(id, 1 << 30)).collect();
        let counts: Vec<usize> = shares(&seen, 4)
            .iter()
            .map(|scope| match scope {
                DumpScope::RowsBut(elsewhere) => 8 - elsewhere.len(),
                DumpScope::RowsOf { tables, .. } => tables.len(),
                _ => 0,
            })
            .collect();
        assert_eq!(counts, [2, 2, 2, 2]);
    }
}
