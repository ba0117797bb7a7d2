//! The decision over one partition: rules, then `max_age`, then floors and what holds a backup. Pure; a million points
//! take well under a second and memory linear in them.

use super::{Point, Verdict};
use crate::domain::{Guards, Instant, RetentionRule};

/// What every partition keeps whatever its rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floors {
    /// How many of the newest eligible backups; 0 counts as 1.
    pub min_keep: u32,
}

impl From<&Guards> for Floors {
    fn from(guards: &Guards) -> Self {
        Self { min_keep: guards.min_keep }
    }
}

/// Decides over the points of one partition; the verdicts stand in the order of the points.
pub fn decide(_points: &[Point<'_>], _rule: &RetentionRule, _floors: Floors, _now: Instant) -> Vec<Verdict> {
    unimplemented!()
}

/// Returns what holds a backup whatever the rule says, tombstoned or not.
pub(super) fn holds(_point: &Point<'_>, _now: Instant) -> Vec<super::KeepReason> {
    unimplemented!()
}
