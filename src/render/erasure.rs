//! The erasure of a tenant: what would go, what came of it, and what holds its data on. Pure.

use serde::Serialize;

use super::action::{count, count64, place};
use super::json::pretty;
use super::moment::{moment, moment_cell};
use super::style::{Style, Symbol, Tone};
use super::table::Table;
use super::wrap::hanging;
use crate::domain::{Bytes, Consent, Erased, Erasure, Instant, Scope};

/// Sentences are not wider than this, however wide the terminal is.
const WIDEST: usize = 100;

fn whose(erasure: &Erasure, style: &Style) -> String {
    place(Some(&erasure.database), &Scope::Tenant(erasure.slug.clone()), style)
}

/// Writes what an erasure would do. `done` is when an earlier one was, and who asked for it.
#[must_use]
pub fn erasure_text(erasure: &Erasure, done: Option<(Instant, &str)>, style: &Style) -> String {
    let width = style.width.min(WIDEST);
    let mut out = format!("{}\n", style.heading(&format!("Erase {}", whose(erasure, style))));
    if let Some(at) = erasure.offboarded_at {
        hanging("  ", &format!("offboarded at {}", moment(at)), width, &mut out);
    }
    if let Some((at, by)) = done {
        let words = format!("It was erased at {}, as {} asked.", moment(at), style.name(by));
        out.push_str(&format!("\n{} {}\n", style.mark(Symbol::Good), style.paint(Tone::Good, &words)));
    } else if erasure.backups.is_empty() {
        out.push_str(&format!("\n{} It has no backups of its own.\n", style.mark(Symbol::Attention)));
        if !erasure.traces.is_empty() {
            let mut stores: Vec<String> = erasure.traces.iter().map(|trace| format!("store.{}", trace.store)).collect();
            stores.dedup();
            let words = format!(
                "It had some in {}. Old versions that a bucket keeps of them, and what unfinished attempts left, go for good.",
                stores.join(", ")
            );
            hanging("  ", &words, width, &mut out);
        }
    } else {
        let bytes: Bytes = erasure.backups.iter().map(|backup| backup.size).sum();
        let total = format!("{}{}{bytes}", count(erasure.backups.len(), "backup"), style.dot());
        out.push_str(&format!("\n{}  {total}\n", style.paint(Tone::Bad, "Goes for good")));
        let mut table = Table::new(style, &["backup", "store", "content of (UTC)", "size", "data"]);
        (0..5).for_each(|column| table.whole(column));
        table.right(3);
        for backup in &erasure.backups {
            let data = backup.locked_until.map_or_else(
                || "deleted".to_owned(),
                |until| format!("unreadable, locked until {}", moment_cell(until)),
            );
            table.row(vec![
                style.name(backup.backup.as_str()),
                backup.store.to_string(),
                moment_cell(backup.consistent_at),
                backup.size.to_string(),
                data,
            ]);
        }
        out.push_str(&table.render(style));
    }
    holders(erasure, style, &mut out);
    if !erasure.is_empty() {
        let begin = &erasure.digest.to_string()[..Consent::SHORTEST];
        out.push_str(&format!("\n{} Nothing brings it back. If it is meant:\n", style.mark(Symbol::Attention)));
        out.push_str(&format!(
            "    bkup erase tenant {} --database {} --confirm {begin} --reason \"...\"\n",
            style.name(&quoted(&erasure.slug)),
            erasure.database
        ));
    }
    out
}

/// Writes a slug as a shell reads it back; without a backslash, which would be doubled when it is shown.
pub(super) fn quoted(slug: &str) -> String {
    let plain = slug.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) && !slug.starts_with('-');
    if plain { slug.to_owned() } else { format!("'{}'", slug.replace('\'', "'\"'\"'")) }
}

/// Writes what still holds the tenant's data.
fn holders(erasure: &Erasure, style: &Style, out: &mut String) {
    if erasure.holders.is_empty() {
        out.push_str("\nNothing else that bkup keeps holds its data.\n");
        return;
    }
    let width = style.width.min(WIDEST);
    out.push_str(&format!("\n{}\n", style.heading("Still holds its data, with that of others; not touched")));
    for holder in &erasure.holders {
        let scope = place(Some(&erasure.database), &holder.scope, style);
        let first = holder.backups.first().map(|b| moment_cell(b.consistent_at)).unwrap_or_default();
        let last = holder.backups.last().map(|b| moment_cell(b.consistent_at)).unwrap_or_default();
        let span = if holder.backups.len() == 1 { format!("of {first}") } else { format!("of {first} to {last}") };
        let dated = holder.backups.iter().filter_map(|b| b.released_at).max();
        let undated = holder.backups.iter().filter(|b| b.released_at.is_none()).count();
        let until = match (dated, undated) {
            (Some(at), 0) => format!("the last is released about {}", moment(at)),
            (Some(at), n) => format!("released until about {}, {n} without a date", moment(at)),
            (None, _) => "none has a date of release".to_owned(),
        };
        let words = format!("{scope}: {} {span}; {until}; {}", count(holder.backups.len(), "backup"), holder.words);
        hanging("  - ", &words, width, out);
    }
    hanging("  ", "Restored for another purpose, what they hold of this tenant is to be deleted again.", width, out);
}

/// Writes it as JSON: `{"format_version":"1.0","database":...,"slug":...,"backups":[...],"holders":[...],"digest":...}`.
#[must_use]
pub fn erasure_json(erasure: &Erasure, done: Option<(Instant, &str)>) -> String {
    #[derive(Serialize)]
    struct Told<'a> {
        #[serde(flatten)]
        erasure: &'a Erasure,
        erased_at: Option<Instant>,
        erased_by: Option<&'a str>,
    }
    pretty(&Told { erasure, erased_at: done.map(|(at, _)| at), erased_by: done.map(|(_, by)| by) })
}

/// Writes what came of an erasure.
#[must_use]
pub fn erased_text(erased: &Erased, style: &Style) -> String {
    let width = style.width.min(WIDEST);
    let whose = whose(&erased.erasure, style);
    let (mark, tone, verdict) = if erased.is_whole() {
        (Symbol::Good, Tone::Good, format!("Erased {whose}: nobody can read its own backups any more"))
    } else {
        (Symbol::Attention, Tone::Bad, format!("Erased {whose} in part: some of its own backups can still be read"))
    };
    let mut out = format!("{} {}\n", style.mark(mark), style.paint(tone, &verdict));
    let facts = [
        count(erased.erasure.backups.len(), "backup"),
        format!("{} destroyed", count64(erased.keys, "key")),
        format!("{} deleted", count64(erased.objects, "object")),
        format!("asked by {}", style.name(&erased.by)),
    ];
    out.push_str(&format!("  {}\n", facts.join(style.dot())));
    for left in &erased.left {
        let state = if left.unreadable { "its store keeps the data, which no key opens" } else { "CAN STILL BE READ" };
        let words = format!("{} in store.{}: {state}: {}", left.backup, left.store, left.why);
        hanging("  - ", &style.name(&words), width, &mut out);
    }
    for note in &erased.notes {
        hanging("  - ", &style.name(note), width, &mut out);
    }
    holders(&erased.erasure, style, &mut out);
    out
}

/// Writes it as JSON, which is the evidence that the catalog keeps.
#[must_use]
pub fn erased_json(erased: &Erased) -> String {
    pretty(erased)
}
