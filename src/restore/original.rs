//! What a backup was when it was written, in a bucket that keeps versions: objects are written once, so whatever was put
//! over one of them since, or deletes it, is not the backup. The oldest version that proves to be what was written is read.
//!
//! A restore asks this before it reads anything, since what was streamed into a server cannot be taken back and read
//! again. Drills and checks do not: they are to find out that something stands in a backup's place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{TryStreamExt, future};

use super::RestoreError;
use super::archive::KEY_CAP;
use crate::artifact::{ArtifactError, read_back};
use crate::crypto::{Identity, open_key_object};
use crate::domain::{DataPart, Instant, Manifest};
use crate::store::{self, MANIFEST_CAP, ObjectVersion, Pinned, ReadStore, StoreError, layout};

/// How many versions of a key are kept in mind: the oldest ones. Whoever writes over an object writes newer ones.
const OLDEST: usize = 32;
/// How many keys a backup's folders may hold: more than any backup has parts.
const KEYS: usize = 100_000;

/// A manifest, and its store as it is to be read.
pub struct Original {
    /// The manifest.
    pub manifest: Manifest,
    /// The store, in which the objects that were replaced are read as they were written.
    pub store: Arc<dyn ReadStore>,
    /// What is to be said of it, to people.
    pub notes: Vec<String>,
}

/// The versions of each key, the newest first.
type History = BTreeMap<String, Vec<ObjectVersion>>;

/// Reads a backup's manifest, and finds the versions of its objects that are what it names. `is_it` tells the manifest that
/// is meant, where more is known of it than its id.
///
/// # Errors
/// When no version of the manifest can be read, or the store cannot be asked.
pub async fn original(
    store: &Arc<dyn ReadStore>,
    key: &str,
    identities: &[Identity],
    is_it: impl Fn(&Manifest) -> bool,
) -> Result<Original, RestoreError> {
    let Some(folders) = layout::folders_of(key) else { return as_it_is(store, key, Vec::new()).await };
    let history = match future::try_join(look(store, &folders[0]), look(store, &folders[1])).await {
        Ok((mut data, keys)) => {
            data.extend(keys);
            data
        }
        // Not to know it is no reason to bring nothing back.
        Err(
            why @ (StoreError::Denied { .. }
            | StoreError::Refused { .. }
            | StoreError::NotFound { .. }
            | StoreError::Invalid { .. }),
        ) => {
            let note = format!(
                "whether its objects were replaced since they were written is not known ({why}); `bkup init iam --role \
                 restore` prints an identity that may look"
            );
            return as_it_is(store, key, vec![note]).await;
        }
        Err(error) => return Err(error.into()),
    };
    let mut search = Search { store, history, pins: BTreeMap::new() };
    let manifest = match search.manifest(key, is_it).await? {
        Some(manifest) => manifest,
        None => store::read_manifest(store.as_ref(), key).await?,
    };
    // A part may lie in the folder of another attempt, or of an earlier backup.
    let elsewhere: BTreeSet<&str> = manifest
        .parts
        .iter()
        .filter_map(|part| part.key.rsplit_once('/'))
        .map(|(folder, _)| folder)
        .filter(|folder| !folders.iter().any(|known| folder.starts_with(known.as_str())))
        .collect();
    for folder in elsewhere {
        search.history.extend(look(store, &format!("{folder}/")).await?);
    }
    for part in &manifest.parts {
        search.part(part).await?;
    }
    for key in &manifest.keys {
        search.key(&key.key, identities).await?;
    }
    let notes = search.notes();
    let store = match search.pins.is_empty() {
        true => Arc::clone(store),
        false => Arc::new(Pinned::new(Arc::clone(store), search.pins.into_values())),
    };
    Ok(Original { manifest, store, notes })
}

/// Takes a store that hides its versions at its word.
async fn as_it_is(store: &Arc<dyn ReadStore>, key: &str, notes: Vec<String>) -> Result<Original, RestoreError> {
    let manifest = store::read_manifest(store.as_ref(), key).await?;
    Ok(Original { manifest, store: Arc::clone(store), notes })
}

