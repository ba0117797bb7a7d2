//! Every manifest of a store, read several at once and recorded batch by batch: memory is bounded by bytes, not by how
//! many there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::{RebuildError, is_unusable};
use super::sound::{Kind, judge};
use super::survey::{PARALLEL, unusable_of};
use crate::catalog::{AttemptSeen, Rebuilding, Recovered};
use crate::domain::{BackupId, Manifest, Name, RebuiltStore, Replaced, Unusable};
use crate::store::history::{self, History};
use crate::store::layout::{self, ManifestKey};
use crate::store::{self, MANIFEST_CAP, ObjectFacts, ReadStore, StoreError};

/// How many bytes of manifests are on their way at once, in KiB.
const WINDOW: u32 = 64 * 1024;
/// How many bytes of manifests one batch holds.
const BATCH_BYTES: u64 = 16 * 1024 * 1024;
/// How many manifests or attempts one batch holds.
const BATCH: usize = 500;

/// What reading the manifests of all stores adds up to.
#[derive(Default)]
pub(super) struct Gathered {
    /// Store by store.
    pub stores: Vec<RebuiltStore>,
    /// Manifests that cannot be used.
    pub unusable: Vec<Unusable>,
    /// Backups with a manifest that is not recorded: nothing of them may be taken for garbage.
    pub untouched: BTreeSet<BackupId>,
    /// Manifests that were written over, of which an older version is recorded.
    pub replaced: Vec<Replaced>,
    /// Stores that keep versions and do not show them.
    pub hidden: BTreeSet<Name>,
}

/// How a manifest that is read came to stand where it does.
enum Stands {
    /// Nobody wrote over it.
    Untouched,
    /// Somebody did: it is what was written first.
    WrittenOver,
    /// Somebody did, and nobody may see what was there before.
    Hidden,
}

/// An object of the listing, read where it is a manifest.
enum Item {
    Manifest {
        key: String,
        id: BackupId,
        size: u64,
        read: Result<Box<Manifest>, StoreError>,
        stands: Stands,
        _permit: Option<OwnedSemaphorePermit>,
    },
    Other(String),
}

/// Reads one store.
pub(super) async fn read_store(
    rebuilding: &mut Rebuilding,
    gathered: &mut Gathered,
    lineage: &str,
    name: &Name,
    (store, store_id): (&Arc<dyn ReadStore>, &str),
    others: &BTreeSet<String>,
) -> Result<(), RebuildError> {
    let mut seen = RebuiltStore { store: name.clone(), store_id: store_id.to_owned(), manifests: 0, copies: 0 };
    let window = Arc::new(Semaphore::new(WINDOW as usize));
    let is_manifest = |key: &str| layout::parse_manifest(key).is_some();
    let replaced = match history::written_over(store, layout::BACKUPS, is_manifest).await {
        Ok(replaced) => replaced,
        Err(error) if history::is_hidden(&error) => {
            gathered.hidden.insert(name.clone());
            History::new()
        }
        Err(error) => return Err(error.into()),
    };
    let first = Arc::new(First { replaced, lineage: lineage.to_owned(), store_id: store_id.to_owned() });
    let items = store::list(Arc::clone(store), layout::BACKUPS).map(|listed| {
        let (store, window, first) = (Arc::clone(store), Arc::clone(&window), Arc::clone(&first));
        // A task of its own, so that reading goes on while a batch is written.
        let reading = tokio::spawn(async move { read_one(&store, window, listed?, &first).await });
        async move { reading.await.unwrap_or_else(|_| Err(interrupted())) }
    });
    let mut items = items.buffer_unordered(PARALLEL);
    let mut batch: Vec<Recovered> = Vec::new();
    let mut bytes = 0;
    let mut attempts = Attempts::new(name);
    while let Some(item) = items.try_next().await? {
        let (key, id, size, read) = match item {
            Item::Manifest { key, id, size, read, stands, _permit } => {
                match stands {
                    Stands::Untouched => {}
                    Stands::WrittenOver => gathered.replaced.push(Replaced { store: name.clone(), key: key.clone() }),
                    Stands::Hidden => {
                        gathered.hidden.insert(name.clone());
                    }
                }
                (key, id, size, read)
            }
            Item::Other(key) => {
                attempts.note(layout::BACKUPS, &key);
                if attempts.is_full() {
                    rebuilding.attempts(&attempts.take()).await?;
                }
                continue;
            }
        };
        match read {
            Err(error) if !is_unusable(&error) => return Err(error.into()),
            Err(error) => {
                gathered.unusable.push(unusable_of(name, &key, &error));
                gathered.untouched.insert(id);
            }
            Ok(manifest) => match judge(&manifest, lineage, store_id) {
                Ok(Kind::Original) => {
                    bytes += size;
                    batch.push(Recovered { manifest: *manifest, key, store: name.clone() });
                }
                Ok(Kind::Copy(original)) => {
                    seen.copies += 1;
                    // The original's store is read for itself; without it, nothing is concluded from the copy.
                    if !others.contains(&original) {
                        gathered.untouched.insert(id);
                    }
                }
                Err(why) => {
                    gathered.unusable.push(Unusable { store: name.clone(), key, why });
                    gathered.untouched.insert(id);
                }
            },
        }
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            seen.manifests += write(rebuilding, gathered, &mut batch).await?;
            bytes = 0;
        }
    }
    seen.manifests += write(rebuilding, gathered, &mut batch).await?;
    rebuilding.attempts(&attempts.take()).await?;
    gathered.stores.push(seen);
    keys_of_attempts(rebuilding, name, store).await
}

