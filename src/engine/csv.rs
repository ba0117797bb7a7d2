//! The rows of a table or view as CSV with a header, as of a snapshot, streamed by the server itself.

use bytes::Bytes;
use futures_util::TryStreamExt;
use sqlx::{Connection as _, Executor as _};
use tokio::sync::mpsc;

use super::tables::{TableKind, TableName, seeing};
use super::task::{self, Task};
use super::{Connection, EngineError};

/// How many pieces wait at most.
const PIECES: usize = 16;
/// How much a piece holds at least, but for the last: the server sends each row by itself.
const PIECE: usize = 128 * 1024;

/// Rows under way. Dropping it ends them.
pub struct CsvRows {
    /// Their bytes, in order. That they end does not say that they are whole: [`CsvRows::finish`] does.
    pub chunks: mpsc::Receiver<Bytes>,
    task: Task<Result<u64, EngineError>>,
}

/// Begins to read. To be called inside the runtime.
#[must_use]
pub fn csv_rows(connection: &Connection, snapshot: String, name: TableName, kind: TableKind) -> CsvRows {
    let (sender, chunks) = mpsc::channel(PIECES);
    let connection = connection.clone();
    let task = task::spawn(async move { read(&connection, &snapshot, &name, kind, sender).await });
    CsvRows { chunks, task }
}

impl CsvRows {
    /// Takes the channel away, to be drained elsewhere; `finish` stays here.
    #[must_use]
    pub fn take_chunks(&mut self) -> mpsc::Receiver<Bytes> {
        std::mem::replace(&mut self.chunks, mpsc::channel(1).1)
    }

    /// Waits for the end. Only its `Ok` says that all rows came; it returns the number of bytes.
    ///
    /// # Errors
    /// [`EngineError::Server`]; what came is not to be used then.
    pub async fn finish(mut self) -> Result<u64, EngineError> {
        while self.chunks.recv().await.is_some() {}
        self.task.join().await
    }
}

/// Returns the statement. A query and not the table's name, so that generated columns come too; `ONLY`, so that a row
/// that another file holds does not come twice. A partitioned table has no rows but those of its partitions.
fn statement(name: &TableName, kind: TableKind) -> String {
    let only = if kind == TableKind::Table { "ONLY " } else { "" };
    format!("COPY (SELECT * FROM {only}{}) TO STDOUT (FORMAT csv, HEADER)", name.quoted())
}

async fn read(
    connection: &Connection,
    snapshot: &str,
    name: &TableName,
    kind: TableKind,
    sender: mpsc::Sender<Bytes>,
) -> Result<u64, EngineError> {
    let failed = |e: &sqlx::Error| EngineError::server(format!("reading {} as CSV", name.quoted()), e);
    let mut session = seeing(connection, Some(snapshot)).await?;
    // A policy that hides rows from this role must be an error: a file that lacks them would look whole.
    session.execute("SET row_security = off").await.map_err(|e| failed(&e))?;
    let statement = statement(name, kind);
    let mut total = 0;
    let mut piece = bytes::BytesMut::new();
    {
        let mut rows = session.copy_out_raw(&statement).await.map_err(|e| failed(&e))?;
        while let Some(row) = rows.try_next().await.map_err(|e| failed(&e))? {
            total += row.len() as u64;
            piece.extend_from_slice(&row);
            // A reader that is gone has failed and will say why.
            if piece.len() >= PIECE && sender.send(piece.split().freeze()).await.is_err() {
                return Ok(total);
            }
        }
    }
    if !piece.is_empty() && sender.send(piece.freeze()).await.is_err() {
        return Ok(total);
    }
    let _ended_anyway = session.close().await;
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::{TableKind, TableName, statement};

    #[test]
    fn names_that_hurt_stay_names() {
        let name = TableName { schema: "a\"; DROP SCHEMA x; --".to_owned(), table: "b) TO PROGRAM 'rm'".to_owned() };
        insta::assert_snapshot!(statement(&name, TableKind::Table), @r#"COPY (SELECT * FROM ONLY "a""; DROP SCHEMA x; --"."b) TO PROGRAM 'rm'") TO STDOUT (FORMAT csv, HEADER)"#);
        assert!(!statement(&name, TableKind::Partitioned).contains("ONLY"));
    }
}
