//! The codes of expectations that were not met, and of histories that cannot be. What a test file has in common with
//! policies (syntax, references) has the codes of `policy`. Pure.

use crate::diag::Code;

pub(super) const ACTION_MISSING: Code = Code("BK950");
pub(super) const ACTION_THERE: Code = Code("BK951");
pub(super) const NOT_HELD: Code = Code("BK952");
pub(super) const OTHER_VERDICT: Code = Code("BK953");
pub(super) const OTHER_FINDINGS: Code = Code("BK954");
pub(super) const OTHER_REFUSAL: Code = Code("BK955");
pub(super) const OTHER_CLASS: Code = Code("BK956");
pub(super) const OTHER_OBJECTIVE: Code = Code("BK957");
pub(super) const NO_HISTORY: Code = Code("BK958");
pub(super) const NOTHING_EXPECTED: Code = Code("BK959");

/// Every code with its meaning, sorted by code.
pub(super) const ALL: &[(Code, &str)] = &[
    (ACTION_MISSING, "a test expects an action that the plan does not have, or has more or less often"),
    (ACTION_THERE, "the plan has an action that a test rules out"),
    (NOT_HELD, "a test expects work to be held, and it is not, or not for this reason"),
    (OTHER_VERDICT, "a backup is kept, or not kept, other than a test expects"),
    (OTHER_FINDINGS, "the findings are not those that a test expects"),
    (OTHER_REFUSAL, "a guard refuses the plan and a test expects otherwise, or the other way round"),
    (OTHER_CLASS, "a tenant belongs to another class than a test expects"),
    (OTHER_OBJECTIVE, "an objective is met, or not met, other than a test expects"),
    (NO_HISTORY, "the history of a test cannot have happened: no slot, not yet, or not of this schedule"),
    (NOTHING_EXPECTED, "a test, or an expectation, expects nothing"),
];
