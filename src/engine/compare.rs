//! A restored database against the digests recorded when it was dumped: the recorded columns are read again in the
//! recorded order, under the same session settings, and come to the same sums or do not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _, Row as _};

use super::digest::{Rows, TableHasher};
use super::sql::{quote_ident, quote_qualified};
use super::{Connection, EngineError, RowKey};
use crate::domain::{SequenceDigest, TableComparison, TableDigest};

/// How many tables are read at once.
const SESSIONS: usize = 2;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Tables that were compared.
    pub tables: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Tables that differ, in the order in which they were recorded.
    pub differences: Vec<TableComparison>,
    /// Sequences that differ.
    pub sequences: Vec<SequenceDifference>,
}

impl Comparison {
    /// Returns whether nothing differs.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty() && self.sequences.is_empty()
    }
}

/// A sequence whose value is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceDifference {
    /// What was recorded.
    pub recorded: SequenceDigest,
    /// What is there; absent where the sequence is missing.
    pub restored: Option<SequenceDigest>,
}

/// Compares. A missing table or sequence is a difference, not an error.
///
/// # Errors
/// [`EngineError::Server`] when the database cannot be read.
pub async fn compare(
    connection: &Connection,
    tables: &[TableDigest],
    sequences: &[SequenceDigest],
    key: &RowKey,
) -> Result<Comparison, EngineError> {
    let found = read_all(connection, tables, key).await?;
    let mut comparison = Comparison { tables: tables.len() as u64, ..Comparison::default() };
    for (index, restored) in found {
        let recorded = &tables[index];
        comparison.rows += restored.map_or(0, |rows| rows.count);
        let equal = restored.is_some_and(|rows| {
            rows.count == recorded.rows && rows.bytes == recorded.bytes && rows.digest.to_string() == recorded.digest
        });
        if !equal {
            comparison.differences.push(TableComparison {
                table: quote_qualified(&recorded.schema, &recorded.table),
                recorded_rows: recorded.rows,
                restored_rows: restored.map(|rows| rows.count),
                recorded_digest: recorded.digest.clone(),
                restored_digest: restored.map(|rows| rows.digest.to_string()),
            });
        }
    }
    if !sequences.is_empty() {
        let mut session = connection.connect().await?;
        for recorded in sequences {
            let restored = sequence(&mut session, recorded).await?;
            if restored.as_ref() != Some(recorded) {
                comparison.sequences.push(SequenceDifference { recorded: recorded.clone(), restored });
            }
        }
        let _closed = session.close().await;
    }
    Ok(comparison)
}

/// Digests tables that are there, by the columns that are given; what else is given is not looked at.
///
/// # Errors
/// [`EngineError::Server`], also where one is missing.
pub async fn digests(
    connection: &Connection,
    tables: &[TableDigest],
    key: &RowKey,
) -> Result<Vec<TableDigest>, EngineError> {
    let found = read_all(connection, tables, key).await?;
    let digested = found.into_iter().zip(tables).map(|((_, rows), table)| match rows {
        Some(rows) => {
            Ok(TableDigest { rows: rows.count, bytes: rows.bytes, digest: rows.digest.to_string(), ..table.clone() })
        }
        None => Err(EngineError::Server {
            what: format!("reading {}", quote_qualified(&table.schema, &table.table)),
            reason: "it is gone".to_owned(),
        }),
    });
    digested.collect()
}

type Queue = Arc<Mutex<VecDeque<(usize, TableDigest)>>>;

async fn read_all(
    connection: &Connection,
    tables: &[TableDigest],
    key: &RowKey,
) -> Result<Vec<(usize, Option<Rows>)>, EngineError> {
    let queue: Queue = Arc::new(Mutex::new(tables.iter().cloned().enumerate().collect()));
    let workers: Vec<_> = (0..SESSIONS.min(tables.len()))
        .map(|_| super::task::spawn(worker(connection.clone(), Arc::clone(&queue), key.clone())))
        .collect();
    let mut found = Vec::new();
    for worker in workers {
        found.extend(worker.join().await?);
    }
    found.sort_by_key(|(index, _)| *index);
    Ok(found)
}

async fn worker(connection: Connection, queue: Queue, key: RowKey) -> Result<Vec<(usize, Option<Rows>)>, EngineError> {
    let mut session = reading_session(&connection).await?;
    let mut found = Vec::new();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((index, table)) = next else { break };
        let rows = digest(&mut session, &table, &key).await?;
        if rows.is_none() {
            // The driver does not read to the end of a COPY that the server refused; the session is out of step.
            session = reading_session(&connection).await?;
        }
        found.push((index, rows));
    }
    let _closed = session.close().await;
    Ok(found)
}

/// Opens a session that writes rows as `pg_dump`'s does: it, too, empties the search path, which decides how the names
/// in `regclass` values are written.
async fn reading_session(connection: &Connection) -> Result<PgConnection, EngineError> {
    let failed = |e: &sqlx::Error| EngineError::server("preparing the comparison", e);
    let mut session = connection.connect().await?;
    let row = sqlx::query("SELECT pg_catalog.current_setting('server_encoding')").fetch_one(&mut session).await;
    let encoding: String = row.and_then(|row| row.try_get(0)).map_err(|e| failed(&e))?;
    session
        .execute("SELECT pg_catalog.set_config('search_path', '', false); SET row_security = off;")
        .await
        .map_err(|e| failed(&e))?;
    if encoding == "SQL_ASCII" {
        session.execute("SET client_encoding = 'SQL_ASCII'").await.map_err(|e| failed(&e))?;
    }
    Ok(session)
}

/// Digests a table's rows; `None` where table, schema or a column is missing.
async fn digest(session: &mut PgConnection, table: &TableDigest, key: &RowKey) -> Result<Option<Rows>, EngineError> {
    let name = quote_qualified(&table.schema, &table.table);
    let failed = |e: &sqlx::Error| EngineError::server(format!("reading {name}"), e);
    let columns: Vec<String> = table.columns.iter().map(|column| quote_ident(column)).collect();
    let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    let statement = format!("COPY {name}{columns} TO STDOUT");
    let mut hasher = TableHasher::new(key);
    let broken = |reason| EngineError::Server { what: format!("reading {name}"), reason };
    match session.copy_out_raw(&statement).await {
        Ok(mut rows) => loop {
            match rows.try_next().await {
                Ok(Some(piece)) => hasher.feed(&piece, false).map_err(|e| broken(e.to_string()))?,
                Ok(None) => break,
                Err(error) => return Err(failed(&error)),
            }
        },
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(failed(&error)),
    }
    hasher.finish(false).map(Some).map_err(|e| broken(e.to_string()))
}

async fn sequence(
    session: &mut PgConnection,
    recorded: &SequenceDigest,
) -> Result<Option<SequenceDigest>, EngineError> {
    let name = quote_qualified(&recorded.schema, &recorded.sequence);
    let statement = format!("SELECT last_value, is_called FROM {name}");
    let row = match sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_one(&mut *session).await {
        Ok(row) => row,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(EngineError::server(format!("reading {name}"), &error)),
    };
    let value = row.try_get(0).and_then(|last_value| Ok((last_value, row.try_get(1)?)));
    let (last_value, is_called) = value.map_err(|e| EngineError::server(format!("reading {name}"), &e))?;
    Ok(Some(SequenceDigest { last_value, is_called, ..recorded.clone() }))
}

/// Undefined table, column or schema; or a thing of another kind under that name.
fn is_missing(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e)
        if e.code().is_some_and(|code| ["42P01", "42703", "3F000", "42809"].contains(&code.as_ref())))
}
