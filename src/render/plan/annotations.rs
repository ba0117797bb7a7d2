//! What a reviewer of a plan must see, as findings: for annotations and for code scanning. Pure.
//!
//! Findings about policies say what is wrong with a file; these say what applying it would do, at the line that causes
//! it where there is one.

use std::collections::BTreeMap;

use super::super::action::count;
use super::super::moment::age;
use crate::diag::{Code, Diagnostic, Severity, Span};
use crate::domain::{Action, ActionKind, Bytes, HeldReason, Plan, SourceLocation};

/// The codes of [`plan_findings`], with their meaning in one line.
pub const PLAN_CODES: [(Code, &str); 4] = [
    (Code("BK925"), "a plan deletes backups"),
    (Code("BK926"), "a guard refuses a plan"),
    (Code("BK928"), "work that is due is held"),
    (Code("BK929"), "an objective is breached"),
];

/// How many names one finding says.
const NAMED: usize = 5;

/// Returns what a plan refuses, deletes, finds changed, holds back for want of sight, and finds breached; the worst
/// first. Deletions that share their cause are one finding, which counts all of them.
#[must_use]
pub fn plan_findings(plan: &Plan) -> Vec<Diagnostic> {
    let mut out: Vec<Diagnostic> = plan
        .refusals
        .iter()
        .map(|refusal| {
            Diagnostic::error(Code("BK926"), format!("{}: {}", refusal.guard, refusal.words)).help(refusal.help.clone())
        })
        .collect();
    out.extend(deletions(plan));
    out.extend(breaches(plan));
    for finding in &plan.findings {
        out.push(
            Diagnostic::new(
                finding.kind.code(),
                finding.severity.into(),
                format!("{}: {}", finding.address, finding.words),
            )
            .help(finding.help.clone()),
        );
    }
    out.extend(held(plan));
    out
}

fn deletions(plan: &Plan) -> Vec<Diagnostic> {
    let mut groups: BTreeMap<(Option<&SourceLocation>, &str, bool), Vec<&Action>> = BTreeMap::new();
    for action in &plan.actions {
        if let ActionKind::Tombstone(work) | ActionKind::Purge(work) = &action.kind {
            let cause = (action.reason.location.as_ref(), action.reason.words.as_str(), work.caused_by_change);
            groups.entry(cause).or_default().push(action);
        }
    }
    let mut out: Vec<Diagnostic> = groups
        .into_iter()
        .map(|((location, words, by_change), group)| {
            let bytes: Bytes = group.iter().filter_map(|action| action.bytes).sum();
            let purges = group.iter().filter(|action| matches!(action.kind, ActionKind::Purge(_))).count();
            let forever = if purges > 0 { format!(", {purges} of them for good") } else { String::new() };
            let what = format!("{}, {bytes}{forever}", count(group.len(), "backup"));
            let words = if by_change {
                format!("this change deletes {what}: {words}")
            } else {
                format!("time has come to delete {what}: {words}")
            };
            // What time brings was reviewed when its rule was; what a change brings is reviewed now.
            let severity = if by_change { Severity::Warning } else { Severity::Note };
            let finding = Diagnostic::new(Code("BK925"), severity, words)
                .help("`bkup plan` lists every one of them; `bkup explain` says what a rule keeps");
            placed(finding, location, "this rule")
        })
        .collect();
    out.sort_by_key(|finding| finding.severity);
    out
}

fn breaches(plan: &Plan) -> Option<Diagnostic> {
    let breached: Vec<_> = plan.objectives.iter().filter(|row| row.breached == Some(true)).collect();
    let worst = breached.iter().filter_map(|row| row.age).max().map(age);
    let worst =
        worst.map_or_else(|| "without any backup".to_owned(), |age| format!("their newest backup up to {age} old"));
    let names: Vec<String> = breached.iter().map(|row| format!("{} {}", row.database, row.scope)).collect();
    let words = format!("{} breached before this plan, {worst}: {}", count(names.len(), "objective"), some(&names));
    (!names.is_empty()).then(|| Diagnostic::warning(Code("BK929"), words).help("`bkup status` shows every scope"))
}

/// Work that waits because nobody could see, grouped by what was not seen. What policies or floors hold is meant.
fn held(plan: &Plan) -> Vec<Diagnostic> {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for held in &plan.held {
        use HeldReason::{CatalogUnreachable, DatabaseUnreachable, StoreUnreachable, UnsupportedServer};
        if matches!(held.reason, CatalogUnreachable | DatabaseUnreachable | StoreUnreachable | UnsupportedServer) {
            groups.entry(&held.words).or_default().push(held.address.to_string());
        }
    }
    groups
        .into_iter()
        .map(|(words, mut addresses)| {
            addresses.dedup();
            let words = format!("{} held, since {words}", some(&addresses));
            Diagnostic::warning(Code("BK928"), words)
                .help("nothing was done or deleted that needed it; look at the place")
        })
        .collect()
}

fn some(names: &[String]) -> String {
    match names.len() {
        0..=NAMED => names.join(", "),
        n => format!("{} and {} more", names[..NAMED].join(", "), n - NAMED),
    }
}

fn placed(finding: Diagnostic, location: Option<&SourceLocation>, label: &str) -> Diagnostic {
    match location {
        Some(at) => finding.at(Span { file: at.file.clone(), begin: 0, end: 0, line: at.line, column: 1 }, label),
        None => finding,
    }
}
