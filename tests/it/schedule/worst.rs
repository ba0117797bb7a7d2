//! The worst case against its definition, by brute force over windows of time, and the clock changes that move slots.

use bkup::domain::{Frequency, Instant, Period, When};
use bkup::schedule::{AnomalyKind, Calendar, Gap, Losses, Worst, anomalies, worst_loss};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::walked::{ZONES, any_instant, any_timing};
use super::{at, calendar_rule, cron, every, zone};

type Line = (Calendar, Period);

/// The newest slot that counts at an instant.
fn counts(lines: &[Line], instant: Instant) -> Option<Instant> {
    lines.iter().filter_map(|(calendar, late)| calendar.last_at_or_before(late.before(instant))).max()
}

fn worst(lines: &[Line], from: Instant) -> Option<Worst> {
    let lines: Vec<(&Calendar, Period)> = lines.iter().map(|(calendar, late)| (calendar, *late)).collect();
    worst_loss(&lines, from)
}

/// Looks at every moment of a window at which a slot begins to count: nothing is lost for longer than the worst.
fn exceeded(lines: &[Line], begin: Instant, end: Instant, worst: &Worst) -> Option<String> {
    for (calendar, late) in lines {
        for slot in calendar.between(late.before(begin), late.before(end)) {
            let deadline = late.after(slot);
            let before = counts(lines, deadline - SignedDuration::from_secs(1))?;
            if Period::between(before, deadline) > worst.length {
                return Some(format!("{before} to {deadline} is longer than {worst:?}"));
            }
        }
    }
    None
}

/// Says what is wrong with a witness, by the definition alone.
fn wrong(lines: &[Line], from: Instant, worst: &Worst) -> Option<String> {
    let second = SignedDuration::from_secs(1);
    let holds = [
        ("it ends after the begin", worst.deadline > from),
        ("it is as long as it says", Period::between(worst.counts.slot, worst.deadline) == worst.length),
        ("the slot counts until then", counts(lines, worst.deadline - second) == Some(worst.counts.slot)),
        ("the next counts from then on", counts(lines, worst.deadline) == Some(worst.next.slot)),
        ("the first is its line's", is_slot(&lines[worst.counts.line].0, worst.counts.slot)),
        ("the second is its line's", is_slot(&lines[worst.next.line].0, worst.next.slot)),
        ("the deadline is its line's", lines[worst.next.line].1.after(worst.next.slot) == worst.deadline),
    ];
    holds.iter().find(|(_, holds)| !holds).map(|(what, _)| format!("not true that {what}: {worst:?}"))
}

fn is_slot(calendar: &Calendar, instant: Instant) -> bool {
    calendar.last_at_or_before(instant) == Some(instant)
}

fn any_line() -> impl Strategy<Value = (When, i64)> {
    let late = prop_oneof![Just(0), 0..180i64, 0..6000i64];
    (proptest::sample::select(ZONES.to_vec()), any_timing(), late)
        .prop_map(|(name, timing, late)| (When { timing, timezone: zone(name) }, late))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_for_longer_than_the_worst_and_the_worst_is_lost(
        drawn in proptest::collection::vec(any_line(), 1..4),
        from in any_instant("Europe/Berlin"),
        ahead in proptest::collection::vec(0..12_000i64, 4),
    ) {
        let lines: Vec<Line> = drawn
            .iter()
            .filter_map(|(when, late)| Some((Calendar::new(when).ok()?, Period::minutes(*late))))
            .collect();
        let Some(worst) = worst(&lines, from) else { return Ok(()) };
        if let Some(what) = wrong(&lines, from, &worst) {
            return Err(TestCaseError::fail(format!("{what}: {drawn:?} from {from}")));
        }
        // Windows at the begin, anywhere, and around clock changes of each zone; short ones where there are many slots.
        let dense = lines.iter().any(|(calendar, _)| calendar.regular_gap().is_some_and(|gap| gap < Period::minutes(30)));
        let half = SignedDuration::from_hours(if dense { 3 } else { 36 });
        let mut windows = vec![from];
        for days in ahead {
            let instant = from + SignedDuration::from_hours(days * 24);
            windows.push(instant);
            windows.extend(drawn.iter().filter_map(|(when, _)| {
                Some(when.timezone.zone().following(instant).next()?.timestamp() - half)
            }));
        }
        for begin in windows {
            let end = begin + half + half;
            if let Some(what) = exceeded(&lines, begin.max(from), end, &worst) {
                return Err(TestCaseError::fail(format!("{what}: {drawn:?} from {from}")));
            }
        }
    }
}

