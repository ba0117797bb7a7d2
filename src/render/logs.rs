//! What runs did, as text and JSON: the list of runs, one run, one backup, and what was canceled. Pure.

use serde::Serialize;

use super::json::pretty;
use super::moment::{elapsed, moment, moment_cell};
use super::report::{outcome_line, report_text};
use super::style::{Style, Symbol, Tone};
use super::table::Table;
use crate::domain::{
    ActionOutcome, ApplyReport, AttemptLog, BackupLog, LOGS_FORMAT, LoggedEvent, RunLog, RunState, RunSummary,
};

const DEAD: &str = "no end: it died";

/// Writes a list of runs for people, the newest first.
#[must_use]
pub fn runs_text(runs: &[RunSummary], style: &Style) -> String {
    if runs.is_empty() {
        return "No runs: nothing was applied yet that had anything to do.\n".to_owned();
    }
    let mut table = Table::new(style, &["run", "begin (UTC)", "took", "on", "what became of it"]);
    (0..4).for_each(|column| table.whole(column));
    for run in runs {
        table.row(vec![
            style.name(&run.run),
            moment_cell(run.begin),
            run.elapsed_ms.map_or_else(String::new, elapsed),
            style.name(run.runner.split(':').next().unwrap_or(&run.runner)),
            became(run, style),
        ]);
    }
    table.paint(DEAD, Tone::Bad);
    format!("{}\n`bkup logs RUN` shows everything that a run did.\n", table.render(style))
}

fn became(run: &RunSummary, style: &Style) -> String {
    let mut words: Vec<String> = match run.state {
        RunState::Ended => Vec::new(),
        RunState::Working => vec!["at work".to_owned()],
        RunState::Dead => vec![DEAD.to_owned()],
    };
    words.extend(run.canceled.as_ref().map(|words| style.name(words)));
    let order = ["done", "failed", "violated", "not_reached", "claimed", "skipped", "already_done"];
    let counts = order.iter().filter_map(|word| Some((word, run.counts.get(*word)?)));
    words.extend(counts.map(|(word, number)| format!("{number} {}", word.replace('_', " "))));
    words.join(", ")
}

/// Writes everything that is known of a run.
#[must_use]
pub fn run_log_text(log: &RunLog, style: &Style) -> String {
    let mut out = String::new();
    if let Some(run) = &log.run {
        let facts = [
            format!("by {}", style.name(&run.actor)),
            format!("on {}", style.name(&run.runner)),
            format!("plan {}", run.plan_digest.short()),
        ];
        out.push_str(&format!("{}\n", style.paint(Tone::Dim, &facts.join(style.dot()))));
        if let Some(words) = &run.canceled {
            out.push_str(&format!("{} {}\n", style.mark(Symbol::Attention), style.name(words)));
        }
    }
    if let Some(report) = &log.report {
        return out + &report_text(report, style);
    }
    if let Some(run) = &log.run {
        let (mark, words) = match run.state {
            RunState::Dead => (Symbol::Bad, "left no report and gives no sign of life: it died"),
            RunState::Working | RunState::Ended => (Symbol::Run, "is at work and has left no report yet"),
        };
        let run = format!("run {} began {} and {words}.", style.name(&run.run), moment(run.begin));
        out.push_str(&format!("{} {run}\n", style.mark(mark)));
    }
    if !log.actions.is_empty() {
        out.push_str(&format!("\n{} ({})\n", style.heading("What it had done"), log.actions.len()));
        log.actions.iter().for_each(|action| out.push_str(&format!("  {}\n", outcome_line(action, style))));
    }
    let open: Vec<&AttemptLog> = log.attempts.iter().filter(|attempt| attempt.status == "RUNNING").collect();
    if !open.is_empty() {
        out.push_str(&format!("\n{} ({})\n", style.heading("What it was at"), open.len()));
        for attempt in open {
            let backup = style.name(&attempt.backup);
            out.push_str(&format!(
                "  {} {}: {backup}, attempt {}, execution {}\n",
                style.mark(Symbol::Run),
                of(attempt, style),
                attempt.attempt,
                attempt.execution
            ));
        }
    }
    out
}

/// Writes everything that happened to a backup.
#[must_use]
pub fn backup_log_text(log: &BackupLog, style: &Style) -> String {
    let mut out = format!("{}\n", style.heading(&style.name(&log.backup)));
    if let Some(first) = log.attempts.first() {
        out.push_str(&format!("{}\n", style.paint(Tone::Dim, &of(first, style))));
    }
    out.push_str(&format!("\n{} ({})\n", style.heading("Attempts"), log.attempts.len()));
    log.attempts.iter().for_each(|attempt| out.push_str(&format!("  {}\n", attempt_line(attempt, style))));
    if !log.events.is_empty() {
        out.push_str(&format!("\n{} ({})\n", style.heading("Audit"), log.events.len()));
    }
    for event in &log.events {
        let by = style.name(&event.actor);
        let run = event.run.as_ref().map(|run| format!(" in run {}", style.name(run))).unwrap_or_default();
        out.push_str(&format!("  {}  {} by {by}{run}\n", moment(event.at), style.name(&event.event)));
    }
    out
}

