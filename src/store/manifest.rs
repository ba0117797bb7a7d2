//! Manifests in and out. A backup exists when its manifest does, so this is the last write of every backup, done once.

use bytes::Bytes;

use super::{PutOutcome, ReadStore, StoreError, WriteStore, marker, put_once};
use crate::domain::{MANIFEST_FORMAT, Manifest, canonical_json};

/// The largest manifest that is read: room for some 200,000 tables.
pub const MANIFEST_CAP: u64 = 64 * 1024 * 1024;

/// What became of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a manifest that lost names another attempt's data"]
pub enum ManifestOutcome {
    /// It is there, written now or, with the same bytes, before: this attempt's data is the backup.
    Won,
    /// Another attempt's manifest was there first; it stands, and this attempt's data is garbage.
    Lost(Box<Manifest>),
}

/// Writes a manifest unless one is there, and says whose stands.
///
/// # Errors
/// When the store refuses or cannot be reached, or the manifest that is there cannot be read.
pub async fn write_manifest(
    store: &dyn WriteStore,
    key: &str,
    manifest: &Manifest,
) -> Result<ManifestOutcome, StoreError> {
    let bytes = Bytes::from(canonical_json(manifest));
    if bytes.len() as u64 > MANIFEST_CAP {
        return Err(StoreError::TooLarge { place: store.place().to_owned(), key: key.to_owned(), cap: MANIFEST_CAP });
    }
    let there = match put_once(store, key, bytes).await {
        Ok(PutOutcome::Created) => return Ok(ManifestOutcome::Won),
        // Without conditional writes the last writer's manifest stands; whoever he is, all must agree on him.
        Ok(PutOutcome::Exists) | Err(StoreError::Overwritten { .. }) => read_manifest(store, key).await?,
        Err(error) => return Err(error),
    };
    // The attempt is a fencing token: the same attempt of the same action is this one, its first reply was lost.
    if there == *manifest { Ok(ManifestOutcome::Won) } else { Ok(ManifestOutcome::Lost(Box::new(there))) }
}

/// Reads a manifest.
///
/// # Errors
/// When it is missing, too large, not a manifest, or of a newer format.
pub async fn read_manifest<S: ReadStore + ?Sized>(store: &S, key: &str) -> Result<Manifest, StoreError> {
    let bytes = store.get(key, MANIFEST_CAP).await?;
    let manifest: Manifest = marker::parse(store.place(), key, &bytes, MANIFEST_FORMAT)?;
    let invalid = |what: &str| StoreError::Invalid {
        place: store.place().to_owned(),
        key: key.to_owned(),
        what: what.to_owned(),
    };
    // A manifest copied to another backup's key would bring back the wrong data under the right name.
    if let Some(parsed) = super::layout::parse_manifest(key)
        && (parsed.id.as_str() != manifest.backup_id
            || parsed.scope.is_some_and(|scope| scope.to_string() != manifest.scope.scope)
            || manifest.database.as_deref().map_or("_".to_owned(), super::layout::encode) != parsed.database)
    {
        return Err(invalid("it is the manifest of another backup"));
    }
    Ok(manifest)
}
