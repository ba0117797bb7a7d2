//! What the planner reads: the whole state in one snapshot, a few questions in all, one round trip each.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgConnectOptions;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::cancel::canceled_slots;
use super::failure::CatalogError;
use super::migrate::presence;
use super::recorded::{self, RecordedObjects, attempts};
use super::session::Session;
use super::stamp::{Cells, Place};
use super::tenants::records;
use super::texts::Texts;
use crate::domain::{
    Address, Applied, AskedFor, Backup, BackupId, BackupType, Bytes, CatalogFacts, CatalogState, DrillRecord, Garbage,
    Instant, Name, Period, Progress, RemovedBackups, RunId, Verification,
};

/// Reads the catalog. No method writes, and a reader opened by itself has read-only sessions.
#[derive(Clone)]
pub struct Reader {
    session: Session,
}

/// What the catalog is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The newest migration that was applied.
    pub version: i64,
    /// Its identity.
    pub lineage: String,
    /// How many applies have changed something.
    pub serial: i64,
    /// The value of its clock, where that is simulated.
    pub simulated: Option<Instant>,
}

impl Reader {
    /// Prepares a reader; nothing is connected yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`CatalogError::InvalidUrl`].
    pub fn open(url: &str) -> Result<Self, CatalogError> {
        Ok(Self { session: Session::open(url, true)? })
    }

    /// Prepares a reader with options that were read elsewhere. Must be called within a tokio runtime.
    #[must_use]
    pub fn with(options: PgConnectOptions) -> Self {
        Self { session: Session::with(options, true) }
    }

    pub(super) const fn over(session: Session) -> Self {
        Self { session }
    }

    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.session.close().await;
    }

    /// Returns the time by the database's own clock.
    ///
    /// # Errors
    /// As every question: unreachable, refused.
    pub async fn clock(&self) -> Result<Instant, CatalogError> {
        let mut connection = self.session.connection().await?;
        sqlx::query("SELECT clock_timestamp() AS now").fetch_one(&mut *connection).await?.at("now")
    }

    /// Returns what the catalog is; `None` where the database has none.
    ///
    /// # Errors
    /// [`CatalogError::Newer`], [`CatalogError::Foreign`]; as every question.
    pub async fn meta(&self) -> Result<Option<Meta>, CatalogError> {
        let mut connection = self.session.connection().await?;
        match presence(&mut connection).await?.version()? {
            None => Ok(None),
            Some(version) => meta(&mut connection, version).await.map(Some),
        }
    }

    /// Reads everything a plan needs, as of one snapshot.
    ///
    /// # Errors
    /// [`CatalogError::Newer`], [`CatalogError::Foreign`], [`CatalogError::Corrupt`]; as every question.
    pub async fn state(&self) -> Result<CatalogState, CatalogError> {
        self.read(None).await
    }

    /// Reads the same, and what was recorded of every backup's objects, as of the same snapshot.
    ///
    /// # Errors
    /// As [`Reader::state`].
    pub async fn state_and_objects(&self) -> Result<(CatalogState, RecordedObjects), CatalogError> {
        let mut objects = RecordedObjects::default();
        Ok((self.read(Some(&mut objects)).await?, objects))
    }

    async fn read(&self, mut objects: Option<&mut RecordedObjects>) -> Result<CatalogState, CatalogError> {
        let mut transaction = self.session.begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *transaction).await?;
        let Some(version) = presence(&mut transaction).await?.version()? else {
            return Ok(CatalogState::Absent);
        };
        let meta = meta(&mut transaction, version).await?;
        if let Some(objects) = &mut objects {
            attempts(&mut transaction, version, objects).await?;
        }
        let facts = CatalogFacts {
            version,
            lineage: meta.lineage,
            serial: meta.serial,
            simulated: meta.simulated,
            applied: applied(&mut transaction).await?,
            backups: backups(&mut transaction, version, objects).await?,
            drills: drills(&mut transaction).await?,
            progress: progress(&mut transaction).await?,
            garbage: garbage(&mut transaction).await?,
            canceled: if version < HAS_RUNS { Vec::new() } else { canceled_slots(&mut transaction).await? },
            leased: leased(&mut transaction).await?,
            stores: stores(&mut transaction).await?,
            removals: if version < HAS_RENAMES { BTreeMap::new() } else { removals(&mut transaction).await? },
            tenants: records(&mut transaction).await?,
        };
        transaction.commit().await?;
        Ok(CatalogState::Present(Box::new(facts)))
    }
}

