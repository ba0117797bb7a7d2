//! One run through a plan, phase by phase.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant as Monotonic;

use super::claims::{Claimed, Claims};
use super::failure::ApplyError;
use super::runtime::Runtime;
use super::{backups, drills, ensure, prune, record};
use crate::catalog::{AuditEvent, Begun};
use crate::domain::{
    Action, ActionId, ActionKind, ActionOutcome, ApplyReport, CatalogState, Event, Evidence, Instant, Outcome, Plan,
    Precondition,
};

/// What a run knows while it goes on.
pub(super) struct Progress<'a> {
    pub runtime: &'a Runtime,
    pub plan: &'a Plan,
    pub claims: Arc<Claims>,
    outcomes: BTreeMap<ActionId, (Outcome, u64, u32)>,
    pub audit: Vec<AuditEvent>,
    pub evidence: Vec<Evidence>,
}

/// An action whose work this run holds.
pub(super) struct Turn {
    pub claimed: Claimed,
    begun: Monotonic,
}

/// Applies a plan: exactly it, once.
///
/// # Errors
/// [`ApplyError`]: nothing was changed then. What goes wrong later is in the report.
pub async fn apply(runtime: &Runtime, plan: &Plan) -> Result<ApplyReport, ApplyError> {
    if let Some(refusal) = plan.refusals.first() {
        return Err(ApplyError::Refused(refusal.words.clone()));
    }
    let begin = (runtime.now)();
    let clock = Monotonic::now();
    let planned_bytes = plan.actions.iter().filter_map(|a| a.bytes).sum();
    runtime.tell(Event::Started {
        format_version: "1.0".to_owned(),
        run: runtime.run.clone(),
        plan_digest: plan.digest,
        at: begin,
        actions: plan.actions.len() as u64,
        bytes: Some(planned_bytes).filter(|b| *b > crate::domain::Bytes(0)),
    });
    if plan.actions.is_empty() {
        return Ok(finished(runtime, &report(runtime, plan, begin, clock, plan.serial, Vec::new(), Vec::new(), None)));
    }
    check_lineage(runtime, plan).await?;
    let made = ensure::catalog(runtime, plan).await?;
    let reader = runtime.catalog.reader();
    if reader.finished_plan(&plan.digest).await?.is_none() {
        // Before anything is written of the plan: one that is stale must not look begun the next time.
        let begun_before = !reader.outcomes(&plan.digest).await?.is_empty();
        ensure::check_documents(runtime, plan, begun_before).await?;
    }
    let begun = runtime.catalog.begin_plan(plan, &runtime.run, begin).await?;
    if begun == Begun::AlreadyApplied {
        let summary = "this plan was applied before".to_owned();
        let all = |a: &Action| outcome(a, Outcome::AlreadyDone { summary: summary.clone() }, 0, 0);
        let actions = plan.actions.iter().map(all).collect();
        return Ok(finished(runtime, &report(runtime, plan, begin, clock, plan.serial, actions, Vec::new(), None)));
    }
    if let Some(now) = runtime.simulated {
        runtime.catalog.set_clock(now).await?;
    }
    let mut progress = Progress {
        runtime,
        plan,
        claims: Arc::new(Claims::new(runtime)),
        outcomes: BTreeMap::new(),
        audit: Vec::new(),
        evidence: Vec::new(),
    };
    if let Some((id, outcome, elapsed)) = made {
        progress.settle(id, outcome, elapsed, 0).await;
    }
    ensure::run(&mut progress).await;
    backups::run(&mut progress).await;
    drills::run(&mut progress).await;
    drills::file_left(&progress).await;
    prune::run(&mut progress).await;
    Ok(progress.finish(begin, clock).await)
}

/// A plan belongs to one catalog: names that mean another thing elsewhere must not be acted on.
async fn check_lineage(runtime: &Runtime, plan: &Plan) -> Result<(), ApplyError> {
    let state = runtime.catalog.reader().state().await?;
    let there = match &state {
        CatalogState::Absent => None,
        CatalogState::Present(facts) => Some(&facts.lineage),
    };
    match (&plan.lineage, there) {
        (None, None) => Ok(()),
        (Some(planned), Some(there)) if planned == there => Ok(()),
        // Another run of the same plan may have made the catalog a moment ago: joining it is what a shared plan is for.
        (None, Some(_)) => match runtime.catalog.reader().finished_plan(&plan.digest).await? {
            Some(_) => Ok(()),
            None if runtime.catalog.reader().outcomes(&plan.digest).await?.is_empty() => {
                Err(ApplyError::Stale("it was made before the catalog was".to_owned()))
            }
            None => Ok(()),
        },
        (Some(_), None) => Err(ApplyError::Stale("its catalog is gone".to_owned())),
        (Some(planned), Some(there)) => {
            Err(ApplyError::Stale(format!("it was made for catalog {planned}, and this one is {there}")))
        }
    }
}

