//! What people did to the catalog's rows, and what was recorded of each backup's objects, for comparison with the
//! world. Reads only.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::columns::{PlanColumns, ScheduleColumns};
use super::completion::{RECORDED, RECORDED_HASH};
use super::failure::CatalogError;
use super::migrate::presence;
use super::recorded::{RecordedBackup, recorded_of};
use super::stamp::{Cells, bigint};
use super::state::{Reader, json as cell, verification_from};
use crate::domain::{
    Address, BackupId, CatalogSigns, DocumentSign, FailedLook, Instant, RecoveryPlanSpec, RowEdit, ScheduleSpec,
    Section, digest_of,
};

/// The first version of the catalog that records what a row said when its backup was made.
pub(super) const RECORDS_SINCE: i64 = 5;
/// The version from which on the quick hash is kept beside it.
const HAS_HASH: i64 = 12;
/// How many names of rows put in by hand are said.
const EXAMPLES: i64 = 3;

impl Reader {
    /// Returns what people did to the rows, and where the catalog is, or is to be made.
    ///
    /// # Errors
    /// As every question.
    pub async fn signs(&self) -> Result<CatalogSigns, CatalogError> {
        let mut transaction = self.session().begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *transaction).await?;
        let mut signs = match presence(&mut transaction).await?.version()? {
            None => CatalogSigns::default(),
            Some(version) => CatalogSigns {
                documents: documents(&mut transaction).await?,
                schedules_by_hand: by_hand(&mut transaction, "schedules", "schedule_name", "schedule.").await?,
                plans_by_hand: by_hand(&mut transaction, "recovery_plans", "plan_name", "recovery-plan.").await?,
                executions: edited(&mut transaction, version).await?,
                failed_looks: failed_looks(&mut transaction).await?,
                place: None,
            },
        };
        transaction.commit().await?;
        let mut connection = self.session().connection().await?;
        let datname: String = sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut *connection).await?;
        // Some servers keep this to themselves; then it is not known.
        let system = sqlx::query_scalar("SELECT system_identifier::text FROM pg_control_system()");
        signs.place = Some((system.fetch_one(&mut *connection).await.ok(), datname));
        Ok(signs)
    }

    /// Returns what was recorded of the objects of these backups; those that are not there any more are left out.
    ///
    /// # Errors
    /// As every question.
    pub async fn recorded_backups(
        &self,
        backups: &[&BackupId],
    ) -> Result<Vec<(BackupId, RecordedBackup)>, CatalogError> {
        let mut connection = self.session().connection().await?;
        match presence(&mut connection).await?.version()? {
            None => Ok(Vec::new()),
            Some(version) => recorded_of(&mut connection, version, backups).await,
        }
    }

    /// Returns which of these attempts are over: completed, purged, or collected. One that began since anything else was
    /// read is not among them.
    ///
    /// # Errors
    /// As every question.
    pub async fn ended_attempts(&self, attempts: &[(BackupId, u64)]) -> Result<HashSet<(BackupId, u64)>, CatalogError> {
        let (ids, numbers): (Vec<&str>, Vec<i64>) =
            attempts.iter().map(|(id, attempt)| (id.as_str(), bigint(*attempt))).unzip();
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query(
            "SELECT e.backup_id, e.attempt FROM bkup.executions e \
             JOIN unnest($1::text[], $2::bigint[]) AS asked (id, attempt) \
               ON asked.id = e.backup_id AND asked.attempt = e.attempt \
             WHERE e.status = 'COMPLETED' OR e.collected_at IS NOT NULL",
        )
        .bind(&ids)
        .bind(&numbers)
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(|row| Ok((BackupId::from_text(row.text("backup_id")?), row.count("attempt")?))).collect()
    }
}

