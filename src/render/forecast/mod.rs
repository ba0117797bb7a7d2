//! A forecast for people: the verdict first, then what a change costs, objectives, restore points, storage, and what was
//! taken for granted. Pure.

mod change;
mod chart;
mod page;
mod tables;

pub use chart::forecast_svg;
pub use page::forecast_html;

use super::json::pretty;
use super::moment::{age, moment};
use super::style::{Style, Symbol, Tone};
use crate::domain::{ForecastReport, ForecastStart, ObjectiveForecast, ObjectiveKind, Period};

/// Writes a forecast as JSON.
#[must_use]
pub fn forecast_json(report: &ForecastReport) -> String {
    pretty(report)
}

/// Writes a forecast for people. `faults` asks for the table of missed slots, too.
#[must_use]
pub fn forecast_text(report: &ForecastReport, faults: bool, style: &Style) -> String {
    let mut out = verdict(report, style);
    let start = match report.start {
        ForecastStart::Catalog => "from what the catalog holds".to_owned(),
        ForecastStart::AsIf => style.paint(Tone::Warn, "as if the policies had run for a year before"),
        ForecastStart::Nothing => "from nothing".to_owned(),
    };
    let span = format!("{} to {}{}{start}", moment(report.begin), moment(report.end), style.dot());
    out.push_str(&format!("{}\n", style.paint(Tone::Dim, &span)));
    for refusal in &report.after.refusals {
        let mark = style.mark(Symbol::Shield);
        out.push_str(&format!("{mark} the first apply would be refused: {}\n", style.name(refusal)));
    }
    let sections = [
        change::section(report, style),
        tables::objectives(report, style),
        if faults { tables::misses(report, style) } else { None },
        Some(tables::points(report, style)),
        Some(tables::storage(report, style)),
        held(report, style),
        Some(assumptions(report, style)),
    ];
    for section in sections.into_iter().flatten() {
        out.push_str(&format!("\n{section}"));
    }
    out
}

/// Returns the verdict in one line, and each violation in a line of its own.
fn verdict(report: &ForecastReport, style: &Style) -> String {
    let length = whole_days(Period::between(report.begin, report.end));
    let mut out = String::new();
    let violated: Vec<&ObjectiveForecast> = report.objectives.iter().filter(|o| o.violated_at.is_some()).collect();
    let all = report.objectives.len();
    let (symbol, tone, words) = match (violated.len(), all) {
        (0, 0) => (Symbol::Attention, Tone::Warn, format!("Nothing has an objective to hold for {length}.")),
        (0, 1) => (Symbol::Good, Tone::Good, format!("The one objective holds for {length}.")),
        (0, _) => (Symbol::Good, Tone::Good, format!("Every objective holds for {length}.")),
        (n, all) => {
            (Symbol::Bad, Tone::Bad, format!("{n} of {all} objectives {} broken.", if n == 1 { "is" } else { "are" }))
        }
    };
    out.push_str(&format!("{} {}\n", style.mark(symbol), style.paint(tone, &words)));
    for objective in violated {
        let mark = style.mark(Symbol::Attention);
        out.push_str(&format!("  {mark} {}\n", style.name(&violation(objective))));
    }
    out
}

/// Says how an objective is violated.
pub(super) fn violation(objective: &ObjectiveForecast) -> String {
    let limit = age(objective.limit);
    let whose = format!("{} in {}", objective.address, objective.database);
    let when = objective.violated_at.map_or_else(String::new, moment);
    let again = match objective.violations {
        0 | 1 => String::new(),
        n => format!(", and {} more time{}", n - 1, if n == 2 { "" } else { "s" }),
    };
    match (objective.kind, objective.worst) {
        (ObjectiveKind::Rpo, None) => format!("{whose}: RPO {limit}, and there is never a backup"),
        (ObjectiveKind::Rpo, Some(worst)) => {
            format!("{whose}: RPO {limit} is exceeded on {when}{again}; {} would be lost at worst", age(worst))
        }
        (ObjectiveKind::History, None) => format!("{whose}: a restore never reaches back {limit}"),
        (ObjectiveKind::History, Some(worst)) => {
            format!("{whose}: from {when} on a restore no longer reaches back {limit}, but {}", age(worst))
        }
    }
}

fn held(report: &ForecastReport, style: &Style) -> Option<String> {
    let held = &report.after.held;
    if held.is_empty() && report.after.missed == 0 {
        return None;
    }
    let mut out = format!("{}\n", style.heading("What stays undone"));
    if report.after.missed > 0 {
        let slots = super::action::count64(report.after.missed, "slot");
        out.push_str(&format!("  {} {slots} no run took in time\n", style.mark(Symbol::Attention)));
    }
    for words in held {
        out.push_str(&format!("  {} {}\n", style.mark(Symbol::Shield), style.name(words)));
    }
    Some(out)
}

fn assumptions(report: &ForecastReport, style: &Style) -> String {
    let mut out = format!("{}\n", style.heading("Taken for granted"));
    for words in &report.assumptions {
        out.push_str(&format!("  - {}\n", style.paint(Tone::Dim, &style.name(words))));
    }
    out
}

/// Writes a length in days where it is of whole days: `400 days`.
pub(super) fn whole_days(period: Period) -> String {
    let seconds = period.as_seconds();
    match seconds / 86_400 {
        1 if seconds == 86_400 => "1 day".to_owned(),
        days if seconds % 86_400 == 0 => format!("{days} days"),
        _ => age(period),
    }
}

/// Writes how far back something reaches, by days where there are any.
pub(super) fn reach(depth: Option<Period>) -> String {
    match depth {
        None => "-".to_owned(),
        Some(depth) if depth >= Period::days(2) => format!("{}d", depth.as_seconds() / 86_400),
        Some(depth) => age(depth),
    }
}
