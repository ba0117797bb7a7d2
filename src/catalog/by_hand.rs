//! What people put into the tables by hand. Reads only.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::failure::CatalogError;
use super::migrate::presence;
use super::state::Reader;
use crate::domain::{ByHand, HandPlan, HandSchedule};

/// More rows than anybody puts in by hand are not read.
const MOST: i64 = 1000;

const SCHEDULES: &str = "
    SELECT s.schedule_name, s.backup_type, s.target_scope, s.target_databases, s.frequency,
           to_char(s.schedule_time, 'HH24:MI') AS time, s.schedule_days, s.timezone, s.rule, s.backup_format,
           s.retention_days, s.max_parallel_jobs, s.store, s.enabled,
           coalesce(cardinality(s.target_tenants), 0) AS tenant_ids, coalesce(cardinality(s.notify_emails), 0) AS emails,
           coalesce(s.target_slugs, ARRAY(SELECT t.slug FROM bkup.tenants t
               WHERE t.tenant_id = ANY (s.target_tenants::text[]) ORDER BY t.slug)) AS slugs
    FROM bkup.schedules s WHERE s.policy_name IS NULL AND NOT s.deleted
    ORDER BY s.created_at, s.schedule_name, s.id LIMIT $1";

const PLANS: &str = "
    SELECT p.plan_name, p.plan_type, p.description, p.recovery_scope, p.recovery_time, p.recovery_point,
           p.required_backup_types, p.minimum_backup_age, p.test_frequency_days, p.primary_contact,
           p.escalation_contacts, p.status, p.approved_by, to_char(p.approved_at, 'YYYY-MM-DD') AS approved_on,
           p.target_databases, p.severity,
           ARRAY(SELECT coalesce(CASE jsonb_typeof(step) WHEN 'object' THEN step ->> 'description'
                                                         ELSE step #>> '{}' END, '')
                 FROM jsonb_array_elements(CASE WHEN jsonb_typeof(p.recovery_steps) = 'array'
                                                THEN p.recovery_steps ELSE '[]' END) WITH ORDINALITY AS s(step, at)
                 ORDER BY at) AS steps
    FROM bkup.recovery_plans p WHERE p.policy_name IS NULL AND NOT p.deleted
    ORDER BY p.created_at, p.plan_name, p.id LIMIT $1";

impl Reader {
    /// Returns the rows that no policy put in, oldest first; nothing where there is no catalog.
    ///
    /// # Errors
    /// As every question.
    pub async fn by_hand(&self) -> Result<ByHand, CatalogError> {
        let mut connection = self.session().connection().await?;
        if presence(&mut connection).await?.version()?.is_none() {
            return Ok(ByHand::default());
        }
        Ok(ByHand { schedules: schedules(&mut connection).await?, plans: plans(&mut connection).await? })
    }
}

fn list(row: &PgRow, column: &str) -> Result<Vec<String>, sqlx::Error> {
    // An element of an array can be absent, which says nothing.
    let all: Option<Vec<Option<String>>> = row.try_get(column)?;
    Ok(all.unwrap_or_default().into_iter().flatten().collect())
}

fn count(row: &PgRow, column: &str) -> Result<usize, sqlx::Error> {
    Ok(usize::try_from(row.try_get::<i32, _>(column)?).unwrap_or(0))
}

async fn schedules(connection: &mut PgConnection) -> Result<Vec<HandSchedule>, CatalogError> {
    let rows = sqlx::query(SCHEDULES).bind(MOST).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let days: Option<Vec<Option<i32>>> = row.try_get("schedule_days")?;
            Ok(HandSchedule {
                name: row.try_get("schedule_name")?,
                backup_type: row.try_get("backup_type")?,
                target_scope: row.try_get("target_scope")?,
                databases: list(row, "target_databases")?,
                tenant_ids: count(row, "tenant_ids")?,
                slugs: list(row, "slugs")?,
                frequency: row.try_get("frequency")?,
                time: row.try_get("time")?,
                days: days.unwrap_or_default().into_iter().flatten().collect(),
                timezone: row.try_get("timezone")?,
                rule: row.try_get("rule")?,
                format: row.try_get("backup_format")?,
                retention_days: row.try_get("retention_days")?,
                parallel: row.try_get("max_parallel_jobs")?,
                emails: count(row, "emails")?,
                store: row.try_get("store")?,
                enabled: row.try_get("enabled")?,
            })
        })
        .collect()
}

async fn plans(connection: &mut PgConnection) -> Result<Vec<HandPlan>, CatalogError> {
    let rows = sqlx::query(PLANS).bind(MOST).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(HandPlan {
                name: row.try_get("plan_name")?,
                plan_type: row.try_get("plan_type")?,
                description: row.try_get("description")?,
                scope: row.try_get("recovery_scope")?,
                rto_minutes: row.try_get("recovery_time")?,
                rpo_minutes: row.try_get("recovery_point")?,
                steps: list(row, "steps")?,
                required: list(row, "required_backup_types")?,
                minimum_age_hours: row.try_get("minimum_backup_age")?,
                test_days: row.try_get("test_frequency_days")?,
                primary_contact: row.try_get("primary_contact")?,
                escalation: list(row, "escalation_contacts")?,
                status: row.try_get("status")?,
                approved_by: row.try_get("approved_by")?,
                approved_on: row.try_get("approved_on")?,
                databases: list(row, "target_databases")?,
                severity: row.try_get("severity")?,
            })
        })
        .collect()
}
