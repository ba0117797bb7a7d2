//! A plan in Markdown, for pull requests: the verdict first, then everything that is lost or refused, then the rest, as
//! much of it as there is room for. Pure.
//!
//! What makes room goes in a fixed order, always a whole kind of thing: what stays as it is, due work, held work,
//! details of changes. The verdict, refusals, deletions, and breached objectives stay, whatever room there is: they get
//! shorter words, and where even those do not fit, the text is longer than was asked for, and says so. Nobody may
//! approve a deletion that a limit has hidden.

use super::super::action::{count, count64};
use super::super::moment::moment;
use super::deletions::{Form, deletions};
use super::inline::{block, code, words};
use super::objectives::{breaches, objectives};
use super::work::{Depth, changes, due, findings, held, kept};
use crate::domain::{ActionClass, Bytes, Plan};

/// A plan and what is said around it.
#[derive(Debug, Clone, Copy)]
pub struct PlanMarkdown<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The command that comes next; absent where there is none.
    pub next: Option<&'a str>,
    /// Tells the comments of several policy sets apart: letters, digits, `.`, `_` and `-`.
    pub key: &'a str,
    /// How many bytes the text may have.
    pub limit: usize,
}

/// A text in Markdown, and what it had to leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markdown {
    /// The text.
    pub text: String,
    /// What was left out to make room, in words; empty where everything is there.
    pub left_out: Vec<&'static str>,
    /// Whether it is as short as was asked for.
    pub fits: bool,
}

/// Returns the comment by which a later run finds what an earlier one wrote. It is the first line.
#[must_use]
pub fn marker(kind: &str, key: &str) -> String {
    format!("<!-- bkup:{kind}:{key} -->")
}

/// What there is still room for; each step takes one more thing away.
#[derive(Debug, Clone, Copy)]
struct Room {
    kept: bool,
    due: bool,
    held: bool,
    depth: Depth,
    drift: bool,
    deletions: Form,
}

/// The steps in their order, with what each of them leaves out.
fn steps() -> Vec<(Room, &'static str)> {
    let mut room = Room { kept: true, due: true, held: true, depth: Depth::Diffs, drift: true, deletions: Form::Long };
    let mut all = vec![(room, "")];
    let mut take = |what: &'static str, change: fn(&mut Room)| {
        change(&mut room);
        all.push((room, what));
    };
    take("the backups that stay", |room| room.kept = false);
    take("the table of due work", |room| room.due = false);
    take("what is held", |room| room.held = false);
    take("long differences", |room| room.depth = Depth::ShortDiffs);
    take("all differences of documents", |room| room.depth = Depth::Lines);
    take("a row for each deletion (their ids are there)", |room| room.deletions = Form::Short);
    take("the names of changed documents", |room| room.depth = Depth::Counts);
    take("the words of drift", |room| room.drift = false);
    all
}

/// Writes a plan in Markdown.
#[must_use]
pub fn plan_markdown(view: PlanMarkdown<'_>) -> Markdown {
    let head = head(view);
    let mut left_out: Vec<&'static str> = Vec::new();
    let mut last = String::new();
    for (room, what) in steps() {
        let body = body(view.plan, room);
        // A step that takes away what was not there leaves nothing out.
        if body == last {
            continue;
        }
        left_out.extend(Some(what).filter(|what| !what.is_empty()));
        let text = format!("{head}{body}{}", foot(view, &left_out, None));
        if text.len() <= view.limit {
            return Markdown { text, left_out, fits: true };
        }
        last = body;
    }
    let text = format!("{head}{last}{}", foot(view, &left_out, Some(view.limit)));
    Markdown { text, left_out, fits: false }
}

fn head(view: PlanMarkdown<'_>) -> String {
    let plan = view.plan;
    let clock = if plan.simulated { ", simulated clock" } else { "" };
    let catalog = plan.lineage.as_ref().map_or_else(
        || "no catalog yet".to_owned(),
        |lineage| format!("catalog {} serial {}", code(&lineage.chars().take(8).collect::<String>()), plan.serial),
    );
    let mut out = format!("{}\n### {}\n\n", marker("plan", view.key), verdict(plan));
    out.push_str(&format!("as of {}{clock}, {catalog}, bkup {}\n", moment(plan.as_of), words(&plan.tool_version)));
    if let Some(narrowing) = &plan.narrowing {
        let mut parts: Vec<String> = narrowing.only.iter().map(|only| format!("only {}", words(only))).collect();
        parts.extend(narrowing.target.iter().map(|glob| format!("target {}", code(glob))));
        parts.extend(narrowing.exclude.iter().map(|glob| format!("without {}", code(glob))));
        let parts = parts.join(", ");
        out.push_str(&format!("\n**Narrowed**: {parts}; what was left out is neither planned nor pruned.\n"));
    }
    out
}

