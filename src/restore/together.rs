//! Backups that lie in one database and refer to each other: tenants, what they share, what stands on them. Each is
//! loaded as far as it can be; what waited for another is loaded again until nothing more comes of it; and what is left
//! then is told apart: it cannot be without a tenant that is not there, or the restore failed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant as Monotonic;

use super::RestoreError;
use super::archive::{Loaded, Opened, cause, expected, load, phase};
use super::bridge::{has_bridge, load_bridge};
use crate::domain::{Bytes, DataPart, PartKind};
use crate::engine::restore::schemas_of;
use crate::engine::{
    Awaited, Connection, EngineError, EntryFailure, LeftOver, Programs, RestoreOptions, RestoreRequest,
    for_want_of_others, lasting, restore_deferred,
};

/// What of a tenant is never left out: its rows, and what holds them.
const HOLDS_ROWS: [&str; 5] = ["SCHEMA", "TABLE", "TABLE DATA", "SEQUENCE", "SEQUENCE SET"];

/// Where backups are loaded, and with what.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The programs.
    pub programs: &'a Programs,
    /// The database.
    pub target: &'a Connection,
    /// A path for a file that is written and removed.
    pub list: &'a Path,
    /// Hears of each step.
    pub tell: &'a (dyn Fn(String) + Send + Sync),
}

/// A backup that was loaded beside others.
pub struct Beside<'a> {
    opened: &'a Opened,
    archive: Vec<EntryFailure>,
    bridge: Vec<EntryFailure>,
}

impl<'a> Beside<'a> {
    /// Begins with what its load deferred.
    #[must_use]
    pub const fn new(opened: &'a Opened, deferred: Vec<EntryFailure>) -> Self {
        Self { opened, archive: deferred, bridge: Vec::new() }
    }

    /// Returns what of it is left out.
    #[must_use]
    pub fn left_out(self) -> Vec<EntryFailure> {
        let mut all = self.archive;
        all.extend(self.bridge);
        all
    }

    /// Whether anything that is loaded later could bring what it lacks: what a backup of single tables lacks, or one
    /// that was adopted, nothing brings.
    fn may_wait(&self) -> bool {
        !self.opened.is_adopted() && self.opened.part(PartKind::Prelude).is_none()
    }

    fn waiting(&self, of: Of) -> &Vec<EntryFailure> {
        match of {
            Of::Archive => &self.archive,
            Of::Bridge => &self.bridge,
        }
    }

    fn left_over(&self, of: Of) -> LeftOver<'_> {
        let entries: &[EntryFailure] = if self.may_wait() { self.waiting(of) } else { &[] };
        LeftOver { entries, tied: tied(self.opened) }
    }
}

/// One of the two archives that a backup may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Archive,
    Bridge,
}

const BOTH: [Of; 2] = [Of::Archive, Of::Bridge];

/// The schemas outside of its own that a tenant may lack something for; `None` for what tenants have in common.
fn tied(opened: &Opened) -> Option<&[String]> {
    if opened.is_shared() { None } else { Some(opened.tied().unwrap_or_default()) }
}

/// What an archive may wait for, beside `objects`, which wait themselves.
pub(super) fn awaited_by(opened: &Opened, objects: &[&EntryFailure]) -> Awaited {
    Awaited {
        absent: opened.is_shared(),
        schemas: opened.tied().unwrap_or_default().iter().cloned().collect(),
        objects: objects.iter().map(|entry| entry.object()).collect(),
    }
}

/// Loads backups in their order, and then what waited for a later one.
///
/// # Errors
/// [`RestoreError`]; the database may hold a part of them then.
pub async fn load_all(
    backups: &[Opened],
    programs: &Programs,
    target: &Connection,
    list: &Path,
    tell: &(dyn Fn(String) + Send + Sync),
) -> Result<Loaded, RestoreError> {
    let mut all = Loaded::default();
    let mut members = Vec::new();
    for backup in backups {
        let manifest = &backup.origin.manifest;
        tell(format!("loading {} ({})", manifest.backup_id, expected(manifest)));
        let loaded = if backup.part(PartKind::DirectoryTar).is_some() {
            super::folder::load_directory(backup, programs, target, &list.with_extension("dir")).await?
        } else {
            let backup = backup.clone().with_room(list.with_extension("definitions"));
            load(&backup, programs, target, RestoreOptions::default()).await?
        };
        all.phases.extend(loaded.phases);
        all.fetched = all.fetched.plus(loaded.fetched);
        members.push(Beside::new(backup, loaded.deferred));
    }
    settle(&mut members, Place { programs, target, list, tell }, &mut all).await.map_err(|(_, error)| error)?;
    for member in members {
        let is_tenant = member.opened.tied().is_some() && member.may_wait();
        let left = if is_tenant { &mut all.torn } else { &mut all.deferred };
        left.extend(member.left_out());
    }
    Ok(all)
}

