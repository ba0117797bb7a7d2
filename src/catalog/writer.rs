//! What `apply` writes with, and the fence that every guarded effect passes first.

use std::collections::BTreeSet;

use sqlx::postgres::{PgConnectOptions, Postgres};
use sqlx::{PgConnection, Transaction};

use super::audit::{AuditEvent, append};
use super::claims::Lease;
use super::failure::CatalogError;
use super::session::Session;
use super::stamp::{Cells, Stamp, bigint};
use super::state::Reader;
use crate::domain::{Instant, RunId};

/// Writes the catalog.
#[derive(Clone)]
pub struct Writer {
    reader: Reader,
    telling: Vec<AuditEvent>,
}

impl Writer {
    /// Prepares a writer; nothing is connected yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`CatalogError::InvalidUrl`].
    pub fn open(url: &str) -> Result<Self, CatalogError> {
        Ok(Self { reader: Reader::over(Session::open(url, false)?), telling: Vec::new() })
    }

    /// Prepares a writer with options that were read elsewhere. Must be called within a tokio runtime.
    #[must_use]
    pub fn with(options: PgConnectOptions) -> Self {
        Self { reader: Reader::over(Session::with(options, false)), telling: Vec::new() }
    }

    /// Returns a reader over the same connections: it sees what this writer has written.
    #[must_use]
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(super) const fn session(&self) -> &Session {
        self.reader.session()
    }

    /// Returns a writer over the same connections whose next effect tells the audit chain of itself: both are there, or
    /// neither is. An effect that changes nothing, because it was done before or is refused, tells nothing.
    #[must_use = "the writer itself tells nothing"]
    pub fn telling(&self, event: AuditEvent) -> Self {
        Self { reader: self.reader.clone(), telling: vec![event] }
    }

    /// Commits an effect, and with it what is to be told of it. The chain's head is the last row that a transaction
    /// locks, always: whoever waits for it holds nothing that its holder may want.
    pub(super) async fn seal(&self, transaction: Transaction<'static, Postgres>) -> Result<(), CatalogError> {
        seal(transaction, &self.telling).await
    }

    /// Returns what its next effect is to tell.
    pub(super) fn told(&self) -> &[AuditEvent] {
        &self.telling
    }

    /// Moves a simulated catalog's clock forward; to where it stands is no move.
    ///
    /// # Errors
    /// [`CatalogError::ClockGoesBack`]; [`CatalogError::Conflict`] where the catalog is real.
    pub async fn set_clock(&self, to: Instant) -> Result<(), CatalogError> {
        let mut connection = self.session().connection().await?;
        let moved = sqlx::query("UPDATE bkup.meta SET clock = $1 WHERE simulated AND clock <= $1")
            .bind(Stamp(to))
            .execute(&mut *connection)
            .await?;
        if moved.rows_affected() == 1 {
            return Ok(());
        }
        let now = sqlx::query("SELECT clock FROM bkup.meta")
            .fetch_optional(&mut *connection)
            .await?
            .ok_or(CatalogError::Absent)?
            .maybe_at("clock")?;
        match now {
            Some(now) => Err(CatalogError::ClockGoesBack { now, wanted: to }),
            None => {
                Err(CatalogError::Conflict { reason: "it is a real catalog, whose clock cannot be set".to_owned() })
            }
        }
    }

    /// Raises the serial, once for each run, and returns it.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn bump_serial(&self, run: &RunId) -> Result<i64, CatalogError> {
        let mut connection = self.session().connection().await?;
        let serial: Option<i64> = sqlx::query_scalar(
            "UPDATE bkup.meta SET serial = serial + CASE WHEN serial_run IS DISTINCT FROM $1 THEN 1 ELSE 0 END, \
             serial_run = $1 RETURNING serial",
        )
        .bind(run.as_str())
        .fetch_optional(&mut *connection)
        .await?;
        serial.ok_or(CatalogError::Absent)
    }
}

/// Commits an effect, and with it what is told of it: see [`Writer::seal`].
pub(super) async fn seal(
    mut transaction: Transaction<'static, Postgres>,
    events: &[AuditEvent],
) -> Result<(), CatalogError> {
    if !events.is_empty() {
        let _ = append(&mut transaction, events).await?;
    }
    Ok(transaction.commit().await?)
}

/// Stops a runner whose work was taken over. The claim's row stays locked until the transaction ends, so nobody takes
/// the work over in between.
pub(super) async fn fence(connection: &mut PgConnection, lease: &Lease) -> Result<(), CatalogError> {
    let held = held(connection, &[lease]).await?;
    if held.contains(lease) { Ok(()) } else { Err(fenced(lease)) }
}

/// Returns those leases under which work may go on; their claims' rows stay locked until the transaction ends. They are
/// locked in the order in which heartbeats lock them.
pub(super) async fn held(connection: &mut PgConnection, leases: &[&Lease]) -> Result<BTreeSet<Lease>, CatalogError> {
    let rows = sqlx::query(
        "SELECT c.action_id, c.token FROM bkup.claims c \
         JOIN unnest($1::text[], $2::bigint[]) AS h (action_id, token) \
           ON c.action_id = h.action_id AND c.token = h.token \
         WHERE c.lease_until IS NOT NULL ORDER BY c.action_id FOR UPDATE OF c",
    )
    .bind(leases.iter().map(|lease| lease.action.to_string()).collect::<Vec<_>>())
    .bind(leases.iter().map(|lease| bigint(lease.token)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(Lease { action: row.parsed("action_id")?, token: row.count("token")? })).collect()
}

/// Returns what is said to a runner whose lease is over.
pub(super) const fn fenced(lease: &Lease) -> CatalogError {
    CatalogError::Fenced { action: lease.action, token: lease.token }
}
