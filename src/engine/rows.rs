//! One table's rows brought back into a live table: a staging copy beside it, what is different, and the change in one
//! transaction. Its own triggers are not fired by that: they would change what is brought back, and tell of writes that
//! nobody made. Foreign keys, checks and unique constraints hold as ever.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _, Row as _};

use super::failure::words_of;
use super::sql::{quote_ident, quote_qualified};
use super::swap::{Patience, is_busy};
use super::{Connection, EngineError};

/// Between two attempts for a lock: who waited behind the one goes on meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// A live table, as it is to be filled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Its columns that are not generated, in order.
    pub columns: Vec<String>,
    /// Those whose values only the database gives, unless it is told otherwise.
    pub always: Vec<String>,
    /// The columns of its primary key, or else of a unique one without nulls; empty where there is none.
    pub key: Vec<String>,
    /// Tables that lose or change rows when rows of this one go: `ON DELETE CASCADE` and its kin.
    pub cascades: Vec<String>,
    /// Whether it has no rows of its own.
    pub partitioned: bool,
}

/// How rows get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsInto {
    /// Missing ones are inserted; what is there stays.
    Merge,
    /// Missing ones are inserted, different ones are set back.
    Update,
    /// The table holds what the backup holds, and nothing else.
    Replace,
}

/// How a table and its staging copy differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowsDiffer {
    /// Rows of the backup that the table lacks.
    pub missing: i64,
    /// Rows of both with other content; always 0 without a key.
    pub different: i64,
    /// Rows of the table that the backup lacks.
    pub extra: i64,
    /// Rows of both with the same content.
    pub same: i64,
}

/// What was done to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowsChanged {
    /// Inserted.
    pub inserted: u64,
    /// Set back.
    pub updated: u64,
    /// Deleted.
    pub deleted: u64,
}

async fn session(connection: &Connection) -> Result<PgConnection, EngineError> {
    let mut session = connection.connect().await?;
    let bare = "SELECT pg_catalog.set_config('search_path', '', false); SET row_security = off";
    session.execute(bare).await.map_err(|e| EngineError::server("preparing the session", &e))?;
    Ok(session)
}

const FACTS: &str = "
    SELECT c.relkind = 'p' AS partitioned,
           ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                 ORDER BY a.attnum) AS columns,
           ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attidentity = 'a') AS always,
           ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index x
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (x.indkey[0:x.indnkeyatts - 1])
                 WHERE x.indexrelid = (
                     SELECT i.indexrelid FROM pg_catalog.pg_index i
                     WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                       AND i.indexprs IS NULL AND i.indimmediate
                       AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute n WHERE n.attrelid = c.oid
                                       AND n.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]) AND NOT n.attnotnull)
                     ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1)
                 ORDER BY a.attnum) AS key,
           ARRAY(SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, r.relname) FROM pg_catalog.pg_constraint f
                 JOIN pg_catalog.pg_class r ON r.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
                 WHERE f.confrelid = c.oid AND f.contype = 'f' AND f.confdeltype IN ('c', 'n', 'd')) AS cascades
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
    WHERE s.nspname::text = $1 AND c.relname::text = $2 AND c.relkind IN ('r', 'p')";

/// Looks at a table; `None` where it is not there.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn live_table(connection: &Connection, schema: &str, table: &str) -> Result<Option<LiveTable>, EngineError> {
    let mut session = session(connection).await?;
    let row = sqlx::query(FACTS).bind(schema).bind(table).fetch_optional(&mut session).await;
    let failed = |e: &sqlx::Error| EngineError::server(format!("looking at {}", quote_qualified(schema, table)), e);
    let Some(row) = row.map_err(|e| failed(&e))? else { return Ok(None) };
    let names = |column: &str| row.try_get::<Vec<String>, _>(column).map_err(|e| failed(&e));
    let found = LiveTable {
        schema: schema.to_owned(),
        table: table.to_owned(),
        columns: names("columns")?,
        always: names("always")?,
        key: names("key")?,
        cascades: names("cascades")?,
        partitioned: row.try_get("partitioned").map_err(|e| failed(&e))?,
    };
    let _closed = session.close().await;
    Ok(Some(found))
}

/// A staging copy.
#[derive(Debug, Clone)]
pub struct Staged<'a> {
    /// The table it is for.
    pub live: &'a LiveTable,
    /// The schema it lies in, under the same name.
    pub staging: &'a str,
    /// The columns that the backup has.
    pub columns: &'a [String],
}

