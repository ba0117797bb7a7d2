//! Cron expressions: five fields, read strictly. Pure.
//!
//! The fields are checked, and names resolved, here before croner reads them: croner replaces names anywhere (`janfeb` is December to it,
//! `mon` a minute), and knows extensions (`W`, `?`, `+`, seconds, years) that other cron programs read differently.
//! Its search is not used at all; slots follow this module's one rule for clock changes.

use croner::CronPattern;
use croner::parser::{CronParser, Seconds, Year};

use super::ScheduleError;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A field: its name, its range, and names for its values from the lowest on.
struct Field {
    name: &'static str,
    low: u8,
    high: u8,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day of month", low: 1, high: 31, names: &[] },
    Field { name: "month", low: 1, high: 12, names: &MONTHS },
    Field { name: "day of week", low: 0, high: 7, names: &WEEKDAYS },
];
const DAY_OF_MONTH: usize = 2;
const DAY_OF_WEEK: usize = 4;

/// Reads an expression: which minutes, hours, days and months match.
pub(super) fn parse(expression: &str) -> Result<CronPattern, ScheduleError> {
    let wrong = |reason: String| ScheduleError::CronSyntax { expression: expression.to_owned(), reason };
    let lower = expression.trim().to_ascii_lowercase();
    let plain = match lower.as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        "@reboot" => return Err(wrong("@reboot is no time; use `on: request`".into())),
        macro_word if macro_word.starts_with('@') => {
            return Err(wrong("the words are @yearly, @monthly, @weekly, @daily and @hourly".into()));
        }
        fields => fields,
    };
    let fields: Vec<&str> = plain.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(wrong(format!("it has {} fields, and cron has 5", fields.len())));
    }
    let mut numbers = Vec::with_capacity(FIELDS.len());
    for (text, field) in fields.iter().zip(&FIELDS) {
        let items: Result<Vec<String>, String> = text.split(',').map(|item| plain_item(item, field)).collect();
        numbers.push(items.map_err(&wrong)?.join(","));
    }
    let (days, weekdays) = (fields[DAY_OF_MONTH], fields[DAY_OF_WEEK]);
    // Vixie's cron demands both fields where one begins with a star, others either: nobody knows what was meant.
    if days != "*" && weekdays != "*" && (days.contains('*') || weekdays.contains('*')) {
        return Err(wrong(
            "cron programs disagree about a day field with `*/` beside another day field; list the days".into(),
        ));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(&numbers.join(" ")).map(|cron| cron.pattern).map_err(|error| wrong(error.to_string().to_lowercase()))
}

/// Reads one item of a list, `*`, `5`, `mon`, `1-5`, each with `/2`, and `fri#2` or `l` where days are, into numbers.
fn plain_item(item: &str, field: &Field) -> Result<String, String> {
    let name = field.name;
    let is_weekday = name == FIELDS[DAY_OF_WEEK].name;
    if item == "l" && name == FIELDS[DAY_OF_MONTH].name {
        return Ok(item.to_owned());
    }
    if is_weekday && let Some((weekday, nth)) = item.split_once('#') {
        let weekday = value(weekday, field)?;
        return match nth {
            "1" | "2" | "3" | "4" | "5" => Ok(format!("{weekday}#{nth}")),
            _ => Err(format!("{nth:?} in {name} is no number from 1 to 5 after `#`")),
        };
    }
    let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
    let step = match step {
        None => String::new(),
        Some(text) => match number(text) {
            Some(step) if step > 0 && step <= field.high => format!("/{step}"),
            _ => return Err(format!("the step of {item:?} in {name} is no number from 1 to {}", field.high)),
        },
    };
    if range == "*" {
        return Ok(format!("*{step}"));
    }
    match range.split_once('-') {
        Some((low, high)) => {
            let (mut low, mut high) = (value(low, field)?, value(high, field)?);
            // Sunday is 0 and 7: it begins a week and ends one.
            if is_weekday && low == 7 && high != 7 {
                low = 0;
            }
            if is_weekday && high == 0 && low > 0 {
                high = 7;
            }
            if low > high {
                Err(format!("{item:?} in {name} ends before it begins"))
            } else {
                Ok(format!("{low}-{high}{step}"))
            }
        }
        None if !step.is_empty() => Err(format!("{item:?} in {name}: a step needs `*` or a range before it")),
        None => value(range, field).map(|value| value.to_string()),
    }
}

/// Reads one value of a field.
fn value(text: &str, field: &Field) -> Result<u8, String> {
    if let Some(index) = field.names.iter().position(|name| *name == text) {
        return Ok(field.low + index as u8);
    }
    match number(text) {
        Some(number) if (field.low..=field.high).contains(&number) => Ok(number),
        _ => Err(format!("{text:?} is no {}, which is {} to {}", field.name, field.low, field.high)),
    }
}

/// Reads digits, and nothing but digits.
fn number(text: &str) -> Option<u8> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
