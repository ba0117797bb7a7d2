//! Policies as applied: the record that plans are made against, and the rows of `schedules` and `recovery_plans` that
//! show them to people. One transaction keeps both in step.

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::claims::Lease;
use super::columns::{PlanColumns, ScheduleColumns};
use super::failure::CatalogError;
use super::moves::forget;
use super::stamp::{Cells, Stamp};
use super::writer::{Writer, fence};
use crate::domain::{
    Address, Digest, DocumentOp, Instant, RecoveryPlanSpec, RetentionRule, RunId, ScheduleSpec, Section,
    SourceLocation, digest_of,
};

/// A change to what is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentChange<'a> {
    /// The policy thing.
    pub address: &'a Address,
    /// What happens to it.
    pub op: DocumentOp,
    /// The document afterwards; absent where it is archived.
    pub body: Option<&'a Value>,
    /// Where it stands in the policies.
    pub location: Option<&'a SourceLocation>,
    /// The commit it comes from, where that is known.
    pub commit: Option<&'a str>,
    /// Who applies it.
    pub by: &'a str,
    /// In which run.
    pub run: &'a RunId,
    /// When.
    pub at: Instant,
}

impl Writer {
    /// Records a policy thing as applied, changed, archived or back.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; [`CatalogError::Unfit`] where a schedule or recovery plan cannot be read from its
    /// document; [`CatalogError::Conflict`] where a thing that is to be archived is not there.
    pub async fn apply_document(&self, lease: &Lease, change: &DocumentChange<'_>) -> Result<(), CatalogError> {
        self.change_document(lease, change, None).await.map(|_| ())
    }

    /// The same, if the thing is still as the plan saw it: `expected` is its digest then, absent where there was none.
    /// False: it already is as it shall be, by an earlier run of the same plan.
    ///
    /// # Errors
    /// As [`Writer::apply_document`]; [`CatalogError::Conflict`] where it is neither.
    pub async fn apply_document_if(
        &self,
        lease: &Lease,
        change: &DocumentChange<'_>,
        expected: Option<Digest>,
    ) -> Result<bool, CatalogError> {
        self.change_document(lease, change, Some(expected)).await
    }

    async fn change_document(
        &self,
        lease: &Lease,
        change: &DocumentChange<'_>,
        expected: Option<Option<Digest>>,
    ) -> Result<bool, CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        if let Some(expected) = expected {
            let row = sqlx::query(
                "SELECT digest, archived_at IS NOT NULL AS archived FROM bkup.policies WHERE address = $1 FOR UPDATE",
            )
            .bind(change.address.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
            let (there, archived) = match &row {
                None => (None, false),
                Some(row) => (Some(row.parsed::<Digest>("digest")?), row.flag("archived")?),
            };
            let wanted = change.body.map(digest_of);
            let restores = change.op == DocumentOp::Restore;
            let done = match wanted {
                _ if restores => false,
                Some(wanted) => there == Some(wanted) && !archived,
                None => archived,
            };
            if done {
                return Ok(false);
            }
            // Writing again what is applied is right also where an earlier try of it came this far.
            if there != expected && !(restores && there.is_some() && there == wanted) {
                let reason = format!("{} was changed since the plan was made", change.address);
                return Err(CatalogError::Conflict { reason });
            }
        }
        match (change.op, change.body) {
            (DocumentOp::Archive, _) => archive(&mut transaction, change).await?,
            (DocumentOp::Restore, Some(body)) => restore(&mut transaction, change, body).await?,
            (_, Some(body)) => record(&mut transaction, change, body).await?,
            (_, None) => return Err(CatalogError::unfit("a document without a body")),
        }
        self.seal(transaction).await?;
        Ok(true)
    }
}

fn read<T: serde::de::DeserializeOwned>(address: &Address, body: &Value) -> Result<T, CatalogError> {
    serde_json::from_value(body.clone()).map_err(|error| CatalogError::unfit(format!("{address}: {error}")))
}

pub(super) async fn record(
    connection: &mut PgConnection,
    change: &DocumentChange<'_>,
    body: &Value,
) -> Result<(), CatalogError> {
    let digest = digest_of(body);
    let schedule: Option<ScheduleSpec> = match change.address.section() {
        Section::Schedule => Some(read(change.address, body)?),
        _ => None,
    };
    let retention: Option<&RetentionRule> = schedule.as_ref().map(|spec| &spec.retention);
    sqlx::query(
        "INSERT INTO bkup.policies AS p (address, body, digest, retention, since, applied_at, source_file, \
             source_line, commit, applied_by, run) VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (address) DO UPDATE SET body = excluded.body, digest = excluded.digest, \
             retention = excluded.retention, applied_at = excluded.applied_at, archived_at = NULL, \
             since = CASE WHEN p.archived_at IS NULL THEN p.since ELSE excluded.since END, \
             source_file = excluded.source_file, source_line = excluded.source_line, commit = excluded.commit, \
             applied_by = excluded.applied_by, run = excluded.run",
    )
    .bind(change.address.to_string())
    .bind(Json(body))
    .bind(digest.to_string())
    .bind(retention.map(Json))
    .bind(Stamp(change.at))
    .bind(change.location.map(|place| place.file.as_str()))
    .bind(change.location.map(line))
    .bind(change.commit)
    .bind(change.by)
    .bind(change.run.as_str())
    .execute(&mut *connection)
    .await?;
    match change.address.section() {
        Section::Schedule => {
            if let Some(spec) = schedule {
                show_schedule(connection, change, body, digest, &spec).await?;
            }
        }
        Section::RecoveryPlan => show_plan(connection, change, body, digest, &read(change.address, body)?).await?,
        _ => {}
    }
    forget(connection, change.address).await
}

