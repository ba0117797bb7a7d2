//! The life of a backup's attempt: intended before its first byte, completed after its manifest, failed, collected.
//! Each attempt has a row of its own, so that what a dead one left behind stays to be seen.

use sqlx::PgConnection;

use super::claims::Lease;
use super::columns::word_of;
use super::completion::{Facts, refer_to_tenant};
use super::failure::CatalogError;
use super::moves::check_names;
use super::slots::settle_slot;
use super::stamp::{Cells, Stamp, bigint, plain};
use super::writer::{Writer, fence};
use crate::domain::{BackupId, BackupWork, Instant, Manifest, Name, RunId, Scope, Verification, ZoneName};

/// A backup that is about to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent<'a> {
    /// What is taken.
    pub work: &'a BackupWork,
    /// In which run.
    pub run: &'a RunId,
    /// When it begins.
    pub started_at: Instant,
}

/// What came of intending a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intended {
    /// It is this attempt's to take.
    Go,
    /// The slot has its backup already.
    SlotTaken(BackupId),
}

/// A backup whose manifest is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed<'a> {
    /// The manifest as it stands in the store; its attempt may be an earlier one, whose runner died before this call.
    pub manifest: &'a Manifest,
    /// Its key below the store's prefix.
    pub manifest_key: &'a str,
    /// The store's name.
    pub store: &'a Name,
    /// How deeply it is proven already, and when.
    pub verified: Option<(Verification, Instant)>,
}

/// What came of recording a completed backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// It is recorded.
    Recorded,
    /// It was recorded already.
    Already,
    /// Another backup has the slot: this attempt is garbage.
    SlotTaken,
}

const ABANDON: &str = "UPDATE bkup.executions SET status = 'FAILED', error_message = $3, abandoned_at = $4, \
     lease_until = NULL, updated_at = now() WHERE backup_id = $1 AND attempt = $2 AND status IN ('PENDING', 'RUNNING')";

