//! What keeps a backup and what releases it, and the backups of what is gone, as text and as JSON. Pure.

use serde::Serialize;

use super::action::{count, place};
use super::json::pretty;
use super::moment::{age, moment, moment_cell};
use super::style::{Style, Symbol, Tone};
use super::table::Table;
use super::wrap::hanging;
use crate::domain::{Backup, BackupLife, Bytes, Instant, LifeState, OrphanGroup, Period, RemovedBackups, Verification};

/// Sentences are not wider than this, however wide the terminal is.
const WIDEST: usize = 100;

/// Writes what keeps a backup, and what happens to it next.
#[must_use]
pub fn life_text(life: &BackupLife, as_of: Instant, style: &Style) -> String {
    let backup = &life.backup;
    let width = style.width.min(WIDEST);
    let mut out = format!("{}\n", style.heading(&style.name(backup.id.as_str())));
    let content = format!(
        "{}, content of {}, {} old, {} in store {}",
        place(backup.database.as_ref(), &backup.scope, style),
        moment(backup.consistent_at),
        age(Period::between(backup.consistent_at, as_of)),
        backup.size,
        backup.store,
    );
    hanging("  ", &content, width, &mut out);
    hanging(
        "  ",
        &format!("schedule.{}, slot {}; {}", backup.schedule, moment(backup.slot), proven(backup)),
        width,
        &mut out,
    );
    if let Some(filed) = &backup.filed_under {
        let words = format!("in the store it lies under {filed}, as its database was called then");
        hanging("  ", &words, width, &mut out);
    }
    let (word, tone) = match life.state {
        LifeState::Kept => ("Kept", Tone::Good),
        LifeState::Released => ("No longer kept", Tone::Warn),
        LifeState::Tombstoned => ("Tombstoned: it can be brought back", Tone::Warn),
        LifeState::PurgeDue => ("Tombstoned, and its grace period is over", Tone::Bad),
        LifeState::Quarantined => ("Quarantined: it stands in for nothing", Tone::Bad),
    };
    out.push_str(&format!("\n{}\n", style.paint(tone, word)));
    if let Some(rule) = &life.rule {
        hanging("  ", &format!("its rule: {}", style.name(rule)), width, &mut out);
    }
    for reason in &life.reasons {
        hanging("  - ", &style.name(reason), width, &mut out);
    }
    out.push_str(&format!("\n{}\n", style.heading("Next")));
    for words in &life.next {
        hanging("  ", &style.name(words), width, &mut out);
    }
    out
}

fn proven(backup: &Backup) -> String {
    let depth = match backup.verification {
        Verification::None => "never proven",
        Verification::Exists => "seen in its store",
        Verification::Checksum => "read back",
        Verification::Restore => "restored",
    };
    let drilled = backup.drilled_at.map(|at| format!(", by a drill at {}", moment(at))).unwrap_or_default();
    format!("{depth}{drilled}")
}

/// Writes it as JSON: `{"format_version":"1.0","as_of":...,"backup":{...},"state":...,"reasons":[...],"next":[...]}`.
#[must_use]
pub fn life_json(life: &BackupLife, as_of: Instant) -> String {
    #[derive(Serialize)]
    struct Told<'a> {
        format_version: &'static str,
        as_of: Instant,
        #[serde(flatten)]
        life: &'a BackupLife,
    }
    pretty(&Told { format_version: "1.0", as_of, life })
}

/// Writes the backups of what is gone, by what is gone.
#[must_use]
pub fn orphans_text(groups: &[OrphanGroup], as_of: Instant, style: &Style) -> String {
    if groups.is_empty() {
        return "No orphans: every backup belongs to something that the policies define, and to no tenant that is gone.\n"
            .to_owned();
    }
    let width = style.width.min(WIDEST);
    let mut out = String::new();
    for group in groups {
        let bytes: Bytes = group.backups.iter().map(|orphan| orphan.size).sum();
        let total = format!("{}{}{bytes}", count(group.backups.len(), "backup"), style.dot());
        let whose = group.tenant.as_ref().map(|slug| style.name(&format!(" tenant={slug}"))).unwrap_or_default();
        out.push_str(&format!("{}  {total}\n", style.heading(&format!("{}{whose}", group.address))));
        hanging("  ", &standing(group), width, &mut out);
        let mut table = Table::new(style, &["backup", "of", "content of (UTC)", "age", "size", "released"]);
        (0..6).for_each(|column| table.whole(column));
        table.right(4);
        for orphan in &group.backups {
            let released = match (orphan.state, orphan.until) {
                (LifeState::Released, _) => "next apply".to_owned(),
                (LifeState::PurgeDue, _) => "purged next".to_owned(),
                (LifeState::Tombstoned, Some(until)) => format!("purged {}", moment_cell(until)),
                (_, Some(until)) => moment_cell(until),
                (_, None) => "no date".to_owned(),
            };
            table.row(vec![
                style.name(orphan.id.as_str()),
                place(orphan.database.as_ref(), &orphan.scope, style),
                moment_cell(orphan.consistent_at),
                age(Period::between(orphan.consistent_at, as_of)),
                orphan.size.to_string(),
                style.name(&released),
            ]);
        }
        out.push_str(&table.render(style));
        for (ids, reasons) in undated(group) {
            let whose = match ids.as_slice() {
                [id] => format!("{id} has no date: "),
                many => format!("{} have no date, such as {}: ", many.len(), many[0]),
            };
            hanging("  - ", &style.name(&format!("{whose}{reasons}")), width, &mut out);
        }
        for words in ways_out(group) {
            out.push_str(&format!("  {} {}\n", style.mark(Symbol::Arrow), style.name(&words)));
        }
        out.push('\n');
    }
    let all: usize = groups.iter().map(|group| group.backups.len()).sum();
    let bytes: Bytes = groups.iter().flat_map(|group| &group.backups).map(|orphan| orphan.size).sum();
    format!("{out}{}{}{bytes}\n", count(all, "orphan"), style.dot())
}

