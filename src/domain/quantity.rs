//! Amounts with their units.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Adds, stopping at the largest number.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self(0), Self::plus)
    }
}

impl fmt::Display for Bytes {
    /// Writes with three digits and a binary unit: `1.25 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let mut unit = 0;
        let mut scaled = u128::from(self.0) * 100;
        while scaled >= 102_400 && unit + 1 < UNITS.len() {
            scaled /= 1024;
            unit += 1;
        }
        let (whole, cents) = (scaled / 100, scaled % 100);
        match (unit, whole) {
            (0, _) => write!(f, "{whole} B"),
            (_, 100..) => write!(f, "{whole} {}", UNITS[unit]),
            (_, 10..) => write!(f, "{whole}.{} {}", cents / 10, UNITS[unit]),
            _ => write!(f, "{whole}.{cents:02} {}", UNITS[unit]),
        }
    }
}

/// A text that is no number of bytes; carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: write it as 512MiB, 2TiB or 500GB")]
pub struct ParseBytesError(pub String);

impl FromStr for Bytes {
    type Err = ParseBytesError;

    /// Reads a whole or decimal number with a unit: KiB to PiB count by 1024, kB to PB by 1000, B alone.
    fn from_str(text: &str) -> Result<Self, ParseBytesError> {
        let invalid = || ParseBytesError(text.to_owned());
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(invalid)?;
        let (number, unit) = (text[..unit_at].trim(), text[unit_at..].trim_end());
        let factor: u128 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "PiB" => 1 << 50,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "PB" => 1_000_000_000_000_000,
            _ => return Err(invalid()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() > 18 || fraction.len() > 6 {
            return Err(invalid());
        }
        let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| invalid())?);
        let whole: u128 = whole.parse().map_err(|_| invalid())?;
        let part: u128 = fraction.parse().map_err(|_| invalid())?;
        let bytes = (whole * scale + part) * factor / scale;
        u64::try_from(bytes).map(Self).map_err(|_| invalid())
    }
}

/// A share from 0 % to 100 %, in hundredths of a percent, so that plans need no floating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u32);

/// A text that is no [`Percent`]; carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a percentage from 0% to 100%: write it as 10% or 2.5%")]
pub struct ParsePercentError(pub String);

impl Percent {
    /// Makes a share of so many hundredths of a percent, at most 10,000.
    #[must_use]
    pub const fn hundredths(hundredths: u32) -> Self {
        Self(if hundredths > 10_000 { 10_000 } else { hundredths })
    }

    /// Returns whether it is all of it.
    #[must_use]
    pub const fn is_all(self) -> bool {
        self.0 == 10_000
    }

    /// Returns whether `part` of `whole` is more than this share.
    #[must_use]
    pub fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 10_000 > u128::from(whole) * u128::from(self.0)
    }
}

impl FromStr for Percent {
    type Err = ParsePercentError;
    fn from_str(text: &str) -> Result<Self, ParsePercentError> {
        let invalid = || ParsePercentError(text.to_owned());
        let number = text.trim().strip_suffix('%').ok_or_else(invalid)?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 2 || whole.len() > 3 {
            return Err(invalid());
        }
        let cents: u32 = format!("{fraction:0<2}").parse().map_err(|_| invalid())?;
        let hundredths = whole.parse::<u32>().map_err(|_| invalid())? * 100 + cents;
        if hundredths > 10_000 { Err(invalid()) } else { Ok(Self(hundredths)) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, cents) = (self.0 / 100, self.0 % 100);
        if cents == 0 { write!(f, "{whole}%") } else { write!(f, "{whole}.{cents:02}%") }
    }
}

impl TryFrom<String> for Percent {
    type Error = ParsePercentError;
    fn try_from(text: String) -> Result<Self, ParsePercentError> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}
