//! How the objectives stand before a plan and after it, in Markdown. Pure. What is breached is named one by one in every
//! form; only what is met is ever summed up.

use std::collections::{BTreeMap, BTreeSet};

use super::super::action::count;
use super::super::moment::age;
use super::inline::{cell, code};
use crate::domain::{ActionKind, Name, ObjectiveRow, Period, Plan, Scope};

/// So many scopes stand on one line of the short form.
const SCOPES_A_LINE: usize = 20;

/// What a plan adds to a scope, and takes from it.
#[derive(Default)]
struct Work {
    made: u64,
    gone: u64,
}

/// Returns the table of classes, before and after; absent where there is nothing to protect.
pub(super) fn objectives(plan: &Plan) -> Option<String> {
    if plan.objectives.is_empty() {
        return None;
    }
    let work = work(plan);
    let mut groups: BTreeMap<(&Name, Option<&Name>), Vec<&ObjectiveRow>> = BTreeMap::new();
    for row in &plan.objectives {
        groups.entry((&row.database, row.class.as_ref())).or_default().push(row);
    }
    let mut out = "#### Objectives before and after\n\n| of | scopes | breached | oldest backup | backups | RPO |\n\
                   |---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for ((database, class), rows) in groups {
        let of = |row: &&ObjectiveRow| work.get(&(&row.database, &row.scope)).map_or((0, 0), |w| (w.made, w.gone));
        let breached = rows.iter().filter(|row| row.breached == Some(true)).count();
        let still = rows.iter().filter(|row| row.breached == Some(true) && of(row).0 == 0).count();
        let oldest = rows.iter().filter_map(|row| row.age).max();
        let then = rows.iter().filter_map(|row| if of(row).0 > 0 { Some(Period::seconds(0)) } else { row.age }).max();
        let backups: u64 = rows.iter().map(|row| row.backups).sum();
        let after = rows.iter().map(|row| (row.backups + of(row).0).saturating_sub(of(row).1)).sum();
        let rpos: BTreeSet<Period> = rows.iter().filter_map(|row| row.rpo).collect();
        let rpo = match (rpos.first(), rpos.len()) {
            (Some(rpo), 1) => age(*rpo),
            (Some(rpo), _) => format!("from {}", age(*rpo)),
            (None, _) => "none".to_owned(),
        };
        let shown = |age_of: Option<Period>| age_of.map_or_else(|| "none".to_owned(), age);
        let class = class.map(|class| format!(" class={class}")).unwrap_or_default();
        out.push_str(&format!(
            "| {} | {} | {} | {} | {} | {rpo} |\n",
            cell(&code(&format!("{database}{class}"))),
            rows.len(),
            change(&breached.to_string(), &still.to_string()),
            change(&shown(oldest), &shown(then)),
            change(&backups.to_string(), &u64::to_string(&after)),
        ));
    }
    Some(out)
}

/// Returns every scope whose objective is breached before the plan; absent where none is.
pub(super) fn breaches(plan: &Plan, short: bool) -> Option<String> {
    let breached: Vec<&ObjectiveRow> = plan.objectives.iter().filter(|row| row.breached == Some(true)).collect();
    if breached.is_empty() {
        return None;
    }
    let work = work(plan);
    let mended = |row: &ObjectiveRow| work.get(&(&row.database, &row.scope)).is_some_and(|work| work.made > 0);
    let mut out = format!("#### Breached before this plan: {}\n\n", count(breached.len(), "objective"));
    if short {
        let mut groups: BTreeMap<(&Name, bool), Vec<String>> = BTreeMap::new();
        for row in breached {
            groups.entry((&row.database, mended(row))).or_default().push(code(&row.scope.to_string()));
        }
        for ((database, mended), scopes) in groups {
            for scopes in scopes.chunks(SCOPES_A_LINE) {
                out.push_str(&format!("- {}, {}: {}\n", code(database.as_str()), outlook(mended), scopes.join(" ")));
            }
        }
        return Some(out);
    }
    for row in breached {
        let seen = row.age.map_or_else(|| "no backup".to_owned(), |a| format!("newest backup is {} old", age(a)));
        let rpo = row.rpo.map_or_else(String::new, |rpo| format!(", RPO {}", age(rpo)));
        let of = code(&format!("{} {}", row.database, row.scope));
        out.push_str(&format!("- {of}: {seen}{rpo}; {}\n", outlook(mended(row))));
    }
    Some(out)
}

const fn outlook(mended: bool) -> &'static str {
    if mended { "this plan takes a backup" } else { "**nothing in this plan mends it**" }
}

/// Returns a value before and after, once where it stays.
fn change(before: &str, after: &str) -> String {
    if before == after { before.to_owned() } else { format!("{before} → {after}") }
}

/// Adds up what a plan does to each scope. A refused plan does nothing.
fn work(plan: &Plan) -> BTreeMap<(&Name, &Scope), Work> {
    let mut all: BTreeMap<(&Name, &Scope), Work> = BTreeMap::new();
    if !plan.refusals.is_empty() {
        return all;
    }
    for action in &plan.actions {
        match &action.kind {
            ActionKind::BackUp(work) => {
                if let Some(database) = &work.database {
                    all.entry((database, &work.scope)).or_default().made += 1;
                }
            }
            ActionKind::Tombstone(work) => {
                if let Some(database) = &work.database {
                    all.entry((database, &work.scope)).or_default().gone += 1;
                }
            }
            _ => {}
        }
    }
    all
}