/// Returns the backups that time alone does not release, by what keeps them.
fn undated(group: &OrphanGroup) -> Vec<(Vec<&str>, String)> {
    let mut all: Vec<(Vec<&str>, String)> = Vec::new();
    let stays = |state| matches!(state, LifeState::Kept | LifeState::Quarantined);
    for orphan in group.backups.iter().filter(|orphan| orphan.until.is_none() && stays(orphan.state)) {
        let reasons =
            if orphan.reasons.is_empty() { "nothing is planned for it".to_owned() } else { orphan.reasons.join(", ") };
        match all.iter_mut().find(|(_, known)| *known == reasons) {
            Some((ids, _)) => ids.push(orphan.id.as_str()),
            None => all.push((vec![orphan.id.as_str()], reasons)),
        }
    }
    all
}

fn standing(group: &OrphanGroup) -> String {
    if group.tenant.is_some() {
        let since = group.archived_at.map(|at| format!(" at {}", moment(at))).unwrap_or_default();
        let rule = group.rule.as_ref().map(|rule| format!(", which is: {rule}")).unwrap_or_default();
        return format!("was offboarded{since}; its rule is counted from then{rule}");
    }
    let since = group
        .archived_at
        .map_or_else(|| "is not in the policies".to_owned(), |at| format!("left the policies at {}", moment(at)));
    let fate = match group.fate {
        Some(RemovedBackups::Keep) => "; removed with `backups: keep`: they stay for good".to_owned(),
        Some(RemovedBackups::Delete) => "; removed with `backups: delete`: they go, after the grace period".to_owned(),
        Some(RemovedBackups::Expire) | None => {
            group.rule.as_ref().map_or_else(String::new, |rule| format!("; its recorded rule goes on: {rule}"))
        }
    };
    format!("{since}{fate}")
}

fn ways_out(group: &OrphanGroup) -> Vec<String> {
    if let (Some(slug), Some(database)) = (&group.tenant, group.address.name()) {
        let slug = super::erasure::quoted(slug);
        return vec![format!("to erase all of it, keys first: `bkup erase tenant {slug} --database {database}`")];
    }
    let entry = |fate: &str| format!("`removed: [{{ from: {}, backups: {fate} }}]`", group.address);
    let delete = format!("to delete them, after the grace period: {}", entry("delete"));
    let keep = format!("to keep them for good: {}", entry("keep"));
    match group.fate {
        Some(RemovedBackups::Delete) => vec![keep],
        Some(RemovedBackups::Keep) => vec![delete],
        _ => vec![delete, keep],
    }
}

/// Writes them as JSON: `{"format_version":"1.0","as_of":...,"orphans":[{"address":...,"backups":[...]}]}`.
#[must_use]
pub fn orphans_json(groups: &[OrphanGroup], as_of: Instant) -> String {
    #[derive(Serialize)]
    struct List<'a> {
        format_version: &'static str,
        as_of: Instant,
        orphans: &'a [OrphanGroup],
    }
    pretty(&List { format_version: "1.0", as_of, orphans: groups })
}

/// Writes that a backup was brought back, and how long it is kept.
#[must_use]
pub fn undeleted_text(backup: &Backup, back: bool, until: Option<Instant>, style: &Style) -> String {
    let id = style.name(backup.id.as_str());
    let what = if back { format!("{id} is back") } else { format!("{id} was not tombstoned") };
    let kept = match until {
        Some(until) => format!("kept until {}, whatever the rules say", moment(until)),
        None => "the rules decide over it from now on: the next plan may tombstone it".to_owned(),
    };
    format!("{} {what}; {kept}.\n", style.mark(Symbol::Good))
}

/// Writes it as JSON.
#[must_use]
pub fn undeleted_json(backup: &Backup, back: bool, until: Option<Instant>) -> String {
    pretty(&serde_json::json!({
        "format_version": "1.0", "backup": backup.id, "undeleted": back, "pinned_until": until,
    }))
}
