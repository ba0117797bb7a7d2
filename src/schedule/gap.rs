//! Distances between slots: the largest one (what a schedule can lose), the one around an instant, and the smallest
//! regular one, which bounds how late a missed slot may start. Pure.

use super::Calendar;
use crate::domain::{Instant, Period};

/// The time between a slot and the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The earlier slot.
    pub begin: Instant,
    /// The next slot.
    pub end: Instant,
}

impl Gap {
    /// Returns how long it is.
    #[must_use]
    pub fn length(&self) -> Period {
        Period::between(self.begin, self.end)
    }
}

impl Calendar {
    /// Returns the gap that holds `instant`: from the last slot at or before it to the first after it.
    #[must_use]
    pub fn gap_around(&self, _instant: Instant) -> Option<Gap> {
        unimplemented!()
    }

    /// Returns the largest gap, the first of equals, among all that overlap the time from `begin` to `end`, each taken
    /// whole: the one that holds `begin` counts from its slot before `begin`, the one that holds `end` to its slot
    /// after. Exact, by enumeration. `None` where there are not two slots.
    #[must_use]
    pub fn largest_gap(&self, _begin: Instant, _end: Instant) -> Option<Gap> {
        unimplemented!()
    }

    /// Returns the smallest distance between neighbouring slots on a calendar without clock changes.
    #[must_use]
    pub fn regular_gap(&self) -> Option<Period> {
        unimplemented!()
    }

    /// Returns the default of `start_within`: the smaller of an hour and half the smallest regular gap.
    #[must_use]
    pub fn default_start_within(&self) -> Period {
        unimplemented!()
    }
}