/// Compares every record with its digest, and every row that shows one with what bkup would write.
async fn documents(connection: &mut PgConnection) -> Result<BTreeMap<Address, DocumentSign>, CatalogError> {
    let rows = sqlx::query(
        "SELECT p.address, p.body, p.digest, p.retention, p.archived_at IS NOT NULL AS archived, p.source_file, \
                p.source_line, coalesce(to_jsonb(s), to_jsonb(r)) AS shown \
         FROM bkup.policies p \
         LEFT JOIN bkup.schedules s ON p.address = 'schedule.' || s.policy_name \
         LEFT JOIN bkup.recovery_plans r ON p.address = 'recovery-plan.' || r.policy_name \
         ORDER BY p.address",
    )
    .fetch_all(connection)
    .await?;
    let mut signs = BTreeMap::new();
    for row in &rows {
        let address: Address = row.parsed("address")?;
        let body: Value = cell(row, "body")?.unwrap_or_default();
        let intact = row.text("digest")? == digest_of(&body).to_string();
        // What a damaged document would say means nothing.
        let edits = if intact { edits(row, &address, &body)? } else { Vec::new() };
        if !intact || !edits.is_empty() {
            signs.insert(address, DocumentSign { intact, edits });
        }
    }
    Ok(signs)
}

fn edits(row: &PgRow, address: &Address, body: &Value) -> Result<Vec<RowEdit>, CatalogError> {
    let mut edits = Vec::new();
    let mut written = match address.section() {
        Section::Schedule => {
            let Ok(spec) = serde_json::from_value::<ScheduleSpec>(body.clone()) else { return Ok(edits) };
            let rule = serde_json::to_value(&spec.retention).unwrap_or_default();
            let found: Value = cell(row, "retention")?.unwrap_or_default();
            compare("retention", &found, &rule, &mut edits);
            schedule_row(&ScheduleColumns::of(&spec)?)
        }
        Section::RecoveryPlan => {
            let Ok(spec) = serde_json::from_value::<RecoveryPlanSpec>(body.clone()) else { return Ok(edits) };
            plan_row(&spec, PlanColumns::of(&spec)?)
        }
        _ => return Ok(edits),
    };
    let Some(Json(shown)) = row.try_get::<Option<Json<Map<String, Value>>>, _>("shown")? else {
        edits.push(RowEdit { column: "row".to_owned(), found: "gone".to_owned(), written: "there".to_owned() });
        return Ok(edits);
    };
    let archived = row.flag("archived")?;
    let line: Option<i32> = row.try_get("source_line")?;
    written.insert("policy".to_owned(), body.clone());
    written.insert("policy_digest".to_owned(), json!(row.text("digest")?));
    written.insert("source_file".to_owned(), json!(row.maybe_text("source_file")?));
    written.insert("source_line".to_owned(), json!(line));
    written.insert("deleted".to_owned(), json!(archived));
    if address.section() == Section::Schedule {
        written.insert("enabled".to_owned(), json!(!archived));
    }
    for (column, wanted) in &written {
        compare(column, shown.get(column).unwrap_or(&Value::Null), wanted, &mut edits);
    }
    Ok(edits)
}

fn schedule_row(columns: &ScheduleColumns) -> Map<String, Value> {
    let row = json!({
        "backup_type": columns.backup_type, "target_scope": columns.target_scope,
        "target_databases": columns.databases, "frequency": columns.frequency, "schedule_time": columns.time,
        "schedule_days": columns.days, "timezone": columns.timezone, "backup_format": columns.format,
        "retention_days": columns.retention_days, "max_parallel_jobs": columns.parallel, "rule": columns.rule,
        "target_slugs": columns.slugs, "target_classes": columns.classes, "target_tables": columns.tables,
        "engine": columns.engine, "store": columns.store, "start_within": columns.start_within,
        "target_tenants": null, "notify_success": false, "notify_failure": true, "notify_emails": null,
    });
    object(row)
}

fn plan_row(spec: &RecoveryPlanSpec, columns: PlanColumns) -> Map<String, Value> {
    let row = json!({
        "plan_type": columns.plan_type, "description": spec.description, "recovery_scope": columns.scope,
        "recovery_time": columns.rto, "recovery_point": columns.rpo, "recovery_steps": columns.steps,
        "automated_steps": columns.automated, "manual_steps": columns.manual,
        "required_backup_types": columns.requires, "minimum_backup_age": columns.minimum_age,
        "test_frequency_days": columns.test_days, "primary_contact": spec.primary_contact,
        "escalation_contacts": spec.escalation_contacts, "status": columns.status, "approved_by": spec.approval.by,
        "approved_at": columns.approved_at.map(|at| at.to_string()), "target_databases": columns.databases,
        "severity": columns.severity,
    });
    object(row)
}

