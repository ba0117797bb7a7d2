//! The fast search for the worst case against a complete walk over 400 years, and the fast slots against [`Calendar`].

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::shifts::Shifts;
use super::stream::Ruled;
use super::{Calendar, Losses};
use crate::domain::{CivilTime, DayRule, Frequency, Instant, Period, Timing, When, ZoneName};

const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Santiago",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Asia/Gaza",
];

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn calendar(timing: Timing, zone: &str) -> Option<Calendar> {
    Calendar::new(&When { timing, timezone: ZoneName::try_from(zone.to_owned()).unwrap() }).ok()
}

fn cron(expression: &str, zone: &str) -> Calendar {
    calendar(Timing::Cron { expression: expression.to_owned() }, zone).unwrap()
}

fn every(period: &str, zone: &str) -> Calendar {
    calendar(Timing::Every { period: period.parse().unwrap() }, zone).unwrap()
}

/// Rules of every kind, most with few slots: each is walked over 400 years.
fn any_timing() -> impl Strategy<Value = Timing> {
    let day = prop_oneof![
        (1..=7i8, 1..=5i8).prop_map(|(weekday, nth)| DayRule::NthWeekday { weekday, nth }),
        (1..=31i8).prop_map(DayRule::MonthDay),
        Just(DayRule::LastDay),
    ];
    let dated = (
        proptest::sample::select(vec![Frequency::Monthly, Frequency::Quarterly, Frequency::Yearly]),
        proptest::collection::vec(day, 0..3),
    );
    let weekly =
        proptest::collection::vec((1..=7i8).prop_map(DayRule::Weekday), 1..3).prop_map(|d| (Frequency::Weekly, d));
    let rule = prop_oneof![2 => dated, 2 => weekly, 1 => Just((Frequency::Daily, Vec::new()))];
    let time = (prop_oneof![0..4i8, 0..24i8], prop_oneof![Just(0), Just(30), 0..60i8]);
    let rules = (rule, time).prop_map(|((frequency, days), (hour, minute))| Timing::Calendar {
        frequency,
        time: CivilTime::new(hour, minute).unwrap(),
        days,
    });
    let crons = (0..60u8, 0..24u8, 1..=31u8, 1..=12u8, 0..=6u8, 0..6u8).prop_map(
        |(minute, hour, day, month, weekday, kind)| {
            let expression = match kind {
                0 => format!("{minute} {hour} {day} * {weekday}"),
                1 => format!("{minute} {hour} {} 2 *", day.min(29)),
                2 => format!("{minute} {hour},23 l {month} *"),
                3 => format!("{minute} 1,3 * * {weekday}#{}", 1 + day % 5),
                4 => format!("0,30 {hour} * {month} {weekday}"),
                _ => format!("{minute} {hour} 1-7 * *"),
            };
            Timing::Cron { expression }
        },
    );
    let every = prop_oneof![(9..24i64).prop_map(|h| h * 60), (24..2000i64).prop_map(|h| h * 60), 1440..90_000i64]
        .prop_map(|minutes| Timing::Every { period: Period::minutes(minutes) });
    prop_oneof![4 => rules, 2 => crons, 1 => every]
}

fn any_calendar() -> impl Strategy<Value = (&'static str, Timing, Calendar)> {
    (proptest::sample::select(ZONES.to_vec()), any_timing())
        .prop_filter_map("a rule that never comes", |(zone, timing)| {
            calendar(timing.clone(), zone).map(|calendar| (zone, timing, calendar))
        })
}

fn any_from() -> impl Strategy<Value = Instant> {
    (1_500_000_000i64..2_200_000_000).prop_map(|second| Instant::from_second(second).unwrap())
}

