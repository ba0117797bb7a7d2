//! The end of a run: leases given back, what was done written down in catalog and stores, and the report.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant as Monotonic;

use super::failure::ApplyError;
use super::progress::{Progress, millis, outcome_of};
use super::record;
use super::runtime::Runtime;
use super::since;
use super::stop::Halt;
use crate::diag::Explain;
use crate::domain::{ActionOutcome, ApplyReport, CameSince, Instant, Outcome, Plan, RunFailure};

/// How long a run that was told to stop may take for its last words: all of it must be over within 5 s. The stores get
/// the first part of that, so that one that hangs leaves time for the catalog.
const LAST_WORDS: Duration = Duration::from_millis(3200);
const FOR_THE_CATALOG: Duration = Duration::from_millis(1000);

/// When a run began, by the catalog's clock and by the machine's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// By the clock that plans go by.
    pub begin: Instant,
    /// By the machine's own.
    pub monotonic: Monotonic,
}

/// Ends a run.
pub(super) async fn finish(mut progress: Progress<'_>, clock: Clock, failure: Option<RunFailure>) -> ApplyReport {
    let (runtime, plan) = (progress.runtime, progress.plan);
    let last_words = || runtime.stopped().then(|| Monotonic::now() + LAST_WORDS);
    let until = last_words();
    // First, so that others can go on while this run waits for its report's last part, and writes it.
    let _ = within(until, progress.claims.release_all()).await;
    let came = since::came(runtime).await;
    let until = until.or_else(last_words);
    let outcomes: Vec<ActionOutcome> = plan
        .actions
        .iter()
        .map(|action| {
            let known = progress.outcomes.get(&action.id).cloned();
            let (outcome, elapsed, retries) = known.unwrap_or((Outcome::NotReached, 0, 0));
            outcome_of(action, outcome, elapsed, retries)
        })
        .collect();
    let did = outcomes.iter().any(|o| matches!(o.outcome, Outcome::Done { .. } | Outcome::Violated { .. }));
    let skipped_some = outcomes.iter().any(|o| matches!(o.outcome, Outcome::Skipped { .. }));
    let is_final = |o: &ActionOutcome| {
        use Outcome::{AlreadyDone, Done, Skipped, Violated};
        matches!(o.outcome, Done { .. } | AlreadyDone { .. } | Skipped { .. } | Violated { .. })
    };
    let final_all = outcomes.iter().all(is_final);
    let mut report = report(runtime, &progress.halt, plan, clock, outcomes, came);
    report.evidence = std::mem::take(&mut progress.evidence);
    report.failure = failure;
    let written = within(until.map(|until| until - FOR_THE_CATALOG), write_down(&mut progress, &mut report, did)).await;
    if written.is_none() {
        progress.unrecorded.push("there was no time to write all of it before the process ends".to_owned());
    }
    // A run that only skipped has changed nothing: the same plan may be meant again when the reason is gone.
    if final_all && report.failure.is_none() && (did || !skipped_some) {
        let _ = within(until, runtime.catalog.finish_plan(&plan.digest, (runtime.now)())).await;
    }
    report.unrecorded = std::mem::take(&mut progress.unrecorded);
    report.end = (runtime.now)();
    report.elapsed_ms = millis(clock.monotonic);
    // The stores' copy was written before it could say whether all were; the catalog's says so too.
    match within(until, runtime.catalog.end_run(&report)).await {
        Some(Ok(())) => {}
        Some(Err(error)) => report.unrecorded.push(format!("catalog: {error}")),
        None => report.unrecorded.push("catalog: it did not answer in time".to_owned()),
    }
    report
}

/// Writes down what the run did, in catalog and stores.
async fn write_down(progress: &mut Progress<'_>, report: &mut ApplyReport, did: bool) {
    let (runtime, plan) = (progress.runtime, progress.plan);
    for (database, tenants) in &runtime.tenants {
        let _ = runtime.catalog.tenants_seen(database, tenants, (runtime.now)()).await;
    }
    let _ = runtime.catalog.show_next_runs(&runtime.next_runs).await;
    if did {
        report.serial = record::serial(progress).await.unwrap_or(plan.serial);
    }
    progress.flush_audit().await;
    if !progress.audit.is_empty() {
        progress.unrecorded.push("catalog: the audit chain could not be written".to_owned());
    }
    report.audit_head = runtime.catalog.reader().audit_head().await.ok().flatten().map(|head| head.to_string());
    report.end = (runtime.now)();
    if did {
        record::state(progress, report).await;
    }
    // A run that failed wholly is told of too: only its report says that somebody tried.
    record::report(progress, report).await;
}

/// Bounds work that a stopped run still does; `None` where its time was over.
async fn within<T>(until: Option<tokio::time::Instant>, work: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => tokio::time::timeout_at(until, work).await.ok(),
        None => Some(work.await),
    }
}

/// Puts a report together.
pub(super) fn report(
    runtime: &Runtime,
    halt: &Halt,
    plan: &Plan,
    clock: Clock,
    actions: Vec<ActionOutcome>,
    came: CameSince,
) -> ApplyReport {
    ApplyReport {
        format_version: "1.0".to_owned(),
        run: runtime.run.clone(),
        tool_version: runtime.tool_version.clone(),
        plan_digest: Some(plan.digest),
        begin: clock.begin,
        end: (runtime.now)(),
        elapsed_ms: millis(clock.monotonic),
        serial: plan.serial,
        actions,
        held: plan.held.clone(),
        evidence: Vec::new(),
        audit_head: None,
        interrupted: runtime.stopped().then(|| halt.why().unwrap_or_else(|| "the run was told to stop".to_owned())),
        failure: None,
        finished_before: None,
        since: came.work,
        since_unknown: came.unknown,
        unrecorded: Vec::new(),
    }
}

/// Puts the report of a run together that did not begin.
pub(super) fn not_begun(runtime: &Runtime, plan: &Plan, clock: Clock, error: &ApplyError) -> ApplyReport {
    let finding = error.explain();
    let failure = RunFailure { code: finding.code.to_string(), message: finding.message, help: finding.help };
    ApplyReport::not_begun(runtime.run.clone(), &runtime.tool_version, Some(plan), clock.begin, failure)
}
