//! Slots whose time of day a clock change swallows, repeats, or lays on another slot. Pure.
//!
//! Only rules that name a time of day have such slots: `every: 7h` counts real time.

use jiff::civil::DateTime;

use super::calendar::Rule;
use super::shifts::Shifts;
use super::worst::until_all_pairs;
use super::years::{CYCLE_SECONDS, DAY, date_of, day_of};
use super::{Calendar, Losses};
use crate::domain::Instant;

/// What a clock change does to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnomalyKind {
    /// Clocks skip the time: the slot comes at the end of the gap.
    Swallowed,
    /// Clocks skip the time, and at the end of the gap another slot comes: the two are one.
    Merged,
    /// Clocks show the time twice: the slot comes at the first.
    Repeated,
}

/// A slot that a clock change moves or makes ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomaly {
    /// What happens.
    pub kind: AnomalyKind,
    /// What the rule says.
    pub civil: DateTime,
    /// When the slot comes.
    pub slot: Instant,
    /// When clocks show the time again, for a time that comes twice.
    pub again: Option<Instant>,
}

/// Returns the next slot of each kind, from `from` on, in the order of the kinds; a kind that never happens is left out.
#[must_use]
pub fn anomalies(calendar: &Calendar, from: Instant) -> Vec<Anomaly> {
    Losses::new(from).anomalies(calendar)
}

/// Returns the next anomaly of each kind.
pub(super) fn next_of_each(rule: &Rule, shifts: &Shifts, from: i64) -> Vec<Anomaly> {
    let mut found: Vec<Anomaly> = Vec::new();
    // Whether a change meets a day of the rule is given by the kind of its year; turns of `every: 36h` are not.
    let horizon =
        if matches!(rule, Rule::Counted(_)) { from + CYCLE_SECONDS } else { until_all_pairs(from, &[shifts]) };
    for shift in shifts.between(from, horizon) {
        let (low, high) = (shift.at + shift.before.min(shift.after), shift.at + shift.before.max(shift.after));
        let Some(civil) = first_civil(rule, low).filter(|civil| *civil < high) else { continue };
        let (kind, slot, again) = if shift.after < shift.before {
            (AnomalyKind::Repeated, civil - shift.before, Some(civil - shift.after))
        } else if first_civil(rule, civil + 1).is_some_and(|next| next <= high) {
            (AnomalyKind::Merged, shift.at, None)
        } else {
            (AnomalyKind::Swallowed, shift.at, None)
        };
        let instant = |second| Instant::from_second(second).ok();
        if let (Some(civil), Some(slot), false) =
            (instant(civil), instant(slot), found.iter().any(|known| known.kind == kind))
        {
            let civil = jiff::tz::TimeZone::UTC.to_datetime(civil);
            found.push(Anomaly { kind, civil, slot, again: again.and_then(instant) });
        }
        if found.len() == 3 {
            break;
        }
    }
    found.sort_by_key(|anomaly| anomaly.kind);
    found
}

/// Returns the first civil second at or after one that the rule names.
fn first_civil(rule: &Rule, civil: i64) -> Option<i64> {
    match rule {
        Rule::Never | Rule::Elapsed(_) => None,
        Rule::Counted(period) => Some((civil + period - 1).div_euclid(*period) * period),
        Rule::Civil { days, minutes } => {
            let (day, minute) = (civil.div_euclid(DAY), (civil.rem_euclid(DAY) + 59) / 60);
            let today = date_of(day)?;
            let first = minutes.partition_point(|m| i64::from(*m) < minute);
            if days.has(today)
                && let Some(minute) = minutes.get(first)
            {
                return Some(day * DAY + i64::from(*minute) * 60);
            }
            let date = days.first_from(today.tomorrow().ok()?)?;
            Some(day_of(date) * DAY + i64::from(*minutes.first()?) * 60)
        }
    }
}
