//! Random rules in zones whose clocks misbehave, against a clock that is walked minute by minute.

use bkup::domain::{CivilTime, DayRule, Frequency, Instant, Period, Timing, When};
use bkup::schedule::{Calendar, ScheduleError};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::zone;

pub(super) const ZONES: [&str; 11] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Gaza",
];

/// Walks the clocks of the zone minute by minute: whenever they show what they never showed before, every civil minute
/// they reached or passed has come. Knows nothing of gaps and folds.
fn walked(timing: &Timing, zone: &TimeZone, begin: Instant, end: Instant) -> Vec<Instant> {
    let minute = jiff::SignedDuration::from_mins(1);
    // Three days ahead: a fold that is under way at `begin` has to be seen from before.
    let mut now = begin - jiff::SignedDuration::from_hours(72);
    let mut reached = zone.to_datetime(now);
    let mut midnight = None;
    let mut slots = Vec::new();
    while now < end {
        now += minute;
        let shown = zone.to_datetime(now);
        if shown > reached && shown.date() > reached.date() {
            midnight = Some(now);
        }
        let mut comes = false;
        while reached < shown {
            reached = reached.checked_add(minute).unwrap();
            comes |= matches_civil(timing, reached);
        }
        if let (Timing::Every { period }, Some(midnight)) = (timing, midnight)
            && period.as_seconds() < 86_400
        {
            comes = (now.as_second() - midnight.as_second()) % period.as_seconds() == 0;
        }
        if comes && now > begin {
            slots.push(now);
        }
    }
    slots
}

fn matches_civil(timing: &Timing, civil: DateTime) -> bool {
    match timing {
        Timing::Calendar { frequency, time, days } => {
            let time = time.to_civil();
            let in_month = match frequency {
                Frequency::Quarterly => [1, 4, 7, 10].contains(&civil.month()),
                Frequency::Yearly => civil.month() == 1,
                _ => true,
            };
            let on_day = match frequency {
                Frequency::Hourly | Frequency::Daily if days.is_empty() => true,
                Frequency::Weekly if days.is_empty() => civil.weekday() == jiff::civil::Weekday::Monday,
                _ if days.is_empty() => civil.day() == 1,
                _ => days.iter().any(|day| match *day {
                    DayRule::Weekday(weekday) => civil.weekday().to_monday_one_offset() == weekday,
                    DayRule::NthWeekday { weekday, nth } => {
                        civil
                            .date()
                            .nth_weekday_of_month(nth, jiff::civil::Weekday::from_monday_one_offset(weekday).unwrap())
                            .ok()
                            == Some(civil.date())
                    }
                    DayRule::MonthDay(day) => civil.day() == day,
                    DayRule::LastDay => civil.date().last_of_month() == civil.date(),
                }),
            };
            let on_time =
                civil.minute() == time.minute() && (*frequency == Frequency::Hourly || civil.hour() == time.hour());
            in_month && on_day && on_time
        }
        Timing::Cron { expression } => {
            let fields: Vec<&str> = expression.split(' ').collect();
            let takes = |field: &str, lowest: i8, value: i8| {
                field.split(',').any(|item| {
                    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
                    let (low, high) = match range.split_once('-') {
                        _ if range == "*" => (lowest, 59),
                        Some((low, high)) => (low.parse::<i8>().unwrap(), high.parse::<i8>().unwrap()),
                        None => (range.parse().unwrap(), range.parse().unwrap()),
                    };
                    low <= value && value <= high && (value - low) % step.parse::<i8>().unwrap() == 0
                })
            };
            let month_day = takes(fields[2], 1, civil.day());
            let weekday = takes(fields[4], 0, civil.weekday().to_sunday_zero_offset());
            let on_day = match (fields[2], fields[4]) {
                ("*", _) => weekday,
                (_, "*") => month_day,
                _ => month_day || weekday,
            };
            takes(fields[0], 0, civil.minute())
                && takes(fields[1], 0, civil.hour())
                && takes(fields[3], 1, civil.month())
                && on_day
        }
        Timing::Every { period } => {
            let epoch = Date::constant(1970, 1, 1).to_datetime(jiff::civil::Time::midnight());
            period.as_seconds() >= 86_400 && civil.duration_since(epoch).as_secs().rem_euclid(period.as_seconds()) == 0
        }
        Timing::OnChange | Timing::OnRequest => false,
    }
}

fn any_day(monthly: bool) -> BoxedStrategy<DayRule> {
    if monthly {
        prop_oneof![
            (1..=7i8, 1..=5i8).prop_map(|(weekday, nth)| DayRule::NthWeekday { weekday, nth }),
            (1..=31i8).prop_map(DayRule::MonthDay),
            Just(DayRule::LastDay),
        ]
        .boxed()
    } else {
        (1..=7i8).prop_map(DayRule::Weekday).boxed()
    }
}

fn any_field(low: u8, high: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        1 => (1..=high).prop_map(|step| format!("*/{step}")),
        2 => proptest::collection::btree_set(low..=high, 1..4)
            .prop_map(|values| values.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
        1 => (low..=high, low..=high, 1..4u8).prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
    ]
}