/// Writes a thing's record and its row again as they were applied. When it was, and whether it is archived, stays.
async fn restore(connection: &mut PgConnection, change: &DocumentChange<'_>, body: &Value) -> Result<(), CatalogError> {
    let schedule: Option<ScheduleSpec> = match change.address.section() {
        Section::Schedule => Some(read(change.address, body)?),
        _ => None,
    };
    let digest = digest_of(body);
    let row = sqlx::query(
        "UPDATE bkup.policies SET body = $2, digest = $3, retention = $4 WHERE address = $1 \
         RETURNING source_file, source_line, archived_at IS NOT NULL AS archived",
    )
    .bind(change.address.to_string())
    .bind(Json(body))
    .bind(digest.to_string())
    .bind(schedule.as_ref().map(|spec| Json(&spec.retention)))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        return Err(CatalogError::Conflict { reason: format!("{} is not applied", change.address) });
    };
    let file = row.maybe_text("source_file")?;
    let line: Option<i32> = row.try_get("source_line")?;
    let location = file.map(|file| SourceLocation { file, line: line.map_or(0, i32::unsigned_abs) });
    let change = DocumentChange { location: location.as_ref(), ..change.clone() };
    match (change.address.section(), &schedule) {
        (Section::Schedule, Some(spec)) => show_schedule(connection, &change, body, digest, spec).await?,
        (Section::RecoveryPlan, _) => {
            show_plan(connection, &change, body, digest, &read(change.address, body)?).await?;
        }
        _ => {}
    }
    if row.flag("archived")? { hide(connection, change.address).await } else { Ok(()) }
}

fn line(place: &SourceLocation) -> i32 {
    i32::try_from(place.line).unwrap_or(i32::MAX)
}

async fn show_schedule(
    connection: &mut PgConnection,
    change: &DocumentChange<'_>,
    body: &Value,
    digest: Digest,
    spec: &ScheduleSpec,
) -> Result<(), CatalogError> {
    let columns = ScheduleColumns::of(spec)?;
    sqlx::query(
        "INSERT INTO bkup.schedules (schedule_name, policy_name, backup_type, target_scope, target_databases, \
             frequency, schedule_time, schedule_days, timezone, backup_format, retention_days, max_parallel_jobs, \
             policy, policy_digest, source_file, source_line, rule, target_slugs, target_classes, target_tables, \
             engine, store, start_within) \
         VALUES ($1, $1, $2, $3, $4, $5, $6::text::time, $7, $8, \
             CASE WHEN (SELECT body->'encryption' <> 'null' FROM bkup.policies WHERE address = 'store.' || $20) \
                  THEN 'ENCRYPTED' ELSE $9 END, \
             $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $21, $20, $22) \
         ON CONFLICT (policy_name) DO UPDATE SET backup_type = excluded.backup_type, \
             target_scope = excluded.target_scope, target_databases = excluded.target_databases, \
             frequency = excluded.frequency, schedule_time = excluded.schedule_time, \
             schedule_days = excluded.schedule_days, timezone = excluded.timezone, \
             backup_format = excluded.backup_format, retention_days = excluded.retention_days, \
             max_parallel_jobs = excluded.max_parallel_jobs, policy = excluded.policy, \
             policy_digest = excluded.policy_digest, source_file = excluded.source_file, \
             source_line = excluded.source_line, rule = excluded.rule, target_slugs = excluded.target_slugs, \
             target_classes = excluded.target_classes, target_tables = excluded.target_tables, \
             engine = excluded.engine, store = excluded.store, start_within = excluded.start_within, \
             schedule_name = excluded.schedule_name, target_tenants = NULL, notify_success = false, \
             notify_failure = true, notify_emails = NULL, \
             enabled = true, deleted = false, updated_at = now()",
    )
    .bind(change.address.name().map_or("", |name| name.as_str()))
    .bind(columns.backup_type)
    .bind(columns.target_scope)
    .bind(columns.databases)
    .bind(columns.frequency)
    .bind(columns.time)
    .bind(columns.days)
    .bind(columns.timezone)
    .bind(columns.format)
    .bind(columns.retention_days)
    .bind(columns.parallel)
    .bind(Json(body))
    .bind(digest.to_string())
    .bind(change.location.map(|place| place.file.as_str()))
    .bind(change.location.map(line))
    .bind(columns.rule)
    .bind(columns.slugs)
    .bind(columns.classes)
    .bind(columns.tables)
    .bind(columns.store)
    .bind(columns.engine)
    .bind(columns.start_within)
    .execute(connection)
    .await?;
    Ok(())
}

