//! The clock changes of a zone over a whole cycle of the calendar, as plain numbers: what the search for the worst gap
//! asks millions of times. Pure.
//!
//! It repeats the one rule of `civil`: a civil time comes at the first instant at which clocks show it or a later one.
//! Seconds count from the begin of 1970; civil seconds are what clocks show, read as if they were UTC.

use jiff::tz::TimeZone;

use super::years::{CYCLE_SECONDS, DAY, YearKind, first_day};
use crate::domain::Instant;

/// How far before its begin a table reaches: further than any rule's slots lie apart.
const BEFORE: i64 = 130 * 366 * DAY;

/// One change of the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shift {
    /// When, in seconds.
    pub(super) at: i64,
    /// The offset before, in seconds east of UTC.
    pub(super) before: i64,
    /// The offset from then on.
    pub(super) after: i64,
}

/// The changes of a zone.
#[derive(Debug)]
pub(super) struct Shifts {
    shifts: Vec<Shift>,
    /// For each change, the furthest that clocks have shown until then, in civil seconds.
    reached: Vec<i64>,
    offset: i64,
    /// The first year from which on equal kinds of years have equal changes.
    pub(super) regular_from: i64,
    /// By how much offsets differ at most from the table's begin on: no gap is longer than on a calendar without clock
    /// changes by more than that.
    pub(super) spread: i64,
    /// The largest change from the table's begin on.
    pub(super) largest: i64,
}

impl Shifts {
    /// Lists the changes of a zone over a cycle from an instant, and those of a lifetime before it.
    pub(super) fn new(zone: &TimeZone, from: i64) -> Self {
        let second = |second: i64| {
            Instant::from_second(second.clamp(Instant::MIN.as_second(), Instant::MAX.as_second())).unwrap_or_default()
        };
        let begin = second(from.saturating_sub(BEFORE));
        let end = from.saturating_add(CYCLE_SECONDS + 2 * 366 * DAY);
        let offset = i64::from(zone.to_offset(begin).seconds());
        let (mut shifts, mut reached, mut before, mut furthest) = (Vec::new(), Vec::new(), offset, i64::MIN);
        for change in zone.following(begin) {
            let (at, after) = (change.timestamp().as_second(), i64::from(change.offset().seconds()));
            if at > end {
                break;
            }
            // Some changes only change the name of the time.
            if after != before {
                furthest = furthest.max(at + before);
                shifts.push(Shift { at, before, after });
                reached.push(furthest);
                before = after;
            }
        }
        let year = i64::from(zone.to_datetime(second(from)).year());
        let mut all = Self { shifts, reached, offset, regular_from: year, spread: 0, largest: 0 };
        all.regular_from = all.first_regular(year, year + 400);
        let now = all.offset_at(from);
        let later = all.between(from, i64::MAX);
        let (least, most) =
            later.iter().fold((now, now), |(least, most), shift| (least.min(shift.after), most.max(shift.after)));
        let largest = later.iter().map(|shift| (shift.after - shift.before).abs()).max().unwrap_or(0);
        (all.spread, all.largest) = (most - least, largest);
        all
    }

    /// Compares the years backwards from the last until one differs from a later one of its kind.
    fn first_regular(&self, begin: i64, end: i64) -> i64 {
        let mut kinds: [Option<(i64, Vec<Shift>)>; 14] = std::array::from_fn(|_| None);
        for year in (begin..end).rev() {
            let (first, next) = (first_day(year) * DAY, first_day(year + 1) * DAY);
            let offset = self.offset_at(first);
            let of_year = &self.shifts[self.after(first)..self.after(next)];
            let changes = of_year.iter().map(|shift| Shift { at: shift.at - first, ..*shift }).collect();
            let known = kinds[YearKind::of(year).index()].get_or_insert_with(|| (offset, Vec::clone(&changes)));
            if *known != (offset, changes) {
                return year + 1;
            }
        }
        begin
    }

    /// Returns the changes after `begin` and before `end`.
    pub(super) fn between(&self, begin: i64, end: i64) -> &[Shift] {
        let first = self.shifts.partition_point(|shift| shift.at <= begin);
        let last = self.shifts.partition_point(|shift| shift.at < end).max(first);
        &self.shifts[first..last]
    }

    /// Returns the index of the first change at or after a second.
    fn after(&self, second: i64) -> usize {
        self.shifts.partition_point(|shift| shift.at < second)
    }

    /// Returns the offset at a second.
    pub(super) fn offset_at(&self, second: i64) -> i64 {
        match self.shifts.partition_point(|shift| shift.at <= second) {
            0 => self.offset,
            index => self.shifts[index - 1].after,
        }
    }

    /// Returns the furthest that clocks have shown by a second, in civil seconds.
    pub(super) fn reached_by(&self, second: i64) -> i64 {
        match self.shifts.partition_point(|shift| shift.at <= second) {
            0 => second + self.offset,
            // The time that a change begins from is not shown any more: where clocks go from midnight back to 23 o'clock,
            // the day begins an hour later.
            index => (self.reached[index - 1] - 1).max(second + self.shifts[index - 1].after),
        }
    }

    /// Returns the index of the first change by which clocks had shown more than a civil time. Looks at `hint` first.
    fn segment(&self, civil: i64, hint: usize) -> usize {
        let fits = |index: usize| {
            self.reached.get(index).is_none_or(|reached| *reached > civil)
                && index.checked_sub(1).is_none_or(|before| self.reached[before] <= civil)
        };
        if hint <= self.reached.len() && fits(hint) {
            return hint;
        }
        if hint < self.reached.len() && fits(hint + 1) {
            return hint + 1;
        }
        self.reached.partition_point(|reached| *reached <= civil)
    }

    /// Returns the first second at which clocks show a civil time or a later one. `hint` makes the next search short.
    pub(super) fn first_at_or_after(&self, civil: i64, hint: &mut usize) -> i64 {
        *hint = self.segment(civil, *hint);
        let offset = self.shifts.get(*hint).map(|shift| shift.before);
        match hint.checked_sub(1).map(|index| self.shifts[index]) {
            None => civil - offset.unwrap_or(self.offset),
            Some(earlier) => (civil - offset.unwrap_or(earlier.after)).max(earlier.at),
        }
    }
}
