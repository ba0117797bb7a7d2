//! Texts to rules: cron expressions, distances and days of a calendar, with any zone and any instant. A rule that is
//! accepted has slots, and they agree in both directions.
#![no_main]

use bkup_fuzz::domain::{CivilTime, DayRule, Frequency, Instant, Period, Timing, When, ZoneName};
use bkup_fuzz::schedule::Calendar;
use libfuzzer_sys::fuzz_target;

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "America/Sao_Paulo",
];

fuzz_target!(|input: (u8, i64, i8, i8, Vec<(u8, i8, i8)>, &str)| {
    let (choice, second, hour, minute, days, text) = input;
    let timing = match choice >> 3 & 3 {
        0 | 1 => Timing::Cron { expression: text.to_owned() },
        2 => match text.parse::<Period>() {
            Ok(period) => Timing::Every { period },
            Err(_) => return,
        },
        _ => Timing::Calendar {
            frequency: match choice >> 5 {
                0 => Frequency::Hourly,
                1 => Frequency::Daily,
                2 => Frequency::Weekly,
                3 => Frequency::Monthly,
                4 => Frequency::Quarterly,
                _ => Frequency::Yearly,
            },
            time: CivilTime::new(hour, minute).unwrap_or_default(),
            days: days
                .iter()
                .map(|(kind, a, b)| match kind % 4 {
                    0 => DayRule::Weekday(*a),
                    1 => DayRule::NthWeekday { weekday: *a, nth: *b },
                    2 => DayRule::MonthDay(*a),
                    _ => DayRule::LastDay,
                })
                .collect(),
        },
    };
    let timezone = ZoneName::try_from(ZONES[usize::from(choice & 7)].to_owned()).unwrap_or_default();
    let Ok(calendar) = Calendar::new(&When { timing, timezone }) else { return };
    let _ = calendar.default_start_within();

    // The whole of time is legal; slots are looked for in the centuries that have clock changes.
    let now = Instant::from_second(second.rem_euclid(4_000_000_000)).unwrap_or(Instant::UNIX_EPOCH);
    let next = calendar.next_after(now);
    let last = calendar.last_at_or_before(now);
    assert!(last.is_none_or(|last| last <= now));
    let Some(next) = next else { panic!("an accepted rule has a slot after any instant of these centuries") };
    assert!(next > now);
    assert_eq!(calendar.last_at_or_before(next), Some(next));
    if let Some(last) = last {
        assert_eq!(calendar.next_after(last), Some(next));
    }
    let mut slots = calendar.between(now, Instant::MAX);
    assert_eq!(slots.next(), Some(next));
    let after = calendar.next_after(next);
    assert_eq!(slots.next(), after);

    let _ = calendar.next_after(Instant::MIN);
    let _ = calendar.last_at_or_before(Instant::MAX);
    let _ = calendar.next_after(Instant::MAX);
    let _ = calendar.last_at_or_before(Instant::MIN);
});
