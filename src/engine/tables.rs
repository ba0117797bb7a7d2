//! Which tables a database has under a snapshot, and which of them globs mean. A glob that means nothing is an error: a
//! backup that came out empty would be believed. What a partitioned table is made of goes with it, which the patterns
//! of `pg_dump` alone do not see to.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Executor as _, Row as _};

use super::sql::{quote_literal, quote_qualified};
use super::{Connection, EngineError};

/// A table by its exact name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema, unquoted.
    pub schema: String,
    /// The table, unquoted.
    pub table: String,
}

impl TableName {
    /// Returns it quoted, for statements and for the programs' patterns: inside quotes all is literal.
    #[must_use]
    pub fn quoted(&self) -> String {
        quote_qualified(&self.schema, &self.table)
    }
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// A table with rows of its own.
    Table,
    /// A partitioned table: its rows are those of its partitions.
    Partitioned,
    /// A view.
    View,
    /// A materialized view.
    Materialized,
    /// A foreign table.
    Foreign,
    /// A sequence.
    Sequence,
}

/// A relation as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSeen {
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub kind: TableKind,
    /// Its identity within the listing.
    pub id: i64,
    /// What it is a partition or child of, and what it cannot be made without: tables of which a choice takes it along.
    pub parents: Vec<i64>,
    /// Whether it is found without its schema's name.
    pub visible: bool,
    /// Whether an extension brought it.
    pub of_extension: bool,
    /// How large it is, with what lies beside it out of line; 0 where nobody asked.
    pub bytes: u64,
}

/// Partitions and children hang on their parents; a sequence on the tables whose columns it serves.
const LIST: &str = "
    SELECT c.oid::int8 AS id, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
           ARRAY(SELECT i.inhparent::int8 FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid
                 UNION SELECT d.refobjid::int8 FROM pg_catalog.pg_depend d
                       WHERE c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
                         AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
                 UNION SELECT a.adrelid::int8 FROM pg_catalog.pg_depend d
                       JOIN pg_catalog.pg_attrdef a ON a.oid = d.objid
                       WHERE c.relkind = 'S' AND d.classid = 'pg_catalog.pg_attrdef'::regclass
                         AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid) AS parents,
           pg_catalog.pg_table_is_visible(c.oid) AS visible,
           EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                       AND d.objid = c.oid AND d.deptype = 'e') AS of_extension,
           CASE WHEN $1 AND c.relkind IN ('r', 'm') THEN coalesce(pg_catalog.pg_table_size(c.oid), 0) ELSE 0 END AS bytes
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY 2, 3";

/// Opens a session that sees what a snapshot sees, and can change nothing.
///
/// # Errors
/// [`EngineError::Server`], also when the snapshot is gone.
pub(super) async fn seeing(to: &Connection, snapshot: Option<&str>) -> Result<PgConnection, EngineError> {
    let failed = |e: &sqlx::Error| EngineError::server(format!("looking at {to} under the snapshot"), e);
    let mut session = to.connect().await?;
    session.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.map_err(|e| failed(&e))?;
    if let Some(snapshot) = snapshot {
        let statement = format!("SET TRANSACTION SNAPSHOT {}", quote_literal(snapshot));
        session.execute(sqlx::AssertSqlSafe(statement)).await.map_err(|e| failed(&e))?;
    }
    Ok(session)
}

/// Lists what a database has, as of a snapshot; without one, as of now. `sized`: with sizes, which are as of now anyway.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn list(to: &Connection, snapshot: Option<&str>, sized: bool) -> Result<Vec<TableSeen>, EngineError> {
    let mut session = seeing(to, snapshot).await?;
    let rows = sqlx::query(LIST).bind(sized).fetch_all(&mut session).await;
    let rows = rows.map_err(|e| EngineError::server(format!("listing the tables of {to}"), &e))?;
    let _ended_anyway = session.close().await;
    let seen: Result<Vec<TableSeen>, sqlx::Error> = rows.iter().filter_map(|row| seen(row).transpose()).collect();
    seen.map_err(|e| EngineError::server("listing the tables", &e))
}

