//! A local folder as a store, durable: a temporary file, its fsync, a link or rename into place, the folder's fsync.
//!
//! Work on files runs on the runtime's blocking threads. A write that was answered survives a power cut; one that was
//! not leaves at most a temporary file, `.bkup-tmp-...`, which no listing shows and garbage collection finds.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::layout::check_key;
use super::probe::crc32c;
use super::walk::{FileFacts, Found, Walk};
use super::{
    Capabilities, ListPage, ObjectFacts, PartTag, PutOptions, PutOutcome, ReadStore, ServerClock, StorageRole,
    StoreError, UnfinishedUpload, UploadId, WriteStore,
};
use crate::domain::{FolderSettings, Instant, Observation, StoreSettings};

const TEMPORARY: &str = ".bkup-tmp-";
const PAGE: usize = 1000;
/// How many listings at once go on where they stood. One that has to walk anew to where its last page ended reads every
/// name of the folders on its way: of one with ten thousand scopes, that is most of its work.
const RESTING: usize = 4;

/// A store in a folder.
#[derive(Debug, Clone)]
pub struct FolderStore {
    root: PathBuf,
    place: String,
    page: usize,
    /// Listings between two pages, the newest last.
    resting: Arc<Mutex<Vec<Walk>>>,
}

impl FolderStore {
    /// Opens a folder that is there. It is never made: a disk that is not mounted would look like a new store.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let place = format!("file://{}", root.display());
        let store = Self { root: root.to_owned(), place, page: PAGE, resting: Arc::default() };
        store.check_root()?;
        Ok(store)
    }

    /// Lists at most this many objects at once.
    #[must_use]
    pub fn with_pages_of(self, objects: usize) -> Self {
        Self { page: objects.max(1), ..self }
    }

    fn check_root(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.root) {
            Ok(facts) if facts.is_dir() => Ok(()),
            Ok(_) => Err(self.no_store("it is not a folder")),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(self.no_store("there is no such folder")),
            Err(error) => Err(self.failed("look at the folder", &error)),
        }
    }

    fn no_store(&self, what: &str) -> StoreError {
        StoreError::NoStore { place: self.place.clone(), what: what.to_owned() }
    }

    fn not_found(&self, key: &str) -> StoreError {
        StoreError::NotFound { place: self.place.clone(), key: key.to_owned() }
    }

    fn failed(&self, action: &str, error: &io::Error) -> StoreError {
        let (place, action, detail) = (self.place.clone(), action.to_owned(), error.to_string());
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                StoreError::Full { place, detail }
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::Denied { place, action, detail },
            ErrorKind::Interrupted | ErrorKind::TimedOut | ErrorKind::StaleNetworkFileHandle => {
                StoreError::Busy { place, action, detail }
            }
            _ => StoreError::Refused { place, action, detail },
        }
    }

    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    /// Makes the folders above a key durable, too: an fsynced file in a folder that is lost is lost.
    fn make_parent(&self, path: &Path) -> io::Result<PathBuf> {
        let parent = path.parent().unwrap_or(&self.root).to_owned();
        if parent.is_dir() {
            return Ok(parent);
        }
        // The root itself is not made again: it was there when the store was opened.
        let mut missing = Vec::new();
        let mut folder = parent.as_path();
        while folder != self.root && !folder.is_dir() {
            missing.push(folder.to_owned());
            folder = folder.parent().unwrap_or(&self.root);
        }
        for folder in missing.iter().rev() {
            match fs::DirBuilder::new().mode(0o750).create(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => sync_folder(folder.parent().unwrap_or(&self.root))?,
            }
        }
        Ok(parent)
    }

    /// Makes an empty file of its own beside `path`; the name is unique to processes and hosts by creation itself.
    fn temporary(&self, path: &Path) -> io::Result<(PathBuf, File)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut parent = self.make_parent(path)?;
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let temporary = parent.join(format!("{TEMPORARY}{}-{count}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o640).open(&temporary) {
                Ok(file) => return Ok((temporary, file)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                // A delete beside it took the folder away when it became empty.
                Err(error) if error.kind() == ErrorKind::NotFound && self.root.is_dir() => {
                    parent = self.make_parent(path)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn write_whole(&self, path: &Path, body: &[u8], if_absent: bool) -> io::Result<PutOutcome> {
        if if_absent && path.symlink_metadata().is_ok() {
            return Ok(PutOutcome::Exists);
        }
        let (temporary, mut file) = self.temporary(path)?;
        let placed = file.write_all(body).and_then(|()| file.sync_all()).and_then(|()| {
            if if_absent {
                // A link fails when the name is taken, atomically; a rename would replace.
                match fs::hard_link(&temporary, path) {
                    Ok(()) => Ok(PutOutcome::Created),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(PutOutcome::Exists),
                    Err(error) => Err(error),
                }
            } else {
                fs::rename(&temporary, path).map(|()| PutOutcome::Created)
            }
        });
        if if_absent || placed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        if let Some(parent) = path.parent() {
            sync_folder(parent)?;
        }
        placed
    }

    /// Deletes a file if it is there, and the folders that became empty by it; durable.
    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut parent = path.parent();
        while let Some(folder) = parent.filter(|folder| **folder != self.root) {
            // One that another writer just filled stays by itself: it is not empty.
            if sync_folder(folder).is_err() || fs::remove_dir(folder).is_err() {
                break;
            }
            parent = folder.parent();
        }
        match sync_folder(parent.unwrap_or(&self.root)) {
            // Another delete beside this one took it away.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    }

    fn upload_path(&self, key: &str, upload: &UploadId) -> Result<PathBuf, StoreError> {
        let name =
            upload.0.strip_prefix(TEMPORARY).filter(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
        if name.is_none() {
            return Err(StoreError::NoUpload { place: self.place.clone(), key: key.to_owned() });
        }
        // An unfinished upload is listed by its folder, with a slash at the end; one under way has its key.
        let path = match key.strip_suffix('/') {
            Some("") => self.root.clone(),
            Some(folder) => self.path(folder)?,
            None => self.path(key)?.parent().unwrap_or(&self.root).to_owned(),
        };
        Ok(path.join(&upload.0))
    }

    /// Runs work on files on a blocking thread.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Refused {
                place: self.place.clone(),
                action: "work on files".to_owned(),
                detail: error.to_string(),
            }),
        }
    }

    fn open_file(&self, key: &str) -> Result<(File, u64), StoreError> {
        let path = self.path(key)?;
        let open = || {
            let file = File::open(&path)?;
            let facts = file.metadata()?;
            if facts.is_file() { Ok((file, facts.len())) } else { Err(ErrorKind::NotFound.into()) }
        };
        open().map_err(|error: io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                self.check_root().err().unwrap_or_else(|| self.not_found(key))
            }
            _ => self.failed(&format!("read {key}"), &error),
        })
    }

    /// Takes the walk that rests where an earlier page ended; one that is not there any more begins anew behind it.
    fn walk_on(&self, prefix: &str, from: &str) -> io::Result<Walk> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let place = resting.iter().position(|walk| walk.rests_at(prefix, from));
        match place.filter(|_| !from.is_empty()).map(|place| resting.remove(place)) {
            Some(walk) => Ok(walk),
            None => Walk::begin(&self.root, prefix, from, &[]),
        }
    }

    fn rest(&self, walk: Walk) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.len() == RESTING {
            resting.remove(0);
        }
        resting.push(walk);
    }

    fn page(&self, prefix: &str, from: &str) -> io::Result<ListPage> {
        let mut walk = self.walk_on(prefix, from)?;
        let mut page = ListPage::default();
        let mut seen = 0;
        while let Some(found) = walk.next()? {
            if found.name().starts_with(TEMPORARY) {
                page.uploads.extend(unfinished(&walk, &found)?);
            }
            if found.name().starts_with('.') {
                continue;
            }
            seen += 1;
            let ends = seen == self.page;
            if ends {
                walk.rest_at(&found.key);
                page.next = Some(found.key.clone());
            }
            // Deleted since its name was read: it is not there.
            if let Some(FileFacts { size, modified }) = walk.facts(&found)? {
                page.objects.push(ObjectFacts { key: found.key, size, modified });
            }
            if ends {
                self.rest(walk);
                break;
            }
        }
        Ok(page)
    }

    fn unfinished_below(&self, folder: &str, but: &[&str]) -> Result<Vec<UnfinishedUpload>, StoreError> {
        let look = || {
            let mut walk = Walk::begin(&self.root, folder, "", but)?;
            let mut uploads = Vec::new();
            while let Some(found) = walk.next()? {
                if found.name().starts_with(TEMPORARY) {
                    uploads.extend(unfinished(&walk, &found)?);
                }
            }
            Ok(uploads)
        };
        look().map_err(|error| self.failed("list the folder", &error))
    }
}

