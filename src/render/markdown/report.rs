//! A report of an apply in Markdown, and how the objectives stand: for step summaries. Pure. What went wrong, what was
//! deleted and what is breached is always there.

use super::super::action::{action_symbol, action_title, count};
use super::super::evidence::evidence_text;
use super::super::moment::{age, elapsed, moment};
use super::super::style::Style;
use super::super::verdict::{Verdict, came_since, counts, held, is_bad, outcomes};
use super::inline::{block, cell, code, span, words};
use super::plan::{Markdown, marker};
use crate::domain::{ActionOutcome, ApplyReport, Instant, ObjectiveRow, Outcome, Period};

/// Writes a report in Markdown of at most `limit` bytes where that can be.
#[must_use]
pub fn report_markdown(report: &ApplyReport, key: &str, limit: usize) -> Markdown {
    let (bad, rest): (Vec<_>, Vec<_>) = outcomes(report).iter().partition(|a| is_bad(&a.outcome));
    let (deletions, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|a| a.action.kind.deletes());
    let mut head = format!("{}\n### {}\n\n", marker("report", key), verdict(report));
    head.push_str(&format!(
        "run {}, began {}, took {}, serial {}\n",
        code(report.run.as_str()),
        moment(report.begin),
        elapsed(report.elapsed_ms),
        report.serial
    ));
    if let Some(failure) = &report.failure {
        let help = failure.help.as_ref().map(|help| format!(" — help: {}", words(help))).unwrap_or_default();
        head.push_str(&format!("\n**{}** {}{help}\n", code(&failure.code), words(&failure.message)));
    }
    if !bad.is_empty() {
        head.push_str(&format!("\n#### Went wrong ({})\n\n{}", bad.len(), list(&bad)));
    }
    if !deletions.is_empty() {
        head.push_str(&format!("\n#### Deletions ({})\n\n{}", deletions.len(), list(&deletions)));
    }
    head.push_str(&besides(report));
    let fold =
        |title: &str, inside: &str| format!("\n<details><summary><b>{title}</b></summary>\n\n{inside}\n</details>\n");
    let done = (!rest.is_empty()).then(|| fold(&format!("Everything else ({})", rest.len()), &list(&rest)));
    let (listed, more) = came_since(report);
    let since = (!listed.is_empty()).then(|| {
        let mut lines: String = listed.iter().map(|since| format!("- {}\n", words(&since.words))).collect();
        if more > 0 {
            lines.push_str(&format!("- and {more} more; `bkup plan` shows all\n"));
        }
        fold(&format!("Came since the plan was made ({})", report.since.len()), &lines)
    });
    let mut evidence = String::new();
    for proof in &report.evidence {
        let lines: Vec<String> = evidence_text(proof, &Style::plain()).lines().map(str::to_owned).collect();
        evidence.push_str(&fold("Evidence of a drill", &block("text", &lines)));
    }
    let parts = [
        (done.unwrap_or_default(), "what went well"),
        (since.unwrap_or_default(), "what came since the plan was made"),
        (evidence, "the evidence of drills"),
    ];
    let mut left_out = Vec::new();
    for leave in 0..=parts.len() {
        let body: String = parts.iter().skip(leave).map(|(text, _)| text.as_str()).collect();
        left_out = parts.iter().take(leave).filter(|(text, _)| !text.is_empty()).map(|(_, what)| *what).collect();
        let text = format!("{head}{body}{}", report_foot(report, &left_out));
        if text.len() <= limit {
            return Markdown { text, left_out, fits: true };
        }
    }
    let text = format!("{head}{}", report_foot(report, &left_out));
    Markdown { text, left_out, fits: false }
}

fn report_foot(report: &ApplyReport, left_out: &[&str]) -> String {
    let mut out = "\n---\n".to_owned();
    if let Some(digest) = report.plan_digest {
        out.push_str(&format!("plan {}\n", code(&digest.to_string())));
    }
    if held(report) > 0 {
        let held = count(held(report), "item");
        out.push_str(&format!("\n{held} held, due and not done: `bkup plan` says why\n"));
    }
    if let Some(head) = &report.audit_head {
        out.push_str(&format!("\naudit chain ends in {}\n", code(&head.chars().take(16).collect::<String>())));
    }
    if !left_out.is_empty() {
        out.push_str(&format!("\nLeft out to save room: {}; the report has everything.\n", left_out.join(", ")));
    }
    out
}

fn list(outcomes: &[&ActionOutcome]) -> String {
    outcomes.iter().map(|outcome| format!("- {}\n", line(outcome))).collect()
}