impl Staged<'_> {
    fn target(&self) -> String {
        quote_qualified(&self.live.schema, &self.live.table)
    }

    fn source(&self) -> String {
        quote_qualified(self.staging, &self.live.table)
    }

    fn list(&self, prefix: &str) -> String {
        self.columns.iter().map(|c| format!("{prefix}{}", quote_ident(c))).collect::<Vec<_>>().join(", ")
    }

    fn texts(&self, prefix: &str) -> String {
        self.columns.iter().map(|c| format!("{prefix}{}::text", quote_ident(c))).collect::<Vec<_>>().join(", ")
    }

    /// The condition that two rows have the same key.
    fn same_key(&self) -> String {
        let pairs = self.live.key.iter().map(|c| format!("s.{0} = l.{0}", quote_ident(c)));
        pairs.collect::<Vec<_>>().join(" AND ")
    }

    /// Types without equality (`json`, `xml`) are compared as they are written; so are all others.
    fn differs(&self) -> String {
        format!("ROW({}) IS DISTINCT FROM ROW({})", self.texts("s."), self.texts("l."))
    }

    /// Returns the statement that counts what differs. Pure.
    #[must_use]
    pub fn difference(&self) -> String {
        let (source, target) = (self.source(), self.target());
        if self.live.key.is_empty() {
            let (own, other) = (self.texts(""), self.texts(""));
            let count = |from: &str, but: &str| {
                format!("(SELECT count(*) FROM (SELECT {own} FROM {from} EXCEPT ALL SELECT {other} FROM {but}) d)")
            };
            return format!(
                "SELECT {} AS missing, 0::int8 AS different, {} AS extra,
                        (SELECT count(*) FROM {target}) - {} AS same",
                count(&source, &target),
                count(&target, &source),
                count(&target, &source)
            );
        }
        format!(
            "SELECT count(*) FILTER (WHERE l.ctid IS NULL) AS missing,
                    count(*) FILTER (WHERE l.ctid IS NOT NULL AND s.ctid IS NOT NULL AND {0}) AS different,
                    count(*) FILTER (WHERE s.ctid IS NULL) AS extra,
                    count(*) FILTER (WHERE l.ctid IS NOT NULL AND s.ctid IS NOT NULL AND NOT ({0})) AS same
             FROM {source} s FULL JOIN {target} l ON {1}",
            self.differs(),
            self.same_key()
        )
    }

    /// Returns the statements that bring the rows in: delete, update, insert, each absent where it is not asked for. Pure.
    #[must_use]
    pub fn statements(&self, how: RowsInto) -> [Option<String>; 3] {
        let (source, target, same) = (self.source(), self.target(), self.same_key());
        let insert = format!(
            "INSERT INTO {target} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {source} s",
            self.list(""),
            self.list("s.")
        );
        if self.live.key.is_empty() {
            return [Some(format!("DELETE FROM {target}")), None, Some(insert)];
        }
        let insert = format!("{insert} WHERE NOT EXISTS (SELECT FROM {target} l WHERE {same})");
        let set: Vec<String> = self
            .columns
            .iter()
            .filter(|c| !self.live.key.contains(c) && !self.live.always.contains(c))
            .map(|c| format!("{0} = s.{0}", quote_ident(c)))
            .collect();
        let update =
            format!("UPDATE {target} l SET {} FROM {source} s WHERE {same} AND {}", set.join(", "), self.differs());
        let update = (how != RowsInto::Merge && !set.is_empty()).then_some(update);
        let delete = format!("DELETE FROM {target} l WHERE NOT EXISTS (SELECT FROM {source} s WHERE {same})");
        [(how == RowsInto::Replace).then_some(delete), update, Some(insert)]
    }
}

