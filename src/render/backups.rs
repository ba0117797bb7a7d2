//! The list of backups, as a table and as JSON. Pure.

use serde::Serialize;

use super::action::{count, place};
use super::json::pretty;
use super::moment::{age, moment};
use super::style::{Style, Tone};
use super::table::Table;
use crate::domain::{Backup, Bytes, Instant, Period, Verification};

/// Writes backups for people, in the order given.
#[must_use]
pub fn backups_text(backups: &[Backup], as_of: Instant, style: &Style) -> String {
    if backups.is_empty() {
        return "No backups.\n".to_owned();
    }
    let mut table = Table::new(style, &["backup", "of", "content of", "age", "size", "proven", "state"]);
    table.right(4);
    for backup in backups {
        table.row(vec![
            style.name(backup.id.as_str()),
            place(backup.database.as_ref(), &backup.scope, style),
            moment(backup.consistent_at),
            age(Period::between(backup.consistent_at, as_of)),
            backup.size.to_string(),
            proven(backup).to_owned(),
            state(backup, style),
        ]);
    }
    table.paint("! quarantined", Tone::Bad);
    let total: Bytes = backups.iter().map(|backup| backup.size).sum();
    format!("{}{}{}{total}\n", table.render(style), count(backups.len(), "backup"), style.dot())
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

const fn proven(backup: &Backup) -> &'static str {
    match backup.verification {
        Verification::None => "no",
        Verification::Exists => "exists",
        Verification::Checksum => "checksum",
        Verification::Restore => "restored",
    }
}

fn state(backup: &Backup, style: &Style) -> String {
    let mut words = Vec::new();
    words.extend(backup.quarantine.as_ref().map(|why| format!("! quarantined: {}", style.name(why))));
    words.extend(backup.tombstoned_at.map(|at| format!("tombstoned {}", moment(at))));
    if backup.protected {
        words.push("protected".to_owned());
    }
    words.extend(backup.locked_until.map(|until| format!("locked until {}", moment(until))));
    if words.is_empty() { "ok".to_owned() } else { words.join(", ") }
}
