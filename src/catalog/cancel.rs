//! Canceling: the right to finish is taken away first, as from a dead runner. Whoever works at it finds its lease gone
//! at the next heartbeat, and never writes its manifest.

use serde_json::json;
use sqlx::{PgConnection, Row};

use super::audit::{AuditEvent, append};
use super::failure::CatalogError;
use super::stamp::{Cells, Stamp, bigint, plain};
use super::state::Reader;
use super::writer::Writer;
use crate::domain::{BackupId, CanceledSlot, Instant, Meant};

/// Who cancels, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelWish<'a> {
    /// Who.
    pub by: &'a str,
    /// Why, where that was said.
    pub reason: Option<&'a str>,
    /// When, by the catalog's clock or the machine's.
    pub at: Instant,
}

impl CancelWish<'_> {
    /// Returns what the catalog keeps: `canceled by ann: migration`.
    #[must_use]
    pub fn words(&self) -> String {
        let why = self.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("canceled by {}{why}", self.by)
    }
}

/// An attempt that was canceled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanceledExecution {
    /// The execution's own id.
    pub execution: String,
    /// The backup that was being taken.
    pub backup: String,
    /// Which attempt.
    pub attempt: u64,
    /// The schedule.
    pub schedule: String,
    /// The database.
    pub database: Option<String>,
    /// The scope.
    pub scope: String,
    /// The slot.
    pub slot: Instant,
    /// Who worked at it.
    pub runner: Option<String>,
}

impl Reader {
    /// Finds what an id, or the begin of one, stands for: at most seven things.
    ///
    /// # Errors
    /// As every question: unreachable, refused.
    pub async fn meant(&self, id: &str) -> Result<Vec<Meant>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let uuid = id.len() == 36 && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        // A whole id wins over longer ones that begin with it. Ids are ASCII below `~`, so a range does what LIKE would.
        let rows = sqlx::query(
            "SELECT kind, id FROM ( \
                 (SELECT 0 AS kind, run AS id FROM bkup.runs WHERE run >= $1 AND run < $1 || '~' ORDER BY run LIMIT 7) \
                 UNION ALL \
                 (SELECT DISTINCT 1, backup_id FROM bkup.executions \
                  WHERE backup_id >= $1 AND backup_id < $1 || '~' ORDER BY backup_id LIMIT 7) \
                 UNION ALL \
                 SELECT 2, id::text FROM bkup.executions WHERE id = $2::text::uuid AND attempt IS NOT NULL \
             ) found ORDER BY id COLLATE \"C\" LIMIT 7",
        )
        .bind(id)
        .bind(uuid.then_some(id))
        .fetch_all(&mut *connection)
        .await?;
        let mut found = Vec::new();
        for row in &rows {
            let text = row.text("id")?;
            found.push(match row.try_get::<i32, _>("kind")? {
                0 => Meant::Run(text),
                1 => Meant::Backup(text),
                _ => Meant::Execution(text),
            });
        }
        if let Some(whole) = found.iter().find(|meant| meant.id() == id).cloned() {
            return Ok(vec![whole]);
        }
        Ok(found)
    }

    /// Returns by whom an attempt was canceled, in words; `None` where nobody did.
    ///
    /// # Errors
    /// As every question: unreachable, refused.
    pub async fn canceled(&self, backup: &BackupId, attempt: u64) -> Result<Option<String>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let words: Option<Option<String>> = sqlx::query_scalar(
            "SELECT error_message FROM bkup.executions \
             WHERE backup_id = $1 AND attempt = $2 AND status = 'CANCELED'",
        )
        .bind(backup.as_str())
        .bind(bigint(attempt))
        .fetch_optional(&mut *connection)
        .await?;
        Ok(words.map(|words| words.unwrap_or_else(|| "canceled".to_owned())))
    }
}

