//! What holds for every history and every rule.

use bkup::domain::{BackupId, Instant, Period, Pick, RetentionRule, ZoneName};
use bkup::retention::{Bucket, Floors, KeepReason, Link, Point, Tier, caused_by_change, closure, leaf_first};
use jiff::SignedDuration;
use proptest::prelude::*;

use super::history::{END, any_history, any_row, any_rule};
use super::{FLOORS, Row, at, decided, id, kept_ids};

fn raised(rule: &RetentionRule, which: usize, by: u32) -> RetentionRule {
    let mut rule = rule.clone();
    let counts = [
        &mut rule.last,
        &mut rule.hourly,
        &mut rule.daily,
        &mut rule.weekly,
        &mut rule.monthly,
        &mut rule.quarterly,
        &mut rule.yearly,
    ];
    let longer = |period: Period| Period::seconds(period.as_seconds() + i64::from(by) * 100_000);
    match which {
        0..=6 => *counts[which] = Some(counts[which].unwrap_or(0) + by),
        7 => rule.within = Some(longer(rule.within.unwrap_or_default())),
        _ => rule.max_age = rule.max_age.map(longer),
    }
    rule
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decides_the_same_in_any_order(history in any_history(), rule in any_rule(), min_keep in 0..5u32, seed in any::<u64>()) {
        let now = at(END);
        let floors = Floors { min_keep };
        let verdicts = decided(&history, &rule, floors, now);
        prop_assert_eq!(&verdicts, &decided(&history, &rule, floors, now));
        let mut order: Vec<usize> = (0..history.len()).collect();
        order.sort_by_key(|index| (*index as u64 + 1).wrapping_mul(seed | 1).rotate_left(31));
        let shuffled: Vec<Row> = order.iter().map(|index| history[*index].clone()).collect();
        for (verdict, index) in decided(&shuffled, &rule, floors, now).iter().zip(order) {
            prop_assert_eq!(verdict, &verdicts[index]);
        }
    }

    #[test]
    fn says_why_in_every_verdict(history in any_history(), rule in any_rule(), min_keep in 0..5u32) {
        for verdict in decided(&history, &rule, Floors { min_keep }, at(END)) {
            prop_assert_eq!(verdict.keep, !verdict.reasons.is_empty());
            prop_assert_eq!(verdict.keep, verdict.dropped.is_none());
            prop_assert!(verdict.release_at.is_none_or(|release| verdict.keep && release > at(END)));
        }
    }

    #[test]
    fn drops_nothing_more_once_the_dropped_are_gone(history in any_history(), rule in any_rule(), min_keep in 0..5u32) {
        let now = at(END);
        let floors = Floors { min_keep };
        let kept = kept_ids(&history, &rule, floors, now);
        let left: Vec<Row> = history.iter().filter(|row| kept.contains(&row.id)).cloned().collect();
        prop_assert_eq!(&kept_ids(&left, &rule, floors, now), &kept);
        let marked: Vec<Row> = history.iter().cloned().map(|row| {
            let tombstoned_at = if kept.contains(&row.id) { row.tombstoned_at } else { Some(now) };
            Row { tombstoned_at, ..row }
        }).collect();
        prop_assert_eq!(&kept_ids(&marked, &rule, floors, now), &kept);
    }

    #[test]
    fn brings_no_dropped_one_back_for_a_newer_one(history in any_history(), rule in any_rule(), newer in any_row(999), min_keep in 0..5u32) {
        let now = at(END);
        let floors = Floors { min_keep };
        let kept = kept_ids(&history, &rule, floors, now);
        let newest = history.iter().map(|row| row.at).max().unwrap_or(now);
        let newer = Row { at: newest.min(now) + SignedDuration::from_mins(1), ..newer };
        prop_assume!(newer.at > newest);
        let mut grown = history.clone();
        grown.push(newer.clone());
        let later = now.max(newer.at);
        let mut kept_later = kept_ids(&grown, &rule, floors, later);
        kept_later.remove(&newer.id);
        prop_assert!(kept_later.is_subset(&kept), "{:?} came back", kept_later.difference(&kept).collect::<Vec<_>>());
    }

    #[test]
    fn deletes_no_more_when_a_number_is_raised(history in any_history(), rule in any_rule(), which in 0..10usize, by in 1..9u32, min_keep in 0..5u32) {
        let now = at(END);
        let kept = kept_ids(&history, &rule, Floors { min_keep }, now);
        let (more, floors) = if which == 9 { (rule.clone(), min_keep + by) } else { (raised(&rule, which, by), min_keep) };
        let kept_more = kept_ids(&history, &more, Floors { min_keep: floors }, now);
        prop_assert!(kept.is_subset(&kept_more), "{:?} went", kept.difference(&kept_more).collect::<Vec<_>>());
        let points: Vec<Point<'_>> = history.iter().map(Row::point).collect();
        let caused = caused_by_change(&points, (&rule, Floors { min_keep }), (&more, Floors { min_keep: floors }), now);
        prop_assert!(caused.is_empty());
    }

    #[test]
    fn changes_nothing_while_no_window_ends(history in any_history(), rule in any_rule(), minutes in 1..2000i64) {
        let now = at(END);
        let later = now + SignedDuration::from_mins(minutes);
        let ends = |row: &Row| {
            let edges = [rule.within.map(|p| p.after(row.at)), rule.max_age.map(|p| p.after(row.at)), row.locked_until, Some(row.at)];
            edges.into_iter().flatten().any(|edge| now < edge && edge <= later)
        };
        let calm: Vec<Row> = history.into_iter().filter(|row| !ends(row)).collect();
        prop_assert_eq!(decided(&calm, &rule, FLOORS, now), decided(&calm, &rule, FLOORS, later));
    }

    #[test]
    fn keeps_what_it_said_until_time_releases_it(history in any_history(), rule in any_rule()) {
        let now = at(END);
        // One from the future becomes a newer backup on the way, and that is not time alone.
        let history: Vec<Row> = history.into_iter().filter(|row| row.at <= now).collect();
        for (index, verdict) in decided(&history, &rule, FLOORS, now).iter().enumerate() {
            if let Some(release) = verdict.release_at {
                prop_assert!(decided(&history, &rule, FLOORS, release - SignedDuration::from_secs(1))[index].keep);
                let after = &decided(&history, &rule, FLOORS, release)[index];
                let by_floor = |r: &KeepReason| matches!(r, KeepReason::MinKeep(_) | KeepReason::NewestVerified | KeepReason::NewestDrilled);
                prop_assert!(!after.keep || after.reasons.iter().all(|r| by_floor(r) || matches!(r, KeepReason::Bucket(_) | KeepReason::Last(_))), "{:?}", after);
            }
        }
    }

    #[test]
    fn holds_every_floor_for_every_input(history in any_history(), rule in any_rule(), min_keep in 0..5u32) {
        let now = at(END);
        let kept = kept_ids(&history, &rule, Floors { min_keep }, now);
        let mut eligible: Vec<&Row> = history.iter().filter(|row| row.eligible(now)).collect();
        eligible.sort_by_key(|row| std::cmp::Reverse((row.at, row.id.clone())));
        let mut floors: Vec<&Row> = eligible.iter().take(min_keep.max(1) as usize).copied().collect();
        floors.extend(eligible.iter().find(|row| row.verified));
        floors.extend(eligible.iter().find(|row| row.drilled_at.is_some()));
        floors.extend(history.iter().filter(|row| {
            row.quarantined || row.protected || row.leased || row.at > now || row.locked_until.is_some_and(|until| until > now)
        }));
        for row in floors {
            prop_assert!(kept.contains(&row.id), "{row:?}");
        }
    }

    #[test]
    fn is_not_moved_by_quarantined_ones(history in any_history(), rule in any_rule()) {
        let now = at(END);
        let clean: Vec<Row> = history.iter().filter(|row| !row.quarantined).cloned().collect();
        let kept = kept_ids(&history, &rule, FLOORS, now);
        let without = kept_ids(&clean, &rule, FLOORS, now);
        prop_assert!(without.iter().all(|id| kept.contains(id)));
        prop_assert!(kept.iter().all(|id| without.contains(id) || history.iter().any(|row| row.id == *id && row.quarantined)));
    }

    #[test]
    fn covers_every_bucket_that_had_a_success_while_pruning_day_by_day(
        fails in proptest::collection::vec(proptest::bool::weighted(0.25), 60..1100),
        pick in prop_oneof![Just(Pick::First), Just(Pick::Last)],
        zone in proptest::sample::select(vec!["UTC", "Asia/Seoul", "America/Sao_Paulo"]),
    ) {
        let counts = [(Tier::Daily, 7), (Tier::Weekly, 4), (Tier::Monthly, 12), (Tier::Yearly, 5)];
        let timezone = ZoneName::try_from(zone.to_owned()).unwrap();
        let rules = timezone.zone();
        let rule = RetentionRule { daily: Some(7), weekly: Some(4), monthly: Some(12), yearly: Some(5), pick, timezone, ..RetentionRule::default() };
        let mut history: Vec<Instant> = Vec::new();
        let mut stored: Vec<Row> = Vec::new();
        for (day, _) in fails.iter().enumerate().filter(|(_, failed)| !**failed) {
            // One and a half days apart: eleven hundred of them are four years and more.
            let now = at("2017-11-20T05:00:00Z") + SignedDuration::from_hours(36 * day as i64);
            history.push(now);
            stored.push(Row::of(&format!("b{day:05}"), now));
            let kept = kept_ids(&stored, &rule, FLOORS, now);
            stored.retain(|row| kept.contains(&row.id));
        }
        prop_assert!(stored.len() <= 7 + 4 + 12 + 5 + 1);
        for (tier, count) in counts {
            let mut wanted: Vec<Bucket> = history.iter().rev().map(|instant| tier.bucket(*instant, &rules)).collect();
            wanted.dedup();
            wanted.truncate(count);
            for bucket in wanted {
                prop_assert!(stored.iter().any(|row| tier.bucket(row.at, &rules) == bucket), "nothing left of {bucket}");
            }
        }
    }

    #[test]
    fn deletes_whatever_needs_a_backup_before_it(parents in proptest::collection::vec(proptest::option::of(0..40usize), 1..40), holds in proptest::collection::vec(any::<bool>(), 40)) {
        let ids: Vec<BackupId> = (0..parents.len()).map(|index| id(&format!("b{:03}", index * 7919 % 1000))).collect();
        let links: Vec<Link<'_>> = parents.iter().enumerate().map(|(index, parent)| {
            let needs = parent.filter(|parent| *parent < index).map(|parent| &ids[parent]).into_iter().collect();
            Link { id: &ids[index], needs, holds: holds[index] }
        }).collect();
        let order = leaf_first(&links);
        let place = |index: usize| order.iter().position(|other| *other == index).unwrap();
        let closed = closure(&links);
        prop_assert!(closed.missing.is_empty());
        for (index, parent) in parents.iter().enumerate() {
            let Some(parent) = parent.filter(|parent| *parent < index) else { continue };
            prop_assert!(place(index) < place(parent));
            if holds[index] || closed.needed.contains_key(&ids[index]) {
                prop_assert!(closed.needed.contains_key(&ids[parent]));
            }
        }
        for needed in closed.needed.keys() {
            let index = ids.iter().position(|id| id == *needed).unwrap();
            let mut dependents = parents.iter().enumerate().filter(|(child, parent)| **parent == Some(index) && index < *child);
            prop_assert!(dependents.any(|(child, _)| holds[child] || closed.needed.contains_key(&ids[child])));
        }
    }
}