/// Brings what waits, once everything is loaded that it could wait for, and judges what is left; `loaded` learns of the
/// time and the bytes.
///
/// # Errors
/// Whose fault it is, by place, and [`RestoreError`]: something is left that is not for want of a tenant that is not
/// there, or is a tenant's table.
pub async fn settle(
    members: &mut [Beside<'_>],
    place: Place<'_>,
    loaded: &mut Loaded,
) -> Result<(), (usize, RestoreError)> {
    rounds(members, place, loaded).await?;
    let bridges: Vec<usize> = (0..members.len()).filter(|index| has_bridge(members[*index].opened)).collect();
    for index in &bridges {
        let opened = members[*index].opened;
        let id = &opened.origin.manifest.backup_id;
        (place.tell)(format!("loading what of {id} stands on tenants"));
        let begun = Monotonic::now();
        let awaited = awaited_by(opened, &all_waiting(members));
        let done = load_bridge(opened, place.programs, place.target, &awaited, place.list).await;
        let (fetched, deferred) = done.map_err(|error| (*index, error))?;
        members[*index].bridge = deferred;
        loaded.fetched = loaded.fetched.plus(fetched);
        loaded.phases.push(phase("fetch and restore the bridge", &opened.origin.manifest, begun));
    }
    if !bridges.is_empty() {
        rounds(members, place, loaded).await?;
    }
    // What had to wait for the tables of all comes now; what is too early still once more, for as long as that gains
    // something.
    let mut open = usize::MAX;
    while open > 0 {
        let first = open == usize::MAX;
        held_back(members, place, loaded, &|entry, lasts| !lasts && (first || entry.is_too_early())).await?;
        let left = all_waiting(members).into_iter().filter(|entry| entry.is_too_early()).count();
        if left >= open {
            break;
        }
        open = left;
    }
    // Now nothing more is made, and what would change it may come.
    held_back(members, place, loaded, &|_, lasts| lasts).await?;
    judge(members, place).await
}

/// Loads what was held back, as far as it is wanted; whether an entry is lasting is told beside it.
async fn held_back(
    members: &mut [Beside<'_>],
    place: Place<'_>,
    loaded: &mut Loaded,
    wanted: &(dyn Fn(&EntryFailure, bool) -> bool + Send + Sync),
) -> Result<(), (usize, RestoreError)> {
    for index in 0..members.len() {
        for of in BOTH {
            let lasts = lasting(members[index].waiting(of));
            let comes = |entry: &EntryFailure| entry.held && wanted(entry, lasts.contains(&entry.id));
            let (now, others): (Vec<_>, Vec<_>) = members[index].waiting(of).iter().cloned().partition(comes);
            if members[index].may_wait() && !now.is_empty() {
                let left = again(members, (index, of), &now, place, loaded).await?;
                keep(&mut members[index], of, others.into_iter().chain(left).collect());
            }
        }
    }
    Ok(())
}

/// Loads again what may have come into reach, until that gains nothing.
async fn rounds(
    members: &mut [Beside<'_>],
    place: Place<'_>,
    loaded: &mut Loaded,
) -> Result<(), (usize, RestoreError)> {
    loop {
        let mut gained = false;
        if all_waiting(members).iter().all(|entry| entry.held) {
            return Ok(());
        }
        let out_of_reach = out_of_reach(members, place).await?;
        for index in 0..members.len() {
            for (of, hopeless) in BOTH.into_iter().zip(&out_of_reach[index]) {
                let waiting = members[index].waiting(of).iter().cloned();
                let (hopeful, others): (Vec<_>, Vec<_>) =
                    waiting.partition(|entry| !entry.held && !hopeless.contains(&entry.id));
                // Alone, nothing has come that it could have waited for.
                if hopeful.is_empty() || !members[index].may_wait() || members.len() == 1 {
                    continue;
                }
                let left = again(members, (index, of), &hopeful, place, loaded).await?;
                gained |= left.len() < hopeful.len();
                keep(&mut members[index], of, others.into_iter().chain(left).collect());
            }
        }
        if !gained {
            return Ok(());
        }
    }
}

/// Returns, for each backup and both of its archives, the ids of what waits and cannot be without a schema that is not
/// there.
async fn out_of_reach(
    members: &[Beside<'_>],
    place: Place<'_>,
) -> Result<Vec<[BTreeSet<i32>; 2]>, (usize, RestoreError)> {
    let schemas = schemas_of(place.target).await.map_err(|error| (0, error.into()))?;
    let left: Vec<LeftOver<'_>> = members.iter().flat_map(|member| BOTH.map(|of| member.left_over(of))).collect();
    let mut found = for_want_of_others(&left, &schemas).into_iter();
    Ok(members.iter().map(|_| [found.next().unwrap_or_default(), found.next().unwrap_or_default()]).collect())
}

fn all_waiting<'a>(members: &'a [Beside<'_>]) -> Vec<&'a EntryFailure> {
    members.iter().filter(|member| member.may_wait()).flat_map(|one| one.archive.iter().chain(&one.bridge)).collect()
}

fn keep(member: &mut Beside<'_>, of: Of, entries: Vec<EntryFailure>) {
    match of {
        Of::Archive => member.archive = entries,
        Of::Bridge => member.bridge = entries,
    }
}

/// Loads some entries of an archive once more. Returns those that wait still.
async fn again(
    members: &[Beside<'_>],
    (index, of): (usize, Of),
    entries: &[EntryFailure],
    place: Place<'_>,
    loaded: &mut Loaded,
) -> Result<Vec<EntryFailure>, (usize, RestoreError)> {
    let opened = members[index].opened;
    let manifest = &opened.origin.manifest;
    let kind = if of == Of::Bridge { PartKind::Bridge } else { PartKind::Archive };
    let Some(part) = opened.part(kind) else { return Ok(entries.to_vec()) };
    (place.tell)(format!("loading what of {} waited for others", manifest.backup_id));
    let begun = Monotonic::now();
    let awaited = awaited_by(opened, &all_waiting(members));
    let done = once_more(opened, part, entries, &awaited, place).await;
    let (left, fetched) = done.map_err(|error| (index, error))?;
    loaded.fetched = loaded.fetched.plus(fetched);
    loaded.phases.push(phase("fetch and restore what waited", manifest, begun));
    Ok(left)
}

async fn once_more(
    opened: &Opened,
    part: &DataPart,
    entries: &[EntryFailure],
    awaited: &Awaited,
    place: Place<'_>,
) -> Result<(Vec<EntryFailure>, Bytes), RestoreError> {
    let (archive, task) = opened.archive_of(part);
    let options = RestoreOptions::default();
    let request = RestoreRequest { programs: place.programs.clone(), target: place.target.clone(), archive, options };
    let report = restore_deferred(request, entries, awaited, place.list).await;
    let report = cause(report, task).await?;
    // Often the begin of it is enough. Of that only the size is known that it has before compression.
    Ok((report.deferred, Bytes(part.size.min(report.bytes))))
}

/// Tells what is left out for want of a tenant that is not there from what failed.
async fn judge(members: &[Beside<'_>], place: Place<'_>) -> Result<(), (usize, RestoreError)> {
    if all_waiting(members).is_empty() {
        return Ok(());
    }
    let out_of_reach = out_of_reach(members, place).await?;
    for (index, (member, excused)) in members.iter().zip(&out_of_reach).enumerate() {
        let failed = |words: String| Err((index, RestoreError::Engine(EngineError::Restore(words))));
        let left = || {
            BOTH.into_iter().zip(excused).flat_map(|(of, ids)| {
                member.left_over(of).entries.iter().map(move |entry| (entry, ids.contains(&entry.id)))
            })
        };
        let others: Vec<&EntryFailure> = left().filter(|(_, excused)| !excused).map(|(entry, _)| entry).collect();
        if let Some(first) = others.first() {
            return failed(format!("{first} (and {} more errors)", others.len() - 1));
        }
        let holds_rows = |entry: &EntryFailure| HOLDS_ROWS.contains(&entry.kind.as_str());
        let lost = left().map(|(entry, _)| entry).find(|entry| !member.opened.is_shared() && holds_rows(entry));
        if let Some(lost) = lost {
            return failed(format!("{lost}; it cannot be without a tenant that is not restored with it"));
        }
    }
    Ok(())
}
