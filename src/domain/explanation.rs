//! What one policy thing means, in words and figures, for `bkup explain`. Data only.

use serde::Serialize;

use super::{Address, Instant, SourceLocation};
use crate::diag::Diagnostic;

/// What one policy thing means. Sentences have no full stop at their end where they stand alone on a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whose meaning.
    pub address: Address,
    /// Where it is written; absent where only defaults say it.
    pub location: Option<SourceLocation>,
    /// What it is, in a sentence or two.
    pub summary: String,
    /// Every key with its value, defaults filled in, in the order in which a policy would say them.
    pub settings: Vec<Setting>,
    /// What follows from it.
    pub topics: Vec<Topic>,
    /// The next slots of what runs by a calendar.
    pub slots: Vec<Slot>,
    /// What refers to it.
    pub used_by: Vec<Use>,
    /// What `validate` finds about it.
    pub findings: Vec<Diagnostic>,
}

/// One key of a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its path: `when.time`.
    pub key: String,
    /// Its value as a policy says it, secrets masked; several lines where it is long. Absent for a mapping whose keys
    /// follow.
    pub value: Option<String>,
    /// Whether nobody wrote it.
    pub default: bool,
    /// How the default comes about, where it depends on other keys.
    pub because: Option<String>,
}

/// What follows from a thing in one respect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// In which respect: `When it runs`.
    pub title: String,
    /// What, one fact each.
    pub lines: Vec<String>,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// The instant.
    pub at: Instant,
    /// What the clocks of the rule's zone show then: `2026-11-20 02:00 +09:00 Asia/Seoul`.
    pub local: String,
}

/// One reference to a thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Use {
    /// What refers to it.
    pub address: Address,
    /// What for.
    pub words: String,
}
