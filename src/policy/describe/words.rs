//! Words that several descriptions share. Pure.

use crate::domain::{BackupType, Engine, Instant, Method, Name, Objectives, Period, Slot, TenantFilter, When};
use crate::schedule::{self, Calendar};

/// Lists names as a sentence does: `a, b and c`.
pub(super) fn listed<T: std::fmt::Display>(items: &[T]) -> String {
    joined(items, "and")
}

/// Lists alternatives: `a, b or c`.
pub(super) fn joined<T: std::fmt::Display>(items: &[T], word: &str) -> String {
    match items {
        [] => "nothing".to_owned(),
        [only] => only.to_string(),
        [others @ .., last] => {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
            format!("{} {word} {last}", others.join(", "))
        }
    }
}

/// Says which kind of backup it is, with its article.
pub(super) const fn kind(backup: BackupType) -> &'static str {
    match backup {
        BackupType::FullSystem => "the whole server",
        BackupType::Database => "the whole database",
        BackupType::TenantData => "each tenant by itself",
        BackupType::Files => "files",
        BackupType::Configuration => "the configuration",
    }
}

/// Says how an engine works.
pub(super) const fn engine(engine: Engine) -> &'static str {
    match engine {
        Engine::Logical => "pg_dump",
        Engine::Physical => "a base backup of the server's files",
        Engine::Incremental => "the blocks that changed since the backup before",
    }
}

/// Says which tenants a filter takes.
pub(super) fn tenants(filter: &TenantFilter) -> String {
    match filter {
        TenantFilter::All => "every tenant".to_owned(),
        TenantFilter::Classes(classes) => {
            let word = if classes.len() == 1 { "class" } else { "classes" };
            format!("the tenants of the {word} {}", listed(classes))
        }
        TenantFilter::Slugs(globs) => format!("the tenants whose slug matches {}", joined(globs, "or")),
    }
}

/// Says what is promised.
pub(super) fn objectives(objectives: &Objectives) -> Vec<String> {
    let rpo = objectives.rpo.map_or_else(
        || "no RPO: nothing is promised about how much may be lost".to_owned(),
        |rpo| format!("RPO: at most the last {rpo} of changes may be lost"),
    );
    let rto = objectives.rto.map_or_else(
        || "no RTO: nothing is promised about how long coming back takes".to_owned(),
        |rto| format!("RTO: coming back takes at most {rto}"),
    );
    let method = match objectives.method {
        Method::ColdBackup => "by a cold backup: a restore brings it back",
        Method::WarmStandby => "by a warm standby, which bkup looks for and does not provide",
        Method::HotStandby => "by a hot standby, which bkup looks for and does not provide",
    };
    vec![rpo, rto, method.to_owned()]
}

/// Returns the next five slots of a rule, with what its zone's clocks show.
pub(super) fn next_slots(when: &When, now: Instant) -> Vec<Slot> {
    let Ok(calendar) = Calendar::new(when) else { return Vec::new() };
    calendar.between(now, Instant::MAX).take(5).map(|at| Slot { at, local: local(at, when) }).collect()
}

/// Returns what the clocks of a rule's zone show: `2026-11-20 02:00 +09:00 Asia/Seoul`.
fn local(at: Instant, when: &When) -> String {
    let zoned = at.to_zoned(when.timezone.zone());
    let format = if at.as_second() % 60 == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    let offset = if when.timezone.as_str() == "UTC" { String::new() } else { zoned.strftime(" %:z").to_string() };
    format!("{}{offset} {}", zoned.strftime(format), when.timezone)
}

/// Says how far two slots lie apart at most, with the instants, and what that means with a late start; exact over the
/// whole calendar.
pub(super) fn largest_gap(when: &When, start_within: Period, now: Instant) -> Vec<String> {
    let Ok(calendar) = Calendar::new(when) else { return Vec::new() };
    let Some(gap) = schedule::worst_loss(&[(&calendar, Period::default())], now) else { return Vec::new() };
    let mut lines = vec![format!(
        "the largest gap is {}: from {} to {}",
        spoken(gap.length),
        local(gap.counts.slot, when),
        local(gap.next.slot, when)
    )];
    if let Some(late) = schedule::worst_loss(&[(&calendar, start_within)], now) {
        lines.push(format!(
            "with a start that is {start_within} late, at most {} of changes are lost, and what the backup itself takes",
            spoken(late.length)
        ));
    }
    lines
}

/// Writes a length of time by its two largest units: `1d 1h`.
pub(super) fn spoken(period: Period) -> String {
    const UNITS: [(&str, i64); 5] = [("y", 31_536_000), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let mut rest = period.as_seconds();
    let mut parts = Vec::new();
    for (unit, size) in UNITS {
        if rest >= size {
            parts.push(format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// Says when a rule runs, and that nobody but a person starts it where that is so.
pub(super) fn when(when: &When) -> String {
    schedule::describe(when)
}

/// Counts things: `1 schedule`, `3 schedules`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Lists names of things with their addresses.
pub(super) fn addresses(section: &str, names: &[&Name]) -> String {
    listed(&names.iter().map(|name| format!("{section}.{name}")).collect::<Vec<_>>())
}
