//! How far back the backups of a schedule reach under a retention rule: the least at any moment, and the most. Pure.
//!
//! # What is computed
//! A tier keeps one backup of each of its newest N buckets that have one, so the oldest is youngest at the moment at
//! which the first backup of a new bucket arrives: as old as the distance from the backup kept for a bucket to the first
//! one of the (N - 1)th bucket after it. It is oldest just before the first one of the Nth after it arrives. Both are
//! found by looking at runs of buckets from `from` on: 400 days, 60 weeks, 48 months, 20 quarters, 8 years, so every
//! clock change, month and leap day of some years is among them. `last: N` is the same with each slot a bucket of its
//! own; `within: W` keeps at least `W` less one gap, and at most `W`. Every slot is taken to have its backup.

use jiff::civil::{Date, Weekday};

use crate::domain::{Instant, Period, Pick, RetentionRule};
use crate::retention::Tier;
use crate::schedule::{Calendar, Losses, Walk, ZoneDays};

/// How far back backups reach; absent: without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// At any moment there is a backup at least this old, once the schedule has run that long.
    pub least: Option<Period>,
    /// Nothing that a rule keeps is ever older than this.
    pub most: Option<Period>,
}

/// Returns how far back the backups of a calendar reach under a rule and the floor of `min_keep`.
pub(super) fn reach(
    calendar: &Calendar,
    rule: &RetentionRule,
    min_keep: u32,
    losses: &mut Losses,
    from: Instant,
) -> Reach {
    let gap = losses.largest_gap(calendar).map_or(0, |gap| gap.length().as_seconds());
    let bound = rule.max_age.map(Period::as_seconds);
    if rule.forever && bound.is_none() {
        return Reach { least: None, most: None };
    }
    let (walk, days, from) = (losses.walk(calendar), losses.days_of(&rule.timezone.zone()), from.as_second());
    let (mut least, mut most) = (0, 0);
    if rule.forever {
        (least, most) = (i64::MAX, i64::MAX);
    }
    if let Some(within) = rule.within.map(Period::as_seconds) {
        (least, most) = (least.max((within - gap).max(0)), most.max(within));
    }
    // What surely reaches less far than another part has nothing to say; the coarsest tier mostly outdoes the others.
    let mut take = |furthest: i64, run: &dyn Fn() -> Option<(i64, i64)>| {
        if furthest > least
            && let Some((shortest, longest)) = run()
        {
            (least, most) = (least.max(shortest), most.max(longest));
        }
    };
    for (tier, count) in tiers(rule).rev() {
        let furthest = run_length(count).saturating_mul(longest_of(tier).saturating_add(gap));
        take(furthest, &|| run_of(&mut buckets(&walk, &days, tier, rule.pick, from), count));
    }
    if let Some(count) = rule.last.filter(|count| *count > 0) {
        take(run_length(count).saturating_mul(gap), &|| run_of(&mut each_slot(&walk, from), count));
    }
    if let Some(bound) = bound {
        (least, most) = (least.min((bound - gap).max(0)), most.min(bound));
    }
    if run_length(min_keep).saturating_mul(gap) > least {
        least = least.max(run_of(&mut each_slot(&walk, from), min_keep).map_or(0, |(least, _)| least));
    }
    Reach { least: Some(Period::seconds(least)), most: Some(Period::seconds(most)) }
}

/// Returns how long a backup surely stays that no tier but the finest takes; absent: for good.
pub(super) fn shortest_life(
    calendar: &Calendar,
    rule: &RetentionRule,
    losses: &mut Losses,
    from: Instant,
) -> Option<Period> {
    if rule.forever {
        return rule.max_age;
    }
    let (walk, days, from) = (losses.walk(calendar), losses.days_of(&rule.timezone.zone()), from.as_second());
    let within = rule.within.map_or(0, Period::as_seconds);
    let last = rule.last.and_then(|count| run_of(&mut each_slot(&walk, from), count)).map_or(0, |(_, most)| most);
    let finest = tiers(rule).next().and_then(|(tier, count)| {
        let life = run_of(&mut buckets(&walk, &days, tier, rule.pick, from), count)?.1;
        // Where several backups share a bucket, all but one leave it as soon as the next one comes.
        let shared = buckets(&walk, &days, tier, rule.pick, from).take(60).any(|bucket| bucket.first != bucket.last);
        Some(if shared { 0 } else { life })
    });
    let life = within.max(last).max(finest.unwrap_or_default());
    Some(Period::seconds(rule.max_age.map_or(life, |bound| life.min(bound.as_seconds()))))
}

