//! A backup of single tables: one archive of all that their globs mean, before it what they may need and are not, beside
//! it their rows as CSV where somebody asks for that. A table that is dropped while the dump begins does not lose the
//! others; a glob that means nothing loses the backup.

use std::collections::BTreeSet;

use super::BackupError;
use super::logical::{Destination, Order, pack_part, pack_stream};
use super::source::Source;
use crate::crypto::DataKey;
use crate::domain::{DataPart, PartKind};
use crate::engine::tables::{Chosen, TableName, TableSeen, choose, list};
use crate::engine::{Connection, DumpScope, DumpSummary, csv_rows};
use crate::store::layout;

/// Up to how long both names of a CSV file are, encoded; what is longer is shortened as one.
const LONGEST: usize = 180;

/// Takes the archives and files of a backup of tables.
pub(super) async fn parts(
    order: &Order,
    source: &dyn Source,
    destination: &Destination,
    data_key: Option<&DataKey>,
) -> Result<(Vec<DataPart>, DumpSummary), BackupError> {
    let globs = &order.work.tables;
    let Some((connection, _)) = source.server() else {
        let scope = DumpScope::Tables(globs.clone());
        let (part, summary) = dumped(order, source, destination, data_key, scope, PartKind::Archive).await?;
        return Ok((vec![part], summary));
    };
    let snapshot = source.facts().id.as_str();
    let seen = list(connection, Some(snapshot), false).await?;
    let chosen = choose(&seen, globs)?;
    let (archive, mut summary, chosen) = archive(order, source, destination, data_key, (&seen, chosen)).await?;
    let prelude = dumped(order, source, destination, data_key, DumpScope::Prelude, PartKind::Prelude);
    let (prelude, needed) = prelude.await?;
    let mut parts = vec![prelude, archive];
    if order.work.csv {
        for one in &chosen.matched {
            parts.push(csv(order, destination, data_key, (connection, snapshot), one).await?);
        }
        summary.notes.push(format!("the rows of {} tables and views are beside it as CSV", chosen.matched.len()));
    }
    summary.extensions = needed.extensions;
    let roles: BTreeSet<String> = summary.roles.into_iter().chain(needed.roles).collect();
    summary.roles = roles.into_iter().collect();
    Ok((parts, summary))
}

/// Dumps what was chosen; once more without them where some of it is gone by then. The snapshot still shows a table that
/// was dropped since, and no lock can be had on it any more.
async fn archive(
    order: &Order,
    source: &dyn Source,
    destination: &Destination,
    data_key: Option<&DataKey>,
    (seen, chosen): (&[TableSeen], Chosen),
) -> Result<(DataPart, DumpSummary, Chosen), BackupError> {
    let scope = DumpScope::Named(chosen.all.clone());
    let error = match dumped(order, source, destination, data_key, scope, PartKind::Archive).await {
        Ok((part, summary)) => return Ok((part, summary, chosen)),
        Err(error @ BackupError::Engine(_)) => error,
        Err(error) => return Err(error),
    };
    let Some((connection, _)) = source.server() else { return Err(error) };
    let there: BTreeSet<i64> = list(connection, None, false).await?.into_iter().map(|one| one.id).collect();
    let left: Vec<TableSeen> = seen.iter().filter(|one| there.contains(&one.id)).cloned().collect();
    let gone: Vec<&TableName> = seen
        .iter()
        .filter(|one| !there.contains(&one.id))
        .map(|one| &one.name)
        .filter(|n| chosen.all.contains(n))
        .collect();
    if gone.is_empty() {
        return Err(error);
    }
    let rest = choose(&left, &order.work.tables)?;
    let scope = DumpScope::Named(rest.all.clone());
    let (part, mut summary) = dumped(order, source, destination, data_key, scope, PartKind::Archive).await?;
    let names: Vec<String> = gone.iter().map(|name| name.quoted()).collect();
    summary.notes.push(format!("dropped while the dump began, and not inside: {}", names.join(", ")));
    Ok((part, summary, rest))
}

async fn dumped(
    order: &Order,
    source: &dyn Source,
    destination: &Destination,
    data_key: Option<&DataKey>,
    scope: DumpScope,
    kind: PartKind,
) -> Result<(DataPart, DumpSummary), BackupError> {
    let name = if kind == PartKind::Prelude { "prelude.dump" } else { "archive.dump" };
    let archive = source.dump(scope, destination.row_key())?;
    pack_stream(archive.chunks, archive.end, |reader| pack_part(order, destination, data_key, kind, name, reader)).await
}

async fn csv(
    order: &Order,
    destination: &Destination,
    data_key: Option<&DataKey>,
    (connection, snapshot): (&Connection, &str),
    one: &TableSeen,
) -> Result<DataPart, BackupError> {
    let mut rows = csv_rows(connection, snapshot.to_owned(), one.name.clone(), one.kind);
    let chunks = rows.take_chunks();
    let name = format!("{}.csv", file_name(&one.name));
    let pack = |reader| pack_part(order, destination, data_key, PartKind::Csv, &name, reader);
    let (part, _) = pack_stream(chunks, rows.finish(), pack).await?;
    Ok(part)
}

/// Returns the name of a table's file as the key of its object takes it, which escapes all but the dots: of these there is
/// one, between schema and table. What would be too long for a file system is one word, which the key shortens.
fn file_name(name: &TableName) -> String {
    let (schema, table) = (without_dots(&name.schema), without_dots(&name.table));
    if layout::encode(&schema).len() + layout::encode(&table).len() <= LONGEST {
        format!("{schema}.{table}")
    } else {
        format!("{schema}/t{table}")
    }
}

/// Writes dots as something else, so that no two names come out the same.
fn without_dots(name: &str) -> String {
    name.replace('/', "/s").replace('.', "/d")
}

#[cfg(test)]
mod tests {
    use super::{TableName, file_name, layout};
    use proptest::prelude::*;

    fn of(schema: &str, table: &str) -> String {
        let name = file_name(&TableName { schema: schema.to_owned(), table: table.to_owned() });
        name.split('.').map(layout::encode).collect::<Vec<_>>().join(".")
    }

    #[test]
    fn files_have_the_names_of_their_tables_as_far_as_a_file_system_takes_them() {
        assert_eq!(of("public", "tickets"), "public.tickets");
        assert_eq!(of("desk", "../a b"), "desk.%2fd%2fd%2fsa%20b");
        let long = of(&"é".repeat(31), &"ü".repeat(31));
        assert!(long.len() <= 200, "{long}");
        assert_ne!(long, of(&"é".repeat(31), &"ö".repeat(31)));
    }

    proptest! {
        #[test]
        fn no_two_tables_share_a_file(a in "[ab./%]{1,4}", b in "[ab./%]{1,4}", c in "[ab./%]{1,4}", d in "[ab./%]{1,4}") {
            prop_assert_eq!(of(&a, &b) == of(&c, &d), (a, b) == (c, d));
        }
    }
}
