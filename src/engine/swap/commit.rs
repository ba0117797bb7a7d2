//! A commit whose answer may be lost with the connection. The server knows whether it was made, and is asked.

use std::time::{Duration, Instant as Clock};

use sqlx::Executor as _;
use sqlx::postgres::PgConnection;

use super::{close, session};
use crate::engine::{Connection, EngineError};

/// What became of a commit.
pub(super) enum Committed {
    /// It was made.
    Yes,
    /// The transaction was rolled back; why.
    No(sqlx::Error),
}

/// Commits the session's transaction. Where the answer is lost, the server is asked for up to `patience`: the commit may
/// go on without us, while it waits for a standby, and a server that restarts answers later. `then` says how a person can
/// see whether it was made.
///
/// # Errors
/// [`EngineError::Server`], also where it is not known whether it was made.
pub(super) async fn commit(
    mut open: PgConnection,
    connection: &Connection,
    (what, then): (&str, &str),
    patience: Duration,
) -> Result<Committed, EngineError> {
    let number = sqlx::query_scalar::<_, String>("SELECT pg_catalog.pg_current_xact_id()::text");
    let number = number.fetch_one(&mut open).await.map_err(|e| EngineError::server(what, &e))?;
    let Err(lost) = open.execute("COMMIT").await else {
        close(open).await;
        return Ok(Committed::Yes);
    };
    drop(open);
    let begun = Clock::now();
    loop {
        let answer = status(connection, &number).await;
        match answer.as_ref().map(Option::as_deref) {
            Ok(Some("committed")) => return Ok(Committed::Yes),
            Ok(Some("aborted")) => return Ok(Committed::No(lost)),
            _ if begun.elapsed() < patience => tokio::time::sleep(Duration::from_millis(100)).await,
            unknown => {
                let why = match unknown {
                    Ok(_) => "it is not over yet".to_owned(),
                    Err(error) => error.to_string(),
                };
                let reason = format!(
                    "the connection was lost at the commit of transaction {number}, and whether it was made is not known: \
                     {why}; look again later: {then}"
                );
                return Err(EngineError::Server { what: what.to_owned(), reason });
            }
        }
    }
}

/// Returns `committed`, `aborted`, `in progress`; `None` where the server has forgotten it.
async fn status(connection: &Connection, number: &str) -> Result<Option<String>, EngineError> {
    let mut session = session(connection).await?;
    let status = sqlx::query_scalar("SELECT pg_catalog.pg_xact_status($1::text::xid8)").bind(number);
    let status = status.fetch_one(&mut session).await;
    let status = status.map_err(|e| EngineError::server(format!("asking after transaction {number}"), &e))?;
    close(session).await;
    Ok(status)
}
