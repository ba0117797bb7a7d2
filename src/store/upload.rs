//! Streaming uploads of unknown length with bounded memory, by parts, over any backend.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{PartTag, PutOptions, StorageRole, StoreError, UploadId, WriteStore};
use crate::domain::Digest;

const MIB: u64 = 1024 * 1024;
/// The usual size of a part.
const PART: u64 = 16 * MIB;
/// How many parts of the usual size are under way at once.
const PARALLEL: u64 = 3;
/// S3 allows 10,000 parts; an estimate may be a tenth too small.
const PARTS_PLANNED: u64 = 9000;
/// From this part on, without an estimate that says better, parts double in size every [`GROW_EVERY`].
const GROW_FROM: u32 = 5000;
const GROW_EVERY: u32 = 1000;

/// The most memory one [`Uploader`] holds: the parts under way and the one being filled. It holds for objects up to
/// 140 GiB (75 GiB without an estimate); past that, 10,000 parts need larger ones, and the part being filled and one
/// under way are what is held.
pub const UPLOAD_MEMORY: u64 = PART * (PARALLEL + 1);

/// Puts data that is whole and whose SHA-256 is known: the store checks the bytes it gets against that one. What does not
/// fit one part is uploaded in parts. Returns its size.
///
/// # Errors
/// When the store refuses or cannot be reached. No object is visible then.
pub async fn put_whole(
    store: Arc<dyn WriteStore>,
    key: &str,
    mut pieces: Vec<Bytes>,
    sha256: Digest,
) -> Result<u64, StoreError> {
    let size: usize = pieces.iter().map(Bytes::len).sum();
    if size as u64 > PART {
        let mut upload = Uploader::new(store, key, Some(size as u64));
        for piece in pieces {
            if let Err(error) = upload.write(piece).await {
                upload.abort().await;
                return Err(error);
            }
        }
        return upload.finish().await;
    }
    let body = match pieces.len() {
        1 => pieces.remove(0),
        _ => Bytes::from(pieces.concat()),
    };
    let options = PutOptions { role: StorageRole::Data, sha256: Some(sha256), ..PutOptions::default() };
    let _overwrites_nothing_but_its_own_attempt = store.put(key, body, options).await?;
    Ok(size as u64)
}

/// An upload under way. Nothing is visible before [`Uploader::finish`]. Dropping it aborts the upload in the
/// background, as far as there still is a runtime; what a killed process leaves behind is found by
/// [`WriteStore::unfinished_uploads`].
pub struct Uploader {
    store: Arc<dyn WriteStore>,
    key: String,
    base: u64,
    buffer: BytesMut,
    sent: u64,
    number: u32,
    upload: Option<UploadId>,
    budget: Arc<Semaphore>,
    tasks: JoinSet<Result<PartTag, StoreError>>,
    tags: Vec<PartTag>,
}

impl Uploader {
    /// Begins an upload of data. `estimate` is the object's likely size; it only matters above 140 GiB.
    #[must_use]
    pub fn new(store: Arc<dyn WriteStore>, key: &str, estimate: Option<u64>) -> Self {
        Self::with_part_size(store, key, PART.max(estimate.unwrap_or(0).div_ceil(PARTS_PLANNED)))
    }

    /// Begins an upload in parts of a given size. S3 refuses parts below 5 MiB except for the last.
    #[must_use]
    pub fn with_part_size(store: Arc<dyn WriteStore>, key: &str, part: u64) -> Self {
        let base = part.max(1);
        Self {
            store,
            key: key.to_owned(),
            base,
            buffer: BytesMut::new(),
            sent: 0,
            number: 0,
            upload: None,
            budget: Arc::new(Semaphore::new(units(base * PARALLEL, base) as usize)),
            tasks: JoinSet::new(),
            tags: Vec::new(),
        }
    }