fn verdict(plan: &Plan) -> String {
    if !plan.refusals.is_empty() {
        return format!(
            "⛨ Refused by {}: nothing of this can be applied as it is",
            count(plan.refusals.len(), "guard")
        );
    }
    let counts = plan.counts();
    let held = if counts.held > 0 { format!("; {} held", counts.held) } else { String::new() };
    if plan.actions.is_empty() {
        return match counts.drift {
            0 => format!("✓ Nothing to do: no changes, no drift, nothing due{held}"),
            n => format!("! Nothing to apply: no changes, nothing due; {n} drift that bkup leaves to people{held}"),
        };
    }
    let parts = [
        (counts.changes, if counts.changes == 1 { "change" } else { "changes" }),
        (counts.drift, "drift"),
        (counts.due, "due"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{n} {words}")).collect();
    let bytes: Bytes = plan.actions.iter().filter(|a| a.kind.deletes()).filter_map(|a| a.bytes).sum();
    let deletes = match counts.deletes {
        0 => "deletes nothing".to_owned(),
        n => format!("deletes {} ({bytes})", count(n, "backup")),
    };
    format!("Plan: {}; {deletes}{held}", parts.join(", "))
}

fn body(plan: &Plan, room: Room) -> String {
    let drift = "Drift: the world differs from the catalog";
    let change = "Changes: the policies differ from the catalog";
    // Long differences are for changes first; drift follows with the same depth.
    let depth = |depth: Depth| if room.drift { depth } else { Depth::Counts };
    let sections = [
        refusals(plan),
        deletions(plan, room.deletions),
        breaches(plan, room.deletions == Form::Short),
        changes(plan, ActionClass::Change, change, room.depth),
        changes(plan, ActionClass::Drift, drift, depth(room.depth)),
        findings(plan, !room.drift),
        due(plan, !room.due),
        held(plan, !room.held),
        objectives(plan),
        if room.kept { kept(plan) } else { None },
    ];
    sections.into_iter().flatten().map(|section| format!("\n{section}")).collect()
}

fn refusals(plan: &Plan) -> Option<String> {
    if plan.refusals.is_empty() {
        return None;
    }
    let mut out = "#### Refused\n\n".to_owned();
    for refusal in &plan.refusals {
        out.push_str(&format!(
            "- ⛨ {}: {}\n  - help: {}\n",
            code(&refusal.guard),
            words(&refusal.words),
            words(&refusal.help)
        ));
    }
    Some(out)
}

fn foot(view: PlanMarkdown<'_>, left_out: &[&str], too_small: Option<usize>) -> String {
    let plan = view.plan;
    let counts = plan.counts();
    let mut parts = vec![
        count(counts.changes, "change"),
        format!("{} drift", counts.drift),
        format!("{} due", counts.due),
        count(counts.deletes, "deletion"),
        format!("{} held", counts.held),
    ];
    if !plan.kept.is_empty() {
        parts.push(format!("{} kept", count64(plan.kept.len() as u64, "backup")));
    }
    let expected: Bytes = plan.actions.iter().filter(|a| !a.kind.deletes()).filter_map(|a| a.bytes).sum();
    if expected.0 > 0 {
        parts.push(format!("about {expected} to write"));
    }
    let mut out = format!("\n---\n{}\n\n", parts.join(" · "));
    out.push_str(&format!("- digest {}\n", code(&plan.digest.to_string())));
    out.push_str(&format!("- change digest {}\n", code(&plan.change_digest.to_string())));
    if !left_out.is_empty() {
        let whole = "`bkup show` of the saved plan shows everything";
        out.push_str(&format!("\nLeft out to save room: {}; {whole}.\n", left_out.join(", ")));
    }
    if let Some(limit) = too_small {
        let why = "refusals, deletions and breached objectives are never left out";
        out.push_str(&format!("\n**This is longer than the {limit} bytes that were asked for**: {why}.\n"));
    }
    if let Some(next) = view.next.filter(|_| plan.refusals.is_empty()) {
        out.push_str(&format!("\nNext:\n{}", block("sh", &[super::super::escape::escape(next)])));
    }
    out
}