/// Returns a temporary file as the upload that it is; none where it is gone by now.
fn unfinished(walk: &Walk, found: &Found) -> io::Result<Option<UnfinishedUpload>> {
    let key = if found.folder().is_empty() { "/" } else { found.folder() }.to_owned();
    let upload = UploadId(found.name().to_owned());
    Ok(walk.facts(found)?.map(|facts| UnfinishedUpload { key, upload, begun: facts.modified }))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn modified(facts: &fs::Metadata) -> Option<Instant> {
    Instant::try_from(facts.modified().ok()?).ok()
}

#[async_trait]
impl ReadStore for FolderStore {
    fn place(&self) -> &str {
        &self.place
    }

    async fn get(&self, key: &str, cap: u64) -> Result<Bytes, StoreError> {
        let key = key.to_owned();
        self.run(move |store| {
            let (file, size) = store.open_file(&key)?;
            let mut bytes = Vec::with_capacity(usize::try_from(size.min(cap)).unwrap_or(0));
            file.take(cap.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(|error| store.failed(&format!("read {key}"), &error))?;
            if bytes.len() as u64 > cap {
                return Err(StoreError::TooLarge { place: store.place.clone(), key, cap });
            }
            Ok(Bytes::from(bytes))
        })
        .await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let key = key.to_owned();
        self.run(move |store| {
            let (mut file, size) = store.open_file(&key)?;
            if range.start > range.end || range.end > size {
                let what = format!("it ends at byte {size}, before byte {}", range.end);
                return Err(StoreError::Invalid { place: store.place.clone(), key, what });
            }
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
            file.seek(SeekFrom::Start(range.start))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(|error| store.failed(&format!("read {key}"), &error))?;
            Ok(Bytes::from(bytes))
        })
        .await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let key = key.to_owned();
        self.run(move |store| match store.open_file(&key) {
            Ok((file, size)) => {
                let modified = file.metadata().ok().as_ref().and_then(modified);
                Ok(Some(ObjectFacts { key, size, modified }))
            }
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<ListPage, StoreError> {
        let (prefix, from) = (prefix.to_owned(), from.unwrap_or_default().to_owned());
        self.run(move |store| {
            store.check_root()?;
            store.page(&prefix, &from).map_err(|error| store.failed("list the folder", &error))
        })
        .await
    }

    fn server_clock(&self) -> Option<ServerClock> {
        None
    }

    async fn uploads(&self, listed: &[&str]) -> Result<Option<Vec<UnfinishedUpload>>, StoreError> {
        let listed: Vec<String> = listed.iter().map(|prefix| (*prefix).to_owned()).collect();
        let but = move |store: &Self| {
            store.unfinished_below("", &listed.iter().map(String::as_str).collect::<Vec<_>>()).map(Some)
        };
        self.run(but).await
    }

    async fn upload_size(&self, key: &str, upload: &UploadId) -> Result<Option<u64>, StoreError> {
        let path = self.upload_path(key, upload)?;
        // One that is gone by now was finished.
        self.run(move |_| Ok(fs::metadata(path).ok().map(|facts| facts.len()))).await
    }

    async fn settings(&self) -> StoreSettings {
        let read = self.run(|store| {
            let failed = |error: io::Error| store.failed("look at the folder", &error);
            let mode = fs::metadata(&store.root).map_err(failed)?.permissions().mode();
            Ok(FolderSettings { others_write: mode & 0o002 != 0, sticky: mode & 0o1000 != 0 })
        });
        StoreSettings::Folder(match read.await {
            Ok(settings) => Observation::Known(settings),
            Err(error) => Observation::Unreachable(error.to_string()),
        })
    }
}

#[async_trait]
impl WriteStore for FolderStore {
    fn capabilities(&self) -> Option<Capabilities> {
        Some(Capabilities { conditional_writes: true, crc32c: true, multipart: true, lists_uploads: true })
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<PutOutcome, StoreError> {
        let key = key.to_owned();
        self.run(move |store| {
            let path = store.path(&key)?;
            store.check_root()?;
            if options.crc32c.is_some_and(|sum| sum != crc32c(&body)) {
                let detail = "its CRC32C does not agree".to_owned();
                return Err(StoreError::DamagedInTransit { place: store.place.clone(), key, detail });
            }
            store
                .write_whole(&path, &body, options.if_absent)
                .map_err(|error| store.failed(&format!("write {key}"), &error))
        })
        .await
    }

    async fn begin_upload(&self, key: &str, _role: StorageRole) -> Result<UploadId, StoreError> {
        let key = key.to_owned();
        self.run(move |store| {
            let path = store.path(&key)?;
            store.check_root()?;
            let (temporary, _) =
                store.temporary(&path).map_err(|error| store.failed(&format!("write {key}"), &error))?;
            Ok(UploadId(temporary.file_name().unwrap_or_default().to_string_lossy().into_owned()))
        })
        .await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        let (key, upload) = (key.to_owned(), upload.clone());
        self.run(move |store| {
            let path = store.upload_path(&key, &upload)?;
            OpenOptions::new()
                .write(true)
                .open(path)
                .and_then(|file| file.write_all_at(&body, offset))
                .map_err(|error| store.failed(&format!("write {key}"), &error))?;
            Ok(PartTag { number, tag: number.to_string(), crc32c: None })
        })
        .await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &UploadId,
        _parts: &[PartTag],
        size: u64,
    ) -> Result<(), StoreError> {
        let (key, upload) = (key.to_owned(), upload.clone());
        self.run(move |store| {
            let (temporary, path) = (store.upload_path(&key, &upload)?, store.path(&key)?);
            let failed = |error: io::Error| store.failed(&format!("write {key}"), &error);
            let file = match File::open(&temporary) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(StoreError::NoUpload { place: store.place.clone(), key });
                }
                file => file.map_err(failed)?,
            };
            let found = file.metadata().map_err(failed)?.len();
            if found != size {
                let what = format!("its parts hold {found} bytes instead of {size}");
                return Err(StoreError::Invalid { place: store.place.clone(), key, what });
            }
            file.sync_all().map_err(failed)?;
            fs::rename(&temporary, &path).map_err(failed)?;
            sync_folder(path.parent().unwrap_or(&store.root)).map_err(failed)
        })
        .await
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), StoreError> {
        let (key, upload) = (key.to_owned(), upload.clone());
        self.run(move |store| {
            let path = store.upload_path(&key, &upload)?;
            store.remove(&path).map_err(|error| store.failed("delete a temporary file", &error))
        })
        .await
    }

    async fn unfinished_uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        // A temporary file stands beside its object, so the folder of the prefix is looked through as a whole.
        let folder = prefix.rfind('/').map_or("", |end| &prefix[..=end]).to_owned();
        self.run(move |store| store.unfinished_below(&folder, &[])).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.run(move |store| {
            let path = store.path(&key)?;
            store.check_root()?;
            store.remove(&path).map_err(|error| store.failed(&format!("delete {key}"), &error))
        })
        .await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        let mut left = Vec::new();
        for key in keys {
            if let Err(error) = self.delete(key).await {
                left.push((key.clone(), error));
            }
        }
        Ok(left)
    }
}
