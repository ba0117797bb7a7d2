//! Suite: retention. The rules one by one, their properties on random histories, and the published rules of restic and
//! Borg as oracles.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bkup::domain::{BackupId, Instant, Move, Period, Pick, RetentionRule, ZoneName};
use bkup::retention::{
    Bucket, DropReason, Floors, KeepReason, Link, Point, PurgeState, Tier, Verdict, caused_by_change, closure, decide,
    describe, leaf_first, purge_state, shared_verdicts,
};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use proptest::prelude::*;

const FLOORS: Floors = Floors { min_keep: 1 };

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn id(text: &str) -> BackupId {
    BackupId::from_text(text.to_owned())
}

fn days(days: i64) -> Option<Period> {
    Some(Period::days(days))
}

/// A backup that owns its id.
#[derive(Debug, Clone)]
struct Row {
    id: BackupId,
    at: Instant,
    verified: bool,
    drilled_at: Option<Instant>,
    quarantined: bool,
    protected: bool,
    locked_until: Option<Instant>,
    leased: bool,
    tombstoned_at: Option<Instant>,
}

impl Row {
    fn new(text: &str) -> Self {
        Self::of(text, at(text))
    }

    fn of(name: &str, at: Instant) -> Self {
        let id = id(name);
        let point = Point::new(&id, at);
        let Point { verified, drilled_at, quarantined, protected, locked_until, leased, tombstoned_at, .. } = point;
        Self { verified, drilled_at, quarantined, protected, locked_until, leased, tombstoned_at, at, id: id.clone() }
    }

    fn point(&self) -> Point<'_> {
        let Self { ref id, at, verified, drilled_at, quarantined, protected, locked_until, leased, tombstoned_at } =
            *self;
        Point { id, at, verified, drilled_at, quarantined, protected, locked_until, leased, tombstoned_at }
    }

    fn eligible(&self, now: Instant) -> bool {
        !self.quarantined && self.tombstoned_at.is_none() && self.at <= now
    }
}

fn decided(rows: &[Row], rule: &RetentionRule, floors: Floors, now: Instant) -> Vec<Verdict> {
    let points: Vec<Point<'_>> = rows.iter().map(Row::point).collect();
    decide(&points, rule, floors, now)
}

fn kept_ids(rows: &[Row], rule: &RetentionRule, floors: Floors, now: Instant) -> BTreeSet<BackupId> {
    let verdicts = decided(rows, rule, floors, now);
    rows.iter().zip(verdicts).filter(|(_, verdict)| verdict.keep).map(|(row, _)| row.id.clone()).collect()
}

/// The reasons of each backup, in words; an empty list is a dropped one.
fn words(rows: &[Row], rule: &RetentionRule, now: &str) -> Vec<Vec<String>> {
    decided(rows, rule, FLOORS, at(now))
        .iter()
        .map(|verdict| verdict.reasons.iter().map(ToString::to_string).collect())
        .collect()
}

fn rows(instants: &[&str]) -> Vec<Row> {
    instants.iter().map(|text| Row::new(text)).collect()
}

#[test]
fn keeps_the_first_of_each_bucket_and_the_newest_as_floor() {
    let rows = rows(&[
        "2026-11-18T02:00:00Z",
        "2026-11-19T02:00:00Z",
        "2026-11-19T14:00:00Z",
        "2026-11-20T02:00:00Z",
        "2026-11-20T14:00:00Z",
    ]);
    let rule = RetentionRule { daily: Some(2), ..RetentionRule::default() };
    assert_eq!(
        words(&rows, &rule, "2026-11-21T00:00:00Z"),
        [
            vec![],
            vec!["daily 2026-11-19".to_owned()],
            vec![],
            vec!["daily 2026-11-20".to_owned()],
            vec!["floor: min_keep 1".to_owned()]
        ]
    );
}

