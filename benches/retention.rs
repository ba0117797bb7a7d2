//! How long decisions take: a million backups under one rule, and the slots of a schedule. Pure code only.

use std::hint::black_box;

use bkup::domain::{BackupId, Instant, Period, RetentionRule, Timing, When, ZoneName};
use bkup::retention::{Floors, Link, Point, closure, decide, leaf_first};
use bkup::schedule::Calendar;
use criterion::{Criterion, criterion_group, criterion_main};
use jiff::SignedDuration;

const POINTS: i64 = 1_000_000;

fn berlin() -> ZoneName {
    ZoneName::try_from("Europe/Berlin".to_owned()).unwrap_or_default()
}

fn now() -> Instant {
    Instant::constant(1_795_000_000, 0)
}

fn decisions(criterion: &mut Criterion) {
    let ids: Vec<BackupId> = (0..POINTS).map(|index| BackupId::from_text(format!("b{index:07}"))).collect();
    // One each five minutes, given in an order that is none.
    let point = |index: i64| {
        let place = index * 7919 % POINTS;
        let at = now() - SignedDuration::from_mins(5 * place);
        Point { verified: place % 3 == 0, ..Point::new(&ids[place as usize], at) }
    };
    let points: Vec<Point<'_>> = (0..POINTS).map(point).collect();
    let gfs = RetentionRule {
        daily: Some(7),
        weekly: Some(4),
        monthly: Some(12),
        yearly: Some(5),
        timezone: berlin(),
        ..RetentionRule::default()
    };
    let every_bucket = RetentionRule {
        hourly: Some(u32::MAX),
        daily: Some(u32::MAX),
        weekly: Some(u32::MAX),
        monthly: Some(u32::MAX),
        quarterly: Some(u32::MAX),
        yearly: Some(u32::MAX),
        timezone: berlin(),
        ..RetentionRule::default()
    };
    let forever = RetentionRule { forever: true, ..RetentionRule::default() };
    let mut group = criterion.benchmark_group("a million backups");
    group.sample_size(10);
    for (name, rule) in [("7/4/12/5", &gfs), ("every bucket of six tiers", &every_bucket), ("all kept", &forever)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| decide(black_box(&points), rule, Floors { min_keep: 2 }, now()));
        });
    }
    // A shared archive for each hundred tenant backups.
    let link = |index: usize| Link {
        id: &ids[index],
        needs: if index.is_multiple_of(100) { Vec::new() } else { vec![&ids[index - index % 100]] },
        holds: index.is_multiple_of(7),
    };
    let links: Vec<Link<'_>> = (0..100_000).map(link).collect();
    group.bench_function("closure of 100,000", |bencher| bencher.iter(|| closure(black_box(&links))));
    group.bench_function("deletion order of 100,000", |bencher| bencher.iter(|| leaf_first(black_box(&links))));
    group.finish();
}

fn slots(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slots");
    let cron = |expression: &str| Timing::Cron { expression: expression.to_owned() };
    for (name, timing) in [
        ("0 2 * * *", cron("0 2 * * *")),
        ("* * * * *", cron("* * * * *")),
        ("0 0 29 2 *", cron("0 0 29 2 *")),
        ("every 15m", Timing::Every { period: Period::minutes(15) }),
        ("every 36h", Timing::Every { period: Period::hours(36) }),
    ] {
        let Ok(calendar) = Calendar::new(&When { timing, timezone: berlin() }) else { continue };
        group.bench_function(format!("next_after, {name}"), |b| b.iter(|| calendar.next_after(black_box(now()))));
        group.bench_function(format!("last_at_or_before, {name}"), |b| {
            b.iter(|| calendar.last_at_or_before(black_box(now())));
        });
        group.sample_size(10);
        let year = Period::days(365).after(now());
        group.bench_function(format!("largest_gap of a year, {name}"), |b| {
            b.iter(|| calendar.largest_gap(black_box(now()), year));
        });
        group.sample_size(100);
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default();
    targets = decisions, slots
}
criterion_main!(benches);
