//! The clock of a tenant that was offboarded: it begins then and not before, and takes nothing earlier than the rule.

use std::collections::BTreeSet;

use bkup::domain::{BackupId, Instant, Period, RetentionRule};
use bkup::retention::{Floors, KeepReason, Point, Tenure, Verdict, decide_in};
use jiff::SignedDuration;
use proptest::prelude::*;

use super::history::{END, any_history, any_rule};
use super::{FLOORS, Row, at, days, decided, kept_ids, rows};

fn judged(rows: &[Row], rule: &RetentionRule, floors: Floors, tenure: Tenure, now: Instant) -> Vec<Verdict> {
    let points: Vec<Point<'_>> = rows.iter().map(Row::point).collect();
    decide_in(&points, rule, floors, tenure, now)
}

fn stays(rows: &[Row], rule: &RetentionRule, floors: Floors, tenure: Tenure, now: Instant) -> BTreeSet<BackupId> {
    let verdicts = judged(rows, rule, floors, tenure, now);
    rows.iter().zip(verdicts).filter(|(_, verdict)| verdict.keep).map(|(row, _)| row.id.clone()).collect()
}

/// The reasons of each backup, in words; an empty list is a dropped one.
fn words(rows: &[Row], rule: &RetentionRule, ended: &str, now: &str) -> Vec<Vec<String>> {
    let verdicts = judged(rows, rule, FLOORS, Tenure::Ended(at(ended)), at(now));
    verdicts.iter().map(|verdict| verdict.reasons.iter().map(ToString::to_string).collect()).collect()
}

#[test]
fn a_window_is_counted_from_the_offboarding_and_not_from_the_backup() {
    let rows = rows(&["2026-01-01T02:00:00Z", "2026-02-20T02:00:00Z", "2026-02-27T02:00:00Z"]);
    let rule = RetentionRule { within: days(30), ..RetentionRule::default() };
    let ended = "2026-03-01T12:00:00Z";
    assert_eq!(
        words(&rows, &rule, ended, "2026-03-31T11:59:59Z"),
        [
            vec![],
            vec!["within 30d of its tenant's offboarding, until 2026-03-31".to_owned()],
            vec!["within 30d of its tenant's offboarding, until 2026-03-31".to_owned(), "floor: min_keep 1".to_owned()],
        ]
    );
    assert_eq!(
        words(&rows, &rule, ended, "2026-03-31T12:00:00Z"),
        [vec![], vec![], vec!["floor: min_keep 1".to_owned()]],
        "half-open, and the floor holds on"
    );
}

#[test]
fn a_count_of_days_or_months_becomes_a_length_of_time() {
    let rows = rows(&["2026-01-05T02:00:00Z", "2026-02-26T02:00:00Z", "2026-02-28T02:00:00Z"]);
    let rule = RetentionRule { daily: Some(2), monthly: Some(3), ..RetentionRule::default() };
    let ended = "2026-03-31T12:00:00Z";
    let kept = |now: &str| stays(&rows, &rule, FLOORS, Tenure::Ended(at(ended)), at(now)).len();
    assert_eq!(kept("2026-04-02T11:59:59Z"), 3);
    assert_eq!(
        words(&rows, &rule, ended, "2026-04-02T12:00:00Z"),
        [
            vec!["monthly 2026-01 when its tenant was offboarded, until 2026-06-30 12:00 UTC".to_owned()],
            vec!["monthly 2026-02 when its tenant was offboarded, until 2026-06-30 12:00 UTC".to_owned()],
            vec!["floor: min_keep 1".to_owned()],
        ]
    );
    assert_eq!(kept("2026-06-30T11:59:59Z"), 3);
    assert_eq!(kept("2026-06-30T12:00:00Z"), 1);
}