#[test]
fn keeps_the_last_of_each_bucket_when_asked() {
    let rows = rows(&["2026-11-19T02:00:00Z", "2026-11-19T14:00:00Z", "2026-11-20T02:00:00Z", "2026-11-20T14:00:00Z"]);
    let rule = RetentionRule { daily: Some(2), pick: Pick::Last, ..RetentionRule::default() };
    let kept = kept_ids(&rows, &rule, FLOORS, at("2026-11-21T00:00:00Z"));
    assert_eq!(kept, [rows[1].id.clone(), rows[3].id.clone()].into());
}

#[test]
fn counts_buckets_that_have_a_backup_so_that_an_outage_eats_no_history() {
    let rows = rows(&["2024-03-01T02:00:00Z", "2024-03-02T02:00:00Z", "2026-11-19T02:00:00Z"]);
    let rule = RetentionRule { daily: Some(3), ..RetentionRule::default() };
    assert_eq!(kept_ids(&rows, &rule, FLOORS, at("2026-11-20T00:00:00Z")).len(), 3);
}

#[test]
fn promotes_the_second_of_the_month_when_the_first_failed() {
    let rows = rows(&["2026-10-02T02:00:00Z", "2026-10-03T02:00:00Z", "2026-11-01T02:00:00Z"]);
    let rule = RetentionRule { monthly: Some(12), ..RetentionRule::default() };
    assert_eq!(words(&rows, &rule, "2026-11-02T00:00:00Z")[0], ["monthly 2026-10"]);
}

#[test]
fn carries_every_reason_of_every_part() {
    let rows = [Row {
        verified: true,
        drilled_at: Some(at("2026-11-20T12:00:00Z")),
        protected: true,
        leased: true,
        locked_until: Some(at("2026-12-01T00:00:00Z")),
        ..Row::new("2026-11-20T02:00:00Z")
    }];
    let rule = RetentionRule {
        last: Some(3),
        hourly: Some(1),
        daily: Some(1),
        weekly: Some(1),
        monthly: Some(1),
        quarterly: Some(1),
        yearly: Some(1),
        within: days(30),
        forever: true,
        timezone: ZoneName::try_from("Asia/Seoul".to_owned()).unwrap(),
        ..RetentionRule::default()
    };
    assert_eq!(
        words(&rows, &rule, "2026-11-21T00:00:00Z")[0],
        [
            "last 3",
            "forever",
            "within 30d until 2026-12-20",
            "hourly 2026-11-20T11+09",
            "daily 2026-11-20",
            "weekly 2026-W47",
            "monthly 2026-11",
            "quarterly 2026-Q4",
            "yearly 2026",
            "floor: min_keep 1",
            "floor: newest verified",
            "floor: newest drilled",
            "protected",
            "leased",
            "locked until 2026-12-01T00:00:00Z",
        ]
    );
}

#[test]
fn reads_days_in_the_zone_of_the_rule() {
    let rows = rows(&["2026-11-19T14:30:00Z", "2026-11-19T15:30:00Z"]);
    let utc = RetentionRule { daily: Some(9), ..RetentionRule::default() };
    let seoul = RetentionRule { timezone: ZoneName::try_from("Asia/Seoul".to_owned()).unwrap(), ..utc.clone() };
    let now = "2026-11-21T00:00:00Z";
    assert_eq!(words(&rows, &utc, now)[1], ["floor: min_keep 1"]);
    assert_eq!(words(&rows, &seoul, now)[1], ["daily 2026-11-20", "floor: min_keep 1"]);
}

