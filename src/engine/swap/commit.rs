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
/// go on without us, while it waits for a standby. `then` says how a person can see later whether it was made.
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
        let mut session = session(connection).await?;
        let status = sqlx::query_scalar::<_, Option<String>>("SELECT pg_catalog.pg_xact_status($1::text::xid8)");
        let status = status.bind(&number).fetch_one(&mut session).await.map_err(|e| EngineError::server(what, &e))?;
        close(session).await;
        match status.as_deref() {
            Some("committed") => return Ok(Committed::Yes),
            Some("aborted") => return Ok(Committed::No(lost)),
            _ if begun.elapsed() >= patience => {
                let reason = format!(
                    "the connection was lost at the commit, and transaction {number} is neither committed nor rolled back \
                     yet; once it is over, {then}"
                );
                return Err(EngineError::Server { what: what.to_owned(), reason });
            }
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
