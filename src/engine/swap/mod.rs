//! Two schemas of a live database that change places: the names they get, the mark that says what they are, the review
//! of what hangs on the one in use, and the one short transaction that swaps them.
//!
//! The order: [`review`](review::review) what others have on the schema, load what comes in under
//! [`beside`](mark::beside) a name of its own with a [`Mark`], [`exchange`](exchange::exchange), then validate the
//! foreign keys of others. The state of a swap is in the database itself, in the comment of the schema that was put
//! aside, written by the same transaction: it is there after a crash, and without a catalog.

mod commit;
pub mod database;
pub mod exchange;
pub mod keys;
pub mod mark;
pub mod marked;
pub mod review;

pub use exchange::{Exchange, Exchanged, Patience, exchange};
pub use keys::{OwnKey, add_keys, check_keys, orphans, outgoing, take_out, validate_outside};
pub use mark::{Mark, MarkKind, MarkedKey, beside, id_of};
pub use marked::{Keeper, Marked, analyze, content, drop_schema, marked, own_comment, remove_leftovers, set_comment};
pub use review::{OutsideKey, OutsideView, Published, Review, review};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::failure::words_of;
use super::{Connection, EngineError};

/// Opens a session in which every name is written with its schema.
async fn session(connection: &Connection) -> Result<PgConnection, EngineError> {
    let mut session = connection.connect().await?;
    let bare = session.execute("SELECT pg_catalog.set_config('search_path', '', false)").await;
    bare.map_err(|e| EngineError::server("preparing the session", &e))?;
    Ok(session)
}

/// Runs statements that are made of quoted names.
async fn run(session: &mut PgConnection, what: &str, statements: String) -> Result<(), EngineError> {
    let done = session.execute(sqlx::AssertSqlSafe(statements)).await;
    done.map(drop).map_err(|e| EngineError::Server { what: what.to_owned(), reason: words_of(&e) })
}

async fn close(session: PgConnection) {
    // What was asked is answered; a goodbye that is not heard changes nothing.
    let _closed = session.close().await;
}

/// Returns whether a statement failed since a lock or the time was not to be had: to try again may help.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    // lock_not_available, query_canceled (the statement's time is over), deadlock_detected
    matches!(error, sqlx::Error::Database(e)
        if e.code().is_some_and(|code| ["55P03", "57014", "40P01"].contains(&code.as_ref())))
}