#[test]
fn lets_max_age_win_over_everything_but_floors_locks_and_pins() {
    let mut rows = rows(&[
        "2025-01-01T00:00:00Z",
        "2025-01-02T00:00:00Z",
        "2025-01-03T00:00:00Z",
        "2025-01-04T00:00:00Z",
        "2025-01-05T00:00:00Z",
        "2026-01-01T00:00:00Z",
    ]);
    rows[1].protected = true;
    rows[2].locked_until = Some(at("2027-01-01T00:00:00Z"));
    rows[3].leased = true;
    rows[4].verified = true;
    let rule =
        RetentionRule { forever: true, last: Some(9), yearly: Some(9), max_age: days(100), ..RetentionRule::default() };
    let verdicts = decided(&rows, &rule, FLOORS, at("2026-02-01T00:00:00Z"));
    assert_eq!(verdicts[0].dropped, Some(DropReason::TooOld));
    assert_eq!(verdicts[1].reasons, [KeepReason::Protected]);
    assert_eq!(verdicts[2].reasons, [KeepReason::Locked(at("2027-01-01T00:00:00Z"))]);
    assert_eq!(verdicts[3].reasons, [KeepReason::Leased]);
    assert_eq!(verdicts[4].reasons, [KeepReason::NewestVerified]);
    assert!(verdicts[5].reasons.contains(&KeepReason::Forever));
}

#[test]
fn keeps_the_floors_when_everything_is_too_old() {
    let rows = rows(&["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z", "2020-01-03T00:00:00Z"]);
    let rule = RetentionRule { within: days(1), max_age: days(2), ..RetentionRule::default() };
    let now = at("2026-01-01T00:00:00Z");
    assert_eq!(kept_ids(&rows, &rule, Floors { min_keep: 2 }, now).len(), 2);
    assert_eq!(kept_ids(&rows, &rule, Floors { min_keep: 0 }, now), [rows[2].id.clone()].into(), "0 counts as 1");
}

#[test]
fn never_drops_a_quarantined_backup_and_lets_it_evict_nothing() {
    let clean = rows(&["2026-11-18T02:00:00Z", "2026-11-19T02:00:00Z"]);
    let mut all = clean.clone();
    all.extend(["2026-11-19T01:00:00Z", "2026-11-20T02:00:00Z", "2020-01-01T00:00:00Z"].map(|text| Row {
        quarantined: true,
        verified: true,
        drilled_at: Some(at(text)),
        ..Row::new(text)
    }));
    let rule = RetentionRule { daily: Some(2), max_age: days(900), ..RetentionRule::default() };
    let now = at("2026-11-21T00:00:00Z");
    let verdicts = decided(&all, &rule, FLOORS, now);
    assert_eq!(verdicts[..2], decided(&clean, &rule, FLOORS, now));
    for verdict in &verdicts[2..] {
        assert_eq!(verdict.reasons, [KeepReason::Quarantined]);
        assert_eq!(verdict.release_at, None);
    }
}

#[test]
fn leaves_a_tombstoned_backup_tombstoned_and_out_of_the_count() {
    let mut rows = rows(&["2026-11-18T02:00:00Z", "2026-11-19T02:00:00Z", "2026-11-20T02:00:00Z"]);
    rows[2].tombstoned_at = Some(at("2026-11-20T12:00:00Z"));
    rows[2].verified = true;
    let rule = RetentionRule { last: Some(2), forever: true, ..RetentionRule::default() };
    let verdicts = decided(&rows, &rule, FLOORS, at("2026-11-21T00:00:00Z"));
    assert_eq!(verdicts[2].dropped, Some(DropReason::Tombstoned));
    assert!(verdicts[0].reasons.contains(&KeepReason::Last(2)));
    assert!(verdicts[1].reasons.contains(&KeepReason::MinKeep(1)));
}

#[test]
fn keeps_a_backup_from_the_future_without_counting_it() {
    let rows = rows(&["2026-11-19T02:00:00Z", "2099-01-01T00:00:00Z"]);
    let rule = RetentionRule { last: Some(1), ..RetentionRule::default() };
    let verdicts = decided(&rows, &rule, FLOORS, at("2026-11-21T00:00:00Z"));
    assert_eq!(verdicts[0].reasons, [KeepReason::Last(1), KeepReason::MinKeep(1)]);
    assert_eq!(verdicts[1].reasons, [KeepReason::FromTheFuture]);
}

