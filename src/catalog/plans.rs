//! Plans that were applied: each once. A finished one is not applied again; an unfinished one is joined or resumed.

use serde_json::Value;
use sqlx::types::Json;

use super::failure::CatalogError;
use super::stamp::{Cells, Stamp, bigint, plain_json};
use super::state::{Reader, json};
use super::writer::Writer;
use crate::domain::{ActionClass, ActionId, ActionOutcome, Digest, Instant, Outcome, Plan, RunId};

/// Where a run finds itself with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is the first to apply it.
    Fresh,
    /// Another run began it and has not finished: it died, or works beside this one.
    Resumed,
    /// It is finished; nothing is to be done.
    AlreadyApplied,
}

/// What became of an action of a plan, in any run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeRow {
    /// The action.
    pub action: ActionId,
    /// What became of it; absent where nothing did yet.
    pub outcome: Option<Outcome>,
    /// The run that did it.
    pub run: Option<String>,
    /// When that ended.
    pub ended_at: Option<Instant>,
}

impl Reader {
    /// Returns when the plan with this digest was finished, if it was.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn finished_plan(&self, digest: &Digest) -> Result<Option<Instant>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query("SELECT finished_at FROM bkup.plans WHERE digest = $1 AND status = 'FINISHED'")
            .bind(digest.to_string())
            .fetch_optional(&mut *connection)
            .await?;
        row.map_or(Ok(None), |row| row.maybe_at("finished_at"))
    }

    /// Returns what became of each action of a plan, in its order.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn outcomes(&self, digest: &Digest) -> Result<Vec<OutcomeRow>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query(
            "SELECT action_id, detail, run, ended_at FROM bkup.plan_actions WHERE plan_digest = $1 ORDER BY ordinal",
        )
        .bind(digest.to_string())
        .fetch_all(&mut *connection)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(OutcomeRow {
                    action: row.parsed("action_id")?,
                    outcome: json(row, "detail")?,
                    run: row.maybe_text("run")?,
                    ended_at: row.maybe_at("ended_at")?,
                })
            })
            .collect()
    }
}

impl Writer {
    /// Records a plan as begun, with its actions, in one transaction.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn begin_plan(&self, plan: &Plan, run: &RunId, at: Instant) -> Result<Begun, CatalogError> {
        let document = serde_json::to_value(plan).map_err(CatalogError::unfit)?;
        let digest = plan.digest.to_string();
        let mut transaction = self.session().begin().await?;
        let fresh = sqlx::query(
            "INSERT INTO bkup.plans (digest, change_digest, policy_digest, lineage, serial, as_of, document, run, \
                 begun_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (digest) DO NOTHING",
        )
        .bind(&digest)
        .bind(plan.change_digest.to_string())
        .bind(plan.policy_digest.to_string())
        .bind(&plan.lineage)
        .bind(plan.serial)
        .bind(Stamp(plan.as_of))
        .bind(Json(&document))
        .bind(run.as_str())
        .bind(Stamp(at))
        .execute(&mut *transaction)
        .await?
        .rows_affected()
            == 1;
        if !fresh {
            let status: String = sqlx::query_scalar("SELECT status FROM bkup.plans WHERE digest = $1")
                .bind(&digest)
                .fetch_one(&mut *transaction)
                .await?;
            return Ok(if status == "FINISHED" { Begun::AlreadyApplied } else { Begun::Resumed });
        }
        let class = |class: ActionClass| match class {
            ActionClass::Change => "change",
            ActionClass::Drift => "drift",
            ActionClass::Due => "due",
        };
        sqlx::query(
            "INSERT INTO bkup.plan_actions (plan_digest, action_id, ordinal, kind, address, class) \
             SELECT $1, action_id, place, kind, address, class \
             FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) \
                  WITH ORDINALITY AS a (action_id, kind, address, class, place)",
        )
        .bind(&digest)
        .bind(plan.actions.iter().map(|a| a.id.to_string()).collect::<Vec<_>>())
        .bind(plan.actions.iter().map(|a| a.kind.word()).collect::<Vec<_>>())
        .bind(plan.actions.iter().map(|a| a.address.to_string()).collect::<Vec<_>>())
        .bind(plan.actions.iter().map(|a| class(a.class)).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Begun::Fresh)
    }

    /// Records what became of actions. What was done stays: a run that only saw that someone else holds the work, or
    /// did not reach it, does not hide that it was done. Each action is there once.
    ///
    /// # Errors
    /// As every statement; [`CatalogError::Unfit`] where one of the actions is not in the plan: the others are recorded.
    pub async fn record_outcomes(
        &self,
        plan: &Digest,
        outcomes: &[ActionOutcome],
        run: &RunId,
        at: Instant,
    ) -> Result<(), CatalogError> {
        let mut details = Vec::new();
        for outcome in outcomes {
            let detail: Value = serde_json::to_value(&outcome.outcome).map_err(CatalogError::unfit)?;
            details.push(Json(plain_json(detail)));
        }
        let retries = |outcome: &ActionOutcome| i32::try_from(outcome.retries).unwrap_or(i32::MAX);
        let mut connection = self.session().connection().await?;
        let known: i64 = sqlx::query_scalar(
            "WITH wanted AS (SELECT * FROM unnest($2::text[], $3::text[], $4::jsonb[], $5::bigint[], $6::integer[]) \
                             AS w (action_id, outcome, detail, elapsed_ms, retries)), \
             row AS (SELECT a.plan_digest, w.* FROM bkup.plan_actions a JOIN wanted w USING (action_id) \
                     WHERE a.plan_digest = $1), \
             written AS (UPDATE bkup.plan_actions a SET outcome = row.outcome, detail = row.detail, \
                             elapsed_ms = row.elapsed_ms, retries = row.retries, run = $7, ended_at = $8 FROM row \
                         WHERE a.plan_digest = row.plan_digest AND a.action_id = row.action_id \
                           AND NOT (a.outcome IN ('done', 'violated') \
                                    AND row.outcome IN ('already_done', 'claimed', 'not_reached', 'skipped'))) \
             SELECT count(*) FROM row",
        )
        .bind(plan.to_string())
        .bind(outcomes.iter().map(|outcome| outcome.id().to_string()).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|outcome| word(&outcome.outcome)).collect::<Vec<_>>())
        .bind(details)
        .bind(outcomes.iter().map(|outcome| bigint(outcome.elapsed_ms)).collect::<Vec<_>>())
        .bind(outcomes.iter().map(retries).collect::<Vec<_>>())
        .bind(run.as_str())
        .bind(Stamp(at))
        .fetch_one(&mut *connection)
        .await?;
        let all = usize::try_from(known).is_ok_and(|known| known == outcomes.len());
        if all { Ok(()) } else { Err(CatalogError::unfit("the action is not one of the plan's")) }
    }

    /// Records a plan as finished; it is never applied again.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn finish_plan(&self, digest: &Digest, at: Instant) -> Result<(), CatalogError> {
        let mut connection = self.session().connection().await?;
        sqlx::query(
            "UPDATE bkup.plans SET status = 'FINISHED', finished_at = $2 WHERE digest = $1 AND status = 'RUNNING'",
        )
        .bind(digest.to_string())
        .bind(Stamp(at))
        .execute(&mut *connection)
        .await?;
        Ok(())
    }
}

pub(super) const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done { .. } => "done",
        Outcome::AlreadyDone { .. } => "already_done",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Claimed { .. } => "claimed",
        Outcome::Failed { .. } => "failed",
        Outcome::Violated { .. } => "violated",
        Outcome::NotReached => "not_reached",
    }
}
