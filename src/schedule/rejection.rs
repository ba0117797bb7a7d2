//! Why a rule is no schedule. Pure.

use crate::diag::{Code, Diagnostic, Explain};
use crate::domain::{DayRule, Frequency, Period};

/// A rule that cannot be a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The cron expression cannot be read.
    #[error("cron expression {:?}: {}", cut(.expression), cut(.reason))]
    CronSyntax {
        /// As written.
        expression: String,
        /// What is wrong with it, lower case.
        reason: String,
    },
    /// The rule has no slot in any year.
    #[error("{} never comes: no calendar has such a day", cut(.rule))]
    NeverFires {
        /// The rule as written.
        rule: String,
    },
    /// A day of a kind that the frequency has no use for.
    #[error("{} is no day for a schedule that runs {}", day_word(*.day), frequency_word(*.frequency))]
    WrongDayKind {
        /// The frequency.
        frequency: Frequency,
        /// The day.
        day: DayRule,
    },
    /// A day outside every calendar: weekday 8, the sixth Sunday, the 32nd.
    #[error("there is no {}", day_word(*.day))]
    NoSuchDay {
        /// The day.
        day: DayRule,
    },
    /// `every` with a period of no length.
    #[error("every {0} is no distance between two slots")]
    NoPeriod(Period),
    /// `every` with a period longer than calendars reach.
    #[error("every {0} is longer than the calendar")]
    PeriodTooLong(Period),
}

impl ScheduleError {
    const fn code(&self) -> Code {
        Code(match self {
            Self::CronSyntax { .. } => "BK301",
            Self::NeverFires { .. } => "BK302",
            Self::WrongDayKind { .. } => "BK303",
            Self::NoSuchDay { .. } => "BK304",
            Self::NoPeriod(_) | Self::PeriodTooLong(_) => "BK305",
        })
    }

    fn help(&self) -> String {
        match self {
            Self::CronSyntax { .. } => {
                "write five fields: minute, hour, day of month, month, day of week, as in \"0 */6 * * mon-fri\"".into()
            }
            Self::NeverFires { .. } => "choose a day that at least some years have".into(),
            Self::WrongDayKind { frequency: Frequency::Hourly | Frequency::Daily | Frequency::Weekly, .. } => {
                "give weekdays such as `sun`, or use `frequency: monthly` for days of the month".into()
            }
            Self::WrongDayKind { day: DayRule::Weekday(day), .. } => {
                let word = weekday_short(*day);
                format!("write `{word}#1` for the first such day of the month, or use `frequency: weekly`")
            }
            Self::WrongDayKind { .. } => "give days of the month: 1 to 31, `last`, or `sun#1`".into(),
            Self::NoSuchDay { .. } => "weekdays are mon to sun, `#1` to `#5`; days of the month are 1 to 31".into(),
            Self::NoPeriod(_) => "give a period of at least one second, as in `every: 15m`".into(),
            Self::PeriodTooLong(_) => "give a period of at most 100y".into(),
        }
    }
}

impl Explain for ScheduleError {
    fn explain(&self) -> Diagnostic {
        Diagnostic::error(self.code(), self.to_string()).help(self.help())
    }
}

/// Returns a text as it may stand in a message: not pages of it.
fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    const MOST: usize = 200;
    text.char_indices().nth(MOST).map_or(text.into(), |(end, _)| format!("{}…", &text[..end]).into())
}

/// Returns the adverb of a frequency.
pub(super) const fn frequency_word(frequency: Frequency) -> &'static str {
    match frequency {
        Frequency::Hourly => "hourly",
        Frequency::Daily => "daily",
        Frequency::Weekly => "weekly",
        Frequency::Monthly => "monthly",
        Frequency::Quarterly => "quarterly",
        Frequency::Yearly => "yearly",
    }
}

/// Returns the policy language's word for a weekday, 1 being Monday.
pub(super) const fn weekday_short(weekday: i8) -> &'static str {
    match weekday {
        1 => "mon",
        2 => "tue",
        3 => "wed",
        4 => "thu",
        5 => "fri",
        6 => "sat",
        7 => "sun",
        _ => "?",
    }
}

/// Returns a day as the policy language writes it.
fn day_word(day: DayRule) -> String {
    match day {
        DayRule::Weekday(weekday @ 1..=7) => weekday_short(weekday).to_owned(),
        DayRule::Weekday(weekday) => format!("weekday {weekday}"),
        DayRule::NthWeekday { weekday: weekday @ 1..=7, nth } => format!("{}#{nth}", weekday_short(weekday)),
        DayRule::NthWeekday { weekday, nth } => format!("weekday {weekday}#{nth}"),
        DayRule::MonthDay(day) => format!("day {day} of the month"),
        DayRule::LastDay => "last day of the month".to_owned(),
    }
}