#[test]
fn releases_at_the_end_of_the_window_and_not_before() {
    let rows = rows(&["2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"]);
    let rule = RetentionRule { within: days(30), ..RetentionRule::default() };
    let end = at("2026-10-31T00:00:00Z");
    let before = decided(&rows, &rule, FLOORS, end - SignedDuration::from_secs(1));
    assert_eq!((before[0].keep, before[0].release_at), (true, None), "the other is from the future: this is the floor");
    let now = at("2026-11-01T00:00:00Z");
    let longer = RetentionRule { within: days(40), ..rule.clone() };
    let verdict = &decided(&rows, &longer, FLOORS, now)[0];
    assert_eq!(verdict.release_at, Some(at("2026-11-10T00:00:00Z")));
    let release = verdict.release_at.unwrap();
    assert!(decided(&rows, &longer, FLOORS, release - SignedDuration::from_secs(1))[0].keep);
    assert_eq!(decided(&rows, &longer, FLOORS, release)[0].dropped, Some(DropReason::RetentionOver));
}

#[test]
fn says_when_time_releases_a_backup_only_where_time_alone_does() {
    let begin = at("2026-10-01T00:00:00Z");
    let lock = at("2026-12-24T00:00:00Z");
    let release = |rule: RetentionRule, change: fn(&mut Row)| {
        let mut all = rows(&["2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z"]);
        change(&mut all[0]);
        decided(&all, &rule, FLOORS, at("2026-10-03T00:00:00Z"))[0].release_at
    };
    let within = RetentionRule { within: days(30), ..RetentionRule::default() };
    let aged = RetentionRule { max_age: days(20), ..within.clone() };
    let counted = RetentionRule { daily: Some(9), ..within.clone() };
    let counted_aged = RetentionRule { daily: Some(9), ..aged.clone() };
    assert_eq!(release(within.clone(), |_| ()), Some(Period::days(30).after(begin)));
    assert_eq!(release(aged.clone(), |_| ()), Some(Period::days(20).after(begin)));
    assert_eq!(release(counted.clone(), |_| ()), None, "buckets go when newer ones come");
    assert_eq!(release(counted_aged, |_| ()), Some(Period::days(20).after(begin)));
    assert_eq!(release(within.clone(), |row| row.locked_until = Some(at("2026-12-24T00:00:00Z"))), Some(lock));
    assert_eq!(release(counted, |row| row.locked_until = Some(at("2026-12-24T00:00:00Z"))), None);
    assert_eq!(release(within.clone(), |row| row.protected = true), None);
    assert_eq!(release(within, |row| row.verified = true), None, "the newest verified one waits for a newer");
}

#[test]
fn waits_for_the_grace_and_for_what_holds_before_a_purge() {
    let mut row = Row::new("2026-10-01T00:00:00Z");
    let grace = Period::days(7);
    let now = at("2026-10-20T00:00:00Z");
    assert_eq!(purge_state(&row.point(), grace, now), PurgeState::NotTombstoned);
    row.tombstoned_at = Some(at("2026-10-14T00:00:00Z"));
    assert_eq!(purge_state(&row.point(), grace, now), PurgeState::InGrace { until: at("2026-10-21T00:00:00Z") });
    assert_eq!(purge_state(&row.point(), grace, at("2026-10-21T00:00:00Z")), PurgeState::Due);
    row.leased = true;
    row.locked_until = Some(at("2026-10-23T00:00:00Z"));
    assert_eq!(
        purge_state(&row.point(), grace, at("2026-10-22T00:00:00Z")),
        PurgeState::Held(vec![KeepReason::Leased, KeepReason::Locked(at("2026-10-23T00:00:00Z"))])
    );
    row.leased = false;
    assert_eq!(purge_state(&row.point(), grace, at("2026-10-23T00:00:00Z")), PurgeState::Due);
}

