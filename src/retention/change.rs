//! Which deletions a change of the rule causes, as against those that time alone brings. Pure.

use super::{Floors, Point, decide};
use crate::domain::{Instant, RetentionRule};

/// Returns the indices of the points that the new rule and floors drop and the old ones keep at `now`, ascending.
/// Tombstoned points are never among them.
#[must_use]
pub fn caused_by_change(
    points: &[Point<'_>],
    old: (&RetentionRule, Floors),
    new: (&RetentionRule, Floors),
    now: Instant,
) -> Vec<usize> {
    if old == new {
        return Vec::new();
    }
    let before = decide(points, old.0, old.1, now);
    let after = decide(points, new.0, new.1, now);
    (0..points.len()).filter(|index| before[*index].keep && !after[*index].keep).collect()
}
