//! What stands on tenants without being of one: views over several of them, casts between their types. It lies beside
//! what they share and is loaded after them, since nothing of it can be made before.

use std::path::Path;

use super::RestoreError;
use super::archive::{Opened, cause};
use crate::domain::{Bytes, PartKind};
use crate::engine::{Awaited, Connection, EntryFailure, Programs, RestoreOptions, RestoreRequest, restore_waiting};

/// Returns whether a backup has such a part.
#[must_use]
pub fn has_bridge(opened: &Opened) -> bool {
    opened.part(PartKind::Bridge).is_some()
}

/// Loads a backup's bridge, once the tenants are there. Returns how many bytes were fetched, and what could not be made
/// yet: it refers to tenants that are not there, or to what waits itself. `room` is a path for a file that is written and
/// removed.
///
/// # Errors
/// [`RestoreError`]; the database may hold a part of it then.
pub(super) async fn load_bridge(
    opened: &Opened,
    programs: &Programs,
    target: &Connection,
    awaited: &Awaited,
    room: &Path,
) -> Result<(Bytes, Vec<EntryFailure>), RestoreError> {
    let Some(part) = opened.part(PartKind::Bridge) else { return Ok((Bytes(0), Vec::new())) };
    let (archive, task) = opened.archive_of(part);
    let options = RestoreOptions::default();
    let request = RestoreRequest { programs: programs.clone(), target: target.clone(), archive, options };
    let report = restore_waiting(request, awaited, Some(room)).await;
    Ok((Bytes(part.size), cause(report, task).await?.deferred))
}
