//! Looking things up for people: lists of executions, one backup by the begin of its id.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::failure::CatalogError;
use super::stamp::{Cells, Stamp, bigint};
use super::state::{COLUMNS, Reader, backup, verification_from};
use super::texts::Texts;
use crate::domain::{Backup, BackupId, BackupStatus, BackupType, Bytes, Instant, Name, Scope, Verification};

/// Which executions to list. What is absent does not narrow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecutionFilter {
    /// Of this database.
    pub database: Option<Name>,
    /// Of this schedule.
    pub schedule: Option<Name>,
    /// Of this scope.
    pub scope: Option<Scope>,
    /// In this state.
    pub status: Option<BackupStatus>,
    /// Purged ones too.
    pub deleted: bool,
    /// The page after this row.
    pub after: Option<(Instant, String)>,
    /// At most so many; zero: 100.
    pub limit: u32,
}

/// One attempt at a backup, or a row that was put in by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionRow {
    /// The row's own id.
    pub id: String,
    /// The instant it is listed by, its begin where it has one; with the id it names the page after it.
    pub listed_at: Instant,
    /// Its backup; absent for a row that was put in by hand.
    pub backup: Option<BackupId>,
    /// Its name for people.
    pub name: String,
    /// The attempt.
    pub attempt: u64,
    /// The kind; absent where it is none of bkup's.
    pub backup_type: Option<BackupType>,
    /// Its state.
    pub status: BackupStatus,
    /// The schedule.
    pub schedule: Option<String>,
    /// The slot.
    pub slot: Option<Instant>,
    /// The database.
    pub database: Option<String>,
    /// The scope.
    pub scope: Option<String>,
    /// The store.
    pub store: Option<String>,
    /// When it began.
    pub started_at: Option<Instant>,
    /// When it was completed.
    pub completed_at: Option<Instant>,
    /// The instant its content is of.
    pub consistent_at: Option<Instant>,
    /// Size in the store.
    pub size: Option<Bytes>,
    /// Size before compression.
    pub original_size: Option<Bytes>,
    /// Why it failed.
    pub error: Option<String>,
    /// How deeply it is proven.
    pub verification: Verification,
    /// When it was last proven.
    pub verified_at: Option<Instant>,
    /// When a drill last restored it.
    pub drilled_at: Option<Instant>,
    /// Why it is quarantined.
    pub quarantine: Option<String>,
    /// When it was tombstoned.
    pub tombstoned_at: Option<Instant>,
    /// From when on it may be purged.
    pub purge_after: Option<Instant>,
    /// When it was purged.
    pub purged_at: Option<Instant>,
    /// Where its manifest lies, below the store's prefix.
    pub manifest_key: Option<String>,
}

/// What the begin of a backup's id leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No backup's id begins so.
    Nothing,
    /// One.
    One(Box<Backup>),
    /// More than one; the first few ids.
    Many(Vec<BackupId>),
}

