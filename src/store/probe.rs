//! Finding out, by writing, what a store honours. Servers that accept a condition and ignore it are common.

use bytes::Bytes;

use super::{Capabilities, PutOptions, PutOutcome, StorageRole, StoreError, WriteStore};

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
    let wrong = PutOptions { crc32c: Some(0xdead_beef), ..PutOptions::default() };
    let right = PutOptions { crc32c: Some(crc32c(&body)), ..PutOptions::default() };
    let crc32c =
        store.put(crc, body.clone(), wrong).await.is_err() && store.put(crc, body.clone(), right).await.is_ok();

    let upload = store.begin_upload(parts, StorageRole::Record).await;
    let (multipart, lists_uploads) = match upload {
        Err(_) => (false, false),
        Ok(upload) => {
            let listed = store.unfinished_uploads(parts).await;
            let stored = store.put_part(parts, &upload, 1, 0, body.clone()).await;
            let completed = match stored {
                Ok(tag) => store.complete_upload(parts, &upload, &[tag], body.len() as u64).await,
                Err(error) => Err(error),
            };
            if completed.is_err() {
                store.abort_upload(parts, &upload).await?;
            }
            let whole = completed.is_ok() && store.get(parts, 64).await? == body;
            (whole, listed.is_ok_and(|list| !list.is_empty()))
        }
    };
    Ok(Capabilities { conditional_writes: created && refused && kept, crc32c, multipart, lists_uploads })
}

/// Returns the CRC32C of bytes.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    // The 32 bit checksums of the crate are wide on the outside.
    u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or_default()
}
