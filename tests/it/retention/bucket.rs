//! Buckets on calendars that misbehave: clock changes, weeks across the new year, a day that never was.

use std::collections::{BTreeMap, HashSet};

use bkup::domain::{RetentionRule, ZoneName};
use bkup::retention::{Bucket, Tier};
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::{at, rows, words};

fn bucket(tier: Tier, instant: &str, zone: &str) -> String {
    tier.bucket(at(instant), &TimeZone::get(zone).unwrap()).to_string()
}

#[test]
fn knows_iso_weeks_that_span_the_new_year() {
    for (instant, week) in [
        ("2020-12-31T12:00:00Z", "weekly 2020-W53"),
        ("2021-01-03T12:00:00Z", "weekly 2020-W53"),
        ("2021-01-04T12:00:00Z", "weekly 2021-W01"),
        ("2025-12-28T12:00:00Z", "weekly 2025-W52"),
        ("2025-12-29T12:00:00Z", "weekly 2026-W01"),
        ("2026-01-04T12:00:00Z", "weekly 2026-W01"),
        ("2026-12-31T12:00:00Z", "weekly 2026-W53"),
        ("2027-01-03T12:00:00Z", "weekly 2026-W53"),
    ] {
        assert_eq!(bucket(Tier::Weekly, instant, "UTC"), week, "{instant}");
    }
}

#[test]
fn keeps_week_one_and_january_apart() {
    let rows = rows(&[
        "2025-12-15T02:00:00Z",
        "2025-12-22T02:00:00Z",
        "2025-12-29T02:00:00Z",
        "2026-01-01T02:00:00Z",
        "2026-01-05T02:00:00Z",
    ]);
    let rule = RetentionRule { weekly: Some(4), monthly: Some(2), ..RetentionRule::default() };
    let words = words(&rows, &rule, "2026-01-06T00:00:00Z");
    assert_eq!(words[2], ["weekly 2026-W01"]);
    assert_eq!(words[3], ["monthly 2026-01"]);
    assert_eq!(words.iter().flatten().filter(|word| word.starts_with("weekly")).count(), 4);
}

#[test]
fn makes_two_hours_of_the_one_that_comes_twice_and_no_bucket_of_a_day_that_never_was() {
    assert_eq!(bucket(Tier::Hourly, "2026-10-25T00:30:00Z", "Europe/Berlin"), "hourly 2026-10-25T02+02");
    assert_eq!(bucket(Tier::Hourly, "2026-10-25T01:30:00Z", "Europe/Berlin"), "hourly 2026-10-25T02+01");
    assert_eq!(bucket(Tier::Daily, "2011-12-30T09:59:00Z", "Pacific/Apia"), "daily 2011-12-29");
    assert_eq!(bucket(Tier::Daily, "2011-12-30T10:00:00Z", "Pacific/Apia"), "daily 2011-12-31");
}

#[test]
fn puts_each_instant_into_one_bucket_of_each_tier_and_tiers_into_each_other() {
    for (zone, begin, end) in [
        ("Europe/Berlin", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"),
        ("Europe/Berlin", "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-03T00:00:00Z", "2026-04-06T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-02T00:00:00Z", "2026-10-05T00:00:00Z"),
        ("America/Sao_Paulo", "2018-11-03T00:00:00Z", "2018-11-06T00:00:00Z"),
        ("America/Sao_Paulo", "2018-02-17T00:00:00Z", "2018-02-20T00:00:00Z"),
        ("America/St_Johns", "2010-11-06T00:00:00Z", "2010-11-09T00:00:00Z"),
        ("Pacific/Apia", "2011-12-28T00:00:00Z", "2012-01-02T00:00:00Z"),
        ("Africa/Casablanca", "2026-02-14T00:00:00Z", "2026-02-17T00:00:00Z"),
        ("Asia/Kolkata", "2020-12-27T00:00:00Z", "2021-01-05T00:00:00Z"),
    ] {
        let zone_rules = TimeZone::get(zone).unwrap();
        let mut sizes: BTreeMap<Bucket, u32> = BTreeMap::new();
        let mut parents: BTreeMap<(Bucket, Tier), HashSet<Bucket>> = BTreeMap::new();
        let mut now = at(begin);
        while now < at(end) {
            let civil = zone_rules.to_datetime(now);
            let keys = Tier::ALL.map(|tier| tier.bucket(now, &zone_rules));
            assert_eq!(keys[1], Bucket::Day(civil.date()), "{zone} {now}");
            for (tier, key) in Tier::ALL.into_iter().zip(keys) {
                *sizes.entry(key).or_default() += 1;
                assert_eq!(tier.bucket(now + SignedDuration::from_nanos(1), &zone_rules), key, "{zone} {now}");
            }
            // Hour in day; day in week, month, quarter and year; month in quarter; quarter in year.
            for (child, parent) in [(0, 1), (1, 2), (1, 3), (3, 4), (4, 5)] {
                parents.entry((keys[child], Tier::ALL[parent])).or_default().insert(keys[parent]);
            }
            now += SignedDuration::from_mins(1);
        }
        assert!(parents.values().all(|parents| parents.len() == 1), "{zone}");
        for (key, minutes) in sizes {
            match key {
                Bucket::Hour { .. } => assert!(minutes <= 60, "{zone} {key}: {minutes}"),
                Bucket::Day(_) => assert!(minutes <= 25 * 60, "{zone} {key}: {minutes}"),
                _ => {}
            }
        }
    }
}

#[test]
fn counts_a_day_once_that_comes_back_after_midnight_came_twice() {
    // St. John's, 7 November 2010: at 00:01 the clocks went back to 23:01 of the 6th.
    let rows = rows(&["2010-11-07T02:00:00Z", "2010-11-07T02:30:30Z", "2010-11-07T02:45:00Z", "2010-11-07T04:00:00Z"]);
    let zone = "America/St_Johns";
    let days: Vec<String> = rows.iter().map(|row| bucket(Tier::Daily, &row.at.to_string(), zone)).collect();
    assert_eq!(days, ["daily 2010-11-06", "daily 2010-11-07", "daily 2010-11-06", "daily 2010-11-07"]);
    let rule = RetentionRule {
        daily: Some(2),
        timezone: ZoneName::try_from(zone.to_owned()).unwrap(),
        ..RetentionRule::default()
    };
    let words = self::words(&rows, &rule, "2010-11-08T00:00:00Z");
    assert_eq!(words[0], ["daily 2010-11-06"]);
    assert_eq!(words[1], ["daily 2010-11-07"]);
    assert!(words[2].is_empty());
    // A full tier still learns that the day it keeps began before the other came back.
    let one = self::words(&rows, &RetentionRule { daily: Some(1), ..rule }, "2010-11-08T00:00:00Z");
    assert_eq!(one[1], ["daily 2010-11-07"]);
}
