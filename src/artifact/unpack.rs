//! From an object back to its bytes, proving on the way that they are what the manifest says.

use std::io::{self, Read};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::decompress::decompressing;
use super::pack::SMALL;
use super::{ArtifactError, Damage, PipeWriter, Sent};
use crate::crypto::{ContentHasher, CryptoError, DigestKey, Identity, PlainHasher, decrypting};
use crate::domain::{Compression, DataPart, Digest, PlainDigest};
use crate::store::{READ_MEMORY, ReadStore, StoreError, read};

/// How much is handed to the consumer at once.
const PIECE: usize = 1024 * 1024;
/// Up to how much is read back by one request, in one piece.
const WHOLE: u64 = 1024 * 1024;

/// The most memory one [`unpack`] holds, apart from its pipe's pieces: the ranges read ahead, one waiting, and what a
/// decompressor keeps.
pub const UNPACK_MEMORY: u64 = READ_MEMORY + 40 * 1024 * 1024;

/// What opens and proves a part.
#[derive(Debug, Clone, Default)]
pub struct UnpackKeys {
    /// The attempt's identity, from its key object; absent where nothing is encrypted.
    pub identity: Option<Identity>,
    /// The key of the content digests, from the key object or the catalog; absent where the manifest names none.
    pub digest_key: Option<DigestKey>,
}

