//! The interface of a store: single requests, nothing held in memory beyond one request's bytes.
//!
//! Keys are relative to the store's prefix and of the form that [`super::layout::check_key`] accepts; every backend
//! refuses others. No method retries; [`super::Retrying`] does that around all of them.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::domain::{Digest, Instant, StoreSettings};

/// What a store says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Its key below the store's prefix.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the store's clock; absent where the store does not say.
    pub modified: Option<Instant>,
}

/// One page of a listing, in the order of the keys' bytes within each backend's own rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// The objects.
    pub objects: Vec<ObjectFacts>,
    /// Unfinished uploads between them, where the store keeps those among its objects; see [`ReadStore::uploads`].
    pub uploads: Vec<UnfinishedUpload>,
    /// Where to go on; absent on the last page.
    pub next: Option<String>,
}

/// The store's clock as it was last heard.
#[derive(Debug, Clone, Copy)]
pub struct ServerClock {
    /// What the store said, to the second.
    pub said: Instant,
    /// When it was heard, on this process's monotonic clock.
    pub heard: std::time::Instant,
}

impl ServerClock {
    /// Returns how far the store's clock is ahead of `now`; negative when it is behind.
    #[must_use]
    pub fn ahead_of(&self, now: Instant) -> SignedDuration {
        let elapsed = SignedDuration::try_from(self.heard.elapsed()).unwrap_or(SignedDuration::MAX);
        self.said.duration_since(now).saturating_add(elapsed)
    }
}

/// What a store was found to honour, by writing. Remembered in the catalog, since a planner must not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// A PUT with `If-None-Match: *` is refused when the object is there.
    pub conditional_writes: bool,
    /// A body that does not match its CRC32C is refused.
    pub crc32c: bool,
    /// Multipart uploads work.
    pub multipart: bool,
    /// Unfinished multipart uploads can be listed, hence cleaned.
    pub lists_uploads: bool,
}

/// What an object is for; the policy's storage class is meant for data only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StorageRole {
    /// Small, read by every listing and restore: the store's default class.
    #[default]
    Record,
    /// Data: the class the policy asks for.
    Data,
}

/// How an object is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PutOptions {
    /// Ask the store to refuse when the key is taken. Whether it honours that is in [`Capabilities`]; use
    /// [`super::put_once`], which knows.
    pub if_absent: bool,
    /// The CRC32C to send; absent: computed where the store is known to check it.
    pub crc32c: Option<u32>,
    /// The body's SHA-256, where it was taken already: it is what is signed, so that the store refuses another body.
    /// Absent: taken anew.
    pub sha256: Option<Digest>,
    /// What the object is for.
    pub role: StorageRole,
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an object that was there before is not the one you wrote"]
pub enum PutOutcome {
    /// The object is there now, and is yours.
    Created,
    /// The key was taken; nothing was written.
    Exists,
}

/// The name a store gives to an upload in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadId(pub String);

/// A part that was stored, as the store wants it named on completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartTag {
    /// Its number, from 1.
    pub number: u32,
    /// Its entity tag.
    pub tag: String,
    /// Its CRC32C, where the store checks it.
    pub crc32c: Option<u32>,
}

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// The key it was for; for a folder, the folder it lies in.
    pub key: String,
    /// Its name.
    pub upload: UploadId,
    /// When it was begun, by the store's clock; absent where the store does not say.
    pub begun: Option<Instant>,
}

/// One version of an object, or a mark that says it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The object's key below the store's prefix.
    pub key: String,
    /// The store's name for the version.
    pub version: String,
    /// Its size in bytes; absent for a mark of deletion.
    pub size: Option<u64>,
    /// When it was written, by the store's clock; absent where the store does not say.
    pub modified: Option<Instant>,
    /// Its entity tag: equal ones of equal size are equal bytes, different ones say nothing. Absent for a mark.
    pub tag: Option<String>,
    /// Whether it is what the key stands for now.
    pub latest: bool,
}

/// Where a listing of versions goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionsFrom {
    /// The last key of the page before.
    pub key: String,
    /// The last version of that key, where the store says it.
    pub version: Option<String>,
}

/// One page of a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionPage {
    /// The versions, those of one key from the newest to the oldest, and then the marks.
    pub versions: Vec<ObjectVersion>,
    /// Where to go on; absent on the last page.
    pub next: Option<VersionsFrom>,
}

/// A store as a reader sees it.
#[async_trait]
pub trait ReadStore: Send + Sync {
    /// Returns the store's place for people: `s3://bucket/prefix`. Never holds a secret.
    fn place(&self) -> &str;

    /// Reads a whole small object.
    ///
    /// # Errors
    /// When it is missing, larger than `cap` bytes, or cannot be read.
    async fn get(&self, key: &str, cap: u64) -> Result<Bytes, StoreError>;

