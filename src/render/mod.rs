//! Plans, reports, status and diagnostics to text, Markdown and JSON strings. Pure: it never prints, and reads no clock, no
//! environment and no file.
//!
//! Every function that writes for people takes a [`Style`], and every name or sentence that may come from a database,
//! a policy or a server goes through [`escape`] (or [`Style::name`], which also obeys terminals without Unicode): a
//! tenant called `\u{1b}[2J` must not clear the screen that shows its deletion.

mod action;
mod adoption;
mod backups;
mod coverage;
mod diagnostics;
mod difference;
mod document;
mod drift;
mod erasure;
mod escape;
mod evidence;
mod explanation;
mod forecast;
mod github;
mod iam;
mod json;
mod life;
mod logs;
mod markdown;
mod moment;
mod page;
mod pages;
mod place;
mod plan;
mod rebuilt;
mod report;
mod restoration;
mod roles;
mod sarif;
mod status;
mod style;
mod swap;
mod table;
mod trial;
mod verdict;
mod wrap;

pub use adoption::{adoption_json, adoption_text};
pub use backups::{backups_json, backups_text};
pub use coverage::{coverage_json, coverage_text};
pub use diagnostics::{
    FINDINGS_FORMAT, Findings, FixMade, Sources, diagnostics_json, diagnostics_text, findings_summary, fixes_text,
    judged_json, suppressed_summary,
};
pub use difference::{FormattedFile, FormattedState, difference_text, formatted_json};
pub use drift::{DRIFT_FORMAT, drift_json, drift_text};
pub use erasure::{erased_json, erased_text, erasure_json, erasure_text};
pub use escape::escape;
pub use evidence::evidence_text;
pub use explanation::{EXPLANATION_FORMAT, explanations_json, explanations_text};
pub use forecast::{forecast_html, forecast_json, forecast_svg, forecast_text};
pub use github::{annotations, diagnostics_github, heredoc, mask};
pub use iam::{IamGrants, LARGEST_BUCKET, LARGEST_IDENTITY, iam_json};
pub use json::{PlanFormatError, event_line, evidence_json, plan_json, read_plan, report_json};
pub use life::{life_json, life_text, orphans_json, orphans_text, undeleted_json, undeleted_text};
pub use logs::{
    backup_log_json, backup_log_text, canceled_json, canceled_text, run_log_json, run_log_text, runs_json, runs_text,
};
pub use markdown::{Markdown, PlanMarkdown, clipped, marker, plan_markdown, report_markdown, status_markdown};
pub use moment::{age, elapsed, moment};
pub use page::{PAGE_FORMAT, Page, Section, near, page, page_json, page_text};
pub use pages::pages;
pub use plan::{PLAN_CODES, PlanView, plan_findings, plan_text, plan_totals};
pub use rebuilt::{rebuilt_json, rebuilt_text};
pub use report::{outcome_line, report_text};
pub use restoration::{restoration_json, restoration_text};
pub use roles::{backup_role_sql, roles_sql};
pub use sarif::{SarifTool, diagnostics_sarif};
pub use status::{STATUS_FORMAT, is_breached, status_json, status_text};
pub use style::{Style, Symbol, Tone};
pub use swap::{SwapOf, restore_plan_json, restore_plan_text, swap_text, swapped_json, table_words, undone_text};
pub use trial::{trial_json, trial_junit, trial_text};

pub use action::action_title;
