//! The deletions of a plan: every single one, with bytes, reason and policy line. Pure; it never shortens its list.

use super::super::action::{action_symbol, count, place};
use super::super::moment::moment;
use super::super::style::{Style, Tone};
use super::changes::because;
use crate::domain::{Action, ActionKind, Bytes, Plan, PruneWork};

/// Returns the section, absent where nothing is deleted.
pub(super) fn deletions(plan: &Plan, style: &Style) -> Option<String> {
    let deletions: Vec<&Action> = plan.actions.iter().filter(|action| action.kind.deletes()).collect();
    if deletions.is_empty() {
        return None;
    }
    let tombstones = deletions.iter().filter(|a| matches!(a.kind, ActionKind::Tombstone(_))).count();
    let purges = deletions.len() - tombstones;
    let words = format!(
        "Deletions: {}, {} ({} that can be brought back, {} for good)",
        count(deletions.len(), "backup"),
        bytes(plan),
        count(tombstones, "tombstone"),
        count(purges, "purge"),
    );
    let mut out = format!("{}\n", style.paint(Tone::Bad, &words));
    // What is gone for good comes first.
    let (purges, tombstones): (Vec<_>, Vec<_>) =
        deletions.into_iter().partition(|action| matches!(action.kind, ActionKind::Purge(_)));
    for action in purges.into_iter().chain(tombstones) {
        if let ActionKind::Purge(work) | ActionKind::Tombstone(work) = &action.kind {
            out.push_str(&deletion(action, work, style));
        }
    }
    Some(out)
}

/// Adds up what the deletions take away.
pub(super) fn bytes(plan: &Plan) -> Bytes {
    plan.actions.iter().filter(|action| action.kind.deletes()).filter_map(|action| action.bytes).sum()
}

fn deletion(action: &Action, work: &PruneWork, style: &Style) -> String {
    let bytes = action.bytes.map_or_else(|| "size unknown".to_owned(), |bytes| bytes.to_string());
    let word = if matches!(action.kind, ActionKind::Purge(_)) { "purge    " } else { "tombstone" };
    let mut out = format!(
        "  {} {word} {}  {}  {bytes}\n",
        style.mark(action_symbol(&action.kind)),
        place(work.database.as_ref(), &work.scope, style),
        style.name(work.backup.as_str()),
    );
    let mut facts = vec![format!("of {}", moment(work.consistent_at)), format!("in store {}", work.store)];
    facts.extend(work.purge_after.map(|after| format!("can be brought back until {}", moment(after))));
    facts.extend(work.newest.until.map(|until| format!("if its successor is of before {}", moment(until))));
    if work.caused_by_change {
        facts.push("caused by a policy change".to_owned());
    }
    out.push_str(&format!("      {}\n", facts.join(", ")));
    out.push_str(&because(action, style));
    out
}
