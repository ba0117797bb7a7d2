//! Foreign keys across the schema's border. Those that go out are taken out of what is loaded, and added when the rows
//! are there: an `ADD` that checks holds the other table against writers for as long as it checks. Those that come in
//! are validated after the swap.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};

use super::super::failure::words_of;
use super::super::sql::{quote_ident, quote_literal, quote_qualified};
use super::exchange::Patience;
use super::review::OutsideKey;
use super::{close, is_busy, run, session};
use crate::engine::{Connection, EngineError};

/// A foreign key from the schema to a table outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Without `NOT VALID`.
    pub definition: String,
    /// Whether its rows are to be checked.
    pub validated: bool,
    /// Whether its table is partitioned: then it can only be added checked.
    pub partitioned: bool,
    /// Its comment.
    pub comment: Option<String>,
}

const OWN: &str = "
    SELECT c.relname::text AS \"table\", k.conname::text AS name, pg_catalog.pg_get_constraintdef(k.oid) AS definition,
           k.convalidated AS validated, c.relkind = 'p' AS partitioned,
           pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_class r ON r.oid = k.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype = 'f' AND n.nspname::text = $1 AND r.relnamespace <> c.relnamespace AND k.conparentid = 0
    ORDER BY 1, 2";

/// Returns a schema's foreign keys to tables of others.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn outgoing(connection: &Connection, schema: &str) -> Result<Vec<OwnKey>, EngineError> {
    let mut session = session(connection).await?;
    let keys = own(&mut session, schema).await.map_err(|e| EngineError::server("reading foreign keys", &e))?;
    close(session).await;
    Ok(keys)
}

async fn own(session: &mut PgConnection, schema: &str) -> Result<Vec<OwnKey>, sqlx::Error> {
    let rows = sqlx::query(OWN).bind(schema).fetch_all(session).await?;
    rows.iter()
        .map(|row| {
            let definition: String = row.try_get("definition")?;
            Ok(OwnKey {
                table: row.try_get("table")?,
                name: row.try_get("name")?,
                definition: definition.strip_suffix(" NOT VALID").unwrap_or(&definition).to_owned(),
                validated: row.try_get("validated")?,
                partitioned: row.try_get("partitioned")?,
                comment: row.try_get("comment")?,
            })
        })
        .collect()
}

/// Drops foreign keys of a schema, one short transaction each: each needs a lock on a table of others, too.
///
/// # Errors
/// [`EngineError::Server`], also when a lock is not to be had in time.
pub async fn take_out(
    connection: &Connection,
    schema: &str,
    keys: &[OwnKey],
    patience: &Patience,
) -> Result<(), EngineError> {
    for key in keys {
        let table = quote_qualified(schema, &key.table);
        let drop = format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {}", quote_ident(&key.name));
        briefly(connection, &format!("dropping foreign key {} of {table}", quote_ident(&key.name)), &drop, patience)
            .await?;
    }
    Ok(())
}

/// Adds them to a schema without checking, so that no lock lasts.
///
/// # Errors
/// [`EngineError::Server`], also when a lock is not to be had in time.
pub async fn add_keys(
    connection: &Connection,
    schema: &str,
    keys: &[OwnKey],
    patience: &Patience,
) -> Result<(), EngineError> {
    for key in keys {
        let (table, name) = (quote_qualified(schema, &key.table), quote_ident(&key.name));
        let unchecked = if key.partitioned { "" } else { " NOT VALID" };
        let mut add = format!("ALTER TABLE {table} ADD CONSTRAINT {name} {}{unchecked}", key.definition);
        if let Some(comment) = &key.comment {
            add.push_str(&format!("; COMMENT ON CONSTRAINT {name} ON {table} IS {}", quote_literal(comment)));
        }
        briefly(connection, &format!("adding foreign key {name} of {table}"), &add, patience).await?;
    }
    Ok(())
}

/// Checks them: readers and writers go on meanwhile.
///
/// # Errors
/// [`EngineError::Restore`], where rows refer to what is not there.
pub async fn check_keys(connection: &Connection, schema: &str, keys: &[OwnKey]) -> Result<(), EngineError> {
    let mut session = session(connection).await?;
    for key in keys.iter().filter(|key| key.validated && !key.partitioned) {
        let table = quote_qualified(schema, &key.table);
        let check = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {}", quote_ident(&key.name));
        let done = session.execute(sqlx::AssertSqlSafe(check)).await;
        done.map_err(|e| {
            EngineError::Restore(format!("foreign key {} of {table}: {}", quote_ident(&key.name), words_of(&e)))
        })?;
    }
    close(session).await;
    Ok(())
}

/// Counts the rows of a table of others that refer to rows that a schema, loaded under another name, does not have.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn orphans(connection: &Connection, key: &OutsideKey, incoming: &str) -> Result<i64, EngineError> {
    let pairs = || key.columns.iter().zip(&key.target_columns);
    let filled: Vec<String> = pairs().map(|(own, _)| format!("o.{} IS NOT NULL", quote_ident(own))).collect();
    let same: Vec<String> =
        pairs().map(|(own, other)| format!("t.{} = o.{}", quote_ident(other), quote_ident(own))).collect();
    let query = format!(
        "SELECT count(*) FROM {} o WHERE {} AND NOT EXISTS (SELECT FROM {} t WHERE {})",
        quote_qualified(&key.schema, &key.table),
        filled.join(" AND "),
        quote_qualified(incoming, &key.target),
        same.join(" AND "),
    );
    let mut session = session(connection).await?;
    let count = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut session).await;
    let count = count
        .map_err(|e| EngineError::server(format!("looking for rows that {} would lose", quote_ident(&key.name)), &e))?;
    close(session).await;
    Ok(count)
}

/// Validates the foreign keys of others after a swap. One that does not hold stays as it is: new rows are checked. Returns
/// these: their name, and the server's words.
///
/// # Errors
/// [`EngineError::Server`], when nobody answers.
pub async fn validate_outside(
    connection: &Connection,
    keys: &[OutsideKey],
) -> Result<Vec<(String, String)>, EngineError> {
    let mut session = session(connection).await?;
    let mut failed = Vec::new();
    for key in keys.iter().filter(|key| key.validated) {
        let table = quote_qualified(&key.schema, &key.table);
        let name = format!("{} of {table}", quote_ident(&key.name));
        let check = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {}", quote_ident(&key.name));
        if let Err(error) = session.execute(sqlx::AssertSqlSafe(check)).await {
            failed.push((name, words_of(&error)));
        }
    }
    close(session).await;
    Ok(failed)
}

/// Runs a statement that needs locks on tables in use: each attempt waits for less than a second.
pub(super) async fn briefly(
    connection: &Connection,
    what: &str,
    statement: &str,
    patience: &Patience,
) -> Result<(), EngineError> {
    let mut session = session(connection).await?;
    let limit = patience.lock.as_millis();
    run(&mut session, what, format!("SET lock_timeout = {limit}")).await?;
    let mut pause = Duration::from_millis(50);
    let begun = std::time::Instant::now();
    loop {
        match session.execute(sqlx::AssertSqlSafe(statement.to_owned())).await {
            Ok(_) => break,
            Err(error) if is_busy(&error) && begun.elapsed() < patience.total => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
            Err(error) => return Err(EngineError::Server { what: what.to_owned(), reason: words_of(&error) }),
        }
    }
    close(session).await;
    Ok(())
}
