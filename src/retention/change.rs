//! Which deletions a change of the rule causes, as against those that time alone brings. Pure.

use super::{Floors, Point};
use crate::domain::{Instant, RetentionRule};

/// Returns the indices of the points that the new rule and floors drop and the old ones keep at `now`, ascending.
/// Tombstoned points are never among them.
#[must_use]
pub fn caused_by_change(
    _points: &[Point<'_>],
    _old: (&RetentionRule, Floors),
    _new: (&RetentionRule, Floors),
    _now: Instant,
) -> Vec<usize> {
    unimplemented!()
}
