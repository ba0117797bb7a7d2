//! A last look at a backup that somebody asked for before risky work: `pg_restore --list` over the bytes as they lie in
//! the store, decrypted and unpacked again. Reading back compares digests; this asks the program that a restore will use.

use std::sync::Arc;

use super::BackupError;
use super::logical::Destination;
use super::source::Source;
use crate::artifact::{UnpackKeys, pipe, unpack};
use crate::crypto::DataKey;
use crate::domain::{DataPart, PartKind};
use crate::engine::{Listing, list_archive};

/// Lists every archive among the parts.
///
/// # Errors
/// [`BackupError::NotListed`] where the program does not make sense of one.
pub(super) async fn check(
    source: &dyn Source,
    destination: &Destination,
    data_key: Option<&DataKey>,
    parts: &[DataPart],
) -> Result<(), BackupError> {
    let Some((_, programs)) = source.server() else { return Ok(()) };
    let archive = |kind| matches!(kind, PartKind::Archive | PartKind::Prelude | PartKind::Definitions | PartKind::Rows);
    for part in parts.iter().filter(|part| archive(part.kind)) {
        let (writer, mut reader) = pipe(4);
        let keys = UnpackKeys {
            identity: data_key.map(|key| key.identity().clone()).filter(|_| part.encrypted),
            digest_key: destination.digest_key.clone(),
        };
        let store = Arc::clone(&destination.store) as _;
        // The program stops to read behind the table of contents; the rest is not fetched then.
        let fetching = async { drop(unpack(store, part, keys, writer).await) };
        let listing = async {
            let mut listing = list_archive(programs)?;
            while let Some(piece) = reader.next().await {
                let Ok(piece) = piece else { break };
                if !listing.feed(&piece).await {
                    break;
                }
            }
            drop(reader);
            Listing::finish(listing).await
        };
        let ((), listed) = tokio::join!(fetching, listing);
        if let Err(error) = listed {
            return Err(BackupError::NotListed { key: part.key.clone(), why: error.to_string() });
        }
    }
    Ok(())
}
