//! What a retention rule means: in words, and in numbers for each schedule that uses it. Pure.

use crate::domain::{
    Address, BackupId, BackupType, Guards, Instant, Name, Period, Pick, RetentionRule, ScheduleSpec, Section, Use,
};
use crate::policy::set::PolicySet;
use crate::retention::{Floors, Point, decide};
use crate::schedule::Calendar;

use super::{Description, topic, words};

/// How many slots are laid out to count what a rule keeps, at most.
const MOST_POINTS: usize = 100_000;

/// Describes a rule.
pub(super) fn describe(set: &PolicySet, name: &Name, rule: &RetentionRule, now: Instant) -> Description {
    let users: Vec<(&Name, &ScheduleSpec)> = set
        .schedules
        .iter()
        .filter(|(_, thing)| thing.spec.retention_name.as_ref() == Some(name))
        .map(|(name, thing)| (name, &thing.spec))
        .collect();
    let count = match users.len() {
        0 => "No schedule uses it.".to_owned(),
        n => format!("{} {} it.", words::counted(n, "schedule"), if n == 1 { "uses" } else { "use" }),
    };
    let mut figures = Vec::new();
    for (schedule, spec) in &users {
        figures.extend(steady(set, spec, now).into_iter().map(|line| format!("schedule.{schedule}: {line}")));
    }
    let used_by = users
        .iter()
        .map(|(schedule, spec)| Use {
            address: Address::of(Section::Schedule, (*schedule).clone()),
            words: words::when(&spec.when),
        })
        .collect();
    Description {
        summary: format!("Keeps {}. {count}", crate::retention::describe(rule)),
        topics: vec![topic("What stays", stays(rule)), topic("How much that is", figures)],
        used_by,
        ..Description::default()
    }
}

/// Says each part of a rule.
fn stays(rule: &RetentionRule) -> Vec<String> {
    let mut lines = Vec::new();
    if rule.forever {
        lines.push("every backup, always".to_owned());
    }
    if let Some(last) = rule.last.filter(|count| *count > 0) {
        lines.push(format!("the newest {last}"));
    }
    if let Some(within) = rule.within.filter(|within| within.as_seconds() > 0) {
        lines.push(format!("every backup younger than {within}"));
    }
    let pick = if rule.pick == Pick::First { "first" } else { "last" };
    let tiers = [
        (rule.hourly, "hour"),
        (rule.daily, "day"),
        (rule.weekly, "ISO week"),
        (rule.monthly, "month"),
        (rule.quarterly, "quarter"),
        (rule.yearly, "year"),
    ];
    for (count, unit) in tiers {
        match count {
            Some(0) | None => {}
            Some(1) => {
                lines.push(format!("the {pick} backup of the newest {unit} that has one, {} time", rule.timezone))
            }
            Some(count) => lines.push(format!(
                "the {pick} backup of each of the newest {count} {unit}s that have one, {} time",
                rule.timezone
            )),
        }
    }
    if lines.len() > 1 {
        lines.push("what any of these keeps stays".to_owned());
    }
    if let Some(age) = rule.max_age {
        lines.push(format!("nothing older than {age}, whatever the other parts say"));
    }
    for step in &rule.moves {
        lines.push(format!("after {} it moves to the storage class {}", step.after, step.to));
    }
    lines
}

/// Counts what a schedule's rule keeps once it has run long enough, if every slot had its backup; by laying the slots
/// out and asking retention itself. `None` where there are no slots, or more than anybody would wait for.
pub(super) fn steady(set: &PolicySet, spec: &ScheduleSpec, now: Instant) -> Option<String> {
    let rule = &spec.retention;
    if rule.forever && rule.max_age.is_none() {
        return Some("the number of backups grows without end".to_owned());
    }
    let calendar = Calendar::new(&spec.when).ok()?;
    let min_keep = set.guards.as_ref().map_or_else(|| Guards::default().min_keep, |thing| thing.spec.min_keep);
    let begin = reach(rule).before(now).min(nth_back(&calendar, rule.last.unwrap_or(0).max(min_keep), now));
    let slots: Vec<Instant> = calendar.between(begin, now).take(MOST_POINTS + 1).collect();
    if slots.len() > MOST_POINTS || slots.is_empty() {
        return None;
    }
    let ids: Vec<BackupId> = (0..slots.len()).map(|index| BackupId::from_text(format!("{index:06}"))).collect();
    let points: Vec<Point<'_>> = ids.iter().zip(&slots).map(|(id, at)| Point::new(id, *at)).collect();
    let verdicts = decide(&points, rule, Floors { min_keep }, now);
    let kept: Vec<Instant> =
        verdicts.iter().zip(&slots).filter(|(verdict, _)| verdict.keep).map(|(_, at)| *at).collect();
    let oldest = kept.iter().min()?;
    let scope = match spec.backup {
        BackupType::TenantData => " for each tenant",
        _ if spec.databases.len() > 1 => " for each database",
        _ => "",
    };
    Some(format!(
        "after long enough, {}{scope}; the oldest is {} old",
        words::counted(kept.len(), "backup"),
        words::spoken(Period::between(*oldest, now))
    ))
}

/// Returns how far back a rule can reach by the calendar; generous, since buckets without a backup do not count.
fn reach(rule: &RetentionRule) -> Period {
    let tiers = [
        (rule.hourly, 3600),
        (rule.daily, 86_400),
        (rule.weekly, 7 * 86_400),
        (rule.monthly, 31 * 86_400),
        (rule.quarterly, 92 * 86_400),
        (rule.yearly, 366 * 86_400),
    ];
    let tiers = tiers.into_iter().filter_map(|(count, unit)| Some(i64::from(count?) * unit));
    let longest = tiers.chain(rule.within.map(Period::as_seconds)).max().unwrap_or(0);
    Period::seconds(longest.saturating_mul(2).min(120 * 366 * 86_400))
}

/// Returns the instant before the slot that lies so many slots back.
fn nth_back(calendar: &Calendar, count: u32, now: Instant) -> Instant {
    let mut at = now;
    for _ in 0..count.min(10_000) {
        match calendar.last_at_or_before(at) {
            Some(slot) => at = Period::seconds(1).before(slot),
            None => break,
        }
    }
    at
}
