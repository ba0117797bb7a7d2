//! The versions that a bucket keeps of backups' objects, and the manifest among them that was written first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{TryStreamExt, future};

use super::{MANIFEST_CAP, ObjectVersion, Pinned, ReadStore, StoreError, read_manifest, versions};
use crate::domain::Manifest;

/// How many versions of a key are kept in mind: what it stands for now, and the oldest ones. Whoever writes over an object
/// writes newer ones.
const OLDEST: usize = 32;

/// The versions of each key, the newest first. A mark of deletion is among them only where it is in force.
pub type History = BTreeMap<String, Vec<ObjectVersion>>;

/// Lists the versions below a prefix of the keys that are wanted; none where the store keeps none. Memory follows the
/// wanted keys: whoever can write into a folder can put any number of others there.
pub async fn look(
    store: &Arc<dyn ReadStore>,
    prefix: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<History, StoreError> {
    let mut history = History::new();
    let mut listed = versions(Arc::clone(store), prefix);
    while let Some(version) = listed.try_next().await? {
        if wanted(&version.key) && (version.size.is_some() || version.latest) {
            add(history.entry(version.key.clone()).or_default(), version);
        }
    }
    Ok(history)
}

fn add(known: &mut Vec<ObjectVersion>, version: ObjectVersion) {
    known.push(version);
    // Not every server lists the newest first; where seconds are equal, its order stands.
    known.sort_by_key(|version| (Reverse(version.latest), Reverse(version.modified)));
    if known.len() > OLDEST {
        known.remove(1);
    }
}

/// Lists the versions below a prefix of those of the wanted keys that somebody wrote over and that are there now. Memory
/// follows these, however many keys there are.
///
/// # Errors
/// As [`look`].
pub async fn written_over(
    store: &Arc<dyn ReadStore>,
    prefix: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<History, StoreError> {
    let mut history = History::new();
    let mut keep = |versions: Vec<ObjectVersion>| {
        if let Some(now) = versions.iter().find(|version| version.latest)
            && !is_untouched(&versions)
        {
            history.insert(now.key.clone(), versions);
        }
    };
    // The versions of a key follow each other. Marks of deletion come apart from them, and are not needed: of a key that
    // is deleted, no version is what it stands for now.
    let mut current: Vec<ObjectVersion> = Vec::new();
    let mut listed = versions(Arc::clone(store), prefix);
    while let Some(version) = listed.try_next().await? {
        if version.size.is_none() || !wanted(&version.key) {
            continue;
        }
        if current.first().is_some_and(|first| first.key != version.key) {
            keep(std::mem::take(&mut current));
        }
        add(&mut current, version);
    }
    keep(current);
    Ok(history)
}

/// Whether an error says that nobody can see the versions, rather than that they could not be seen just now.
pub fn is_hidden(error: &StoreError) -> bool {
    matches!(error, StoreError::Denied { .. } | StoreError::Refused { .. } | StoreError::NotFound { .. })
}

/// Whether an error says something of an object, rather than of the way to it.
pub fn is_of_the_object(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotFound { .. }
            | StoreError::Invalid { .. }
            | StoreError::TooLarge { .. }
            | StoreError::NewerFormat { .. }
    )
}

/// Whether a key stands for what was written to it, as far as its versions tell.
pub fn is_untouched(versions: &[ObjectVersion]) -> bool {
    match versions {
        [] => true,
        [only] => only.latest && only.size.is_some(),
        // A write whose reply was lost is made again, with the same bytes.
        [first, ..] => {
            let same = |one: &ObjectVersion| one.size == first.size && one.tag == first.tag;
            first.latest && first.size.is_some() && first.tag.is_some() && versions.iter().all(same)
        }
    }
}

/// Returns what of a key can be read, the oldest first.
pub fn oldest_first(versions: &[ObjectVersion]) -> impl Iterator<Item = &ObjectVersion> {
    versions.iter().rev().filter(|version| version.size.is_some())
}

/// Returns the store with one object as it was.
pub fn with(store: &Arc<dyn ReadStore>, version: &ObjectVersion) -> Arc<dyn ReadStore> {
    Arc::new(Pinned::new(Arc::clone(store), [version.clone()]))
}

/// Returns the oldest version that is a manifest of the key's backup, and that `is_it` takes; with it, the version.
///
/// # Errors
/// When the store cannot be asked, or does not give a version out: what cannot be read may be the one.
pub async fn oldest_manifest<'v, E: From<StoreError>>(
    store: &Arc<dyn ReadStore>,
    versions: &'v [ObjectVersion],
    is_it: impl AsyncFn(&Manifest) -> Result<bool, E>,
) -> Result<Option<(Manifest, &'v ObjectVersion)>, E> {
    for version in oldest_first(versions) {
        if let Some(manifest) = manifest_of(store, version).await?
            && is_it(&manifest).await?
        {
            return Ok(Some((manifest, version)));
        }
    }
    Ok(None)
}

/// Reads a version as a manifest of its key's backup; `None` where it is none.
///
/// # Errors
/// As [`oldest_manifest`].
pub async fn manifest_of(store: &Arc<dyn ReadStore>, version: &ObjectVersion) -> Result<Option<Manifest>, StoreError> {
    if version.size.is_some_and(|size| size > MANIFEST_CAP) {
        return Ok(None);
    }
    match read_manifest(with(store, version).as_ref(), &version.key).await {
        Ok(manifest) => Ok(Some(manifest)),
        Err(error) if is_of_the_object(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lists the versions of all objects that a manifest names.
pub async fn of_data(store: &Arc<dyn ReadStore>, manifest: &Manifest) -> Result<History, StoreError> {
    let keys: BTreeSet<&str> = manifest
        .parts
        .iter()
        .map(|part| part.key.as_str())
        .chain(manifest.keys.iter().map(|key| key.key.as_str()))
        .collect();
    // A part may lie in the folder of another attempt, or of an earlier backup.
    let mut folders: Vec<&str> = keys.iter().filter_map(|key| Some(&key[..=key.rfind('/')?])).collect();
    folders.dedup();
    let looks = folders.into_iter().map(|folder| look(store, folder, |key| keys.contains(key)));
    let looked = future::try_join_all(looks).await?;
    Ok(looked.into_iter().flatten().collect())
}

/// Whether each part of a manifest has a version of its size.
pub fn has_data(history: &History, manifest: &Manifest) -> bool {
    manifest.parts.iter().all(|part| {
        let versions = history.get(&part.key).map_or(&[][..], Vec::as_slice);
        versions.iter().any(|version| version.size == Some(part.size))
    })
}