impl Writer {
    /// Records that a backup is about to be taken, before its first byte is written. Earlier attempts at it that still
    /// look alive are not: their lease was taken over.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; as every statement.
    pub async fn intend_backup(&self, lease: &Lease, intent: &Intent<'_>) -> Result<Intended, CatalogError> {
        let work = intent.work;
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        if let Some(moved) = check_names(&mut transaction, &work.schedule, work.database.as_ref(), &work.store).await? {
            return Err(CatalogError::Conflict { reason: format!("{moved}; plan again") });
        }
        let slot = (work.schedule.as_str(), work.database.as_ref().map(Name::as_str), &work.scope, work.slot);
        if let Some((holder, _)) = holder(&mut transaction, slot).await? {
            return Ok(Intended::SlotTaken(holder));
        }
        // The name may have been another schedule's, which was renamed: its backup of this slot has the very same id.
        let used: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM bkup.executions WHERE backup_id = $1 AND status = 'COMPLETED')",
        )
        .bind(work.backup.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        if used {
            return Ok(Intended::SlotTaken(work.backup.clone()));
        }
        let row = sqlx::query(
            "SELECT simulated, (SELECT timezone FROM bkup.schedules WHERE policy_name = $1) AS zone FROM bkup.meta",
        )
        .bind(work.schedule.as_str())
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or(CatalogError::Absent)?;
        let zone = row.maybe_text("zone")?.and_then(|zone| ZoneName::try_from(zone).ok()).unwrap_or_default();
        let local = work.slot.to_zoned(zone.zone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        sqlx::query(
            "UPDATE bkup.executions SET status = 'FAILED', abandoned_at = $3, lease_until = NULL, \
                 error_message = 'its runner stopped: the lease ended', updated_at = now() \
             WHERE action_id = $1 AND attempt < $2 AND status = 'RUNNING'",
        )
        .bind(lease.action.to_string())
        .bind(bigint(lease.token))
        .bind(Stamp(intent.started_at))
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO bkup.executions (backup_id, attempt, action_id, run, runner, lease_until, backup_type, \
                 backup_name, backup_method, status, scheduled_at, started_at, retry_count, schedule, slot, \
                 slot_local, slot_zone, database, scope, tenant_slug, tenant_schema, tenant_id, engine, shared, store, \
                 simulated) \
             SELECT $1, $2, $3, $4, runner, lease_until, $5, $6, $7, 'RUNNING', $8, $9, \
                    (SELECT count(*)::integer FROM bkup.executions e WHERE e.backup_id = $1 AND e.attempt < $2), \
                    $10, $8, $11::text::timestamp, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21 \
             FROM bkup.claims WHERE action_id = $3 \
             ON CONFLICT (backup_id, attempt) DO NOTHING",
        )
        .bind(work.backup.as_str())
        .bind(bigint(lease.token))
        .bind(lease.action.to_string())
        .bind(intent.run.as_str())
        .bind(work.backup_type.sql())
        .bind(name(work.schedule.as_str(), work.database.as_ref().map(Name::as_str), &work.scope, work.slot))
        .bind(word_of(&work.method)?)
        .bind(Stamp(work.slot))
        .bind(Stamp(intent.started_at))
        .bind(work.schedule.as_str())
        .bind(local)
        .bind(zone.as_str())
        .bind(work.database.as_ref().map(Name::as_str))
        .bind(work.scope.to_string())
        .bind(work.scope.tenant())
        .bind(work.tenant.as_ref().map(|tenant| tenant.schema.as_str()))
        .bind(work.tenant.as_ref().and_then(|tenant| tenant.id.as_deref()))
        .bind(word_of(&work.engine)?)
        .bind(work.shared.as_ref().map(BackupId::as_str))
        .bind(work.store.as_str())
        .bind(row.flag("simulated")?)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Intended::Go)
    }

    /// Records a backup as completed with all that its manifest says. Where the manifest is an earlier attempt's, that
    /// attempt is the completed one, and this one's data is garbage.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; [`CatalogError::Unfit`] for a manifest whose fields cannot be read.
    pub async fn complete_backup(
        &self,
        lease: &Lease,
        done: &Completed<'_>,
        at: Instant,
    ) -> Result<Completion, CatalogError> {
        let facts = Facts::of(done)?;
        let manifest = done.manifest;
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        if manifest.attempt != lease.token {
            abandon(&mut transaction, lease, &manifest.backup_id, "an earlier attempt had completed it", at).await?;
        }
        // What was collected is gone from the store: its manifest, however it came there, is of a backup without data.
        let collected: Option<bool> = sqlx::query_scalar(
            "SELECT collected_at IS NOT NULL FROM bkup.executions WHERE backup_id = $1 AND attempt = $2",
        )
        .bind(&manifest.backup_id)
        .bind(bigint(manifest.attempt))
        .fetch_optional(&mut *transaction)
        .await?;
        if collected == Some(true) {
            let reason = format!("attempt {} of backup {} was collected", manifest.attempt, manifest.backup_id);
            return Err(CatalogError::Conflict { reason });
        }
        let slot = (manifest.schedule.as_str(), manifest.database.as_deref(), &facts.scope, facts.slot);
        match holder(&mut transaction, slot).await? {
            Some((holder, attempt)) if holder.as_str() == manifest.backup_id && attempt == manifest.attempt => {
                transaction.commit().await?;
                return Ok(Completion::Already);
            }
            Some(_) => {
                abandon(&mut transaction, lease, &manifest.backup_id, "another backup has the slot", at).await?;
                transaction.commit().await?;
                return Ok(Completion::SlotTaken);
            }
            None => {}
        }
        match facts.write(&mut transaction, lease, done).await {
            // Two different actions for one slot, at the same moment: the index lets one of them in.
            Err(CatalogError::Conflict { .. }) => {
                transaction.rollback().await?;
                let mut connection = self.session().connection().await?;
                abandon(&mut connection, lease, &manifest.backup_id, "another backup has the slot", at).await?;
                return Ok(Completion::SlotTaken);
            }
            other => other?,
        }
        refer_to_tenant(&mut transaction, manifest).await?;
        if facts.scope == Scope::Configuration {
            // Slots of `on: change` go on from the newest one, also when every backup of the schedule was purged.
            settle_slot(&mut transaction, &manifest.schedule, manifest.database.as_deref(), facts.slot).await?;
        }
        if let Some((depth, at)) = done.verified {
            facts.look(&mut transaction, done, depth, at).await?;
        }
        self.seal(transaction).await?;
        Ok(Completion::Recorded)
    }

    /// Records that an attempt failed; what it has written is garbage from now on. `error` holds no secrets.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; as every statement.
    pub async fn fail_backup(
        &self,
        lease: &Lease,
        backup: &BackupId,
        error: &str,
        at: Instant,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        abandon(&mut transaction, lease, backup.as_str(), error, at).await?;
        Ok(transaction.commit().await?)
    }

    /// Records that what an attempt left behind is gone from the store. `lease` is the collecting action's.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; [`CatalogError::Conflict`] where the attempt is completed or still has its lease.
    pub async fn collected(
        &self,
        lease: &Lease,
        backup: &BackupId,
        attempt: u64,
        at: Instant,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let collected = sqlx::query(
            "UPDATE bkup.executions SET collected_at = coalesce(collected_at, $3), updated_at = now(), \
                 status = CASE status WHEN 'RUNNING' THEN 'FAILED' ELSE status END, \
                 error_message = coalesce(error_message, 'its runner stopped: the lease ended') \
             WHERE backup_id = $1 AND attempt = $2 \
               AND (status IN ('FAILED', 'CANCELED') \
                    OR status = 'RUNNING' AND (lease_until IS NULL OR lease_until < clock_timestamp()))",
        )
        .bind(backup.as_str())
        .bind(bigint(attempt))
        .bind(Stamp(at))
        .execute(&mut *transaction)
        .await?;
        if collected.rows_affected() == 0 {
            let reason = format!("attempt {attempt} of backup {backup} is no garbage");
            return Err(CatalogError::Conflict { reason });
        }
        self.seal(transaction).await
    }
}