    /// Reads a range of an object; exactly the bytes asked for.
    ///
    /// # Errors
    /// When the object is missing, ends within the range, or cannot be read.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// Returns what the store says of an object, `None` when it is not there.
    ///
    /// # Errors
    /// When the store cannot be asked: not to know is not the same as absent.
    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError>;

    /// Lists objects whose key begins with `prefix`, from where an earlier page ended. [`super::list`] gives them all.
    ///
    /// # Errors
    /// When the store cannot be asked, or its listing is inconsistent.
    async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<ListPage, StoreError>;

    /// Returns the store's clock as last heard; `None` before the first answer and where there is no clock of its own.
    fn server_clock(&self) -> Option<ServerClock>;

    /// Returns how many requests have been repeated after a transient failure.
    fn retries(&self) -> u64 {
        0
    }

    /// Returns the unfinished uploads; `None` where the store cannot list them. Those that the listings of the prefixes
    /// `listed` have shown, in [`ListPage::uploads`], are not among them again.
    ///
    /// # Errors
    /// When the store refuses or cannot be reached.
    async fn uploads(&self, _listed: &[&str]) -> Result<Option<Vec<UnfinishedUpload>>, StoreError> {
        Ok(None)
    }

    /// Returns how many bytes an unfinished upload holds; `None` where the store does not say.
    ///
    /// # Errors
    /// When the store refuses or cannot be reached.
    async fn upload_size(&self, _key: &str, _upload: &UploadId) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Lists the versions of the objects whose key begins with `prefix`, the newest ones and the marks of deletion too, from
    /// where an earlier page ended. `None` where the store keeps none, or does not know the question.
    /// [`super::destroy_versions`] deletes them all.
    ///
    /// # Errors
    /// When the store cannot be asked, or denies it: what nobody sees may well be there.
    async fn versions_page(
        &self,
        _prefix: &str,
        _from: Option<&VersionsFrom>,
    ) -> Result<Option<VersionPage>, StoreError> {
        Ok(None)
    }

    /// Reads a range of one version of an object; exactly the bytes asked for.
    ///
    /// # Errors
    /// When the store keeps no versions, or not this one any longer; otherwise as [`ReadStore::get_range`].
    async fn get_version(&self, version: &ObjectVersion, _range: Range<u64>) -> Result<Bytes, StoreError> {
        let (place, key) = (self.place().to_owned(), version.key.clone());
        Err(StoreError::Invalid { place, key, what: "it keeps no versions".to_owned() })
    }

    /// Returns how the bucket or folder is set. Each setting is known or not by itself, so it never fails as a whole.
    async fn settings(&self) -> StoreSettings {
        StoreSettings::None
    }
}

/// A store as an executor sees it.
#[async_trait]
pub trait WriteStore: ReadStore {
    /// Returns what the store is known to honour; `None` before it was probed.
    fn capabilities(&self) -> Option<Capabilities>;

    /// Writes a whole object in one request.
    ///
    /// # Errors
    /// When the store refuses or cannot be reached.
    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<PutOutcome, StoreError>;

    /// Begins an upload in parts. Nothing is visible before [`WriteStore::complete_upload`].
    ///
    /// # Errors
    /// When the store refuses or cannot be reached.
    async fn begin_upload(&self, key: &str, role: StorageRole) -> Result<UploadId, StoreError>;

    /// Stores one part, numbered from 1, that begins at byte `offset` of the object.
    ///
    /// # Errors
    /// When the store refuses or cannot be reached.
    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Result<PartTag, StoreError>;

    /// Makes an upload's object of `size` bytes visible, whole and durable.
    ///
    /// # Errors
    /// When a part is missing, or the store refuses or cannot be reached.
    async fn complete_upload(
        &self,
        key: &str,
        upload: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), StoreError>;

    /// Ends an upload and frees its parts; one that is not there is no error.
    ///
    /// # Errors
    /// When the store refuses or cannot be reached.
    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), StoreError>;

    /// Lists the unfinished uploads of keys that begin with `prefix`.
    ///
    /// # Errors
    /// When the store refuses, cannot list them, or cannot be reached.
    async fn unfinished_uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError>;

    /// Deletes an object; one that is not there is no error.
    ///
    /// # Errors
    /// When the store refuses or cannot be reached.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Deletes versions, no more than a page of them; those that are not there are no error. Returns those that are still
    /// there, each with the reason.
    ///
    /// # Errors
    /// When the request as a whole fails.
    async fn delete_versions(
        &self,
        versions: &[ObjectVersion],
    ) -> Result<Vec<(ObjectVersion, StoreError)>, StoreError> {
        let what = "it keeps no versions".to_owned();
        let refused = |key: &str| StoreError::Invalid { place: self.place().to_owned(), key: key.to_owned(), what };
        versions.first().map_or(Ok(Vec::new()), |first| Err(refused(&first.key)))
    }

    /// Deletes objects, in the order given as far as the store has one; those that are not there are no error. Returns
    /// the keys that are still there, each with the reason.
    ///
    /// # Errors
    /// When the request as a whole fails.
    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError>;
}
