//! Lengths and times of day in the words of a proof, and durations as a policy writes them. Pure.

use jiff::tz::TimeZone;

use crate::domain::{Instant, Period, ZoneName};

/// Says how long: `25 h`, `1 h 30 min`, `31 d 1 h`.
pub(super) fn length(period: Period) -> String {
    let seconds = period.as_seconds();
    let units = if seconds < 96 * 3600 { [(3600, "h"), (60, "min"), (1, "s")].as_slice() } else { DAYS };
    let mut left = seconds;
    let mut words = Vec::new();
    for (size, unit) in units {
        if left / size > 0 {
            words.push(format!("{} {unit}", left / size));
        }
        left %= size;
    }
    if words.is_empty() { "0 s".to_owned() } else { words.join(" ") }
}

const DAYS: &[(i64, &str)] = &[(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];

/// Writes a duration as a policy does, rounded up to a whole minute: `26h`, `25h30m`, `31d1h`.
pub(super) fn edit(period: Period) -> String {
    let minutes = (period.as_seconds() + 59) / 60;
    if minutes >= 96 * 60 {
        return Period::minutes(minutes).to_string();
    }
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes}m"),
        (hours, 0) => format!("{hours}h"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    }
}

/// Writes a duration as a policy does, rounded down to a whole unit that is at least a hundredth of it.
pub(super) fn edit_down(period: Period) -> String {
    let seconds = period.as_seconds();
    for (size, unit) in [(86_400, 'd'), (3600, 'h'), (60, 'm')] {
        if seconds / size >= 2 {
            return format!("{}{unit}", seconds / size);
        }
    }
    format!("{seconds}s")
}

/// Says from when to when: `02:00 on 25 and 02:00 on 26 October 2026`.
pub(super) fn span(begin: Instant, end: Instant, zone: &ZoneName) -> String {
    let zone = zone.zone();
    let (first, last) = (zone.to_datetime(begin), zone.to_datetime(end));
    let shown = if first.date() == last.date() {
        ""
    } else if (first.year(), first.month()) == (last.year(), last.month()) {
        " on %-d"
    } else if first.year() == last.year() {
        " on %-d %B"
    } else {
        " on %-d %B %Y"
    };
    format!("{}{} and {}", time(begin, &zone), first.strftime(shown), on(end, &zone))
}

/// Says when: `02:00 on 26 October 2026`.
pub(super) fn moment(instant: Instant, zone: &ZoneName) -> String {
    on(instant, &zone.zone())
}

fn on(instant: Instant, zone: &TimeZone) -> String {
    format!("{} on {}", time(instant, zone), zone.to_datetime(instant).strftime("%-d %B %Y"))
}

/// Says the time of day, with seconds where there are any.
fn time(instant: Instant, zone: &TimeZone) -> String {
    let shown = zone.to_datetime(instant);
    shown.strftime(if shown.second() == 0 { "%H:%M" } else { "%H:%M:%S" }).to_string()
}

#[cfg(test)]
mod tests {
    use super::{edit, length, span};
    use crate::domain::{Period, ZoneName};

    #[test]
    fn a_length_is_said_in_hours_up_to_four_days() {
        for (seconds, words, written) in [
            (0, "0 s", "0m"),
            (90_000, "25 h", "25h"),
            (5400, "1 h 30 min", "1h30m"),
            (2_682_000, "31 d 1 h", "31d1h"),
            (61, "1 min 1 s", "2m"),
        ] {
            assert_eq!(
                (length(Period::seconds(seconds)).as_str(), edit(Period::seconds(seconds)).as_str()),
                (words, written)
            );
        }
    }

    #[test]
    fn a_span_says_each_part_of_a_date_once() {
        let berlin = ZoneName::try_from("Europe/Berlin".to_owned()).unwrap();
        let said = |begin: &str, end: &str| span(begin.parse().unwrap(), end.parse().unwrap(), &berlin);
        assert_eq!(said("2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"), "02:00 on 25 and 02:00 on 26 October 2026");
        assert_eq!(said("2026-10-25T07:00:00Z", "2026-10-25T08:00:00Z"), "08:00 and 09:00 on 25 October 2026");
        assert_eq!(said("2026-06-30T22:00:00Z", "2026-07-31T22:00:00Z"), "00:00 on 1 July and 00:00 on 1 August 2026");
        assert_eq!(
            said("2026-12-31T22:00:00Z", "2026-12-31T23:00:00Z"),
            "23:00 on 31 December 2026 and 00:00 on 1 January 2027"
        );
    }
}
