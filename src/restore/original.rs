//! What a backup was when it was written, in a bucket that keeps versions: objects are written once, so whatever was put
//! over one of them since, or deletes it, is not the backup. The oldest version that proves to be what was written is read.
//!
//! A restore asks this before it reads anything, since what was streamed into a server cannot be taken back and read
//! again. Drills and checks do not: they are to find out that something stands in a backup's place.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::RestoreError;
use super::archive::KEY_CAP;
use crate::artifact::{ArtifactError, read_back};
use crate::crypto::{Identity, open_key_object};
use crate::domain::{DataPart, Instant, Manifest};
use crate::store::history::{
    History, has_data, is_hidden, is_of_the_object, is_untouched, look, of_data, oldest_first, oldest_manifest, with,
};
use crate::store::{self, ObjectVersion, Pinned, ReadStore, StoreError};

/// A manifest, and its store as it is to be read.
pub struct Original {
    /// The manifest.
    pub manifest: Manifest,
    /// The store, in which the objects that were replaced are read as they were written.
    pub store: Arc<dyn ReadStore>,
    /// What is to be said of it, to people.
    pub notes: Vec<String>,
}

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
    match seek(store, key, identities, &is_it).await {
        // Not to know it is no reason to bring nothing back.
        Err(RestoreError::Hidden(why)) => {
            let note = format!(
                "whether its objects were replaced since they were written is not known ({why}); `bkup init iam --role \
                 restore` prints an identity that may look"
            );
            let manifest = store::read_manifest(store.as_ref(), key).await?;
            let notes = Some(note).into_iter().chain(doubt(&manifest, &is_it)).collect();
            Ok(Original { manifest, store: Arc::clone(store), notes })
        }
        sought => sought,
    }
}

async fn seek(
    store: &Arc<dyn ReadStore>,
    key: &str,
    identities: &[Identity],
    is_it: impl Fn(&Manifest) -> bool,
) -> Result<Original, RestoreError> {
    let manifests = look(store, key, |found| found == key).await.map_err(hidden)?;
    let versions = manifests.get(key).map_or(&[][..], Vec::as_slice);
    let mut pins = BTreeMap::new();
    let mut notes = Vec::new();
    let manifest = if is_untouched(versions) {
        store::read_manifest(store.as_ref(), key).await?
    } else {
        let is_whole = async |manifest: &Manifest| {
            Ok::<_, RestoreError>(
                is_it(manifest) && has_data(&of_data(store, manifest).await.map_err(hidden)?, manifest),
            )
        };
        match oldest_manifest(store, versions, is_whole).await? {
            Some((manifest, version)) => {
                if !version.latest {
                    pins.insert(version.key.clone(), version.clone());
                }
                manifest
            }
            None => {
                notes.push(format!(
                    "{key} was replaced or deleted after it was written, and no version of it is the backup's with its \
                     data there: what stands there now is read"
                ));
                store::read_manifest(store.as_ref(), key).await?
            }
        }
    };
    notes.extend(doubt(&manifest, &is_it));
    let history = of_data(store, &manifest).await.map_err(hidden)?;
    let mut search = Search { store, history, pins };
    for part in &manifest.parts {
        search.part(part).await?;
    }
    for key in &manifest.keys {
        search.key(&key.key, identities, manifest.data_recipient.as_deref()).await?;
    }
    notes.extend(search.note(&manifests));
    let store = match search.pins.is_empty() {
        true => Arc::clone(store),
        false => Arc::new(Pinned::new(Arc::clone(store), search.pins.into_values())),
    };
    Ok(Original { manifest, store, notes })
}

fn hidden(error: StoreError) -> RestoreError {
    if is_hidden(&error) { RestoreError::Hidden(error) } else { error.into() }
}

/// Says so where a manifest is not the one that is meant.
fn doubt(manifest: &Manifest, is_it: impl Fn(&Manifest) -> bool) -> Option<String> {
    let words = || format!("the manifest of {} is not the one that the catalog recorded", manifest.backup_id);
    (!is_it(manifest)).then(words)
}

struct Search<'a> {
    store: &'a Arc<dyn ReadStore>,
    history: History,
    pins: BTreeMap<String, ObjectVersion>,
}

impl Search<'_> {
    /// Returns the versions of a key that somebody wrote over or deleted, the oldest first.
    fn candidates(&self, key: &str) -> Vec<ObjectVersion> {
        match self.history.get(key) {
            Some(versions) if !is_untouched(versions) => oldest_first(versions).cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// What stands there now needs no pin.
    fn pin(&mut self, version: ObjectVersion) {
        if !version.latest {
            self.pins.insert(version.key.clone(), version);
        }
    }

    async fn part(&mut self, part: &DataPart) -> Result<(), RestoreError> {
        let mut fitting = self.candidates(&part.key);
        fitting.retain(|version| version.size == Some(part.size));
        // It is proven while it is restored, as every part is.
        if fitting.len() == 1 {
            fitting.drain(..).for_each(|version| self.pin(version));
        }
        for version in fitting {
            match read_back(with(self.store, &version), part).await {
                Ok(()) => {
                    self.pin(version);
                    break;
                }
                Err(ArtifactError::Damaged { .. }) => {}
                Err(ArtifactError::Store(error)) => passes(error)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Key objects have no digest: one that holds the key that the data was encrypted to is the one.
    async fn key(&mut self, key: &str, identities: &[Identity], to: Option<&str>) -> Result<(), RestoreError> {
        for version in self.candidates(key) {
            match with(self.store, &version).get(key, KEY_CAP).await {
                Ok(bytes) => {
                    let opened = open_key_object(key, &bytes, identities);
                    let opens = |to: &str| opened.as_ref().is_ok_and(|it| it.identity.recipient().as_str() == to);
                    if to.map_or(opened.is_ok(), opens) {
                        self.pin(version);
                        break;
                    }
                }
                Err(error) => passes(error)?,
            }
        }
        Ok(())
    }

    /// Says what was replaced, and what is read instead. `manifests` has the versions of the manifest.
    fn note(&self, manifests: &History) -> Option<String> {
        let now = |key: &String| self.history.get(key).or_else(|| manifests.get(key))?.first();
        let newest: Option<Instant> = self.pins.keys().filter_map(|key| now(key)?.modified).max();
        let when = newest.map_or_else(String::new, |at| format!(", the last at {at}"));
        let first = self.pins.keys().next()?;
        Some(match self.pins.len() {
            1 => {
                format!("{first} was replaced or deleted after it was written{when}: its oldest whole version is read")
            }
            many => format!(
                "{many} of its objects, {first} among them, were replaced or deleted after they were written{when}: their \
                 oldest whole versions are read"
            ),
        })
    }
}

/// Goes on to a newer version where one is not given out, as one that was moved to an archive: digests and keys tell
/// whether that one is the backup's.
fn passes(error: StoreError) -> Result<(), RestoreError> {
    if is_hidden(&error) || is_of_the_object(&error) { Ok(()) } else { Err(error.into()) }
}
