//! Completed backups' rows: every fact their manifests hold, in the catalog's columns.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{Acquire, PgConnection};

use super::backups::{Completed, name};
use super::claims::Lease;
use super::columns::retention_days;
use super::failure::CatalogError;
use super::stamp::{Stamp, as_recorded, bigint};
use super::state::verification_word;
use crate::domain::{
    BackupType, DataPart, Instant, Manifest, PhaseTiming, RetentionRule, Scope, Verification, canonical_json, sha256,
};

/// The digest over the columns of `executions e` that only a manifest gives. What later work changes, such as marks,
/// and what a rename may change, such as the schedule, is not among them.
pub(super) const RECORDED: &str = "encode(sha256(convert_to(jsonb_build_array(e.backup_id, e.attempt, e.backup_type, \
    e.scope, extract(epoch FROM e.slot), extract(epoch FROM e.consistent_at), extract(epoch FROM e.completed_at), \
    e.engine, e.parent, e.shared, e.store_id, e.manifest_key, e.parts, e.backup_size, e.original_size, \
    e.backup_checksum)::text, 'UTF8')), 'hex')";

/// The server's own hash of the same columns, some ten times as quick. It is kept beside the digest and decides nothing
/// where it disagrees: another version of PostgreSQL may hash otherwise.
pub(super) const RECORDED_HASH: &str = "hash_record_extended(ROW(e.backup_id, e.attempt, e.backup_type, e.scope, e.slot, \
    e.consistent_at, e.completed_at, e.engine, e.parent, e.shared, e.store_id, e.manifest_key, e.parts, e.backup_size, \
    e.original_size, e.backup_checksum), 0)";

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
}

/// A backup's facts, under a lease, with what they were read from.
pub(super) struct Completing<'a> {
    pub(super) lease: &'a Lease,
    pub(super) facts: Facts,
    pub(super) done: &'a Completed<'a>,
}

/// A row of `executions`, by its columns' names; what only its insertion gives is not among them.
#[derive(Serialize)]
struct Row<'a> {
    backup_id: &'a str,
    attempt: u64,
    action_id: String,
    backup_type: String,
    backup_name: String,
    backup_method: &'a str,
    backup_format: &'static str,
    scheduled_at: String,
    started_at: String,
    completed_at: String,
    duration: i64,
    backup_size: i64,
    original_size: i64,
    backup_file: &'a str,
    backup_checksum: Option<String>,
    retention_days: Option<i32>,
    schedule: &'a str,
    slot: String,
    database: &'a Option<String>,
    scope: String,
    tenant_slug: Option<&'a str>,
    tenant_id: &'a Option<String>,
    engine: &'a str,
    parent: &'a Option<String>,
    shared: &'a Option<String>,
    store: &'a str,
    store_id: &'a str,
    manifest_key: &'a str,
    parts: &'a [DataPart],
    recipients: Vec<&'a str>,
    digest_key_id: &'a Option<String>,
    storage_class: &'a Option<String>,
    locked_until: Option<String>,
    consistent_at: String,
    begin_lsn: &'a Option<String>,
    end_lsn: &'a Option<String>,
    timeline: Option<u32>,
    system_identifier: &'a Option<String>,
    snapshot: &'a Option<String>,
    server_version: &'a str,
    dump_version: &'a Option<String>,
    tool_version: &'a str,
    duration_ms: i64,
    timings: &'a [PhaseTiming],
    notes: &'a [String],
    policy_digest: &'a str,
    retention: &'a Value,
    protected: bool,
    simulated: bool,
    verification: &'static str,
    verified_at: Option<String>,
    content_digest: &'a Option<String>,
    requested_by: Option<&'a str>,
    request_reason: Option<&'a str>,
    request_tables: Option<&'a [String]>,
}

const COLUMNS: &str = "backup_id, attempt, action_id, backup_type, backup_name, backup_method, backup_format, \
    scheduled_at, started_at, completed_at, duration, backup_size, original_size, backup_file, backup_checksum, \
    retention_days, schedule, slot, database, scope, tenant_slug, tenant_id, engine, parent, shared, store, store_id, \
    manifest_key, parts, recipients, digest_key_id, storage_class, locked_until, consistent_at, begin_lsn, end_lsn, \
    timeline, system_identifier, snapshot, server_version, dump_version, tool_version, duration_ms, timings, notes, \
    policy_digest, retention, protected, simulated, verification, verified_at, content_digest, requested_by, \
    request_reason, request_tables";

/// What a manifest's row takes from it where the attempt's own row is there already. A pin is set where the row is new,
/// which is a backup that the catalog had forgotten: otherwise the policies as applied protect it, and can be changed.
const RENEWED: &[&str] = &[
    "backup_format",
    "status",
    "completed_at",
    "duration",
    "backup_size",
    "original_size",
    "compression_rate",
    "backup_file",
    "backup_checksum",
    "retention_days",
    "engine",
    "parent",
    "shared",
    "store",
    "store_id",
    "manifest_key",
    "parts",
    "recipients",
    "digest_key_id",
    "storage_class",
    "locked_until",
    "consistent_at",
    "begin_lsn",
    "end_lsn",
    "timeline",
    "system_identifier",
    "snapshot",
    "server_version",
    "dump_version",
    "tool_version",
    "duration_ms",
    "timings",
    "notes",
    "policy_digest",
    "retention",
    "simulated",
    "verification",
    "verified_at",
    "content_digest",
    "requested_by",
    "request_reason",
    "request_tables",
];

