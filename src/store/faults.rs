//! Faults around any store, for tests and simulations: a request fails, loses its reply, is slow or late, lies, or never
//! comes to an end. The n-th request of a kind by [`Faulty::inject`], or whatever a [`Judge`] decides.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{
    Capabilities, ListPage, ObjectFacts, ObjectVersion, PartTag, PutOptions, PutOutcome, ReadStore, ServerClock,
    StorageRole, StoreError, UnfinishedUpload, UploadId, VersionPage, VersionsFrom, WriteStore,
};
use crate::domain::StoreSettings;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

impl Operation {
    /// Returns whether it changes what the store holds.
    #[must_use]
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::GetRange | Self::Head | Self::ListPage | Self::UnfinishedUploads)
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The request is not done; the store says to come back later.
    Busy,
    /// The request is done and its reply is lost.
    LostReply,
    /// The request is refused for good.
    Denied,
    /// There is no room.
    Full,
    /// The connection breaks before the request is done.
    Dropped,
    /// The request is done; after so long, whatever has become of who made it. That one hears then that nobody answered.
    Late(Duration),
    /// The request is done, and made once more by somebody who did not hear: a conditional one meets its own object.
    Echo,
    /// A listing ends half-way and says that it is whole; one object it shows.
    Truncated,
    /// A listing lacks these keys.
    Without(Arc<BTreeSet<String>>),
    /// A bit of what is read is another one; this number says which.
    Flipped(u64),
    /// Who makes the request is gone before it is done: it never ends.
    Hang,
    /// Who made the request is gone when it is done: it never ends.
    DoneThenHang,
}

/// What a [`Judge`] says of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// How long it takes.
    pub delay: Duration,
    /// What goes wrong then.
    pub fault: Option<Fault>,
}

/// Decides what becomes of a request: of which kind, and for which key or prefix.
pub type Judge = Arc<dyn Fn(Operation, &str) -> Judgement + Send + Sync>;

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
    judge: Option<Judge>,
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
        Self { inner, latency: Duration::ZERO, judge: None, state: Mutex::default() }
    }

    /// Puts a judge between a store and those who ask it.
    #[must_use]
    pub fn judged(inner: Arc<dyn WriteStore>, judge: Judge) -> Self {
        Self { judge: Some(judge), ..Self::new(inner) }
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
        Some(rule.fault.clone())
    }

    async fn pass<T, F>(&self, operation: Operation, key: &str, request: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.changed(operation, key, request, |answer, _| answer).await
    }

    /// The same for requests whose answer a fault may change.
    async fn changed<T, F>(
        &self,
        operation: Operation,
        key: &str,
        request: F,
        change: impl FnOnce(T, &Fault) -> T + Send,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let judged = self.judge.as_ref().map_or_else(Judgement::default, |judge| judge(operation, key));
        let fault = self.next_fault(operation).or(judged.fault);
        let _under_way = UnderWay::begin(&self.state, operation);
        let delay = self.latency + judged.delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let place = self.inner.place().to_owned();
        let action = format!("answer {operation:?}");
        let detail = "injected".to_owned();
        match fault {
            Some(Fault::Busy) => Err(StoreError::Busy { place, action, detail }),
            Some(Fault::LostReply) => {
                // What the request came to is lost with its reply.
                let _ = request.await;
                Err(StoreError::Busy { place, action, detail: "the reply was lost".to_owned() })
            }
            Some(Fault::Denied) => Err(StoreError::Denied { place, action, detail }),
            Some(Fault::Full) => Err(StoreError::Full { place, detail }),
            Some(Fault::Dropped) => Err(StoreError::Unreachable { place, detail }),
            Some(Fault::Late(by)) => {
                tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    let _ = request.await;
                });
                tokio::time::sleep(by).await;
                Err(StoreError::Unreachable { place, detail: "nobody answered in time".to_owned() })
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DoneThenHang) => {
                let _ = request.await;
                std::future::pending().await
            }
            Some(fault @ (Fault::Echo | Fault::Truncated | Fault::Without(_) | Fault::Flipped(_))) => {
                Ok(change(request.await?, &fault))
            }
            None => request.await,
        }
    }
}

fn flipped(bytes: Bytes, fault: &Fault) -> Bytes {
    let Fault::Flipped(number) = fault else { return bytes };
    let mut bytes = BytesMut::from(&bytes[..]);
    let bits = bytes.len() as u64 * 8;
    if let Some(bit) = number.checked_rem(bits)
        && let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| bytes.get_mut(at))
    {
        *byte ^= 1 << (bit % 8);
    }
    bytes.freeze()
}

