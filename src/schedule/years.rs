//! The years of the Gregorian calendar by kind. Pure.
//!
//! A year's days are given by two facts, the weekday of 1 January and whether it is a leap year: 14 kinds. The calendar
//! repeats every 400 years, which are a whole number of weeks. What lies within two neighbouring years is given by the
//! pair of their kinds, and of these there are 21: after a common year's kind the next begins one weekday later and may
//! be common or leap (14 pairs), after a leap year it begins two later and is common (7 pairs). Any 28 years without a
//! century that skips its leap day hold all 21; [`all_pairs_until`] does not rely on it, it counts.

use jiff::civil::Date;

use super::days::Days;

/// The seconds of a day.
pub(super) const DAY: i64 = 86_400;
/// The years after which the calendar repeats.
const CYCLE: i64 = 400;
/// The seconds after which the calendar repeats.
pub(super) const CYCLE_SECONDS: i64 = 146_097 * DAY;
/// How many pairs of neighbouring years there are.
const PAIRS: u32 = 21;

/// What kind of year it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct YearKind {
    /// The weekday of 1 January, 0 being Monday.
    first: usize,
    leap: bool,
}

impl YearKind {
    /// Returns the kind of a year.
    pub(super) fn of(year: i64) -> Self {
        let day = first_day(year);
        Self { first: (day + 3).rem_euclid(7) as usize, leap: is_leap(year) }
    }

    /// Returns its number, 0 to 13.
    pub(super) const fn index(self) -> usize {
        self.first * 2 + self.leap as usize
    }

    const fn length(self) -> i64 {
        if self.leap { 366 } else { 365 }
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Returns the number of 1 January of a year, counted from 1 January 1970.
pub(super) const fn first_day(year: i64) -> i64 {
    let before = year - 1;
    let leaps = before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
    // 719,162 days lie between 1 January of year 1 and of 1970.
    365 * before + leaps - 719_162
}

/// Returns the number of a date, counted from 1 January 1970.
pub(super) fn day_of(date: Date) -> i64 {
    date.duration_since(Date::constant(1970, 1, 1)).as_secs() / DAY
}

/// Returns the date of a day that is counted from 1 January 1970; `None` outside the calendar.
pub(super) fn date_of(day: i64) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(jiff::SignedDuration::from_hours(day.checked_mul(24)?)).ok()
}

/// Returns the first year before whose begin every pair of neighbouring years has been seen whole, from `year` on.
pub(super) fn all_pairs_until(year: i64) -> i64 {
    let mut seen = [false; 14 * 14];
    let (mut year, mut left) = (year, PAIRS);
    while left > 0 {
        let pair = YearKind::of(year).index() * 14 + YearKind::of(year + 1).index();
        if !seen[pair] {
            seen[pair] = true;
            left -= 1;
        }
        year += 1;
    }
    year + 1
}

/// How far apart the days of a rule are, over all years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Distances {
    /// The closest two neighbours, in days.
    pub(super) smallest: i64,
    /// The farthest two.
    pub(super) largest: i64,
}

impl Distances {
    fn take(&mut self, distance: i64) {
        self.smallest = self.smallest.min(distance);
        self.largest = self.largest.max(distance);
    }

    const NONE: Self = Self { smallest: i64::MAX, largest: 0 };
}

/// The days of a rule in one kind of year.
#[derive(Debug, Clone, Copy)]
struct Within {
    /// The first and last, counted from 1 January.
    ends: Option<(i64, i64)>,
    distances: Distances,
}

impl Days {
    /// Returns how far apart the days are; `None` where no year has one. Exact over the whole cycle: the 14 kinds of
    /// years are looked at day by day, the 400 years only at their first and last days.
    pub(super) fn distances(&self) -> Option<Distances> {
        if let Some(weekdays) = self.weekdays() {
            return of_weekdays(weekdays);
        }
        let kinds: [Within; 14] =
            std::array::from_fn(|index| self.within(YearKind { first: index / 2, leap: index % 2 == 1 }));
        let mut all = Distances::NONE;
        let (mut begin, mut earlier, mut years) = (0, None, 0);
        // A second cycle closes the circle: what lies between a cycle's last day and the first of the next.
        while years < 2 * CYCLE {
            let kind = YearKind::of(2000 + years);
            let within = kinds[kind.index()];
            if let Some((first, last)) = within.ends {
                if let Some(earlier) = earlier {
                    all.take(begin + first - earlier);
                }
                if years < CYCLE && within.distances.largest > 0 {
                    all.take(within.distances.smallest);
                    all.take(within.distances.largest);
                }
                earlier = Some(begin + last);
            }
            if years >= CYCLE && within.ends.is_some() {
                break;
            }
            begin += kind.length();
            years += 1;
        }
        (all.largest > 0).then_some(all)
    }

    fn within(&self, kind: YearKind) -> Within {
        let lengths = [31, if kind.leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut within = Within { ends: None, distances: Distances::NONE };
        let (mut begin, mut first) = (0i64, kind.first);
        for (month, length) in (1u8..).zip(lengths) {
            let mut days = self.of_month(month, first, length);
            while days != 0 {
                let day = begin + i64::from(days.trailing_zeros()) - 1;
                days &= days - 1;
                within.ends = match within.ends {
                    None => Some((day, day)),
                    Some((first, last)) => {
                        within.distances.take(day - last);
                        Some((first, day))
                    }
                };
            }
            begin += i64::from(length);
            first = (first + length as usize) % 7;
        }
        within
    }
}

fn of_weekdays(weekdays: u8) -> Option<Distances> {
    let days: Vec<i64> = (0..14).filter(|day| weekdays & (1 << (day % 7)) != 0).collect();
    let mut all = Distances::NONE;
    days.windows(2).for_each(|pair| all.take(pair[1] - pair[0]));
    (all.largest > 0).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::{CYCLE, CYCLE_SECONDS, DAY, all_pairs_until, date_of, day_of, first_day};
    use jiff::civil::date;

    #[test]
    fn days_are_counted_as_the_calendar_counts_them() {
        for year in [1, 1899, 1900, 1970, 2000, 2026, 2100, 2400, 9999i16] {
            assert_eq!(first_day(year.into()), day_of(date(year, 1, 1)), "{year}");
            assert_eq!(date_of(first_day(year.into())), Some(date(year, 1, 1)));
        }
        assert_eq!((first_day(2026 + CYCLE) - first_day(2026)) * DAY, CYCLE_SECONDS);
    }

    #[test]
    fn every_pair_of_years_comes_within_a_lifetime() {
        for year in 2000..2400 {
            let until = all_pairs_until(year) - year;
            assert!((22..=42).contains(&until), "{year}: {until}");
        }
    }
}
