//! The list of backups, as a table and as JSON. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::action::{count, place};
use super::json::pretty;
use super::moment::{age, moment_cell};
use super::style::{Style, Symbol, Tone};
use super::table::Table;
use crate::domain::{Backup, Bytes, Instant, Period, Verification};

const QUARANTINED: &str = "! quarantined";

/// Writes backups for people: by database and scope, each in the order given. Ids stay whole, to be copied.
#[must_use]
pub fn backups_text(backups: &[Backup], as_of: Instant, style: &Style) -> String {
    if backups.is_empty() {
        return "No backups.\n".to_owned();
    }
    let mut groups: BTreeMap<_, Vec<&Backup>> = BTreeMap::new();
    for backup in backups {
        groups.entry((&backup.database, &backup.scope)).or_default().push(backup);
    }
    let mut out = String::new();
    for ((database, scope), group) in groups {
        out.push_str(&format!(
            "{}  {}\n",
            style.heading(&place(database.as_ref(), scope, style)),
            total(&group, style)
        ));
        let mut table = Table::new(style, &["backup", "content of (UTC)", "age", "size", "state"]);
        (0..4).for_each(|column| table.whole(column));
        table.right(3);
        for backup in &group {
            table.row(vec![
                style.name(backup.id.as_str()),
                moment_cell(backup.consistent_at),
                age(Period::between(backup.consistent_at, as_of)),
                backup.size.to_string(),
                state(backup, style),
            ]);
        }
        table.paint(QUARANTINED, Tone::Bad);
        out.push_str(&table.render(style));
        for backup in group {
            if let Some(asked) = backup.asked_for.as_ref().filter(|asked| !asked.tables.is_empty()) {
                let tables: Vec<String> = asked.tables.iter().map(|glob| style.name(glob)).collect();
                out.push_str(&format!("  {}: tables {}\n", style.name(backup.id.as_str()), tables.join(", ")));
            }
            if let Some(why) = &backup.quarantine {
                let mark = style.mark(Symbol::Attention);
                out.push_str(&format!("  {mark} {}: {}\n", style.name(backup.id.as_str()), style.name(why)));
            }
        }
        out.push('\n');
    }
    format!("{out}{}\n", total(&backups.iter().collect::<Vec<_>>(), style))
}

fn total(backups: &[&Backup], style: &Style) -> String {
    let bytes: Bytes = backups.iter().map(|backup| backup.size).sum();
    format!("{}{}{bytes}", count(backups.len(), "backup"), style.dot())
}

/// Writes backups as JSON: `{"format_version":"1.0","as_of":...,"backups":[...]}`.
#[must_use]
pub fn backups_json(backups: &[Backup], as_of: Instant) -> String {
    #[derive(Serialize)]
    struct List<'a> {
        format_version: &'static str,
        as_of: Instant,
        backups: &'a [Backup],
    }
    pretty(&List { format_version: "1.0", as_of, backups })
}

fn state(backup: &Backup, style: &Style) -> String {
    let proven = match backup.verification {
        Verification::None => "unproven",
        Verification::Exists => "seen",
        Verification::Checksum => "read back",
        Verification::Restore => "restored",
    };
    let mut words = vec![if backup.quarantine.is_some() { QUARANTINED } else { proven }.to_owned()];
    words.extend(backup.tombstoned_at.map(|at| format!("tombstoned {}", moment_cell(at))));
    words.extend(backup.asked_for.as_ref().map(|asked| match &asked.reason {
        Some(reason) => format!("asked for: {}", style.name(reason)),
        None => "asked for".to_owned(),
    }));
    words.extend(backup.protected.then(|| "protected".to_owned()));
    words.extend(backup.locked_until.map(|until| format!("locked until {}", moment_cell(until))));
    words.join(", ")
}
