//! Which civil days a rule takes, and the search for the next and the previous one. Pure.

use croner::{CronPattern, Weekday};
use jiff::civil::Date;

use super::ScheduleError;
use crate::domain::{DayRule, Frequency};

/// A set of civil days: months, and days within them.
#[derive(Debug, Clone)]
pub(super) struct Days {
    /// Bit 1 is January.
    months: u16,
    rule: InMonth,
}

#[derive(Debug, Clone)]
enum InMonth {
    Every,
    Listed(Listed),
    Cron(Box<CronPattern>),
}

/// Days of `days:`; any of them matches.
#[derive(Debug, Clone, Default)]
struct Listed {
    /// Bit 1 is Monday.
    weekdays: u8,
    /// For each n, bit 1 is Monday.
    nth: [u8; 5],
    /// Bit 1 is the first.
    month_days: u32,
    last: bool,
}

impl Days {
    /// Reads `days:` under a frequency.
    pub(super) fn of(frequency: Frequency, days: &[DayRule]) -> Result<Self, ScheduleError> {
        let monthly = matches!(frequency, Frequency::Monthly | Frequency::Quarterly | Frequency::Yearly);
        let mut listed = Listed::default();
        for day in days {
            let real = match *day {
                DayRule::Weekday(weekday) => (1..=7).contains(&weekday),
                DayRule::NthWeekday { weekday, nth } => (1..=7).contains(&weekday) && (1..=5).contains(&nth),
                DayRule::MonthDay(day) => (1..=31).contains(&day),
                DayRule::LastDay => true,
            };
            if !real {
                return Err(ScheduleError::NoSuchDay { day: *day });
            }
            if monthly == matches!(day, DayRule::Weekday(_)) {
                return Err(ScheduleError::WrongDayKind { frequency, day: *day });
            }
            match *day {
                DayRule::Weekday(weekday) => listed.weekdays |= 1 << weekday,
                DayRule::NthWeekday { weekday, nth } => listed.nth[nth.unsigned_abs() as usize - 1] |= 1 << weekday,
                DayRule::MonthDay(day) => listed.month_days |= 1 << day,
                DayRule::LastDay => listed.last = true,
            }
        }
        let months = match frequency {
            Frequency::Quarterly => 1 << 1 | 1 << 4 | 1 << 7 | 1 << 10,
            Frequency::Yearly => 1 << 1,
            _ => 0b1_1111_1111_1110,
        };
        let rule = match (frequency, days.is_empty()) {
            (_, false) => InMonth::Listed(listed),
            (Frequency::Hourly | Frequency::Daily, true) => InMonth::Every,
            (Frequency::Weekly, true) => InMonth::Listed(Listed { weekdays: 1 << 1, ..listed }),
            (_, true) => InMonth::Listed(Listed { month_days: 1 << 1, ..listed }),
        };
        Ok(Self { months, rule })
    }

    /// Takes the day fields of a cron expression.
    pub(super) fn of_cron(pattern: CronPattern) -> Self {
        let months = (1..=12)
            .filter(|month| pattern.month_match(*month).unwrap_or(false))
            .fold(0, |set, month| set | 1 << month);
        Self { months, rule: InMonth::Cron(Box::new(pattern)) }
    }

    fn has_month(&self, date: Date) -> bool {
        self.months & (1 << date.month()) != 0
    }

    /// Returns whether the rule takes `date`.
    pub(super) fn has(&self, date: Date) -> bool {
        if !self.has_month(date) {
            return false;
        }
        let weekday = date.weekday();
        match &self.rule {
            InMonth::Every => true,
            InMonth::Listed(listed) => {
                let bit = 1u8 << weekday.to_monday_one_offset();
                let nth = (date.day().unsigned_abs() as usize - 1) / 7;
                listed.weekdays & bit != 0
                    || listed.nth[nth] & bit != 0
                    || listed.month_days & (1 << date.day()) != 0
                    || (listed.last && date.day() == date.days_in_month())
            }
            InMonth::Cron(pattern) => {
                let (month, day) = (date.month().unsigned_abs().into(), date.day().unsigned_abs().into());
                let weekday = match weekday {
                    jiff::civil::Weekday::Sunday => Weekday::Sunday,
                    jiff::civil::Weekday::Monday => Weekday::Monday,
                    jiff::civil::Weekday::Tuesday => Weekday::Tuesday,
                    jiff::civil::Weekday::Wednesday => Weekday::Wednesday,
                    jiff::civil::Weekday::Thursday => Weekday::Thursday,
                    jiff::civil::Weekday::Friday => Weekday::Friday,
                    jiff::civil::Weekday::Saturday => Weekday::Saturday,
                };
                pattern.day_match(date.year().into(), month, day, weekday).unwrap_or(false)
            }
        }
    }

    /// Returns the first such day from `date` on.
    pub(super) fn first_from(&self, mut date: Date) -> Option<Date> {
        while !self.has(date) {
            // Whole months are stepped over: a rule for 29 February is looked for in microseconds.
            date = if self.has_month(date) { date.tomorrow().ok()? } else { date.last_of_month().tomorrow().ok()? };
        }
        Some(date)
    }

    /// Returns the last such day up to `date`.
    pub(super) fn last_up_to(&self, mut date: Date) -> Option<Date> {
        while !self.has(date) {
            date =
                if self.has_month(date) { date.yesterday().ok()? } else { date.first_of_month().yesterday().ok()? };
        }
        Some(date)
    }

    /// Returns whether any year has such a day: the calendar repeats every 400 years.
    pub(super) fn exist(&self) -> bool {
        let (begin, end) = (Date::constant(2000, 1, 1), Date::constant(2400, 1, 1));
        self.months != 0 && self.until(begin, end).is_some()
    }

    fn until(&self, mut date: Date, end: Date) -> Option<Date> {
        while !self.has(date) {
            date = if self.has_month(date) { date.tomorrow().ok()? } else { date.last_of_month().tomorrow().ok()? };
            if date >= end {
                return None;
            }
        }
        Some(date)
    }

    /// Returns how many days lie between the closest two such days of any time.
    pub(super) fn smallest_distance(&self) -> Option<i64> {
        // 28 years hold every pairing of a weekday with a date, but for the centuries that skip a leap year; 40 hold
        // those too that need a leap day twice.
        let (begin, end) = (Date::constant(2000, 1, 1), Date::constant(2041, 1, 1));
        let mut smallest: Option<i64> = None;
        let mut earlier = self.until(begin, end)?;
        while let Some(later) = earlier.tomorrow().ok().and_then(|next| self.until(next, end)) {
            let distance = later.duration_since(earlier).as_hours() / 24;
            smallest = Some(smallest.map_or(distance, |smallest| smallest.min(distance)));
            if distance == 1 {
                break;
            }
            earlier = later;
        }
        smallest
    }
}
