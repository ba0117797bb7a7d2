//! The schemas that carry a mark: found, told apart from what another restore is loading right now, and removed.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor as _, Row as _};

use super::super::compare::digests;
use super::super::sql::{quote_ident, quote_literal};
use super::exchange::Patience;
use super::keys::{briefly, outgoing, take_out};
use super::mark::{Mark, MarkKind, id_of};
use super::{close, session};
use crate::domain::{SequenceDigest, TableDigest};
use crate::engine::{Connection, EngineError, RowKey};

/// The first number of bkup's advisory locks: `bkup` in ASCII.
const LOCK_SPACE: i32 = 0x626b_7570;

/// A marked schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Its name now.
    pub schema: String,
    /// Its mark.
    pub mark: Mark,
}

impl Marked {
    /// Returns whether it is being loaded, or was. One that somebody has given another name is theirs, whatever its mark.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.mark.kind == MarkKind::Loading && self.schema.ends_with(&format!("__new_{}", self.mark.id))
    }
}

/// The session that says, as long as it is open, that what is loaded under an id is no leftover.
#[derive(Debug)]
pub struct Keeper {
    session: PgConnection,
}

impl Keeper {
    /// Opens it.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub async fn open(connection: &Connection, id: &str) -> Result<Self, EngineError> {
        let mut session = session(connection).await?;
        let lock = sqlx::query("SELECT pg_catalog.pg_advisory_lock($1, $2)").bind(LOCK_SPACE).bind(number(id));
        lock.execute(&mut session).await.map_err(|e| EngineError::server("marking the restore as running", &e))?;
        Ok(Self { session })
    }

    /// Opens it unless another session says so already.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub async fn open_if_free(connection: &Connection, id: &str) -> Result<Option<Self>, EngineError> {
        let mut session = session(connection).await?;
        let free = sqlx::query_scalar::<_, bool>("SELECT pg_catalog.pg_try_advisory_lock($1, $2)");
        let free = free.bind(LOCK_SPACE).bind(number(id)).fetch_one(&mut session).await;
        if free.map_err(|e| EngineError::server("looking whether a restore is running", &e))? {
            return Ok(Some(Self { session }));
        }
        close(session).await;
        Ok(None)
    }

    /// Ends it.
    pub async fn end(self) {
        close(self.session).await;
    }
}

fn number(id: &str) -> i32 {
    i32::from_ne_bytes(u32::from_str_radix(id, 16).unwrap_or(0).to_ne_bytes())
}

/// Returns the marked schemas of a database, the newest first.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn marked(connection: &Connection) -> Result<Vec<Marked>, EngineError> {
    let mut session = session(connection).await?;
    let found = marks(&mut session).await.map_err(|e| EngineError::server("looking for marked schemas", &e))?;
    close(session).await;
    Ok(found)
}

/// Returns the same within a session, or a transaction.
pub(super) async fn marks(session: &mut PgConnection) -> Result<Vec<Marked>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT n.nspname::text AS name, d.description AS comment FROM pg_catalog.pg_namespace n
         JOIN pg_catalog.pg_description d ON d.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
             AND d.objoid = n.oid AND d.objsubid = 0
         WHERE d.description LIKE 'bkup: %'",
    );
    Ok(newest_first(&rows.fetch_all(session).await?))
}

/// Reads the marks of rows with the columns `name` and `comment`; what has none is left out.
pub(super) fn newest_first(rows: &[PgRow]) -> Vec<Marked> {
    let read = |row: &PgRow| {
        let mark = Mark::read(row.try_get("comment").ok()?)?;
        Some(Marked { schema: row.try_get("name").ok()?, mark })
    };
    let mut found: Vec<Marked> = rows.iter().filter_map(read).collect();
    found.sort_by(|a, b| (&b.mark.at, &b.schema).cmp(&(&a.mark.at, &a.schema)));
    found
}

/// Schemas that a restore had made and not yet marked when it ended: `pg_restore` does one after the other. Only what has
/// such a name, no comment and nothing inside is taken for one.
const UNMARKED: &str = "
    SELECT n.nspname::text FROM pg_catalog.pg_namespace n
    WHERE n.nspname ~ '__new_[0-9a-f]{8}$' AND pg_catalog.obj_description(n.oid, 'pg_namespace') IS NULL
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.refobjid = n.oid)";

/// Removes what restores that are no more have left half loaded; returns the names.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn remove_leftovers(connection: &Connection, patience: &Patience) -> Result<Vec<String>, EngineError> {
    let what = "looking for what a restore has left";
    let mut session = session(connection).await?;
    let found = marks(&mut session).await.map_err(|e| EngineError::server(what, &e))?;
    let bare: Vec<String> =
        sqlx::query_scalar(UNMARKED).fetch_all(&mut session).await.map_err(|e| EngineError::server(what, &e))?;
    close(session).await;
    let mut removed = Vec::new();
    for leftover in found.into_iter().filter(Marked::is_loading) {
        // The lock is held while it is dropped, so that two restores do not both remove it.
        if let Some(keeper) = Keeper::open_if_free(connection, &leftover.mark.id).await? {
            drop_schema(connection, &leftover.schema, patience).await?;
            removed.push(leftover.schema);
            keeper.end().await;
        }
    }
    for schema in bare {
        if let Some(keeper) = Keeper::open_if_free(connection, id_of(&schema)).await? {
            let name = quote_ident(&schema);
            // Without CASCADE: what has come into it since makes this fail.
            let drop = format!("DROP SCHEMA IF EXISTS {name}");
            briefly(connection, &format!("dropping the empty schema {name}"), &drop, patience).await?;
            removed.push(schema);
            keeper.end().await;
        }
    }
    Ok(removed)
}

