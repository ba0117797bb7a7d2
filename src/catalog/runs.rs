//! Runs: begun before anything is done, seen while they work, ended with their report.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::failure::CatalogError;
use super::stamp::{Cells, Stamp, bigint, plain_json};
use super::state::{self, Reader};
use super::writer::Writer;
use crate::domain::{
    ActionId, ActionOutcome, ApplyReport, AttemptLog, BackupLog, Bytes, Digest, Instant, LoggedEvent, Outcome, Plan,
    RunId, RunLog, RunState, RunSummary,
};

/// A run that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunBegin<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The plan it applies.
    pub plan: &'a Digest,
    /// Who runs: host and process.
    pub runner: &'a str,
    /// Who asked.
    pub actor: &'a str,
    /// When.
    pub at: Instant,
}

impl Reader {
    /// Returns how many runs are under way: begun, without an end, and seen a moment ago.
    ///
    /// # Errors
    /// As every question: unreachable, refused.
    pub async fn runners(&self) -> Result<u64, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query(
            "SELECT count(*) AS runs FROM bkup.runs \
             WHERE ended_at IS NULL AND seen_at > clock_timestamp() - interval '30 seconds'",
        )
        .fetch_one(&mut *connection)
        .await?;
        row.count("runs")
    }
}

impl Writer {
    /// Records that a run begins.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn begin_run(&self, begin: &RunBegin<'_>) -> Result<(), CatalogError> {
        let mut connection = self.session().connection().await?;
        sqlx::query(
            "INSERT INTO bkup.runs (run, plan_digest, runner, actor, begun_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (run) DO NOTHING",
        )
        .bind(begin.run.as_str())
        .bind(begin.plan.to_string())
        .bind(begin.runner)
        .bind(begin.actor)
        .bind(Stamp(begin.at))
        .execute(&mut *connection)
        .await?;
        Ok(())
    }

    /// Gives a sign of a run's life, and returns by whom it was canceled, in words, if it was.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn keep_run(&self, run: &RunId) -> Result<Option<String>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query(
            "UPDATE bkup.runs SET seen_at = clock_timestamp() WHERE run = $1 \
             RETURNING canceled_at, canceled_by, cancel_reason",
        )
        .bind(run.as_str())
        .fetch_optional(&mut *connection)
        .await?;
        row.as_ref().map_or(Ok(None), canceled_words)
    }

    /// Records how a run ended, with its report.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn end_run(&self, report: &ApplyReport) -> Result<(), CatalogError> {
        let document = serde_json::to_value(report).map_err(CatalogError::unfit)?;
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for action in &report.actions {
            *counts.entry(super::plans::word(&action.outcome)).or_default() += 1;
        }
        let mut connection = self.session().connection().await?;
        sqlx::query(
            "UPDATE bkup.runs SET ended_at = $2, elapsed_ms = $3, counts = $4, report = $5, \
                 seen_at = clock_timestamp() WHERE run = $1 AND ended_at IS NULL",
        )
        .bind(report.run.as_str())
        .bind(Stamp(report.end))
        .bind(bigint(report.elapsed_ms))
        .bind(Json(json!(counts)))
        .bind(Json(plain_json(document)))
        .execute(&mut *connection)
        .await?;
        Ok(())
    }
}

const SUMMARY: &str = "SELECT run, plan_digest, runner, actor, begun_at, ended_at, elapsed_ms, counts, canceled_at, \
     canceled_by, cancel_reason, seen_at > clock_timestamp() - interval '1 minute' AS seen FROM bkup.runs";

impl Reader {
    /// Lists runs, the newest first.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn runs(&self, last: u32) -> Result<Vec<RunSummary>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{SUMMARY} ORDER BY begun_at DESC, run DESC LIMIT $1")))
            .bind(i64::from(last))
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(summary).collect()
    }

    /// Returns everything that is known of a run.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn run_log(&self, run: &str) -> Result<Option<RunLog>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SUMMARY} WHERE run = $1")))
            .bind(run)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let summary = summary(&row)?;
        let report =
            sqlx::query("SELECT report FROM bkup.runs WHERE run = $1").bind(run).fetch_one(&mut *connection).await?;
        let report: Option<Box<ApplyReport>> = state::json(&report, "report")?;
        let actions = if report.is_none() { actions(&mut connection, &summary).await? } else { Vec::new() };
        let attempts = if report.is_none() { attempts(&mut connection, "run", run).await? } else { Vec::new() };
        Ok(Some(RunLog { run: Some(summary), report, actions, attempts }))
    }

    /// Returns everything that happened to a backup.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn backup_log(&self, backup: &str) -> Result<BackupLog, CatalogError> {
        let mut connection = self.session().connection().await?;
        let attempts = attempts(&mut connection, "backup_id", backup).await?;
        let rows =
            sqlx::query("SELECT at, actor, run, event, facts FROM bkup.audit_log WHERE subject = $1 ORDER BY seq")
                .bind(backup)
                .fetch_all(&mut *connection)
                .await?;
        let events = rows.iter().map(|row| {
            Ok(LoggedEvent {
                at: row.at("at")?,
                actor: row.text("actor")?,
                run: row.maybe_text("run")?,
                event: row.text("event")?,
                facts: state::json::<Value>(row, "facts")?.unwrap_or_default(),
            })
        });
        let events = events.collect::<Result<_, CatalogError>>()?;
        Ok(BackupLog { backup: backup.to_owned(), attempts, events })
    }

    /// Returns which backup an execution is an attempt at.
    ///
    /// # Errors
    /// As every question: unreachable, refused.
    pub async fn backup_of_execution(&self, execution: &str) -> Result<Option<String>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let id: Option<Option<String>> =
            sqlx::query_scalar("SELECT backup_id FROM bkup.executions WHERE id = $1::text::uuid")
                .bind(execution)
                .fetch_optional(&mut *connection)
                .await?;
        Ok(id.flatten())
    }
}

