//! A rule made ready to be asked for slots, in both directions. Pure.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::civil::{Clocks, Day};
use super::days::Days;
use super::{ScheduleError, cron};
use crate::domain::{Instant, Period, Timing, When};

/// A hundred years: beyond it a period says nothing, and civil arithmetic may leave the calendar.
const LONGEST: Period = Period::days(36_500);
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The slots of a rule.
#[derive(Debug, Clone)]
pub struct Calendar {
    clocks: Clocks,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    Never,
    /// Minutes of some days; the minutes are sorted and there is at least one.
    Civil {
        days: Days,
        minutes: Vec<u16>,
    },
    /// Real seconds from the begin of each day.
    Elapsed(i64),
    /// Civil seconds from the begin of 1970.
    Counted(i64),
}

impl Calendar {
    /// Reads a rule; refuses one that can never come or makes no sense.
    pub fn new(when: &When) -> Result<Self, ScheduleError> {
        Ok(Self { clocks: Clocks::new(when.timezone.zone()), rule: Rule::of(&when.timing)? })
    }

    /// Returns a calendar without slots, as `on: request` and `on: change` have.
    #[must_use]
    pub const fn never() -> Self {
        Self { clocks: Clocks::new(TimeZone::UTC), rule: Rule::Never }
    }

    /// Returns whether there are no slots at all.
    #[must_use]
    pub const fn is_never(&self) -> bool {
        matches!(self.rule, Rule::Never)
    }

    /// Returns the newest slot at or before `instant`.
    #[must_use]
    pub fn last_at_or_before(&self, instant: Instant) -> Option<Instant> {
        let shown = self.clocks.show(instant);
        // Clocks may have shown up to a day more than now: a fold can lie across midnight.
        let newest_day = shown.date().checked_add(jiff::Span::new().days(2)).unwrap_or(Date::MAX);
        match &self.rule {
            Rule::Never => None,
            Rule::Civil { days, minutes } => {
                let mut date = days.last_up_to(newest_day)?;
                loop {
                    if let Some(day) = self.clocks.day(date)
                        && let Some(newest) = self.count_up_to(&day, minutes, instant).checked_sub(1)
                    {
                        return self.clocks.minute_of(&day, minutes[newest]);
                    }
                    date = days.last_up_to(date.yesterday().ok()?)?;
                }
            }
            Rule::Elapsed(period) => {
                let mut date = newest_day;
                loop {
                    // A day that the zone skips has no length and no slot of its own.
                    let day = self.clocks.day(date).filter(|day| day.end.is_none_or(|end| day.begin < end));
                    if let Some(day) = day.filter(|day| day.begin <= instant) {
                        let turns = (whole_seconds(instant) - whole_seconds(day.begin)) / period;
                        return plus(day.begin, turns * period);
                    }
                    date = date.yesterday().ok()?;
                }
            }
            Rule::Counted(period) => {
                let mut turn = turns(newest_day, *period);
                loop {
                    match turn_begin(turn, *period).and_then(|civil| self.clocks.first_at_or_after(civil)) {
                        Some(slot) if slot <= instant => return Some(slot),
                        None if turn < 0 => return None,
                        _ => turn -= 1,
                    }
                }
            }
        }
    }

    /// Returns the first slot after `instant`.
    #[must_use]
    pub fn next_after(&self, instant: Instant) -> Option<Instant> {
        let shown = self.clocks.show(instant);
        match &self.rule {
            Rule::Never => None,
            Rule::Civil { .. } | Rule::Elapsed(_) => {
                let mut date = self.day_from(shown.date())?;
                loop {
                    if let Some(slot) = self.clocks.day(date).and_then(|day| self.next_on(&day, instant)) {
                        return Some(slot);
                    }
                    date = self.day_from(date.tomorrow().ok()?)?;
                }
            }
            Rule::Counted(period) => {
                let mut turn = turns(shown.date(), *period);
                loop {
                    match turn_begin(turn, *period).and_then(|civil| self.clocks.first_at_or_after(civil)) {
                        Some(slot) if slot > instant => return Some(slot),
                        None if turn > 0 => return None,
                        _ => turn += 1,
                    }
                }
            }
        }
    }

    /// Returns the slots after `after` up to and with `until`, in order.
    #[must_use]
    pub const fn between(&self, after: Instant, until: Instant) -> Slots<'_> {
        Slots { calendar: self, after, until, day: None }
    }

    /// Returns the first day of the rule from `date` on.
    fn day_from(&self, date: Date) -> Option<Date> {
        if let Rule::Civil { days, .. } = &self.rule { days.first_from(date) } else { Some(date) }
    }

    /// Returns the first slot after `instant` that lies on `day`. Slots of a later day are all later than these.
    fn next_on(&self, day: &Day, instant: Instant) -> Option<Instant> {
        match &self.rule {
            Rule::Civil { days, minutes } if days.has(day.date) => {
                let minute = minutes.get(self.count_up_to(day, minutes, instant))?;
                self.clocks.minute_of(day, *minute)
            }
            Rule::Elapsed(period) => elapsed_after(day, *period, instant),
            Rule::Civil { .. } | Rule::Counted(_) | Rule::Never => None,
        }
    }

    pub(super) const fn rule(&self) -> &Rule {
        &self.rule
    }

    pub(super) const fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// Returns how many of the day's slots are at or before `instant`; slots of a day ascend with its minutes.
    fn count_up_to(&self, day: &Day, minutes: &[u16], instant: Instant) -> usize {
        if day.begin > instant {
            return 0;
        }
        minutes.partition_point(|minute| self.clocks.minute_of(day, *minute).is_some_and(|slot| slot <= instant))
    }
}

