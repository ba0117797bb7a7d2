//! Plans, reports and events as JSON, and plans back from it. Pure.

use super::escape::json_safe;
use crate::diag::{Code, Diagnostic, Explain};
use crate::domain::{ApplyReport, Event, Evidence, PLAN_FORMAT, Plan};

/// Writes a plan as JSON that a person can read; it holds no secrets by construction.
#[must_use]
pub fn plan_json(plan: &Plan) -> String {
    pretty(plan)
}

/// Writes the evidence of a drill as JSON, for people and `--evidence`; what is stored is the drill's own writing.
#[must_use]
pub fn evidence_json(evidence: &Evidence) -> String {
    pretty(evidence)
}

/// Writes a report as JSON.
#[must_use]
pub fn report_json(report: &ApplyReport) -> String {
    pretty(report)
}

/// Writes an event as one line of JSON, with its line end.
#[must_use]
pub fn event_line(event: &Event) -> String {
    // Names are JSON strings, which have no raw line ends: one event is one line whatever they hold.
    serde_json::to_string(event).map(|line| json_safe(&line) + "\n").unwrap_or_default()
}

pub(super) fn pretty<T: serde::Serialize>(value: &T) -> String {
    // Keys are strings and there is no floating point in these types, so this cannot fail.
    serde_json::to_string_pretty(value).map(|text| json_safe(&text) + "\n").unwrap_or_default()
}

/// Why a text is no plan that this version can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFormatError {
    /// It is no JSON, or lacks what every plan has.
    #[error("not a plan: {0}")]
    NotAPlan(String),
    /// It is of another major version.
    #[error("the plan has format {found}; this version reads format {}.x", major(PLAN_FORMAT))]
    OtherMajor {
        /// The version it says it has.
        found: String,
    },
}

impl Explain for PlanFormatError {
    fn explain(&self) -> Diagnostic {
        let finding = Diagnostic::error(Code("BK893"), self.to_string());
        match self {
            Self::NotAPlan(_) => finding.help("write a plan with `bkup plan --out plan.json`"),
            Self::OtherMajor { .. } => {
                finding.help("make the plan anew with this version, or read it with the version that made it")
            }
        }
    }
}

/// Reads a plan. Unknown fields are ignored; another major version of the form is refused before anything else is
/// looked at. Whether the digests agree with the content is for the caller, who knows how they are made.
///
/// # Errors
/// Where the text is no plan, or one of another major version.
pub fn read_plan(text: &str) -> Result<Plan, PlanFormatError> {
    #[derive(serde::Deserialize)]
    struct Head {
        format_version: String,
    }
    let head: Head = serde_json::from_str(text).map_err(|error| PlanFormatError::NotAPlan(error.to_string()))?;
    if major(&head.format_version) != major(PLAN_FORMAT) {
        return Err(PlanFormatError::OtherMajor { found: head.format_version });
    }
    serde_json::from_str(text).map_err(|error| PlanFormatError::NotAPlan(error.to_string()))
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}