#[test]
fn keeps_a_shared_archive_exactly_as_long_as_a_backup_that_holds_names_it() {
    let (acme, beta, gamma) = (id("acme"), id("beta"), id("gamma"));
    let (old, new, loose) = (id("shared-1"), id("shared-2"), id("shared-3"));
    let links = [
        Link { id: &acme, needs: vec![&old], holds: true },
        Link { id: &beta, needs: vec![&new], holds: false },
        Link { id: &gamma, needs: vec![&old], holds: true },
        Link { id: &old, needs: vec![], holds: false },
        Link { id: &new, needs: vec![], holds: false },
        Link { id: &loose, needs: vec![], holds: false },
    ];
    let closed = closure(&links);
    assert_eq!(closed.needed, [(&old, &acme)].into());
    assert!(closed.missing.is_empty());
    let instant = at("2026-01-01T00:00:00Z");
    let shared = [
        Point::new(&old, instant),
        Point::new(&new, instant),
        Point { protected: true, ..Point::new(&loose, instant) },
    ];
    let verdicts = shared_verdicts(&shared, &closed.needed, at("2026-06-01T00:00:00Z"));
    assert_eq!(verdicts[0].reasons, [KeepReason::NeededBy(acme.clone())]);
    assert_eq!(verdicts[1].dropped, Some(DropReason::RetentionOver));
    assert_eq!(verdicts[2].reasons, [KeepReason::Protected]);
}

#[test]
fn follows_needs_through_chains_and_names_those_that_are_missing() {
    let (full, middle, leaf, gone) = (id("full"), id("middle"), id("leaf"), id("gone"));
    let links = [
        Link { id: &full, needs: vec![&gone], holds: false },
        Link { id: &middle, needs: vec![&full], holds: false },
        Link { id: &leaf, needs: vec![&middle], holds: true },
    ];
    let closed = closure(&links);
    assert_eq!(closed.needed, [(&middle, &leaf), (&full, &middle), (&gone, &full)].into());
    assert_eq!(closed.missing, [(&full, &gone)]);
    assert_eq!(leaf_first(&links), [2, 1, 0]);
}

#[test]
fn ends_where_needs_go_in_a_circle() {
    let (a, b, c) = (id("a"), id("b"), id("c"));
    let links = [
        Link { id: &a, needs: vec![&b], holds: true },
        Link { id: &b, needs: vec![&a], holds: false },
        Link { id: &c, needs: vec![&a], holds: false },
    ];
    assert_eq!(closure(&links).needed, [(&b, &a), (&a, &b)].into());
    assert_eq!(leaf_first(&links), [2, 0, 1]);
}

#[test]
fn blames_a_change_for_what_it_drops_and_time_for_the_rest() {
    let mut all = rows(&[
        "2026-11-01T00:00:00Z",
        "2026-11-17T00:00:00Z",
        "2026-11-18T00:00:00Z",
        "2026-11-19T00:00:00Z",
        "2026-11-20T00:00:00Z",
    ]);
    all[2].tombstoned_at = Some(at("2026-11-20T00:00:00Z"));
    let points: Vec<Point<'_>> = all.iter().map(Row::point).collect();
    let old = RetentionRule { within: days(10), ..RetentionRule::default() };
    let new = RetentionRule { within: days(3), ..RetentionRule::default() };
    let now = at("2026-11-21T00:00:00Z");
    assert_eq!(caused_by_change(&points, (&old, FLOORS), (&new, FLOORS), now), [1], "0 is old under both rules");
    assert!(caused_by_change(&points, (&new, FLOORS), (&old, FLOORS), now).is_empty());
    let more = Floors { min_keep: 4 };
    assert_eq!(caused_by_change(&points, (&new, more), (&new, FLOORS), now), [0, 1], "lower floors are a change too");
}

