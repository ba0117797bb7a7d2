//! A store that counts the bytes it took: what progress is drawn from.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Capabilities, ListPage, ObjectFacts, ObjectVersion, PartTag, PutOptions, PutOutcome, ReadStore, ServerClock,
    StorageRole, StoreError, UnfinishedUpload, UploadId, VersionPage, VersionsFrom, WriteStore,
};

/// A store whose writes are counted.
pub struct Metered {
    inner: Arc<dyn WriteStore>,
    bytes: Arc<AtomicU64>,
}

impl Metered {
    /// Counts the bytes that `inner` takes, once it has taken them.
    #[must_use]
    pub fn new(inner: Arc<dyn WriteStore>, bytes: Arc<AtomicU64>) -> Self {
        Self { inner, bytes }
    }
}

#[async_trait]
impl ReadStore for Metered {
    fn place(&self) -> &str {
        self.inner.place()
    }

    async fn get(&self, key: &str, cap: u64) -> Result<Bytes, StoreError> {
        self.inner.get(key, cap).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get_range(key, range).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        self.inner.head(key).await
    }

    async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<ListPage, StoreError> {
        self.inner.list_page(prefix, from).await
    }

    fn server_clock(&self) -> Option<ServerClock> {
        self.inner.server_clock()
    }

    fn retries(&self) -> u64 {
        self.inner.retries()
    }

    async fn versions_page(
        &self,
        prefix: &str,
        from: Option<&VersionsFrom>,
    ) -> Result<Option<VersionPage>, StoreError> {
        self.inner.versions_page(prefix, from).await
    }

    async fn get_version(&self, version: &ObjectVersion, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get_version(version, range).await
    }
}

#[async_trait]
impl WriteStore for Metered {
    fn capabilities(&self) -> Option<Capabilities> {
        self.inner.capabilities()
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<PutOutcome, StoreError> {
        let size = body.len() as u64;
        let outcome = self.inner.put(key, body, options).await?;
        self.bytes.fetch_add(size, Ordering::Relaxed);
        Ok(outcome)
    }

    async fn begin_upload(&self, key: &str, role: StorageRole) -> Result<UploadId, StoreError> {
        self.inner.begin_upload(key, role).await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        let size = body.len() as u64;
        let tag = self.inner.put_part(key, upload, number, offset, body).await?;
        self.bytes.fetch_add(size, Ordering::Relaxed);
        Ok(tag)
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), StoreError> {
        self.inner.complete_upload(key, upload, parts, size).await
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), StoreError> {
        self.inner.abort_upload(key, upload).await
    }

    async fn unfinished_uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        self.inner.unfinished_uploads(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }

    async fn delete_versions(
        &self,
        versions: &[ObjectVersion],
    ) -> Result<Vec<(ObjectVersion, StoreError)>, StoreError> {
        self.inner.delete_versions(versions).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        self.inner.delete_many(keys).await
    }
}
