//! Instants and lengths of time as people read them. Pure; what is stored stays RFC 3339.

use crate::domain::{Instant, Period};

/// Writes an instant to the minute: `2026-11-20 02:00 UTC`.
#[must_use]
pub fn moment(instant: Instant) -> String {
    instant.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Writes an instant to the minute for a column whose heading says UTC: `2026-11-20 02:00`.
pub(super) fn moment_cell(instant: Instant) -> String {
    instant.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Writes a length of time by its two largest units: `3h 12m`, `12d 4h`, `45s`.
#[must_use]
pub fn age(period: Period) -> String {
    const UNITS: [(&str, i64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let seconds = period.as_seconds();
    let Some(first) = UNITS.iter().position(|(_, size)| seconds >= *size) else { return "0s".to_owned() };
    let (unit, size) = UNITS[first];
    let mut words = format!("{}{unit}", seconds / size);
    if let Some((unit, next)) = UNITS.get(first + 1)
        && (seconds % size) / next > 0
    {
        words = format!("{words} {}{unit}", (seconds % size) / next);
    }
    words
}

/// Writes how long something took: `0.8 s`, `12.4 s`, `3m 12s`.
#[must_use]
pub fn elapsed(milliseconds: u64) -> String {
    let tenths = milliseconds.saturating_add(50) / 100;
    if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else {
        age(Period::seconds(i64::try_from(milliseconds.saturating_add(500) / 1000).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::{age, elapsed, moment};
    use crate::domain::Period;

    #[test]
    fn an_age_has_two_units_at_most() {
        for (seconds, words) in [
            (0, "0s"),
            (45, "45s"),
            (60, "1m"),
            (11_520, "3h 12m"),
            (86_400, "1d"),
            (1_051_200, "12d 4h"),
            (90_061, "1d 1h"),
        ] {
            assert_eq!(age(Period::seconds(seconds)), words);
        }
    }

    #[test]
    fn an_instant_is_shown_to_the_minute_in_utc() {
        assert_eq!(moment("2026-11-20T03:00:59+01:00".parse().unwrap()), "2026-11-20 02:00 UTC");
    }

    #[test]
    fn what_took_long_is_not_shown_in_tenths() {
        assert_eq!(elapsed(840), "0.8 s");
        assert_eq!(elapsed(50), "0.1 s");
        assert_eq!(elapsed(59_949), "59.9 s");
        assert_eq!(elapsed(59_950), "1m");
        assert_eq!(elapsed(12_400), "12.4 s");
        assert_eq!(elapsed(192_000), "3m 12s");
    }
}
