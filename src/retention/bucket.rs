//! Buckets: typed keys on a zone's calendar, one kind per tier. An ISO week is never confused with a month (other
//! tools did, with texts as keys), and an hour that comes twice is two hours. Pure.

use std::fmt;

use jiff::civil::{Date, DateTime, ISOWeekDate, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span, ToSpan};

use crate::domain::Instant;

/// A tier of a rule: the kinds of bucket, finest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words of the rule")]
pub enum Tier {
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Quarterly,
    Yearly,
}

impl Tier {
    /// All of them, finest first.
    pub const ALL: [Self; 6] = [Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Quarterly, Self::Yearly];

    /// Returns the bucket of this tier that holds `instant` in `zone`.
    #[must_use]
    pub fn bucket(self, instant: Instant, zone: &TimeZone) -> Bucket {
        let offset = zone.to_offset(instant);
        self.civil_bucket(offset.to_datetime(instant), offset)
    }

    /// Returns the first instant after `instant` that is in another bucket; absent where the calendar ends before.
    #[must_use]
    pub fn end(self, instant: Instant, zone: &TimeZone) -> Option<Instant> {
        let bucket = self.bucket(instant, zone);
        let next = bucket.begin()?.checked_add(self.span()).ok()?;
        let mut at = instant;
        // The calendar of one offset from UTC at a time: a change of the clock can end a bucket, and begin it again.
        loop {
            let end = zone.to_offset(at).to_timestamp(next).ok();
            let change = zone.following(at).next().map(|change| change.timestamp());
            match (end.filter(|end| *end > at), change) {
                (Some(end), None) => return Some(end),
                (Some(end), Some(change)) if end < change => return Some(end),
                (_, None) => return None,
                (_, Some(change)) if self.bucket(change, zone) != bucket => return Some(change),
                (_, Some(change)) => at = change,
            }
        }
    }

    /// Returns the first instant of the run of instants up to `instant` that are all in its bucket; absent where the
    /// calendar begins later.
    #[must_use]
    pub fn begin(self, instant: Instant, zone: &TimeZone) -> Option<Instant> {
        let bucket = self.bucket(instant, zone);
        let first = bucket.begin()?;
        let mut at = instant;
        loop {
            let begin = zone.to_offset(at).to_timestamp(first).ok();
            let change = zone.preceding(after(at)?).next().map(|change| change.timestamp());
            match (begin.filter(|begin| *begin <= at), change) {
                (Some(begin), None) => return Some(begin),
                (Some(begin), Some(change)) if begin > change => return Some(begin),
                (_, None) => return None,
                (_, Some(change)) => {
                    let last = before(change)?;
                    if self.bucket(last, zone) != bucket {
                        return Some(change);
                    }
                    at = last;
                }
            }
        }
    }

    fn span(self) -> Span {
        match self {
            Self::Hourly => 1.hour(),
            Self::Daily => 1.day(),
            Self::Weekly => 1.week(),
            Self::Monthly => 1.month(),
            Self::Quarterly => 3.months(),
            Self::Yearly => 1.year(),
        }
    }

    pub(super) fn civil_bucket(self, civil: DateTime, offset: Offset) -> Bucket {
        let date = civil.date();
        match self {
            Self::Hourly => Bucket::Hour { day: date, hour: civil.hour(), offset },
            Self::Daily => Bucket::Day(date),
            Self::Weekly => {
                let week = date.iso_week_date();
                Bucket::IsoWeek { iso_year: week.year(), week: week.week() }
            }
            Self::Monthly => Bucket::Month { year: date.year(), month: date.month() },
            Self::Quarterly => Bucket::Quarter { year: date.year(), quarter: (date.month() - 1) / 3 + 1 },
            Self::Yearly => Bucket::Year(date.year()),
        }
    }
}

const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

fn after(instant: Instant) -> Option<Instant> {
    instant.checked_add(NANOSECOND).ok()
}

/// Returns the instant just before.
pub(super) fn before(instant: Instant) -> Option<Instant> {
    instant.checked_sub(NANOSECOND).ok()
}

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// An hour of the clock; the offset tells apart the two that autumn makes of one.
    Hour {
        /// The day.
        day: Date,
        /// 0 to 23.
        hour: i8,
        /// The offset from UTC.
        offset: Offset,
    },
    /// A civil day.
    Day(Date),
    /// A week of ISO 8601, Monday to Sunday; its year is not always the calendar's.
    IsoWeek {
        /// The week's year.
        iso_year: i16,
        /// 1 to 53.
        week: i8,
    },
    /// A month.
    Month {
        /// The year.
        year: i16,
        /// 1 to 12.
        month: i8,
    },
    /// A quarter.
    Quarter {
        /// The year.
        year: i16,
        /// 1 to 4.
        quarter: i8,
    },
    /// A year.
    Year(i16),
}

impl Bucket {
    /// Returns the tier it is of.
    #[must_use]
    pub const fn tier(&self) -> Tier {
        match self {
            Self::Hour { .. } => Tier::Hourly,
            Self::Day(_) => Tier::Daily,
            Self::IsoWeek { .. } => Tier::Weekly,
            Self::Month { .. } => Tier::Monthly,
            Self::Quarter { .. } => Tier::Quarterly,
            Self::Year(_) => Tier::Yearly,
        }
    }

    /// Returns what the clock shows when it begins.
    fn begin(&self) -> Option<DateTime> {
        let day = match *self {
            Self::Hour { day, hour, .. } => return Some(day.at(hour, 0, 0, 0)),
            Self::Day(day) => day,
            Self::IsoWeek { iso_year, week } => ISOWeekDate::new(iso_year, week, Weekday::Monday).ok()?.date(),
            Self::Month { year, month } => Date::new(year, month, 1).ok()?,
            Self::Quarter { year, quarter } => Date::new(year, (quarter - 1) * 3 + 1, 1).ok()?,
            Self::Year(year) => Date::new(year, 1, 1).ok()?,
        };
        Some(day.at(0, 0, 0, 0))
    }
}

impl fmt::Display for Bucket {
    /// Writes tier and key: `daily 2026-11-20`, `weekly 2026-W47`, `hourly 2026-10-25T02+01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour { day, hour, offset } => write!(f, "hourly {day}T{hour:02}{offset}"),
            Self::Day(day) => write!(f, "daily {day}"),
            Self::IsoWeek { iso_year, week } => write!(f, "weekly {iso_year:04}-W{week:02}"),
            Self::Month { year, month } => write!(f, "monthly {year:04}-{month:02}"),
            Self::Quarter { year, quarter } => write!(f, "quarterly {year:04}-Q{quarter}"),
            Self::Year(year) => write!(f, "yearly {year:04}"),
        }
    }
}
