//! `bkup.json`: which store this is, and in which layout it was begun.

use bytes::Bytes;

use super::{PutOutcome, ReadStore, StoreError, WriteStore, layout, put_once};
use crate::domain::{StoreMarker, canonical_json};

/// The version of the layout, `major.minor`. A larger major is refused.
pub const LAYOUT_FORMAT: &str = "1.0";

const MARKER_CAP: u64 = 64 * 1024;

/// Reads the marker; `None` for a store that no bkup has used yet.
///
/// # Errors
/// When the store cannot be read, the marker cannot be understood, or a newer bkup wrote it.
pub async fn read_marker(store: &dyn ReadStore) -> Result<Option<StoreMarker>, StoreError> {
    let bytes = match store.get(layout::MARKER, MARKER_CAP).await {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let marker: StoreMarker = parse(store.place(), layout::MARKER, &bytes, LAYOUT_FORMAT)?;
    Ok(Some(marker))
}

/// Makes the store's marker with the given id, or returns the one that is there: the first writer names the store.
///
/// # Errors
/// As [`read_marker`], and when the marker cannot be written.
pub async fn ensure_marker(store: &dyn WriteStore, store_id: &str) -> Result<StoreMarker, StoreError> {
    if let Some(marker) = read_marker(store).await? {
        return Ok(marker);
    }
    let marker = StoreMarker { format_version: LAYOUT_FORMAT.to_owned(), store_id: store_id.to_owned() };
    let gone = || StoreError::NotFound { place: store.place().to_owned(), key: layout::MARKER.to_owned() };
    match put_once(store, layout::MARKER, Bytes::from(canonical_json(&marker))).await {
        Ok(PutOutcome::Created) => Ok(marker),
        Ok(PutOutcome::Exists) | Err(StoreError::Overwritten { .. }) => read_marker(store).await?.ok_or_else(gone),
        Err(error) => Err(error),
    }
}

/// Reads JSON that carries `format_version`, refusing a larger major version before anything else of it is trusted.
///
/// # Errors
/// When it cannot be understood, or a newer bkup wrote it.
pub fn parse<T: serde::de::DeserializeOwned>(
    place: &str,
    key: &str,
    bytes: &[u8],
    known: &str,
) -> Result<T, StoreError> {
    #[derive(serde::Deserialize)]
    struct Version {
        format_version: String,
    }
    let invalid = |what: String| StoreError::Invalid { place: place.to_owned(), key: key.to_owned(), what };
    let major = |version: &str| version.split_once('.').and_then(|(major, _)| major.parse::<u32>().ok());
    let version: Version = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
    let found = major(&version.format_version)
        .ok_or_else(|| invalid(format!("{:?} is no format version", version.format_version)))?;
    if major(known).is_none_or(|known| found > known) {
        return Err(StoreError::NewerFormat {
            place: place.to_owned(),
            key: key.to_owned(),
            found: version.format_version,
            known: known.to_owned(),
        });
    }
    serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))
}
