//! Whether drills prove the recovery time objectives that are promised, or show that they do not hold. Pure.

use std::collections::BTreeSet;

use crate::domain::{ApprovalStatus, BackupType, Name, Period, PlanStep, RecoveryPlanSpec};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::Thing;
use crate::policy::text::Place;

use super::view::View;
use super::words;

/// A promise: who makes it, where, how long.
struct Promise {
    who: String,
    place: Place,
    rto: Period,
}

type Plan<'a> = (&'a Name, &'a Thing<RecoveryPlanSpec>);

/// Looks at every promise: databases, classes, plans.
pub(super) fn prove<'a>(view: &View<'a>, cx: &mut Context<'_>) {
    let set = view.set;
    // A plan whose missing drill was said of a database or a class is not told off again for its own promise.
    let mut named: BTreeSet<&Name> = BTreeSet::new();
    for (name, thing) in &set.databases {
        if let Some(rto) = thing.spec.objectives.and_then(|objectives| objectives.rto) {
            let place = thing.places.get("objectives.rto");
            let promise = Promise { who: format!("the database `{name}`"), place, rto };
            judge(&promise, name, &[BackupType::FullSystem, BackupType::Database], view, &mut named, cx);
        }
    }
    for (name, thing) in &set.classes {
        let Some(rto) = thing.spec.objectives.rto else { continue };
        let promise = Promise { who: format!("the class `{name}`"), place: thing.places.get("rto"), rto };
        let kinds = [BackupType::FullSystem, BackupType::Database, BackupType::TenantData];
        for (database, _) in set.databases.iter().filter(|(_, database)| database.spec.tenants.is_some()) {
            if judge(&promise, database, &kinds, view, &mut named, cx) {
                break;
            }
        }
    }
    for (name, thing) in &set.recovery_plans {
        let Some(rto) = thing.spec.rto else { continue };
        let promise = Promise { who: format!("the plan `{name}`"), place: thing.places.get("rto"), rto };
        if is_drilled(&thing.spec) {
            exceeded(&promise, &[(name, thing)], view, cx);
        } else if !named.contains(name)
            && thing.spec.drill.is_none()
            && thing.spec.approval.status != ApprovalStatus::Archived
        {
            let Promise { who, place, rto } = promise;
            let message =
                format!("{who} promises an `rto` of {}, and it has no drill that proves it", words::length(rto));
            let help = "add `drill: { every: 30d }` to the plan: a drill measures how long the recovery takes";
            cx.warning(codes::RTO_UNPROVEN, place, message, "promised here", help);
        }
    }
}

/// Returns whether a plan is drilled at all.
fn is_drilled(plan: &RecoveryPlanSpec) -> bool {
    plan.drill.is_some() && matches!(plan.approval.status, ApprovalStatus::PendingApproval | ApprovalStatus::Approved)
}

/// Looks at a promise for a database: is there a drilled plan that restores one of the kinds, and does it take longer?
/// Returns whether something was said.
fn judge<'a>(
    promise: &Promise,
    database: &Name,
    kinds: &[BackupType],
    view: &View<'a>,
    named: &mut BTreeSet<&'a Name>,
    cx: &mut Context<'_>,
) -> bool {
    let restores = |plan: &RecoveryPlanSpec| {
        plan.databases.contains(database)
            && (plan.requires.iter().any(|kind| kinds.contains(kind))
                || plan.steps.iter().any(|step| match step {
                    PlanStep::Restore(restore) => {
                        let of_schedule = restore.schedule.as_ref().and_then(|name| view.set.schedules.get(name));
                        let kind = restore.backup.or(of_schedule.map(|schedule| schedule.spec.backup));
                        kind.is_some_and(|kind| kinds.contains(&kind))
                    }
                    _ => false,
                }))
    };
    let plans: Vec<Plan<'a>> = view.set.recovery_plans.iter().filter(|(_, plan)| restores(&plan.spec)).collect();
    let drilled: Vec<Plan<'a>> = plans.iter().copied().filter(|(_, plan)| is_drilled(&plan.spec)).collect();
    if !drilled.is_empty() {
        return exceeded(promise, &drilled, view, cx);
    }
    let Promise { who, place, rto } = promise;
    let message =
        format!("{who} promises an `rto` of {}, and no drilled plan for `{database}` proves it", words::length(*rto));
    match plans.first() {
        Some((name, plan)) => {
            named.insert(name);
            let help = if plan.spec.drill.is_none() {
                format!("add `drill: {{ every: 30d }}` to the plan `{name}`: a drill measures how long it takes")
            } else {
                format!(
                    "write `approval: {{ status: pending_approval }}` in the plan `{name}`: only then is it drilled"
                )
            };
            cx.warning(codes::RTO_UNPROVEN, *place, message, "promised here", help).and(plan.place, "this plan would");
        }
        None => {
            let help = format!("add a recovery plan for `{database}` with `drill: {{ every: 30d }}`");
            cx.warning(codes::RTO_UNPROVEN, *place, message, "promised here", help);
        }
    }
    true
}

/// Says where every plan that was drilled took longer than promised. Returns whether it did.
fn exceeded(promise: &Promise, plans: &[Plan<'_>], view: &View<'_>, cx: &mut Context<'_>) -> bool {
    let Promise { who, place, rto } = promise;
    let Some(measured) = &view.facts.measured else { return false };
    let took = plans.iter().filter_map(|plan| {
        let drill = measured.drills.get(plan.0).filter(|drill| drill.passed)?;
        Some((drill.restore, drill.at, *plan))
    });
    let Some((restore, at, (name, plan))) = took.min_by_key(|(restore, ..)| *restore) else { return false };
    if restore <= *rto {
        return false;
    }
    let message =
        format!("{who} promises an `rto` of {}, and coming back takes {}", words::length(*rto), words::length(restore));
    let help = format!("write `rto: {}`, or make the recovery faster and drill it again", words::edit(restore));
    let on = at.strftime("%-d %B %Y");
    cx.error(codes::RTO_EXCEEDED, *place, message, "promised here", help)
        .and(plan.places.get("drill"), format!("the drill of `{name}` of {on} took {}", words::length(restore)));
    true
}
