//! Writing once: the one place that knows how, with and without conditional writes.

use std::time::Duration;

use bytes::Bytes;

use super::{Capabilities, PutOptions, PutOutcome, StoreError, WriteStore};

/// How late a store may show what was just written: some answer a question right after a write with less than all of it.
/// What reads otherwise is read again this much later before it counts.
const SETTLES: Duration = Duration::from_millis(250);

/// Reads, and once more when the store has had time to settle where what was read is `otherwise`.
///
/// # Errors
/// Those of the last read.
pub async fn settled<T, E, R: Future<Output = Result<T, E>>>(
    read: impl Fn() -> R,
    otherwise: impl Fn(&Result<T, E>) -> bool,
) -> Result<T, E> {
    let found = read().await;
    if !otherwise(&found) {
        return found;
    }
    tokio::time::sleep(SETTLES).await;
    read().await
}

/// Writes an object unless its key is taken; the bytes of a taken key are left alone.
///
/// A store known to honour conditions decides by itself. Any other is asked first, then written with the condition all
/// the same, then read back: that finds another writer who came in between, but cannot keep him out, so such a store
/// also needs the catalog's lease.
///
/// # Errors
/// When the store refuses or cannot be reached; when another writer's bytes took the place of these.
pub async fn put_once(store: &dyn WriteStore, key: &str, body: Bytes) -> Result<PutOutcome, StoreError> {
    let options = PutOptions { if_absent: true, ..PutOptions::default() };
    if store.capabilities().is_some_and(|known: Capabilities| known.conditional_writes) {
        return store.put(key, body, options).await;
    }
    if store.head(key).await?.is_some() {
        return Ok(PutOutcome::Exists);
    }
    if store.put(key, body.clone(), options).await? == PutOutcome::Exists {
        return Ok(PutOutcome::Exists);
    }
    let read = || store.get(key, body.len() as u64);
    match settled(read, |found| !matches!(found, Ok(found) if *found == body)).await {
        Ok(found) if found == body => Ok(PutOutcome::Created),
        Ok(_) | Err(StoreError::TooLarge { .. }) => {
            Err(StoreError::Overwritten { place: store.place().to_owned(), key: key.to_owned() })
        }
        Err(error) => Err(error),
    }
}
