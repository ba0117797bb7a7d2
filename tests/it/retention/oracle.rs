//! The published keep rules of restic and Borg, written from their documentation, on random histories.

use std::collections::BTreeSet;

use bkup::domain::{BackupId, Instant, Pick, RetentionRule, ZoneName};
use bkup::retention::{KeepReason, Tier};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::history::{END, any_history, any_rule};
use super::{FLOORS, Row, at, decided};

/// restic: `--keep-TIER n` keeps the most recent of each of the last n periods that have one; tiers are independent. The
/// oldest one is kept too by every tier that has not found n.
fn restic(rows: &[&Row], counts: &[(Tier, u32)], last: u32, zone: &TimeZone) -> BTreeSet<BackupId> {
    let mut kept: BTreeSet<BackupId> = rows.iter().take(last as usize).map(|row| row.id.clone()).collect();
    if (rows.len() as u32) < last {
        kept.extend(rows.last().map(|row| row.id.clone()));
    }
    for (tier, count) in counts {
        let mut left = *count;
        let mut before = None;
        for (index, row) in rows.iter().enumerate() {
            let period = period(*tier, row.at, zone);
            if left > 0 && (before.as_ref() != Some(&period) || index + 1 == rows.len()) {
                kept.insert(row.id.clone());
                before = Some(period);
                left -= 1;
            }
        }
    }
    kept
}

/// Borg: from fine to coarse, each rule keeps the last of each period, and one that a finer rule keeps does not count.
/// The oldest one is kept by a rule that has not found n.
fn borg(rows: &[&Row], counts: &[(Tier, u32)], zone: &TimeZone) -> BTreeSet<BackupId> {
    let mut kept = BTreeSet::new();
    for (tier, count) in counts {
        let mut found = 0;
        let mut before = None;
        for row in rows {
            let period = period(*tier, row.at, zone);
            if found < *count && before.as_ref() != Some(&period) {
                before = Some(period);
                found += u32::from(kept.insert(row.id.clone()));
            }
        }
        if found < *count {
            kept.extend(rows.last().map(|row| row.id.clone()));
        }
    }
    kept
}

/// A period as these tools write it: a formatted local time.
fn period(tier: Tier, instant: Instant, zone: &TimeZone) -> String {
    let format = match tier {
        Tier::Hourly => "%Y-%m-%d %H",
        Tier::Daily => "%Y-%m-%d",
        Tier::Weekly => "%G-%V",
        Tier::Monthly => "%Y-%m",
        Tier::Quarterly => "%Y-%Q",
        Tier::Yearly => "%Y",
    };
    instant.to_zoned(zone.clone()).strftime(format).to_string()
}

fn by_rules_alone(rows: &[Row], rule: &RetentionRule, now: Instant) -> BTreeSet<BackupId> {
    let of_rule = |reason: &KeepReason| matches!(reason, KeepReason::Last(_) | KeepReason::Bucket(_));
    let verdicts = decided(rows, rule, FLOORS, now);
    rows.iter().zip(verdicts).filter(|(_, v)| v.reasons.iter().any(of_rule)).map(|(row, _)| row.id.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_restic_but_for_its_extra_oldest(history in any_history(), rule in any_rule(), zone in proptest::sample::select(vec!["UTC", "Asia/Kolkata"])) {
        let now = at(END);
        let history: Vec<Row> = history.into_iter().filter(|row| row.eligible(now)).collect();
        let timezone = ZoneName::try_from(zone.to_owned()).unwrap();
        let zone = timezone.zone();
        let rule = RetentionRule { pick: Pick::Last, within: None, max_age: None, forever: false, quarterly: None, timezone, ..rule };
        let mut newest_first: Vec<&Row> = history.iter().collect();
        newest_first.sort_by_key(|row| std::cmp::Reverse((row.at, row.id.clone())));
        let counts = [(Tier::Hourly, rule.hourly), (Tier::Daily, rule.daily), (Tier::Weekly, rule.weekly), (Tier::Monthly, rule.monthly), (Tier::Yearly, rule.yearly)]
            .map(|(tier, count)| (tier, count.unwrap_or(0)));
        let mut theirs = restic(&newest_first, &counts, rule.last.unwrap_or(0), &zone);
        let mut ours = by_rules_alone(&history, &rule, now);
        if let Some(oldest) = newest_first.last() {
            // Only the oldest may differ, and only by being theirs.
            prop_assert!(!ours.contains(&oldest.id) || theirs.contains(&oldest.id));
            theirs.remove(&oldest.id);
            ours.remove(&oldest.id);
        }
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn agrees_with_borg_on_one_tier_and_keeps_a_part_of_its_on_many(history in any_history(), counts in proptest::array::uniform5(0..9u32), only in 0..5usize) {
        let now = at(END);
        let history: Vec<Row> = history.into_iter().filter(|row| row.eligible(now)).collect();
        let mut newest_first: Vec<&Row> = history.iter().collect();
        newest_first.sort_by_key(|row| std::cmp::Reverse((row.at, row.id.clone())));
        let rule = |counts: [u32; 5]| RetentionRule {
            hourly: Some(counts[0]), daily: Some(counts[1]), weekly: Some(counts[2]), monthly: Some(counts[3]), yearly: Some(counts[4]),
            pick: Pick::Last, ..RetentionRule::default()
        };
        let tiers = [Tier::Hourly, Tier::Daily, Tier::Weekly, Tier::Monthly, Tier::Yearly];
        let theirs = |counts: [u32; 5]| borg(&newest_first, &tiers.into_iter().zip(counts).collect::<Vec<_>>(), &TimeZone::UTC);
        prop_assert!(by_rules_alone(&history, &rule(counts), now).is_subset(&theirs(counts)));
        let mut one = [0; 5];
        one[only] = counts[only];
        let (mut ours, mut theirs) = (by_rules_alone(&history, &rule(one), now), theirs(one));
        if let Some(oldest) = newest_first.last() {
            prop_assert!(!ours.contains(&oldest.id) || theirs.contains(&oldest.id));
            theirs.remove(&oldest.id);
            ours.remove(&oldest.id);
        }
        prop_assert_eq!(ours, theirs);
    }
}