impl Rule {
    fn of(timing: &Timing) -> Result<Self, ScheduleError> {
        use crate::domain::Frequency::Hourly;
        Ok(match timing {
            Timing::OnChange | Timing::OnRequest => Self::Never,
            Timing::Every { period } if period.as_seconds() == 0 => return Err(ScheduleError::NoPeriod(*period)),
            Timing::Every { period } if *period > LONGEST => return Err(ScheduleError::PeriodTooLong(*period)),
            Timing::Every { period } if *period < Period::days(1) => Self::Elapsed(period.as_seconds()),
            Timing::Every { period } => Self::Counted(period.as_seconds()),
            Timing::Calendar { frequency, time, days } => {
                let days = Days::of(*frequency, days)?;
                let time = time.to_civil();
                let (hour, minute) = (u16::from(time.hour().unsigned_abs()), u16::from(time.minute().unsigned_abs()));
                let minutes = match frequency {
                    Hourly => (0..24).map(|hour| hour * 60 + minute).collect(),
                    _ => vec![hour * 60 + minute],
                };
                Self::Civil { days, minutes }
            }
            Timing::Cron { expression } => {
                let pattern = cron::parse(expression)?;
                let hours = (0..24u16).filter(|hour| pattern.hour_match(u32::from(*hour)).unwrap_or(false));
                let in_hour: Vec<u16> =
                    (0..60).filter(|minute| pattern.minute_match(u32::from(*minute)).unwrap_or(false)).collect();
                let minutes: Vec<u16> =
                    hours.flat_map(|hour| in_hour.iter().map(move |minute| hour * 60 + minute)).collect();
                let days = Days::of_cron(&pattern);
                if minutes.is_empty() || !days.exist() {
                    return Err(ScheduleError::NeverFires { rule: format!("cron expression {expression:?}") });
                }
                Self::Civil { days, minutes }
            }
        })
    }
}

/// The slots of a [`Calendar`] in a range, made as they are asked for.
#[derive(Debug, Clone)]
pub struct Slots<'a> {
    calendar: &'a Calendar,
    after: Instant,
    until: Instant,
    /// The day the last slot lies on: its neighbours need no search.
    day: Option<Day>,
}

impl Slots<'_> {
    fn advance(&mut self) -> Option<Instant> {
        let clocks = &self.calendar.clocks;
        if let Some(day) = &self.day
            && let Some(slot) = self.calendar.next_on(day, self.after)
        {
            return Some(slot);
        }
        let slot = self.calendar.next_after(self.after)?;
        // Only a day that has begun by then: at the end of a gap, a slot may belong to the day before.
        self.day = clocks.day(clocks.show(slot).date()).filter(|day| day.begin <= slot);
        Some(slot)
    }
}

impl Iterator for Slots<'_> {
    type Item = Instant;

    fn next(&mut self) -> Option<Instant> {
        let slot = self.advance().filter(|slot| *slot <= self.until);
        self.after = slot.unwrap_or(Instant::MAX);
        if slot.is_none() {
            self.until = Instant::MIN;
        }
        slot
    }
}

impl std::iter::FusedIterator for Slots<'_> {}

fn plus(instant: Instant, seconds: i64) -> Option<Instant> {
    instant.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// Returns the whole seconds since 1970, rounded down also before it.
fn whole_seconds(instant: Instant) -> i64 {
    instant.as_second() - i64::from(instant.subsec_nanosecond() < 0)
}

/// Returns the day's first slot after `instant`, at real distances of `period` from its begin.
fn elapsed_after(day: &Day, period: i64, instant: Instant) -> Option<Instant> {
    let turns = if instant < day.begin { 0 } else { (whole_seconds(instant) - whole_seconds(day.begin)) / period + 1 };
    plus(day.begin, turns * period).filter(|slot| day.end.is_none_or(|end| *slot < end))
}

/// Returns how many whole periods lie between the begin of 1970 and that of `date`, rounded down.
fn turns(date: Date, period: i64) -> i64 {
    date.to_datetime(Time::midnight()).duration_since(EPOCH).as_secs().div_euclid(period)
}

/// Returns the civil time so many periods after the begin of 1970.
fn turn_begin(turn: i64, period: i64) -> Option<DateTime> {
    EPOCH.checked_add(SignedDuration::from_secs(turn.checked_mul(period)?)).ok()
}
