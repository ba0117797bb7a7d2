//! One run through a plan, phase by phase.

use std::panic::AssertUnwindSafe;

use tokio::time::Instant as Monotonic;

use futures_util::FutureExt;

use super::failure::ApplyError;
use super::finish::{self, Clock};
use super::progress::{Progress, outcome_of};
use super::runtime::Runtime;
use super::stop::Halt;
use super::{adopt, backups, drills, ensure, prune, since};
use crate::catalog::{Begun, RunBegin};
use crate::domain::{Action, ApplyReport, Bytes, Event, FinishedBefore, Outcome, Plan, RunFailure};

/// Applies a plan: exactly it, once.
///
/// # Errors
/// [`ApplyError`]: nothing was changed then. What goes wrong later is in the report.
pub async fn apply(runtime: &Runtime, plan: &Plan) -> Result<ApplyReport, ApplyError> {
    let clock = Clock { begin: (runtime.now)(), monotonic: Monotonic::now() };
    runtime.tell(Event::Started {
        format_version: "1.0".to_owned(),
        run: runtime.run.clone(),
        plan_digest: plan.digest,
        at: clock.begin,
        actions: plan.actions.len() as u64,
        bytes: Some(plan.actions.iter().filter_map(|a| a.bytes).sum()).filter(|b| *b > Bytes(0)),
    });
    let (halt, _forward) = Halt::over(runtime.stop.clone());
    let watched = Runtime { stop: halt.receiver(), ..runtime.clone() };
    let applied = begin(&watched, &halt, plan, clock).await;
    let report = match &applied {
        Ok(report) => report.clone(),
        // The stream of events has its end also where nothing was begun.
        Err(error) => finish::not_begun(runtime, plan, clock, error),
    };
    runtime.tell(Event::Finished { report: Box::new(report) });
    applied
}

async fn begin(runtime: &Runtime, halt: &Halt, plan: &Plan, clock: Clock) -> Result<ApplyReport, ApplyError> {
    if let Some(refusal) = plan.refusals.first() {
        return Err(ApplyError::Refused(refusal.words.clone()));
    }
    if plan.actions.is_empty() {
        let came = since::came(runtime).await;
        return Ok(finish::report(runtime, halt, plan, clock, Vec::new(), came));
    }
    let lineage = check_lineage(runtime, plan).await?;
    let made = ensure::catalog(runtime, plan).await?;
    let reader = runtime.catalog.reader();
    let lineage = match lineage {
        Some(lineage) => lineage,
        None => reader.meta().await?.map(|meta| meta.lineage).unwrap_or_default(),
    };
    if let Some(end) = reader.plan_end(&plan.digest).await? {
        return Ok(applied_before(runtime, halt, plan, clock, FinishedBefore { run: end.run, at: end.at }).await);
    }
    // Before anything is written of the plan: one that is stale must not look begun the next time.
    let earlier = reader.outcomes(&plan.digest).await?;
    ensure::check_documents(runtime, plan, !earlier.is_empty()).await?;
    if runtime.catalog.begin_plan(plan, &runtime.run, clock.begin).await? == Begun::AlreadyApplied {
        let end = reader.plan_end(&plan.digest).await?.map(|end| FinishedBefore { run: end.run, at: end.at });
        let end = end.unwrap_or_else(|| FinishedBefore { run: "another run".to_owned(), at: clock.begin });
        return Ok(applied_before(runtime, halt, plan, clock, end).await);
    }
    if let Some(now) = runtime.simulated {
        runtime.catalog.set_clock(now).await?;
    }
    let (run, runner, actor) = (&runtime.run, &runtime.runner, &runtime.actor);
    runtime.catalog.begin_run(&RunBegin { run, plan: &plan.digest, runner, actor, at: clock.begin }).await?;
    let mut progress = Progress::new(runtime, halt.clone(), plan, lineage);
    if let Some((id, outcome, elapsed)) = made {
        progress.settle(id, outcome, elapsed, 0).await;
    }
    // What another run of this very plan has done is done; what it failed at is tried again.
    for row in earlier {
        let Some(Outcome::Done { .. } | Outcome::AlreadyDone { .. }) = row.outcome else { continue };
        if !progress.outcomes.contains_key(&row.action) {
            progress.known(row.action, row.run);
        }
    }
    // A fault of bkup's own must not take the report of what was done with it, nor the leases.
    let broke = AssertUnwindSafe(phases(&mut progress)).catch_unwind().await.err();
    let failure = broke.map(|payload| {
        let what = payload.downcast_ref::<String>().map(String::as_str);
        let what = what.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no words were left");
        RunFailure {
            code: RunFailure::FAULT.to_owned(),
            message: format!("the run broke off at a fault of bkup's own: {what}"),
            help: Some("what was done is recorded, and the next apply goes on from there; please report it".to_owned()),
        }
    });
    Ok(finish::finish(progress, clock, failure).await)
}

async fn phases(progress: &mut Progress<'_>) {
    ensure::run(progress).await;
    adopt::run(progress).await;
    backups::run(progress).await;
    drills::run(progress).await;
    drills::file_left(progress).await;
    prune::run(progress).await;
}

async fn applied_before(runtime: &Runtime, halt: &Halt, plan: &Plan, clock: Clock, end: FinishedBefore) -> ApplyReport {
    let summary = "this plan was applied before".to_owned();
    let all = |a: &Action| outcome_of(a, Outcome::AlreadyDone { summary: summary.clone() }, 0, 0);
    let actions = plan.actions.iter().map(all).collect();
    let came = since::came(runtime).await;
    let mut report = finish::report(runtime, halt, plan, clock, actions, came);
    report.finished_before = Some(end);
    report
}

/// A plan belongs to one catalog: names that mean another thing elsewhere must not be acted on. Returns the catalog's
/// identity, where there is one.
async fn check_lineage(runtime: &Runtime, plan: &Plan) -> Result<Option<String>, ApplyError> {
    let there = runtime.catalog.reader().meta().await?.map(|meta| meta.lineage);
    match (&plan.lineage, &there) {
        (None, None) => Ok(None),
        (Some(planned), Some(there)) if planned == there => Ok(Some(there.clone())),
        // Another run of the same plan may have made the catalog a moment ago: joining it is what a shared plan is for.
        (None, Some(_)) => match runtime.catalog.reader().finished_plan(&plan.digest).await? {
            Some(_) => Ok(there),
            None if runtime.catalog.reader().outcomes(&plan.digest).await?.is_empty() => {
                Err(ApplyError::Stale("it was made before the catalog was".to_owned()))
            }
            None => Ok(there),
        },
        (Some(_), None) => Err(ApplyError::Stale("its catalog is gone".to_owned())),
        (Some(planned), Some(there)) => {
            Err(ApplyError::Stale(format!("it was made for catalog {planned}, and this one is {there}")))
        }
    }
}
