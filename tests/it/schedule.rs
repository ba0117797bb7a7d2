//! Suite: schedules. Slots against a clock that is walked minute by minute, in zones whose clocks misbehave, and the
//! rules of the calendar one by one.
#![expect(clippy::unwrap_used, reason = "a helper of a test panics like the test itself")]

mod walked;
mod worst;

use bkup::diag::Explain;
use bkup::domain::{CivilTime, DayRule, Frequency, Instant, Period, Timing, When, ZoneName};
use bkup::schedule::{Calendar, ScheduleError, describe};

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn zone(name: &str) -> ZoneName {
    ZoneName::try_from(name.to_owned()).unwrap()
}

fn calendar_rule(frequency: Frequency, time: &str, days: &[DayRule], timezone: &str) -> When {
    let time = CivilTime::try_from(time.to_owned()).unwrap();
    When { timing: Timing::Calendar { frequency, time, days: days.to_vec() }, timezone: zone(timezone) }
}

fn cron(expression: &str, timezone: &str) -> When {
    When { timing: Timing::Cron { expression: expression.to_owned() }, timezone: zone(timezone) }
}

fn every(period: &str, timezone: &str) -> When {
    When { timing: Timing::Every { period: period.parse().unwrap() }, timezone: zone(timezone) }
}

