//! A swap of a live schema, before and after, and the plan of a restore, as text. Pure.

use super::action::{count, count64};
use super::json::pretty;
use super::moment::elapsed;
use super::style::{Style, Symbol, Tone};
use crate::domain::{Bytes, RestorePlan, SwapPlan, Swapped, TableChange, TableRestored};

/// How many tables are named.
const NAMED: usize = 20;

/// What a swap is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapOf {
    /// A backup for what is in use.
    Backup,
    /// What was put aside for what is in use.
    Undo,
}

/// Writes what a swap will do, and what is not in what comes in; each line ends.
#[must_use]
pub fn swap_text(plan: &SwapPlan, changes: &[TableChange], of: SwapOf, style: &Style) -> String {
    swap_head(plan, of, style) + &changes_text(changes, of, style)
}

fn swap_head(plan: &SwapPlan, of: SwapOf, style: &Style) -> String {
    let name = |text: &str| style.name(text);
    let comes = match of {
        SwapOf::Backup => "what was proven",
        SwapOf::Undo => "what was put aside",
    };
    let mut out =
        format!("{} {} is in use, and {comes} will take its place\n", style.mark(Symbol::Attention), name(&plan.name));
    out.push_str(&format!(
        "    what is in use stays as {}, until `bkup restore --forget {}` removes it\n",
        name(&plan.aside),
        name(&plan.id)
    ));
    for (what, which) in [
        ("foreign key re-pointed", &plan.keys),
        ("view re-pointed", &plan.views),
        ("published again", &plan.publications),
        ("goes by its name, before and after", &plan.mentions),
        ("note", &plan.notes),
    ] {
        for one in which {
            out.push_str(&format!("    {what}: {}\n", name(one)));
        }
    }
    out
}

fn changes_text(changes: &[TableChange], of: SwapOf, style: &Style) -> String {
    let then = match of {
        SwapOf::Backup => "in the backup",
        SwapOf::Undo => "at the swap",
    };
    if changes.is_empty() {
        return match of {
            SwapOf::Backup => "    its tables hold what the backup holds\n".to_owned(),
            SwapOf::Undo => "    nothing was written to its tables since the swap\n".to_owned(),
        };
    }
    let tables = count(changes.len(), "table");
    let verdict = match of {
        SwapOf::Backup => {
            format!("{tables} in use {} not what the backup holds:", if changes.len() == 1 { "holds" } else { "hold" })
        }
        SwapOf::Undo => format!("{tables} changed since the swap; what was written is put aside with the rest:"),
    };
    let mut out = format!("    {}\n", style.paint(Tone::Warn, &verdict));
    for change in changes.iter().take(NAMED) {
        let words = match (change.now, change.then) {
            (Some(now), Some(before)) if now == before => {
                format!("{} both, some of other content", count64(now, "row"))
            }
            (Some(now), Some(before)) => format!("{} now, {before} {then}", count64(now, "row")),
            (None, Some(before)) => format!("is gone now, {} {then}", count64(before, "row")),
            (Some(now), None) => format!("{} now, and was not there {then}", count64(now, "row")),
            (None, None) => format!("was not there {then}"),
        };
        out.push_str(&format!("      {}: {words}\n", style.name(&change.table)));
    }
    if changes.len() > NAMED {
        out.push_str(&format!("      and {} more\n", changes.len() - NAMED));
    }
    out
}

/// Writes what a swap did, as lines below a verdict.
#[must_use]
pub fn swapped_lines(swapped: &Swapped, style: &Style) -> String {
    let plan = &swapped.plan;
    let mut out = format!(
        "  {} swapped in {} under locks, {}\n",
        style.mark(Symbol::Good),
        elapsed(swapped.locked_ms),
        if swapped.attempts == 1 {
            "at the first attempt".to_owned()
        } else {
            format!("after {} attempts", swapped.attempts)
        },
    );
    for key in &swapped.unvalidated {
        out.push_str(&format!("  {} holds for new rows alone: {}\n", style.mark(Symbol::Attention), style.name(key)));
    }
    let (aside, id) = (style.name(&plan.aside), style.name(&plan.id));
    out.push_str(&format!("  what was in use is {aside}; to swap back, and to remove it:\n"));
    out.push_str(&format!("      bkup restore --undo {id}\n      bkup restore --forget {id}\n"));
    out
}

/// Writes a swap that was taken back.
#[must_use]
pub fn undone_text(swapped: &Swapped, style: &Style) -> String {
    let verdict = format!("{} is what it was before the swap", style.name(&swapped.plan.name));
    format!("{} {}\n{}", style.mark(Symbol::Good), style.paint(Tone::Good, &verdict), swapped_lines(swapped, style))
}

/// Writes a swap as JSON.
#[must_use]
pub fn swapped_json(swapped: &Swapped) -> String {
    pretty(swapped)
}

/// Writes a restore plan for people.
#[must_use]
pub fn restore_plan_text(plan: &RestorePlan, style: &Style) -> String {
    let of = plan.database.as_deref().map(|database| format!(" of {}", style.name(database))).unwrap_or_default();
    let what = plan.table.as_deref().map(|table| format!("table {} out of ", style.name(table))).unwrap_or_default();
    let mut out = format!(
        "Restore {what}{}{of} into {}\n",
        style.name(&plan.scope),
        style.name(plan.server.as_deref().filter(|_| plan.into == "live").unwrap_or(&plan.into))
    );
    let facts = [
        style.name(&plan.backup),
        format!("content of {}", style.name(&plan.consistent_at)),
        format!("store.{}", style.name(&plan.store)),
        format!("{} to load", Bytes(plan.bytes)),
    ];
    out.push_str(&format!("  {}\n", facts.join(style.dot())));
    if plan.into == "live" {
        out.push_str("  first into a scratch server, where it has to be proven equal\n");
    }
    if let Some(swap) = &plan.swap {
        // What the tables hold is not known before the backup was read.
        let head = swap_head(swap, SwapOf::Backup, style);
        head.lines().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
    for schema in &plan.apart_from {
        out.push_str(&format!(
            "  {} what cannot be without {}, which is not restored with it, is left out and listed\n",
            style.mark(Symbol::Attention),
            style.name(schema)
        ));
    }
    if let Some(rows) = &plan.rows {
        out.push_str(&format!("  rows: {}\n", style.name(rows)));
    }
    if plan.sanitize.is_some() {
        out.push_str("  sanitised after it was loaded: no proof of anything, and never for live\n");
    }
    for note in &plan.notes {
        out.push_str(&format!("  {} {}\n", style.mark(Symbol::Attention), style.name(note)));
    }
    out.push_str(&format!("  digest {}\n", style.name(plan.digest.get(..12).unwrap_or(&plan.digest))));
    out
}

/// Writes a restore plan as JSON.
#[must_use]
pub fn restore_plan_json(plan: &RestorePlan) -> String {
    pretty(plan)
}

/// Says how a table differs from a backup: `"s"."t": 3 rows missing, 1 different, 2 that the backup lacks, 200 the same`.
#[must_use]
pub fn table_words(table: &TableRestored) -> String {
    format!(
        "{}: {} missing, {} different, {} that the backup lacks, {} the same",
        table.table,
        count64(table.missing, "row"),
        table.different,
        table.extra,
        table.same
    )
}

/// Says what was done to a table.
pub(super) fn changed_words(table: &TableRestored) -> String {
    let differs = table_words(table);
    if table.how == "compare" {
        return differs;
    }
    let (inserted, updated, deleted) = (table.inserted, table.updated, table.deleted);
    format!("{differs}; {inserted} inserted, {updated} set back, {deleted} deleted")
}
