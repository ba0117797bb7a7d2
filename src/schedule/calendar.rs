//! A rule made ready to be asked for slots, in both directions. Pure.

use super::ScheduleError;
use crate::domain::{Instant, When};

/// The slots of a rule.
#[derive(Debug, Clone)]
pub struct Calendar {}

/// The slots of a [`Calendar`] in a range, made as they are asked for.
#[derive(Debug, Clone)]
pub struct Slots<'a> {
    _calendar: &'a Calendar,
}

impl Iterator for Slots<'_> {
    type Item = Instant;
    fn next(&mut self) -> Option<Instant> {
        unimplemented!()
    }
}

impl Calendar {
    /// Reads a rule; refuses one that can never come or makes no sense.
    pub fn new(_when: &When) -> Result<Self, ScheduleError> {
        unimplemented!()
    }

    /// Returns a calendar without slots, as `on: request` and `on: change` have.
    #[must_use]
    pub fn never() -> Self {
        unimplemented!()
    }

    /// Returns whether there are no slots at all.
    #[must_use]
    pub fn is_never(&self) -> bool {
        unimplemented!()
    }

    /// Returns the newest slot at or before `instant`.
    #[must_use]
    pub fn last_at_or_before(&self, _instant: Instant) -> Option<Instant> {
        unimplemented!()
    }

    /// Returns the first slot after `instant`.
    #[must_use]
    pub fn next_after(&self, _instant: Instant) -> Option<Instant> {
        unimplemented!()
    }

    /// Returns the slots after `after` up to and with `until`, in order.
    #[must_use]
    pub fn between(&self, _after: Instant, _until: Instant) -> Slots<'_> {
        unimplemented!()
    }
}