/// Streams a part's content into a pipe. The pipe is finished only after every size and digest agreed; whoever reads
/// it must not rely on anything before its end.
///
/// # Errors
/// When the object is missing, damaged or swapped, the identity does not fit, the store fails, or the consumer went
/// away. The pipe then ends with the same words.
pub async fn unpack(
    store: Arc<dyn ReadStore>,
    part: &DataPart,
    keys: UnpackKeys,
    sink: PipeWriter,
) -> Result<(), ArtifactError> {
    let expected = match Expected::of(part, &keys) {
        Ok(expected) => expected,
        Err(error) => return fail(sink, error).await,
    };
    if let Err(error) = check_size(store.as_ref(), part).await {
        return fail(sink, error).await;
    }
    let (sender, pieces) = mpsc::channel(1);
    let mut stream = read(store, &part.key, part.size);
    // Ends by itself: when the stream does, or when the thread below drops its end.
    let reading = tokio::spawn(async move {
        while let Some(piece) = stream.next().await {
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    });
    let key = part.key.clone();
    let (sink, result) = tokio::task::spawn_blocking(move || {
        let result = open(&expected, &keys, pieces, &sink);
        (sink, result)
    })
    .await
    .map_err(|error| ArtifactError::Broken { key: key.clone(), detail: format!("a thread died: {error}") })?;
    reading.abort();
    match result {
        Ok(()) => sink.finish().await.map_err(|_| ArtifactError::Consumer { key }),
        Err(error) => fail(sink, error).await,
    }
}

async fn fail(sink: PipeWriter, error: ArtifactError) -> Result<(), ArtifactError> {
    sink.fail(error.to_string()).await;
    Err(error)
}

/// Reads a part and proves its size and ciphertext digest; needs no identity.
///
/// # Errors
/// When the object is missing or damaged, or the store fails.
pub async fn read_back(store: Arc<dyn ReadStore>, part: &DataPart) -> Result<(), ArtifactError> {
    let expected: Digest = digest_of(part, &part.ciphertext_sha256)?;
    if part.size <= WHOLE {
        // One question instead of three: what is longer or shorter tells so by itself.
        let object = whole(store.as_ref(), part).await?;
        return if digest_whole(&object).await == expected { Ok(()) } else { Err(damaged(part)) };
    }
    check_size(store.as_ref(), part).await?;
    // Hashed elsewhere than read, so that neither waits for the other.
    let (sender, mut pieces) = mpsc::channel::<Bytes>(1);
    let hashing = tokio::task::spawn_blocking(move || {
        let mut hasher = ContentHasher::new(None);
        while let Some(piece) = pieces.blocking_recv() {
            hasher.update(&piece);
        }
        hasher.finish()
    });
    let died = |detail: String| ArtifactError::Broken { key: part.key.clone(), detail };
    let mut stream = read(store, &part.key, part.size);
    while let Some(piece) = stream.next().await {
        sender.send(piece?).await.map_err(|_| died("a thread stopped early".to_owned()))?;
    }
    drop(sender);
    let found = hashing.await.map_err(|error| died(format!("a thread died: {error}")))?;
    if found == expected { Ok(()) } else { Err(damaged(part)) }
}

/// Reads back a part that is still at hand, as [`read_back`] does: what is equal to the bytes whose digest was taken has
/// that digest, and to compare costs little.
///
/// # Errors
/// As [`read_back`].
pub async fn read_back_sent(store: Arc<dyn ReadStore>, sent: &Sent) -> Result<(), ArtifactError> {
    let Sent { part, object } = sent;
    if part.size > WHOLE {
        return read_back(store, part).await;
    }
    let found = whole(store.as_ref(), part).await?;
    let mut left = &found[..];
    let same = object.iter().all(|piece| left.split_off(..piece.len()).is_some_and(|next| next == piece));
    if same && left.is_empty() { Ok(()) } else { Err(damaged(part)) }
}

/// Reads an object of the size that it should have.
async fn whole(store: &dyn ReadStore, part: &DataPart) -> Result<Bytes, ArtifactError> {
    match store.get(&part.key, part.size).await {
        Ok(bytes) if bytes.len() as u64 == part.size => Ok(bytes),
        Ok(bytes) => Err(size_differs(part, bytes.len() as u64)),
        Err(StoreError::TooLarge { .. }) => {
            check_size(store, part).await?;
            Err(damaged(part))
        }
        Err(error) => Err(error.into()),
    }
}

fn damaged(part: &DataPart) -> ArtifactError {
    ArtifactError::Damaged { key: part.key.clone(), damage: Damage::Ciphertext }
}

/// A cut or lengthened object is told before a byte of it is used.
async fn check_size(store: &dyn ReadStore, part: &DataPart) -> Result<(), ArtifactError> {
    let missing = || StoreError::NotFound { place: store.place().to_owned(), key: part.key.clone() };
    let found = store.head(&part.key).await?.ok_or_else(missing)?.size;
    if found == part.size {
        return Ok(());
    }
    Err(size_differs(part, found))
}

fn size_differs(part: &DataPart, found: u64) -> ArtifactError {
    ArtifactError::Damaged { key: part.key.clone(), damage: Damage::Size { found, expected: part.size } }
}

/// Digests on this thread what is done sooner than another one is found.
async fn digest_whole(bytes: &Bytes) -> Digest {
    let digest = |bytes: &Bytes| {
        let mut hasher = ContentHasher::new(None);
        hasher.update(bytes);
        hasher.finish()
    };
    if bytes.len() <= SMALL {
        return digest(bytes);
    }
    let own = bytes.clone();
    // A thread that died leaves the work to this one.
    tokio::task::spawn_blocking(move || digest(&own)).await.unwrap_or_else(|_| digest(bytes))
}

fn digest_of<D: FromStr<Err = String>>(part: &DataPart, text: &str) -> Result<D, ArtifactError> {
    text.parse().map_err(|what| ArtifactError::Entry { key: part.key.clone(), what })
}

/// A part's entry, understood.
struct Expected {
    key: String,
    compression: Compression,
    encrypted: bool,
    size: u64,
    original_size: u64,
    ciphertext: Digest,
    content: PlainDigest,
}

impl Expected {
    fn of(part: &DataPart, keys: &UnpackKeys) -> Result<Self, ArtifactError> {
        if part.encrypted && keys.identity.is_none() {
            return Err(ArtifactError::NeedsIdentity { key: part.key.clone() });
        }
        Ok(Self {
            key: part.key.clone(),
            compression: Compression::try_from(part.compression.clone())
                .map_err(|what| ArtifactError::Entry { key: part.key.clone(), what })?,
            encrypted: part.encrypted,
            size: part.size,
            original_size: part.original_size,
            ciphertext: digest_of(part, &part.ciphertext_sha256)?,
            content: digest_of(part, &part.plaintext_digest)?,
        })
    }

    fn damaged(&self, damage: Damage) -> ArtifactError {
        ArtifactError::Damaged { key: self.key.clone(), damage }
    }
}

/// Where on the way an error arose: readers are nested, and the outermost one only passes it on.
#[derive(Debug, Clone, Default)]
struct Trouble(Arc<Mutex<Option<ArtifactError>>>);

impl Trouble {
    fn note(&self, error: ArtifactError) {
        // The first one is the cause of the others.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn take(&self) -> Option<ArtifactError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn open(
    expected: &Expected,
    keys: &UnpackKeys,
    pieces: mpsc::Receiver<Result<Bytes, StoreError>>,
    sink: &PipeWriter,
) -> Result<(), ArtifactError> {
    let trouble = Trouble::default();
    let mut object = Object {
        pieces,
        current: Bytes::new(),
        hasher: ContentHasher::new(None),
        key: expected.key.clone(),
        left: expected.size,
        trouble: trouble.clone(),
    };
    let streamed = stream(expected, keys, &mut object, &trouble, sink);
    // What an inner reader noted is the cause; the outer ones only know that something was wrong.
    streamed.map_err(|error| trouble.take().unwrap_or(error))?;
    // The age file or the last frame may end before the object does.
    io::copy(&mut object, &mut io::sink())
        .map_err(|error| trouble.take().unwrap_or_else(|| expected.damaged(Damage::Encryption(error.to_string()))))?;
    if object.hasher.finish() == expected.ciphertext { Ok(()) } else { Err(expected.damaged(Damage::Ciphertext)) }
}

fn stream(
    expected: &Expected,
    keys: &UnpackKeys,
    object: &mut Object,
    trouble: &Trouble,
    sink: &PipeWriter,
) -> Result<(), ArtifactError> {
    let plain: Box<dyn Read + '_> = match keys.identity.as_ref().filter(|_| expected.encrypted) {
        Some(identity) => {
            let opened = decrypting(&expected.key, object, std::slice::from_ref(identity));
            let inner = opened.map_err(|error| match error {
                CryptoError::Damaged { what, .. } => expected.damaged(Damage::Encryption(what)),
                error => error.into(),
            })?;
            Box::new(Decrypted { inner, key: expected.key.clone(), trouble: trouble.clone() })
        }
        None => Box::new(object),
    };
    let broken = |error: io::Error| expected.damaged(Damage::Compression(error.to_string()));
    let mut content = decompressing(expected.compression, plain).map_err(broken)?;
    let mut hasher = PlainHasher::like(expected.content, keys.digest_key.as_ref());
    let mut size: u64 = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        content.by_ref().take(PIECE as u64).read_to_end(&mut piece).map_err(broken)?;
        if piece.is_empty() {
            break;
        }
        size += piece.len() as u64;
        // A small object that unpacks without end is stopped where it should have ended.
        if size > expected.original_size {
            return Err(expected.damaged(Damage::Content));
        }
        hasher.update(&piece);
        sink.send_blocking(Bytes::from(piece)).map_err(|_| ArtifactError::Consumer { key: expected.key.clone() })?;
    }
    if size == expected.original_size && hasher.finish() == expected.content {
        Ok(())
    } else {
        Err(expected.damaged(Damage::Content))
    }
}

