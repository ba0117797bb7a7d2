//! What an adoption would take over and what it leaves alone, as text. Pure.

use super::action::{count, place};
use super::json::pretty;
use super::moment::moment;
use super::style::{Style, Symbol, Tone};
use super::table::Table;
use crate::domain::{ActionKind, BackupId, Bytes, LeftAlone, Plan};

/// Writes an adoption for people: what is taken over under which schedule, what is left alone and why, what was adopted
/// before.
#[must_use]
pub fn adoption_text(
    plan: &Plan,
    left_alone: &[LeftAlone],
    already: &[(String, BackupId)],
    others: u64,
    timezone: &str,
    style: &Style,
) -> String {
    let mut out = String::new();
    let bytes: Bytes = plan.actions.iter().filter_map(|action| action.bytes).sum();
    let verdict = format!("Adopt: {}, {bytes}; deletes nothing.", count(plan.actions.len(), "backup"));
    out.push_str(&format!("{}\n", style.heading(&verdict)));
    out.push_str(&format!("times in names are read as {}\n", style.name(timezone)));
    if !plan.actions.is_empty() {
        let mut table = Table::new(style, &["", "found", "time", "bytes", "becomes a backup of", "schedule"]);
        table.whole(2);
        table.whole(3);
        table.right(3);
        for action in &plan.actions {
            let ActionKind::BackUp(work) = &action.kind else { continue };
            let Some(found) = &work.found else { continue };
            table.row(vec![
                style.symbol(Symbol::Create).to_owned(),
                style.name(&found.key),
                moment(found.at),
                found.size.to_string(),
                place(work.database.as_ref(), &work.scope, style),
                work.schedule.to_string(),
            ]);
        }
        out.push_str(&format!("\n{}", table.render(style)));
        for action in &plan.actions {
            let ActionKind::BackUp(work) = &action.kind else { continue };
            for (found, note) in work.found.iter().flat_map(|found| found.notes.iter().map(move |note| (found, note))) {
                out.push_str(&format!("  {}: {}\n", style.name(&found.key), style.name(note)));
            }
        }
    }
    if !left_alone.is_empty() {
        out.push_str(&format!("\n{} ({})\n", style.heading("Left alone"), left_alone.len()));
        for left in left_alone {
            let words = format!("{}: {}", style.name(&left.key), style.name(&left.why));
            out.push_str(&format!("  {} {}\n", style.mark(Symbol::Attention), style.paint(Tone::Warn, &words)));
        }
    }
    if !already.is_empty() {
        out.push_str(&format!("\n{} adopted before\n", count(already.len(), "backup")));
    }
    if others > 0 {
        out.push_str(&format!(
            "\n{} that are no backups\n",
            count(usize::try_from(others).unwrap_or(usize::MAX), "object")
        ));
    }
    out
}

/// Writes an adoption as JSON.
#[must_use]
pub fn adoption_json(plan: &Plan, left_alone: &[LeftAlone], already: &[(String, BackupId)], others: u64) -> String {
    let already: Vec<serde_json::Value> =
        already.iter().map(|(key, backup)| serde_json::json!({ "key": key, "backup": backup })).collect();
    pretty(&serde_json::json!({
        "format_version": "1.0",
        "plan": plan,
        "left_alone": left_alone,
        "already": already,
        "others": others,
    }))
}
