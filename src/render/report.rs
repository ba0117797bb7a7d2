//! What an apply did, as text: failures first, then every deletion, then the rest. Pure.

use super::action::{action_symbol, action_title, count};
use super::evidence::evidence_text;
use super::moment::{elapsed, moment};
use super::style::{Style, Symbol, Tone};
use super::verdict::{Verdict, came_since, counts, held, is_bad, outcomes};
use crate::domain::{ActionOutcome, ApplyReport, Outcome};

/// Writes a report for people.
#[must_use]
pub fn report_text(report: &ApplyReport, style: &Style) -> String {
    let mut out = format!("{}\n", verdict(report, style));
    let facts = [
        format!("run {}", style.name(report.run.as_str())),
        format!("began {}", moment(report.begin)),
        format!("took {}", elapsed(report.elapsed_ms)),
        format!("serial {}", report.serial),
    ];
    out.push_str(&format!("{}\n", style.paint(Tone::Dim, &facts.join(style.dot()))));
    if let Some(failure) = &report.failure {
        let help = failure.help.as_ref().map(|help| format!("\n  help: {}", style.name(help))).unwrap_or_default();
        out.push_str(&format!("\n[{}] {}{help}\n", style.name(&failure.code), style.name(&failure.message)));
    }
    let (bad, rest): (Vec<_>, Vec<_>) = outcomes(report).iter().partition(|a| is_bad(&a.outcome));
    let (deletions, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|a| a.action.kind.deletes());
    for (title, group) in [("Went wrong", bad), ("Deletions", deletions), ("Everything else", rest)] {
        if !group.is_empty() {
            out.push_str(&format!("\n{} ({})\n", style.heading(title), group.len()));
            group.iter().for_each(|outcome| out.push_str(&format!("  {}\n", outcome_line(outcome, style))));
        }
    }
    for evidence in &report.evidence {
        out.push_str(&format!("\n{}", evidence_text(evidence, style)));
    }
    if held(report) > 0 {
        out.push_str(&format!("\n{} held: due and not done; `bkup plan` says why\n", count(held(report), "item")));
    }
    out.push_str(&since(report, style));
    if !report.unrecorded.is_empty() {
        let mark = style.mark(Symbol::Attention);
        out.push_str(&format!("\n{mark} {}\n", style.heading("The record of this run is not complete")));
        report.unrecorded.iter().for_each(|place| out.push_str(&format!("  {}\n", style.name(place))));
    }
    if let Some(head) = &report.audit_head {
        out.push_str(&format!("\naudit chain ends in {}\n", style.name(&head.chars().take(16).collect::<String>())));
    }
    out
}

/// Writes one action and what became of it, on one line.
#[must_use]
pub fn outcome_line(outcome: &ActionOutcome, style: &Style) -> String {
    let title = action_title(&outcome.action, style);
    let retries = if outcome.retries > 0 { format!(", {} tries", outcome.retries + 1) } else { String::new() };
    let took = format!("{}{retries}", elapsed(outcome.elapsed_ms));
    let sign = style.mark(action_symbol(&outcome.action.kind));
    match &outcome.outcome {
        Outcome::Done { summary } => {
            format!("{} {sign} {title}: {} ({took})", style.mark(Symbol::Good), style.name(summary))
        }
        Outcome::AlreadyDone { summary } => {
            format!("{} {sign} {title}: already so, {}", style.mark(Symbol::Good), style.name(summary))
        }
        Outcome::Skipped { reason } => {
            format!("{} {sign} {title}: skipped, {}", style.mark(Symbol::Shield), style.name(reason))
        }
        Outcome::Claimed { by } => {
            format!("{} {sign} {title}: held by {}", style.mark(Symbol::Shield), style.name(by))
        }
        Outcome::Failed { code, error } => {
            let words = format!("failed, [{}] {}", style.name(code), style.name(error));
            format!("{} {sign} {title}: {} ({took})", style.mark(Symbol::Bad), style.paint(Tone::Bad, &words))
        }
        Outcome::Violated { reason } => {
            let words = format!("violated, {}", style.name(reason));
            format!("{} {sign} {title}: {} ({took})", style.mark(Symbol::Attention), style.paint(Tone::Bad, &words))
        }
        Outcome::NotReached => format!("{} {sign} {title}: not reached", style.mark(Symbol::Attention)),
    }
}

/// What came since the plan was made and was left alone.
fn since(report: &ApplyReport, style: &Style) -> String {
    let unknown = report.since_unknown.as_ref().map(|why| {
        let unknown = "What came since the plan was made is not all known";
        format!("\n{} {unknown}: {}\n", style.mark(Symbol::Attention), style.name(why))
    });
    let unknown = unknown.unwrap_or_default();
    if report.since.is_empty() {
        return unknown;
    }
    let heading = style.heading("Came since the plan was made, and was left alone");
    let mut out = format!("\n{heading} ({})\n", report.since.len());
    let (listed, more) = came_since(report);
    listed.iter().for_each(|since| out.push_str(&format!("  {}\n", style.name(&since.words))));
    if more > 0 {
        out.push_str(&format!("  and {more} more; `bkup plan` shows all\n"));
    }
    out + &unknown
}

fn verdict(report: &ApplyReport, style: &Style) -> String {
    let counts = counts(report);
    let (symbol, tone, words) = match Verdict::of(report) {
        Verdict::AlreadyApplied(before) => {
            let (run, at) = (style.name(&before.run), moment(before.at));
            let words = format!("Already applied: run {run} finished this plan {at}. Nothing was done.");
            (Symbol::Good, Tone::Good, words)
        }
        Verdict::NotBegun => (Symbol::Bad, Tone::Bad, "Not applied: nothing was begun.".to_owned()),
        Verdict::BrokenOff => (Symbol::Bad, Tone::Bad, format!("Broken off: {counts}.")),
        Verdict::Interrupted(why) => {
            (Symbol::Attention, Tone::Warn, format!("Interrupted ({}): {counts}.", style.name(why)))
        }
        Verdict::NotAll => (Symbol::Bad, Tone::Bad, format!("Not all applied: {counts}.")),
        Verdict::LeftAlone => (Symbol::Attention, Tone::Warn, format!("Nothing was done: {counts}.")),
        Verdict::Applied => (Symbol::Good, Tone::Good, format!("Applied: {counts}.")),
    };
    format!("{} {}", style.mark(symbol), style.paint(tone, &words))
}
