//! What a rebuild of the catalog found, before anybody approves it and after it is done. Pure.

use super::action::count;
use super::json::pretty;
use super::moment::moment;
use super::style::{Style, Symbol, Tone};
use crate::domain::{Name, Rebuilt};

/// How many objects of a kind are named one by one.
const NAMED: usize = 20;

/// Writes a rebuild for people: verdict, what the catalog will hold, what it will not and what follows from that.
#[must_use]
pub fn rebuilt_text(rebuilt: &Rebuilt, style: &Style) -> String {
    let verdict = format!(
        "The catalog {} can be made again from {}",
        style.name(&rebuilt.lineage),
        number(rebuilt.stores.len() as u64, "store"),
    );
    let mut out = format!("{} {}\n", style.mark(Symbol::Create), style.paint(Tone::Strong, &verdict));
    let of = match rebuilt.state_at {
        Some(at) => format!("serial {}, as the apply that ended {} left it", rebuilt.serial, moment(at)),
        None => "no store holds a state: what is applied is not known, and the next apply records it anew".to_owned(),
    };
    out.push_str(&format!("  {}\n", style.paint(Tone::Dim, &of)));
    if rebuilt.simulated {
        out.push_str(&format!("  {}\n", style.paint(Tone::Dim, "its clock is simulated")));
    }
    out.push('\n');
    for store in &rebuilt.stores {
        let copies = if store.copies == 0 {
            String::new()
        } else {
            format!(", {} of backups in other stores", number(store.copies, "copy"))
        };
        let manifests = number(store.manifests, "manifest");
        out.push_str(&format!("  store.{}: {manifests}{copies}\n", style.name(store.store.as_str())));
    }
    let mut of_them = Vec::new();
    for (how_many, word) in
        [(rebuilt.tombstoned, "tombstoned"), (rebuilt.quarantined, "quarantined"), (rebuilt.protected, "protected")]
    {
        if how_many > 0 {
            of_them.push(format!("{how_many} {word}"));
        }
    }
    let of_them = if of_them.is_empty() { String::new() } else { format!(" ({})", of_them.join(", ")) };
    let plus = style.mark(Symbol::Create);
    out.push_str(&format!("\n  {plus} {}{of_them}\n", number(rebuilt.backups, "backup")));
    let mut more = vec![format!("{} as applied", number(rebuilt.documents, "policy thing"))];
    for (how_many, word) in [
        (rebuilt.purged, "purged backup"),
        (rebuilt.drills, "drill attempt"),
        (rebuilt.plans, "applied plan"),
        (rebuilt.abandoned, "dead attempt"),
        (rebuilt.digest_keys, "digest key"),
    ] {
        if how_many > 0 {
            more.push(number(how_many, word));
        }
    }
    out.push_str(&format!("  {plus} {}\n", more.join(", ")));
    if let Some(head) = &rebuilt.audit_head {
        let short: String = head.chars().take(16).collect();
        out.push_str(&format!(
            "  {plus} the audit chain goes on behind row {}, {}\n",
            rebuilt.audit_rows,
            style.name(&short)
        ));
    }
    out.push_str(&lost(rebuilt, style));
    out
}

/// What the catalog will not know, and what follows.
fn lost(rebuilt: &Rebuilt, style: &Style) -> String {
    let mut out = String::new();
    let look = style.mark(Symbol::Attention);
    let stores = |names: &[Name]| {
        let names: Vec<String> = names.iter().map(|name| format!("store.{}", style.name(name.as_str()))).collect();
        names.join(", ")
    };
    let more = |all: usize| match all.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("    and {more} more; --format json names all\n"),
    };
    if !rebuilt.without_digest_key.is_empty() {
        let names: Vec<String> = rebuilt.without_digest_key.iter().map(|name| style.name(name)).collect();
        out.push_str(&format!(
            "\n{look} No private key opens the digest key of {}.\n  The next backup there begins a new one: what is \
             unchanged since the last backup is not recognised once.\n  Restores and drills are not affected.\n",
            names.join(", ")
        ));
    }
    if !rebuilt.left_out.is_empty() {
        out.push_str(&format!(
            "\n{look} Left out with consent: {}. The catalog will not know the backups there.\n",
            stores(&rebuilt.left_out)
        ));
    }
    if !rebuilt.hidden.is_empty() {
        out.push_str(&format!(
            "\n{look} The versions of {} may not be listed: whether manifests were written over is not known.\n",
            stores(&rebuilt.hidden)
        ));
    }
    if !rebuilt.replaced.is_empty() {
        let what = number(rebuilt.replaced.len() as u64, "manifest");
        let was = if rebuilt.replaced.len() == 1 { "was" } else { "were" };
        out.push_str(&format!("\n{look} {what} {was} written over; the oldest whole version is recorded:\n"));
        for object in rebuilt.replaced.iter().take(NAMED) {
            out.push_str(&format!("    store.{} {}\n", style.name(object.store.as_str()), style.name(&object.key)));
        }
        out.push_str(&more(rebuilt.replaced.len()));
    }
    if !rebuilt.unusable.is_empty() {
        let what = number(rebuilt.unusable.len() as u64, "object");
        let be = if rebuilt.unusable.len() == 1 { "is" } else { "are" };
        out.push_str(&format!("\n{look} {what} cannot be used and {be} left alone:\n"));
        for object in rebuilt.unusable.iter().take(NAMED) {
            out.push_str(&format!(
                "    store.{} {}\n      {}\n",
                style.name(object.store.as_str()),
                style.name(&object.key),
                style.name(&object.why)
            ));
        }
        out.push_str(&more(rebuilt.unusable.len()));
    }
    out
}

/// Writes a rebuild as JSON.
#[must_use]
pub fn rebuilt_json(rebuilt: &Rebuilt) -> String {
    pretty(rebuilt)
}

fn number(how_many: u64, word: &str) -> String {
    match word {
        "copy" if how_many != 1 => format!("{how_many} copies"),
        _ => count(usize::try_from(how_many).unwrap_or(usize::MAX), word),
    }
}
