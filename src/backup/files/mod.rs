//! A backup of files: a tar file of what the globs mean and a list of it with a digest for each file, both streamed into
//! the store while the file system is read once. Nothing holds a file system still meanwhile: what changed, vanished or
//! could not be read is told in the list and in the manifest, and never passed over.

mod machine;
mod tally;
mod tree;

use std::sync::Arc;

use tokio::time::Instant as Monotonic;

pub use machine::Machine;
pub use tally::{FINDING, findings};

use super::BackupError;
use super::logical::{Destination, Order, Taken, lap, pack_part, prove, publish, seal_keys};
use super::outline::{Written, outline};
use crate::artifact::pipe;
use crate::domain::{FilesWork, Manifest, PartKind};
use crate::engine::files::{FilesError, Selection, Walk};

/// Takes a backup of files.
pub(super) async fn take(order: &Order, files: &FilesWork, destination: &Destination) -> Result<Taken, BackupError> {
    let started_at = (order.now)();
    let begun = Monotonic::now();
    let walk = Walk::new(Selection::new(&files.paths, &files.exclude)?);
    let (data_key, keys) = seal_keys(order, destination).await?;
    let (tar, tar_reader) = pipe(4);
    let (list, list_reader) = pipe(4);
    let digest_key = destination.digest_key.clone();
    // Ends by itself where this future is dropped: its pipes are closed then.
    let reading = tokio::task::spawn_blocking(move || tree::write(walk, digest_key, tar, list));
    let key = data_key.as_ref();
    let (read, tar, list) = tokio::join!(
        reading,
        pack_part(order, destination, key, PartKind::Tar, "files.tar", tar_reader),
        pack_part(order, destination, key, PartKind::FileList, "files.jsonl", list_reader),
    );
    // The file system's failure is the cause of what the pipes saw.
    let tally = match read.map_err(|_| BackupError::Interrupted)? {
        Ok(tally) => tally,
        Err(tree::Stopped::Files(error)) => return Err(error.into()),
        Err(tree::Stopped::Closed) => {
            tar?;
            list?;
            return Err(BackupError::Interrupted);
        }
    };
    let parts = vec![tar?, list?];
    let reading = lap("read and write", begun);
    let begun = Monotonic::now();
    for part in &parts {
        prove(Arc::clone(&destination.store) as _, part).await?;
    }
    let make = || {
        let timings = vec![reading, lap("read back", begun)];
        let written = Written { started_at, data_key, keys, parts, timings, content_digest: None };
        // What was read later than the begin is newer; nothing is older.
        Manifest { notes: tally.notes(files), ..outline(order, destination, written) }
    };
    publish(order, destination, make).await
}

impl From<FilesError> for tree::Stopped {
    fn from(error: FilesError) -> Self {
        Self::Files(error)
    }
}
