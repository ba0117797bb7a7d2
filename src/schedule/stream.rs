//! The slots of a rule one after another, in plain seconds: what [`Calendar`](super::Calendar) says, at the speed that
//! a search over centuries needs. The two are held together by a property test. Pure.

use jiff::civil::Date;

use super::calendar::Rule;
use super::days::Days;
use super::shifts::Shifts;
use super::years::{DAY, date_of, day_of};

/// A rule on the clocks of a zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ruled<'a> {
    /// The rule.
    pub(super) rule: &'a Rule,
    /// The clocks.
    pub(super) shifts: &'a Shifts,
}

/// The slots of a rule after a second.
#[derive(Debug, Clone)]
pub(super) struct Stream<'a> {
    ruled: Ruled<'a>,
    /// The last slot that came, or the second to begin after.
    last: i64,
    hint: usize,
    at: At,
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy)]
enum At {
    /// The next minute of a day to look at; the day as a date too, so that its neighbours need no arithmetic.
    Minute {
        date: Date,
        day: i64,
        index: usize,
    },
    /// The day whose slots come, with its begin and end in seconds.
    Day {
        day: i64,
        begin: i64,
        end: i64,
    },
    /// The next civil second.
    Civil(i64),
    End,
}

impl<'a> Ruled<'a> {
    /// Returns the newest slot at or before a second.
    pub(super) fn last_at_or_before(self, second: i64) -> Option<i64> {
        let reached = self.shifts.reached_by(second);
        let mut hint = 0;
        match self.rule {
            Rule::Never => None,
            Rule::Counted(period) => {
                Some(self.shifts.first_at_or_after(reached.div_euclid(*period) * period, &mut hint))
            }
            Rule::Elapsed(period) => {
                let begin = self.shifts.first_at_or_after(reached.div_euclid(DAY) * DAY, &mut hint);
                Some(begin + (second - begin) / period * period)
            }
            Rule::Civil { days, minutes } => {
                let (day, minute) = (reached.div_euclid(DAY), reached.rem_euclid(DAY) / 60);
                let today = date_of(day)?;
                let newest = if days.has(today) {
                    minutes[..minutes.partition_point(|m| i64::from(*m) <= minute)].last()
                } else {
                    None
                };
                let (day, minute) = match newest {
                    Some(minute) => (day, *minute),
                    None => (day_of(days.last_up_to(today.yesterday().ok()?)?), *minutes.last()?),
                };
                Some(self.shifts.first_at_or_after(day * DAY + i64::from(minute) * 60, &mut hint))
            }
        }
    }

    /// Returns the slots after a second.
    pub(super) fn after(self, second: i64) -> Stream<'a> {
        let reached = self.shifts.reached_by(second);
        let mut hint = 0;
        let at = match self.rule {
            Rule::Never => At::End,
            Rule::Counted(period) => At::Civil(reached.div_euclid(*period).saturating_add(1) * period),
            Rule::Elapsed(_) => {
                let day = reached.div_euclid(DAY);
                let begin = self.shifts.first_at_or_after(day * DAY, &mut hint);
                At::Day { day, begin, end: self.shifts.first_at_or_after((day + 1) * DAY, &mut hint) }
            }
            Rule::Civil { days, minutes } => {
                let (day, minute) = (reached.div_euclid(DAY), reached.rem_euclid(DAY) / 60);
                let found = date_of(day).and_then(|today| days.first_from(today).map(|date| (today, date)));
                match found {
                    None => At::End,
                    Some((today, date)) if today == date => {
                        At::Minute { date, day, index: minutes.partition_point(|m| i64::from(*m) <= minute) }
                    }
                    Some((_, date)) => At::Minute { date, day: day_of(date), index: 0 },
                }
            }
        };
        Stream { ruled: self, last: second, hint, at }
    }
}

impl Stream<'_> {
    fn step(&mut self) -> Option<i64> {
        let Ruled { rule, shifts } = self.ruled;
        match (rule, &mut self.at) {
            (Rule::Civil { days, minutes }, At::Minute { date, day, index }) => loop {
                if let Some(minute) = minutes.get(*index) {
                    *index += 1;
                    return Some(shifts.first_at_or_after(*day * DAY + i64::from(*minute) * 60, &mut self.hint));
                }
                let tomorrow = date.tomorrow().ok()?;
                *date = next_day(days, tomorrow)?;
                *day = if *date == tomorrow { *day + 1 } else { day_of(*date) };
                *index = 0;
            },
            (Rule::Elapsed(period), At::Day { day, begin, end }) => loop {
                let turns = if self.last < *begin { 0 } else { (self.last - *begin) / period + 1 };
                let slot = *begin + turns * period;
                if slot < *end {
                    return Some(slot);
                }
                *day += 1;
                *begin = *end;
                *end = shifts.first_at_or_after((*day + 1) * DAY, &mut self.hint);
            },
            (Rule::Counted(period), At::Civil(civil)) => {
                let slot = shifts.first_at_or_after(*civil, &mut self.hint);
                *civil = civil.checked_add(*period)?;
                Some(slot)
            }
            _ => None,
        }
    }
}

fn next_day(days: &Days, date: Date) -> Option<Date> {
    if days.has(date) { Some(date) } else { days.first_from(date) }
}

impl Iterator for Stream<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        loop {
            let slot = self.step()?;
            // Civil times in a gap all come at its end: one slot.
            if slot > self.last {
                self.last = slot;
                return Some(slot);
            }
        }
    }
}
