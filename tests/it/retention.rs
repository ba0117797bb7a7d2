//! Suite: retention. The rules one by one, their properties on random histories, and the published rules of restic and
//! Borg as oracles.
#![expect(clippy::unwrap_used, reason = "a helper of a test panics like the test itself")]

mod bucket;
mod coming;
mod history;
mod oracle;
mod properties;
mod tenure;

use std::collections::BTreeSet;

use bkup::domain::{
    Backup, BackupId, BackupType, Bytes, Instant, Move, Name, Period, Pick, RetentionRule, Scope, Verification,
    ZoneName,
};
use bkup::retention::{
    DropReason, Floors, KeepReason, Link, Point, PurgeState, Verdict, caused_by_change, closure, decide, describe,
    leaf_first, partition, purge_state, shared_verdicts,
};
use jiff::SignedDuration;

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
        Point {
            verified,
            drilled_at,
            quarantined,
            protected,
            locked_until,
            leased,
            tombstoned_at,
            ..Point::new(id, at)
        }
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

fn backup(name: &str, schedule: &str, scope: Scope, verification: Verification) -> Backup {
    let name_of = |text: &str| text.parse::<Name>().unwrap();
    Backup {
        id: id(name),
        database: Some(name_of("clinicx")),
        filed_under: None,
        scope,
        backup_type: BackupType::TenantData,
        schedule: name_of(schedule),
        slot: at("2026-01-01T02:00:00Z"),
        store: name_of("primary"),
        consistent_at: at("2026-01-01T02:00:07Z"),
        completed_at: at("2026-01-01T03:00:00Z"),
        size: Bytes(1),
        original_size: Bytes(2),
        verification,
        verified_at: None,
        drilled_at: None,
        quarantine: None,
        tombstoned_at: None,
        purge_after: None,
        purging: false,
        marks: 0,
        shared: None,
        parent: None,
        content: None,
        protected: false,
        asked_for: None,
        pinned_until: None,
        locked_until: None,
        duration_ms: 1,
    }
}

#[test]
fn takes_the_consistency_point_and_counts_a_checksum_as_verified() {
    for (verification, verified) in [
        (Verification::None, false),
        (Verification::Exists, false),
        (Verification::Checksum, true),
        (Verification::Restore, true),
    ] {
        let backup = backup("b", "nightly", Scope::Database, verification);
        let point = Point::of(&backup, true);
        assert_eq!((point.at, point.verified, point.leased), (at("2026-01-01T02:00:07Z"), verified, true));
    }
    let failed = Backup {
        quarantine: Some("digest differs".to_owned()),
        ..backup("b", "nightly", Scope::Database, Verification::Checksum)
    };
    assert!(Point::of(&failed, false).quarantined);
}

#[test]
fn measures_backups_of_one_schedule_and_scope_against_each_other_only() {
    let tenant = |slug: &str| Scope::Tenant(slug.to_owned());
    let hostile = "\"; DROP SCHEMA";
    let backups = [
        backup("a1", "nightly", tenant("acme"), Verification::None),
        backup("b1", "nightly", tenant(hostile), Verification::None),
        backup("a2", "nightly", tenant("acme"), Verification::None),
        backup("a3", "hourly", tenant("acme"), Verification::None),
    ];
    let parts: BTreeSet<Vec<&str>> =
        partition(&backups).into_values().map(|part| part.iter().map(|backup| backup.id.as_str()).collect()).collect();
    assert_eq!(parts, [vec!["a1", "a2"], vec!["a3"], vec!["b1"]].into());
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