/// Drops a schema with all that is in it. Its foreign keys go first, one by one: each needs a lock on a table in use.
///
/// # Errors
/// [`EngineError::Server`], also when a lock is not to be had in time.
pub async fn drop_schema(connection: &Connection, schema: &str, patience: &Patience) -> Result<(), EngineError> {
    let keys = outgoing(connection, schema).await?;
    take_out(connection, schema, &keys, patience).await?;
    let name = quote_ident(schema);
    let drop = format!("DROP SCHEMA IF EXISTS {name} CASCADE");
    briefly(connection, &format!("dropping schema {name}"), &drop, patience).await
}

/// Returns the comment of a schema, where it is there and has one.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn own_comment(connection: &Connection, schema: &str) -> Result<Option<String>, EngineError> {
    let mut session = session(connection).await?;
    let comment = sqlx::query_scalar::<_, Option<String>>(
        "SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace WHERE nspname::text = $1",
    );
    let comment = comment.bind(schema).fetch_optional(&mut session).await;
    let comment = comment.map_err(|e| EngineError::server("reading a schema's comment", &e))?;
    close(session).await;
    Ok(comment.flatten())
}

/// Digests every table of a schema, plainly, and reads its sequences.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn content(
    connection: &Connection,
    schema: &str,
) -> Result<(Vec<TableDigest>, Vec<SequenceDigest>), EngineError> {
    let failed = |e: &sqlx::Error| EngineError::server(format!("reading the tables of {}", quote_ident(schema)), e);
    let mut session = session(connection).await?;
    let rows = sqlx::query(
        "SELECT c.relname::text AS \"table\",
                coalesce(pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attnum IS NOT NULL), '{}') AS columns
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_attribute a
             ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
         WHERE n.nspname::text = $1 AND c.relkind = 'r' GROUP BY c.oid, c.relname ORDER BY 1",
    );
    let rows = rows.bind(schema).fetch_all(&mut session).await.map_err(|e| failed(&e))?;
    let mut tables = Vec::new();
    for row in &rows {
        let read = row.try_get("table").and_then(|table| Ok((table, row.try_get("columns")?)));
        let (table, columns): (String, Vec<String>) = read.map_err(|e| failed(&e))?;
        tables.push(TableDigest {
            schema: schema.to_owned(),
            table,
            columns,
            rows: 0,
            bytes: 0,
            digest: String::new(),
        });
    }
    let names = sqlx::query_scalar::<_, String>(
        "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname::text = $1 AND c.relkind = 'S' ORDER BY 1",
    );
    let names = names.bind(schema).fetch_all(&mut session).await.map_err(|e| failed(&e))?;
    let mut sequences = Vec::new();
    for sequence in names {
        let query = format!("SELECT last_value, is_called FROM {}.{}", quote_ident(schema), quote_ident(&sequence));
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(&mut session).await.map_err(|e| failed(&e))?;
        let value = row.try_get("last_value").and_then(|value| Ok((value, row.try_get("is_called")?)));
        let (last_value, is_called) = value.map_err(|e| failed(&e))?;
        sequences.push(SequenceDigest { schema: schema.to_owned(), sequence, last_value, is_called });
    }
    close(session).await;
    Ok((digests(connection, &tables, &RowKey::none()).await?, sequences))
}

/// Sets a schema's comment.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn set_comment(connection: &Connection, schema: &str, comment: &str) -> Result<(), EngineError> {
    let mut session = session(connection).await?;
    let statement = format!("COMMENT ON SCHEMA {} IS {}", quote_ident(schema), quote_literal(comment));
    let done = session.execute(sqlx::AssertSqlSafe(statement)).await;
    done.map_err(|e| EngineError::server("marking a schema", &e))?;
    close(session).await;
    Ok(())
}

/// Gathers the planner's statistics of a schema's tables, so that it is as fast as the one it replaces.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn analyze(connection: &Connection, schema: &str) -> Result<(), EngineError> {
    let failed = |e: &sqlx::Error| EngineError::server(format!("analyzing {}", quote_ident(schema)), e);
    let mut session = session(connection).await?;
    let tables = sqlx::query_scalar::<_, String>(
        "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname::text = $1 AND c.relkind IN ('r', 'p', 'm') ORDER BY 1",
    );
    for table in tables.bind(schema).fetch_all(&mut session).await.map_err(|e| failed(&e))? {
        let analyze = format!("ANALYZE {}.{}", quote_ident(schema), quote_ident(&table));
        session.execute(sqlx::AssertSqlSafe(analyze)).await.map_err(|e| failed(&e))?;
    }
    close(session).await;
    Ok(())
}
