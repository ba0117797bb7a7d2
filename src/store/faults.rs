//! Faults around any store, for tests: the n-th request of a kind fails, loses its reply, or is slow.

use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Capabilities, ListPage, ObjectFacts, PartTag, PutOptions, PutOutcome, ReadStore, ServerClock, StorageRole,
    StoreError, UnfinishedUpload, UploadId, WriteStore,
};
use crate::domain::StoreSettings;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the methods of the traits, by name")]
pub enum Operation {
    Get,
    GetRange,
    Head,
    ListPage,
    Put,
    BeginUpload,
    PutPart,
    CompleteUpload,
    AbortUpload,
    UnfinishedUploads,
    Delete,
    DeleteMany,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request is not done; the store says to come back later.
    Busy,
    /// The request is done and its reply is lost.
    LostReply,
    /// The request is refused for good.
    Denied,
    /// There is no room.
    Full,
}

#[derive(Debug)]
struct Rule {
    operation: Operation,
    skip: u64,
    times: u64,
    fault: Fault,
}

/// A store with faults.
pub struct Faulty {
    inner: Arc<dyn WriteStore>,
    latency: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    calls: Vec<Operation>,
    under_way: Vec<Operation>,
    peaks: Vec<(Operation, usize)>,
}

impl Faulty {
    /// Puts a place for faults around a store.
    #[must_use]
    pub fn new(inner: Arc<dyn WriteStore>) -> Self {
        Self { inner, latency: Duration::ZERO, state: Mutex::default() }
    }

    /// Makes every request take this much longer.
    #[must_use]
    pub const fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Lets `skip` requests of a kind pass and makes the next `times` fail.
    pub fn inject(&self, operation: Operation, skip: u64, times: u64, fault: Fault) {
        self.lock().rules.push(Rule { operation, skip, times, fault });
    }

    /// Returns how many requests of a kind were made, failed ones too.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> usize {
        self.lock().calls.iter().filter(|call| **call == operation).count()
    }

    /// Returns how many requests of a kind were under way at once at most.
    #[must_use]
    pub fn peak(&self, operation: Operation) -> usize {
        self.lock().peaks.iter().filter(|(kind, _)| *kind == operation).map(|(_, peak)| *peak).max().unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self, operation: Operation) -> Option<Fault> {
        let mut state = self.lock();
        state.calls.push(operation);
        let rule = state.rules.iter_mut().find(|rule| rule.operation == operation && rule.times > 0)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.fault)
    }

    async fn pass<T, F>(&self, operation: Operation, request: F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let fault = self.next_fault(operation);
        let _under_way = UnderWay::begin(&self.state, operation);
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let place = self.inner.place().to_owned();
        let action = format!("answer {operation:?}");
        let detail = "injected".to_owned();
        match fault {
            None => request.await,
            Some(Fault::Busy) => Err(StoreError::Busy { place, action, detail }),
            Some(Fault::LostReply) => {
                // What the request came to is lost with its reply.
                let _ = request.await;
                Err(StoreError::Busy { place, action, detail: "the reply was lost".to_owned() })
            }
            Some(Fault::Denied) => Err(StoreError::Denied { place, action, detail }),
            Some(Fault::Full) => Err(StoreError::Full { place, detail }),
        }
    }
}

/// A request while it lasts; a cancelled one ends, too.
struct UnderWay<'a>(&'a Mutex<State>, Operation);

impl<'a> UnderWay<'a> {
    fn begin(state: &'a Mutex<State>, operation: Operation) -> Self {
        let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
        locked.under_way.push(operation);
        let now = locked.under_way.iter().filter(|kind| **kind == operation).count();
        match locked.peaks.iter_mut().find(|(kind, _)| *kind == operation) {
            Some((_, peak)) => *peak = (*peak).max(now),
            None => locked.peaks.push((operation, now)),
        }
        Self(state, operation)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = state.under_way.iter().position(|kind| *kind == self.1) {
            state.under_way.swap_remove(place);
        }
    }
}

#[async_trait]
impl ReadStore for Faulty {
    fn place(&self) -> &str {
        self.inner.place()
    }

    async fn get(&self, key: &str, cap: u64) -> Result<Bytes, StoreError> {
        self.pass(Operation::Get, self.inner.get(key, cap)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.pass(Operation::GetRange, self.inner.get_range(key, range)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        self.pass(Operation::Head, self.inner.head(key)).await
    }

    async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<ListPage, StoreError> {
        self.pass(Operation::ListPage, self.inner.list_page(prefix, from)).await
    }

    fn server_clock(&self) -> Option<ServerClock> {
        self.inner.server_clock()
    }

    fn retries(&self) -> u64 {
        self.inner.retries()
    }

    async fn uploads(&self, prefix: &str) -> Result<Option<Vec<UnfinishedUpload>>, StoreError> {
        self.pass(Operation::UnfinishedUploads, self.inner.uploads(prefix)).await
    }

    async fn upload_size(&self, key: &str, upload: &UploadId) -> Result<Option<u64>, StoreError> {
        self.inner.upload_size(key, upload).await
    }

    async fn settings(&self) -> StoreSettings {
        self.inner.settings().await
    }
}

#[async_trait]
impl WriteStore for Faulty {
    fn capabilities(&self) -> Option<Capabilities> {
        self.inner.capabilities()
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<PutOutcome, StoreError> {
        self.pass(Operation::Put, self.inner.put(key, body, options)).await
    }

    async fn begin_upload(&self, key: &str, role: StorageRole) -> Result<UploadId, StoreError> {
        self.pass(Operation::BeginUpload, self.inner.begin_upload(key, role)).await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        self.pass(Operation::PutPart, self.inner.put_part(key, upload, number, offset, body)).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), StoreError> {
        self.pass(Operation::CompleteUpload, self.inner.complete_upload(key, upload, parts, size)).await
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), StoreError> {
        self.pass(Operation::AbortUpload, self.inner.abort_upload(key, upload)).await
    }

    async fn unfinished_uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        self.pass(Operation::UnfinishedUploads, self.inner.unfinished_uploads(prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.pass(Operation::Delete, self.inner.delete(key)).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        self.pass(Operation::DeleteMany, self.inner.delete_many(keys)).await
    }
}
