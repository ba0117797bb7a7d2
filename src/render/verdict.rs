//! What a report comes to, whatever it is written in. Pure.

use crate::domain::{ActionOutcome, ApplyReport, FinishedBefore, Outcome, RunFailure, Since};

/// How a run ended.
pub(super) enum Verdict<'a> {
    /// Another run had finished the plan before.
    AlreadyApplied(&'a FinishedBefore),
    /// Nothing was begun.
    NotBegun,
    /// It ended in a fault after it had begun.
    BrokenOff,
    /// It was told to end, for this reason.
    Interrupted(&'a str),
    /// Not everything was done, or could be looked at.
    NotAll,
    /// Others do it, or its time has passed.
    LeftAlone,
    /// Everything was done.
    Applied,
}

impl<'a> Verdict<'a> {
    pub(super) fn of(report: &'a ApplyReport) -> Self {
        if let Some(before) = &report.finished_before {
            Self::AlreadyApplied(before)
        } else if let Some(failure) = &report.failure {
            if failure.code == RunFailure::FAULT || began(report) { Self::BrokenOff } else { Self::NotBegun }
        } else if let Some(why) = &report.interrupted {
            Self::Interrupted(why)
        } else if blind(report) > 0 || report.actions.iter().any(|action| is_bad(&action.outcome)) {
            Self::NotAll
        } else if !report.actions.is_empty() && report.actions.iter().all(|action| is_left_alone(&action.outcome)) {
            Self::LeftAlone
        } else {
            Self::Applied
        }
    }

    /// Whether this run did nothing at all: a line for each action would only hide that.
    pub(super) const fn is_of_nothing(&self) -> bool {
        matches!(self, Self::AlreadyApplied(_) | Self::NotBegun)
    }
}

/// Whether anything was begun.
fn began(report: &ApplyReport) -> bool {
    report.actions.iter().any(|action| !matches!(action.outcome, Outcome::NotReached))
}

/// The actions of a run that did something.
pub(super) fn outcomes(report: &ApplyReport) -> &[ActionOutcome] {
    if Verdict::of(report).is_of_nothing() { &[] } else { &report.actions }
}

/// How many items the plan of such a run held back.
pub(super) fn held(report: &ApplyReport) -> usize {
    if Verdict::of(report).is_of_nothing() { 0 } else { report.held.len() }
}

pub(super) const fn is_bad(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { .. } | Outcome::Violated { .. } | Outcome::NotReached)
}

const fn is_left_alone(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Skipped { .. } | Outcome::Claimed { .. })
}

/// How much is held because it could not even be looked at. It is not done either.
fn blind(report: &ApplyReport) -> usize {
    report.held.iter().filter(|held| held.reason.is_blind()).count()
}

/// How many actions came to what.
pub(super) fn counts(report: &ApplyReport) -> String {
    let of = |test: fn(&Outcome) -> bool| report.actions.iter().filter(|a| test(&a.outcome)).count();
    let parts: Vec<String> = [
        (of(|o| matches!(o, Outcome::Done { .. })), "done"),
        (of(|o| matches!(o, Outcome::AlreadyDone { .. })), "already so"),
        (of(|o| matches!(o, Outcome::Skipped { .. })), "skipped"),
        (of(|o| matches!(o, Outcome::Claimed { .. })), "held by someone else"),
        (of(|o| matches!(o, Outcome::Failed { .. })), "failed"),
        (of(|o| matches!(o, Outcome::Violated { .. })), "violated"),
        (of(|o| matches!(o, Outcome::NotReached)), "not reached"),
        (blind(report), "could not be looked at"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, words)| format!("{number} {words}"))
    .collect();
    if parts.is_empty() { "nothing was to be done".to_owned() } else { parts.join(", ") }
}

/// How much work that came since the plan is listed; deletions always are.
const MOST_SINCE: usize = 10;

/// What came since the plan was made and is listed, deletions first, and how much more there is.
pub(super) fn came_since(report: &ApplyReport) -> (Vec<&Since>, usize) {
    let (mut listed, work): (Vec<_>, Vec<_>) = report.since.iter().partition(|since| since.deletes);
    listed.extend(work.iter().take(MOST_SINCE));
    (listed, work.len().saturating_sub(MOST_SINCE))
}