async fn show_plan(
    connection: &mut PgConnection,
    change: &DocumentChange<'_>,
    body: &Value,
    digest: Digest,
    spec: &RecoveryPlanSpec,
) -> Result<(), CatalogError> {
    let columns = PlanColumns::of(spec)?;
    sqlx::query(
        "INSERT INTO bkup.recovery_plans (plan_name, policy_name, plan_type, description, recovery_scope, \
             recovery_time, recovery_point, recovery_steps, automated_steps, manual_steps, required_backup_types, \
             minimum_backup_age, test_frequency_days, primary_contact, escalation_contacts, status, approved_by, \
             approved_at, policy, policy_digest, source_file, source_line, target_databases, severity, \
             last_tested_at, test_results) \
         SELECT $1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
             $22, $23, drill.drilled_at, drill.evidence \
         FROM (SELECT) one LEFT JOIN LATERAL (SELECT drilled_at, evidence FROM bkup.drills WHERE plan = $1 \
             ORDER BY attempt DESC LIMIT 1) drill ON true \
         ON CONFLICT (policy_name) DO UPDATE SET plan_type = excluded.plan_type, description = excluded.description, \
             recovery_scope = excluded.recovery_scope, recovery_time = excluded.recovery_time, \
             recovery_point = excluded.recovery_point, recovery_steps = excluded.recovery_steps, \
             automated_steps = excluded.automated_steps, manual_steps = excluded.manual_steps, \
             required_backup_types = excluded.required_backup_types, \
             minimum_backup_age = excluded.minimum_backup_age, \
             test_frequency_days = excluded.test_frequency_days, primary_contact = excluded.primary_contact, \
             escalation_contacts = excluded.escalation_contacts, status = excluded.status, \
             approved_by = excluded.approved_by, approved_at = excluded.approved_at, policy = excluded.policy, \
             policy_digest = excluded.policy_digest, source_file = excluded.source_file, \
             source_line = excluded.source_line, target_databases = excluded.target_databases, \
             severity = excluded.severity, plan_name = excluded.plan_name, deleted = false, updated_at = now()",
    )
    .bind(change.address.name().map_or("", |name| name.as_str()))
    .bind(columns.plan_type)
    .bind(&spec.description)
    .bind(columns.scope)
    .bind(columns.rto)
    .bind(columns.rpo)
    .bind(Json(columns.steps))
    .bind(Json(columns.automated))
    .bind(Json(columns.manual))
    .bind(columns.requires)
    .bind(columns.minimum_age)
    .bind(columns.test_days)
    .bind(&spec.primary_contact)
    .bind(&spec.escalation_contacts)
    .bind(columns.status)
    .bind(&spec.approval.by)
    .bind(Stamp::maybe(columns.approved_at))
    .bind(Json(body))
    .bind(digest.to_string())
    .bind(change.location.map(|place| place.file.as_str()))
    .bind(change.location.map(line))
    .bind(columns.databases)
    .bind(columns.severity)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn archive(connection: &mut PgConnection, change: &DocumentChange<'_>) -> Result<(), CatalogError> {
    let archived = sqlx::query(
        "UPDATE bkup.policies SET archived_at = coalesce(archived_at, $2), commit = $3, applied_by = $4, run = $5 \
         WHERE address = $1",
    )
    .bind(change.address.to_string())
    .bind(Stamp(change.at))
    .bind(change.commit)
    .bind(change.by)
    .bind(change.run.as_str())
    .execute(&mut *connection)
    .await?;
    if archived.rows_affected() == 0 {
        return Err(CatalogError::Conflict { reason: format!("{} is not applied", change.address) });
    }
    hide(connection, change.address).await
}

/// Takes the row of an archived thing out of what people look at.
async fn hide(connection: &mut PgConnection, address: &Address) -> Result<(), CatalogError> {
    let hidden = match address.section() {
        Section::Schedule => {
            "UPDATE bkup.schedules SET deleted = true, enabled = false, next_run_at = NULL, updated_at = now() \
             WHERE policy_name = $1"
        }
        Section::RecoveryPlan => {
            "UPDATE bkup.recovery_plans SET deleted = true, updated_at = now() WHERE policy_name = $1"
        }
        _ => return Ok(()),
    };
    sqlx::query(hidden).bind(address.name().map(|name| name.as_str())).execute(connection).await?;
    Ok(())
}