async fn abandon(
    connection: &mut PgConnection,
    lease: &Lease,
    backup: &str,
    error: &str,
    at: Instant,
) -> Result<(), CatalogError> {
    sqlx::query(ABANDON)
        .bind(backup)
        .bind(bigint(lease.token))
        .bind(plain(error))
        .bind(Stamp(at))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns which backup, of which attempt, has the slot; purged ones and archived rows count too.
pub(super) async fn holder(
    connection: &mut PgConnection,
    (schedule, database, scope, slot): (&str, Option<&str>, &Scope, Instant),
) -> Result<Option<(BackupId, u64)>, CatalogError> {
    let row = sqlx::query(
        "SELECT backup_id, attempt FROM bkup.executions WHERE schedule = $1 AND coalesce(database, '') = $2 \
             AND scope = $3 AND slot = $4 AND status = 'COMPLETED' \
         UNION ALL \
         SELECT backup_id, attempt FROM bkup.executions_archive WHERE schedule = $1 AND coalesce(database, '') = $2 \
             AND scope = $3 AND slot = $4 AND status = 'COMPLETED' LIMIT 1",
    )
    .bind(schedule)
    .bind(database.unwrap_or_default())
    .bind(scope.to_string())
    .bind(Stamp(slot))
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let id = row.maybe_text("backup_id")?.unwrap_or_else(|| "put in by hand".to_owned());
        Ok((BackupId::from_text(id), row.count("attempt")?))
    })
    .transpose()
}

pub(super) fn name(schedule: &str, database: Option<&str>, scope: &Scope, slot: Instant) -> String {
    format!("{schedule} {} {scope} - {}", database.unwrap_or("_"), slot.strftime("%Y-%m-%d %H:%M UTC"))
}
