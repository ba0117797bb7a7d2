//! Instants, lengths of time, zones and times of day. No clock is read here: `now` is always a parameter.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A point in time, to the nanosecond, always UTC; serialized as RFC 3339.
pub type Instant = jiff::Timestamp;

/// A length of time in whole seconds. A day is 24 hours, a week 7 days, a year 365 days: lengths are not calendar units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(i64);

/// A text that is no [`Period`]; carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration: write 90s, 15m, 6h, 30d, 2w or 1y, or words such as `30 minutes`")]
pub struct ParsePeriodError(pub String);

impl Period {
    /// Makes a period of so many seconds; negative ones become zero.
    #[must_use]
    pub const fn seconds(seconds: i64) -> Self {
        Self(if seconds < 0 { 0 } else { seconds })
    }

    /// Makes a period of so many minutes.
    #[must_use]
    pub const fn minutes(minutes: i64) -> Self {
        Self::seconds(minutes.saturating_mul(60))
    }

    /// Makes a period of so many hours.
    #[must_use]
    pub const fn hours(hours: i64) -> Self {
        Self::seconds(hours.saturating_mul(3600))
    }

    /// Makes a period of so many days of 24 hours.
    #[must_use]
    pub const fn days(days: i64) -> Self {
        Self::seconds(days.saturating_mul(86_400))
    }

    /// Returns the length in seconds.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0
    }

    /// Returns the time from `begin` to `end` in whole seconds; zero where `end` is earlier.
    #[must_use]
    pub fn between(begin: Instant, end: Instant) -> Self {
        Self::seconds(end.as_second().saturating_sub(begin.as_second()))
    }

    /// Returns the instant this much after `instant`, at most the last one there is.
    #[must_use]
    pub fn after(self, instant: Instant) -> Instant {
        instant.checked_add(jiff::SignedDuration::from_secs(self.0)).unwrap_or(Instant::MAX)
    }

    /// Returns the instant this much before `instant`, at least the first one there is.
    #[must_use]
    pub fn before(self, instant: Instant) -> Instant {
        instant.checked_sub(jiff::SignedDuration::from_secs(self.0)).unwrap_or(Instant::MIN)
    }

    /// Returns the period as a standard duration.
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0.unsigned_abs())
    }
}

const UNITS: [(&str, i64); 20] = [
    ("s", 1),
    ("sec", 1),
    ("second", 1),
    ("seconds", 1),
    ("m", 60),
    ("min", 60),
    ("minute", 60),
    ("minutes", 60),
    ("h", 3600),
    ("hour", 3600),
    ("hours", 3600),
    ("d", 86_400),
    ("day", 86_400),
    ("days", 86_400),
    ("w", 604_800),
    ("week", 604_800),
    ("weeks", 604_800),
    ("y", 31_536_000),
    ("year", 31_536_000),
    ("years", 31_536_000),
];

impl FromStr for Period {
    type Err = ParsePeriodError;

    /// Reads `90s`, `15m`, `1h30m`, `30 minutes`, `2 weeks`. Units are lower case; `M` and `mo` are refused, since a
    /// month has no length.
    fn from_str(text: &str) -> Result<Self, ParsePeriodError> {
        let invalid = || ParsePeriodError(text.to_owned());
        let mut rest = text.trim();
        let mut total: i64 = 0;
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: i64 = rest[..digits].parse().map_err(|_| invalid())?;
            rest = rest[digits..].trim_start();
            let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let unit = &rest[..letters];
            let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
            total = number.checked_mul(*seconds).and_then(|n| total.checked_add(n)).ok_or_else(invalid)?;
            rest = rest[letters..].trim_start();
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut left = self.0;
        for (unit, seconds) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
            let count = left / seconds;
            left %= seconds;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Period {
    type Error = ParsePeriodError;
    fn try_from(text: String) -> Result<Self, ParsePeriodError> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time: 90s, 15m, 6h, 30d, 2w, 1y, or words such as `30 minutes`.",
            "pattern": "^\\s*([0-9]+\\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?|y|years?)\\s*)+$",
            "examples": ["15m", "6h", "30 minutes", "1y"]
        })
    }
}

/// The name of an IANA time zone that exists in the bundled database, such as `Asia/Seoul`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZoneName(String);

impl ZoneName {
    /// Returns UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self("UTC".to_owned())
    }

    /// Returns the rules of the zone.
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.0).unwrap_or(TimeZone::UTC)
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ZoneName {
    fn default() -> Self {
        Self::utc()
    }
}

impl TryFrom<String> for ZoneName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match TimeZone::get(&text) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(format!("{text:?} is not an IANA time zone: write one such as Asia/Seoul or UTC")),
        }
    }
}

impl From<ZoneName> for String {
    fn from(zone: ZoneName) -> Self {
        zone.0
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A time of day to the minute, written `"02:00"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CivilTime {
    hour: i8,
    minute: i8,
}

impl CivilTime {
    /// Makes a time of day; `None` outside 00:00 to 23:59.
    #[must_use]
    pub const fn new(hour: i8, minute: i8) -> Option<Self> {
        if hour >= 0 && hour < 24 && minute >= 0 && minute < 60 { Some(Self { hour, minute }) } else { None }
    }

    /// Returns it as a civil time with zero seconds.
    #[must_use]
    pub const fn to_civil(self) -> jiff::civil::Time {
        jiff::civil::Time::constant(self.hour, self.minute, 0, 0)
    }
}

impl TryFrom<String> for CivilTime {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let invalid = || format!("{text:?} is not a time of day: write it with quotes, as \"02:00\"");
        let mut parts = text.split(':');
        let (Some(hour), Some(minute), seconds, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(invalid());
        };
        let two = |part: &str| {
            if part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) { part.parse::<i8>().ok() } else { None }
        };
        if seconds.is_some_and(|s| s != "00") {
            return Err(invalid());
        }
        two(hour).zip(two(minute)).and_then(|(h, m)| Self::new(h, m)).ok_or_else(invalid)
    }
}

impl From<CivilTime> for String {
    fn from(time: CivilTime) -> Self {
        time.to_string()
    }
}

impl fmt::Display for CivilTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// A time that may be open at either end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Between {
    /// Its first instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Instant>,
    /// The first one behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
}

impl Between {
    /// Returns whether it has no ends.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.from.is_none() && self.until.is_none()
    }

    /// Returns whether an instant is in it.
    #[must_use]
    pub fn has(&self, instant: Instant) -> bool {
        self.from.is_none_or(|from| from <= instant) && self.until.is_none_or(|until| instant < until)
    }
}
