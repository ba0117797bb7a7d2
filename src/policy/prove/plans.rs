//! Whether recovery plans can be counted on: who approved them, whom to call, how often they are proven, and whether
//! they hold more than good intentions. Pure.

use crate::domain::{ApprovalStatus, DrillSpec, Name, Period, PlanStep, RecoveryPlanSpec};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::Thing;
use crate::policy::values::instant_of;
use crate::schedule::{Calendar, Losses};

use super::view::View;
use super::words;

/// A plan that nobody proved for so long is a document.
const RARELY: Period = Period::days(90);

/// Looks at every plan that is not archived.
pub(super) fn prove(view: &mut View<'_>, cx: &mut Context<'_>) {
    for (name, thing) in &view.set.recovery_plans {
        if thing.spec.approval.status == ApprovalStatus::Archived {
            continue;
        }
        let approved = thing.spec.approval.status == ApprovalStatus::Approved;
        if approved && thing.spec.primary_contact.is_none() && thing.spec.escalation_contacts.is_empty() {
            let message = format!("the plan `{name}` is approved, and names nobody to call");
            let help = "add `contacts: { primary: ops@example.com, escalation: [cto@example.com] }`";
            let _ = cx
                .warning(codes::NOBODY_TO_CALL, thing.place, message, "no `contacts`", help)
                .and(thing.places.get("approval.status"), "approved");
        }
        match &thing.spec.drill {
            None if approved => {
                let message = format!("the plan `{name}` is approved, and nothing ever proves that it works");
                let help = "add `drill: { every: 30d }`: bkup then restores, checks and measures by itself";
                let _ = cx
                    .warning(codes::NEVER_DRILLED, thing.place, message, "no `drill`", help)
                    .and(thing.places.get("approval.status"), "approved");
            }
            None => {}
            Some(drill) => rarely(name, thing, drill, &mut view.losses, cx),
        }
        let steps = &thing.spec.steps;
        if !steps.is_empty() && steps.iter().all(|step| matches!(step, PlanStep::Manual(_))) {
            let message =
                format!("the plan `{name}` consists of manual steps only: nothing of it can be proven or timed");
            let help = "write what bkup can do as steps: `restore: { backup: database, into: scratch }`, then `check: [tables]`";
            cx.warning(codes::MANUAL_ONLY, thing.places.get("steps"), message, "by hand, all of it", help);
        }
        approval(name, thing, view, cx);
    }
}

fn rarely(name: &Name, thing: &Thing<RecoveryPlanSpec>, drill: &DrillSpec, losses: &mut Losses, cx: &mut Context<'_>) {
    let calendar = drill.when.as_ref().and_then(|when| Calendar::new(when).ok());
    let by_calendar = calendar.and_then(|calendar| losses.largest_gap(&calendar)).map(|gap| gap.length());
    let Some(every) = drill.every.or(by_calendar).filter(|every| *every > RARELY) else { return };
    let key = if drill.every.is_some() { "drill.every" } else { "drill.when" };
    let message = format!("the plan `{name}` is proven only every {}: much changes in that time", words::length(every));
    let help = "drill at least every 90 days; most regulations ask for that, and bkup does it unattended";
    cx.warning(codes::RARELY_DRILLED, thing.places.get(key), message, "rarer than 90 days", help);
}

/// Looks at when a plan was approved: not in the future, and not before it was last changed.
fn approval(name: &Name, thing: &Thing<RecoveryPlanSpec>, view: &View<'_>, cx: &mut Context<'_>) {
    let Some(at) = thing.spec.approval.at.as_deref().and_then(instant_of) else { return };
    let place = thing.places.get("approval.at");
    if at > view.facts.now {
        let message = format!("the approval of the plan `{name}` is dated in the future");
        let help = "write the day on which it was approved";
        cx.warning(codes::APPROVAL_STALE, place, message, "yet to come", help);
        return;
    }
    // A date means its begin; what changed on that very day was approved as it is.
    let end = Period::days(1).after(at);
    if let Some(changed) = view.facts.changed.get(name).filter(|changed| **changed > end) {
        let message =
            format!("the plan `{name}` was changed on {}, after it was approved", changed.strftime("%-d %B %Y"));
        let help = "let it be approved again, and write the new date; until then it counts as `pending_approval`";
        cx.warning(codes::APPROVAL_STALE, place, message, "older than the plan", help);
    }
}
