//! What a plan changes, what has drifted, what is due and what is held, in Markdown: each in a long form and in shorter
//! ones. Pure.

use std::collections::BTreeMap;

use super::super::action::{action_symbol, action_title, count, count64};
use super::super::document::document_diff;
use super::super::moment::moment;
use super::super::style::Style;
use super::deletions::because;
use super::inline::{block, cell, code, span, words};
use crate::domain::{Action, ActionClass, ActionKind, Bytes, DocumentOp, Held, Instant, Name, Plan};

/// From so many scopes on, a row names only the first few.
const NAMED: usize = 8;
/// A longer difference is folded away even where there is room, and left out first.
const LONG_DIFF: usize = 60;

/// How much is said of changes and drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Whole differences.
    Diffs,
    /// Differences of at most [`LONG_DIFF`] lines.
    ShortDiffs,
    /// A line for each.
    Lines,
    /// Numbers.
    Counts,
}

/// Returns the section of a class, deletions left out, which have their own; absent where it is empty.
pub(super) fn changes(plan: &Plan, class: ActionClass, title: &str, depth: Depth) -> Option<String> {
    let actions: Vec<&Action> =
        plan.actions.iter().filter(|action| action.class == class && !action.kind.deletes()).collect();
    if actions.is_empty() {
        return None;
    }
    let mut out = format!("#### {title}: {}\n\n", count(actions.len(), "action"));
    if depth == Depth::Counts {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for action in &actions {
            *kinds.entry(verb(action).unwrap_or_else(|| action.kind.word())).or_default() += 1;
        }
        let parts: Vec<String> = kinds.into_iter().map(|(verb, n)| format!("{n} {}", verb.replace('_', " "))).collect();
        out.push_str(&format!("{}\n", parts.join(", ")));
        return Some(out);
    }
    for action in actions {
        // No sign before the word: `- + add` would be a list in a list.
        let subject = match verb(action) {
            Some(verb) => format!("{verb} {}", code(&action.address.to_string())),
            // Titles are escaped already.
            None => span(&action_title(action, &Style::plain())),
        };
        out.push_str(&format!("- {subject}: {}\n", because(&action.reason)));
        if let Some(lines) = diff(action, depth) {
            // Folded where it is long, open where it is the point: indented, so that it belongs to its line.
            let fenced = block("diff", &lines);
            let fenced: String = fenced.lines().map(|line| format!("  {line}\n")).collect();
            if lines.len() > 12 {
                out.push_str(&format!(
                    "\n  <details><summary>{}</summary>\n\n{fenced}\n  </details>\n\n",
                    count(lines.len(), "line")
                ));
            } else {
                out.push_str(&fenced);
            }
        }
    }
    Some(out)
}

fn diff(action: &Action, depth: Depth) -> Option<Vec<String>> {
    let ActionKind::ApplyDocument { op, before, after, .. } = &action.kind else { return None };
    if *op == DocumentOp::Archive || !matches!(depth, Depth::Diffs | Depth::ShortDiffs) {
        return None;
    }
    let lines = document_diff(before.as_ref(), after.as_ref(), &Style::plain());
    let room = if depth == Depth::Diffs { usize::MAX } else { LONG_DIFF };
    (!lines.is_empty() && lines.len() <= room).then_some(lines)
}

/// Returns what happens to the address of an action; absent where its title says more.
const fn verb(action: &Action) -> Option<&'static str> {
    Some(match &action.kind {
        ActionKind::EnsureCatalog { from_version: None, .. } => "make",
        ActionKind::EnsureCatalog { .. } => "migrate",
        ActionKind::EnsureStore { .. } => "mark",
        ActionKind::ApplyDocument { op, .. } => match op {
            DocumentOp::Create => "add",
            DocumentOp::Update => "change",
            DocumentOp::Archive => "archive",
            DocumentOp::Revive => "bring back",
            DocumentOp::Restore => "restore",
        },
        _ => return None,
    })
}

/// Returns the differences that no action mends, one by one or counted; absent where there are none.
pub(super) fn findings(plan: &Plan, counted: bool) -> Option<String> {
    if plan.findings.is_empty() {
        return None;
    }
    let mut out = format!("#### Drift that bkup leaves to people: {}\n\n", count(plan.findings.len(), "difference"));
    if counted {
        return Some(out);
    }
    for finding in &plan.findings {
        out.push_str(&format!("- ! {}: {}\n", code(&finding.address.to_string()), words(&finding.words)));
    }
    Some(out)
}

