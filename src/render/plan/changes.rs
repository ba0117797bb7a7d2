//! The changes and the drift of a plan, documents as differences. Pure.

use super::super::action::{action_symbol, action_title, count};
use super::super::document::{document_diff, document_summary};
use super::super::style::{Style, Tone};
use crate::domain::{Action, ActionClass, ActionKind, DocumentOp, Plan};

/// The narrowest summary that says something.
const NARROWEST: usize = 24;

/// Returns the section of a class, absent where it is empty. Deletions have their own. What is new is a line each,
/// unless its whole document is wanted; the policy it stands in is at hand.
pub(super) fn changes(plan: &Plan, class: ActionClass, title: &str, full: bool, style: &Style) -> Option<String> {
    let actions: Vec<&Action> =
        plan.actions.iter().filter(|action| action.class == class && !action.kind.deletes()).collect();
    if actions.is_empty() {
        return None;
    }
    let mut out = format!("{} ({})\n", style.heading(title), count(actions.len(), "action"));
    for action in actions {
        if let ActionKind::ApplyDocument { op: DocumentOp::Create, after: Some(after), .. } = &action.kind
            && !full
        {
            out.push_str(&created(action, after, style));
            continue;
        }
        let bytes = action.bytes.map_or_else(String::new, |bytes| format!("  {bytes}"));
        let symbol = style.mark(action_symbol(&action.kind));
        out.push_str(&format!("  {symbol} {}{bytes}\n", action_title(action, style)));
        if let ActionKind::ApplyDocument { op, before, after, .. } = &action.kind
            && *op != DocumentOp::Archive
            && before != after
        {
            for line in document_diff(before.as_ref(), after.as_ref(), style) {
                out.push_str(&format!("      {line}\n"));
            }
        }
        // A quarantine's title says its reason already.
        if !matches!(&action.kind, ActionKind::Quarantine { words, .. } if *words == action.reason.words) {
            out.push_str(&because(action, style));
        }
    }
    Some(out)
}

/// Writes something new on one line: its address, what it says in short, and where it stands.
fn created(action: &Action, after: &serde_json::Value, style: &Style) -> String {
    let place = action.reason.location.as_ref();
    let place = place.map_or_else(String::new, |at| format!("{}:{}", style.name(&at.file), at.line));
    let title = action_title(action, style);
    let taken = title.chars().count() + place.chars().count() + 8;
    let summary = document_summary(after, style.width.saturating_sub(taken).max(NARROWEST), style);
    let symbol = style.mark(action_symbol(&action.kind));
    let line = format!("  {symbol} {title}  {}  {}", style.paint(Tone::Dim, &summary), style.paint(Tone::Note, &place));
    format!("{}\n", line.trim_end())
}

/// Returns the line that says why an action is there, and where the policy says so.
pub(super) fn because(action: &Action, style: &Style) -> String {
    let location = action.reason.location.as_ref().map_or_else(String::new, |location| {
        format!("  {}", style.paint(Tone::Note, &format!("{}:{}", style.name(&location.file), location.line)))
    });
    format!("      because {}{location}\n", style.name(&action.reason.words))
}
