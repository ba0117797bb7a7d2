//! The difference between the world and what bkup knows: what it mends itself becomes an action, what it cannot a
//! finding. What could not be seen is a note; it is never taken for a difference. Pure.

mod catalog;
mod objects;
mod servers;
mod stores;
mod uncovered;

use super::world::View;
use crate::domain::{Action, ActionClass, ActionId, ActionKind, Address, DriftSeverity, Plan, Reason, ReasonCode};

/// Plans what mends drift, and tells the rest. The changes of the plan are in the draft already.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    catalog::plan(view, draft);
    objects::plan(view, draft);
    stores::plan(view, draft);
    servers::plan(view, draft);
    uncovered::plan(view, draft);
    draft.findings.retain(|finding| view.in_target(&finding.address));
    for finding in &mut draft.findings {
        let by = |word: &str| view.desired.tolerated.contains(&(finding.address.clone(), word.to_owned()));
        if by(&finding.code) || by(finding.kind.word()) {
            finding.severity = DriftSeverity::Note;
            finding.words.push_str("; a comment in the policies lives with it");
        }
    }
    draft.findings.sort_by(|a, b| (a.severity, &a.address, a.kind).cmp(&(b.severity, &b.address, b.kind)));
}

/// An action that mends drift.
fn mending(id: ActionId, address: Address, kind: ActionKind, code: ReasonCode, words: String) -> Action {
    Action {
        id,
        address,
        class: ActionClass::Drift,
        kind,
        reason: Reason { code, words, location: None },
        preconditions: Vec::new(),
        after: Vec::new(),
        bytes: None,
    }
}

/// Lists the first few names, each in quotes; whoever shows them escapes them.
fn listed<S: AsRef<str>>(names: &[S], total: u64) -> String {
    const MOST: usize = 5;
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{}`", name.as_ref())).collect();
    match total.saturating_sub(shown.len() as u64) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Returns a number and its noun with its verb: `1 object is`, `3 objects are`.
fn are(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun} is") } else { format!("{number} {noun}s are") }
}
