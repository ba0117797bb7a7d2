//! A store some of whose objects are read as they once were: by a version of theirs, whatever their keys stand for now.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    ListPage, ObjectFacts, ObjectVersion, ReadStore, ServerClock, StoreError, UnfinishedUpload, UploadId, VersionPage,
    VersionsFrom,
};
use crate::domain::StoreSettings;

/// A store with pins. Listings show what is there now.
pub struct Pinned {
    inner: Arc<dyn ReadStore>,
    versions: BTreeMap<String, (ObjectVersion, u64)>,
}

impl Pinned {
    /// Reads each of these versions in place of what its key stands for. Marks of deletion hold nothing to be read, and
    /// are left out.
    #[must_use]
    pub fn new(inner: Arc<dyn ReadStore>, versions: impl IntoIterator<Item = ObjectVersion>) -> Self {
        let readable = |version: ObjectVersion| version.size.map(|size| (version.key.clone(), (version, size)));
        Self { inner, versions: versions.into_iter().filter_map(readable).collect() }
    }
}

#[async_trait]
impl ReadStore for Pinned {
    fn place(&self) -> &str {
        self.inner.place()
    }

    async fn get(&self, key: &str, cap: u64) -> Result<Bytes, StoreError> {
        match self.versions.get(key) {
            None => self.inner.get(key, cap).await,
            Some((_, size)) if *size > cap => {
                Err(StoreError::TooLarge { place: self.place().to_owned(), key: key.to_owned(), cap })
            }
            Some((version, size)) => self.inner.get_version(version, 0..*size).await,
        }
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        match self.versions.get(key) {
            None => self.inner.get_range(key, range).await,
            Some((version, _)) => self.inner.get_version(version, range).await,
        }
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        match self.versions.get(key) {
            None => self.inner.head(key).await,
            Some((version, size)) => {
                Ok(Some(ObjectFacts { key: key.to_owned(), size: *size, modified: version.modified }))
            }
        }
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

    async fn uploads(&self, listed: &[&str]) -> Result<Option<Vec<UnfinishedUpload>>, StoreError> {
        self.inner.uploads(listed).await
    }

    async fn upload_size(&self, key: &str, upload: &UploadId) -> Result<Option<u64>, StoreError> {
        self.inner.upload_size(key, upload).await
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

    async fn settings(&self) -> StoreSettings {
        self.inner.settings().await
    }
}