pub(super) async fn meta(connection: &mut PgConnection, version: i64) -> Result<Meta, CatalogError> {
    let row = sqlx::query("SELECT lineage, serial, clock FROM bkup.meta")
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| CatalogError::corrupt("bkup.meta", "has no row"))?;
    let serial = row.try_get("serial")?;
    Ok(Meta { version, lineage: row.text("lineage")?, serial, simulated: row.maybe_at("clock")? })
}

/// Reads a JSON cell.
pub(super) fn json<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<Option<T>, CatalogError> {
    match row.try_get::<Option<Json<serde_json::Value>>, _>(column)? {
        None => Ok(None),
        Some(Json(value)) => {
            serde_json::from_value(value).map(Some).map_err(|error| CatalogError::corrupt(column, error))
        }
    }
}

pub(super) async fn applied(connection: &mut PgConnection) -> Result<BTreeMap<Address, Applied>, CatalogError> {
    let mut rows =
        sqlx::query("SELECT address, body, digest, since, archived_at, retention FROM bkup.policies ORDER BY address")
            .fetch(connection);
    let mut all = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let thing = Applied {
            body: json(&row, "body")?.unwrap_or_default(),
            digest: row.parsed("digest")?,
            since: row.at("since")?,
            archived_at: row.maybe_at("archived_at")?,
            retention: json(&row, "retention")?,
        };
        all.insert(row.parsed("address")?, thing);
    }
    Ok(all)
}

/// The catalog's version from which on renames, removals and pins are recorded.
pub(super) const HAS_RENAMES: i64 = 6;
/// The version from which on runs, and what was canceled, are recorded.
const HAS_RUNS: i64 = 7;
/// The version from which on a content's digest is recorded.
const HAS_CONTENT: i64 = 9;
/// The version from which on it is recorded who asked for a backup.
const HAS_ASKED: i64 = 10;

async fn backups(
    connection: &mut PgConnection,
    version: i64,
    mut objects: Option<&mut RecordedObjects>,
) -> Result<Vec<Backup>, CatalogError> {
    // An older catalog is read too: the plan that migrates it has to know what is there.
    let columns = COLUMNS.map(|name| match name {
        "filed_under" if version < HAS_RENAMES => "NULL::text AS filed_under",
        "pinned_until" if version < HAS_RENAMES => "NULL::timestamptz AS pinned_until",
        "content_digest" if version < HAS_CONTENT => "NULL::text AS content_digest",
        "requested_by" if version < HAS_ASKED => "NULL::text AS requested_by",
        "request_reason" if version < HAS_ASKED => "NULL::text AS request_reason",
        "request_tables" if version < HAS_ASKED => "NULL::text[] AS request_tables",
        name => name,
    });
    let mut columns = columns.join(", ");
    if objects.is_some() {
        columns.push_str(", ");
        columns.push_str(&recorded::columns(version));
    }
    let query = format!(
        "SELECT {columns} FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted AND backup_id IS NOT NULL \
         ORDER BY backup_id"
    );
    let mut rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch(connection);
    let mut all = Vec::new();
    let mut texts = Texts::default();
    while let Some(row) = rows.try_next().await? {
        let backup = backup(&row, &mut texts)?;
        if let Some(objects) = &mut objects {
            objects.backups.push(recorded::beside(&backup, &row, &mut texts)?);
        }
        all.push(backup);
    }
    Ok(all)
}

