//! What the backups of one slot have in common: programs, the exported snapshot, the store's keys. Opened by the first
//! of them that begins, so that a runner that gets none of its work never holds back the server's vacuum.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::ensure::{failed, failed_with};
use super::runtime::Runtime;
use crate::backup::{Destination, Machine, Source};
use crate::catalog;
use crate::crypto::{DigestKey, Recipient};
use crate::domain::{BackupWork, Instant, Name, Outcome};

/// What names a batch: the slot, its schedule, its database.
pub(super) type BatchKey = (Instant, Name, Option<Name>);

/// The backups of one slot.
#[derive(Default)]
pub(super) struct Batch {
    common: Mutex<Option<Result<Arc<Common>, Outcome>>>,
}

/// What they have in common.
pub(super) struct Common {
    source: Box<dyn Source>,
    pub destination: Destination,
}

impl Common {
    /// Returns the database, held still.
    pub fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// Lets the database go.
    pub async fn close(self) {
        // What was taken under a snapshot that was lost meanwhile failed by itself; here it only ends.
        let _ = self.source.close().await;
    }
}

impl Batch {
    /// Returns the key of the batch that a backup belongs to.
    pub fn key(work: &BackupWork) -> BatchKey {
        (work.slot, work.schedule.clone(), work.database.clone())
    }

    /// Returns what the batch has in common, opened once. What could not be opened is no better for the next of it.
    ///
    /// # Errors
    /// The outcome of every action of the batch.
    pub async fn open(&self, runtime: &Runtime, work: &BackupWork) -> Result<Arc<Common>, Outcome> {
        let mut common = self.common.lock().await;
        if common.is_none() {
            *common = Some(open(runtime, work).await.map(Arc::new));
        }
        common.clone().unwrap_or_else(|| Err(failed_with("the batch was not opened")))
    }

    /// Exports an instant of its own for one backup that cannot be of the batch's; to be closed by the caller.
    ///
    /// # Errors
    /// The outcome of its action.
    pub async fn apart(runtime: &Runtime, work: &BackupWork) -> Result<Common, Outcome> {
        open(runtime, work).await
    }

    /// Lets the database go, once nothing of the batch is at work.
    pub async fn close(&self) {
        if let Some(Ok(common)) = self.common.lock().await.take()
            && let Some(common) = Arc::into_inner(common)
        {
            common.close().await;
        }
    }
}

async fn open(runtime: &Runtime, work: &BackupWork) -> Result<Common, Outcome> {
    let Some(database) = &work.database else {
        let source = Box::new(Machine::at((runtime.now)()));
        return Ok(Common { source, destination: destination(runtime, work).await? });
    };
    let connection = runtime.database(database).map_err(failed_with)?.clone();
    let destination = destination(runtime, work).await?;
    let source = runtime.exporter.export(&connection).await.map_err(|error| failed(&error))?;
    Ok(Common { source, destination })
}

/// Opens the store of a backup to come, with the keys of what is written there.
///
/// # Errors
/// The outcome of an action that needs it.
pub(super) async fn destination(runtime: &Runtime, work: &BackupWork) -> Result<Destination, Outcome> {
    let handle = runtime.store(&work.store).map_err(failed_with)?;
    let recipients = match &handle.spec.encryption {
        None => Vec::new(),
        Some(encryption) => encryption
            .recipients
            .iter()
            .map(|text| text.parse::<Recipient>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(&error))?,
    };
    let store_id = runtime.catalog.reader().store_id(&work.store).await.map_err(|error| failed(&error))?;
    let store_id = store_id.ok_or_else(|| failed_with(format!("store.{} was not made ready", work.store)))?;
    let digest_key = if recipients.is_empty() { None } else { Some(digest_key(runtime, work).await?) };
    Ok(Destination {
        store: Arc::clone(&handle.store),
        store_id,
        recipients,
        digest_key,
        storage_class: handle.spec.storage_class.clone(),
    })
}

/// Returns the key of the content digests: the catalog's, or a fresh one that it keeps from now on.
async fn digest_key(runtime: &Runtime, work: &BackupWork) -> Result<DigestKey, Outcome> {
    let generate = || DigestKey::generate(&mut |bytes| (runtime.random)(bytes)).map_err(|error| failed(&error));
    // Files have a key for each backup, which lies sealed beside it: nothing compares them but what opens them.
    let Some(database) = &work.database else { return generate() };
    let known = runtime.catalog.reader().digest_key(&work.store, database).await.map_err(|error| failed(&error))?;
    let kept = match known {
        Some(known) => known,
        None => {
            let fresh = generate()?;
            let offered = catalog::DigestKey { id: fresh.id(), key: zeroize::Zeroizing::new(fresh.bytes().to_vec()) };
            let catalog = &runtime.catalog;
            catalog.keep_digest_key(&work.store, database, &offered).await.map_err(|error| failed(&error))?
        }
    };
    let bytes: [u8; 32] =
        kept.key.as_slice().try_into().map_err(|_| failed_with("the catalog's digest key is not of 32 bytes"))?;
    Ok(DigestKey::from_bytes(bytes))
}
