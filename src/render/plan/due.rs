//! The due work of a plan as a table. Backups of one schedule and slot share a row; deletions are shown elsewhere,
//! one by one. Pure.

use std::collections::BTreeMap;

use super::super::action::{action_symbol, action_title, count, count64};
use super::super::moment::moment;
use super::super::style::Style;
use super::super::table::Table;
use crate::domain::{Action, ActionClass, ActionKind, Bytes, Instant, Name, Plan, Scope};

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
    table.whole(3);
    table.whole(4);
    table.right(4);
    let mut groups: BTreeMap<(&Name, Option<&Name>, Instant), Vec<&Action>> = BTreeMap::new();
    for action in &actions {
        if let ActionKind::BackUp(work) = &action.kind {
            groups.entry((&work.schedule, work.database.as_ref(), work.slot)).or_default().push(action);
        }
    }
    for ((schedule, database, slot), group) in groups {
        let scopes: Vec<&Scope> = group
            .iter()
            .filter_map(|action| if let ActionKind::BackUp(work) = &action.kind { Some(&work.scope) } else { None })
            .collect();
        table.row(vec![
            style.symbol(action_symbol(&group[0].kind)).to_owned(),
            format!("back up, {schedule}"),
            database.map_or_else(|| names(&scopes, style), |database| format!("{database} {}", names(&scopes, style))),
            // The first backup of a configuration has no backup before that its slot could follow.
            if slot == Instant::UNIX_EPOCH { "on change".to_owned() } else { moment(slot) },
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

/// Names scopes, tenants by slug alone; only the first few of many.
fn names(scopes: &[&Scope], style: &Style) -> String {
    let tenants = scopes.iter().all(|scope| scope.tenant().is_some());
    let shown = |scope: &&Scope| match scope.tenant() {
        Some(slug) if tenants => style.name(slug),
        _ => style.name(&scope.to_string()),
    };
    let all = scopes.len();
    let (one, many) = if tenants { ("tenant ", "tenants ") } else { ("", "scopes ") };
    let some: Vec<String> = scopes.iter().take(if all > NAMED { 3 } else { all }).map(shown).collect();
    match all {
        1 => format!("{one}{}", some.join(", ")),
        2..=NAMED => format!("{all} {many}{}", some.join(", ")),
        _ => format!("{all} {many}{} and {} more", some.join(", "), all - some.len()),
    }
}

fn bytes(group: &[&Action]) -> String {
    let known: Vec<Bytes> = group.iter().filter_map(|action| action.bytes).collect();
    if known.is_empty() { String::new() } else { format!("~{}", known.into_iter().sum::<Bytes>()) }
}

/// Returns the reason a group shares, or the first ones of several. The policy line is the schedule's, named in the row.
fn reasons(group: &[&Action], style: &Style) -> String {
    let mut words: Vec<&str> = Vec::new();
    for action in group {
        if !words.contains(&action.reason.words.as_str()) {
            words.push(&action.reason.words);
        }
    }
    match words.as_slice() {
        [one, two] => format!("{}; {}", style.name(one), style.name(two)),
        [one] => style.name(one),
        [one, rest @ ..] => format!("{}, and {} other reasons", style.name(one), rest.len()),
        [] => String::new(),
    }
}
