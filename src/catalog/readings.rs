//! Who reads backups now, what restores did, and what drills proved.

use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::claims::Lease;
use super::failure::CatalogError;
use super::stamp::{Cells, Stamp, bigint, plain, plain_json};
use super::state::{Reader, json};
use super::writer::{Writer, fence};
use crate::domain::{BackupId, Digest, DrillWork, Evidence, Instant, Name, Period, RunId, digest_of};

/// Why backups are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadingKind {
    /// A restore.
    Restore,
    /// A drill.
    Drill,
    /// A verification.
    Verify,
}

/// How reading ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadingEnd {
    /// It did what it was for.
    Completed {
        /// Bytes fetched from the store.
        bytes_fetched: u64,
    },
    /// It did not; why, without secrets.
    Failed(String),
}

/// A reading that has begun: pruning leaves its backups alone until it ends or its lease does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What the catalog calls it.
    pub id: String,
}

impl Reader {
    /// Returns the digest of the newest evidence: what the next one names as `previous`.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn evidence_head(&self) -> Result<Option<Digest>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query("SELECT evidence_digest FROM bkup.drills ORDER BY ordinal DESC LIMIT 1")
            .fetch_optional(&mut *connection)
            .await?;
        row.map(|row| row.parsed("evidence_digest")).transpose()
    }

    /// Returns the newest evidence of each recovery plan.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn newest_evidence(&self) -> Result<Vec<(Name, Evidence)>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query("SELECT DISTINCT ON (plan) plan, evidence FROM bkup.drills ORDER BY plan, attempt DESC")
            .fetch_all(&mut *connection)
            .await?;
        let evidence = |row| json(row, "evidence")?.ok_or_else(|| CatalogError::corrupt("evidence", "is missing"));
        rows.iter().map(|row| Ok((row.parsed("plan")?, evidence(row)?))).collect()
    }
}

impl Writer {
    /// Names backups, and what they need, as being read. `target` says where to, for people.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where one of them is not there or is being purged.
    pub async fn begin_reading(
        &self,
        kind: ReadingKind,
        backups: &[BackupId],
        target: &str,
        runner: &str,
        lease: Period,
        at: Instant,
    ) -> Result<Reading, CatalogError> {
        let ids: Vec<&str> = backups.iter().map(BackupId::as_str).collect();
        let mut transaction = self.session().begin().await?;
        // The rows' locks order this against a purge, which locks them before it looks for readers.
        let there: Vec<String> = sqlx::query_scalar(
            "SELECT backup_id FROM bkup.executions WHERE backup_id = ANY($1) AND status = 'COMPLETED' \
             AND NOT deleted AND purge_begun_at IS NULL ORDER BY backup_id FOR SHARE",
        )
        .bind(&ids)
        .fetch_all(&mut *transaction)
        .await?;
        if let Some(gone) = ids.iter().find(|id| !there.iter().any(|there| there == *id)) {
            return Err(CatalogError::Conflict { reason: format!("backup {gone} is not there to be read") });
        }
        let id: String = sqlx::query_scalar(
            "INSERT INTO bkup.restores (kind, backups, target, runner, lease_until, started_at) \
             VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5), $6) RETURNING id::text",
        )
        .bind(match kind {
            ReadingKind::Restore => "RESTORE",
            ReadingKind::Drill => "DRILL",
            ReadingKind::Verify => "VERIFY",
        })
        .bind(&ids)
        .bind(target)
        .bind(runner)
        .bind(seconds(lease))
        .bind(Stamp(at))
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Reading { id })
    }

    /// Renews a reading's lease. False: it had ended, and a purge may have begun; what was read must not be trusted.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn keep_reading(&self, reading: &Reading, lease: Period) -> Result<bool, CatalogError> {
        let mut connection = self.session().connection().await?;
        let kept = sqlx::query(
            "UPDATE bkup.restores SET lease_until = clock_timestamp() + make_interval(secs => $2) \
             WHERE id = $1::text::uuid AND lease_until > clock_timestamp()",
        )
        .bind(&reading.id)
        .bind(seconds(lease))
        .execute(&mut *connection)
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Records how a reading ended, and gives its backups free.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn end_reading(&self, reading: &Reading, end: &ReadingEnd, at: Instant) -> Result<(), CatalogError> {
        let (status, bytes, error) = match end {
            ReadingEnd::Completed { bytes_fetched } => ("COMPLETED", Some(bigint(*bytes_fetched)), None),
            ReadingEnd::Failed(error) => ("FAILED", None, Some(plain(error))),
        };
        let mut connection = self.session().connection().await?;
        sqlx::query(
            "UPDATE bkup.restores SET status = $2, bytes_fetched = $3, error_message = $4, completed_at = $5, \
             lease_until = NULL WHERE id = $1::text::uuid",
        )
        .bind(&reading.id)
        .bind(status)
        .bind(bytes)
        .bind(error)
        .bind(Stamp(at))
        .execute(&mut *connection)
        .await?;
        Ok(())
    }

    /// Records a drill attempt with its evidence; recording the same attempt again changes nothing. What a passed drill
    /// restored counts as verified by it.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; [`CatalogError::Unfit`] where the evidence's instant cannot be read.
    pub async fn record_drill(
        &self,
        lease: &Lease,
        work: &DrillWork,
        evidence: &Evidence,
        run: &RunId,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let plan_digest = work.plan_digest.to_string();
        let attempt = Attempt { plan: work.plan.as_str(), plan_digest: &plan_digest, number: work.attempt };
        if !write_drill(&mut transaction, &attempt, evidence, Some(run)).await? {
            return Ok(transaction.commit().await?);
        }
        self.seal(transaction).await
    }
}

