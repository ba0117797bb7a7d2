//! When a schedule runs: the rule as data. `schedule` turns it into slots.

use serde::{Deserialize, Serialize};

use super::{CivilTime, Period, ZoneName};

/// When something runs: the timing and the zone whose calendar it follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// The rule.
    pub timing: Timing,
    /// The zone whose calendar and clock the rule is read on.
    pub timezone: ZoneName,
}

/// The rule itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// A calendar rule: `frequency`, `time`, `days`.
    Calendar {
        /// How often.
        frequency: Frequency,
        /// The civil time of day of each slot; for `hourly` only its minute counts.
        time: CivilTime,
        /// Which days; empty: every day (daily), Monday (weekly), the first (monthly, quarterly, yearly).
        days: Vec<DayRule>,
    },
    /// A five-field cron expression; with both day fields given, either matches, as cron does.
    Cron {
        /// The expression as written.
        expression: String,
    },
    /// Slots at a fixed distance, counted from midnight in the zone; a day and longer from 1 January 1970.
    Every {
        /// The distance.
        period: Period,
    },
    /// When the configuration changes.
    OnChange,
    /// When someone asks.
    OnRequest,
}

/// How often a calendar rule comes round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are their own explanation")]
pub enum Frequency {
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Quarterly,
    Yearly,
}

/// One entry of `days`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayRule {
    /// Each such weekday, 1 is Monday and 7 Sunday: `sun`.
    Weekday(i8),
    /// The n-th such weekday of the month, n from 1 to 5: `sun#1`.
    NthWeekday {
        /// 1 is Monday and 7 Sunday.
        weekday: i8,
        /// 1 is the first.
        nth: i8,
    },
    /// A day of the month, 1 to 31; a month without it has no slot.
    MonthDay(i8),
    /// The last day of the month: `last`.
    LastDay,
}
