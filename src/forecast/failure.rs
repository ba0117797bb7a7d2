//! Why there is no forecast, with codes and what to do. Pure.

use crate::diag::{Code, Diagnostic, Explain};
use crate::domain::Period;

/// The longest time that is looked ahead: 20 years.
pub const LONGEST: Period = Period::days(20 * 365 + 5);

/// Why there is no forecast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForecastError {
    /// It would be longer than anybody plans.
    #[error("{0} is too far ahead: a forecast is of at most 20 years, and of at least a day")]
    TooLong(Period),
    /// It would take too long.
    #[error("the forecast would look at {0} slots, and does at most {1}")]
    TooManySlots(usize, usize),
    /// A profile of faults that is none.
    #[error(transparent)]
    Faults(#[from] super::InvalidFaults),
    /// A growth that is none.
    #[error(transparent)]
    Growth(#[from] super::InvalidGrowth),
}

impl Explain for ForecastError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::TooLong(_) => ("BK960", "shorten it with --for, for example --for 400d or --for 5y"),
            Self::TooManySlots(..) => {
                ("BK961", "shorten it with --for; a schedule of every minute has 525,600 slots a year")
            }
            Self::Faults(_) => (
                "BK962",
                "write none, github-actions, late:30m, drop:2% or outage:3d@2026-03-01, several with commas between",
            ),
            Self::Growth(_) => ("BK963", "write --growth 0.5%/d"),
        };
        Diagnostic::error(Code(code), self.to_string()).help(help)
    }
}
