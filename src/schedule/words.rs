//! Schedules in words for people. Pure.

use super::rejection::frequency_word;
use crate::domain::{DayRule, Frequency, Timing, When};

/// Says when a schedule runs: `daily at 02:00 Asia/Seoul`.
#[must_use]
pub fn describe(when: &When) -> String {
    let zone = &when.timezone;
    match &when.timing {
        Timing::OnChange => "when the configuration changes".to_owned(),
        Timing::OnRequest => "on request".to_owned(),
        Timing::Cron { expression } => format!("cron {} {zone}", expression.trim()),
        Timing::Every { period } if period.as_seconds() < 86_400 => format!("every {period} from midnight {zone}"),
        Timing::Every { period } => format!("every {period} from 1 January 1970 {zone}"),
        Timing::Calendar { frequency, time, days } => {
            let on = days_words(*frequency, days);
            match frequency {
                Frequency::Hourly => format!("hourly at minute {}{on} {zone}", time.to_civil().minute()),
                _ => format!("{}{on} at {time} {zone}", frequency_word(*frequency)),
            }
        }
    }
}

/// Says on which days, with a space before; nothing where it is every day.
fn days_words(frequency: Frequency, days: &[DayRule]) -> String {
    let default = match frequency {
        Frequency::Hourly | Frequency::Daily => None,
        Frequency::Weekly => Some(DayRule::Weekday(1)),
        Frequency::Monthly | Frequency::Quarterly | Frequency::Yearly => Some(DayRule::MonthDay(1)),
    };
    let mut days = days.to_vec();
    if days.is_empty() {
        days.extend(default);
    }
    days.sort_unstable();
    days.dedup();
    let words: Vec<String> = days.into_iter().map(day_words).collect();
    let months = match frequency {
        Frequency::Quarterly => " of January, April, July and October",
        Frequency::Yearly => " of January",
        _ => "",
    };
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => format!(" on {last}{months}"),
        Some((last, others)) => format!(" on {} and {last}{months}", others.join(", ")),
    }
}

fn day_words(day: DayRule) -> String {
    match day {
        DayRule::Weekday(weekday) => weekday_name(weekday).to_owned(),
        DayRule::NthWeekday { weekday, nth } => {
            let nth = ["first", "second", "third", "fourth", "fifth"].get((nth - 1).unsigned_abs() as usize);
            format!("the {} {}", nth.unwrap_or(&"?"), weekday_name(weekday))
        }
        DayRule::MonthDay(day) => {
            let ending = match (day % 10, day / 10) {
                (1, 0 | 2 | 3) => "st",
                (2, 0 | 2) => "nd",
                (3, 0 | 2) => "rd",
                _ => "th",
            };
            format!("the {day}{ending}")
        }
        DayRule::LastDay => "the last day".to_owned(),
    }
}

const fn weekday_name(weekday: i8) -> &'static str {
    match weekday {
        1 => "Monday",
        2 => "Tuesday",
        3 => "Wednesday",
        4 => "Thursday",
        5 => "Friday",
        6 => "Saturday",
        7 => "Sunday",
        _ => "?",
    }
}
