//! A plan as text, laid out for reading: the verdict first, deletions before everything else and never elided, then
//! changes, drift, due work, what is held, how the objectives stand, and the next command. Pure.

mod annotations;
mod changes;
mod deletions;
mod due;
mod waiting;

pub use annotations::{PLAN_CODES, plan_findings};

use super::action::{count, count64};
use super::drift;
use super::moment::moment;
use super::status;
use super::style::{Style, Symbol, Tone};
use crate::domain::{ActionClass, Bytes, Plan};

/// A plan and what its reader may do next.
#[derive(Debug, Clone, Copy)]
pub struct PlanView<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The command that comes next; absent where there is none, as for `show`.
    pub next: Option<&'a str>,
    /// Whether new things are shown with their whole documents.
    pub full: bool,
}

/// Writes a plan for people.
#[must_use]
pub fn plan_text(view: PlanView<'_>, style: &Style) -> String {
    let plan = view.plan;
    let mut sections = vec![head(plan, style)];
    sections.extend(waiting::refusals(plan, style));
    sections.extend(deletions::deletions(plan, style));
    sections.extend(changes::changes(
        plan,
        ActionClass::Change,
        "Changes: the policies differ from the catalog",
        view.full,
        style,
    ));
    let drift = "Drift: the world differs from the catalog";
    sections.extend(changes::changes(plan, ActionClass::Drift, drift, view.full, style));
    sections.extend(drift::sections(plan, style));
    sections.extend(due::due(plan, style));
    sections.extend(waiting::held(plan, style));
    sections.extend(status::objectives(&plan.objectives, style));
    sections.push(foot(view, style));
    sections.join("\n")
}

/// Counts a plan on one line: `3 changes · 0 drift · 14 due · 2 deletions · 1 held`.
#[must_use]
pub fn plan_totals(plan: &Plan, style: &Style) -> String {
    let counts = plan.counts();
    [
        count(counts.changes, "change"),
        format!("{} drift", counts.drift),
        format!("{} due", counts.due),
        count(counts.deletes, "deletion"),
        format!("{} held", counts.held),
    ]
    .join(style.dot())
}

fn head(plan: &Plan, style: &Style) -> String {
    let clock = if plan.simulated { ", simulated clock" } else { "" };
    let catalog = plan.lineage.as_ref().map_or_else(
        || "no catalog yet".to_owned(),
        |lineage| {
            format!("catalog {} serial {}", style.name(&lineage.chars().take(8).collect::<String>()), plan.serial)
        },
    );
    let mut out = format!("{}\n", verdict(plan, style));
    let as_of = format!("as of {}{clock}, {catalog}, bkup {}", moment(plan.as_of), style.name(&plan.tool_version));
    out.push_str(&format!("{}\n", style.paint(Tone::Dim, &as_of)));
    out.extend(narrowed(plan, style));
    out
}

/// Returns the line that says how a plan was narrowed, absent where it was not.
pub(super) fn narrowed(plan: &Plan, style: &Style) -> Option<String> {
    let narrowing = plan.narrowing.as_ref()?;
    let mut parts: Vec<String> = narrowing.only.iter().map(|only| format!("only {}", style.name(only))).collect();
    parts.extend(narrowing.target.iter().map(|glob| format!("target {}", style.name(glob))));
    parts.extend(narrowing.exclude.iter().map(|glob| format!("without {}", style.name(glob))));
    let words = format!("narrowed: {}; what was left out is neither planned nor pruned", parts.join(", "));
    Some(format!("{} {words}\n", style.mark(Symbol::Attention)))
}

/// Returns the section of a class's actions, absent where there are none.
pub(super) fn actions_of(plan: &Plan, class: ActionClass, title: &str, style: &Style) -> Option<String> {
    changes::changes(plan, class, title, false, style)
}

fn verdict(plan: &Plan, style: &Style) -> String {
    if !plan.refusals.is_empty() {
        let words =
            format!("Refused by {}; nothing of this can be applied as it is.", count(plan.refusals.len(), "guard"));
        return format!("{} {}", style.mark(Symbol::Shield), style.paint(Tone::Bad, &words));
    }
    let counts = plan.counts();
    if plan.actions.is_empty() {
        let held = if counts.held > 0 { format!(" {} held.", counts.held) } else { String::new() };
        if counts.drift > 0 {
            let words = format!("Nothing to apply: no changes, nothing due.{}", drift::left(plan));
            return format!("{} {}{held}", style.mark(Symbol::Attention), style.paint(Tone::Warn, &words));
        }
        let words = "Nothing to do: no changes, no drift, nothing due.";
        return format!("{} {}{held}", style.mark(Symbol::Good), style.paint(Tone::Good, words));
    }
    let mut parts = Vec::new();
    for (number, words) in [
        (counts.changes, if counts.changes == 1 { "change" } else { "changes" }),
        (counts.drift, "drift"),
        (counts.due, "due"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {words}"));
        }
    }
    let deletes = match counts.deletes {
        0 => "deletes nothing".to_owned(),
        n => style.paint(Tone::Bad, &format!("deletes {} ({})", count(n, "backup"), deletions::bytes(plan))),
    };
    let held = if counts.held > 0 { format!("; {} held", counts.held) } else { String::new() };
    format!("{} {deletes}{held}.", style.heading(&format!("Plan: {};", parts.join(", "))))
}

fn foot(view: PlanView<'_>, style: &Style) -> String {
    let plan = view.plan;
    let expected: Bytes = plan.actions.iter().filter(|a| !a.kind.deletes()).filter_map(|a| a.bytes).sum();
    let mut out = plan_totals(plan, style);
    if expected.0 > 0 {
        out.push_str(&format!("{}about {expected} to write", style.dot()));
    }
    out.push_str(&format!("{}digest {}\n", style.dot(), plan.digest.short()));
    let breached = plan.objectives.iter().filter(|row| row.breached == Some(true)).count();
    if breached > 0 {
        let words = format!("{} breached before this plan", count64(breached as u64, "objective"));
        out.push_str(&format!("{} {}\n", style.mark(Symbol::Attention), style.paint(Tone::Warn, &words)));
    }
    if let Some(next) = view.next.filter(|_| plan.refusals.is_empty()) {
        out.push_str(&format!("Next: {}\n", style.heading(&style.name(next))));
    }
    out
}
