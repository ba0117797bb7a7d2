//! The second phase: when a tombstoned backup may be purged. Pure.

use super::{KeepReason, Point};
use crate::domain::{Instant, Period};

/// Where a backup stands between tombstone and purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PurgeState {
    /// It is not tombstoned.
    NotTombstoned,
    /// It can still be brought back; its purge is not due before then.
    InGrace {
        /// When the grace period ends.
        until: Instant,
    },
    /// Its grace is over and something holds it.
    Held(Vec<KeepReason>),
    /// It may be purged, once nothing that holds needs it.
    Due,
}

/// Says whether a backup may be purged at `now`. What else needs it is for [`closure`](super::closure) to say.
#[must_use]
pub fn purge_state(point: &Point<'_>, grace: Period, now: Instant) -> PurgeState {
    let Some(tombstoned_at) = point.tombstoned_at else { return PurgeState::NotTombstoned };
    let until = grace.after(tombstoned_at);
    if now < until {
        return PurgeState::InGrace { until };
    }
    let holds = super::decide::holds(point, now);
    if holds.is_empty() { PurgeState::Due } else { PurgeState::Held(holds) }
}