/// The columns of a backup in the order in which [`backup`] reads them.
pub(super) const COLUMNS: [&str; 30] = [
    "backup_id",
    "database",
    "filed_under",
    "scope",
    "backup_type",
    "schedule",
    "slot",
    "store",
    "consistent_at",
    "completed_at",
    "backup_size",
    "original_size",
    "verification",
    "verified_at",
    "drilled_at",
    "quarantine",
    "tombstoned_at",
    "purge_after",
    "purge_begun_at",
    "marks",
    "shared",
    "parent",
    "content_digest",
    "protected",
    "pinned_until",
    "locked_until",
    "duration_ms",
    "requested_by",
    "request_reason",
    "request_tables",
];
const PLACES: [Place; 30] = Place::all(0, COLUMNS);

/// Reads a backup from a row that has [`COLUMNS`] and nothing before them.
pub(super) fn backup(row: &PgRow, texts: &mut Texts) -> Result<Backup, CatalogError> {
    let [
        id,
        database,
        filed_under,
        scope,
        backup_type,
        schedule,
        slot,
        store,
        consistent_at,
        completed_at,
        size,
        original_size,
        verification,
        verified_at,
        drilled_at,
        quarantine,
        tombstoned_at,
        purge_after,
        purge_begun_at,
        marks,
        shared,
        parent,
        content,
        protected,
        pinned_until,
        locked_until,
        duration_ms,
        asked_by,
        asked_why,
        asked_tables,
    ] = PLACES;
    Ok(Backup {
        id: BackupId::from(row.try_get::<&str, _>(id)?),
        database: texts.maybe_name(row, database)?,
        filed_under: texts.maybe_name(row, filed_under)?,
        scope: row.parsed(scope)?,
        backup_type: BackupType::from_sql(row.try_get(backup_type)?)
            .ok_or_else(|| CatalogError::corrupt("backup_type", "is no backup type"))?,
        schedule: texts.name(row, schedule)?,
        slot: row.at(slot)?,
        store: texts.name(row, store)?,
        consistent_at: row.at(consistent_at)?,
        completed_at: row.at(completed_at)?,
        size: Bytes(row.count(size)?),
        original_size: Bytes(row.count(original_size)?),
        verification: verification_from(row.try_get(verification)?)?,
        verified_at: row.maybe_at(verified_at)?,
        drilled_at: row.maybe_at(drilled_at)?,
        quarantine: row.maybe_text(quarantine)?,
        tombstoned_at: row.maybe_at(tombstoned_at)?,
        purge_after: row.maybe_at(purge_after)?,
        purging: row.maybe_at(purge_begun_at)?.is_some(),
        marks: u32::try_from(row.count(marks)?).map_err(|_| CatalogError::corrupt("marks", "is too large"))?,
        shared: texts.maybe_id(row, shared)?,
        parent: texts.maybe_id(row, parent)?,
        content: row.maybe_parsed(content)?,
        asked_for: asked_for(row, [asked_by, asked_why, asked_tables])?,
        protected: row.flag(protected)?,
        pinned_until: row.maybe_at(pinned_until)?,
        locked_until: row.maybe_at(locked_until)?,
        duration_ms: row.count(duration_ms)?,
    })
}

fn asked_for(row: &PgRow, [by, why, tables]: [Place; 3]) -> Result<Option<Box<AskedFor>>, CatalogError> {
    let Some(by) = row.maybe_text(by)? else { return Ok(None) };
    let tables = row.try_get::<Option<Vec<String>>, _>(tables)?.unwrap_or_default();
    Ok(Some(Box::new(AskedFor { by, reason: row.maybe_text(why)?, tables })))
}

/// Returns the catalog's word for a depth of verification.
pub(super) const fn verification_word(verification: Verification) -> &'static str {
    match verification {
        Verification::None => "none",
        Verification::Exists => "exists",
        Verification::Checksum => "checksum",
        Verification::Restore => "restore",
    }
}

/// Reads the catalog's word for a depth of verification.
pub(super) fn verification_from(word: &str) -> Result<Verification, CatalogError> {
    [Verification::None, Verification::Exists, Verification::Checksum, Verification::Restore]
        .into_iter()
        .find(|depth| verification_word(*depth) == word)
        .ok_or_else(|| CatalogError::corrupt("verification", "is no depth of verification"))
}