fn canceled_words(row: &PgRow) -> Result<Option<String>, CatalogError> {
    if row.maybe_at("canceled_at")?.is_none() {
        return Ok(None);
    }
    let by = row.maybe_text("canceled_by")?.unwrap_or_else(|| "somebody".to_owned());
    let why = row.maybe_text("cancel_reason")?.map(|reason| format!(": {reason}")).unwrap_or_default();
    Ok(Some(format!("canceled by {by}{why}")))
}

fn summary(row: &PgRow) -> Result<RunSummary, CatalogError> {
    let end = row.maybe_at("ended_at")?;
    let state = match end {
        Some(_) => RunState::Ended,
        None if row.flag("seen")? => RunState::Working,
        None => RunState::Dead,
    };
    Ok(RunSummary {
        run: row.text("run")?,
        plan_digest: row.parsed("plan_digest")?,
        runner: row.text("runner")?,
        actor: row.text("actor")?,
        begin: row.at("begun_at")?,
        end,
        elapsed_ms: end.map(|_| row.count("elapsed_ms")).transpose()?,
        state,
        counts: state::json(row, "counts")?.unwrap_or_default(),
        canceled: canceled_words(row)?,
    })
}

/// What a run without a report is known to have done: what it recorded action by action.
async fn actions(connection: &mut PgConnection, run: &RunSummary) -> Result<Vec<ActionOutcome>, CatalogError> {
    let rows = sqlx::query(
        "SELECT action_id, detail, elapsed_ms, retries FROM bkup.plan_actions \
         WHERE plan_digest = $1 AND run = $2 ORDER BY ordinal",
    )
    .bind(run.plan_digest.to_string())
    .bind(&run.run)
    .fetch_all(&mut *connection)
    .await?;
    let document = sqlx::query("SELECT document FROM bkup.plans WHERE digest = $1")
        .bind(run.plan_digest.to_string())
        .fetch_optional(connection)
        .await?;
    let plan: Option<Plan> = document.map_or(Ok(None), |row| state::json(&row, "document"))?;
    let planned: BTreeMap<ActionId, _> = plan.into_iter().flat_map(|plan| plan.actions).map(|a| (a.id, a)).collect();
    let mut all = Vec::new();
    for row in &rows {
        let id: ActionId = row.parsed("action_id")?;
        let outcome: Option<Outcome> = state::json(row, "detail")?;
        if let (Some(action), Some(outcome)) = (planned.get(&id), outcome) {
            let retries = row.try_get::<Option<i32>, _>("retries")?.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
            let elapsed_ms = row.count("elapsed_ms")?;
            all.push(ActionOutcome { action: action.clone(), outcome, elapsed_ms, retries });
        }
    }
    Ok(all)
}

async fn attempts(
    connection: &mut PgConnection,
    column: &'static str,
    value: &str,
) -> Result<Vec<AttemptLog>, CatalogError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT id::text AS id, backup_id, attempt, status, schedule, database, scope, slot, run, runner, started_at, \
                duration_ms, backup_size, error_message \
         FROM bkup.executions WHERE {column} = $1 AND attempt IS NOT NULL ORDER BY backup_id, attempt"
    )))
    .bind(value)
    .fetch_all(connection)
    .await?;
    let number = |row: &PgRow, column: &str| -> Result<Option<u64>, CatalogError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.and_then(|n| u64::try_from(n).ok()))
    };
    rows.iter()
        .map(|row| {
            Ok(AttemptLog {
                execution: row.text("id")?,
                backup: row.maybe_text("backup_id")?.unwrap_or_default(),
                attempt: row.count("attempt")?,
                status: row.text("status")?,
                schedule: row.maybe_parsed("schedule")?,
                database: row.maybe_parsed("database")?,
                scope: row.maybe_text("scope")?,
                slot: row.maybe_at("slot")?,
                run: row.maybe_text("run")?,
                runner: row.maybe_text("runner")?,
                begin: row.maybe_at("started_at")?,
                elapsed_ms: number(row, "duration_ms")?,
                size: number(row, "backup_size")?.map(Bytes),
                error: row.maybe_text("error_message")?,
            })
        })
        .collect()
}
