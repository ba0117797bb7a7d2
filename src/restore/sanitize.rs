//! A copy made harmless: the operator's SQL, as one transaction, and a comment on the database that says so.

use sqlx::{Connection as _, Executor as _};

use super::failure::RestoreError;
use super::swap::SwapError;
use crate::engine::Connection;
use crate::engine::failure::words_of;
use crate::engine::sql::{quote_ident, quote_literal};

/// What the comment of a sanitised database begins with.
pub const SANITIZED: &str = "bkup: sanitised copy";

/// Runs SQL in a copy. It is all or nothing: text that ends the transaction in between is found, and refused.
///
/// # Errors
/// [`SwapError::Sanitize`]; the copy is of no use then.
pub async fn sanitize(target: &Connection, sql: &str) -> Result<(), RestoreError> {
    let failed = |error: &sqlx::Error| SwapError::Sanitize(words_of(error));
    let mut session = target.connect().await?;
    session.execute("BEGIN").await.map_err(|e| failed(&e))?;
    let number = "SELECT pg_catalog.pg_current_xact_id()::text";
    let begun: String = sqlx::query_scalar(number).fetch_one(&mut session).await.map_err(|e| failed(&e))?;
    session.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.map_err(|e| failed(&e))?;
    let ended: String = sqlx::query_scalar(number).fetch_one(&mut session).await.map_err(|e| failed(&e))?;
    if begun != ended {
        return Err(SwapError::Sanitize("it ended its transaction before its end".to_owned()).into());
    }
    let comment = format!("{SANITIZED}, not a faithful one: no proof of a backup, and not for live");
    let comment = format!("COMMENT ON DATABASE {} IS {}", quote_ident(target.database()), quote_literal(&comment));
    session.execute(sqlx::AssertSqlSafe(comment)).await.map_err(|e| failed(&e))?;
    session.execute("COMMIT").await.map_err(|e| failed(&e))?;
    let _closed = session.close().await;
    Ok(())
}
