//! A store in memory, for tests and simulations. Its manners can be set to those of lesser servers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::layout::check_key;
use super::probe::crc32c;
use super::{
    Capabilities, ListPage, ObjectFacts, PartTag, PutOptions, PutOutcome, ReadStore, ServerClock, StorageRole,
    StoreError, UnfinishedUpload, UploadId, WriteStore,
};

const PAGE: usize = 1000;

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    place: String,
    honours_conditions: bool,
    known: Option<Capabilities>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    begun: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new("memory")
    }
}

impl MemoryStore {
    /// Makes an empty store that honours everything and is known to.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            place: format!("memory://{name}"),
            honours_conditions: true,
            known: Some(Capabilities { conditional_writes: true, crc32c: true, multipart: true, lists_uploads: true }),
            state: Mutex::default(),
        }
    }

    /// Makes an empty store that silently ignores conditions, as some servers do, and was not probed yet.
    #[must_use]
    pub fn ignoring_conditions(name: &str) -> Self {
        Self { honours_conditions: false, known: None, ..Self::new(name) }
    }

    /// Returns every key, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    /// Returns an object's bytes.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<Bytes> {
        self.lock().objects.get(key).cloned()
    }

    /// Sets an object's bytes without asking, as damage does.
    pub fn set(&self, key: &str, bytes: Bytes) {
        self.lock().objects.insert(key.to_owned(), bytes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_found(&self, key: &str) -> StoreError {
        StoreError::NotFound { place: self.place.clone(), key: key.to_owned() }
    }

    fn no_upload(&self, key: &str) -> StoreError {
        StoreError::NoUpload { place: self.place.clone(), key: key.to_owned() }
    }
}

#[async_trait]
impl ReadStore for MemoryStore {
    fn place(&self) -> &str {
        &self.place
    }

    async fn get(&self, key: &str, cap: u64) -> Result<Bytes, StoreError> {
        check_key(key)?;
        let bytes = self.bytes(key).ok_or_else(|| self.not_found(key))?;
        if bytes.len() as u64 > cap {
            return Err(StoreError::TooLarge { place: self.place.clone(), key: key.to_owned(), cap });
        }
        Ok(bytes)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        check_key(key)?;
        let bytes = self.bytes(key).ok_or_else(|| self.not_found(key))?;
        match (usize::try_from(range.start), usize::try_from(range.end)) {
            (Ok(begin), Ok(end)) if begin <= end && end <= bytes.len() => Ok(bytes.slice(begin..end)),
            _ => Err(StoreError::Invalid {
                place: self.place.clone(),
                key: key.to_owned(),
                what: format!("it ends at byte {}, before byte {}", bytes.len(), range.end),
            }),
        }
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        check_key(key)?;
        let facts = |bytes: Bytes| ObjectFacts { key: key.to_owned(), size: bytes.len() as u64, modified: None };
        Ok(self.bytes(key).map(facts))
    }

    async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<ListPage, StoreError> {
        let state = self.lock();
        let begin = from.unwrap_or(prefix).to_owned();
        let mut objects: Vec<ObjectFacts> = state
            .objects
            .range(begin..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(PAGE + 1)
            .map(|(key, bytes)| ObjectFacts { key: key.clone(), size: bytes.len() as u64, modified: None })
            .collect();
        let next = if objects.len() > PAGE { objects.pop().map(|first| first.key) } else { None };
        Ok(ListPage { objects, next, ..ListPage::default() })
    }

    fn server_clock(&self) -> Option<ServerClock> {
        None
    }

    async fn uploads(&self, _listed: &[&str]) -> Result<Option<Vec<UnfinishedUpload>>, StoreError> {
        WriteStore::unfinished_uploads(self, "").await.map(Some)
    }
}

#[async_trait]
impl WriteStore for MemoryStore {
    fn capabilities(&self) -> Option<Capabilities> {
        self.known
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<PutOutcome, StoreError> {
        check_key(key)?;
        if options.crc32c.is_some_and(|sum| sum != crc32c(&body)) {
            return Err(StoreError::DamagedInTransit {
                place: self.place.clone(),
                key: key.to_owned(),
                detail: "its CRC32C does not agree".to_owned(),
            });
        }
        let mut state = self.lock();
        if options.if_absent && self.honours_conditions && state.objects.contains_key(key) {
            return Ok(PutOutcome::Exists);
        }
        state.objects.insert(key.to_owned(), body);
        Ok(PutOutcome::Created)
    }

    async fn begin_upload(&self, key: &str, _role: StorageRole) -> Result<UploadId, StoreError> {
        check_key(key)?;
        let mut state = self.lock();
        state.begun += 1;
        let id = format!("upload-{}", state.begun);
        state.uploads.insert(id.clone(), (key.to_owned(), BTreeMap::new()));
        Ok(UploadId(id))
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        _offset: u64,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        let mut state = self.lock();
        let (_, parts) = state.uploads.get_mut(&upload.0).ok_or_else(|| self.no_upload(key))?;
        parts.insert(number, body);
        Ok(PartTag { number, tag: number.to_string(), crc32c: None })
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        let (_, mut stored) = state.uploads.remove(&upload.0).ok_or_else(|| self.no_upload(key))?;
        let mut whole = BytesMut::new();
        for part in parts {
            whole.extend_from_slice(&stored.remove(&part.number).ok_or_else(|| self.no_upload(key))?);
        }
        if whole.len() as u64 != size {
            return Err(StoreError::Invalid {
                place: self.place.clone(),
                key: key.to_owned(),
                what: format!("its parts hold {} bytes instead of {size}", whole.len()),
            });
        }
        state.objects.insert(key.to_owned(), whole.freeze());
        Ok(())
    }

    async fn abort_upload(&self, _key: &str, upload: &UploadId) -> Result<(), StoreError> {
        self.lock().uploads.remove(&upload.0);
        Ok(())
    }

    async fn unfinished_uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        let open = |(id, (key, _)): (&String, &(String, BTreeMap<u32, Bytes>))| UnfinishedUpload {
            key: key.clone(),
            upload: UploadId(id.clone()),
            begun: None,
        };
        Ok(self.lock().uploads.iter().map(open).filter(|upload| upload.key.starts_with(prefix)).collect())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.lock().objects.remove(key);
        Ok(())
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        for key in keys {
            self.delete(key).await?;
        }
        Ok(Vec::new())
    }
}
