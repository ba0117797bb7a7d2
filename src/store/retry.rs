//! Retries with backoff around any store, for transient failures alone, each counted.

use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;

use super::{
    Capabilities, ListPage, ObjectFacts, ObjectVersion, PartTag, PutOptions, PutOutcome, ReadStore, ServerClock,
    StorageRole, StoreError, UnfinishedUpload, UploadId, VersionPage, VersionsFrom, WriteStore,
};
use crate::domain::StoreSettings;

/// How often and how long transient failures are retried. Delays double, with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many times a request is made again after it failed.
    pub times: usize,
    /// The first delay.
    pub first: Duration,
    /// The longest delay.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    /// Six more attempts over about ten seconds: a storm of 503 passes, a dead endpoint is told in time.
    fn default() -> Self {
        Self { times: 6, first: Duration::from_millis(150), longest: Duration::from_secs(5) }
    }
}

/// A store whose requests are retried.
pub struct Retrying {
    inner: Arc<dyn WriteStore>,
    policy: RetryPolicy,
    count: AtomicU64,
}

impl Retrying {
    /// Puts retries around a store.
    #[must_use]
    pub fn new(inner: Arc<dyn WriteStore>, policy: RetryPolicy) -> Self {
        Self { inner, policy, count: AtomicU64::new(0) }
    }

    async fn again<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        request: impl FnMut() -> F,
    ) -> Result<T, StoreError> {
        let backoff = ExponentialBuilder::default()
            .with_max_times(self.policy.times)
            .with_min_delay(self.policy.first)
            .with_max_delay(self.policy.longest)
            .with_jitter();
        request
            .retry(backoff)
            .when(StoreError::is_transient)
            .notify(|error: &StoreError, delay| {
                self.count.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, ?delay, "store request is repeated");
            })
            .await
    }
}

/// How far a deletion of many has come.
struct Rest<T> {
    /// What may still go.
    todo: Vec<T>,
    /// What the last request could not delete just then.
    later: Vec<(T, StoreError)>,
    /// What the store keeps.
    kept: Vec<(T, StoreError)>,
}

impl Retrying {
    /// Deletes many: what the store could not delete just now, of a request that it served otherwise, is asked for again
    /// like a request that failed.
    async fn rest<T, F>(
        &self,
        all: &[T],
        request: impl Fn(Vec<T>) -> F + Sync,
    ) -> Result<Vec<(T, StoreError)>, StoreError>
    where
        T: Clone + Send,
        F: Future<Output = Result<Vec<(T, StoreError)>, StoreError>> + Send,
    {
        let rest = Mutex::new(Rest { todo: all.to_vec(), later: Vec::new(), kept: Vec::new() });
        let lock = || rest.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self
            .again(|| async {
                let todo = lock().todo.clone();
                let (later, kept): (Vec<_>, Vec<_>) =
                    request(todo).await?.into_iter().partition(|(_, error)| error.is_transient());
                let first = later.first().map(|(_, error)| error.clone());
                let mut rest = lock();
                rest.kept.extend(kept);
                rest.todo = later.iter().map(|(item, _)| item.clone()).collect();
                rest.later = later;
                first.map_or(Ok(()), Err)
            })
            .await;
        let rest = rest.into_inner().unwrap_or_else(PoisonError::into_inner);
        match ended {
            Err(error) if rest.later.is_empty() => Err(error),
            _ => Ok(rest.kept.into_iter().chain(rest.later).collect()),
        }
    }
}

#[async_trait]
impl ReadStore for Retrying {
    fn place(&self) -> &str {
        self.inner.place()
    }

    async fn get(&self, key: &str, cap: u64) -> Result<Bytes, StoreError> {
        self.again(|| self.inner.get(key, cap)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.again(|| self.inner.get_range(key, range.clone())).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        self.again(|| self.inner.head(key)).await
    }

    async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<ListPage, StoreError> {
        self.again(|| self.inner.list_page(prefix, from)).await
    }

    fn server_clock(&self) -> Option<ServerClock> {
        self.inner.server_clock()
    }

    fn retries(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    async fn uploads(&self, listed: &[&str]) -> Result<Option<Vec<UnfinishedUpload>>, StoreError> {
        self.again(|| self.inner.uploads(listed)).await
    }

    async fn upload_size(&self, key: &str, upload: &UploadId) -> Result<Option<u64>, StoreError> {
        self.again(|| self.inner.upload_size(key, upload)).await
    }

    async fn settings(&self) -> StoreSettings {
        self.inner.settings().await
    }

    async fn versions_page(
        &self,
        prefix: &str,
        from: Option<&VersionsFrom>,
    ) -> Result<Option<VersionPage>, StoreError> {
        self.again(|| self.inner.versions_page(prefix, from)).await
    }

    async fn get_version(&self, version: &ObjectVersion, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.again(|| self.inner.get_version(version, range.clone())).await
    }
}

#[async_trait]
impl WriteStore for Retrying {
    fn capabilities(&self) -> Option<Capabilities> {
        self.inner.capabilities()
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<PutOutcome, StoreError> {
        // A checksum given by the caller is the probe's question; a refusal is its answer.
        if options.crc32c.is_some() {
            return self.inner.put(key, body, options).await;
        }
        let mut requests = 0;
        let outcome = self
            .again(|| {
                requests += 1;
                self.inner.put(key, body.clone(), options)
            })
            .await?;
        // The first request may have done its work before its reply was lost: then what exists is ours.
        if outcome == PutOutcome::Exists && requests > 1 {
            match self.get(key, body.len() as u64).await {
                Ok(found) if found == body => return Ok(PutOutcome::Created),
                Ok(_) | Err(StoreError::TooLarge { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }

    async fn begin_upload(&self, key: &str, role: StorageRole) -> Result<UploadId, StoreError> {
        self.again(|| self.inner.begin_upload(key, role)).await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        self.again(|| self.inner.put_part(key, upload, number, offset, body.clone())).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), StoreError> {
        let result = self.again(|| self.inner.complete_upload(key, upload, parts, size)).await;
        // Completed by a request whose reply was lost: the upload is gone because the object is there.
        if matches!(result, Err(StoreError::NoUpload { .. }))
            && self.head(key).await?.is_some_and(|facts| facts.size == size)
        {
            return Ok(());
        }
        result
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), StoreError> {
        self.again(|| self.inner.abort_upload(key, upload)).await
    }

    async fn unfinished_uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        self.again(|| self.inner.unfinished_uploads(prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.again(|| self.inner.delete(key)).await
    }

    async fn delete_versions(
        &self,
        versions: &[ObjectVersion],
    ) -> Result<Vec<(ObjectVersion, StoreError)>, StoreError> {
        self.rest(versions, |some| async move { self.inner.delete_versions(&some).await }).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        self.rest(keys, |some| async move { self.inner.delete_many(&some).await }).await
    }
}