/// Lists the versions below a folder; none where the store keeps none.
async fn look(store: &Arc<dyn ReadStore>, folder: &str) -> Result<History, StoreError> {
    let mut history = History::new();
    let mut versions = store::versions(Arc::clone(store), folder);
    while let Some(version) = versions.try_next().await? {
        let known = history.entry(version.key.clone()).or_default();
        // The marks come after the versions of a page: only one that is in force matters, and it is the newest.
        match version.size {
            None if version.latest => known.insert(0, version),
            None => {}
            Some(_) => known.push(version),
        }
        if known.len() > OLDEST {
            // The first one says what the key stands for now.
            known.remove(1);
        }
        if history.len() > KEYS {
            let what = "it holds more objects than a backup has".to_owned();
            return Err(StoreError::Invalid { place: store.place().to_owned(), key: folder.to_owned(), what });
        }
    }
    Ok(history)
}

struct Search<'a> {
    store: &'a Arc<dyn ReadStore>,
    history: History,
    pins: BTreeMap<String, ObjectVersion>,
}

impl Search<'_> {
    /// Returns the versions of a key that was written more than once, or deleted; the oldest first.
    fn candidates(&self, key: &str) -> Vec<ObjectVersion> {
        let versions = self.history.get(key).map_or(&[][..], Vec::as_slice);
        match versions {
            [only] if only.size.is_some() && only.latest => Vec::new(),
            versions => versions.iter().rev().filter(|version| version.size.is_some()).cloned().collect(),
        }
    }

    fn with(&self, version: &ObjectVersion) -> Arc<dyn ReadStore> {
        Arc::new(Pinned::new(Arc::clone(self.store), [version.clone()]))
    }

    /// What stands there now needs no pin.
    fn pin(&mut self, version: ObjectVersion) {
        if !version.latest {
            self.pins.insert(version.key.clone(), version);
        }
    }

    /// Returns the oldest manifest that is this backup's and whose data is there.
    async fn manifest(
        &mut self,
        key: &str,
        is_it: impl Fn(&Manifest) -> bool,
    ) -> Result<Option<Manifest>, RestoreError> {
        for version in self.candidates(key) {
            if version.size.is_some_and(|size| size > MANIFEST_CAP) {
                continue;
            }
            match store::read_manifest(self.with(&version).as_ref(), key).await {
                Ok(manifest) if is_it(&manifest) && manifest.parts.iter().all(|part| self.has(part)) => {
                    self.pin(version);
                    return Ok(Some(manifest));
                }
                Ok(_) => {}
                Err(error) if is_of_the_object(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Whether a version has the size of a part. Of folders that were not looked at nothing is known.
    fn has(&self, part: &DataPart) -> bool {
        self.history
            .get(&part.key)
            .is_none_or(|versions| versions.iter().any(|version| version.size == Some(part.size)))
    }

    async fn part(&mut self, part: &DataPart) -> Result<(), RestoreError> {
        let mut fitting = self.candidates(&part.key);
        fitting.retain(|version| version.size == Some(part.size));
        // It is proven while it is restored, as every part is.
        if fitting.len() == 1 {
            fitting.drain(..).for_each(|version| self.pin(version));
        }
        for version in fitting {
            match read_back(self.with(&version), part).await {
                Ok(()) => {
                    self.pin(version);
                    break;
                }
                Err(ArtifactError::Damaged { .. }) => {}
                Err(ArtifactError::Store(error)) if is_of_the_object(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Key objects have no digest: one that opens is one that was written for this reader.
    async fn key(&mut self, key: &str, identities: &[Identity]) -> Result<(), RestoreError> {
        for version in self.candidates(key) {
            match self.with(&version).get(key, KEY_CAP).await {
                Ok(bytes) if open_key_object(key, &bytes, identities).is_ok() => {
                    self.pin(version);
                    break;
                }
                Ok(_) => {}
                Err(error) if is_of_the_object(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Says what was replaced, and what is read instead.
    fn notes(&self) -> Vec<String> {
        let now = |key: &String| self.history.get(key)?.first();
        let newest: Option<Instant> = self.pins.keys().filter_map(|key| now(key)?.modified).max();
        let when = newest.map_or_else(String::new, |at| format!(", the last at {at}"));
        let Some(first) = self.pins.keys().next() else { return Vec::new() };
        let objects = match self.pins.len() {
            1 => {
                format!("{first} was replaced or deleted after it was written{when}: its oldest whole version is read")
            }
            many => format!(
                "{many} of its objects, {first} among them, were replaced or deleted after they were written{when}: their \
                 oldest whole versions are read"
            ),
        };
        vec![objects]
    }
}

/// Whether an error says something of an object, rather than of the way to it.
pub(super) fn is_of_the_object(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotFound { .. }
            | StoreError::Invalid { .. }
            | StoreError::TooLarge { .. }
            | StoreError::NewerFormat { .. }
    )
}
