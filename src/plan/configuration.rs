//! Schedules `on: change`: whether a configuration differs from that of the newest backup, and what the backup of it is
//! called.
//!
//! The identity of such a backup is its configuration's digest together with the backup before it. The digest alone
//! would not do: a configuration that changes and changes back must be backed up again. The instant at which somebody
//! looked would not do either: two runners that look a second apart must meet at one name, or each takes a backup of
//! its own.

use std::collections::BTreeMap;

use super::coverage::backup_id_of;
use super::world::{Eligible, View};
use crate::domain::{
    ActionId, Address, Backup, BackupId, ConfigurationSeen, Digest, HeldReason, Instant, Name, Period, ScheduleSpec,
    Scope,
};

/// A change that nobody has backed up.
pub(super) struct Change {
    /// The ids of the work and of the backup.
    pub ids: (ActionId, BackupId),
    /// The slot: the second after the backup before; the begin of 1970 where there was none.
    pub slot: Instant,
    /// Of which instant the newest configuration is that is backed up; absent where there is none.
    pub since: Option<Instant>,
}

/// Returns the digest of a database's configuration with the policies as this plan leaves them; `None` where it is taken
/// not to change.
pub(super) fn digest(
    view: &View<'_>,
    spec: &ScheduleSpec,
    database: &Name,
) -> Result<Option<Digest>, (HeldReason, String)> {
    match &view.server(database)?.configuration {
        ConfigurationSeen::Assumed => Ok(None),
        ConfigurationSeen::Read(seen) => Ok(Some(seen.whole(spec.passwords, &policies(view)))),
        ConfigurationSeen::NotAsked => {
            Err((HeldReason::DatabaseUnreachable, "its configuration was not looked at".to_owned()))
        }
        ConfigurationSeen::Unreadable(why) => {
            Err((HeldReason::DatabaseUnreachable, format!("its configuration could not be read: {why}")))
        }
    }
}

/// Returns the policies as they are in the catalog once this plan is applied.
fn policies(view: &View<'_>) -> BTreeMap<Address, Digest> {
    let applied = view.catalog.into_iter().flat_map(|catalog| &catalog.applied);
    let mut all: BTreeMap<Address, Digest> = applied
        .filter(|(_, applied)| applied.archived_at.is_none())
        .filter(|(address, _)| {
            let archives = view.wants("changes") && view.in_target(address);
            view.desired.documents.contains_key(*address) || !archives
        })
        .map(|(address, applied)| (address.clone(), applied.digest))
        .collect();
    for (address, document) in &view.desired.documents {
        if view.is_applied(address) {
            all.insert(address.clone(), document.digest);
        }
    }
    all
}

/// Looks whether the configuration differs from that of the newest backup of a schedule.
pub(super) fn change(
    view: &View<'_>,
    name: &Name,
    spec: &ScheduleSpec,
    database: &Name,
) -> Result<Option<Change>, (HeldReason, String)> {
    let seen = digest(view, spec, database)?;
    let group = view.group(name, Some(database), &Scope::Configuration);
    let newest = |backups: &mut dyn Iterator<Item = &Backup>| {
        backups.max_by_key(|backup| (backup.consistent_at, backup.id.clone())).cloned()
    };
    let restorable = newest(&mut group.iter().copied().filter(|backup| view.eligible(backup) == Eligible::Yes));
    if restorable.as_ref().is_some_and(|backup| seen.is_none() || backup.content == seen) {
        return Ok(None);
    }
    let before = newest(&mut group.iter().copied());
    let slot = slot_after(before.as_ref(), settled(view, name, database));
    let key = format!(
        "{} after {}",
        seen.map_or_else(|| "unseen".to_owned(), |digest| digest.to_string()),
        before.as_ref().map_or("none", |backup| backup.id.as_str()),
    );
    let ids = backup_id_of(name, Some(database), &Scope::Configuration, slot, &key);
    Ok(Some(Change { ids, slot, since: restorable.map(|backup| backup.consistent_at) }))
}

/// The slot has to be the same for everyone who sees the same catalog, and after every slot that was ever taken, also
/// those of purged backups.
fn slot_after(before: Option<&Backup>, settled: Option<Instant>) -> Instant {
    let known = before.map(|backup| backup.consistent_at.max(backup.slot)).into_iter().chain(settled).max();
    let whole = |at: Instant| Instant::from_second(at.as_second()).unwrap_or(at);
    known.map_or(Instant::UNIX_EPOCH, |at| Period::seconds(1).after(whole(at)))
}

fn settled(view: &View<'_>, name: &Name, database: &Name) -> Option<Instant> {
    let progress = &view.catalog?.progress;
    progress.iter().find(|p| &p.schedule == name && p.database.as_ref() == Some(database)).map(|p| p.settled)
}
