//! The changes and the drift of a plan, documents as differences. Pure.

use super::super::action::{action_symbol, action_title, count};
use super::super::document::document_diff;
use super::super::style::{Style, Tone};
use crate::domain::{Action, ActionClass, ActionKind, DocumentOp, Plan};

/// Returns the section of a class, absent where it is empty. Deletions have their own.
pub(super) fn changes(plan: &Plan, class: ActionClass, title: &str, style: &Style) -> Option<String> {
    let actions: Vec<&Action> =
        plan.actions.iter().filter(|action| action.class == class && !action.kind.deletes()).collect();
    if actions.is_empty() {
        return None;
    }
    let mut out = format!("{} ({})\n", style.heading(title), count(actions.len(), "action"));
    for action in actions {
        let bytes = action.bytes.map_or_else(String::new, |bytes| format!("  {bytes}"));
        let symbol = style.mark(action_symbol(&action.kind));
        out.push_str(&format!("  {symbol} {}{bytes}\n", action_title(action, style)));
        if let ActionKind::ApplyDocument { op, before, after, .. } = &action.kind
            && *op != DocumentOp::Archive
        {
            for line in document_diff(before.as_ref(), after.as_ref(), style) {
                out.push_str(&format!("      {line}\n"));
            }
        }
        out.push_str(&because(action, style));
    }
    Some(out)
}

/// Returns the line that says why an action is there, and where the policy says so.
pub(super) fn because(action: &Action, style: &Style) -> String {
    let location = action.reason.location.as_ref().map_or_else(String::new, |location| {
        format!("  {}", style.paint(Tone::Note, &format!("{}:{}", style.name(&location.file), location.line)))
    });
    format!("      because {}{location}\n", style.name(&action.reason.words))
}
