//! Archives that refer to others: what fails for want of something that comes later is told from what fails for good,
//! and restored once more when it is there. Which is which `restore_errors` says.

use std::collections::BTreeSet;
use std::path::Path;

use super::archive::{Entry, Toc};
use super::process::Ended;
use super::restore::{Chosen, RestoreReport, RestoreRequest, run, schemas_of, told_apart};
use super::restore_errors::{Awaited, EntryFailure, sort_out};
use super::{Connection, EngineError};

/// Restores a shared archive into a database where the tenants it was dumped beside may not be: as [`restore_waiting`],
/// for whatever lies in a schema that is neither in the archive nor in the database.
///
/// # Errors
/// As [`super::restore()`], for all other entries.
pub async fn restore_shared(request: RestoreRequest) -> Result<RestoreReport, EngineError> {
    restore_waiting(request, &Awaited { absent: true, ..Awaited::default() }, None).await
}

/// What changes everything that is made after it: default privileges add grants, event triggers may do anything.
const LASTING: [&str; 2] = ["DEFAULT ACL", "EVENT TRIGGER"];

/// Returns the ids of what has to come when nothing more is made, with all that depends on it: what is lasting, and what
/// comes after tables of other archives. Pure.
#[must_use]
pub fn comes_last(toc: &Toc) -> BTreeSet<i32> {
    let lasts = |entry: &Entry| entry.comes_last() || LASTING.contains(&entry.kind());
    let all: Vec<(i32, bool, Vec<i32>)> =
        toc.entries.iter().map(|entry| (entry.id, lasts(entry), entry.needs().collect())).collect();
    with_dependents(&all)
}

/// Returns the ids of what is marked, with all that depends on it, over any number of steps; of each there is its id, the
/// mark, and the ids of what it needs.
fn with_dependents(all: &[(i32, bool, Vec<i32>)]) -> BTreeSet<i32> {
    let mut found: BTreeSet<i32> = all.iter().filter(|(_, marked, _)| *marked).map(|(id, ..)| *id).collect();
    let mut before = 0;
    while found.len() > before {
        before = found.len();
        for (id, _, needs) in all {
            if needs.iter().any(|other| found.contains(other)) {
                found.insert(*id);
            }
        }
    }
    found
}

/// Restores an archive into a database where what it refers to may not be yet.
///
/// An entry's failure is let pass, and reported, when the server said that something does not exist which is awaited,
/// or when the entry depends on one that was let pass. `pg_dump` leaves no trace of what an entry of a partial archive
/// refers to outside, so the server's words are all there is to go by. Rows of a table that was let pass are missing:
/// they are in the report as `TABLE DATA`.
///
/// With `hold`, a path for a file that is written for the program and removed, what would change or hinder what is made
/// after it is not restored, and is in the report as held: it comes when nothing waits any more, by [`restore_deferred`].
///
/// # Errors
/// As [`super::restore()`], for all other entries.
pub async fn restore_waiting(
    request: RestoreRequest,
    awaited: &Awaited,
    hold: Option<&Path>,
) -> Result<RestoreReport, EngineError> {
    let target = request.target.clone();
    let all_but_held = |toc: &Toc| {
        let held = comes_last(toc);
        let others = || toc.entries.iter().map(|entry| entry.id).filter(|id| !held.contains(id)).collect();
        (!held.is_empty()).then(others)
    };
    let some = hold.map(|list| Chosen { list, ids: &all_but_held, known_whole: false });
    let (ended, toc, bytes) = run(request, false, some).await?;
    let mut report = sorted(&target, ended, &toc, bytes, awaited).await?;
    if hold.is_some() {
        let held = comes_last(&toc);
        let held = toc.entries.iter().filter(|entry| held.contains(&entry.id));
        report.deferred.extend(held.map(|entry| EntryFailure {
            id: entry.id,
            kind: entry.kind().to_owned(),
            schema: entry.schema(),
            name: entry.tag(),
            reason: "it comes when nothing more is made".to_owned(),
            needs: entry.needs().collect(),
            held: true,
        }));
    }
    Ok(report)
}

/// Returns the ids of what changes everything that is made after it, among entries of one archive, with all of them that
/// depend on it: of what was held back it comes at the very end. Pure.
#[must_use]
pub fn lasting(entries: &[EntryFailure]) -> BTreeSet<i32> {
    let lasts = |entry: &EntryFailure| LASTING.contains(&entry.kind.as_str());
    let all: Vec<(i32, bool, Vec<i32>)> =
        entries.iter().map(|entry| (entry.id, lasts(entry), entry.needs.clone())).collect();
    with_dependents(&all)
}

/// Restores entries of an archive that were deferred, once more is there: the same archive once more, and of it these
/// entries alone. What waits still is in the report again. `list` is a file that is written for the program and
/// removed.
///
/// # Errors
/// As [`restore_waiting`].
pub async fn restore_deferred(
    request: RestoreRequest,
    deferred: &[EntryFailure],
    awaited: &Awaited,
    list: &Path,
) -> Result<RestoreReport, EngineError> {
    let wanted: BTreeSet<i32> = deferred.iter().map(|entry| entry.id).collect();
    // In the archive's order: of a stream, the program reads no block that it has passed.
    let ids = |toc: &Toc| Some(toc.entries.iter().map(|entry| entry.id).filter(|id| wanted.contains(id)).collect());
    let target = request.target.clone();
    let (ended, toc, bytes) = run(request, false, Some(Chosen { list, ids: &ids, known_whole: true })).await?;
    sorted(&target, ended, &toc, bytes, awaited).await
}

/// Judges a restore that went on after errors: what names something awaited is let pass, anything else is a failure.
async fn sorted(
    target: &Connection,
    ended: Ended,
    toc: &Toc,
    bytes: u64,
    awaited: &Awaited,
) -> Result<RestoreReport, EngineError> {
    let mut report = RestoreReport { entries: toc.entries.len() as u64, bytes, deferred: Vec::new() };
    if ended.status.success() {
        return Ok(report);
    }
    let failures = told_apart(ended, toc)?;
    let mut schemas = BTreeSet::new();
    if awaited.absent {
        schemas = schemas_of(target).await?;
        schemas.extend(toc.entries.iter().filter(|entry| entry.kind() == "SCHEMA").map(Entry::tag));
    }
    let (deferred, fatal) = sort_out(failures, |reason| awaited.is_named(reason, &schemas));
    report.deferred = deferred;
    match fatal.first() {
        None => Ok(report),
        Some(first) => Err(EngineError::Restore(format!("{first} (and {} more errors)", fatal.len() - 1))),
    }
}
