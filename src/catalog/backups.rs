//! The life of a backup's attempt: intended before its first byte, completed after its manifest, failed, collected.
//! Each attempt has a row of its own, so that what a dead one left behind stays to be seen.

use sqlx::types::Json;
use sqlx::{Acquire, PgConnection};

use super::claims::Lease;
use super::columns::{retention_days, word_of};
use super::failure::CatalogError;
use super::stamp::{Cells, Stamp, bigint, plain};
use super::state::verification_word;
use super::writer::{Writer, fence};
use crate::domain::{
    BackupId, BackupType, BackupWork, DataPart, Instant, Manifest, Name, RetentionRule, RunId, Scope, Verification,
    ZoneName, sha256,
};

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
        let slot = (work.schedule.as_str(), Some(work.database.as_str()), &work.scope, work.slot);
        if let Some((holder, _)) = holder(&mut transaction, slot).await? {
            return Ok(Intended::SlotTaken(holder));
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
        .bind(name(work.schedule.as_str(), Some(work.database.as_str()), &work.scope, work.slot))
        .bind(word_of(&work.method)?)
        .bind(Stamp(work.slot))
        .bind(Stamp(intent.started_at))
        .bind(work.schedule.as_str())
        .bind(local)
        .bind(zone.as_str())
        .bind(work.database.as_str())
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
        transaction.commit().await?;
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
        Ok(transaction.commit().await?)
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

/// What a manifest says, read into the columns' types.
struct Facts {
    scope: Scope,
    backup_type: BackupType,
    retention: Option<RetentionRule>,
    slot: Instant,
    consistent_at: Instant,
    started_at: Instant,
    completed_at: Instant,
    locked_until: Option<Instant>,
    size: u64,
    original_size: u64,
}

fn instant(field: &str, text: &str) -> Result<Instant, CatalogError> {
    text.parse().map_err(|error| CatalogError::unfit(format!("manifest field {field}: {error}")))
}

impl Facts {
    fn of(done: &Completed<'_>) -> Result<Self, CatalogError> {
        let manifest = done.manifest;
        Ok(Self {
            scope: manifest.scope.scope.parse().map_err(CatalogError::unfit)?,
            backup_type: BackupType::from_sql(&manifest.backup_type.to_ascii_uppercase())
                .ok_or_else(|| CatalogError::unfit("manifest field backup_type is no backup type"))?,
            retention: serde_json::from_value(manifest.retention.clone()).ok(),
            slot: instant("slot", &manifest.slot)?,
            consistent_at: instant("consistent_at", &manifest.consistent_at)?,
            started_at: instant("started_at", &manifest.started_at)?,
            completed_at: instant("completed_at", &manifest.completed_at)?,
            locked_until: manifest.locked_until.as_deref().map(|at| instant("locked_until", at)).transpose()?,
            size: manifest.parts.iter().map(|part| part.size).fold(0, u64::saturating_add),
            original_size: manifest.parts.iter().map(|part| part.original_size).fold(0, u64::saturating_add),
        })
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        lease: &Lease,
        done: &Completed<'_>,
    ) -> Result<(), CatalogError> {
        let manifest = done.manifest;
        let took = self.completed_at.duration_since(self.started_at).as_millis().max(0);
        let took = i64::try_from(took).unwrap_or(i64::MAX);
        let (verification, verified_at) = done.verified.unzip();
        sqlx::query(
            "INSERT INTO bkup.executions AS e (backup_id, attempt, action_id, backup_type, backup_name, \
                 backup_method, backup_format, status, scheduled_at, started_at, completed_at, duration, backup_size, \
                 original_size, compression_rate, backup_file, backup_checksum, retention_days, schedule, slot, \
                 database, scope, tenant_slug, tenant_id, engine, parent, shared, store, store_id, manifest_key, parts, \
                 recipients, digest_key_id, storage_class, locked_until, consistent_at, begin_lsn, end_lsn, timeline, \
                 system_identifier, snapshot, server_version, dump_version, tool_version, duration_ms, timings, notes, \
                 policy_digest, retention, protected, simulated, verification, verified_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'COMPLETED', $8, $9, $10, $11, $12::bigint, $13::bigint, \
                 round(100.0 * $12 / nullif($13, 0), 2), $14, $15, $16, $17, $8, $18, $19, $20, $21, $22, $23, $24, \
                 $25, $26, $14, $27, $28, $29, $30, $31, $32, $33::text::pg_lsn, $34::text::pg_lsn, $35, $36, $37, \
                 $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49) \
             ON CONFLICT (backup_id, attempt) DO UPDATE SET (backup_format, status, completed_at, duration, \
                 backup_size, original_size, compression_rate, backup_file, backup_checksum, retention_days, tenant_id, \
                 engine, parent, shared, store, store_id, manifest_key, parts, recipients, digest_key_id, \
                 storage_class, locked_until, consistent_at, begin_lsn, end_lsn, timeline, system_identifier, snapshot, \
                 server_version, dump_version, tool_version, duration_ms, timings, notes, policy_digest, retention, \
                 protected, simulated, verification, verified_at, error_message, lease_until, abandoned_at, \
                 updated_at) = \
                 ROW (excluded.backup_format, 'COMPLETED', excluded.completed_at, excluded.duration, \
                 excluded.backup_size, excluded.original_size, excluded.compression_rate, excluded.backup_file, \
                 excluded.backup_checksum, excluded.retention_days, coalesce(excluded.tenant_id, e.tenant_id), \
                 excluded.engine, excluded.parent, excluded.shared, excluded.store, excluded.store_id, \
                 excluded.manifest_key, excluded.parts, excluded.recipients, excluded.digest_key_id, \
                 excluded.storage_class, excluded.locked_until, excluded.consistent_at, excluded.begin_lsn, \
                 excluded.end_lsn, excluded.timeline, excluded.system_identifier, excluded.snapshot, \
                 excluded.server_version, excluded.dump_version, excluded.tool_version, excluded.duration_ms, \
                 excluded.timings, excluded.notes, excluded.policy_digest, excluded.retention, excluded.protected, \
                 excluded.simulated, excluded.verification, excluded.verified_at, NULL, NULL, NULL, now()) \
             WHERE e.status <> 'COMPLETED'",
        )
        .bind(&manifest.backup_id)
        .bind(bigint(manifest.attempt))
        .bind(lease.action.to_string())
        .bind(self.backup_type.sql())
        .bind(name(&manifest.schedule, manifest.database.as_deref(), &self.scope, self.slot))
        .bind(&manifest.method)
        .bind(format_of(&manifest.parts))
        .bind(Stamp(self.slot))
        .bind(Stamp(self.started_at))
        .bind(Stamp(self.completed_at))
        .bind(took / 1000)
        .bind(bigint(self.size))
        .bind(bigint(self.original_size))
        .bind(done.manifest_key)
        .bind(checksum(&manifest.parts))
        .bind(self.retention.as_ref().and_then(retention_days))
        .bind(&manifest.schedule)
        .bind(&manifest.database)
        .bind(self.scope.to_string())
        .bind(self.scope.tenant())
        .bind(&manifest.scope.tenant_id)
        .bind(&manifest.engine)
        .bind(&manifest.parent)
        .bind(&manifest.shared)
        .bind(done.store.as_str())
        .bind(&manifest.store_id)
        .bind(Json(&manifest.parts))
        .bind(manifest.keys.iter().map(|key| key.recipient.as_str()).collect::<Vec<_>>())
        .bind(&manifest.digest_key_id)
        .bind(&manifest.storage_class)
        .bind(Stamp::maybe(self.locked_until))
        .bind(Stamp(self.consistent_at))
        .bind(&manifest.begin_lsn)
        .bind(&manifest.end_lsn)
        .bind(manifest.timeline.map(i64::from))
        .bind(&manifest.system_identifier)
        .bind(&manifest.snapshot)
        .bind(&manifest.server_version)
        .bind(&manifest.dump_version)
        .bind(&manifest.tool_version)
        .bind(took)
        .bind(Json(&manifest.timings))
        .bind(&manifest.notes)
        .bind(&manifest.policy_digest)
        .bind(Json(&manifest.retention))
        .bind(manifest.protect)
        .bind(manifest.simulated)
        .bind(verification_word(verification.unwrap_or(Verification::None)))
        .bind(Stamp::maybe(verified_at))
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Refers to the application's tenant, where it has one with the manifest's id. Its table may be gone, hidden or
/// without the row: the tenant is kept by value in any case, so nothing of that fails a backup.
async fn refer_to_tenant(connection: &mut PgConnection, manifest: &Manifest) -> Result<(), CatalogError> {
    let Some(id) = manifest.scope.tenant_id.as_deref().filter(|id| is_uuid(id)) else { return Ok(()) };
    let linked: bool = sqlx::query_scalar("SELECT coalesce((SELECT tenant_fk IS NOT NULL FROM bkup.meta), false)")
        .fetch_one(&mut *connection)
        .await?;
    let mut savepoint = connection.begin().await?;
    let referred = sqlx::query(if linked {
        "UPDATE bkup.executions SET backup_tenant_id = t.id FROM tnnt.tenants t \
         WHERE t.id = $3::text::uuid AND backup_id = $1 AND attempt = $2"
    } else {
        "UPDATE bkup.executions SET backup_tenant_id = $3::text::uuid WHERE backup_id = $1 AND attempt = $2"
    })
    .bind(&manifest.backup_id)
    .bind(bigint(manifest.attempt))
    .bind(id)
    .execute(&mut *savepoint)
    .await;
    match referred {
        Ok(_) => savepoint.commit().await?,
        Err(sqlx::Error::Database(_)) => savepoint.rollback().await?,
        Err(other) => return Err(other.into()),
    }
    Ok(())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn name(schedule: &str, database: Option<&str>, scope: &Scope, slot: Instant) -> String {
    format!("{schedule} {} {scope} - {}", database.unwrap_or("_"), slot.strftime("%Y-%m-%d %H:%M UTC"))
}

fn format_of(parts: &[DataPart]) -> &'static str {
    if parts.iter().any(|part| part.encrypted) {
        "ENCRYPTED"
    } else if parts.iter().any(|part| part.compression != "none") {
        "COMPRESSED"
    } else {
        "UNCOMPRESSED"
    }
}

/// The sum `sha256sum` gives for a single object; for more, the sum over the lines it prints for them.
fn checksum(parts: &[DataPart]) -> Option<String> {
    match parts {
        [] => None,
        [part] => Some(part.ciphertext_sha256.clone()),
        many => {
            let lines: String = many.iter().map(|part| format!("{}  {}\n", part.ciphertext_sha256, part.key)).collect();
            Some(sha256(lines.as_bytes()).to_string())
        }
    }
}