/// Returns the due work, in a folded table or counted; absent where nothing is due.
pub(super) fn due(plan: &Plan, counted: bool) -> Option<String> {
    let actions: Vec<&Action> =
        plan.actions.iter().filter(|a| a.class == ActionClass::Due && !a.kind.deletes()).collect();
    if actions.is_empty() {
        return None;
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for action in &actions {
        let kind = match &action.kind {
            ActionKind::BackUp(_) => "backup",
            ActionKind::Drill(_) => "drill",
            ActionKind::RecordMissed { .. } => "missed slot to record",
            _ => "other action",
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let parts: Vec<String> = kinds
        .into_iter()
        .map(|(kind, n)| if kind == "missed slot to record" { format!("{n} {kind}") } else { count(n, kind) })
        .collect();
    let title = "Due: time has brought it";
    if counted {
        return Some(format!("#### {title}\n\n{}\n", parts.join(", ")));
    }
    let mut out = format!("<details><summary><b>{title}</b>: {}</summary>\n\n", parts.join(", "));
    out.push_str("| work | of | slot | size | because |\n|---|---|---|--:|---|\n");
    let mut groups: BTreeMap<(&Name, Option<&Name>, Instant), Vec<&Action>> = BTreeMap::new();
    for action in &actions {
        if let ActionKind::BackUp(work) = &action.kind {
            groups.entry((&work.schedule, work.database.as_ref(), work.slot)).or_default().push(action);
        }
    }
    for ((schedule, database, slot), group) in groups {
        let scopes: Vec<String> = group
            .iter()
            .filter_map(|action| match &action.kind {
                ActionKind::BackUp(work) => Some(code(&work.scope.to_string())),
                _ => None,
            })
            .collect();
        out.push_str(&row(
            &format!("back up, {}", code(schedule.as_str())),
            &database
                .map_or_else(|| names(&scopes), |database| format!("{} {}", code(database.as_str()), names(&scopes))),
            &moment(slot),
            &group,
        ));
    }
    for action in actions {
        let (work, of, slot) = match &action.kind {
            ActionKind::BackUp(_) => continue,
            ActionKind::Drill(work) => (
                "drill".to_owned(),
                format!("{}, {}", code(work.plan.as_str()), count(work.backups.len(), "backup")),
                String::new(),
            ),
            ActionKind::RecordMissed { schedule, slots, scopes, .. } => (
                format!("record missed, {}", code(schedule.as_str())),
                format!("{}, {}", count(slots.len(), "slot"), count64(*scopes, "scope")),
                slots.first().copied().map(moment).unwrap_or_default(),
            ),
            kind => (kind.word().replace('_', " "), span(&action_title(action, &Style::plain())), String::new()),
        };
        out.push_str(&row(&work, &of, &slot, &[action]));
    }
    out.push_str("\n</details>\n");
    Some(out)
}

fn row(work: &str, of: &str, slot: &str, group: &[&Action]) -> String {
    let known: Vec<Bytes> = group.iter().filter_map(|action| action.bytes).collect();
    let bytes = if known.is_empty() { String::new() } else { format!("~{}", known.into_iter().sum::<Bytes>()) };
    let mut reasons: Vec<&str> = Vec::new();
    for action in group {
        if !reasons.contains(&action.reason.words.as_str()) {
            reasons.push(&action.reason.words);
        }
    }
    let shown: Vec<String> = reasons.iter().take(2).map(|reason| words(reason)).collect();
    let more = reasons.len().saturating_sub(2);
    let more = if more > 0 { format!(", and {}", count(more, "other reason")) } else { String::new() };
    let symbol = group.first().map_or("", |action| Style::plain().symbol(action_symbol(&action.kind)));
    format!("| {symbol} {} | {} | {slot} | {bytes} | {}{more} |\n", cell(work), cell(of), cell(&shown.join("; ")))
}

fn names(scopes: &[String]) -> String {
    match scopes.len() {
        0..=NAMED => scopes.join(" "),
        n => format!("{} and {} more", scopes[..3].join(" "), n - 3),
    }
}

/// Returns the held work: what shares its reason on one line, or only the reasons counted. Absent where nothing is held.
pub(super) fn held(plan: &Plan, counted: bool) -> Option<String> {
    if plan.held.is_empty() {
        return None;
    }
    let mut groups: Vec<(&Held, Vec<String>)> = Vec::new();
    for item in &plan.held {
        let scope = item.scope.as_ref().map(ToString::to_string);
        let of = match (&item.database, scope) {
            (Some(database), Some(scope)) => Some(code(&format!("{database} {scope}"))),
            (Some(database), None) => Some(code(database.as_str())),
            (None, scope) => scope.map(|scope| code(&scope)),
        };
        let same = |other: &Held| {
            (&other.address, &other.work, other.reason, &other.words)
                == (&item.address, &item.work, item.reason, &item.words)
        };
        match groups.iter_mut().find(|(first, _)| same(first)) {
            Some((_, scopes)) => scopes.extend(of),
            None => groups.push((item, of.into_iter().collect())),
        }
    }
    let title = format!("{}, due and not done", count(plan.held.len(), "item"));
    if counted {
        return Some(format!("#### Held: {title}\n\n{}\n", count(groups.len(), "reason")));
    }
    let mut out = format!("<details><summary><b>Held</b>: {title}</summary>\n\n");
    for (item, scopes) in groups {
        let of = if scopes.is_empty() { String::new() } else { format!(" of {}", names(&scopes)) };
        let address = code(&item.address.to_string());
        out.push_str(&format!("- {address}: {}{of}, because {}\n", words(&item.work), words(&item.words)));
    }
    out.push_str("\n</details>\n");
    Some(out)
}

/// Returns the backups that stay, with what keeps each; absent where there are none.
pub(super) fn kept(plan: &Plan) -> Option<String> {
    if plan.kept.is_empty() {
        return None;
    }
    let mut out = format!("<details><summary><b>Kept</b>: {}</summary>\n\n", count(plan.kept.len(), "backup"));
    out.push_str("| backup | kept by | until |\n|---|---|---|\n");
    for backup in &plan.kept {
        let reasons: Vec<String> = backup.reasons.iter().map(|reason| words(reason)).collect();
        let until = backup.until.map(moment).unwrap_or_default();
        out.push_str(&format!(
            "| {} | {} | {until} |\n",
            cell(&code(backup.backup.as_str())),
            cell(&reasons.join("; "))
        ));
    }
    out.push_str("\n</details>\n");
    Some(out)
}
