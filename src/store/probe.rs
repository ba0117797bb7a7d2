//! Finding out, by writing, what a store honours. Servers that accept a condition and ignore it are common.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{Capabilities, PutOptions, PutOutcome, ReadStore, StorageRole, StoreError, WriteStore, list};

/// How often a question is put that nobody answers.
const QUESTIONS: u32 = 4;

/// Deletes what probes left behind whose runs died at it: everything below `probe/` that begins with their owner's name.
///
/// # Errors
/// When it cannot be listed or deleted. A store that does not list uploads keeps those.
pub async fn clear_probes(store: &Arc<dyn WriteStore>, owner: &str) -> Result<(), StoreError> {
    let prefix = format!("probe/{owner}-");
    let left: Vec<_> = list(Arc::clone(store) as Arc<dyn ReadStore>, &prefix).try_collect().await?;
    for object in left {
        store.delete(&object.key).await?;
    }
    abort_below(store.as_ref(), &prefix).await
}

/// Ends the uploads that nobody will complete, where the store lists them.
async fn abort_below(store: &dyn WriteStore, prefix: &str) -> Result<(), StoreError> {
    for upload in store.unfinished_uploads(prefix).await.unwrap_or_default() {
        store.abort_upload(&upload.key, &upload.upload).await?;
    }
    Ok(())
}

/// Writes, reads and deletes a few small objects below `probe/` and returns what the store honours. `token` makes the
/// keys this run's own: lower-case letters, digits and `-`.
///
/// # Errors
/// When the store does not even take, give and delete an object; whatever it merely lacks is in the result.
pub async fn probe(store: &dyn WriteStore, token: &str) -> Result<Capabilities, StoreError> {
    let keys = ["once", "crc", "parts"].map(|name| format!("probe/{token}-{name}"));
    let found = run(store, &keys).await;
    for key in &keys {
        let deleted = store.delete(key).await;
        if found.is_ok() {
            deleted?;
        }
    }
    found
}

async fn run(store: &dyn WriteStore, [once, crc, parts]: &[String; 3]) -> Result<Capabilities, StoreError> {
    let if_absent = PutOptions { if_absent: true, ..PutOptions::default() };
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
    let created = store.put(once, first.clone(), if_absent).await? == PutOutcome::Created;
    let refused = store.put(once, second, if_absent).await? == PutOutcome::Exists;
    let kept = store.get(once, 64).await? == first;

    // A wrong checksum that is accepted was not looked at.
    let body = Bytes::from_static(b"checked");
    let wrong = asks(store, crc, &body, 0xdead_beef).await?;
    let right = asks(store, crc, &body, crc32c(&body)).await?;
    let crc32c = !wrong && right;

    let (multipart, lists_uploads) = match answer(store.begin_upload(parts, StorageRole::Record).await)? {
        None => (false, false),
        Some(upload) => {
            let listed = answer(store.unfinished_uploads(parts).await);
            let stored = store.put_part(parts, &upload, 1, 0, body.clone()).await;
            let completed = match stored {
                Ok(tag) => store.complete_upload(parts, &upload, &[tag], body.len() as u64).await,
                Err(error) => Err(error),
            };
            if completed.is_err() {
                store.abort_upload(parts, &upload).await?;
            }
            let whole = answer(completed)?.is_some() && store.get(parts, 64).await? == body;
            // One whose beginning was answered only when it was asked again has a twin that nobody will complete.
            abort_below(store, parts).await?;
            (whole, listed?.is_some_and(|list| !list.is_empty()))
        }
    };
    Ok(Capabilities { conditional_writes: created && refused && kept, crc32c, multipart, lists_uploads })
}

/// A refusal is an answer, `None`. A store that stumbled, or whose reply was lost, has not answered: what it honours would
/// be remembered wrongly for as long as the store lives.
fn answer<T>(answered: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match answered {
        Ok(value) => Ok(Some(value)),
        // To a body whose checksum is wrong on purpose, "damaged on its way" is the refusal.
        Err(StoreError::DamagedInTransit { .. }) => Ok(None),
        Err(error) if error.is_transient() => Err(error),
        Err(_) => Ok(None),
    }
}

/// Asks whether the store takes a body with this checksum; a question that was not answered is put again. No retries
/// stand between: to them, a refused checksum looks like damage on the way.
async fn asks(store: &dyn WriteStore, key: &str, body: &Bytes, crc32c: u32) -> Result<bool, StoreError> {
    let options = PutOptions { crc32c: Some(crc32c), ..PutOptions::default() };
    let mut asked = 0;
    loop {
        asked += 1;
        match answer(store.put(key, body.clone(), options).await) {
            Err(_) if asked < QUESTIONS => {}
            answered => return answered.map(|taken| taken.is_some()),
        }
    }
}

/// Returns the CRC32C of bytes.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    // The 32 bit checksums of the crate are wide on the outside.
    u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or_default()
}
