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
use super::logical::{Destination, Order, Taken, lap, pack_part, publish, seal_keys};
use crate::artifact::{pipe, read_back};
use crate::crypto::{DataKey, DigestKey};
use crate::domain::{FilesWork, MANIFEST_FORMAT, Manifest, ManifestScope, PartKind};
use crate::engine::files::{FilesError, Selection, Walk};

/// Takes a backup of files.
pub(super) async fn take(order: &Order, files: &FilesWork, destination: &Destination) -> Result<Taken, BackupError> {
    let work = &order.work;
    let started_at = (order.now)();
    let begun = Monotonic::now();
    let walk = Walk::new(Selection::new(&files.paths, &files.exclude)?);
    let data_key = (!destination.recipients.is_empty()).then(DataKey::generate);
    let keys = seal_keys(order, destination, data_key.as_ref()).await?;
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
        read_back(Arc::clone(&destination.store) as _, part).await?;
    }
    if !(order.still_mine)().await {
        return Err(BackupError::Fenced);
    }
    let manifest = Manifest {
        format_version: MANIFEST_FORMAT.to_owned(),
        backup_id: work.backup.to_string(),
        action_id: order.action.to_string(),
        attempt: order.attempt,
        store_id: destination.store_id.clone(),
        backup_type: work.backup_type.word().to_owned(),
        engine: "logical".to_owned(),
        method: serde_json::to_value(work.method).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default(),
        simulated: order.simulated.is_some(),
        lineage: Some(order.lineage.clone()),
        database: None,
        schedule: work.schedule.to_string(),
        retention: serde_json::to_value(&work.retention).unwrap_or_default(),
        protect: work.protect,
        slot: work.slot.to_string(),
        // What was read later is newer; nothing is older.
        consistent_at: order.simulated.unwrap_or(started_at).to_string(),
        started_at: started_at.to_string(),
        completed_at: (order.now)().to_string(),
        scope: ManifestScope {
            scope: work.scope.to_string(),
            datname: None,
            tenant_id: None,
            schemas: Vec::new(),
            tables: Vec::new(),
            sequences: Vec::new(),
            extensions: Vec::new(),
            roles: Vec::new(),
            large_objects: 0,
        },
        parts,
        keys,
        data_recipient: data_key.as_ref().map(|key| key.recipient().as_str().to_owned()),
        content_digest: None,
        adopted_from: None,
        digest_key_id: destination.digest_key.as_ref().map(DigestKey::id),
        shared: None,
        parent: None,
        mutual: Vec::new(),
        asked_for: work.asked_for.clone(),
        policy_digest: order.policy_digest.to_string(),
        tool_version: order.tool_version.clone(),
        server_version: String::new(),
        dump_version: None,
        system_identifier: None,
        begin_lsn: None,
        end_lsn: None,
        timeline: None,
        snapshot: None,
        timings: vec![reading, lap("read back", begun)],
        storage_class: destination.storage_class.clone(),
        locked_until: None,
        notes: tally.notes(files),
    };
    publish(order, destination, manifest).await
}

impl From<FilesError> for tree::Stopped {
    fn from(error: FilesError) -> Self {
        Self::Files(error)
    }
}
