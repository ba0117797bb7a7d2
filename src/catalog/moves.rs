//! Renames and removals: everything recorded under one address is carried to another in one transaction, and what
//! becomes of the backups of something that left the policies is remembered. Keys in the store are never touched.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row};

use super::claims::Lease;
use super::failure::CatalogError;
use super::marks::MarkOutcome;
use super::stamp::{Cells, Stamp};
use super::state::Reader;
use super::writer::{Writer, fence};
use crate::domain::{Address, Instant, Name, RemovedBackups, RunId, Section};

/// A rename, and who does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename<'a> {
    /// The address before.
    pub from: &'a Address,
    /// The address now.
    pub to: &'a Address,
    /// Who applies it.
    pub by: &'a str,
    /// In which run.
    pub run: &'a RunId,
    /// When.
    pub at: Instant,
}

/// Locks both addresses, and every other writer of executions out of them: see [`check_names`].
const LOCK: &str = "SELECT address FROM bkup.policies WHERE address IN ($1, $2) ORDER BY address FOR UPDATE";

impl Writer {
    /// Carries everything from one address to another. What was done already is `AlreadyDone`.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; what stands against it is an outcome.
    pub async fn rename(&self, lease: &Lease, rename: &Rename<'_>) -> Result<MarkOutcome, CatalogError> {
        let Rename { from, to, .. } = rename;
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let rows = sqlx::query(LOCK).bind(from.to_string()).bind(to.to_string()).fetch_all(&mut *transaction).await?;
        let here = |address: &Address| rows.iter().any(|row| row.text("address").ok() == Some(address.to_string()));
        let history = history(&mut transaction, from).await?;
        if !here(from) && !history {
            return Ok(MarkOutcome::AlreadyDone);
        }
        if self::history(&mut transaction, to).await? {
            return Ok(MarkOutcome::Refused(format!("{to} has a history of its own since the plan was made")));
        }
        if busy(&mut transaction, from).await? {
            return Ok(MarkOutcome::Refused(format!("a backup of {from} is being made; rename it when that is over")));
        }
        // The target may be there without ever having been used: what is carried takes its place.
        if here(from) {
            sqlx::query("DELETE FROM bkup.policies WHERE address = $1")
                .bind(to.to_string())
                .execute(&mut *transaction)
                .await?;
            sqlx::query("UPDATE bkup.policies SET address = $2, applied_by = $3, run = $4 WHERE address = $1")
                .bind(from.to_string())
                .bind(to.to_string())
                .bind(rename.by)
                .bind(rename.run.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("DELETE FROM bkup.removals WHERE address = $1")
            .bind(to.to_string())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE bkup.removals SET address = $2 WHERE address = $1")
            .bind(from.to_string())
            .bind(to.to_string())
            .execute(&mut *transaction)
            .await?;
        if let (Some(old), Some(new)) = (from.name(), to.name()) {
            for statement in statements(from.section()) {
                sqlx::query(*statement).bind(old.as_str()).bind(new.as_str()).execute(&mut *transaction).await?;
            }
        }
        remember(&mut transaction, rename).await?;
        self.seal(transaction).await?;
        Ok(MarkOutcome::Done)
    }

    /// Remembers what becomes of the backups of something that left the policies.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; as every statement.
    pub async fn record_removal(
        &self,
        lease: &Lease,
        address: &Address,
        backups: RemovedBackups,
        run: &RunId,
        at: Instant,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        sqlx::query(
            "INSERT INTO bkup.removals (address, backups, recorded_at, run) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (address) DO UPDATE SET backups = excluded.backups, recorded_at = excluded.recorded_at, \
                 run = excluded.run",
        )
        .bind(address.to_string())
        .bind(backups.word())
        .bind(Stamp(at))
        .bind(run.as_str())
        .execute(&mut *transaction)
        .await?;
        self.seal(transaction).await
    }
}

impl Reader {
    /// Returns what every address that was renamed is called now. Manifests say the old names for good: a catalog that
    /// is rebuilt from them needs this.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn moves(&self) -> Result<BTreeMap<Address, Address>, CatalogError> {
        let mut connection = self.session().connection().await?;
        moves(&mut connection).await
    }
}

pub(super) async fn moves(connection: &mut PgConnection) -> Result<BTreeMap<Address, Address>, CatalogError> {
    let rows = sqlx::query("SELECT moved_from, moved_to FROM bkup.moves").fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.parsed("moved_from")?, row.parsed("moved_to")?))).collect()
}

