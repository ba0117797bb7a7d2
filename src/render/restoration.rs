//! What a restore did, as text and as JSON. Pure.

use super::action::{count, count64};
use super::json::pretty;
use super::moment::elapsed;
use super::style::{Style, Symbol, Tone};
use super::swap::{changed_words, swapped_lines};
use crate::domain::{Bytes, Restoration};

/// Writes a restore for people: verdict, what was proven with its numbers, what was left out, the server that runs on.
#[must_use]
pub fn restoration_text(restoration: &Restoration, style: &Style) -> String {
    let what = match (&restoration.database, restoration.scope.split_once('=')) {
        (Some(database), Some((kind, name))) => format!("{kind} {} of {}", style.name(name), style.name(database)),
        (Some(database), None) if restoration.scope == "database" => format!("database {}", style.name(database)),
        (Some(database), None) => format!("{} of {}", style.name(&restoration.scope), style.name(database)),
        (None, Some(("files", schedule))) => format!("the files of schedule.{}", style.name(schedule)),
        (None, _) => style.name(&restoration.scope),
    };
    let is_files = restoration.scope.starts_with("files=");
    let proven =
        if restoration.proofs.is_empty() { "; nothing was recorded to compare it with" } else { ", proven equal" };
    let proven = if restoration.sanitized { format!("{proven}, then sanitised") } else { proven.to_owned() };
    let verdict = match restoration.into.split_once(':') {
        Some(("folder", dir)) => format!("Restored {what} into {}, every byte as recorded", style.name(dir)),
        Some((_, name)) => format!("Restored {what} into {}{proven}", style.name(name)),
        None if restoration.table.as_ref().is_some_and(|table| table.how == "compare") => {
            format!("Compared a table of {what}; nothing was changed")
        }
        None if restoration.table.is_some() => format!("Restored a table of {what} into the live server{proven}"),
        None if restoration.into == "live" => format!("Restored {what} into the live server{proven}"),
        None if is_files => format!("Restored {what} into a folder that is gone again{proven}"),
        None => format!("Restored {what} into a scratch server{proven}"),
    };
    let mut out = format!("{} {}\n", style.mark(Symbol::Good), style.paint(Tone::Good, &verdict));
    let facts = [
        style.name(&restoration.backup),
        format!("content of {}", style.name(&restoration.consistent_at)),
        format!("{} fetched", Bytes(restoration.bytes_fetched)),
        format!("took {}", elapsed(restoration.elapsed_ms)),
    ];
    out.push_str(&format!("  {}\n", facts.join(style.dot())));
    for proof in &restoration.proofs {
        if is_files {
            out.push_str(&format!(
                "  {} {}: {} with {}, equal to what was recorded\n",
                style.mark(Symbol::Good),
                style.name(&proof.scope),
                count64(proof.files, "file"),
                Bytes(proof.file_bytes),
            ));
            continue;
        }
        out.push_str(&format!(
            "  {} {} in {}: {} with {}, and {}, equal to what was recorded\n",
            style.mark(Symbol::Good),
            style.name(&proof.scope),
            style.name(&proof.place),
            count64(proof.tables, "table"),
            count64(proof.rows, "row"),
            count64(proof.sequences, "sequence"),
        ));
    }
    if !restoration.left_out.is_empty() {
        out.push_str(&format!(
            "  {} {} left out, for want of other tenants:\n",
            style.mark(Symbol::Attention),
            count(restoration.left_out.len(), "object")
        ));
        for entry in &restoration.left_out {
            out.push_str(&format!("      {}\n", style.name(entry)));
        }
    }
    if let Some(table) = &restoration.table {
        out.push_str(&format!("  {} {}\n", style.mark(Symbol::Good), style.name(&changed_words(table))));
    }
    if let Some(swapped) = &restoration.swap {
        out.push_str(&swapped_lines(swapped, style));
    }
    for note in &restoration.notes {
        out.push_str(&format!("  {} {}\n", style.mark(Symbol::Attention), style.name(note)));
    }
    if let Some(kept) = &restoration.kept {
        out.push_str(&format!("  running until {}; to look inside, and to stop it:\n", style.name(&kept.until)));
        out.push_str(&format!("      psql {}\n", style.name(&kept.connection)));
        out.push_str(&format!("      {}\n", style.name(&kept.stop)));
    }
    out
}

/// Writes a restore as JSON.
#[must_use]
pub fn restoration_json(restoration: &Restoration) -> String {
    pretty(restoration)
}
