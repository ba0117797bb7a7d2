//! What had an end and has reached it: pauses and consents that say nothing any longer. Pure.

use crate::domain::Name;
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::{PolicySet, Thing};

use super::Facts;

/// Warns of what is over.
pub(super) fn prove(set: &PolicySet, facts: &Facts, cx: &mut Context<'_>) {
    section(&set.stores, facts, cx);
    section(&set.databases, facts, cx);
    section(&set.classes, facts, cx);
    section(&set.retentions, facts, cx);
    section(&set.schedules, facts, cx);
    section(&set.recovery_plans, facts, cx);
    section(&set.channels, facts, cx);
    if let Some(guards) = &set.guards
        && guards.spec.until.is_some_and(|until| until <= facts.now)
    {
        let message = "the consent of these guards has ended: the default of `max_delete` holds again";
        let help = "remove `max_delete`, `reason` and `until`, or set a new end";
        cx.warning(codes::HAS_ENDED, guards.places.get("until"), message, "over", help);
    }
}

fn section<T>(things: &std::collections::BTreeMap<Name, Thing<T>>, facts: &Facts, cx: &mut Context<'_>) {
    for (name, thing) in things {
        if let Some(suspension) = thing.marks.suspended.as_ref().filter(|suspension| !suspension.is_on(facts.now)) {
            let ended = suspension.until.strftime("%-d %B %Y");
            let message = format!("the suspension of `{name}` ended on {ended}: it is at work again");
            let help = "remove `suspend`";
            cx.warning(codes::HAS_ENDED, thing.places.get("suspend.until"), message, "over", help);
        }
    }
}
