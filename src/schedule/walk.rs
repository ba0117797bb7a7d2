//! Steps along a calendar and along a zone's days in plain seconds, for proofs that look at thousands of them: what
//! [`Calendar`](super::Calendar) says, an order of magnitude faster. Pure.

use std::rc::Rc;

use jiff::civil::Date;

use super::calendar::Rule;
use super::shifts::Shifts;
use super::stream::Ruled;
use super::years::{DAY, date_of, day_of};

/// A calendar to step along; see [`Losses::walk`](super::Losses::walk). Seconds count from the begin of 1970.
#[derive(Debug, Clone)]
pub struct Walk {
    pub(super) rule: Rule,
    pub(super) shifts: Rc<Shifts>,
}

impl Walk {
    /// Returns the first slot after a second.
    #[must_use]
    pub fn next_after(&self, second: i64) -> Option<i64> {
        self.ruled().after(second).next()
    }

    /// Returns the newest slot at or before a second.
    #[must_use]
    pub fn last_at_or_before(&self, second: i64) -> Option<i64> {
        self.ruled().last_at_or_before(second)
    }

    fn ruled(&self) -> Ruled<'_> {
        Ruled { rule: &self.rule, shifts: &self.shifts }
    }
}

/// A zone's days and hours; see [`Losses::days_of`](super::Losses::days_of). Seconds count from the begin of 1970.
#[derive(Debug, Clone)]
pub struct ZoneDays {
    pub(super) shifts: Rc<Shifts>,
}

impl ZoneDays {
    /// Returns the date that clocks show at a second.
    #[must_use]
    pub fn date(&self, second: i64) -> Option<Date> {
        date_of((second + self.shifts.offset_at(second)).div_euclid(DAY))
    }

    /// Returns the first second of a day; that of the next one where the zone skips the day.
    #[must_use]
    pub fn begin_of(&self, date: Date) -> i64 {
        self.shifts.first_at_or_after(day_of(date) * DAY, &mut 0)
    }

    /// Returns the second at which the hour of the clock ends that holds a second: at a change of the clocks at the
    /// latest, as the two hours that autumn makes of one are two.
    #[must_use]
    pub fn end_of_hour(&self, second: i64) -> i64 {
        let end = second + 3600 - (second + self.shifts.offset_at(second)).rem_euclid(3600);
        self.shifts.between(second, end).first().map_or(end, |shift| shift.at)
    }
}