impl Progress<'_> {
    /// Returns the actions whose kind fits, in the plan's order.
    pub fn actions(&self, wanted: impl Fn(&ActionKind) -> bool) -> Vec<Action> {
        self.plan.actions.iter().filter(|a| wanted(&a.kind) && !self.outcomes.contains_key(&a.id)).cloned().collect()
    }

    /// Returns why an action must not begin: the run stops, its slot has passed, or what it waits for did not succeed.
    pub fn obstacle(&self, action: &Action) -> Option<Outcome> {
        if self.runtime.stopped() {
            return Some(Outcome::NotReached);
        }
        for id in &action.after {
            if !self.succeeded(id) {
                let what = self.plan.actions.iter().find(|a| &a.id == id).map_or_else(
                    || id.digest().short(),
                    |a| match &a.kind {
                        ActionKind::BackUp(work) => format!("backup {}", work.backup),
                        kind => format!("{} {}", a.address, kind.word()),
                    },
                );
                return Some(Outcome::Skipped { reason: format!("what it waits for did not succeed: {what}") });
            }
        }
        None
    }

    /// Returns why a deletion must not happen any more: the rule it was decided by is no longer the one in force, or the
    /// catalog cannot say. What became deletable since the plan is never deleted by it; what stopped being so neither.
    pub async fn rule_changed(&self, action: &Action) -> Option<Outcome> {
        let planned = self.plan.rules.get(&action.address)?;
        let there = match self.runtime.catalog.reader().applied_digest(&action.address).await {
            Ok(there) => there,
            Err(error) => return Some(ensure::failed(&error)),
        };
        (there != Some(*planned)).then(|| Outcome::Skipped {
            reason: format!("{} was changed since the plan was made; plan again", action.address),
        })
    }

    fn succeeded(&self, id: &ActionId) -> bool {
        matches!(self.outcomes.get(id), Some((Outcome::Done { .. } | Outcome::AlreadyDone { .. }, ..)))
    }

    /// Takes an action's turn: looks for obstacles, says that it begins, claims it. One that cannot be had is settled
    /// here, with the reason.
    pub async fn take_turn(&mut self, action: &Action) -> Option<Turn> {
        let begun = Monotonic::now();
        if let Some(obstacle) = self.obstacle(action) {
            self.settle(action.id, obstacle, 0, 0).await;
            return None;
        }
        self.begin(action);
        match self.claims.take(action.id).await {
            Ok(claimed) => Some(Turn { claimed, begun }),
            Err(outcome) => {
                self.settle(action.id, outcome, millis(begun), 0).await;
                None
            }
        }
    }

    /// Ends a turn: gives the work back, and settles it.
    pub async fn end_turn(&mut self, action: &Action, turn: Turn, outcome: Outcome) {
        // A lease that cannot be given back ends by itself.
        let _ = self.claims.release(turn.claimed).await;
        self.settle(action.id, outcome, millis(turn.begun), 0).await;
    }

    /// Says that an action begins.
    pub fn begin(&self, action: &Action) {
        self.runtime.tell(Event::ActionStarted { action: Box::new(action.clone()) });
    }

    /// Records what became of an action, in the catalog too: a later run of the same plan goes on from there.
    pub async fn settle(&mut self, id: ActionId, outcome: Outcome, elapsed_ms: u64, retries: u32) {
        self.runtime.tell(Event::ActionFinished { id, outcome: outcome.clone(), elapsed_ms, retries });
        if let Some(action) = self.plan.actions.iter().find(|a| a.id == id) {
            let row = self::outcome(action, outcome.clone(), elapsed_ms, retries);
            let at = (self.runtime.now)();
            // The report holds it all the same; a catalog that is gone is said there by the actions that need it.
            let _ = self.runtime.catalog.record_outcome(&self.plan.digest, &row, &self.runtime.run, at).await;
        }
        self.outcomes.insert(id, (outcome, elapsed_ms, retries));
    }

    /// Adds an event to the audit chain, written with the next batch: for what no effect on the catalog goes with. Such an
    /// effect tells of itself, by a writer that is telling.
    pub fn note(&mut self, event: &str, subject: impl Into<String>, facts: serde_json::Value) {
        self.audit.push(self.runtime.event(event, subject, facts));
    }

    /// Writes the noted events to the chain.
    pub async fn flush_audit(&mut self) {
        if !self.audit.is_empty() && self.runtime.catalog.audit(&self.audit).await.is_ok() {
            self.audit.clear();
        }
    }

    async fn finish(mut self, begin: Instant, clock: Monotonic) -> ApplyReport {
        let interrupted = self.runtime.stopped().then(|| "the run was told to stop".to_owned());
        let outcomes: Vec<ActionOutcome> = self
            .plan
            .actions
            .iter()
            .map(|action| {
                let (kind, elapsed, retries) =
                    self.outcomes.get(&action.id).cloned().unwrap_or((Outcome::NotReached, 0, 0));
                outcome(action, kind, elapsed, retries)
            })
            .collect();
        let did = outcomes.iter().any(|o| matches!(o.outcome, Outcome::Done { .. } | Outcome::Violated { .. }));
        let skipped_some = outcomes.iter().any(|o| matches!(o.outcome, Outcome::Skipped { .. }));
        let final_all = outcomes.iter().all(|o| {
            matches!(
                o.outcome,
                Outcome::Done { .. } | Outcome::AlreadyDone { .. } | Outcome::Skipped { .. } | Outcome::Violated { .. }
            )
        });
        let evidence = std::mem::take(&mut self.evidence);
        let runtime = self.runtime;
        let plan = self.plan;
        for (database, tenants) in &runtime.tenants {
            let _ = runtime.catalog.tenants_seen(database, tenants, (runtime.now)()).await;
        }
        let _ = runtime.catalog.show_next_runs(&runtime.next_runs).await;
        let serial = if did { record::serial(&mut self).await.unwrap_or(plan.serial) } else { plan.serial };
        self.flush_audit().await;
        let mut report = report(runtime, plan, begin, clock, serial, outcomes, evidence, interrupted);
        report.audit_head = runtime.catalog.reader().audit_head().await.ok().flatten().map(|head| head.to_string());
        if did {
            record::state(runtime, plan, &report).await;
        }
        // A run that failed wholly is told of too: only its report says that somebody tried.
        record::report(runtime, plan, &report).await;
        // A run that only skipped has changed nothing: the same plan may be meant again when the reason is gone.
        if final_all && (did || !skipped_some) {
            let _ = runtime.catalog.finish_plan(&plan.digest, (runtime.now)()).await;
        }
        self.claims.release_all().await;
        finished(runtime, &report)
    }
}