/// Returns the tiers of a rule that keep anything, finest first.
fn tiers(rule: &RetentionRule) -> impl DoubleEndedIterator<Item = (Tier, u32)> {
    let counts = [rule.hourly, rule.daily, rule.weekly, rule.monthly, rule.quarterly, rule.yearly];
    Tier::ALL.into_iter().zip(counts).filter_map(|(tier, count)| Some((tier, count.filter(|count| *count > 0)?)))
}

/// A bucket that has slots, in seconds: the first one, the last one, and the one that stands for it.
struct Filled {
    first: i64,
    last: i64,
    kept: i64,
}

/// Every slot as a bucket of its own.
fn each_slot(walk: &Walk, from: i64) -> impl Iterator<Item = Filled> {
    let mut at = from;
    std::iter::from_fn(move || {
        at = walk.next_after(at)?;
        Some(Filled { first: at, last: at, kept: at })
    })
}

/// The buckets of a tier that have slots, in the order of time, as far as they are looked at.
fn buckets(walk: &Walk, days: &ZoneDays, tier: Tier, pick: Pick, from: i64) -> impl Iterator<Item = Filled> {
    // The bucket that holds `from` is there in part only.
    let mut begin = end_of(tier, from, days);
    std::iter::from_fn(move || {
        let first = walk.next_after(begin? - 1)?;
        let end = end_of(tier, first, days)?;
        begin = Some(end);
        let last = walk.last_at_or_before(end - 1)?;
        Some(Filled { first, last, kept: if pick == Pick::First { first } else { last } })
    })
}

/// How many runs of buckets are looked at: enough for each clock change, month and leap day of some years.
const RUNS: usize = 400;
/// The longest run; what reaches further than this reaches further than anybody asks.
const LONGEST_RUN: u32 = 4000;

fn run_length(count: u32) -> i64 {
    i64::from(count.clamp(1, LONGEST_RUN))
}

/// Returns the shortest and the longest that a run of so many buckets reaches back, in seconds.
fn run_of(filled: &mut impl Iterator<Item = Filled>, count: u32) -> Option<(i64, i64)> {
    let count = usize::try_from(count.clamp(1, LONGEST_RUN)).ok()?;
    let first = filled.next()?;
    // Years need no 400 of them: nothing about them changes after eight.
    let second = filled.next()?;
    let apart = (second.first - first.first).max(1);
    let years = |years: i64| usize::try_from(years * 366 * 86_400 / apart).unwrap_or(RUNS);
    let runs = RUNS.min(years(8).max(8));
    let all: Vec<Filled> = [first, second].into_iter().chain(filled.take(count + runs)).collect();
    let age = |from: usize, to: usize| Some(all.get(to)?.first - all.get(from)?.kept);
    let runs = all.len().saturating_sub(count);
    let least = (0..runs).filter_map(|at| age(at, at + count - 1)).min()?;
    let most = (0..runs).filter_map(|at| age(at, at + count)).max()?;
    Some((least.max(0), most.max(0)))
}

/// Returns how long a bucket of a tier is at most, in seconds, with a day and more to spare for clock changes.
fn longest_of(tier: Tier) -> i64 {
    let days = match tier {
        Tier::Hourly | Tier::Daily => 3,
        Tier::Weekly => 9,
        Tier::Monthly => 33,
        Tier::Quarterly => 94,
        Tier::Yearly => 368,
    };
    days * 86_400
}

/// Returns when the bucket of a tier that holds a second ends, in seconds.
fn end_of(tier: Tier, second: i64, days: &ZoneDays) -> Option<i64> {
    let day = days.date(second)?;
    let next = match tier {
        Tier::Hourly => return Some(days.end_of_hour(second)),
        Tier::Daily => day.tomorrow(),
        Tier::Weekly => day.nth_weekday(1, Weekday::Monday),
        Tier::Monthly => day.last_of_month().tomorrow(),
        Tier::Quarterly => {
            let last = Date::new(day.year(), (day.month() - 1) / 3 * 3 + 3, 1).ok()?;
            last.last_of_month().tomorrow()
        }
        Tier::Yearly => day.last_of_year().tomorrow(),
    };
    // Where midnight comes twice, a day can come back after its end.
    Some(days.begin_of(next.ok()?).max(second + 1))
}