#[test]
fn an_age_limit_stays_counted_from_the_backup_and_what_names_no_length_stays() {
    let rows = rows(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-02-01T00:00:00Z"]);
    let ended = Tenure::Ended(at("2026-02-02T00:00:00Z"));
    let rule = RetentionRule { within: days(90), max_age: days(60), ..RetentionRule::default() };
    let dropped = stays(&rows, &rule, FLOORS, ended, at("2026-03-02T00:00:00Z"));
    assert!(!dropped.contains(&rows[0].id), "60 days old: erased in time");
    assert!(dropped.contains(&rows[1].id));
    for rule in [
        RetentionRule { last: Some(3), ..RetentionRule::default() },
        RetentionRule { forever: true, ..RetentionRule::default() },
    ] {
        assert_eq!(stays(&rows, &rule, FLOORS, ended, at("2096-01-01T00:00:00Z")).len(), 3);
    }
}

#[test]
fn the_end_of_the_calendar_is_no_fault() {
    let rows = rows(&["2026-01-01T00:00:00Z"]);
    let rule = RetentionRule { yearly: Some(u32::MAX), hourly: Some(u32::MAX), ..RetentionRule::default() };
    let verdicts = judged(&rows, &rule, FLOORS, Tenure::Ended(at("2026-02-01T00:00:00Z")), at("9999-01-01T00:00:00Z"));
    assert!(verdicts[0].reasons.iter().any(|reason| matches!(reason, KeepReason::BucketOffboarding { .. })));
}

/// What had been made of the tenant until `now` if it had lived on: a backup each hour.
fn lived_on(history: &[Row], ended: Instant, hours: i64) -> Vec<Row> {
    let more = (1..=hours).map(|hour| Row::of(&format!("later{hour:05}"), ended + SignedDuration::from_hours(hour)));
    history.iter().cloned().chain(more).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_clock_that_has_not_begun_changes_nothing(history in any_history(), rule in any_rule(), min_keep in 0..5u32, ahead in 1i64..100_000) {
        let (now, floors) = (at(END), Floors { min_keep });
        let later = Tenure::Ended(now + SignedDuration::from_secs(ahead));
        prop_assert_eq!(judged(&history, &rule, floors, later, now), decided(&history, &rule, floors, now));
        prop_assert_eq!(judged(&history, &rule, floors, Tenure::Lives, now), decided(&history, &rule, floors, now));
    }

    #[test]
    fn at_the_instant_it_begins_everything_stays_that_stayed_before(history in any_history(), rule in any_rule(), min_keep in 0..5u32) {
        let (now, floors) = (at(END), Floors { min_keep });
        prop_assert_eq!(stays(&history, &rule, floors, Tenure::Ended(now), now), kept_ids(&history, &rule, floors, now));
    }

    #[test]
    fn it_takes_nothing_that_the_rule_would_still_keep_if_the_tenant_lived(
        history in any_history(), rule in any_rule(), hours in 0i64..1000,
    ) {
        let ended = at(END);
        let now = ended + SignedDuration::from_hours(hours);
        let history: Vec<Row> = history.into_iter().filter(|row| row.at <= ended).collect();
        let kept = stays(&history, &rule, FLOORS, Tenure::Ended(ended), now);
        for id in kept_ids(&lived_on(&history, ended, hours), &rule, FLOORS, now) {
            prop_assert!(kept.contains(&id) || id.as_str().starts_with("later"), "{} is taken {} h after", id, hours);
        }
    }

    #[test]
    fn what_it_released_does_not_come_back(
        history in any_history(), rule in any_rule(), min_keep in 0..5u32, hours in 0i64..20_000, more in 0i64..20_000,
    ) {
        let (ended, floors) = (at(END), Floors { min_keep });
        let history: Vec<Row> = history.into_iter().filter(|row| row.at <= ended).collect();
        let kept = |hours: i64| {
            stays(&history, &rule, floors, Tenure::Ended(ended), ended + SignedDuration::from_hours(hours))
        };
        prop_assert!(kept(hours + more).is_subset(&kept(hours)));
    }

    #[test]
    fn a_later_begin_never_takes_more(history in any_history(), rule in any_rule(), hours in 0i64..3000, later in 0i64..3000) {
        let now = at(END);
        let history: Vec<Row> = history.into_iter().filter(|row| row.at <= now).collect();
        let rule = RetentionRule { hourly: None, daily: None, weekly: None, monthly: None, quarterly: None, yearly: None, ..rule };
        let newest = history.iter().map(|row| row.at).max().unwrap_or(now);
        let begin = |hours: i64| Tenure::Ended((now - SignedDuration::from_hours(hours)).max(newest));
        // What had left its window when the later clock began is gone in both worlds; the later one kept the rest longer.
        let early = stays(&history, &rule, FLOORS, begin(hours + later), now);
        let late = stays(&history, &rule, FLOORS, begin(hours), now);
        let window = rule.within.unwrap_or_default();
        let Tenure::Ended(begun) = begin(hours) else { unreachable!() };
        for row in history.iter().filter(|row| early.contains(&row.id)) {
            prop_assert!(late.contains(&row.id) || window.after(row.at) <= begun, "{}", row.id);
        }
    }

    #[test]
    fn floors_hold_on_after_it(history in any_history(), rule in any_rule(), min_keep in 0..5u32, hours in 0i64..100_000) {
        let ended = at(END);
        let now = ended + SignedDuration::from_hours(hours);
        let kept = stays(&history, &rule, Floors { min_keep }, Tenure::Ended(ended), now);
        let mut eligible: Vec<&Row> = history.iter().filter(|row| row.eligible(now)).collect();
        eligible.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        for row in eligible.iter().take(min_keep.max(1) as usize) {
            prop_assert!(kept.contains(&row.id), "one of the newest is gone");
        }
        for newest in [eligible.iter().find(|row| row.verified), eligible.iter().find(|row| row.drilled_at.is_some())] {
            prop_assert!(newest.is_none_or(|row| kept.contains(&row.id)), "the newest proven one is gone");
        }
    }

    #[test]
    fn nothing_more_goes_once_the_dropped_are_gone(history in any_history(), rule in any_rule(), min_keep in 0..5u32, hours in 0i64..20_000) {
        let (ended, floors) = (at(END), Floors { min_keep });
        let now = ended + SignedDuration::from_hours(hours);
        let kept = stays(&history, &rule, floors, Tenure::Ended(ended), now);
        let left: Vec<Row> = history.iter().filter(|row| kept.contains(&row.id)).cloned().collect();
        prop_assert_eq!(&stays(&left, &rule, floors, Tenure::Ended(ended), now), &kept);
    }

    #[test]
    fn where_nobody_could_look_either_way_of_counting_keeps(history in any_history(), rule in any_rule(), hours in 0i64..3000) {
        let ended = at(END);
        let now = ended + SignedDuration::from_hours(hours);
        let unsure = stays(&history, &rule, FLOORS, Tenure::Unsure(ended), now);
        let gone = stays(&history, &rule, FLOORS, Tenure::Ended(ended), now);
        let lives = kept_ids(&history, &rule, FLOORS, now);
        prop_assert_eq!(unsure, gone.union(&lives).cloned().collect::<BTreeSet<_>>());
    }

    #[test]
    fn says_when_time_alone_releases_and_holds_to_it(history in any_history(), rule in any_rule(), hours in 0i64..3000) {
        let ended = at(END);
        let now = ended + SignedDuration::from_hours(hours);
        let history: Vec<Row> = history.into_iter().filter(|row| row.at <= ended && !row.leased).collect();
        let tenure = Tenure::Ended(ended);
        for (row, verdict) in history.iter().zip(judged(&history, &rule, FLOORS, tenure, now)) {
            let Some(release) = verdict.release_at else { continue };
            prop_assert!(release > now);
            let before = release - SignedDuration::from_secs(1);
            prop_assert!(before < now || stays(&history, &rule, FLOORS, tenure, before).contains(&row.id));
            prop_assert!(!stays(&history, &rule, FLOORS, tenure, release.max(Period::days(1).after(release))).contains(&row.id)
                || row.locked_until.is_some());
        }
    }
}
