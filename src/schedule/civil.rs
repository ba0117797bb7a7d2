//! Civil time to instants and back: the one place where clock changes are decided. Pure.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::domain::Instant;

/// A zone's clocks.
#[derive(Debug, Clone)]
pub(super) struct Clocks(TimeZone);

impl Clocks {
    pub(super) const fn new(zone: TimeZone) -> Self {
        Self(zone)
    }

    /// Returns the zone.
    pub(super) const fn zone(&self) -> &TimeZone {
        &self.0
    }

    /// Returns the date and time that clocks show at `instant`.
    pub(super) fn show(&self, instant: Instant) -> DateTime {
        self.0.to_datetime(instant)
    }

    /// Returns the first instant at which clocks show `civil` or later: monotone in `civil`, which is what makes the
    /// search in both directions agree. `None` at the ends of time.
    pub(super) fn first_at_or_after(&self, civil: DateTime) -> Option<Instant> {
        let ambiguous = self.0.to_ambiguous_timestamp(civil);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
            // Not jiff's "compatible" reading, which runs 02:30 at 03:30: the clocks are past 02:30 at the gap's end.
            AmbiguousOffset::Gap { after, .. } => {
                let before_the_gap = after.to_timestamp(civil).ok()?;
                self.0
                    .following(before_the_gap)
                    .find(|change| change.offset() == after)
                    .map(|change| change.timestamp())
            }
        }
    }

    /// Returns the first instant of a day, which is that of the next one where the zone skips the day.
    pub(super) fn begin_of(&self, day: Date) -> Option<Instant> {
        self.first_at_or_after(day.to_datetime(Time::midnight()))
    }

    /// Returns a day with its ends looked up.
    pub(super) fn day(&self, date: Date) -> Option<Day> {
        let begin = self.begin_of(date)?;
        let end = date.tomorrow().ok().and_then(|tomorrow| self.begin_of(tomorrow));
        let plain = end.is_some_and(|end| {
            end.as_second() - begin.as_second() == 86_400
                && self.0.to_offset(begin) == self.0.to_offset(end)
                && self.0.to_datetime(begin) == date.to_datetime(Time::midnight())
                && self.0.following(begin).next().is_none_or(|change| change.timestamp() >= end)
        });
        Some(Day { date, begin, end, plain })
    }

    /// Returns the slot of a minute of a day.
    pub(super) fn minute_of(&self, day: &Day, minute: u16) -> Option<Instant> {
        if day.plain {
            return day.begin.checked_add(jiff::SignedDuration::from_mins(i64::from(minute))).ok();
        }
        let time = Time::new((minute / 60) as i8, (minute % 60) as i8, 0, 0).ok()?;
        self.first_at_or_after(day.date.to_datetime(time))
    }
}

/// A civil day and the instants it spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day {
    /// The date.
    pub(super) date: Date,
    /// Its first instant.
    pub(super) begin: Instant,
    /// The first instant of the next day; absent at the end of time.
    pub(super) end: Option<Instant>,
    /// Whether it has 24 hours and no clock change, so that its slots are plain sums.
    plain: bool,
}