impl Completing<'_> {
    fn row(&self) -> Row<'_> {
        let Self { lease, facts, done } = self;
        let manifest = done.manifest;
        let took = facts.completed_at.duration_since(facts.started_at).as_millis().max(0);
        let took = i64::try_from(took).unwrap_or(i64::MAX);
        let (verification, verified_at) = done.verified.unzip();
        let at = |instant: Instant| as_recorded(instant).to_string();
        let asked = manifest.asked_for.as_ref();
        Row {
            backup_id: &manifest.backup_id,
            attempt: manifest.attempt,
            action_id: lease.action.to_string(),
            backup_type: facts.backup_type.sql(),
            backup_name: name(&manifest.schedule, manifest.database.as_deref(), &facts.scope, facts.slot),
            backup_method: &manifest.method,
            backup_format: format_of(&manifest.parts),
            scheduled_at: at(facts.slot),
            started_at: at(facts.started_at),
            completed_at: at(facts.completed_at),
            duration: took / 1000,
            backup_size: bigint(facts.size),
            original_size: bigint(facts.original_size),
            backup_file: done.manifest_key,
            backup_checksum: checksum(&manifest.parts),
            retention_days: facts.retention.as_ref().and_then(retention_days),
            schedule: &manifest.schedule,
            slot: at(facts.slot),
            database: &manifest.database,
            scope: facts.scope.to_string(),
            tenant_slug: facts.scope.tenant(),
            tenant_id: &manifest.scope.tenant_id,
            engine: &manifest.engine,
            parent: &manifest.parent,
            shared: &manifest.shared,
            store: done.store.as_str(),
            store_id: &manifest.store_id,
            manifest_key: done.manifest_key,
            parts: &manifest.parts,
            recipients: manifest.keys.iter().map(|key| key.recipient.as_str()).collect(),
            digest_key_id: &manifest.digest_key_id,
            storage_class: &manifest.storage_class,
            locked_until: facts.locked_until.map(at),
            consistent_at: at(facts.consistent_at),
            begin_lsn: &manifest.begin_lsn,
            end_lsn: &manifest.end_lsn,
            timeline: manifest.timeline,
            system_identifier: &manifest.system_identifier,
            snapshot: &manifest.snapshot,
            server_version: &manifest.server_version,
            dump_version: &manifest.dump_version,
            tool_version: &manifest.tool_version,
            duration_ms: took,
            timings: &manifest.timings,
            notes: &manifest.notes,
            policy_digest: &manifest.policy_digest,
            retention: &manifest.retention,
            protected: manifest.protect,
            simulated: manifest.simulated,
            verification: verification_word(verification.unwrap_or(Verification::None)),
            verified_at: verified_at.map(at),
            content_digest: &manifest.content_digest,
            requested_by: asked.map(|asked| asked.by.as_str()),
            request_reason: asked.and_then(|asked| asked.reason.as_deref()),
            request_tables: asked.map(|asked| asked.tables.as_slice()).filter(|tables| !tables.is_empty()),
        }
    }
}

