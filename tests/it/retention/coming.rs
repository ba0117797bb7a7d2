//! Of when the backups must be that a verdict counts before they are taken.

use bkup::domain::{Between, Pick, RetentionRule, ZoneName};
use bkup::retention::{Floors, Point, Tenure, Terms, Tier, stands_between};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::history::{END, any_history, any_rule};
use super::{FLOORS, Row, at, rows};

/// Of when one backup that is reckoned as of `now` must be, for each of `rows`; none for what is kept.
fn standing(rows: &[Row], rule: &RetentionRule, now: &str) -> Vec<Option<Between>> {
    let coming = Row::of("coming", at(now));
    let points: Vec<Point<'_>> = rows.iter().chain([&coming]).map(Row::point).collect();
    let terms = Terms { rule, floors: FLOORS, tenure: Tenure::Lives, now: at(now) };
    let verdicts = terms.decide(&points);
    let stands = stands_between(&points, rows.len(), terms);
    stands.into_iter().zip(verdicts).map(|(between, verdict)| (!verdict.keep).then_some(between)).collect()
}

#[test]
fn the_newest_of_a_day_goes_only_for_another_one_of_that_day() {
    let rows = rows(&["2026-11-19T12:00:00Z", "2026-11-20T06:00:00Z", "2026-11-20T12:00:00Z"]);
    let rule = RetentionRule { daily: Some(2), pick: Pick::Last, ..RetentionRule::default() };
    let that_day = Between { from: Some(at("2026-11-20T00:00:00Z")), until: Some(at("2026-11-21T00:00:00Z")) };
    // The one of the morning goes in any case: another one of its day is newer.
    let expected = [None, Some(Between::default()), Some(that_day)];
    assert_eq!(standing(&rows, &rule, "2026-11-20T18:00:00Z"), expected);
    let berlin = RetentionRule { timezone: ZoneName::try_from("Europe/Berlin".to_owned()).unwrap(), ..rule };
    let there = Between { from: Some(at("2026-11-19T23:00:00Z")), until: Some(at("2026-11-20T23:00:00Z")) };
    assert_eq!(standing(&rows, &berlin, "2026-11-20T18:00:00Z")[2], Some(there));
}

#[test]
fn the_oldest_day_goes_only_for_a_new_one() {
    let rows = rows(&["2026-11-18T00:00:01Z", "2026-11-19T00:00:01Z"]);
    let rule = RetentionRule { daily: Some(2), ..RetentionRule::default() };
    // Taken a moment before midnight by the database's clock, it would be one more of the day before.
    let of_that_day = Between { from: Some(at("2026-11-20T00:00:00Z")), until: None };
    assert_eq!(standing(&rows, &rule, "2026-11-20T00:00:01Z"), [Some(of_that_day), None]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_verdict_stands_whenever_they_are_taken_in_that_time(
        history in any_history(), rule in any_rule(), min_keep in 0..5u32,
        // The end of the histories is a midnight, and begins a quarter.
        away in prop_oneof![-10i64..1, 0i64..3000, 0i64..600_000], before in prop_oneof![Just(0i64), 1i64..120],
    ) {
        let now = at(END) - SignedDuration::from_mins(before);
        let moment = now + SignedDuration::from_mins(away);
        let history: Vec<Row> = history.into_iter().filter(|row| row.at <= now).collect();
        let decide = |moment| {
            let coming = Row { verified: true, ..Row::of("coming", moment) };
            let points: Vec<Point<'_>> = history.iter().chain([&coming]).map(Row::point).collect();
            let terms = Terms {
                rule: &rule, floors: Floors { min_keep }, tenure: Tenure::Lives, now: now.max(moment),
            };
            (terms.decide(&points), stands_between(&points, history.len(), terms))
        };
        let (reckoned, stands) = decide(now);
        let (taken, _) = decide(moment);
        for ((reckoned, taken), between) in reckoned.iter().zip(&taken).zip(&stands).filter(|((r, _), _)| !r.keep) {
            prop_assert!(!between.has(moment) || !taken.keep, "{between:?}: {reckoned:?}, then {taken:?}");
        }
        for (index, between) in stands.iter().enumerate() {
            if let Some(until) = between.until {
                prop_assert!(until > now && decide(until).0[index].keep, "no reason to end at {until}");
            }
        }
    }

    #[test]
    fn a_bucket_begins_and_ends_where_its_neighbours_do(
        minutes in 0i64..30 * 366 * 24 * 60, seconds in prop_oneof![Just(0i64), -2i64..3],
        zone in proptest::sample::select(vec![
            "UTC", "Europe/Berlin", "America/St_Johns", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kolkata",
            "Pacific/Apia", "Africa/Casablanca", "America/Havana",
        ]),
    ) {
        let zone = TimeZone::get(zone).unwrap();
        let nanosecond = SignedDuration::from_nanos(1);
        let instant = at("2000-01-01T00:00:00Z") + SignedDuration::from_secs(minutes * 60 + seconds);
        // Beside changes of the clock, too.
        let change = zone.following(instant).next().map(|change| change.timestamp());
        for instant in [Some(instant), change, change.map(|c| c - nanosecond)].into_iter().flatten() {
            for tier in Tier::ALL {
                let bucket = tier.bucket(instant, &zone);
                let (begin, end) = (tier.begin(instant, &zone).unwrap(), tier.end(instant, &zone).unwrap());
                prop_assert!(begin <= instant && instant < end, "{begin} {instant} {end}");
                prop_assert_eq!(tier.bucket(begin, &zone), bucket);
                prop_assert_eq!(tier.bucket(end - nanosecond, &zone), bucket);
                prop_assert!(tier.bucket(begin - nanosecond, &zone) != bucket, "{bucket} began before {begin}");
                prop_assert!(tier.bucket(end, &zone) != bucket, "{bucket} ends after {end}");
                let middle = begin + (end.duration_since(begin) / 2);
                prop_assert_eq!(tier.bucket(middle, &zone), bucket);
            }
        }
    }
}
