//! Policies out of what people have: crontabs, CronJob manifests, fragments of YAML, a catalog. Pure. Each conversion
//! says what it took and what it left; nothing is dropped silently, nothing secret is repeated, and what is written
//! reads back without an error.

mod catalog;
mod command;
mod cronjobs;
mod crontab;
mod documents;
mod fragments;
mod jobs;
mod places;
mod plans;
mod rows;
mod shell;

pub use catalog::{Defined, applied};
pub use cronjobs::cronjobs;
pub use crontab::crontab;
pub use fragments::fragments;

use crate::domain::{Instant, Period, ZoneName};
use crate::policy::write::{Line, Value};

/// What a conversion is told beside its text.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// The zone of schedules that do not say theirs.
    pub timezone: Option<ZoneName>,
    /// Today, for what has to end some day.
    pub now: Instant,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// A policy file; absent where nothing could be taken.
    pub text: Option<String>,
    /// What was taken, one line for each.
    pub taken: Vec<String>,
    /// What was not, one line for each, with the reason.
    pub left: Vec<String>,
}

/// How many lines about things that were left stand in a file.
const MOST_LEFT: usize = 500;

impl Imported {
    /// Ends a draft with what was left out.
    fn of(mut draft: super::write::Draft, taken: Vec<String>, left: Vec<String>) -> Self {
        for line in left.iter().take(MOST_LEFT) {
            draft.say(format!("not imported: {line}"));
        }
        if left.len() > MOST_LEFT {
            draft.say(format!("not imported: {} more of the kind", left.len() - MOST_LEFT));
        }
        let text = (!draft.is_empty()).then(|| draft.text());
        Self { text, taken, left }
    }
}

/// Returns a pause for what is switched off where it came from: bkup wants an end, so that nothing is forgotten.
fn pause(now: Instant, reason: &str) -> Line {
    let until = Period::days(90).after(now).to_string();
    let entries = vec![("until", Value::quoted(until.get(..10).unwrap_or_default())), ("reason", Value::text(reason))];
    Line::new("suspend", Value::Inline(entries)).note("decide: a pause has an end")
}

/// Returns a count with its word.
fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
