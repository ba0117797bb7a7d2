//! Plans, reports, status and diagnostics to text and JSON strings. Pure: it never prints, and reads no clock, no
//! environment and no file.
//!
//! Every function that writes for people takes a [`Style`], and every name or sentence that may come from a database,
//! a policy or a server goes through [`escape`] (or [`Style::name`], which also obeys terminals without Unicode): a
//! tenant called `\u{1b}[2J` must not clear the screen that shows its deletion.

mod action;
mod backups;
mod diagnostics;
mod document;
mod escape;
mod evidence;
mod forecast;
mod json;
mod moment;
mod plan;
mod report;
mod restoration;
mod status;
mod style;
mod table;

pub use backups::{backups_json, backups_text};
pub use diagnostics::{FINDINGS_FORMAT, Sources, diagnostics_json, diagnostics_text, findings_summary};
pub use escape::escape;
pub use evidence::evidence_text;
pub use forecast::{forecast_html, forecast_json, forecast_svg, forecast_text};
pub use json::{PlanFormatError, event_line, evidence_json, plan_json, read_plan, report_json};
pub use moment::{age, elapsed, moment};
pub use plan::{PlanView, plan_text, plan_totals};
pub use report::{outcome_line, report_text};
pub use restoration::{restoration_json, restoration_text};
pub use status::{STATUS_FORMAT, is_breached, status_json, status_text};
pub use style::{Style, Symbol, Tone};

pub use action::action_title;