impl Writer {
    /// Cancels what is running of something, and returns it. A run is told to stop, too; `None` where it has ended.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn cancel(
        &self,
        meant: &Meant,
        wish: &CancelWish<'_>,
    ) -> Result<Option<Vec<CanceledExecution>>, CatalogError> {
        let mut transaction = self.session().begin().await?;
        if let Meant::Run(run) = meant {
            // The run first: it must begin nothing more while its attempts are taken away.
            let told = sqlx::query(
                "UPDATE bkup.runs SET canceled_at = coalesce(canceled_at, $2), canceled_by = coalesce(canceled_by, $3), \
                     cancel_reason = coalesce(cancel_reason, $4) WHERE run = $1 AND ended_at IS NULL",
            )
            .bind(run)
            .bind(Stamp(wish.at))
            .bind(plain(wish.by))
            .bind(wish.reason.map(plain))
            .execute(&mut *transaction)
            .await?;
            if told.rows_affected() == 0 {
                return Ok(None);
            }
        }
        // Claims before executions, as every runner locks them.
        sqlx::query(
            "WITH taken AS (SELECT c.action_id FROM bkup.claims c JOIN bkup.executions e \
                              ON e.action_id = c.action_id AND e.attempt = c.token \
                            WHERE e.status IN ('PENDING', 'RUNNING') AND CASE $1 WHEN 0 THEN e.run = $2 \
                                WHEN 1 THEN e.backup_id = $2 ELSE e.id = CASE $1 WHEN 2 THEN $2::text::uuid END END \
                            ORDER BY c.action_id FOR UPDATE OF c) \
             UPDATE bkup.claims c SET token = c.token + 1, lease_until = NULL FROM taken \
             WHERE c.action_id = taken.action_id",
        )
        .bind(kind(meant))
        .bind(meant.id())
        .execute(&mut *transaction)
        .await?;
        let rows = sqlx::query(
            "UPDATE bkup.executions e SET status = 'CANCELED', error_message = $3, abandoned_at = $4, \
                 lease_until = NULL, updated_at = now() \
             WHERE e.status IN ('PENDING', 'RUNNING') AND e.attempt IS NOT NULL AND CASE $1 WHEN 0 THEN e.run = $2 \
                 WHEN 1 THEN e.backup_id = $2 ELSE e.id = CASE $1 WHEN 2 THEN $2::text::uuid END END \
             RETURNING id::text AS id, backup_id, attempt, schedule, database, scope, slot, runner",
        )
        .bind(kind(meant))
        .bind(meant.id())
        .bind(plain(&wish.words()))
        .bind(Stamp(wish.at))
        .fetch_all(&mut *transaction)
        .await?;
        let mut canceled = Vec::new();
        for row in &rows {
            canceled.push(CanceledExecution {
                execution: row.text("id")?,
                backup: row.text("backup_id")?,
                attempt: row.count("attempt")?,
                schedule: row.text("schedule")?,
                database: row.maybe_text("database")?,
                scope: row.text("scope")?,
                slot: row.at("slot")?,
                runner: row.maybe_text("runner")?,
            });
        }
        canceled.sort_by(|a, b| (&a.backup, a.attempt).cmp(&(&b.backup, b.attempt)));
        // Told with what it did: nobody's backup ends without the chain saying by whom.
        let events = told(meant, wish, &canceled);
        if !events.is_empty() {
            let _ = append(&mut transaction, &events).await?;
        }
        transaction.commit().await?;
        Ok(Some(canceled))
    }
}

/// Words what was canceled for the audit chain.
fn told(meant: &Meant, wish: &CancelWish<'_>, canceled: &[CanceledExecution]) -> Vec<AuditEvent> {
    let event = |event: &str, subject: &str, facts| AuditEvent {
        at: wish.at,
        actor: wish.by.to_owned(),
        run: None,
        event: event.to_owned(),
        subject: subject.to_owned(),
        facts,
    };
    let run = if let Meant::Run(run) = meant { Some(run) } else { None };
    let run = run.map(|run| event("run canceled", run, json!({ "reason": wish.reason })));
    let backup = |one: &CanceledExecution| {
        let facts = json!({ "reason": wish.reason, "attempt": one.attempt, "scope": one.scope });
        event("backup canceled", &one.backup, facts)
    };
    run.into_iter().chain(canceled.iter().map(backup)).collect()
}

const fn kind(meant: &Meant) -> i32 {
    match meant {
        Meant::Run(_) => 0,
        Meant::Backup(_) => 1,
        Meant::Execution(_) => 2,
    }
}

/// Reads the newest canceled slot of each schedule, database and scope.
pub(super) async fn canceled_slots(connection: &mut PgConnection) -> Result<Vec<CanceledSlot>, CatalogError> {
    let rows = sqlx::query(
        "SELECT DISTINCT ON (schedule, database, scope) schedule, database, scope, slot, \
                coalesce(abandoned_at, updated_at) AS at, coalesce(error_message, 'canceled') AS words \
         FROM bkup.executions \
         WHERE status = 'CANCELED' AND schedule IS NOT NULL AND scope IS NOT NULL AND slot IS NOT NULL \
         ORDER BY schedule, database, scope, slot DESC, attempt DESC",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(CanceledSlot {
                schedule: row.parsed("schedule")?,
                database: row.maybe_parsed("database")?,
                scope: row.parsed("scope")?,
                slot: row.at("slot")?,
                at: row.at("at")?,
                words: row.text("words")?,
            })
        })
        .collect()
}