pub(super) fn any_timing() -> impl Strategy<Value = Timing> {
    let frequencies = [
        (Frequency::Hourly, false),
        (Frequency::Daily, false),
        (Frequency::Weekly, false),
        (Frequency::Monthly, true),
        (Frequency::Quarterly, true),
        (Frequency::Yearly, true),
    ];
    let calendar = proptest::sample::select(frequencies.to_vec()).prop_flat_map(|(frequency, monthly)| {
        // Half of the times lie where clocks change.
        let hour = prop_oneof![0..4i8, 0..24i8];
        (hour, 0..60i8, proptest::collection::vec(any_day(monthly), 0..4)).prop_map(move |(hour, minute, days)| {
            Timing::Calendar { frequency, time: CivilTime::new(hour, minute).unwrap(), days }
        })
    });
    let cron = (any_field(0, 59), any_field(0, 23), any_field(1, 31), any_field(1, 12), any_field(0, 6))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
        .prop_filter("cron that is refused for its two day fields", |text| {
            let fields: Vec<&str> = text.split(' ').collect();
            fields[2] == "*" || fields[4] == "*" || !(fields[2].contains('*') || fields[4].contains('*'))
        })
        .prop_map(|expression| Timing::Cron { expression });
    let every = prop_oneof![1..1440i64, Just(60), Just(15), 1440..20_000i64, (1..20i64).prop_map(|days| days * 1440)]
        .prop_map(|minutes| Timing::Every { period: Period::minutes(minutes) });
    prop_oneof![calendar, cron, every]
}

/// An instant between 1995 and 2037, in half of the cases close to a clock change of the zone.
pub(super) fn any_instant(zone: &'static str) -> impl Strategy<Value = Instant> {
    (788_918_400i64..2_114_380_800, any::<bool>(), -200_000i64..200_000).prop_map(move |(second, near, shift)| {
        let anywhere = Instant::from_second(second).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let change = zone.following(anywhere).next().filter(|_| near);
        // Some zones have a change at 03:14:07 that changes nothing: the end of 32-bit time.
        let second = change.map_or(second, |change| change.timestamp().as_second() + shift % 90_000);
        Instant::from_second(second - second % 60).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_clock_walked_minute_by_minute(
        (name, center) in proptest::sample::select(ZONES.to_vec()).prop_flat_map(|name| (Just(name), any_instant(name))),
        timing in any_timing(),
        probes in proptest::collection::vec(0..7200i64, 12),
    ) {
        let when = When { timing, timezone: zone(name) };
        let calendar = match Calendar::new(&when) {
            Ok(calendar) => calendar,
            Err(ScheduleError::NeverFires { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let begin = center - jiff::SignedDuration::from_hours(60);
        let end = center + jiff::SignedDuration::from_hours(60);
        let expected = walked(&when.timing, &when.timezone.zone(), begin, end);
        let found: Vec<Instant> = calendar.between(begin, end).collect();
        if let Some(index) = (0..found.len().max(expected.len())).find(|i| found.get(*i) != expected.get(*i)) {
            let (found, expected) = (found.get(index), expected.get(index));
            return Err(TestCaseError::fail(format!("{when:?}: found {found:?}, expected {expected:?}")));
        }
        for probe in probes {
            let instant = begin + jiff::SignedDuration::from_mins(probe);
            match expected.iter().find(|slot| **slot > instant) {
                Some(next) => prop_assert_eq!(calendar.next_after(instant), Some(*next)),
                None => prop_assert!(calendar.next_after(instant).is_none_or(|next| next > end)),
            }
            match expected.iter().rfind(|slot| **slot <= instant) {
                Some(last) => prop_assert_eq!(calendar.last_at_or_before(instant), Some(*last)),
                None => prop_assert!(calendar.last_at_or_before(instant).is_none_or(|last| last <= begin)),
            }
        }
    }

    #[test]
    fn goes_forward_and_back_over_the_same_slots(
        (name, instant) in proptest::sample::select(ZONES.to_vec()).prop_flat_map(|name| (Just(name), any_instant(name))),
        nanos in 0..2i64,
        timing in any_timing(),
    ) {
        let Ok(calendar) = Calendar::new(&When { timing, timezone: zone(name) }) else { return Ok(()) };
        let instant = instant + jiff::SignedDuration::from_nanos(nanos);
        let next = calendar.next_after(instant).expect("a next slot");
        prop_assert!(next > instant);
        prop_assert_eq!(calendar.last_at_or_before(next), Some(next));
        let last = calendar.last_at_or_before(instant).expect("a slot before");
        prop_assert!(last <= instant);
        prop_assert_eq!(calendar.next_after(last), Some(next));
        let before = next - jiff::SignedDuration::from_nanos(1);
        prop_assert_eq!(calendar.last_at_or_before(before), Some(last));
        let mut one_by_one = vec![next];
        while one_by_one.len() < 40 {
            one_by_one.extend(calendar.next_after(*one_by_one.last().unwrap()));
        }
        let at_once: Vec<Instant> = calendar.between(instant, *one_by_one.last().unwrap()).collect();
        prop_assert_eq!(&at_once, &one_by_one);
        prop_assert!(one_by_one.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
