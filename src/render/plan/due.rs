//! The due work of a plan as a table. Backups of one schedule and slot share a row; deletions are shown elsewhere,
//! one by one. Pure.

use std::collections::BTreeMap;

use super::super::action::{action_symbol, action_title, count, count64};
use super::super::moment::moment;
use super::super::style::Style;
use super::super::table::Table;
use crate::domain::{Action, ActionClass, ActionKind, Bytes, Instant, Name, Plan, Reason};

/// From so many scopes on, a row names only the first few.
const NAMED: usize = 8;

/// Returns the section, absent where nothing is due.
pub(super) fn due(plan: &Plan, style: &Style) -> Option<String> {
    let actions: Vec<&Action> =
        plan.actions.iter().filter(|a| a.class == ActionClass::Due && !a.kind.deletes()).collect();
    if actions.is_empty() {
        return None;
    }
    let mut table = Table::new(style, &["", "work", "of", "slot", "bytes", "because"]);
    table.right(4);
    let mut groups: BTreeMap<(&Name, &Name, Instant), Vec<&Action>> = BTreeMap::new();
    for action in &actions {
        if let ActionKind::BackUp(work) = &action.kind {
            groups.entry((&work.schedule, &work.database, work.slot)).or_default().push(action);
        }
    }
    for ((schedule, database, slot), group) in groups {
        let scopes: Vec<String> = group
            .iter()
            .filter_map(|action| match &action.kind {
                ActionKind::BackUp(work) => Some(style.name(&work.scope.to_string())),
                _ => None,
            })
            .collect();
        table.row(vec![
            style.symbol(action_symbol(&group[0].kind)).to_owned(),
            format!("back up, {schedule}"),
            format!("{database} {}", names(&scopes)),
            moment(slot),
            bytes(&group),
            reasons(&group, style),
        ]);
    }
    for action in actions {
        let (work, of, slot) = match &action.kind {
            ActionKind::BackUp(_) => continue,
            ActionKind::Drill(work) => {
                ("drill".to_owned(), format!("{}, {}", work.plan, count(work.backups.len(), "backup")), String::new())
            }
            ActionKind::RecordMissed { schedule, slots, scopes, .. } => (
                format!("record missed, {schedule}"),
                format!("{}, {}", count(slots.len(), "slot"), count64(*scopes, "scope")),
                slots.first().copied().map(moment).unwrap_or_default(),
            ),
            kind => (kind.word().replace('_', " "), action_title(action, style), String::new()),
        };
        table.row(vec![
            style.symbol(action_symbol(&action.kind)).to_owned(),
            work,
            of,
            slot,
            bytes(&[action]),
            reasons(&[action], style),
        ]);
    }
    let total = plan.actions.iter().filter(|a| a.class == ActionClass::Due && !a.kind.deletes()).count();
    Some(format!("{} ({})\n{}", style.heading("Due: time has brought it"), count(total, "action"), table.render(style)))
}

fn names(scopes: &[String]) -> String {
    if scopes.len() <= NAMED {
        return scopes.join(", ");
    }
    format!("{} scopes: {} and {} more", scopes.len(), scopes[..3].join(", "), scopes.len() - 3)
}

fn bytes(group: &[&Action]) -> String {
    let known: Vec<Bytes> = group.iter().filter_map(|action| action.bytes).collect();
    if known.is_empty() { String::new() } else { format!("~{}", known.into_iter().sum::<Bytes>()) }
}

/// Returns the reason a group shares, or the number of different ones.
fn reasons(group: &[&Action], style: &Style) -> String {
    let mut words: Vec<&Reason> = Vec::new();
    for action in group {
        if !words.iter().any(|reason| reason.words == action.reason.words) {
            words.push(&action.reason);
        }
    }
    let place = words.first().and_then(|reason| reason.location.as_ref());
    let place = place.map_or_else(String::new, |p| format!(" ({}:{})", style.name(&p.file), p.line));
    match words.as_slice() {
        [one] => format!("{}{place}", style.name(&one.words)),
        [one, two] => format!("{}; {}{place}", style.name(&one.words), style.name(&two.words)),
        [one, rest @ ..] => format!("{}, and {} other reasons{place}", style.name(&one.words), rest.len()),
        [] => String::new(),
    }
}