impl Reader {
    /// Lists executions, the newest first, failed ones too; a page at a time.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn executions(&self, filter: &ExecutionFilter) -> Result<Vec<ExecutionRow>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query(
            "SELECT id::text AS id, backup_id, backup_name, attempt, backup_type, status, schedule, slot, \
                    database, scope, store, started_at, completed_at, consistent_at, backup_size, original_size, \
                    error_message, verification, verified_at, drilled_at, quarantine, tombstoned_at, purge_after, \
                    purged_at, manifest_key, coalesce(started_at, created_at) AS listed_at \
             FROM bkup.executions \
             WHERE ($1::text IS NULL OR database = $1) AND ($2::text IS NULL OR schedule = $2) \
               AND ($3::text IS NULL OR scope = $3) AND ($4::text IS NULL OR status = $4) AND ($5 OR NOT deleted) \
               AND ($6::timestamptz IS NULL \
                    OR (coalesce(started_at, created_at), id) < ($6, $7::text::uuid)) \
             ORDER BY coalesce(started_at, created_at) DESC, id DESC LIMIT $8",
        )
        .bind(filter.database.as_ref().map(Name::as_str))
        .bind(filter.schedule.as_ref().map(Name::as_str))
        .bind(filter.scope.as_ref().map(Scope::to_string))
        .bind(filter.status.map(status_word))
        .bind(filter.deleted)
        .bind(filter.after.as_ref().map(|(at, _)| Stamp(*at)))
        .bind(filter.after.as_ref().map(|(_, id)| id.as_str()))
        .bind(bigint(u64::from(if filter.limit == 0 { 100 } else { filter.limit })))
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(execution).collect()
    }

    /// Returns the purged backup whose id begins so, and when it was purged; the newest of several.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn purged(&self, prefix: &str) -> Result<Option<(BackupId, Instant)>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query(
            "SELECT backup_id, purged_at FROM bkup.executions \
             WHERE deleted AND purged_at IS NOT NULL AND backup_id >= $1 AND backup_id < $1 || '~' \
             ORDER BY backup_id DESC LIMIT 1",
        )
        .bind(prefix)
        .fetch_optional(&mut *connection)
        .await?;
        row.map(|row| Ok((BackupId::from_text(row.text("backup_id")?), row.at("purged_at")?))).transpose()
    }

    /// Finds a backup that is not purged by the begin of its id.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn find_backup(&self, prefix: &str) -> Result<Found, CatalogError> {
        let mut connection = self.session().connection().await?;
        // Ids are ASCII below `~`, so a range does what LIKE would, without wildcards to escape.
        let sql = format!(
            "SELECT {} FROM bkup.executions \
             WHERE status = 'COMPLETED' AND NOT deleted AND backup_id >= $1 AND backup_id < $1 || '~' \
             ORDER BY backup_id LIMIT 6",
            COLUMNS.join(", ")
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(prefix).fetch_all(&mut *connection).await?;
        match rows.as_slice() {
            [] => Ok(Found::Nothing),
            [row] => Ok(Found::One(Box::new(backup(row, &mut Texts::default())?))),
            // A whole id wins over the longer ones that begin with it.
            [row, ..] if row.try_get::<&str, _>("backup_id")? == prefix => {
                Ok(Found::One(Box::new(backup(row, &mut Texts::default())?)))
            }
            many => many
                .iter()
                .map(|row| row.text("backup_id").map(BackupId::from_text))
                .collect::<Result<_, _>>()
                .map(Found::Many),
        }
    }
}

fn execution(row: &PgRow) -> Result<ExecutionRow, CatalogError> {
    let size = |column: &str| -> Result<Option<Bytes>, CatalogError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.and_then(|n| u64::try_from(n).ok()).map(Bytes))
    };
    Ok(ExecutionRow {
        id: row.text("id")?,
        listed_at: row.at("listed_at")?,
        backup: row.maybe_text("backup_id")?.map(BackupId::from_text),
        name: row.text("backup_name")?,
        attempt: row.count("attempt")?,
        backup_type: BackupType::from_sql(row.try_get("backup_type")?),
        status: status_from(row.try_get("status")?)?,
        schedule: row.maybe_text("schedule")?,
        slot: row.maybe_at("slot")?,
        database: row.maybe_text("database")?,
        scope: row.maybe_text("scope")?,
        store: row.maybe_text("store")?,
        started_at: row.maybe_at("started_at")?,
        completed_at: row.maybe_at("completed_at")?,
        consistent_at: row.maybe_at("consistent_at")?,
        size: size("backup_size")?,
        original_size: size("original_size")?,
        error: row.maybe_text("error_message")?,
        verification: verification_from(row.try_get("verification")?)?,
        verified_at: row.maybe_at("verified_at")?,
        drilled_at: row.maybe_at("drilled_at")?,
        quarantine: row.maybe_text("quarantine")?,
        tombstoned_at: row.maybe_at("tombstoned_at")?,
        purge_after: row.maybe_at("purge_after")?,
        purged_at: row.maybe_at("purged_at")?,
        manifest_key: row.maybe_text("manifest_key")?,
    })
}

const STATES: [(BackupStatus, &str); 5] = [
    (BackupStatus::Pending, "PENDING"),
    (BackupStatus::Running, "RUNNING"),
    (BackupStatus::Completed, "COMPLETED"),
    (BackupStatus::Failed, "FAILED"),
    (BackupStatus::Canceled, "CANCELED"),
];

fn status_word(status: BackupStatus) -> &'static str {
    STATES.iter().find(|(state, _)| *state == status).map_or("PENDING", |(_, word)| word)
}

fn status_from(word: &str) -> Result<BackupStatus, CatalogError> {
    STATES
        .iter()
        .find(|(_, known)| *known == word)
        .map(|(state, _)| *state)
        .ok_or_else(|| CatalogError::corrupt("status", "is no state"))
}
