//! A second look before a backup is taken out of use: between plan and apply its objects may have come back, and what is
//! in quarantine does not leave it by itself.

use std::sync::Arc;

use futures_util::StreamExt;

use super::ensure::failed;
use super::runtime::StoreHandle;
use crate::catalog::RecordedBackup;
use crate::domain::{BackupId, Outcome, Tally};
use crate::store::{self, ReadStore, StoreError, layout};

/// Returns whether a backup is whole after all: its manifest reads well, and its objects are those that were recorded.
/// `Err` where that cannot be seen.
pub(super) async fn is_whole(
    handle: &StoreHandle,
    backup: &BackupId,
    recorded: &RecordedBackup,
) -> Result<bool, Outcome> {
    let store: Arc<dyn ReadStore> = Arc::clone(&handle.store) as Arc<dyn ReadStore>;
    match store::read_manifest(store.as_ref(), &recorded.manifest.key(backup)).await {
        Ok(manifest) if manifest.attempt == recorded.attempt => {}
        Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Invalid { .. } | StoreError::TooLarge { .. }) => {
            return Ok(false);
        }
        Err(error) => return Err(failed(&error)),
    }
    let folder = recorded.manifest.folder(backup);
    let data = tally(&store, &format!("{folder}a-{}/", recorded.attempt)).await?;
    let path = folder.strip_prefix(layout::BACKUPS).unwrap_or_default();
    let keys = tally(&store, &format!("{}{path}a-{}/", layout::KEYS, recorded.attempt)).await?;
    Ok(data == recorded.data && keys.objects >= recorded.keys)
}

async fn tally(store: &Arc<dyn ReadStore>, folder: &str) -> Result<Tally, Outcome> {
    let mut tally = Tally::default();
    let mut objects = store::list(Arc::clone(store), folder);
    while let Some(object) = objects.next().await {
        let object = object.map_err(|error| failed(&error))?;
        tally.add(&object.key, object.size);
    }
    Ok(tally)
}