#[test]
fn says_a_rule_in_words() {
    let seoul = ZoneName::try_from("Asia/Seoul".to_owned()).unwrap();
    let gfs = RetentionRule {
        daily: Some(7),
        weekly: Some(4),
        monthly: Some(12),
        yearly: Some(5),
        timezone: seoul.clone(),
        ..RetentionRule::default()
    };
    assert_eq!(describe(&gfs), "7 daily, 4 weekly, 12 monthly, 5 yearly, Asia/Seoul");
    assert_eq!(
        describe(&RetentionRule { pick: Pick::Last, ..gfs }),
        "7 daily, 4 weekly, 12 monthly, 5 yearly, the last of each, Asia/Seoul"
    );
    assert_eq!(
        describe(&RetentionRule { within: days(90), max_age: days(400), timezone: seoul, ..RetentionRule::default() }),
        "within 90d, nothing older than 400d"
    );
    let cold = Move { after: Period::days(30), to: "deep_archive".to_owned() };
    assert_eq!(
        describe(&RetentionRule { forever: true, moves: vec![cold], ..RetentionRule::default() }),
        "forever, deep_archive after 30d"
    );
    assert_eq!(describe(&RetentionRule { daily: Some(0), ..RetentionRule::default() }), "nothing but the floors");
}

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
    let words = words(&rows, &rule, "2010-11-08T00:00:00Z");
    assert_eq!(words[0], ["daily 2010-11-06"]);
    assert_eq!(words[1], ["daily 2010-11-07"]);
    assert!(words[2].is_empty());
}

const END: &str = "2026-07-01T00:00:00Z";

fn any_row(index: usize) -> impl Strategy<Value = Row> {
    // Half of the history is dense, so that buckets have several, and a few lie after now.
    let minutes_ago = prop_oneof![-300i64..30 * 1440, -300i64..2000 * 1440];
    let rare = || proptest::bool::weighted(0.08);
    (minutes_ago, any::<bool>(), rare(), rare(), rare(), proptest::option::weighted(0.1, -60i64..90), rare(), rare())
        .prop_map(move |(ago, verified, drilled, quarantined, protected, lock, leased, tombstoned)| {
            let now = at(END);
            let instant = now - SignedDuration::from_mins(ago);
            Row {
                id: id(&format!("b{index:03}")),
                at: instant,
                verified,
                drilled_at: drilled.then_some(now),
                quarantined,
                protected,
                locked_until: lock.map(|days| now + SignedDuration::from_hours(24 * days)),
                leased,
                tombstoned_at: tombstoned.then_some(now),
            }
        })
}

fn any_history() -> impl Strategy<Value = Vec<Row>> {
    (0..70usize).prop_flat_map(|count| (0..count).map(any_row).collect::<Vec<_>>())
}

fn any_rule() -> impl Strategy<Value = RetentionRule> {
    let count = || proptest::option::weighted(0.4, 0..9u32);
    let zones = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Pacific/Apia"];
    (
        (count(), count(), count(), count(), count(), count(), count()),
        proptest::option::weighted(0.3, 0..60i64),
        proptest::option::weighted(0.3, 1..900i64),
        proptest::bool::weighted(0.1),
        any::<bool>(),
        proptest::sample::select(zones.to_vec()),
    )
        .prop_map(
            |((last, hourly, daily, weekly, monthly, quarterly, yearly), within, max_age, forever, first, zone)| {
                RetentionRule {
                    last,
                    hourly,
                    daily,
                    weekly,
                    monthly,
                    quarterly,
                    yearly,
                    within: within.map(Period::days),
                    max_age: max_age.map(Period::days),
                    forever,
                    pick: if first { Pick::First } else { Pick::Last },
                    timezone: ZoneName::try_from(zone.to_owned()).unwrap(),
                    moves: Vec::new(),
                }
            },
        )
}

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