fn shortened(mut page: ListPage, fault: &Fault) -> ListPage {
    match fault {
        Fault::Truncated => {
            page.objects.truncate(page.objects.len().div_ceil(2));
            page.next = None;
        }
        Fault::Without(keys) => page.objects.retain(|object| !keys.contains(&object.key)),
        _ => {}
    }
    page
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
        let (inner, own) = (Arc::clone(&self.inner), key.to_owned());
        self.changed(Operation::Get, key, async move { inner.get(&own, cap).await }, flipped).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (inner, own) = (Arc::clone(&self.inner), key.to_owned());
        self.changed(Operation::GetRange, key, async move { inner.get_range(&own, range).await }, flipped).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let (inner, own) = (Arc::clone(&self.inner), key.to_owned());
        self.pass(Operation::Head, key, async move { inner.head(&own).await }).await
    }

    async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<ListPage, StoreError> {
        let (inner, own, from) = (Arc::clone(&self.inner), prefix.to_owned(), from.map(str::to_owned));
        let request = async move { inner.list_page(&own, from.as_deref()).await };
        self.changed(Operation::ListPage, prefix, request, shortened).await
    }

    fn server_clock(&self) -> Option<ServerClock> {
        self.inner.server_clock()
    }

    fn retries(&self) -> u64 {
        self.inner.retries()
    }

    async fn uploads(&self, listed: &[&str]) -> Result<Option<Vec<UnfinishedUpload>>, StoreError> {
        let inner = Arc::clone(&self.inner);
        let listed: Vec<String> = listed.iter().map(|prefix| (*prefix).to_owned()).collect();
        let request = async move { inner.uploads(&listed.iter().map(String::as_str).collect::<Vec<_>>()).await };
        self.pass(Operation::UnfinishedUploads, "", request).await
    }

    async fn upload_size(&self, key: &str, upload: &UploadId) -> Result<Option<u64>, StoreError> {
        self.inner.upload_size(key, upload).await
    }

    async fn settings(&self) -> StoreSettings {
        self.inner.settings().await
    }

    async fn versions_page(
        &self,
        prefix: &str,
        from: Option<&VersionsFrom>,
    ) -> Result<Option<VersionPage>, StoreError> {
        self.inner.versions_page(prefix, from).await
    }

    async fn get_version(&self, version: &ObjectVersion, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (inner, own) = (Arc::clone(&self.inner), version.clone());
        let get = async move { inner.get_version(&own, range).await };
        self.changed(Operation::GetRange, &version.key, get, flipped).await
    }
}

#[async_trait]
impl WriteStore for Faulty {
    fn capabilities(&self) -> Option<Capabilities> {
        self.inner.capabilities()
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<PutOutcome, StoreError> {
        let (inner, own) = (Arc::clone(&self.inner), key.to_owned());
        let request = async move { inner.put(&own, body, options).await };
        let echo = |outcome, fault: &Fault| {
            if options.if_absent && *fault == Fault::Echo { PutOutcome::Exists } else { outcome }
        };
        self.changed(Operation::Put, key, request, echo).await
    }

    async fn begin_upload(&self, key: &str, role: StorageRole) -> Result<UploadId, StoreError> {
        let (inner, own) = (Arc::clone(&self.inner), key.to_owned());
        self.pass(Operation::BeginUpload, key, async move { inner.begin_upload(&own, role).await }).await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        let (inner, own, upload) = (Arc::clone(&self.inner), key.to_owned(), upload.clone());
        let request = async move { inner.put_part(&own, &upload, number, offset, body).await };
        self.pass(Operation::PutPart, key, request).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), StoreError> {
        let (inner, own, upload, parts) = (Arc::clone(&self.inner), key.to_owned(), upload.clone(), parts.to_vec());
        let request = async move { inner.complete_upload(&own, &upload, &parts, size).await };
        self.pass(Operation::CompleteUpload, key, request).await
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), StoreError> {
        let (inner, own, upload) = (Arc::clone(&self.inner), key.to_owned(), upload.clone());
        self.pass(Operation::AbortUpload, key, async move { inner.abort_upload(&own, &upload).await }).await
    }

    async fn unfinished_uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        let (inner, own) = (Arc::clone(&self.inner), prefix.to_owned());
        self.pass(Operation::UnfinishedUploads, prefix, async move { inner.unfinished_uploads(&own).await }).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let (inner, own) = (Arc::clone(&self.inner), key.to_owned());
        self.pass(Operation::Delete, key, async move { inner.delete(&own).await }).await
    }

    async fn delete_versions(
        &self,
        versions: &[ObjectVersion],
    ) -> Result<Vec<(ObjectVersion, StoreError)>, StoreError> {
        self.inner.delete_versions(versions).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        let (inner, own) = (Arc::clone(&self.inner), keys.to_vec());
        let first = keys.first().map_or("", String::as_str);
        self.pass(Operation::DeleteMany, first, async move { inner.delete_many(&own).await }).await
    }
}