/// Makes the staging table, and copies the rows out of a table of the same name on another server.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn stage(from: &Connection, live: &Connection, staged: &Staged<'_>) -> Result<(), EngineError> {
    let what = format!("copying the rows of {}", staged.target());
    let failed = |e: &sqlx::Error| EngineError::server(what.clone(), e);
    let mut into = session(live).await?;
    let make = format!(
        "CREATE UNLOGGED TABLE {} AS SELECT {} FROM ONLY {} WITH NO DATA",
        staged.source(),
        staged.list(""),
        staged.target()
    );
    into.execute(sqlx::AssertSqlSafe(make)).await.map_err(|e| failed(&e))?;
    let mut source = session(from).await?;
    // A partitioned table has no rows of its own, and only a query reads all of them.
    let read = format!("COPY (SELECT {} FROM {}) TO STDOUT", staged.list(""), staged.target());
    let write = format!("COPY {} ({}) FROM STDIN", staged.source(), staged.list(""));
    let mut rows = source.copy_out_raw(&read).await.map_err(|e| failed(&e))?;
    let mut sink = into.copy_in_raw(&write).await.map_err(|e| failed(&e))?;
    loop {
        match rows.try_next().await {
            Ok(Some(piece)) => drop(sink.send(piece).await.map_err(|e| failed(&e))?),
            Ok(None) => break,
            Err(error) => {
                let _aborted = sink.abort("the other side failed").await;
                return Err(failed(&error));
            }
        }
    }
    drop(rows);
    sink.finish().await.map_err(|e| failed(&e))?;
    if !staged.live.key.is_empty() {
        let key: Vec<String> = staged.live.key.iter().map(|column| quote_ident(column)).collect();
        let index = format!("CREATE INDEX ON {} ({}); ANALYZE {}", staged.source(), key.join(", "), staged.source());
        into.execute(sqlx::AssertSqlSafe(index)).await.map_err(|e| failed(&e))?;
    }
    let _closed = (into.close().await, source.close().await);
    Ok(())
}

/// Counts what differs.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn rows_differ(live: &Connection, staged: &Staged<'_>) -> Result<RowsDiffer, EngineError> {
    let mut session = session(live).await?;
    let found = differ(&mut session, staged).await;
    let found = found.map_err(|e| EngineError::server(format!("comparing {}", staged.target()), &e))?;
    let _closed = session.close().await;
    Ok(found)
}

async fn differ(session: &mut PgConnection, staged: &Staged<'_>) -> Result<RowsDiffer, sqlx::Error> {
    let row = sqlx::query(sqlx::AssertSqlSafe(staged.difference())).fetch_one(session).await?;
    Ok(RowsDiffer {
        missing: row.try_get("missing")?,
        different: row.try_get("different")?,
        extra: row.try_get("extra")?,
        same: row.try_get("same")?,
    })
}

/// Brings the rows in. Writers of the table wait for as long as it takes; readers do not. At its end the table holds what
/// was asked for, or nothing was changed. Each attempt for the table's lock is short, since writers wait behind it.
///
/// # Errors
/// [`EngineError::Server`]; nothing was changed then.
pub async fn rows_into(
    live: &Connection,
    staged: &Staged<'_>,
    how: RowsInto,
    patience: &Patience,
) -> Result<RowsChanged, EngineError> {
    let mut session = session(live).await?;
    let failed = |error: &sqlx::Error| EngineError::Restore(format!("{}: {}", staged.target(), words_of(error)));
    lock(&mut session, staged, patience).await.map_err(|error| failed(&error))?;
    match bring_in(&mut session, staged, how).await {
        Ok(Some(changed)) => {
            let committed = session.execute("COMMIT").await;
            committed.map_err(|e| EngineError::server(format!("committing the rows of {}", staged.target()), &e))?;
            let _closed = session.close().await;
            Ok(changed)
        }
        // The session is dropped, and with it the transaction.
        Ok(None) => Err(EngineError::Restore(format!(
            "{} does not hold what was brought in: a rule changes it",
            staged.target()
        ))),
        Err(error) => Err(failed(&error)),
    }
}