    /// Adds bytes. Waits while as many parts are under way as memory allows.
    ///
    /// # Errors
    /// When a part could not be stored.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            let size = usize::try_from(part_size(self.base, self.number + 1)).unwrap_or(usize::MAX);
            // A full part is sent only when more follows: what fits one part is put as a plain object.
            if self.buffer.len() >= size {
                self.send_part().await?;
                continue;
            }
            if self.buffer.capacity() == 0 && bytes.len() + self.buffer.len() < size {
                self.buffer.reserve(if self.number > 0 { size } else { bytes.len().max(64 * 1024) });
            }
            let take = bytes.len().min(size - self.buffer.len());
            self.buffer.extend_from_slice(&bytes.split_to(take));
        }
        Ok(())
    }

    /// Begins the upload in a task of its own: were it cancelled with its caller, the store would keep an upload whose
    /// name nobody learnt.
    async fn begin(&self) -> Result<UploadId, StoreError> {
        let (store, key) = (Arc::clone(&self.store), self.key.clone());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let begun = store.begin_upload(&key, StorageRole::Data).await;
            if let Err(Ok(unwanted)) = sender.send(begun) {
                let _ = store.abort_upload(&key, &unwanted).await;
            }
        });
        receiver.await.unwrap_or_else(|_| Err(task_died(self.store.place(), &self.key)))
    }

    async fn send_part(&mut self) -> Result<(), StoreError> {
        if self.upload.is_none() {
            self.upload = Some(self.begin().await?);
        }
        let Some(upload) = self.upload.clone() else { return Ok(()) };
        while let Some(done) = self.tasks.try_join_next() {
            self.tags.push(joined(self.store.place(), &self.key, done)?);
        }
        self.number += 1;
        let body = std::mem::take(&mut self.buffer).freeze();
        let weight = units(body.len() as u64, self.base).min(units(self.base * PARALLEL, self.base));
        let permit = Arc::clone(&self.budget).acquire_many_owned(weight).await;
        let (store, key, number, offset) = (Arc::clone(&self.store), self.key.clone(), self.number, self.sent);
        self.sent += body.len() as u64;
        self.tasks.spawn(async move {
            let _permit = permit;
            store.put_part(&key, &upload, number, offset, body).await
        });
        Ok(())
    }

    /// Ends the upload and makes the object visible; returns its size.
    ///
    /// # Errors
    /// When a part could not be stored or the upload could not be completed; it is aborted then.
    pub async fn finish(mut self) -> Result<u64, StoreError> {
        let finished = self.complete().await;
        if finished.is_err() {
            self.clean().await;
        }
        finished
    }

    async fn complete(&mut self) -> Result<u64, StoreError> {
        if self.number == 0 {
            let body = std::mem::take(&mut self.buffer).freeze();
            let size = body.len() as u64;
            let options = PutOptions { role: StorageRole::Data, ..PutOptions::default() };
            let _overwrites_nothing_but_its_own_attempt = self.store.put(&self.key, body, options).await?;
            return Ok(size);
        }
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        while let Some(done) = self.tasks.join_next().await {
            self.tags.push(joined(self.store.place(), &self.key, done)?);
        }
        self.tags.sort_by_key(|tag| tag.number);
        if let Some(upload) = &self.upload {
            self.store.complete_upload(&self.key, upload, &self.tags, self.sent).await?;
        }
        // Completed: nothing is left to abort.
        self.upload = None;
        Ok(self.sent)
    }

    /// Ends the upload without an object.
    pub async fn abort(mut self) {
        self.clean().await;
    }

    async fn clean(&mut self) {
        // Parts first: one that arrives after the abort would bring the upload's storage back.
        self.tasks.shutdown().await;
        if let Some(upload) = self.upload.take()
            && let Err(error) = self.store.abort_upload(&self.key, &upload).await
        {
            tracing::warn!(key = self.key, %error, "an interrupted upload could not be aborted; garbage collection will");
        }
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (store, key, mut tasks) = (Arc::clone(&self.store), self.key.clone(), std::mem::take(&mut self.tasks));
        runtime.spawn(async move {
            tasks.shutdown().await;
            let _ = store.abort_upload(&key, &upload).await;
        });
    }
}

fn part_size(base: u64, number: u32) -> u64 {
    let doublings = (number.saturating_sub(1) / GROW_EVERY).saturating_sub(GROW_FROM / GROW_EVERY - 1);
    base << doublings.min(5)
}

/// Counts memory in sixteenths of a usual part, so that larger parts leave room for fewer others.
fn units(bytes: u64, base: u64) -> u32 {
    u32::try_from((bytes * 16).div_ceil(base)).unwrap_or(u32::MAX)
}

fn joined(
    place: &str,
    key: &str,
    done: Result<Result<PartTag, StoreError>, tokio::task::JoinError>,
) -> Result<PartTag, StoreError> {
    done.unwrap_or_else(|_| Err(task_died(place, key)))
}

fn task_died(place: &str, key: &str) -> StoreError {
    StoreError::Refused {
        place: place.to_owned(),
        action: format!("store a part of {key}"),
        detail: "the task that stored it died".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_a_tebibyte_without_an_estimate() {
        let total: u64 = (1..=10_000).map(|number| part_size(PART, number)).sum();
        assert!(total > 1024 * 1024 * MIB, "{total}");
        assert_eq!(part_size(PART, GROW_FROM), PART);
        assert_eq!(part_size(PART, GROW_FROM + 1), 2 * PART);
    }
}
