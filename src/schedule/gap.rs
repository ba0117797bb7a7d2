//! Distances between slots: the largest one (what a schedule can lose), the one around an instant, and the smallest
//! regular one, which bounds how late a missed slot may start. Pure.

use super::Calendar;
use super::calendar::Rule;
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
    pub fn gap_around(&self, instant: Instant) -> Option<Gap> {
        Some(Gap { begin: self.last_at_or_before(instant)?, end: self.next_after(instant)? })
    }

    /// Returns the largest gap, the first of equals, among all that overlap the time from `begin` to `end`, each taken
    /// whole: the one that holds `begin` counts from its slot before `begin`, the one that holds `end` to its slot
    /// after. Exact, by enumeration. `None` where there are not two slots.
    #[must_use]
    pub fn largest_gap(&self, begin: Instant, end: Instant) -> Option<Gap> {
        let mut slots = self.between(self.last_at_or_before(begin).unwrap_or(begin), Instant::MAX);
        let mut earlier = self.last_at_or_before(begin).or_else(|| slots.next())?;
        let mut largest: Option<Gap> = None;
        for later in slots {
            let gap = Gap { begin: earlier, end: later };
            if largest.is_none_or(|largest| gap.length() > largest.length()) {
                largest = Some(gap);
            }
            if later >= end {
                break;
            }
            earlier = later;
        }
        largest
    }

    /// Returns the smallest distance between neighbouring slots on a calendar without clock changes; half of it is the
    /// default of `start_within`. A day that is an hour shorter does not count: a policy's defaults would depend on the
    /// zone's next change.
    #[must_use]
    pub fn regular_gap(&self) -> Option<Period> {
        match self.rule() {
            Rule::Never => None,
            Rule::Counted(period) => Some(Period::seconds(*period)),
            // Slots restart at midnight: the day's last gap is what the period leaves of it.
            Rule::Elapsed(period) => {
                let last = 86_400 % period;
                Some(Period::seconds(if last == 0 { *period } else { last }))
            }
            Rule::Civil { days, minutes } => {
                let within = minutes.windows(2).map(|pair| i64::from(pair[1] - pair[0])).min();
                let across = 1440 + i64::from(*minutes.first()?) - i64::from(*minutes.last()?);
                let across = if within.is_some_and(|within| within <= across) {
                    None
                } else {
                    days.distances().map(|distances| across + 1440 * (distances.smallest - 1))
                };
                within.into_iter().chain(across).min().map(Period::minutes)
            }
        }
    }

    /// Returns the default of `start_within`: the smaller of an hour and half the smallest regular gap.
    #[must_use]
    pub fn default_start_within(&self) -> Period {
        let half = self.regular_gap().map(|gap| Period::seconds(gap.as_seconds() / 2));
        half.map_or(Period::hours(1), |half| half.min(Period::hours(1)))
    }
}