/// Begins a transaction that holds the table against writers.
async fn lock(session: &mut PgConnection, staged: &Staged<'_>, patience: &Patience) -> Result<(), sqlx::Error> {
    let take = format!(
        "SET LOCAL lock_timeout = {}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE; SET LOCAL lock_timeout = 0",
        patience.lock.as_millis(),
        staged.target()
    );
    let begun = std::time::Instant::now();
    loop {
        session.execute("BEGIN").await?;
        match session.execute(sqlx::AssertSqlSafe(take.clone())).await {
            Ok(_) => return Ok(()),
            Err(error) if is_busy(&error) && begun.elapsed() < patience.total => {
                session.execute("ROLLBACK").await?;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn bring_in(
    session: &mut PgConnection,
    staged: &Staged<'_>,
    how: RowsInto,
) -> Result<Option<RowsChanged>, sqlx::Error> {
    let target = staged.target();
    let triggers = sqlx::query(
        "SELECT t.tgname::text AS name, t.tgenabled::text AS state FROM pg_catalog.pg_trigger t
         JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname::text = $1 AND c.relname::text = $2 AND NOT t.tgisinternal AND t.tgenabled <> 'D'",
    );
    let triggers = triggers.bind(&staged.live.schema).bind(&staged.live.table).fetch_all(&mut *session).await?;
    let mut again = String::new();
    for row in &triggers {
        let (name, state): (String, String) = (row.try_get("name")?, row.try_get("state")?);
        let name = quote_ident(&name);
        let enabled = match state.as_str() {
            "A" => "ENABLE ALWAYS",
            "R" => "ENABLE REPLICA",
            _ => "ENABLE",
        };
        again.push_str(&format!("ALTER TABLE {target} {enabled} TRIGGER {name};"));
        session.execute(sqlx::AssertSqlSafe(format!("ALTER TABLE {target} DISABLE TRIGGER {name}"))).await?;
    }
    let mut counts = [0; 3];
    for (count, statement) in counts.iter_mut().zip(staged.statements(how)) {
        if let Some(statement) = statement {
            *count = session.execute(sqlx::AssertSqlSafe(statement)).await?.rows_affected();
        }
    }
    session.execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
    if !again.is_empty() {
        session.execute(sqlx::AssertSqlSafe(again)).await?;
    }
    let left = differ(session, staged).await?;
    let holds = left.missing == 0
        && (how == RowsInto::Merge || left.different == 0)
        && (how != RowsInto::Replace || left.extra == 0);
    advance(session, staged).await?;
    let [deleted, updated, inserted] = counts;
    Ok(holds.then_some(RowsChanged { inserted, updated, deleted }))
}

/// Moves the sequences of its columns past the rows that came in. That is not undone by a rollback, and need not be.
async fn advance(session: &mut PgConnection, staged: &Staged<'_>) -> Result<(), sqlx::Error> {
    let target = staged.target();
    for column in staged.columns {
        let sequence = sqlx::query_scalar::<_, Option<String>>("SELECT pg_catalog.pg_get_serial_sequence($1, $2)");
        let Some(sequence) = sequence.bind(&target).bind(column).fetch_one(&mut *session).await? else { continue };
        let column = quote_ident(column);
        let set = format!(
            "SELECT pg_catalog.setval($1::regclass, m.top) FROM (SELECT max({column})::int8 AS top FROM {target}) m
             WHERE m.top >= (SELECT last_value FROM {sequence})"
        );
        sqlx::query(sqlx::AssertSqlSafe(set)).bind(&sequence).execute(&mut *session).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{LiveTable, RowsInto, Staged};

    fn table(key: &[&str]) -> LiveTable {
        LiveTable {
            schema: "s".to_owned(),
            table: "t".to_owned(),
            columns: ["id", "a\"b"].map(str::to_owned).to_vec(),
            key: key.iter().map(|column| (*column).to_owned()).collect(),
            ..LiveTable::default()
        }
    }

    #[test]
    fn a_merge_keeps_what_is_there_an_update_sets_it_back_and_a_replacement_deletes_the_rest() {
        let live = table(&["id"]);
        let staged = Staged { live: &live, staging: "x", columns: &live.columns };
        let there = |how| staged.statements(how).map(|statement| statement.is_some());
        assert_eq!(there(RowsInto::Merge), [false, false, true]);
        assert_eq!(there(RowsInto::Update), [false, true, true]);
        assert_eq!(there(RowsInto::Replace), [true, true, true]);
        assert_eq!(
            staged.statements(RowsInto::Merge)[2].as_deref(),
            Some(
                r#"INSERT INTO "s"."t" ("id", "a""b") OVERRIDING SYSTEM VALUE SELECT s."id", s."a""b" FROM "x"."t" s WHERE NOT EXISTS (SELECT FROM "s"."t" l WHERE s."id" = l."id")"#
            )
        );
    }

    #[test]
    fn without_a_key_all_rows_go_before_all_come() {
        let live = table(&[]);
        let staged = Staged { live: &live, staging: "x", columns: &live.columns };
        let [delete, update, insert] = staged.statements(RowsInto::Replace);
        assert_eq!((delete.as_deref(), update), (Some(r#"DELETE FROM "s"."t""#), None));
        assert!(insert.is_some_and(|insert| !insert.contains("WHERE")));
    }
}