/// Carries rows that were made of manifests, which say the old names for good, to what they are called now.
pub(super) async fn carry_rebuilt(
    connection: &mut PgConnection,
    moves: &BTreeMap<Address, Address>,
    at: Instant,
) -> Result<(), CatalogError> {
    for (from, to) in moves {
        if let (Some(old), Some(new)) = (from.name(), to.name()) {
            for statement in statements(from.section()) {
                sqlx::query(*statement).bind(old.as_str()).bind(new.as_str()).execute(&mut *connection).await?;
            }
        }
        sqlx::query("INSERT INTO bkup.moves (moved_from, moved_to, moved_at, run) VALUES ($1, $2, $3, NULL)")
            .bind(from.to_string())
            .bind(to.to_string())
            .bind(Stamp(at))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Notes where the old name leads, also from names before it; the new name leads nowhere any more.
async fn remember(connection: &mut PgConnection, rename: &Rename<'_>) -> Result<(), CatalogError> {
    let (from, to) = (rename.from.to_string(), rename.to.to_string());
    sqlx::query("DELETE FROM bkup.moves WHERE moved_from = $1").bind(&to).execute(&mut *connection).await?;
    sqlx::query("UPDATE bkup.moves SET moved_to = $2 WHERE moved_to = $1")
        .bind(&from)
        .bind(&to)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO bkup.moves (moved_from, moved_to, moved_at, run) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (moved_from) DO UPDATE SET moved_to = excluded.moved_to, moved_at = excluded.moved_at, \
             run = excluded.run",
    )
    .bind(&from)
    .bind(&to)
    .bind(Stamp(rename.at))
    .bind(rename.run.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what was said of an address that is defined again: it is a new thing.
pub(super) async fn forget(connection: &mut PgConnection, address: &Address) -> Result<(), CatalogError> {
    for statement in ["DELETE FROM bkup.removals WHERE address = $1", "DELETE FROM bkup.moves WHERE moved_from = $1"] {
        sqlx::query(statement).bind(address.to_string()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Keeps renames away until the caller's transaction ends, and returns where one of the names leads meanwhile: a plan
/// that was made before a rename must not begin a second history under the old name.
pub(super) async fn check_names(
    connection: &mut PgConnection,
    schedule: &Name,
    database: Option<&Name>,
    store: &Name,
) -> Result<Option<String>, CatalogError> {
    let addresses: Vec<String> = [
        Some((Section::Schedule, schedule)),
        database.map(|database| (Section::Database, database)),
        Some((Section::Store, store)),
    ]
    .into_iter()
    .flatten()
    .map(|(section, name)| Address::of(section, name.clone()).to_string())
    .collect();
    sqlx::query("SELECT FROM bkup.policies WHERE address = ANY($1) ORDER BY address FOR SHARE")
        .bind(&addresses)
        .fetch_all(&mut *connection)
        .await?;
    // A statement of its own: the one above may have waited for the rename that it was too early to see.
    let moved = sqlx::query("SELECT moved_from, moved_to FROM bkup.moves WHERE moved_from = ANY($1) LIMIT 1")
        .bind(&addresses)
        .fetch_optional(connection)
        .await?;
    moved.map(|row| Ok(format!("{} is called {} now", row.text("moved_from")?, row.text("moved_to")?))).transpose()
}

/// Returns whether anything was ever done under an address; purged backups and archived rows count too.
async fn history(connection: &mut PgConnection, address: &Address) -> Result<bool, CatalogError> {
    let question = match address.section() {
        Section::Schedule => {
            "SELECT EXISTS (SELECT FROM bkup.executions WHERE schedule = $1) \
                 OR EXISTS (SELECT FROM bkup.executions_archive WHERE schedule = $1)"
        }
        Section::Database => {
            "SELECT EXISTS (SELECT FROM bkup.executions WHERE database = $1) \
                 OR EXISTS (SELECT FROM bkup.executions_archive WHERE database = $1)"
        }
        Section::Store => {
            "SELECT EXISTS (SELECT FROM bkup.executions WHERE store = $1) \
                 OR EXISTS (SELECT FROM bkup.stores WHERE store = $1)"
        }
        Section::RecoveryPlan => "SELECT EXISTS (SELECT FROM bkup.drills WHERE plan = $1)",
        _ => return Ok(false),
    };
    let Some(name) = address.name() else { return Ok(false) };
    Ok(sqlx::query(question).bind(name.as_str()).fetch_one(connection).await?.try_get(0)?)
}

/// Returns whether somebody makes a backup under an address right now.
async fn busy(connection: &mut PgConnection, address: &Address) -> Result<bool, CatalogError> {
    let question = match address.section() {
        Section::Schedule => {
            "SELECT EXISTS (SELECT FROM bkup.executions WHERE schedule = $1 AND status = 'RUNNING' \
                            AND lease_until > clock_timestamp())"
        }
        Section::Database => {
            "SELECT EXISTS (SELECT FROM bkup.executions WHERE database = $1 AND status = 'RUNNING' \
                            AND lease_until > clock_timestamp())"
        }
        Section::Store => {
            "SELECT EXISTS (SELECT FROM bkup.executions WHERE store = $1 AND status = 'RUNNING' \
                            AND lease_until > clock_timestamp())"
        }
        _ => return Ok(false),
    };
    let Some(name) = address.name() else { return Ok(false) };
    Ok(sqlx::query(question).bind(name.as_str()).fetch_one(connection).await?.try_get(0)?)
}

/// Returns what carries the rows of a section from `$1` to `$2`. Rows of the target can only be what it left without
/// ever having been used: progress, and what is shown to people.
const fn statements(section: Section) -> &'static [&'static str] {
    match section {
        Section::Schedule => &[
            "UPDATE bkup.executions SET schedule = $2, updated_at = now() WHERE schedule = $1",
            "UPDATE bkup.executions_archive SET schedule = $2 WHERE schedule = $1",
            "INSERT INTO bkup.schedule_progress AS p (schedule, database, settled) \
                 SELECT $2, database, settled FROM bkup.schedule_progress WHERE schedule = $1 \
                 ON CONFLICT (schedule, database) DO UPDATE \
                 SET settled = greatest(p.settled, excluded.settled), updated_at = now()",
            "DELETE FROM bkup.schedule_progress WHERE schedule = $1",
            "INSERT INTO bkup.missed_slots (schedule, database, slot, scopes, recorded_at) \
                 SELECT $2, database, slot, scopes, recorded_at FROM bkup.missed_slots WHERE schedule = $1 \
                 ON CONFLICT (schedule, database, slot) DO NOTHING",
            "DELETE FROM bkup.missed_slots WHERE schedule = $1",
            "DELETE FROM bkup.schedules WHERE policy_name = $2 \
                 AND EXISTS (SELECT FROM bkup.schedules WHERE policy_name = $1)",
            "UPDATE bkup.schedules SET policy_name = $2, schedule_name = $2, updated_at = now() WHERE policy_name = $1",
        ],
        Section::Database => &[
            "UPDATE bkup.executions SET filed_under = nullif(coalesce(filed_under, database), $2), database = $2, \
                 updated_at = now() WHERE database = $1",
            "UPDATE bkup.executions_archive SET filed_under = nullif(coalesce(filed_under, database), $2), \
                 database = $2 WHERE database = $1",
            "INSERT INTO bkup.schedule_progress AS p (schedule, database, settled) \
                 SELECT schedule, $2, settled FROM bkup.schedule_progress WHERE database = $1 \
                 ON CONFLICT (schedule, database) DO UPDATE \
                 SET settled = greatest(p.settled, excluded.settled), updated_at = now()",
            "DELETE FROM bkup.schedule_progress WHERE database = $1",
            "INSERT INTO bkup.missed_slots (schedule, database, slot, scopes, recorded_at) \
                 SELECT schedule, $2, slot, scopes, recorded_at FROM bkup.missed_slots WHERE database = $1 \
                 ON CONFLICT (schedule, database, slot) DO NOTHING",
            "DELETE FROM bkup.missed_slots WHERE database = $1",
            "DELETE FROM bkup.tenants WHERE database = $2",
            "UPDATE bkup.tenants SET database = $2 WHERE database = $1",
            "DELETE FROM bkup.digest_keys WHERE database = $2",
            "UPDATE bkup.digest_keys SET database = $2 WHERE database = $1",
            "UPDATE bkup.wal_segments SET database = $2, updated_at = now() WHERE database = $1",
        ],
        Section::Store => &[
            "UPDATE bkup.stores SET store = $2, updated_at = now() WHERE store = $1",
            "UPDATE bkup.executions SET store = $2, updated_at = now() WHERE store = $1",
            "UPDATE bkup.executions_archive SET store = $2 WHERE store = $1",
            "UPDATE bkup.validations SET store = $2 WHERE store = $1",
            "UPDATE bkup.digest_keys SET store = $2 WHERE store = $1",
            "UPDATE bkup.wal_segments SET store = $2, updated_at = now() WHERE store = $1",
            "DELETE FROM bkup.object_inventory WHERE store IN ($1, $2)",
        ],
        Section::RecoveryPlan => &[
            "UPDATE bkup.drills SET plan = $2 WHERE plan = $1",
            "DELETE FROM bkup.recovery_plans WHERE policy_name = $2 \
                 AND EXISTS (SELECT FROM bkup.recovery_plans WHERE policy_name = $1)",
            "UPDATE bkup.recovery_plans SET policy_name = $2, plan_name = $2, updated_at = now() \
                 WHERE policy_name = $1",
        ],
        Section::Class => &["UPDATE bkup.tenants SET class = $2 WHERE class = $1"],
        _ => &[],
    }
}
