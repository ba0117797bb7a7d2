//! The deletions of a plan in Markdown: every single one, in the long form or in the short one. Pure; neither form
//! leaves one out, whatever room there is.

use std::collections::BTreeMap;

use super::super::action::{action_symbol, count};
use super::super::moment::moment;
use super::super::style::Style;
use super::inline::{cell, code, words};
use crate::domain::{Action, ActionKind, Bytes, Instant, Plan, PruneWork, Reason};

/// So many ids stand on one line of the short form, so that a text can be split between lines.
const IDS_A_LINE: usize = 20;

/// How much is said of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A row for each backup.
    Long,
    /// A line for those of one scope that share their reason.
    Short,
}

/// Returns the section, absent where nothing is deleted.
pub(super) fn deletions(plan: &Plan, form: Form) -> Option<String> {
    let mut all: Vec<(&Action, &PruneWork, bool)> = plan
        .actions
        .iter()
        .filter_map(|action| match &action.kind {
            ActionKind::Purge(work) => Some((action, work, true)),
            ActionKind::Tombstone(work) => Some((action, work, false)),
            _ => None,
        })
        .collect();
    if all.is_empty() {
        return None;
    }
    // What is gone for good comes first.
    all.sort_by_key(|(_, _, purged)| !purged);
    let purges = all.iter().filter(|(_, _, purged)| *purged).count();
    let bytes: Bytes = all.iter().filter_map(|(action, ..)| action.bytes).sum();
    let mut out = format!(
        "#### Deletions: {}, {bytes} ({} that can be brought back, {} for good)\n\n",
        count(all.len(), "backup"),
        count(all.len() - purges, "tombstone"),
        count(purges, "purge"),
    );
    out.push_str(&if form == Form::Long { rows(&all) } else { groups(&all) });
    Some(out)
}

fn rows(all: &[(&Action, &PruneWork, bool)]) -> String {
    let style = Style::plain();
    let mut out = "| | backup | of | size | because |\n|---|---|---|--:|---|\n".to_owned();
    for (action, work, purged) in all {
        let verb = if *purged { "**purge**" } else { "tombstone" };
        let bytes = action.bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
        let mut why = because(&action.reason);
        if work.caused_by_change {
            why.push_str(", **caused by a policy change**");
        }
        if let Some(until) = work.newest.until {
            why.push_str(&format!("; if its successor is of before {}", moment(until)));
        }
        if let Some(after) = work.purge_after {
            why.push_str(&format!("; can be brought back until {}", moment(after)));
        }
        out.push_str(&format!(
            "| {} {verb} | {} | {}, {}, in {} | {bytes} | {} |\n",
            style.symbol(action_symbol(&action.kind)),
            cell(&code(work.backup.as_str())),
            cell(&code(&of(work))),
            moment(work.consistent_at),
            code(work.store.as_str()),
            cell(&why),
        ));
    }
    out
}

/// What backups share that are told together: everything but their scope, their id, their size and their instant.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kept_for_now: bool,
    database: String,
    store: String,
    why: String,
    by_change: bool,
}

#[derive(Default)]
struct Group<'a> {
    scopes: BTreeMap<String, Vec<&'a str>>,
    bytes: Bytes,
    count: usize,
    oldest: Option<Instant>,
    newest: Option<Instant>,
}

fn groups(all: &[(&Action, &PruneWork, bool)]) -> String {
    let mut groups: BTreeMap<Key, Group<'_>> = BTreeMap::new();
    for (action, work, purged) in all {
        let key = Key {
            kept_for_now: !purged,
            database: work.database.as_ref().map(ToString::to_string).unwrap_or_default(),
            store: work.store.to_string(),
            why: because(&action.reason),
            by_change: work.caused_by_change,
        };
        let group = groups.entry(key).or_default();
        group.scopes.entry(work.scope.to_string()).or_default().push(work.backup.as_str());
        group.count += 1;
        group.bytes = [group.bytes, action.bytes.unwrap_or_default()].into_iter().sum();
        group.oldest = Some(group.oldest.map_or(work.consistent_at, |at| at.min(work.consistent_at)));
        group.newest = Some(group.newest.map_or(work.consistent_at, |at| at.max(work.consistent_at)));
    }
    let mut out = String::new();
    for (key, group) in groups {
        let verb = if key.kept_for_now { "tombstone" } else { "**purge**" };
        let of = if key.database.is_empty() { String::new() } else { format!("{} ", code(&key.database)) };
        let days = match (group.oldest, group.newest) {
            (Some(oldest), Some(newest)) if oldest != newest => format!("{} to {}", moment(oldest), moment(newest)),
            (Some(at), _) => moment(at),
            (None, _) => String::new(),
        };
        let cause = if key.by_change { ", **caused by a policy change**" } else { "" };
        out.push_str(&format!(
            "- {verb} {of}in {}: {}, {}, of {days}; {}{cause}\n",
            code(&key.store),
            count(group.count, "backup"),
            group.bytes,
            key.why
        ));
        for (scope, ids) in &group.scopes {
            for ids in ids.chunks(IDS_A_LINE) {
                let ids: Vec<String> = ids.iter().map(|id| code(id)).collect();
                // Each line says what happens: a split may part it from the one above.
                out.push_str(&format!("  - {verb} {}: {}\n", code(scope), ids.join(" ")));
            }
        }
    }
    out
}

fn of(work: &PruneWork) -> String {
    work.database.as_ref().map_or_else(|| work.scope.to_string(), |database| format!("{database} {}", work.scope))
}

/// Returns a reason with its policy line.
pub(super) fn because(reason: &Reason) -> String {
    let place = reason.location.as_ref().map(|at| format!(" ({})", code(&format!("{}:{}", at.file, at.line))));
    format!("{}{}", words(&reason.words), place.unwrap_or_default())
}
