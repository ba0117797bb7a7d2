//! The drift of a plan: what people must mend, as a section of a plan, and all of it by itself for `bkup drift`. Pure.

use serde::Serialize;

use super::action::count;
use super::json::pretty;
use super::moment::moment;
use super::plan::{actions_of, narrowed};
use super::style::{Style, Symbol, Tone};
use super::wrap::wrapped;
use crate::domain::{Action, ActionClass, DriftFinding, DriftSeverity, Held, HeldReason, Instant, Plan};

/// The version of the drift's JSON form, `major.minor`.
pub const DRIFT_FORMAT: &str = "1.0";

/// Returns the sections of differences that no action mends, and of notes; none where there is neither.
pub(super) fn sections(plan: &Plan, style: &Style) -> Vec<String> {
    let (counted, notes): (Vec<&DriftFinding>, Vec<&DriftFinding>) =
        plan.findings.iter().partition(|finding| finding.counts());
    [("Drift that bkup leaves to people", counted), ("Notes: not known, or lived with", notes)]
        .into_iter()
        .filter(|(_, findings)| !findings.is_empty())
        .map(|(title, findings)| {
            let head = format!("{} ({})\n", style.heading(title), findings.len());
            head + &findings.into_iter().map(|finding| one(finding, style)).collect::<String>()
        })
        .collect()
}

fn one(finding: &DriftFinding, style: &Style) -> String {
    let (mark, tone) = match finding.severity {
        DriftSeverity::Error => (style.mark(Symbol::Bad), Tone::Strong),
        DriftSeverity::Warning => (style.mark(Symbol::Attention), Tone::Strong),
        DriftSeverity::Note => (style.paint(Tone::Dim, "-"), Tone::Dim),
    };
    let room = style.width.saturating_sub(6).max(20);
    let words = format!("{}: {} [{}]", finding.address, style.name(&finding.words), style.name(&finding.code));
    let mut out = String::new();
    for (index, line) in wrapped(&words, room).iter().enumerate() {
        let before = if index == 0 { format!("  {mark} ") } else { "    ".to_owned() };
        out.push_str(&format!("{before}{}\n", if index == 0 { style.paint(tone, line) } else { line.clone() }));
    }
    for (index, line) in wrapped(&format!("help: {}", style.name(&finding.help)), room).iter().enumerate() {
        let line = if index == 0 { line.replacen("help:", &style.paint(Tone::Note, "help:"), 1) } else { line.clone() };
        out.push_str(&format!("      {line}\n"));
    }
    out
}

/// Writes the drift of a plan for people: what an apply mends, what is left to them, and what is not known.
#[must_use]
pub fn drift_text(plan: &Plan, next: Option<&str>, style: &Style) -> String {
    let mending = plan.actions.iter().filter(|action| action.class == ActionClass::Drift).count();
    let left = plan.findings.iter().filter(|finding| finding.counts()).count();
    let (blind, verdict) =
        (blind(plan), |symbol, tone, words: &str| format!("{} {}\n", style.mark(symbol), style.paint(tone, words)));
    let mut head = match (mending, left) {
        (0, 0) if !blind.is_empty() => verdict(Symbol::Attention, Tone::Warn, "No drift in what could be seen."),
        (0, 0) => verdict(Symbol::Good, Tone::Good, "No drift: the world is as the catalog and the policies say."),
        (mending, 0) => verdict(Symbol::Attention, Tone::Warn, &format!("{mending} drift, which an apply mends.")),
        (0, left) => verdict(Symbol::Attention, Tone::Warn, &format!("{left} drift, left to people.")),
        (mending, left) => {
            let words = format!("{} drift: {mending} that an apply mends, {left} left to people.", mending + left);
            verdict(Symbol::Attention, Tone::Warn, &words)
        }
    };
    head.push_str(&format!("{}\n", style.paint(Tone::Dim, &format!("as of {}", moment(plan.as_of)))));
    head.extend(narrowed(plan, style));
    let mut sections = vec![head];
    sections.extend(actions_of(plan, ActionClass::Drift, "What an apply mends", style));
    sections.extend(self::sections(plan, style));
    if !blind.is_empty() {
        let lines = blind
            .iter()
            .map(|held| format!("  {} {}: {}\n", style.mark(Symbol::Shield), held.address, style.name(&held.words)));
        sections.push(format!("{}\n{}", style.heading("Not looked at"), lines.collect::<String>()));
    }
    if let Some(next) = next.filter(|_| mending > 0) {
        sections.push(format!("Next: {}\n", style.heading(&style.name(next))));
    }
    sections.join("\n")
}

/// Returns what could not be looked at.
fn blind(plan: &Plan) -> Vec<&Held> {
    let blind = |held: &&Held| {
        matches!(
            held.reason,
            HeldReason::CatalogUnreachable | HeldReason::StoreUnreachable | HeldReason::DatabaseUnreachable
        )
    };
    let mut seen: Vec<&Held> = Vec::new();
    for held in plan.held.iter().filter(blind) {
        // Every schedule of a database that cannot be read says so; the place is named once.
        if seen.iter().all(|other| other.words != held.words) {
            seen.push(held);
        }
    }
    seen
}

/// The drift as `bkup drift --format json` writes it.
#[derive(Debug, Serialize)]
struct Drift<'a> {
    /// The version of this form, `major.minor`: a minor one only adds keys.
    format_version: &'a str,
    /// The instant it was looked at for.
    as_of: Instant,
    /// How much there is: actions and findings, without notes.
    drift: usize,
    /// What an apply mends, as in a plan.
    actions: Vec<&'a Action>,
    /// What it does not, and notes.
    findings: &'a [DriftFinding],
    /// What could not be looked at.
    not_looked_at: Vec<&'a Held>,
}

/// Writes the drift of a plan as JSON.
#[must_use]
pub fn drift_json(plan: &Plan) -> String {
    let actions: Vec<&Action> = plan.actions.iter().filter(|action| action.class == ActionClass::Drift).collect();
    pretty(&Drift {
        format_version: DRIFT_FORMAT,
        as_of: plan.as_of,
        drift: plan.counts().drift,
        actions,
        findings: &plan.findings,
        not_looked_at: blind(plan),
    })
}

/// Counts drift that is left to people, for a verdict: empty where there is none.
pub(super) fn left(plan: &Plan) -> String {
    match plan.findings.iter().filter(|finding| finding.counts()).count() {
        0 => String::new(),
        n => format!(" {} left to people.", count(n, "difference")),
    }
}
