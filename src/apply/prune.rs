//! Deletions, last and in two phases. A purge takes the manifest first: a backup whose data is gone must not look
//! whole. Then data, then keys, then the row says so.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use jiff::SignedDuration;
use serde_json::json;

use super::ensure::{failed, failed_with};
use super::progress::Progress;
use super::queue::Queue;
use super::runtime::Runtime;
use crate::artifact::read_back;
use crate::catalog::{Completed, Completion, Lease, MarkOutcome};
use crate::domain::{Action, ActionKind, BackupId, Name, Outcome, PruneWork, Scope, StaleUpload, Verification};
use crate::store::layout::{self, MarkKind};
use crate::store::{self, ReadStore, StoreError, UnfinishedUpload, UploadId, WriteStore};

/// How many objects one request deletes.
const BATCH: usize = 1000;

/// Tombstones, then purges.
pub(super) async fn run(progress: &mut Progress<'_>) {
    let wanted = |kind: &ActionKind| {
        matches!(
            kind,
            ActionKind::Tombstone(_)
                | ActionKind::Purge(_)
                | ActionKind::AbortUploads { .. }
                | ActionKind::CollectGarbage { .. }
        )
    };
    // The plan puts nothing before what it waits for: its order is the order.
    let actions = progress.actions(wanted);
    let pruned = !actions.is_empty();
    let mut queue = Queue::new(actions);
    while let Some((action, turn)) = queue.turn(progress).await {
        let outcome = match (progress.rule_changed(&action).await, store_of(&action)) {
            (Some(changed), _) => changed,
            (None, Some(store)) => match progress.health.refusal(progress.runtime, store).await {
                Some(refusal) => refusal,
                None => perform(progress, &action, &turn.claimed.lease).await.unwrap_or_else(|failure| failure),
            },
            (None, None) => failed_with("the action belongs to another phase"),
        };
        if let Some(store) = store_of(&action) {
            progress.health.note(store, &outcome);
        }
        // What is deleted is in the audit before the next deletion begins.
        progress.flush_audit().await;
        progress.end_turn(&action, turn, outcome).await;
    }
    if pruned {
        // Tidying up: what stays this time goes with the next pruning.
        if let Err(error) = progress.runtime.catalog.archive((progress.runtime.now)()).await {
            tracing::warn!(%error, "old rows of the catalog could not be archived");
        }
    }
}

/// `Err` is an outcome too: the one of a step that failed.
async fn perform(progress: &mut Progress<'_>, action: &Action, lease: &Lease) -> Result<Outcome, Outcome> {
    let runtime = progress.runtime;
    match &action.kind {
        ActionKind::Tombstone(work) => {
            let store = Arc::clone(&runtime.store(&work.store).map_err(failed_with)?.store);
            let facts = json!({ "reason": action.reason.words, "purge_after": work.purge_after, "scope": work.scope });
            let catalog = runtime.catalog.telling(runtime.event("backup tombstoned", work.backup.as_str(), facts));
            let marked = catalog.tombstone(lease, work, (runtime.now)()).await.map_err(|error| failed(&error))?;
            if let MarkOutcome::Refused(reason) = marked {
                return Ok(Outcome::Skipped { reason });
            }
            // A run that died between catalog and store left no mark: it is written now, once.
            mark(runtime, store.as_ref(), work, MarkKind::Tombstone).await?;
            if let Some(outcome) = unless_done(marked) {
                return Ok(outcome);
            }
            let until = work
                .purge_after
                .map_or(String::new(), |at| format!("; kept until {}", at.strftime("%Y-%m-%d %H:%M UTC")));
            Ok(Outcome::Done { summary: format!("tombstoned{until}") })
        }
        ActionKind::Purge(work) => {
            let store = Arc::clone(&runtime.store(&work.store).map_err(failed_with)?.store);
            let marked =
                runtime.catalog.intend_purge(lease, work, (runtime.now)()).await.map_err(|error| failed(&error))?;
            if let Some(outcome) = unless_done(marked) {
                return Ok(outcome);
            }
            let database = work.key_database();
            store
                .delete(&layout::manifest(database, &work.scope, &work.backup))
                .await
                .map_err(|error| failed(&error))?;
            let mut gone = 0;
            for folder in [
                layout::backup_folder(database, &work.scope, &work.backup),
                layout::keys_folder(database, &work.scope, &work.backup),
            ] {
                gone += delete_below(&store, &folder).await?;
                abort_uploads(&store, &folder, |_| true).await?;
            }
            mark(runtime, store.as_ref(), work, MarkKind::Purge).await?;
            let facts = json!({ "objects": gone + 1, "scope": work.scope });
            let catalog = runtime.catalog.telling(runtime.event("backup purged", work.backup.as_str(), facts));
            let purged = catalog.purged(lease, &work.backup, (runtime.now)()).await.map_err(|error| failed(&error))?;
            if let Some(outcome) = unless_done(purged) {
                return Ok(outcome);
            }
            Ok(Outcome::Done { summary: format!("purged, {} objects", gone + 1) })
        }
        ActionKind::AbortUploads { store, uploads } => abort(progress, store, uploads).await,
        ActionKind::CollectGarbage { store, database, scope, backup, attempt } => {
            collect(progress, lease, store, database.as_ref(), scope, backup, *attempt).await
        }
        _ => Err(failed_with("the action belongs to another phase")),
    }
}