/// Which attempt at which plan's drill.
pub(super) struct Attempt<'a> {
    pub(super) plan: &'a str,
    pub(super) plan_digest: &'a str,
    pub(super) number: u64,
}

/// Writes a drill attempt and what it proved. One that is there already is left alone; returns whether it was not.
pub(super) async fn write_drill(
    connection: &mut PgConnection,
    drill: &Attempt<'_>,
    evidence: &Evidence,
    run: Option<&RunId>,
) -> Result<bool, CatalogError> {
    let at: Instant = evidence.drill_timestamp.parse().map_err(CatalogError::unfit)?;
    let passed = evidence.status == "passed";
    let document = serde_json::to_value(evidence).map_err(CatalogError::unfit)?;
    let digest = digest_of(&document).to_string();
    let document = plain_json(document);
    let fresh = sqlx::query(
            "INSERT INTO bkup.drills (drill_id, plan, plan_digest, attempt, drilled_at, passed, failure, backups, \
                 tenants, backup_age_seconds, restore_ms, rpo_compliant, rto_compliant, evidence, evidence_digest, run) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
             ON CONFLICT (plan, attempt) DO NOTHING RETURNING attempt",
        )
        .bind(&evidence.drill_id)
        .bind(drill.plan)
        .bind(drill.plan_digest)
        .bind(bigint(drill.number))
        .bind(Stamp(at))
        .bind(passed)
        .bind(evidence.failure.as_deref().map(plain))
        .bind(&evidence.backups)
        .bind(&evidence.tenants)
        .bind(bigint(evidence.backup_age_minutes.saturating_mul(60)))
        .bind(bigint(evidence.restore_duration_ms))
        .bind(evidence.rpo_compliant)
        .bind(evidence.rto_compliant)
        .bind(Json(&document))
        .bind(digest)
        .bind(run.map(RunId::as_str))
        .fetch_optional(&mut *connection)
        .await?
        .map(|row| row.try_get::<i64, _>("attempt"))
        .transpose()?
        .is_some();
    if fresh {
        sqlx::query(
            "UPDATE bkup.recovery_plans SET last_tested_at = $2, test_results = $3, updated_at = now() \
                 WHERE policy_name = $1 AND (last_tested_at IS NULL OR last_tested_at <= $2)",
        )
        .bind(drill.plan)
        .bind(Stamp(at))
        .bind(Json(&document))
        .execute(&mut *connection)
        .await?;
    }
    if fresh && passed {
        sqlx::query(
            "UPDATE bkup.executions SET drilled_at = $2, verification = 'restore', verified_at = $2, \
                     updated_at = now() \
                 WHERE backup_id = ANY($1) AND status = 'COMPLETED' AND (drilled_at IS NULL OR drilled_at < $2)",
        )
        .bind(&evidence.backups)
        .bind(Stamp(at))
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "INSERT INTO bkup.validations (backup_id, store, depth, passed, detail, run, validated_at) \
                 SELECT backup_id, store, 'restore', true, $2, $3, $4 FROM bkup.executions \
                 WHERE backup_id = ANY($1) AND status = 'COMPLETED' ORDER BY backup_id",
        )
        .bind(&evidence.backups)
        .bind(&evidence.drill_id)
        .bind(run.map(RunId::as_str))
        .bind(Stamp(at))
        .execute(&mut *connection)
        .await?;
    }
    Ok(fresh)
}

fn seconds(lease: Period) -> f64 {
    f64::from(i32::try_from(lease.as_seconds()).unwrap_or(i32::MAX))
}