fn object(row: Value) -> Map<String, Value> {
    match row {
        Value::Object(columns) => columns,
        _ => Map::new(),
    }
}

fn compare(column: &str, found: &Value, written: &Value, edits: &mut Vec<RowEdit>) {
    let instant = |value: &Value| value.as_str().and_then(|text| text.parse::<Instant>().ok());
    let same = match column {
        // The database writes times with seconds.
        "schedule_time" => {
            let minutes = |value: &Value| value.as_str().map(|text| text.get(..5).unwrap_or(text).to_owned());
            minutes(found) == minutes(written)
        }
        "approved_at" => instant(found).map(super::as_recorded) == instant(written).map(super::as_recorded),
        // The store's encryption may have changed since the row was written; nothing but this column shows it.
        "backup_format" => found == written || found == "ENCRYPTED",
        _ => found == written,
    };
    if !same {
        let (found, written) = (shown(found), shown(written));
        edits.push(RowEdit { column: column.to_owned(), found, written });
    }
}

/// Returns a value as people read it; a document is only named.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(_) => "another document".to_owned(),
        other => other.to_string(),
    }
}

/// Finds rows that no policy put in: the first few names, and how many there are.
async fn by_hand(
    connection: &mut PgConnection,
    table: &str,
    name: &str,
    section: &str,
) -> Result<(Vec<String>, u64), CatalogError> {
    // The words are this program's own.
    let sql = format!(
        "SELECT t.{name} AS name, count(*) OVER () AS total FROM bkup.{table} t WHERE NOT t.deleted \
           AND NOT EXISTS (SELECT FROM bkup.policies p WHERE p.address = '{section}' || t.policy_name) \
         ORDER BY t.created_at, t.{name}, t.id LIMIT {EXAMPLES}"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await?;
    let total = rows.first().map_or(Ok(0), |row| row.count("total"))?;
    Ok((rows.iter().map(|row| row.text("name")).collect::<Result<_, _>>()?, total))
}

/// Finds backups whose row says something else than what was recorded when they were made.
async fn edited(connection: &mut PgConnection, version: i64) -> Result<Vec<BackupId>, CatalogError> {
    let is_as_recorded = match version {
        ..RECORDS_SINCE => return Ok(Vec::new()),
        RECORDS_SINCE..HAS_HASH => format!("e.recorded = {RECORDED}"),
        HAS_HASH.. => format!("CASE WHEN e.recorded_hash = {RECORDED_HASH} THEN true ELSE e.recorded = {RECORDED} END"),
    };
    let sql = format!(
        "SELECT e.backup_id FROM bkup.executions e WHERE e.status = 'COMPLETED' AND NOT e.deleted \
           AND e.backup_id IS NOT NULL AND NOT ({is_as_recorded}) ORDER BY e.backup_id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await?;
    rows.iter().map(|row| row.text("backup_id").map(BackupId::from_text)).collect()
}

/// Finds backups in use whose newest look failed, and that are not in quarantine for it.
async fn failed_looks(connection: &mut PgConnection) -> Result<Vec<FailedLook>, CatalogError> {
    let rows = sqlx::query(
        "SELECT DISTINCT ON (v.backup_id) v.backup_id, v.depth, v.validated_at, v.detail, v.passed \
         FROM bkup.validations v JOIN bkup.executions e ON e.backup_id = v.backup_id \
         WHERE e.status = 'COMPLETED' AND NOT e.deleted AND e.quarantine IS NULL AND e.tombstoned_at IS NULL \
         ORDER BY v.backup_id, v.validated_at DESC, v.created_at DESC",
    )
    .fetch_all(connection)
    .await?;
    let mut looks = Vec::new();
    for row in &rows {
        if !row.flag("passed")? {
            looks.push(FailedLook {
                backup: BackupId::from_text(row.text("backup_id")?),
                depth: verification_from(row.try_get("depth")?)?,
                at: row.at("validated_at")?,
                detail: row.maybe_text("detail")?,
            });
        }
    }
    Ok(looks)
}