fn seen(row: &PgRow) -> Result<Option<TableSeen>, sqlx::Error> {
    let kind = match row.try_get::<&str, _>("kind")? {
        "r" => TableKind::Table,
        "p" => TableKind::Partitioned,
        "v" => TableKind::View,
        "m" => TableKind::Materialized,
        "f" => TableKind::Foreign,
        "S" => TableKind::Sequence,
        _ => return Ok(None),
    };
    Ok(Some(TableSeen {
        name: TableName { schema: row.try_get("schema")?, table: row.try_get("name")? },
        kind,
        id: row.try_get("id")?,
        parents: row.try_get("parents")?,
        visible: row.try_get("visible")?,
        of_extension: row.try_get("of_extension")?,
        bytes: u64::try_from(row.try_get::<i64, _>("bytes")?).unwrap_or(0),
    }))
}

/// What globs mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chosen {
    /// What a glob itself matches, but for sequences; in the order of the listing.
    pub matched: Vec<TableSeen>,
    /// All of it: with partitions, children, and the sequences that columns take their values from.
    pub all: Vec<TableName>,
}

/// Finds what globs over `schema.table` mean: `*` and `?` match, all else stands for itself with its case kept. A glob
/// without a dot means tables that are found without their schema's name. What extensions brought is left to them.
///
/// # Errors
/// [`EngineError::NoSuchTable`] for the first glob that means no table.
pub fn choose(seen: &[TableSeen], globs: &[String]) -> Result<Chosen, EngineError> {
    let mut taken: BTreeSet<i64> = BTreeSet::new();
    let mut chosen = Chosen::default();
    for glob in globs {
        let means = |one: &&TableSeen| match glob.split_once('.') {
            Some((schema, table)) => is_like(schema, &one.name.schema) && is_like(table, &one.name.table),
            None => one.visible && is_like(glob, &one.name.table),
        };
        let found: Vec<&TableSeen> = seen.iter().filter(means).collect();
        if !found.iter().any(|one| one.kind != TableKind::Sequence && !one.of_extension) {
            let why = match found.first() {
                Some(one) if one.of_extension => format!("{} belongs to an extension", one.name.quoted()),
                Some(one) => format!("{} is a sequence", one.name.quoted()),
                None => near(seen, glob),
            };
            return Err(EngineError::NoSuchTable { glob: glob.clone(), why });
        }
        taken.extend(found.into_iter().filter(|one| !one.of_extension).map(|one| one.id));
    }
    chosen.matched =
        seen.iter().filter(|one| taken.contains(&one.id) && one.kind != TableKind::Sequence).cloned().collect();
    let mut children: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for one in seen.iter().filter(|one| !one.of_extension) {
        one.parents.iter().for_each(|parent| children.entry(*parent).or_default().push(one.id));
    }
    let mut next: Vec<i64> = taken.iter().copied().collect();
    while let Some(parent) = next.pop() {
        let of_it = children.get(&parent).into_iter().flatten();
        next.extend(of_it.copied().filter(|child| taken.insert(*child)));
    }
    chosen.all = seen.iter().filter(|one| taken.contains(&one.id)).map(|one| one.name.clone()).collect();
    Ok(chosen)
}

/// Says what there is instead.
fn near(seen: &[TableSeen], glob: &str) -> String {
    let wanted = glob.rsplit_once('.').map_or(glob, |(_, table)| table);
    let same = |one: &&TableSeen| one.kind != TableKind::Sequence && one.name.table.eq_ignore_ascii_case(wanted);
    let names: Vec<String> = seen.iter().filter(same).take(3).map(|one| one.name.quoted()).collect();
    if names.is_empty() { "nothing is called so".to_owned() } else { format!("there is {}", names.join(", ")) }
}