fn interrupted() -> StoreError {
    StoreError::Refused {
        place: "the store".to_owned(),
        action: "read a manifest".to_owned(),
        detail: "the reader stopped".to_owned(),
    }
}

/// What tells which version of a manifest was written first.
struct First {
    /// The versions of the manifests that were written over.
    replaced: History,
    lineage: String,
    store_id: String,
}

impl First {
    /// Returns the oldest version that is this catalog's manifest and whose data is there, where it is not what stands
    /// there now. Somebody may have written over it to have other data recorded, and restored one day.
    async fn of(&self, store: &Arc<dyn ReadStore>, key: &str) -> Result<Option<Manifest>, StoreError> {
        for version in self.replaced.get(key).into_iter().flat_map(|versions| history::oldest_first(versions)) {
            if let Some(manifest) = history::manifest_of(store, version).await?
                && judge(&manifest, &self.lineage, &self.store_id).is_ok()
                && history::has_data(&history::of_data(store, &manifest).await?, &manifest)
            {
                return Ok(Some(manifest).filter(|_| !version.latest));
            }
        }
        Ok(None)
    }
}

async fn read_one(
    store: &Arc<dyn ReadStore>,
    window: Arc<Semaphore>,
    facts: ObjectFacts,
    first: &First,
) -> Result<Item, StoreError> {
    let Some(parsed) = layout::parse_manifest(&facts.key) else { return Ok(Item::Other(facts.key)) };
    let largest = first.replaced.get(&facts.key).into_iter().flatten().filter_map(|version| version.size).max();
    let size = largest.unwrap_or_default().min(MANIFEST_CAP).max(facts.size);
    let share = u32::try_from(size / 1024 + 1).unwrap_or(WINDOW).min(WINDOW);
    // Only a closed semaphore gives none, and nobody closes this one.
    let permit = window.acquire_many_owned(share).await.ok();
    let now = || store::read_manifest(store.as_ref(), &facts.key);
    let (stands, read) = match first.of(store, &facts.key).await {
        Ok(Some(manifest)) => (Stands::WrittenOver, Ok(manifest)),
        Ok(None) => (Stands::Untouched, now().await),
        Err(error) if history::is_hidden(&error) => (Stands::Hidden, now().await),
        Err(error) => return Err(error),
    };
    Ok(Item::Manifest { key: facts.key, id: parsed.id, size, read: read.map(Box::new), stands, _permit: permit })
}

/// Writes a batch and empties it; returns how many of it are recorded.
async fn write(
    rebuilding: &mut Rebuilding,
    gathered: &mut Gathered,
    batch: &mut Vec<Recovered>,
) -> Result<u64, RebuildError> {
    let refused = rebuilding.backups(batch).await?;
    let recorded = batch.len() - refused.len();
    for (index, why) in refused {
        if let Some(recovered) = batch.get(index) {
            gathered.untouched.insert(BackupId::from_text(recovered.manifest.backup_id.clone()));
            let (store, key) = (recovered.store.clone(), recovered.key.clone());
            gathered.unusable.push(Unusable { store, key, why });
        }
    }
    batch.clear();
    Ok(recorded as u64)
}

/// An attempt that died before its first byte of data has left a key object all the same.
async fn keys_of_attempts(
    rebuilding: &mut Rebuilding,
    name: &Name,
    store: &Arc<dyn ReadStore>,
) -> Result<(), RebuildError> {
    let mut attempts = Attempts::new(name);
    let mut listing = store::list(Arc::clone(store), layout::KEYS);
    while let Some(facts) = listing.try_next().await? {
        attempts.note(layout::KEYS, &facts.key);
        if attempts.is_full() {
            rebuilding.attempts(&attempts.take()).await?;
        }
    }
    Ok(rebuilding.attempts(&attempts.take()).await?)
}

/// Attempts as their objects pass by, each once or a few times.
struct Attempts {
    store: Name,
    seen: BTreeSet<AttemptSeen>,
}

impl Attempts {
    fn new(store: &Name) -> Self {
        Self { store: store.clone(), seen: BTreeSet::new() }
    }

    fn note(&mut self, prefix: &str, key: &str) {
        let Some((ManifestKey { database, scope: Some(scope), id, .. }, rest)) = layout::parse_object(prefix, key)
        else {
            return;
        };
        let (Some(attempt), Some(database)) = (layout::parse_attempt(rest), database_of(&database)) else { return };
        self.seen.insert(AttemptSeen { store: self.store.clone(), backup: id, database, scope, attempt });
    }

    fn is_full(&self) -> bool {
        self.seen.len() >= BATCH
    }

    fn take(&mut self) -> Vec<AttemptSeen> {
        std::mem::take(&mut self.seen).into_iter().collect()
    }
}

/// Reads the database's segment of a key: `Some(None)` for files, which have none.
pub(super) fn database_of(segment: &str) -> Option<Option<Name>> {
    if segment == "_" {
        return Some(None);
    }
    layout::decode(segment)?.parse().ok().map(Some)
}
