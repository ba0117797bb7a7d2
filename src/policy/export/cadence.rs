//! How often jobs have to come, so that every slot of every schedule is met when it is due. Pure; it depends on the
//! policies alone and not on the day, so that the same policies give the same files.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Desired, Instant, Period, ZoneName};
use crate::schedule::Calendar;

/// More minutes than these are no list that anybody reads.
const MOST_MINUTES: usize = 12;
/// Slots looked at of each schedule: a year of hourly ones, every clock change of their zone among them.
const LOOKED_AT: usize = 9_000;

/// When jobs come, in the fields of cron.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct Cadence {
    /// The minutes of each hour at which there are slots, in UTC; empty: there are too many to say.
    minutes: BTreeSet<u32>,
    /// The zone that most schedules follow: for what is best done at night.
    pub(in crate::policy) zone: ZoneName,
    /// The shortest time for which a slot waits; absent where nothing comes by itself.
    pub(in crate::policy) patience: Option<Period>,
}

impl Cadence {
    /// The cadence of policies that are not there yet: once an hour.
    pub(in crate::policy) fn hourly(zone: ZoneName) -> Self {
        Self { minutes: BTreeSet::from([0]), zone, patience: Some(Period::hours(1)) }
    }

    pub(super) fn of(desired: &Desired) -> Self {
        // Any year has all minutes that any other has, but for a zone that moves by part of an hour.
        let begin: Instant = Instant::from_second(1_767_225_600).unwrap_or_default();
        let mut minutes = BTreeSet::new();
        let mut zones: BTreeMap<&ZoneName, usize> = BTreeMap::new();
        let mut patience: Option<Period> = None;
        for schedule in desired.schedules.values() {
            let Some(calendar) = Calendar::new(&schedule.when).ok().filter(|calendar| !calendar.is_never()) else {
                continue;
            };
            *zones.entry(&schedule.when.timezone).or_default() += 1;
            patience = Some(patience.map_or(schedule.start_within, |least| least.min(schedule.start_within)));
            let end = Period::days(366).after(begin);
            for slot in calendar.between(begin, end).take(LOOKED_AT) {
                minutes.insert(u32::try_from(slot.as_second().rem_euclid(3600) / 60).unwrap_or_default());
            }
        }
        if minutes.is_empty() {
            minutes.insert(0);
        }
        if minutes.len() > MOST_MINUTES {
            minutes.clear();
        }
        let zone = zones.into_iter().max_by_key(|(zone, count)| (*count, std::cmp::Reverse(*zone)));
        Self { minutes, zone: zone.map(|(zone, _)| zone.clone()).unwrap_or_default(), patience }
    }

    /// Returns the minutes as cron's first field, all of them later by some: `0,30`, `*/5`, `*`.
    pub(super) fn minute_field(&self, later: u32) -> String {
        let minutes: BTreeSet<u32> = self.minutes.iter().map(|minute| (minute + later) % 60).collect();
        if minutes.is_empty() {
            return "*".to_owned();
        }
        let step = 60 / u32::try_from(minutes.len()).unwrap_or(60);
        let regular = minutes.len() > 4 && minutes.iter().copied().eq((0..60).step_by(step as usize));
        if regular {
            return format!("*/{step}");
        }
        minutes.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
    }

    /// Returns whether GitHub, which starts scheduled runs late or not at all, is too slow a clock for some schedule.
    pub(super) fn is_impatient(&self) -> bool {
        self.patience.is_some_and(|patience| patience < Period::hours(1)) || self.minutes.len() != 1
    }
}