/// Matches a name against a pattern of literal characters, `*` and `?`.
fn is_like(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut next) = (0, 0);
    // Where the newest star stands, and which character of the name it is to take next.
    let mut star: Option<(usize, usize)> = None;
    while next < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, next));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[next] => {
                at += 1;
                next += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    at = place + 1;
                    next = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::{Chosen, EngineError, TableKind, TableName, TableSeen, choose, is_like};
    use proptest::prelude::*;

    fn seen(id: i64, schema: &str, table: &str, kind: TableKind, parents: &[i64]) -> TableSeen {
        TableSeen {
            name: TableName { schema: schema.to_owned(), table: table.to_owned() },
            kind,
            id,
            parents: parents.to_vec(),
            visible: schema == "public",
            of_extension: table.starts_with("ext_"),
            bytes: 0,
        }
    }

    fn world() -> Vec<TableSeen> {
        vec![
            seen(1, "public", "tickets", TableKind::Partitioned, &[]),
            seen(2, "public", "tickets_2026", TableKind::Partitioned, &[1]),
            seen(3, "archive", "tickets_2026_01", TableKind::Table, &[2]),
            seen(4, "public", "ticket_id_seq", TableKind::Sequence, &[1]),
            seen(5, "Public", "a\"b.c.d", TableKind::Table, &[]),
            seen(6, "public", "ext_config", TableKind::Table, &[]),
            seen(7, "public", "loose_seq", TableKind::Sequence, &[]),
        ]
    }

    fn chosen(globs: &[&str]) -> Result<Chosen, EngineError> {
        choose(&world(), &globs.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>())
    }

    fn names(chosen: &Chosen) -> Vec<&str> {
        chosen.all.iter().map(|name| name.table.as_str()).collect()
    }

    #[test]
    fn a_partitioned_table_brings_its_partitions_and_its_sequence() {
        let chosen = chosen(&["public.tickets"]).unwrap();
        assert_eq!(names(&chosen), ["tickets", "tickets_2026", "tickets_2026_01", "ticket_id_seq"]);
        assert_eq!(chosen.matched.len(), 1);
    }

    #[test]
    fn a_glob_is_literal_but_for_its_wildcards() {
        assert_eq!(names(&chosen(&["Public.a\"b.c.*"]).unwrap()), ["a\"b.c.d"]);
        assert!(chosen(&["public.a\"b.c.d"]).is_err(), "case is kept");
        assert_eq!(names(&chosen(&["archive.tickets?2026?01"]).unwrap()), ["tickets_2026_01"]);
        assert!(chosen(&["tickets_2026_01"]).is_err(), "its schema is not on the search path");
    }

    #[test]
    fn a_glob_that_means_no_table_is_an_error_that_says_what_there_is() {
        let words = |glob: &str| chosen(&["public.tickets", glob]).unwrap_err().to_string();
        insta::assert_snapshot!(words("public.nothing_*"), @r#"no table matches "public.nothing_*": nothing is called so"#);
        insta::assert_snapshot!(words("archive.tickets"), @r#"no table matches "archive.tickets": there is "public"."tickets""#);
        insta::assert_snapshot!(words("public.loose_seq"), @r#"no table matches "public.loose_seq": "public"."loose_seq" is a sequence"#);
        insta::assert_snapshot!(words("public.ext_*"), @r#"no table matches "public.ext_*": "public"."ext_config" belongs to an extension"#);
    }

    proptest! {
        #[test]
        fn a_name_is_like_itself_and_like_a_star(name in "[a-c*?.\"é]{0,8}", head in 0_usize..9) {
            let literal = !name.contains(['*', '?']);
            prop_assert!(!literal || is_like(&name, &name));
            let head: String = name.chars().filter(|c| !['*', '?'].contains(c)).take(head).collect();
            prop_assert!(is_like("*", &name));
            prop_assert_eq!(is_like(&format!("{head}*"), &name), name.starts_with(&head));
        }
    }
}