fn of(attempt: &AttemptLog, style: &Style) -> String {
    let mut words = Vec::new();
    words.extend(attempt.database.as_ref().map(ToString::to_string));
    words.extend(attempt.scope.as_ref().map(|scope| style.name(scope)));
    words.extend(attempt.schedule.as_ref().map(|schedule| format!("schedule {schedule}")));
    words.extend(attempt.slot.map(|slot| format!("slot {}", moment(slot))));
    words.join(style.dot())
}

fn attempt_line(attempt: &AttemptLog, style: &Style) -> String {
    let mark = match attempt.status.as_str() {
        "COMPLETED" => Symbol::Good,
        "FAILED" => Symbol::Bad,
        "CANCELED" => Symbol::Shield,
        _ => Symbol::Run,
    };
    let mut words = vec![format!("attempt {} {}", attempt.attempt, attempt.status.to_lowercase())];
    words.extend(attempt.begin.map(|at| format!("began {}", moment(at))));
    words.extend(attempt.elapsed_ms.map(|ms| format!("took {}", elapsed(ms))));
    words.extend(attempt.size.map(|size| size.to_string()));
    words.extend(attempt.run.as_ref().map(|run| format!("run {}", style.name(run))));
    words.extend(attempt.runner.as_ref().map(|runner| format!("on {}", style.name(runner))));
    words.push(format!("execution {}", attempt.execution));
    let error = attempt.error.as_ref().map(|error| format!("\n      {}", style.name(error))).unwrap_or_default();
    format!("{} {}{error}", style.mark(mark), words.join(", "))
}

/// Writes what was canceled. `run` is there where the whole run was told to stop.
#[must_use]
pub fn canceled_text(run: Option<&str>, canceled: &[AttemptLog], style: &Style) -> String {
    let mut out = String::new();
    if let Some(run) = run {
        let words = format!("run {} was told to stop; it begins nothing more", style.name(run));
        out.push_str(&format!("{} {words}\n", style.mark(Symbol::Shield)));
    }
    for attempt in canceled {
        let what = format!("attempt {} at {}", attempt.attempt, style.name(&attempt.backup));
        out.push_str(&format!("{} {what} is canceled: {}\n", style.mark(Symbol::Shield), of(attempt, style)));
    }
    if !canceled.is_empty() {
        out.push_str(&format!(
            "\nWhoever works at {} stops within seconds and aborts its upload. {} not taken again: the next slot is\n\
             taken as usual, and `bkup backup SCHEDULE` takes a backup now. What was written is garbage that is collected.\n",
            if canceled.len() == 1 { "it" } else { "them" },
            if canceled.len() == 1 { "Its slot is" } else { "Their slots are" },
        ));
    }
    if run.is_some() {
        let begun = if canceled.is_empty() { "It was at no backup. " } else { "" };
        out.push_str(&format!("{begun}What the run had not begun stays due.\n"));
    } else if canceled.is_empty() {
        out.push_str("Nothing was canceled.\n");
    }
    out
}

/// Writes a list of runs as JSON: `{"format_version":"1.0","runs":[...]}`.
#[must_use]
pub fn runs_json(runs: &[RunSummary]) -> String {
    #[derive(Serialize)]
    struct List<'a> {
        format_version: &'static str,
        runs: &'a [RunSummary],
    }
    pretty(&List { format_version: LOGS_FORMAT, runs })
}

/// Writes everything that is known of a run as JSON.
#[must_use]
pub fn run_log_json(log: &RunLog) -> String {
    #[derive(Serialize)]
    struct One<'a> {
        format_version: &'static str,
        run: Option<&'a RunSummary>,
        report: Option<&'a ApplyReport>,
        actions: &'a [ActionOutcome],
        attempts: &'a [AttemptLog],
    }
    pretty(&One {
        format_version: LOGS_FORMAT,
        run: log.run.as_ref(),
        report: log.report.as_deref(),
        actions: &log.actions,
        attempts: &log.attempts,
    })
}

/// Writes everything that happened to a backup as JSON.
#[must_use]
pub fn backup_log_json(log: &BackupLog) -> String {
    #[derive(Serialize)]
    struct One<'a> {
        format_version: &'static str,
        backup: &'a str,
        attempts: &'a [AttemptLog],
        events: &'a [LoggedEvent],
    }
    pretty(&One { format_version: LOGS_FORMAT, backup: &log.backup, attempts: &log.attempts, events: &log.events })
}

/// Writes what was canceled as JSON.
#[must_use]
pub fn canceled_json(run: Option<&str>, canceled: &[AttemptLog]) -> String {
    #[derive(Serialize)]
    struct Canceled<'a> {
        format_version: &'static str,
        run: Option<&'a str>,
        canceled: &'a [AttemptLog],
    }
    pretty(&Canceled { format_version: LOGS_FORMAT, run, canceled })
}
