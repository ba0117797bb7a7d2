//! A report of an apply in Markdown, and how the objectives stand: for step summaries. Pure. What went wrong, what was
//! deleted and what is breached is always there.

use super::super::action::{action_symbol, action_title, count};
use super::super::evidence::evidence_text;
use super::super::moment::{age, elapsed, moment};
use super::super::style::Style;
use super::inline::{block, cell, code, span, words};
use super::plan::{Markdown, marker};
use crate::domain::{ActionOutcome, ApplyReport, Instant, ObjectiveRow, Outcome, Period};

/// Writes a report in Markdown of at most `limit` bytes where that can be.
#[must_use]
pub fn report_markdown(report: &ApplyReport, key: &str, limit: usize) -> Markdown {
    let (bad, rest): (Vec<_>, Vec<_>) = report.actions.iter().partition(|a| is_bad(&a.outcome));
    let (deletions, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|a| a.action.kind.deletes());
    let mut head = format!("{}\n### {}\n\n", marker("report", key), verdict(report));
    head.push_str(&format!(
        "run {}, began {}, took {}, serial {}\n",
        code(report.run.as_str()),
        moment(report.begin),
        elapsed(report.elapsed_ms),
        report.serial
    ));
    if !bad.is_empty() {
        head.push_str(&format!("\n#### Went wrong ({})\n\n{}", bad.len(), list(&bad)));
    }
    if !deletions.is_empty() {
        head.push_str(&format!("\n#### Deletions ({})\n\n{}", deletions.len(), list(&deletions)));
    }
    let fold =
        |title: &str, inside: &str| format!("\n<details><summary><b>{title}</b></summary>\n\n{inside}\n</details>\n");
    let done = (!rest.is_empty()).then(|| fold(&format!("Everything else ({})", rest.len()), &list(&rest)));
    let mut evidence = String::new();
    for proof in &report.evidence {
        let lines: Vec<String> = evidence_text(proof, &Style::plain()).lines().map(str::to_owned).collect();
        evidence.push_str(&fold("Evidence of a drill", &block("text", &lines)));
    }
    let parts = [(done.unwrap_or_default(), "what went well"), (evidence, "the evidence of drills")];
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
    if !report.held.is_empty() {
        let held = count(report.held.len(), "item");
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

const fn is_bad(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { .. } | Outcome::Violated { .. } | Outcome::NotReached)
}

fn verdict(report: &ApplyReport) -> String {
    let of = |test: fn(&Outcome) -> bool| report.actions.iter().filter(|a| test(&a.outcome)).count();
    let parts: Vec<String> = [
        (of(|o| matches!(o, Outcome::Done { .. })), "done"),
        (of(|o| matches!(o, Outcome::AlreadyDone { .. })), "already so"),
        (of(|o| matches!(o, Outcome::Skipped { .. })), "skipped"),
        (of(|o| matches!(o, Outcome::Claimed { .. })), "held by someone else"),
        (of(|o| matches!(o, Outcome::Failed { .. })), "failed"),
        (of(|o| matches!(o, Outcome::Violated { .. })), "violated"),
        (of(|o| matches!(o, Outcome::NotReached)), "not reached"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, words)| format!("{number} {words}"))
    .collect();
    let parts = if parts.is_empty() { "nothing was to be done".to_owned() } else { parts.join(", ") };
    match &report.interrupted {
        Some(why) => format!("! Interrupted ({}): {parts}", words(why)),
        None if report.actions.iter().any(|a| is_bad(&a.outcome)) => format!("✗ Not all applied: {parts}"),
        None => format!("✓ Applied: {parts}"),
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