#[track_caller]
fn holds(lines: &[(&Calendar, Period)], from: Instant) {
    let fast = Losses::new(from).worst(lines);
    let complete = Losses::new(from).worst_by(lines, true);
    assert_eq!(fast, complete, "{lines:?} from {from}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_worst_of_one_schedule_is_that_of_every_slot_of_400_years((_, timing, calendar) in any_calendar(), from in any_from()) {
        let lines = [(&calendar, Period::hours(1))];
        let (fast, complete) = (Losses::new(from).worst(&lines), Losses::new(from).worst_by(&lines, true));
        prop_assert_eq!(fast, complete, "{:?} from {}", timing, from);
    }

    #[test]
    fn the_worst_of_several_is_that_of_every_slot_of_400_years(
        calendars in proptest::collection::vec((any_calendar(), 0..72i64), 2..4),
        from in any_from(),
    ) {
        let lines: Vec<(&Calendar, Period)> = calendars.iter().map(|((_, _, c), hours)| (c, Period::hours(*hours))).collect();
        let (fast, complete) = (Losses::new(from).worst(&lines), Losses::new(from).worst_by(&lines, true));
        prop_assert_eq!(fast, complete, "{:?} from {}", calendars, from);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fast_slots_are_those_of_the_calendar((zone, timing, calendar) in any_calendar(), begin in any_from(), near in any::<bool>()) {
        let zone = TimeZone::get(zone).unwrap();
        let change = zone.following(begin).next().filter(|_| near);
        let begin = change.map_or(begin, |change| change.timestamp() - jiff::SignedDuration::from_hours(30));
        let shifts = Shifts::new(&zone, begin.as_second());
        let ruled = Ruled { rule: calendar.rule(), shifts: &shifts };
        let slots: Vec<i64> = ruled.after(begin.as_second()).take(60).collect();
        let mut expected = Vec::new();
        let mut after = begin;
        while expected.len() < 60 {
            after = calendar.next_after(after).unwrap();
            expected.push(after.as_second());
        }
        prop_assert_eq!(&slots, &expected, "{:?} after {}", timing, begin);
        for second in [slots[3] - 1, slots[3], slots[3] + 1, begin.as_second()] {
            let last = calendar.last_at_or_before(Instant::from_second(second).unwrap()).map(|slot| slot.as_second());
            prop_assert_eq!(ruled.last_at_or_before(second), last, "{:?} at {}", timing, second);
        }
    }
}

#[test]
fn a_midnight_that_clocks_turn_back_from_has_not_come() {
    // Where 24:00 of 12 May 2018 would come it is 23 o'clock again.
    let zone = TimeZone::get("America/Santiago").unwrap();
    let back = at("2018-05-13T03:00:00Z").as_second();
    let shifts = Shifts::new(&zone, back - 86_400);
    let (turns, daily) = (every("19h", "America/Santiago"), cron("0 0 * * *", "America/Santiago"));
    for (calendar, last) in [(turns, "2018-05-12T22:00:00Z"), (daily, "2018-05-12T03:00:00Z")] {
        let ruled = Ruled { rule: calendar.rule(), shifts: &shifts };
        for second in [back, back + 3599] {
            assert_eq!(ruled.last_at_or_before(second), Some(at(last).as_second()));
            assert_eq!(ruled.after(second).next(), Some(back + 3600));
        }
    }
}

#[test]
fn the_worst_holds_where_the_argument_is_hardest() {
    let from = at("2026-01-15T00:00:00Z");
    let none = Period::seconds(0);
    let lines = [
        cron("0 2 29 2 *", "Europe/Berlin"),
        cron("0 2 * 2 sun#5", "America/New_York"),
        cron("30 2 31 * *", "Europe/Berlin"),
        cron("15 3 * * sun", "Africa/Casablanca"),
        cron("*/15 9-17 * * mon-fri", "Australia/Lord_Howe"),
        cron("0 0 1,15 * fri", "America/Sao_Paulo"),
        cron("0 0 1 1 *", "Europe/Berlin"),
        every("36h", "Europe/Berlin"),
        every("100d", "America/Santiago"),
        every("7h", "Europe/Berlin"),
    ];
    for line in &lines {
        holds(&[(line, none)], from);
    }
    holds(&[(&lines[0], none), (&lines[1], Period::days(400))], from);
    holds(&[(&lines[3], Period::hours(2)), (&lines[7], none)], from);
    holds(&[(&lines[2], Period::hours(30)), (&lines[5], none), (&lines[6], none)], from);
    let (berlin, york) = (cron("0 2 * * *", "Europe/Berlin"), cron("0 14 * * sun,wed", "America/New_York"));
    holds(&[(&berlin, Period::hours(3)), (&york, none)], from);
    // The week in which only one of the two zones has changed its clocks.
    let (noon, morning) = (cron("0 12 * * *", "Europe/Berlin"), cron("0 6 * * *", "America/New_York"));
    holds(&[(&noon, none), (&morning, none)], from);
}