/// Writes the completed rows, each over the running one of its manifest's attempt where there is one. Of what is the
/// same attempt's, such as copies in two stores, the first is written.
pub(super) async fn write(connection: &mut PgConnection, all: &[Completing<'_>]) -> Result<(), CatalogError> {
    let mut seen = BTreeSet::new();
    let mut is_first = |manifest: &Manifest| seen.insert((manifest.backup_id.clone(), manifest.attempt));
    let rows: Vec<Row<'_>> = all.iter().filter(|one| is_first(one.done.manifest)).map(Completing::row).collect();
    let taken = RENEWED.join(", ");
    let given = RENEWED.iter().map(|column| format!("excluded.{column}")).collect::<Vec<_>>().join(", ");
    let insert = format!(
        "INSERT INTO bkup.executions AS e ({COLUMNS}, status, compression_rate) \
         SELECT {COLUMNS}, 'COMPLETED', round(100.0 * backup_size / nullif(original_size, 0), 2) \
         FROM jsonb_populate_recordset(NULL::bkup.executions, $1) \
         ON CONFLICT (backup_id, attempt) DO UPDATE SET ({taken}, tenant_id, error_message, lease_until, abandoned_at, \
             updated_at) = ROW ({given}, coalesce(excluded.tenant_id, e.tenant_id), NULL, NULL, NULL, now()) \
         WHERE e.status <> 'COMPLETED'"
    );
    sqlx::query(sqlx::AssertSqlSafe(insert)).bind(Json(rows)).execute(&mut *connection).await?;
    let recorded = format!(
        "UPDATE bkup.executions e SET manifest_size = w.size, recorded = {RECORDED}, recorded_hash = {RECORDED_HASH} \
         FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS w (backup_id, attempt, size) \
         WHERE e.backup_id = w.backup_id AND e.attempt = w.attempt AND e.status = 'COMPLETED' AND e.recorded IS NULL"
    );
    let (ids, attempts) = attempts(all);
    sqlx::query(sqlx::AssertSqlSafe(recorded))
        .bind(ids)
        .bind(attempts)
        .bind(all.iter().map(|one| bigint(canonical_json(one.done.manifest).len() as u64)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Records the looks at their objects that proved the backups before they were recorded, beside the rows themselves: a
/// row must not say that it was proven, and nobody when.
pub(super) async fn looks(connection: &mut PgConnection, all: &[Completing<'_>]) -> Result<(), CatalogError> {
    let proven: Vec<(&Completing<'_>, (Verification, Instant))> =
        all.iter().filter_map(|one| Some((one, one.done.verified?))).collect();
    if proven.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO bkup.validations (backup_id, store, depth, passed, detail, bytes_read, run, validated_at) \
         SELECT e.backup_id, w.store, w.depth, true, 'read back after writing', w.bytes, e.run, w.at \
         FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[]) \
              WITH ORDINALITY AS w (backup_id, attempt, store, depth, bytes, at, place) \
         JOIN bkup.executions e ON e.backup_id = w.backup_id AND e.attempt = w.attempt ORDER BY w.place",
    )
    .bind(proven.iter().map(|(one, _)| one.done.manifest.backup_id.as_str()).collect::<Vec<_>>())
    .bind(proven.iter().map(|(one, _)| bigint(one.done.manifest.attempt)).collect::<Vec<_>>())
    .bind(proven.iter().map(|(one, _)| one.done.store.as_str()).collect::<Vec<_>>())
    .bind(proven.iter().map(|(_, (depth, _))| verification_word(*depth)).collect::<Vec<_>>())
    .bind(proven.iter().map(|(one, _)| bigint(one.facts.size)).collect::<Vec<_>>())
    .bind(proven.iter().map(|(_, (_, at))| Stamp(*at)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

fn attempts<'a>(all: &'a [Completing<'_>]) -> (Vec<&'a str>, Vec<i64>) {
    all.iter().map(|one| (one.done.manifest.backup_id.as_str(), bigint(one.done.manifest.attempt))).unzip()
}

/// Refers to the application's tenants, where it has some with the manifests' ids. Its table may be gone, hidden or
/// without the row: tenants are kept by value in any case, so nothing of that fails a backup.
pub(super) async fn refer_to_tenants(
    connection: &mut PgConnection,
    all: &[Completing<'_>],
) -> Result<(), CatalogError> {
    let id = |one: &Completing<'_>| one.done.manifest.scope.tenant_id.clone().filter(|id| is_uuid(id));
    if !all.iter().any(|one| id(one).is_some()) {
        return Ok(());
    }
    let linked: bool = sqlx::query_scalar("SELECT coalesce((SELECT tenant_fk IS NOT NULL FROM bkup.meta), false)")
        .fetch_one(&mut *connection)
        .await?;
    let (ids, attempts) = attempts(all);
    let mut savepoint = connection.begin().await?;
    let referred = sqlx::query(if linked {
        "UPDATE bkup.executions e SET backup_tenant_id = t.id \
         FROM unnest($1::text[], $2::bigint[], $3::text[]) AS w (backup_id, attempt, tenant) \
         JOIN tnnt.tenants t ON t.id = w.tenant::uuid WHERE e.backup_id = w.backup_id AND e.attempt = w.attempt"
    } else {
        "UPDATE bkup.executions e SET backup_tenant_id = w.tenant::uuid \
         FROM unnest($1::text[], $2::bigint[], $3::text[]) AS w (backup_id, attempt, tenant) \
         WHERE e.backup_id = w.backup_id AND e.attempt = w.attempt AND w.tenant IS NOT NULL"
    })
    .bind(ids)
    .bind(attempts)
    .bind(all.iter().map(id).collect::<Vec<_>>())
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

/// Returns what the catalog records of the bytes of a backup's parts: the sum `sha256sum` gives for a single object; for
/// more, the sum over the lines it prints for them.
#[must_use]
pub fn checksum(parts: &[DataPart]) -> Option<String> {
    match parts {
        [] => None,
        [part] => Some(part.ciphertext_sha256.clone()),
        many => {
            let lines: String = many.iter().map(|part| format!("{}  {}\n", part.ciphertext_sha256, part.key)).collect();
            Some(sha256(lines.as_bytes()).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RECORDED, RECORDED_HASH};

    #[test]
    fn digest_and_hash_are_over_the_same_columns() {
        let columns = |sql: &str| {
            let words = sql.split(|c: char| !(c.is_ascii_lowercase() || matches!(c, '.' | '_')));
            words.filter_map(|word| word.strip_prefix("e.")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(columns(RECORDED), columns(RECORDED_HASH));
        assert_eq!(columns(RECORDED).len(), 16);
    }
}