const fn store_of(action: &Action) -> Option<&Name> {
    match &action.kind {
        ActionKind::Tombstone(work) | ActionKind::Purge(work) => Some(&work.store),
        ActionKind::CollectGarbage { store, .. } | ActionKind::AbortUploads { store, .. } => Some(store),
        _ => None,
    }
}

fn unless_done(marked: MarkOutcome) -> Option<Outcome> {
    match marked {
        MarkOutcome::Done => None,
        MarkOutcome::AlreadyDone => Some(Outcome::AlreadyDone { summary: "it was so already".to_owned() }),
        MarkOutcome::Refused(reason) => Some(Outcome::Skipped { reason }),
    }
}

/// Leaves a hint beside the backup, for a catalog that is ever rebuilt from the store. It is append-only; one that is
/// there was left by an earlier try.
async fn mark(runtime: &Runtime, store: &dyn WriteStore, work: &PruneWork, kind: MarkKind) -> Result<(), Outcome> {
    let key = layout::mark(work.key_database(), &work.scope, &work.backup, work.mark, kind);
    let body = json!({
        "format_version": "1.0", "backup_id": work.backup, "mark": kind.word(), "at": (runtime.now)(),
        "purge_after": work.purge_after, "run": runtime.run,
    });
    match store::put_once(store, &key, Bytes::from(crate::domain::canonical_json(&body))).await {
        Ok(_) | Err(StoreError::Overwritten { .. }) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

/// How often a prefix is listed until it shows nothing more.
const ROUNDS: usize = 8;

/// How deleting everything below a prefix ended.
pub(super) enum Below {
    /// Nothing is there any more.
    Empty,
    /// The store keeps this one, and perhaps more.
    Kept(String, StoreError),
    /// There was always something more; in words.
    Refilled(String),
}

/// Deletes everything below a prefix; returns how many objects went. It is listed until nothing is there any more: what a
/// listing that ends early leaves behind is never looked for again.
pub(super) async fn delete_until_empty(store: &Arc<dyn WriteStore>, prefix: &str) -> Result<(usize, Below), Outcome> {
    let mut gone = 0;
    for _ in 0..ROUNDS {
        let (more, left) = delete_listed(store, prefix).await?;
        gone += more;
        if let Some((key, error)) = left.into_iter().next() {
            return Ok((gone, Below::Kept(key, error)));
        }
        if more == 0 {
            return Ok((gone, Below::Empty));
        }
    }
    let words = format!("{prefix} still shows objects after they were deleted {ROUNDS} times");
    Ok((gone, Below::Refilled(words)))
}

/// Deletes everything below a prefix, all of which must go; returns how many objects went.
async fn delete_below(store: &Arc<dyn WriteStore>, prefix: &str) -> Result<usize, Outcome> {
    match delete_until_empty(store, prefix).await? {
        (gone, Below::Empty) => Ok(gone),
        (_, Below::Kept(key, error)) => Err(failed_with(format!("{key} could not be deleted: {error}"))),
        (_, Below::Refilled(words)) => Err(failed_with(words)),
    }
}

/// Deletes what one listing shows, page by page. Returns how many objects went, and which ones the store keeps.
async fn delete_listed(
    store: &Arc<dyn WriteStore>,
    prefix: &str,
) -> Result<(usize, Vec<(String, StoreError)>), Outcome> {
    let reader: Arc<dyn ReadStore> = Arc::clone(store) as Arc<dyn ReadStore>;
    let mut objects = store::list(reader, prefix);
    let mut batch = Vec::new();
    let mut gone = 0;
    let mut kept = Vec::new();
    loop {
        let next = objects.next().await.transpose().map_err(|error| failed(&error))?;
        let ended = next.is_none();
        batch.extend(next.map(|facts| facts.key));
        if batch.len() >= BATCH || (ended && !batch.is_empty()) {
            let left = store.delete_many(&batch).await.map_err(|error| failed(&error))?;
            gone += batch.len() - left.len().min(batch.len());
            kept.extend(left);
            batch.clear();
        }
        if ended {
            return Ok((gone, kept));
        }
    }
}

/// Ends uploads below a prefix that nobody finishes any more. In a folder they are temporary files, which no listing shows.
pub(super) async fn abort_uploads(
    store: &Arc<dyn WriteStore>,
    prefix: &str,
    unwanted: impl Fn(&UnfinishedUpload) -> bool,
) -> Result<(), Outcome> {
    if store.capabilities().is_some_and(|known| !known.lists_uploads) {
        return Ok(());
    }
    let uploads = store.unfinished_uploads(prefix).await.map_err(|error| failed(&error))?;
    for upload in uploads.iter().filter(|upload| unwanted(upload)) {
        store.abort_upload(&upload.key, &upload.upload).await.map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Ends uploads whose attempts are over. An attempt that is over never works again, so what the plan saw still holds.
async fn abort(progress: &mut Progress<'_>, name: &Name, uploads: &[StaleUpload]) -> Result<Outcome, Outcome> {
    let runtime = progress.runtime;
    let store = Arc::clone(&runtime.store(name).map_err(failed_with)?.store);
    for StaleUpload { key, upload } in uploads {
        store.abort_upload(key, &UploadId(upload.clone())).await.map_err(|error| failed(&error))?;
    }
    let facts = json!({ "uploads": uploads });
    progress.note("uploads aborted", format!("store.{name}"), facts);
    Ok(Outcome::Done { summary: format!("{} aborted", uploads.len()) })
}

/// Deletes what an attempt without a manifest of its own left behind, unfinished uploads included.
async fn collect(
    progress: &mut Progress<'_>,
    lease: &Lease,
    name: &Name,
    database: Option<&Name>,
    scope: &Scope,
    backup: &BackupId,
    attempt: u64,
) -> Result<Outcome, Outcome> {
    let runtime = progress.runtime;
    let store = Arc::clone(&runtime.store(name).map_err(failed_with)?.store);
    let manifest_key = layout::manifest(database, scope, backup);
    // First its right to finish is taken away: a runner that was only slow must not write its manifest over data that
    // is being deleted.
    let again =
        match runtime.catalog.condemn(lease, backup, attempt, (runtime.now)()).await.map_err(|error| failed(&error))? {
            MarkOutcome::Done => false,
            // It may have written once more since: its runner was frozen with a request under way.
            MarkOutcome::AlreadyDone => true,
            MarkOutcome::Refused(reason) => return Ok(Outcome::Skipped { reason }),
        };
    // The manifest may name this very attempt: its runner died after writing it. Then nothing of it is garbage.
    match store::read_manifest(store.as_ref(), &manifest_key).await {
        Ok(manifest) if manifest.attempt == attempt => {
            for part in &manifest.parts {
                let reader: Arc<dyn ReadStore> = Arc::clone(&store) as Arc<dyn ReadStore>;
                read_back(reader, part).await.map_err(|error| failed(&error))?;
            }
            let at = (runtime.now)();
            let completed = Completed {
                manifest: &manifest,
                manifest_key: &manifest_key,
                store: name,
                verified: Some((Verification::Checksum, at)),
            };
            let facts = json!({ "attempt": attempt, "adopted": true });
            let catalog = runtime.catalog.telling(runtime.event("backup completed", backup.as_str(), facts));
            let done = catalog.complete_backup(lease, &completed, at).await.map_err(|error| failed(&error))?;
            if done == Completion::SlotTaken {
                let words = format!("another backup holds the slot of {backup}, whose manifest is there too");
                return Err(failed_with(words));
            }
            let summary = "its manifest is there: it is a backup, and recorded as one now".to_owned();
            return Ok(Outcome::Done { summary });
        }
        Ok(_) | Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(failed(&error)),
    }
    let folder = layout::attempt_folder(database, scope, backup, attempt);
    let keys = format!("{}a-{attempt}/", layout::keys_folder(database, scope, backup));
    let whole = layout::backup_folder(database, scope, backup);
    // A store in a folder writes beside the object. What lies beside the manifest may be another attempt's that writes its
    // own this moment, which takes no hour.
    let old = SignedDuration::from_hours(1);
    let now = (runtime.now)();
    abort_uploads(&store, &whole, |upload| {
        upload.key.starts_with(&folder)
            || (upload.key == whole && upload.begun.is_some_and(|begun| now.duration_since(begun) > old))
    })
    .await?;
    abort_uploads(&store, &keys, |_| true).await?;
    let mut gone = delete_below(&store, &folder).await?;
    gone += delete_below(&store, &keys).await?;
    if again && gone == 0 {
        return Ok(Outcome::AlreadyDone { summary: "it was collected already".to_owned() });
    }
    let facts = json!({ "attempt": attempt, "objects": gone });
    let catalog = runtime.catalog.telling(runtime.event("garbage collected", backup.as_str(), facts));
    catalog.collected(lease, backup, attempt, (runtime.now)()).await.map_err(|error| failed(&error))?;
    Ok(Outcome::Done { summary: format!("{gone} objects of attempt {attempt} deleted") })
}