pub(super) async fn drills(connection: &mut PgConnection) -> Result<BTreeMap<Name, DrillRecord>, CatalogError> {
    let rows = sqlx::query(
        "SELECT DISTINCT ON (plan) plan, drilled_at, passed, plan_digest, restore_ms, backup_age_seconds, \
                attempt + 1 AS attempts \
         FROM bkup.drills ORDER BY plan, attempt DESC",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let seconds = |number: u64| Period::seconds(i64::try_from(number).unwrap_or(i64::MAX));
            let record = DrillRecord {
                at: row.at("drilled_at")?,
                passed: row.flag("passed")?,
                plan_digest: row.parsed("plan_digest")?,
                restore: seconds(row.count("restore_ms")?.div_ceil(1000)),
                backup_age: seconds(row.count("backup_age_seconds")?),
                attempts: row.count("attempts")?,
            };
            Ok((row.parsed("plan")?, record))
        })
        .collect()
}

pub(super) async fn progress(connection: &mut PgConnection) -> Result<Vec<Progress>, CatalogError> {
    let rows =
        sqlx::query("SELECT schedule, database, settled FROM bkup.schedule_progress ORDER BY schedule, database")
            .fetch_all(connection)
            .await?;
    rows.iter()
        .map(|row| {
            Ok(Progress {
                schedule: row.parsed("schedule")?,
                database: row.maybe_parsed("database")?,
                settled: row.at("settled")?,
            })
        })
        .collect()
}

/// An attempt that runs is garbage once its lease has ended by the database's clock, and a while longer: a runner that
/// was frozen with its last request half sent must have found out by then. In a simulated catalog that
/// instant means nothing to the planner's clock, so the attempt's own begin stands for it.
async fn garbage(connection: &mut PgConnection) -> Result<Vec<Garbage>, CatalogError> {
    let rows = sqlx::query(
        "SELECT store, backup_id, coalesce(filed_under, database) AS database, scope, attempt, \
                coalesce(abandoned_at, CASE WHEN simulated THEN started_at ELSE lease_until END) AS abandoned_at \
         FROM bkup.executions \
         WHERE attempt IS NOT NULL AND collected_at IS NULL \
           AND (status IN ('FAILED', 'CANCELED') \
                OR status = 'RUNNING' AND (lease_until IS NULL OR lease_until < clock_timestamp() - interval '5 minutes')) \
         ORDER BY backup_id, attempt",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(garbage_from).collect()
}

/// Reads what an attempt left, with the columns of [`Garbage`]; `database` is its name in the store's keys.
pub(super) fn garbage_from(row: &PgRow) -> Result<Garbage, CatalogError> {
    Ok(Garbage {
        store: row.parsed("store")?,
        backup: BackupId::from_text(row.text("backup_id")?),
        database: row.maybe_parsed("database")?,
        scope: row.parsed("scope")?,
        attempt: row.count("attempt")?,
        abandoned_at: row.at("abandoned_at")?,
    })
}

async fn leased(connection: &mut PgConnection) -> Result<Vec<BackupId>, CatalogError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT leased.id FROM bkup.restores r CROSS JOIN LATERAL unnest(r.backups) AS leased(id) \
         WHERE r.lease_until > clock_timestamp() ORDER BY leased.id",
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(BackupId::from_text).collect())
}

async fn stores(connection: &mut PgConnection) -> Result<BTreeMap<Name, String>, CatalogError> {
    let rows = sqlx::query("SELECT store, store_id FROM bkup.stores ORDER BY store").fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.parsed("store")?, row.text("store_id")?))).collect()
}

pub(super) async fn removals(connection: &mut PgConnection) -> Result<BTreeMap<Address, RemovedBackups>, CatalogError> {
    let rows = sqlx::query("SELECT address, backups FROM bkup.removals ORDER BY address").fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let word = row.text("backups")?;
            let fate = RemovedBackups::ALL.into_iter().find(|fate| fate.word() == word);
            Ok((row.parsed("address")?, fate.ok_or_else(|| CatalogError::corrupt("backups", "is no fate"))?))
        })
        .collect()
}

/// Reads a run's id.
pub(super) fn run_id(text: &str) -> Result<RunId, CatalogError> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|error| CatalogError::corrupt("run", error))
}
