//! Which civil days a rule takes, and the search for the next and the previous one. Pure.

use croner::{CronPattern, Weekday};
use jiff::civil::Date;

use super::ScheduleError;
use crate::domain::{DayRule, Frequency};

/// Bits 1 to 31: any day of a month.
const ANY_DAY: u32 = !1;
/// Bits 1, 8, 15, 22 and 29: the days that fall on the weekday of the first.
const SEVENTHS: u32 = 1 << 1 | 1 << 8 | 1 << 15 | 1 << 22 | 1 << 29;

/// A set of civil days: months, and days within them. Every rule of the language and of cron comes down to this one
/// form, because whether a day of a month is taken depends on nothing but its number, its weekday, and whether it is
/// the month's last: so two rules that mean the same are equal, and whole months are masks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Days {
    /// Bit 1 is January.
    months: u16,
    /// For each weekday, Monday first, the days of the month that are taken when they fall on it; bit 1 is the first.
    taken: [u32; 7],
    /// The weekdays on which the last day of a month is taken; bit 0 is Monday.
    last: u8,
}

impl Days {
    /// Reads `days:` under a frequency.
    pub(super) fn of(frequency: Frequency, days: &[DayRule]) -> Result<Self, ScheduleError> {
        let monthly = matches!(frequency, Frequency::Monthly | Frequency::Quarterly | Frequency::Yearly);
        let (mut taken, mut last) = ([0u32; 7], 0);
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
                DayRule::Weekday(weekday) => taken[weekday.unsigned_abs() as usize - 1] = ANY_DAY,
                DayRule::NthWeekday { weekday, nth } => {
                    let first = 7 * (nth.unsigned_abs() as usize - 1) + 1;
                    taken[weekday.unsigned_abs() as usize - 1] |= (first..first + 7).fold(0, |set, day| set | bit(day));
                }
                DayRule::MonthDay(day) => taken.iter_mut().for_each(|set| *set |= 1 << day),
                DayRule::LastDay => last = 0b111_1111,
            }
        }
        let months = match frequency {
            Frequency::Quarterly => 1 << 1 | 1 << 4 | 1 << 7 | 1 << 10,
            Frequency::Yearly => 1 << 1,
            _ => 0b1_1111_1111_1110,
        };
        match (frequency, days.is_empty()) {
            (_, false) => {}
            (Frequency::Hourly | Frequency::Daily, true) => taken = [ANY_DAY; 7],
            (Frequency::Weekly, true) => taken[0] = ANY_DAY,
            (_, true) => taken = [1 << 1; 7],
        }
        Ok(Self { months, taken, last })
    }

    /// Takes the day fields of a cron expression.
    pub(super) fn of_cron(pattern: &CronPattern) -> Self {
        const WEEKDAYS: [Weekday; 7] = [
            Weekday::Monday,
            Weekday::Tuesday,
            Weekday::Wednesday,
            Weekday::Thursday,
            Weekday::Friday,
            Weekday::Saturday,
            Weekday::Sunday,
        ];
        let months = (1..=12)
            .filter(|month| pattern.month_match(*month).unwrap_or(false))
            .fold(0, |set, month| set | 1 << month);
        // A day's number and weekday are asked for apart from any year; only which day is the last needs a month.
        let has = |(year, month, day), weekday| pattern.day_match(year, month, day, weekday).unwrap_or(false);
        let ends = [(2001, 2, 28), (2000, 2, 29), (2001, 4, 30)];
        let ends_month = ends
            .iter()
            .any(|end| WEEKDAYS.iter().any(|weekday| has(*end, *weekday) && !has((2001, 1, end.2), *weekday)));
        let mut taken = [0u32; 7];
        for (days, weekday) in taken.iter_mut().zip(WEEKDAYS) {
            // With `l`, the 31st is taken as the last of its month, which it always is.
            *days = (1..=31).filter(|day| has((2001, 1, *day), weekday)).fold(0, |set, day| set | 1 << day);
        }
        let last = if ends_month { 0b111_1111 } else { 0 };
        Self { months, taken, last }
    }

    fn has_month(&self, date: Date) -> bool {
        self.months & (1 << date.month()) != 0
    }

    /// Returns whether the rule takes `date`.
    pub(super) fn has(&self, date: Date) -> bool {
        let weekday = date.weekday().to_monday_zero_offset();
        self.has_month(date)
            && (self.taken[weekday.unsigned_abs() as usize] & (1 << date.day()) != 0
                || self.last & (1 << weekday) != 0 && date.day() == date.days_in_month())
    }

    /// Returns the weekdays of a rule to which months and days of the month mean nothing; bit 0 is Monday.
    pub(super) fn weekdays(&self) -> Option<u8> {
        if self.months != 0b1_1111_1111_1110 || self.taken.iter().any(|set| ![0, ANY_DAY].contains(set)) {
            return None;
        }
        let whole = (0..7).filter(|weekday| self.taken[*weekday] != 0).fold(0, |set, weekday| set | 1u8 << weekday);
        (self.last & !whole == 0).then_some(whole)
    }

    /// Returns the days of a month that are taken, bit 1 being the first. `first` is the weekday of its first day, 0
    /// being Monday, `month` 1 to 12, `length` its number of days.
    pub(super) fn of_month(&self, month: u8, first: usize, length: u32) -> u32 {
        if self.months & (1 << month) == 0 {
            return 0;
        }
        let end = u64::from(ANY_DAY) & ((2u64 << length) - 1);
        let of = |weekday: usize| self.taken[weekday] & (SEVENTHS << ((weekday + 7 - first) % 7));
        let taken = (0..7).map(of).fold(0, |set, days| set | days);
        let last_weekday = (first + length as usize - 1) % 7;
        let last = if self.last & (1 << last_weekday) == 0 { 0 } else { 1u32 << length };
        (taken & end as u32) | last
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

    /// Returns whether any year has such a day.
    pub(super) fn exist(&self) -> bool {
        self.distances().is_some()
    }
}

const fn bit(day: usize) -> u32 {
    if day > 31 { 0 } else { 1 << day }
}