fn finished(runtime: &Runtime, report: &ApplyReport) -> ApplyReport {
    runtime.tell(Event::Finished { report: Box::new(report.clone()) });
    report.clone()
}

fn outcome(action: &Action, outcome: Outcome, elapsed_ms: u64, retries: u32) -> ActionOutcome {
    ActionOutcome { action: action.clone(), outcome, elapsed_ms, retries }
}

#[expect(clippy::too_many_arguments, reason = "the report's parts, gathered once")]
fn report(
    runtime: &Runtime,
    plan: &Plan,
    begin: Instant,
    clock: Monotonic,
    serial: i64,
    actions: Vec<ActionOutcome>,
    evidence: Vec<Evidence>,
    interrupted: Option<String>,
) -> ApplyReport {
    ApplyReport {
        format_version: "1.0".to_owned(),
        run: runtime.run.clone(),
        tool_version: runtime.tool_version.clone(),
        plan_digest: plan.digest,
        begin,
        end: (runtime.now)(),
        elapsed_ms: millis(clock),
        serial,
        actions,
        held: plan.held.clone(),
        evidence,
        audit_head: None,
        interrupted,
    }
}

/// The milliseconds since an instant of the machine's monotonic clock.
pub(super) fn millis(since: Monotonic) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Returns whether a document precondition is among an action's.
pub(super) fn document_digest(action: &Action) -> Option<Option<crate::domain::Digest>> {
    action.preconditions.iter().find_map(|p| if let Precondition::DocumentDigest(d) = p { Some(*d) } else { None })
}