#[cfg(test)]
mod tests {
    use super::{reach, shortest_life};
    use crate::domain::{BackupId, Instant, Period, RetentionRule, Timing, When, ZoneName};
    use crate::retention::{Floors, Point, decide};
    use crate::schedule::{Calendar, Losses};
    use proptest::prelude::*;

    fn calendar(expression: &str, zone: &str) -> Calendar {
        let timezone = ZoneName::try_from(zone.to_owned()).unwrap();
        Calendar::new(&When { timing: Timing::Cron { expression: expression.to_owned() }, timezone }).unwrap()
    }

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_reaches_as_far_as_its_longest_part() {
        let from = at("2026-01-15T00:00:00Z");
        for (cron, rule, least, most) in [
            ("0 2 * * *", RetentionRule { daily: Some(7), ..RetentionRule::default() }, 6 * 24, 7 * 24),
            ("0 2 * * *", RetentionRule { last: Some(3), ..RetentionRule::default() }, 48, 72),
            ("0 2 * * *", RetentionRule { within: Some(Period::days(30)), ..RetentionRule::default() }, 29 * 24, 720),
            ("0 2 * * sun", RetentionRule { daily: Some(2), ..RetentionRule::default() }, 7 * 24, 14 * 24),
            ("0 2 * * *", RetentionRule { monthly: Some(2), ..RetentionRule::default() }, 28 * 24, 62 * 24),
        ] {
            let found = reach(&calendar(cron, "UTC"), &rule, 1, &mut Losses::new(from), from);
            assert_eq!(found.least, Some(Period::hours(least)), "{cron} {rule:?}");
            assert_eq!(found.most, Some(Period::hours(most)), "{cron} {rule:?}");
        }
        let nightly = calendar("0 2 * * *", "UTC");
        let life = |rule: RetentionRule| shortest_life(&nightly, &rule, &mut Losses::new(from), from).unwrap();
        assert_eq!(
            life(RetentionRule { daily: Some(7), monthly: Some(12), ..RetentionRule::default() }),
            Period::days(7)
        );
        assert_eq!(life(RetentionRule { monthly: Some(12), ..RetentionRule::default() }), Period::days(0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_retention_keeps_is_never_younger_than_the_least_nor_older_than_the_most(
            daily in 0_u32..9, weekly in 0_u32..5, monthly in 0_u32..4, last in 0_u32..5, within in 0_i64..20,
            min_keep in 1_u32..4, cron in prop::sample::select(vec!["0 2 * * *", "30 */6 * * *", "15 2 * * mon,thu"]),
            day in 0_i64..700,
        ) {
            let some = |count: u32| (count > 0).then_some(count);
            let rule = RetentionRule {
                daily: some(daily), weekly: some(weekly), monthly: some(monthly), last: some(last),
                within: (within > 0).then(|| Period::days(within)), ..RetentionRule::default()
            };
            prop_assume!(!rule.keeps_nothing());
            let begin = at("2026-01-15T00:00:00Z");
            let calendar = calendar(cron, "Europe/Berlin");
            let found = reach(&calendar, &rule, min_keep, &mut Losses::new(begin), begin);
            // The history is long enough for the longest part to be full.
            let now = Period::days(200 + day).after(begin);
            let slots: Vec<Instant> = calendar.between(begin, now).collect();
            let ids: Vec<BackupId> = slots.iter().map(|slot| BackupId::from_text(slot.to_string())).collect();
            let points: Vec<Point<'_>> = ids.iter().zip(&slots).map(|(id, slot)| Point::new(id, *slot)).collect();
            let verdicts = decide(&points, &rule, Floors { min_keep }, now);
            let kept = verdicts.iter().zip(&slots).filter(|(verdict, _)| verdict.keep).map(|(_, slot)| *slot).min();
            let age = Period::between(kept.unwrap(), now);
            prop_assert!(found.least.unwrap() <= age, "{found:?} {age} {rule:?}");
            let floor = Period::days(i64::from(min_keep + 1) * 4);
            prop_assert!(found.most.unwrap().max(floor) >= age, "{found:?} {age} {rule:?}");
        }
    }
}