/// The object's bytes as they come from the store, hashed.
struct Object {
    pieces: mpsc::Receiver<Result<Bytes, StoreError>>,
    current: Bytes,
    hasher: ContentHasher,
    key: String,
    left: u64,
    trouble: Trouble,
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                None if self.left == 0 => return Ok(0),
                None => {
                    // Not the object's fault: a backup must not be quarantined because a task was stopped.
                    let detail = "reading stopped early".to_owned();
                    self.trouble.note(ArtifactError::Broken { key: self.key.clone(), detail });
                    return Err(io::Error::other("reading stopped early"));
                }
                Some(Ok(bytes)) => {
                    self.left = self.left.saturating_sub(bytes.len() as u64);
                    self.hasher.update(&bytes);
                    self.current = bytes;
                }
                Some(Err(error)) => {
                    self.trouble.note(error.into());
                    return Err(io::Error::other("the store failed"));
                }
            }
        }
        let take = self.current.len().min(buffer.len());
        buffer[..take].copy_from_slice(&self.current.split_to(take));
        Ok(take)
    }
}

/// Decrypted bytes, with the place of a failure noted.
struct Decrypted<R> {
    inner: R,
    key: String,
    trouble: Trouble,
}

impl<R: Read> Read for Decrypted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect_err(|error| {
            let damage = Damage::Encryption(error.to_string());
            self.trouble.note(ArtifactError::Damaged { key: self.key.clone(), damage });
        })
    }
}