#[track_caller]
fn largest(when: &When, from: &str) -> (String, String) {
    let gap: Gap = Losses::new(at(from)).largest_gap(&Calendar::new(when).unwrap()).unwrap();
    (gap.begin.to_string(), gap.end.to_string())
}

#[test]
fn the_largest_gap_of_a_calendar_is_the_first_of_its_length() {
    let day = |zone| calendar_rule(Frequency::Daily, "02:00", &[], zone);
    for (when, begin, end) in [
        (day("UTC"), "2026-01-15T02:00:00Z", "2026-01-16T02:00:00Z"),
        (day("Europe/Berlin"), "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"),
        // Brazil gave its summer time up in 2019: what was is no witness.
        (day("America/Sao_Paulo"), "2026-01-15T05:00:00Z", "2026-01-16T05:00:00Z"),
        // Morocco goes back in Ramadan.
        (day("Africa/Casablanca"), "2026-02-15T01:00:00Z", "2026-02-16T02:00:00Z"),
        (cron("0 4 29 2 *", "UTC"), "2096-02-29T04:00:00Z", "2104-02-29T04:00:00Z"),
        // Five Sundays in February: leap years that begin on a Thursday, and 2100 is none.
        (cron("0 2 * 2 sun#5", "UTC"), "2088-02-29T02:00:00Z", "2128-02-29T02:00:00Z"),
        (every("7h", "UTC"), "2026-01-15T00:00:00Z", "2026-01-15T07:00:00Z"),
    ] {
        let found = largest(&when, "2026-01-15T00:00:00Z");
        assert_eq!(found, (begin.to_owned(), end.to_owned()), "{when:?}");
    }
}

#[test]
fn anomalies_are_the_next_times_that_a_change_skips_or_repeats() {
    let of = |when: &When| {
        let found = anomalies(&Calendar::new(when).unwrap(), at("2026-01-15T00:00:00Z"));
        let said = |a: &bkup::schedule::Anomaly| (a.kind, a.civil.to_string(), a.slot.to_string());
        found.iter().map(said).collect::<Vec<_>>()
    };
    let skipped = (AnomalyKind::Swallowed, "2026-03-29T02:30:00".to_owned(), "2026-03-29T01:00:00Z".to_owned());
    let repeated = (AnomalyKind::Repeated, "2026-10-25T02:30:00".to_owned(), "2026-10-25T00:30:00Z".to_owned());
    assert_eq!(of(&cron("30 2 * * *", "Europe/Berlin")), [skipped, repeated.clone()]);
    let merged = (AnomalyKind::Merged, "2026-03-29T02:30:00".to_owned(), "2026-03-29T01:00:00Z".to_owned());
    assert_eq!(of(&cron("30 2-3,4 * * *", "Europe/Berlin"))[0].0, AnomalyKind::Swallowed);
    assert_eq!(of(&cron("0,30 2,3 * * *", "Europe/Berlin"))[0], (merged.0, "2026-03-29T02:00:00".to_owned(), merged.2));
    for none in [cron("30 4 * * *", "Europe/Berlin"), cron("30 2 * * *", "UTC"), every("1h", "Europe/Berlin")] {
        assert_eq!(of(&none), []);
    }
    // Saturdays only: no change of the clocks falls on one.
    assert_eq!(of(&cron("30 2 * * sat", "Europe/Berlin")), []);
}

#[test]
fn an_anomaly_is_what_the_calendar_does() {
    for name in ZONES {
        let when = cron("*/10 * * * *", name);
        let calendar = Calendar::new(&when).unwrap();
        for anomaly in anomalies(&calendar, at("2010-01-01T00:00:00Z")) {
            let zone: TimeZone = when.timezone.zone();
            assert!(is_slot(&calendar, anomaly.slot), "{name} {anomaly:?}");
            if let Some(again) = anomaly.again {
                assert_eq!(zone.to_datetime(anomaly.slot), anomaly.civil, "{name}");
                assert_eq!(zone.to_datetime(again), anomaly.civil, "{name}");
            } else {
                assert!(zone.to_datetime(anomaly.slot) > anomaly.civil, "{name} {anomaly:?}");
            }
        }
    }
}