fn line(outcome: &ActionOutcome) -> String {
    let style = Style::plain();
    let symbol = style.symbol(action_symbol(&outcome.action.kind));
    let title = span(&action_title(&outcome.action, &style));
    let retries = if outcome.retries > 0 { format!(", {} tries", outcome.retries + 1) } else { String::new() };
    let took = format!("({}{retries})", elapsed(outcome.elapsed_ms));
    match &outcome.outcome {
        Outcome::Done { summary } => format!("✓ {symbol} {title}: {} {took}", words(summary)),
        Outcome::AlreadyDone { summary } => format!("✓ {symbol} {title}: already so, {}", words(summary)),
        Outcome::Skipped { reason } => format!("⛨ {symbol} {title}: skipped, {}", words(reason)),
        Outcome::Claimed { by } => format!("⛨ {symbol} {title}: held by {}", code(by)),
        Outcome::Failed { code: failure, error } => {
            format!("✗ {symbol} {title}: **failed**, {}: {} {took}", code(failure), words(error))
        }
        Outcome::Violated { reason } => format!("! {symbol} {title}: **violated**, {} {took}", words(reason)),
        Outcome::NotReached => format!("! {symbol} {title}: **not reached**"),
    }
}

/// How many places that were not written to are named.
const MOST_UNRECORDED: usize = 10;

/// What came since the plan was made, in a line, and what is not known or recorded.
fn besides(report: &ApplyReport) -> String {
    let mut out = String::new();
    if !report.since.is_empty() {
        let deletions = report.since.iter().filter(|since| since.deletes).count();
        let came = count(report.since.len(), "item");
        out.push_str(&format!("\n{came} came since the plan was made, of which {deletions} delete; left alone\n"));
    }
    if let Some(why) = &report.since_unknown {
        out.push_str(&format!("\n! What came since the plan was made is not all known: {}\n", words(why)));
    }
    if !report.unrecorded.is_empty() {
        out.push_str(&format!("\n#### The record of this run is not complete ({})\n\n", report.unrecorded.len()));
        let named = report.unrecorded.iter().take(MOST_UNRECORDED);
        named.for_each(|place| out.push_str(&format!("- {}\n", words(place))));
        if report.unrecorded.len() > MOST_UNRECORDED {
            out.push_str(&format!("- and {} more; the report has all\n", report.unrecorded.len() - MOST_UNRECORDED));
        }
    }
    out
}

fn verdict(report: &ApplyReport) -> String {
    let counts = counts(report);
    match Verdict::of(report) {
        Verdict::AlreadyApplied(before) => {
            let (run, at) = (code(&before.run), moment(before.at));
            format!("✓ Already applied: run {run} finished this plan {at}, nothing was done")
        }
        Verdict::NotBegun => "✗ Not applied: nothing was begun".to_owned(),
        Verdict::BrokenOff => format!("✗ Broken off: {counts}"),
        Verdict::Interrupted(why) => format!("! Interrupted ({}): {counts}", words(why)),
        Verdict::NotAll => format!("✗ Not all applied: {counts}"),
        Verdict::LeftAlone => format!("! Nothing was done: {counts}"),
        Verdict::Applied => format!("✓ Applied: {counts}"),
    }
}

/// Writes how every scope stands against its objective: what is breached by name, what is met as a folded table.
#[must_use]
pub fn status_markdown(rows: &[ObjectiveRow], as_of: Instant, key: &str, limit: usize) -> Markdown {
    let (breached, met): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.breached == Some(true));
    let objectives = rows.iter().filter(|row| row.breached.is_some()).count();
    let verdict = match (breached.len(), objectives) {
        (0, 0) => "! Nothing has an objective".to_owned(),
        (0, 1) => "✓ The one objective is met".to_owned(),
        (0, n) => format!("✓ All {n} objectives are met"),
        (n, all) => format!("! {n} of {} breached", count(all, "objective")),
    };
    let mut head = format!("{}\n### {verdict}\n\nas of {}\n", marker("status", key), moment(as_of));
    if !breached.is_empty() {
        head.push_str(&format!("\n{}", scopes(&breached, as_of)));
    }
    let rest = if met.is_empty() {
        String::new()
    } else {
        let title = format!("<b>Everything else</b>: {}", count(met.len(), "scope"));
        format!("\n<details><summary>{title}</summary>\n\n{}\n</details>\n", scopes(&met, as_of))
    };
    let text = format!("{head}{rest}");
    if text.len() <= limit {
        return Markdown { text, left_out: Vec::new(), fits: true };
    }
    let text = format!("{head}\n{} left out to save room.\n", count(met.len(), "scope"));
    let fits = text.len() <= limit;
    Markdown { text, left_out: vec!["scopes that are not breached"], fits }
}

fn scopes(rows: &[&ObjectiveRow], as_of: Instant) -> String {
    let mut out = "| of | class | newest backup | age | RPO | verified | drilled | backups |\n\
                   |---|---|---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    let since = |then: Option<Instant>| {
        then.map_or_else(|| "never".to_owned(), |then| format!("{} ago", age(Period::between(then, as_of))))
    };
    for row in rows {
        out.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            cell(&code(&format!("{} {}", row.database, row.scope))),
            row.class.as_ref().map(|class| code(class.as_str())).unwrap_or_default(),
            row.consistent_at.map_or_else(|| "**none**".to_owned(), moment),
            row.age.map(age).unwrap_or_default(),
            row.rpo.map(age).unwrap_or_default(),
            since(row.verified_at),
            since(row.drilled_at),
            row.backups,
        ));
    }
    out
}
