//! A completed backup's row: every fact its manifest holds, in the catalog's columns.

use sqlx::types::Json;
use sqlx::{Acquire, PgConnection};

use super::backups::{Completed, name};
use super::claims::Lease;
use super::columns::retention_days;
use super::failure::CatalogError;
use super::stamp::{Stamp, bigint};
use super::state::verification_word;
use crate::domain::{
    BackupType, DataPart, Instant, Manifest, RetentionRule, Scope, Verification, canonical_json, sha256,
};

/// The digest over the columns of `executions e` that only a manifest gives. What later work changes, such as marks,
/// and what a rename may change, such as the schedule, is not among them.
pub(super) const RECORDED: &str = "encode(sha256(convert_to(jsonb_build_array(e.backup_id, e.attempt, e.backup_type, \
    e.scope, extract(epoch FROM e.slot), extract(epoch FROM e.consistent_at), extract(epoch FROM e.completed_at), \
    e.engine, e.parent, e.shared, e.store_id, e.manifest_key, e.parts, e.backup_size, e.original_size, \
    e.backup_checksum)::text, 'UTF8')), 'hex')";

/// What a manifest says, read into the columns' types.
pub(super) struct Facts {
    pub(super) scope: Scope,
    backup_type: BackupType,
    retention: Option<RetentionRule>,
    pub(super) slot: Instant,
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
    /// Reads them from the manifest.
    pub(super) fn of(done: &Completed<'_>) -> Result<Self, CatalogError> {
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

    /// Writes the completed row, over the running one of the manifest's attempt where there is one.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        lease: &Lease,
        done: &Completed<'_>,
    ) -> Result<(), CatalogError> {
        let manifest = done.manifest;
        // A pin is set where the row is new, which is a backup that the catalog had forgotten: otherwise the policies as
        // applied protect it, and can be changed.
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
                 policy_digest, retention, protected, simulated, verification, verified_at, content_digest, \
                 requested_by, request_reason, request_tables) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'COMPLETED', $8, $9, $10, $11, $12::bigint, $13::bigint, \
                 round(100.0 * $12 / nullif($13, 0), 2), $14, $15, $16, $17, $8, $18, $19, $20, $21, $22, $23, $24, \
                 $25, $26, $14, $27, $28, $29, $30, $31, $32, $33::text::pg_lsn, $34::text::pg_lsn, $35, $36, $37, \
                 $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53) \
             ON CONFLICT (backup_id, attempt) DO UPDATE SET (backup_format, status, completed_at, duration, \
                 backup_size, original_size, compression_rate, backup_file, backup_checksum, retention_days, tenant_id, \
                 engine, parent, shared, store, store_id, manifest_key, parts, recipients, digest_key_id, \
                 storage_class, locked_until, consistent_at, begin_lsn, end_lsn, timeline, system_identifier, snapshot, \
                 server_version, dump_version, tool_version, duration_ms, timings, notes, policy_digest, retention, \
                 simulated, verification, verified_at, content_digest, requested_by, request_reason, request_tables, error_message, lease_until, abandoned_at, \
                 updated_at) = \
                 ROW (excluded.backup_format, 'COMPLETED', excluded.completed_at, excluded.duration, \
                 excluded.backup_size, excluded.original_size, excluded.compression_rate, excluded.backup_file, \
                 excluded.backup_checksum, excluded.retention_days, coalesce(excluded.tenant_id, e.tenant_id), \
                 excluded.engine, excluded.parent, excluded.shared, excluded.store, excluded.store_id, \
                 excluded.manifest_key, excluded.parts, excluded.recipients, excluded.digest_key_id, \
                 excluded.storage_class, excluded.locked_until, excluded.consistent_at, excluded.begin_lsn, \
                 excluded.end_lsn, excluded.timeline, excluded.system_identifier, excluded.snapshot, \
                 excluded.server_version, excluded.dump_version, excluded.tool_version, excluded.duration_ms, \
                 excluded.timings, excluded.notes, excluded.policy_digest, excluded.retention, \
                 excluded.simulated, excluded.verification, excluded.verified_at, \
                 excluded.content_digest, excluded.requested_by, excluded.request_reason, excluded.request_tables, \
                 NULL, NULL, NULL, now()) \
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
        .bind(&manifest.content_digest)
        .bind(manifest.asked_for.as_ref().map(|asked| asked.by.as_str()))
        .bind(manifest.asked_for.as_ref().and_then(|asked| asked.reason.as_deref()))
        .bind(manifest.asked_for.as_ref().map(|asked| &asked.tables).filter(|tables| !tables.is_empty()))
        .execute(&mut *connection)
        .await?;
        let recorded = format!(
            "UPDATE bkup.executions e SET manifest_size = $3, recorded = {RECORDED} \
             WHERE backup_id = $1 AND attempt = $2 AND status = 'COMPLETED' AND recorded IS NULL"
        );
        sqlx::query(sqlx::AssertSqlSafe(recorded))
            .bind(&manifest.backup_id)
            .bind(bigint(manifest.attempt))
            .bind(bigint(canonical_json(manifest).len() as u64))
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Records the look at its objects that proved the backup before it was recorded, beside the row itself: a row must
    /// not say that it was proven, and nobody when.
    pub(super) async fn look(
        &self,
        connection: &mut PgConnection,
        done: &Completed<'_>,
        depth: Verification,
        at: Instant,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO bkup.validations (backup_id, store, depth, passed, detail, bytes_read, run, validated_at) \
             SELECT $1, $3, $4, true, 'read back after writing', $5, run, $6 \
             FROM bkup.executions WHERE backup_id = $1 AND attempt = $2",
        )
        .bind(&done.manifest.backup_id)
        .bind(bigint(done.manifest.attempt))
        .bind(done.store.as_str())
        .bind(verification_word(depth))
        .bind(bigint(self.size))
        .bind(Stamp(at))
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Refers to the application's tenant, where it has one with the manifest's id. Its table may be gone, hidden or
/// without the row: the tenant is kept by value in any case, so nothing of that fails a backup.
pub(super) async fn refer_to_tenant(connection: &mut PgConnection, manifest: &Manifest) -> Result<(), CatalogError> {
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
