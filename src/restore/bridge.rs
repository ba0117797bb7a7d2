//! What stands on tenants without being of one: views over several of them, casts between their types. It lies beside
//! what they share and is loaded after them, since nothing of it can be made before.

use super::RestoreError;
use super::archive::{Opened, cause};
use crate::domain::{Bytes, PartKind};
use crate::engine::{Connection, EntryFailure, Programs, RestoreOptions, RestoreRequest, restore_shared};

/// Returns whether a backup has such a part.
#[must_use]
pub fn has_bridge(opened: &Opened) -> bool {
    opened.part(PartKind::Bridge).is_some()
}

/// Loads a backup's bridge, once the tenants are there. Returns how many bytes were fetched, and what refers to tenants
/// that are not there.
///
/// # Errors
/// [`RestoreError`]; the database may hold a part of it then.
pub async fn load_bridge(
    opened: &Opened,
    programs: &Programs,
    target: &Connection,
) -> Result<(Bytes, Vec<EntryFailure>), RestoreError> {
    let Some(part) = opened.part(PartKind::Bridge) else { return Ok((Bytes(0), Vec::new())) };
    let (archive, task) = opened.archive_of(part);
    let options = RestoreOptions::default();
    let request = RestoreRequest { programs: programs.clone(), target: target.clone(), archive, options };
    let report = restore_shared(request).await;
    Ok((Bytes(part.size), cause(report, task).await?.deferred))
}