#[track_caller]
fn slots(when: &When, after: &str, until: &str) -> Vec<String> {
    let zone = when.timezone.zone();
    Calendar::new(when)
        .unwrap()
        .between(at(after), at(until))
        .map(|slot| slot.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M%:z").to_string())
        .collect()
}

#[track_caller]
fn refused(when: &When) -> ScheduleError {
    Calendar::new(when).expect_err("the rule is refused")
}

#[test]
fn runs_at_the_end_of_the_gap_when_the_clock_skips_the_time() {
    let when = calendar_rule(Frequency::Daily, "02:30", &[], "Europe/Berlin");
    assert_eq!(
        slots(&when, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"),
        ["2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]
    );
}

#[test]
fn runs_once_at_the_first_when_the_time_comes_twice() {
    let when = calendar_rule(Frequency::Daily, "02:30", &[], "Europe/Berlin");
    assert_eq!(
        slots(&when, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
        ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]
    );
}

#[test]
fn makes_one_slot_of_times_that_fall_on_one_instant() {
    let when = cron("0,20,40 2,3 * * *", "Europe/Berlin");
    assert_eq!(
        slots(&when, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z"),
        ["2026-03-29T03:00+02:00", "2026-03-29T03:20+02:00", "2026-03-29T03:40+02:00"]
    );
}

#[test]
fn leaves_the_repeated_hour_out_of_hourly_and_not_of_every_hour() {
    let hourly = calendar_rule(Frequency::Hourly, "00:00", &[], "Europe/Berlin");
    let (begin, end) = ("2026-10-24T22:30:00Z", "2026-10-25T02:30:00Z");
    assert_eq!(
        slots(&hourly, begin, end),
        ["2026-10-25T01:00+02:00", "2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00"]
    );
    assert_eq!(slots(&every("1h", "Europe/Berlin"), begin, end).len(), 4);
}

#[test]
fn follows_a_half_hour_change() {
    let when = calendar_rule(Frequency::Daily, "02:15", &[], "Australia/Lord_Howe");
    assert_eq!(slots(&when, "2026-10-03T00:00:00Z", "2026-10-04T00:00:00Z"), ["2026-10-04T02:30+11:00"]);
}

#[test]
fn runs_the_skipped_day_of_apia_at_the_begin_of_the_next() {
    let when = calendar_rule(Frequency::Daily, "02:00", &[], "Pacific/Apia");
    assert_eq!(
        slots(&when, "2011-12-29T00:00:00Z", "2011-12-31T00:00:00Z"),
        ["2011-12-29T02:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T02:00+14:00"]
    );
    assert_eq!(
        slots(&every("12h", "Pacific/Apia"), "2011-12-29T09:00:00Z", "2011-12-31T10:00:00Z"),
        [
            "2011-12-29T00:00-10:00",
            "2011-12-29T12:00-10:00",
            "2011-12-31T00:00+14:00",
            "2011-12-31T12:00+14:00",
            "2012-01-01T00:00+14:00"
        ]
    );
}

#[test]
fn begins_the_day_at_one_where_midnight_is_skipped() {
    assert_eq!(
        slots(&every("8h", "America/Sao_Paulo"), "2018-11-04T02:00:00Z", "2018-11-05T02:00:00Z"),
        ["2018-11-04T01:00-02:00", "2018-11-04T09:00-02:00", "2018-11-04T17:00-02:00", "2018-11-05T00:00-02:00"]
    );
}

#[test]
fn restarts_every_at_midnight_where_it_does_not_divide_the_day() {
    assert_eq!(
        slots(&every("7h", "UTC"), "2026-05-01T00:00:00Z", "2026-05-02T08:00:00Z"),
        [
            "2026-05-01T07:00+00:00",
            "2026-05-01T14:00+00:00",
            "2026-05-01T21:00+00:00",
            "2026-05-02T00:00+00:00",
            "2026-05-02T07:00+00:00"
        ]
    );
}

#[test]
fn counts_every_in_real_time_on_a_day_of_25_hours() {
    let slots = slots(&every("6h", "Europe/Berlin"), "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    assert_eq!(
        slots,
        [
            "2026-10-25T05:00+01:00",
            "2026-10-25T11:00+01:00",
            "2026-10-25T17:00+01:00",
            "2026-10-25T23:00+01:00",
            "2026-10-26T00:00+01:00"
        ]
    );
}

#[test]
fn counts_days_and_more_from_the_first_of_january_1970() {
    assert_eq!(
        slots(&every("1w", "Europe/Berlin"), "2026-03-20T00:00:00Z", "2026-04-03T00:00:00Z"),
        ["2026-03-26T00:00+01:00", "2026-04-02T00:00+02:00"]
    );
    assert_eq!(
        slots(&every("36h", "UTC"), "1969-12-29T00:00:00Z", "1970-01-04T00:00:00Z"),
        [
            "1969-12-29T00:00+00:00",
            "1969-12-30T12:00+00:00",
            "1970-01-01T00:00+00:00",
            "1970-01-02T12:00+00:00",
            "1970-01-04T00:00+00:00"
        ][1..]
    );
}

#[test]
fn takes_monday_and_the_first_when_no_days_are_given() {
    let range = ("2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z");
    let weekly = slots(&calendar_rule(Frequency::Weekly, "03:00", &[], "UTC"), range.0, "2026-01-13T00:00:00Z");
    assert_eq!(weekly, ["2026-01-05T03:00+00:00", "2026-01-12T03:00+00:00"]);
    let quarterly = slots(&calendar_rule(Frequency::Quarterly, "03:00", &[], "UTC"), range.0, range.1);
    assert_eq!(
        quarterly,
        ["2026-01-01T03:00+00:00", "2026-04-01T03:00+00:00", "2026-07-01T03:00+00:00", "2026-10-01T03:00+00:00"]
    );
    assert_eq!(slots(&calendar_rule(Frequency::Monthly, "03:00", &[], "UTC"), range.0, range.1).len(), 12);
    assert_eq!(slots(&calendar_rule(Frequency::Yearly, "03:00", &[], "UTC"), range.0, range.1).len(), 1);
}

#[test]
fn skips_months_without_the_day_and_finds_last_days_and_nth_sundays() {
    let days = |days: &[DayRule]| {
        slots(&calendar_rule(Frequency::Monthly, "04:00", days, "UTC"), "2026-01-02T00:00:00Z", "2026-05-01T00:00:00Z")
            .iter()
            .map(|slot| slot[5..10].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(days(&[DayRule::MonthDay(31)]), ["01-31", "03-31"]);
    assert_eq!(days(&[DayRule::LastDay]), ["01-31", "02-28", "03-31", "04-30"]);
    assert_eq!(days(&[DayRule::NthWeekday { weekday: 7, nth: 1 }]), ["01-04", "02-01", "03-01", "04-05"]);
    assert_eq!(days(&[DayRule::NthWeekday { weekday: 7, nth: 5 }]), ["03-29"]);
}

#[test]
fn takes_either_cron_day_field_when_both_are_given() {
    let slots = slots(&cron("0 0 13 * fri", "UTC"), "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
    assert_eq!(slots.len(), 4, "the Fridays 6, 13, 20 and 27; the 13th is one of them: {slots:?}");
    let slots = self::slots(&cron("0 0 14 * fri", "UTC"), "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
    assert_eq!(slots.len(), 5, "{slots:?}");
}

#[test]
fn reads_cron_names_ranges_steps_lists_and_words() {
    let count =
        |expression: &str| slots(&cron(expression, "UTC"), "2025-12-31T23:59:59Z", "2026-12-31T23:59:59Z").len();
    assert_eq!(count("0 */6 * * *"), 4 * 365);
    assert_eq!(count("15-45/15 9-18 * * mon-fri"), 3 * 10 * 261);
    assert_eq!(count("0 0 1 jan,JUL *"), 2);
    assert_eq!(count("0 0 * * sat-sun"), 104);
    assert_eq!(count("0 0 * * 5-7/2"), 104, "Friday and Sunday");
    assert_eq!(count("0 0 * * 0"), count("0 0 * * 7"));
    assert_eq!(count("0 0 * * sun#1"), 12);
    assert_eq!(count("0 0 L * *"), 12);
    assert_eq!(count("@hourly"), 8760);
    assert_eq!(count("@daily"), 365);
    assert_eq!(count(" @weekly "), 52);
    assert_eq!(count("@Monthly"), 12);
    assert_eq!(count("@yearly"), 1);
}

#[test]
fn refuses_cron_that_cannot_be_read_or_means_two_things() {
    for expression in [
        "",
        "* * * *",
        "0 * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "mon * * * *",
        "* * * janfeb *",
        "* * * * monday",
        "5-1 * * * *",
        "*/0 * * * *",
        "*/99 * * * *",
        "0/15 * * * *",
        "1,,2 * * * *",
        "? * * * *",
        "0 0 ? * mon",
        "0 0 15W * *",
        "0 0 */2 * mon",
        "0 0 1 * +mon",
        "0 0 * * sun#6",
        "@reboot",
        "@fortnightly",
        "+1 * * * *",
        "０ ０ * * *",
        "0 0 * * *; DROP SCHEMA",
    ] {
        let error = refused(&cron(expression, "UTC"));
        assert_eq!(error.explain().code.0, "BK301", "{expression}: {error}");
        assert!(error.explain().help.is_some());
    }
}

#[test]
fn refuses_a_rule_that_never_comes() {
    for expression in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30,31 feb *"] {
        assert_eq!(refused(&cron(expression, "UTC")).explain().code.0, "BK302", "{expression}");
    }
    let leap = Calendar::new(&cron("0 0 29 2 *", "UTC")).unwrap();
    assert_eq!(leap.next_after(at("2096-03-01T00:00:00Z")), Some(at("2104-02-29T00:00:00Z")));
    let rare = Calendar::new(&cron("0 0 * 2 mon#5", "UTC")).unwrap();
    assert_eq!(rare.next_after(at("2072-03-01T00:00:00Z")), Some(at("2112-02-29T00:00:00Z")));
}

#[test]
fn refuses_days_that_the_frequency_has_no_use_for() {
    let sunday = DayRule::Weekday(7);
    let first_sunday = DayRule::NthWeekday { weekday: 7, nth: 1 };
    for (frequency, day) in [
        (Frequency::Monthly, sunday),
        (Frequency::Quarterly, sunday),
        (Frequency::Yearly, sunday),
        (Frequency::Weekly, first_sunday),
        (Frequency::Weekly, DayRule::MonthDay(1)),
        (Frequency::Daily, DayRule::LastDay),
        (Frequency::Hourly, DayRule::MonthDay(1)),
    ] {
        let error = refused(&calendar_rule(frequency, "02:00", &[day], "UTC"));
        assert_eq!(error.explain().code.0, "BK303", "{error}");
    }
    let weekdays: Vec<DayRule> = (1..=5).map(DayRule::Weekday).collect();
    let daily = calendar_rule(Frequency::Daily, "02:00", &weekdays, "UTC");
    assert_eq!(slots(&daily, "2026-05-01T12:00:00Z", "2026-05-08T12:00:00Z").len(), 5);
}

#[test]
fn refuses_days_and_periods_that_do_not_exist() {
    for day in [DayRule::MonthDay(0), DayRule::MonthDay(32), DayRule::NthWeekday { weekday: 7, nth: 6 }] {
        assert_eq!(refused(&calendar_rule(Frequency::Monthly, "02:00", &[day], "UTC")).explain().code.0, "BK304");
    }
    for weekday in [i8::MIN, -1, 0, 8, i8::MAX] {
        let when = calendar_rule(Frequency::Weekly, "02:00", &[DayRule::Weekday(weekday)], "UTC");
        assert_eq!(refused(&when).explain().code.0, "BK304");
    }
    assert_eq!(refused(&every("0s", "UTC")).explain().code.0, "BK305");
    assert_eq!(refused(&every("101y", "UTC")).explain().code.0, "BK305");
}

#[test]
fn has_no_slots_on_request_and_on_change() {
    for timing in [Timing::OnRequest, Timing::OnChange] {
        let calendar = Calendar::new(&When { timing, timezone: ZoneName::utc() }).unwrap();
        assert!(calendar.is_never());
        assert_eq!(calendar.next_after(at("2026-01-01T00:00:00Z")), None);
        assert_eq!(calendar.last_at_or_before(at("2026-01-01T00:00:00Z")), None);
        assert_eq!(calendar.between(Instant::MIN, Instant::MAX).next(), None);
        assert_eq!(calendar.largest_gap(Instant::MIN, Instant::MAX), None);
    }
}

#[test]
fn answers_at_the_ends_of_time() {
    for when in [
        calendar_rule(Frequency::Daily, "02:00", &[], "Asia/Seoul"),
        every("7h", "America/New_York"),
        every("9d", "Asia/Seoul"),
        cron("0 0 29 2 *", "Europe/Berlin"),
    ] {
        let calendar = Calendar::new(&when).unwrap();
        assert_eq!(calendar.next_after(Instant::MAX), None);
        assert_eq!(calendar.last_at_or_before(Instant::MIN), None);
        let last = calendar.last_at_or_before(Instant::MAX).expect("the year 9999 has slots");
        assert_eq!(calendar.next_after(last), None);
        assert!(calendar.next_after(Instant::MIN).is_some());
    }
}

#[test]
fn finds_the_largest_gap_with_its_witness() {
    let calendar = Calendar::new(&calendar_rule(Frequency::Daily, "02:00", &[], "Europe/Berlin")).unwrap();
    let gap = calendar.largest_gap(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).unwrap();
    assert_eq!(gap.length(), Period::hours(25));
    assert_eq!((gap.begin, gap.end), (at("2026-10-25T00:00:00Z"), at("2026-10-26T01:00:00Z")));
}

#[test]
fn takes_the_gaps_at_the_ends_of_a_range_whole() {
    let calendar = Calendar::new(&calendar_rule(Frequency::Weekly, "00:00", &[], "UTC")).unwrap();
    let gap = calendar.largest_gap(at("2026-05-06T00:00:00Z"), at("2026-05-07T00:00:00Z")).unwrap();
    assert_eq!((gap.begin, gap.end), (at("2026-05-04T00:00:00Z"), at("2026-05-11T00:00:00Z")));
    assert_eq!(calendar.gap_around(at("2026-05-06T00:00:00Z")), Some(gap));
    assert_eq!(calendar.gap_around(at("2026-05-04T00:00:00Z")), Some(gap));
}

#[test]
fn defaults_start_within_to_an_hour_or_half_the_smallest_regular_gap() {
    let default = |when: &When| Calendar::new(when).unwrap().default_start_within();
    assert_eq!(default(&calendar_rule(Frequency::Daily, "02:00", &[], "Europe/Berlin")), Period::hours(1));
    assert_eq!(default(&calendar_rule(Frequency::Hourly, "00:10", &[], "Europe/Berlin")), Period::minutes(30));
    assert_eq!(default(&every("15m", "UTC")), Period::seconds(450));
    assert_eq!(default(&every("23h30m", "UTC")), Period::minutes(15), "the last gap of each day is half an hour");
    assert_eq!(default(&cron("0 1,3 * * *", "Europe/Berlin")), Period::hours(1), "the spring day does not count");
    assert_eq!(default(&cron("0,50 23 * * *", "UTC")), Period::minutes(25));
    assert_eq!(default(&cron("45 23 * * mon", "UTC")), Period::hours(1));
    assert_eq!(default(&cron("10 0 * * mon", "UTC")), Period::hours(1));
    assert_eq!(default(&cron("0 0,23 * * *", "UTC")), Period::minutes(30), "from 23 o'clock to midnight");
    assert_eq!(default(&cron("0 0,23 * * mon", "UTC")), Period::hours(1), "no day follows a Monday");
    assert_eq!(default(&When { timing: Timing::OnRequest, timezone: ZoneName::utc() }), Period::hours(1));
}

#[test]
fn says_when_in_words() {
    use Frequency::{Daily, Hourly, Monthly, Quarterly, Weekly};
    let sunday = DayRule::Weekday(7);
    for (when, words) in [
        (calendar_rule(Daily, "02:00", &[], "Asia/Seoul"), "daily at 02:00 Asia/Seoul"),
        (calendar_rule(Weekly, "03:00", &[sunday], "UTC"), "weekly on Sunday at 03:00 UTC"),
        (calendar_rule(Weekly, "03:00", &[], "UTC"), "weekly on Monday at 03:00 UTC"),
        (
            calendar_rule(Daily, "03:00", &[sunday, DayRule::Weekday(1), sunday], "UTC"),
            "daily on Monday and Sunday at 03:00 UTC",
        ),
        (calendar_rule(Hourly, "05:30", &[], "UTC"), "hourly at minute 30 UTC"),
        (
            calendar_rule(
                Monthly,
                "04:00",
                &[DayRule::NthWeekday { weekday: 7, nth: 1 }, DayRule::MonthDay(22)],
                "UTC",
            ),
            "monthly on the first Sunday and the 22nd at 04:00 UTC",
        ),
        (calendar_rule(Monthly, "04:00", &[DayRule::LastDay], "UTC"), "monthly on the last day at 04:00 UTC"),
        (
            calendar_rule(Quarterly, "04:00", &[], "UTC"),
            "quarterly on the 1st of January, April, July and October at 04:00 UTC",
        ),
        (every("15m", "UTC"), "every 15m from midnight UTC"),
        (every("2w", "UTC"), "every 14d from 1 January 1970 UTC"),
        (cron("0 */6 * * *", "UTC"), "cron 0 */6 * * * UTC"),
        (When { timing: Timing::OnRequest, timezone: ZoneName::utc() }, "on request"),
    ] {
        assert_eq!(describe(&when), words);
    }
}
