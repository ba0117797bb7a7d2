//! From a pipe to an object: split into blocks, compress them side by side, encrypt, hash, upload.
//!
//! One thread feeds, [`WORKERS`] compress, one encrypts and hashes, and the caller's task uploads. Blocks go to the
//! workers in turn and are taken back in turn, so order needs no buffer. What is smaller than [`SMALL`] is not worth
//! waking anybody: the caller's task does it all.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::compress::{BLOCK, Compressor, Desk};
use super::{ArtifactError, PipeReader};
use crate::crypto::{ContentHasher, DigestKey, Encrypting, PlainHasher, Recipient, encrypting};
use crate::domain::{Compression, DataPart, Digest, PartKind, PlainDigest};
use crate::store::{UPLOAD_MEMORY, Uploader, WriteStore, put_whole};

/// Up to how much is packed, or read back, without threads: most tenants' archives are no larger.
pub(crate) const SMALL: usize = 64 * 1024;
/// How many threads compress.
const WORKERS: usize = 2;
/// How much is handed to the upload at once.
const PIECE: usize = 1024 * 1024;
/// How many such pieces may wait.
const PIECES: usize = 4;

/// The most memory one [`pack`] holds, apart from its pipe's pieces and the compressors' own tables: per worker one
/// block waiting, one being compressed, its frame, one frame waiting; the block being filled and the frame being
/// encrypted; then what came first, the pieces and the upload.
pub const PACK_MEMORY: u64 = (BLOCK * (WORKERS * 4 + 2) + SMALL + PIECE * (PIECES + 2)) as u64 + UPLOAD_MEMORY;

/// What is to be made of a pipe's bytes, and where.
pub struct PackRequest {
    /// The store.
    pub store: Arc<dyn WriteStore>,
    /// The object's key; it must be of this attempt alone.
    pub key: String,
    /// What the object holds.
    pub kind: PartKind,
    /// How it is compressed.
    pub compression: Compression,
    /// To whom it is encrypted: the attempt's data key; absent: it is not.
    pub recipient: Option<Recipient>,
    /// The key of the content's digest; absent: it has none.
    pub digest_key: Option<DigestKey>,
    /// The object's likely size, where there is an idea; only matters above 140 GiB.
    pub estimate: Option<u64>,
}

/// Packs everything a pipe gives into one object, and returns its entry for the manifest.
///
/// # Errors
/// When the source fails or ends without saying so, compression or encryption breaks, or the store fails. No object is
/// visible then, and an upload that was begun is aborted.
pub async fn pack(request: PackRequest, mut source: PipeReader) -> Result<DataPart, ArtifactError> {
    let mut first = Vec::new();
    while first.iter().map(Bytes::len).sum::<usize>() <= SMALL {
        match source.next().await {
            Some(Ok(piece)) => first.push(piece),
            Some(Err(error)) => return Err(ArtifactError::Source { key: request.key, detail: error.to_string() }),
            None => return pack_whole(request, first).await.map(|sent| sent.part),
        }
    }
    let PackRequest { store, key, kind, compression, recipient, digest_key, estimate } = request;
    let broken = |detail: String| ArtifactError::Broken { key: key.clone(), detail };
    let workers = if compression == Compression::None { 0 } else { WORKERS };

    let (mut to_workers, mut from_workers, mut threads) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..workers {
        let (block_sender, blocks) = sync_channel(1);
        let (frame_sender, frames) = sync_channel(1);
        let compressor = Compressor::new(compression).map_err(|error| broken(error.to_string()))?;
        threads.push(spawn_blocking(move || compress(compressor, &blocks, &frame_sender)));
        to_workers.push(block_sender);
        from_workers.push(frames);
    }
    if workers == 0 {
        let (sender, blocks) = sync_channel(1);
        to_workers.push(sender);
        from_workers.push(blocks);
    }
    let encrypted = recipient.is_some();
    let (piece_sender, mut pieces) = mpsc::channel(PIECES);
    // An empty content still is one frame: an empty file is none to the standard tools.
    let at_least_one = workers > 0;
    let feeder =
        spawn_blocking(move || feed(first, source, PlainHasher::new(digest_key.as_ref()), &to_workers, at_least_one));
    let sealer = spawn_blocking(move || seal(recipient.as_ref(), &from_workers, piece_sender));

    let mut upload = Uploader::new(store, &key, estimate);
    while let Some(piece) = pieces.recv().await {
        if let Err(error) = upload.write(piece).await {
            // The threads find their ends closed; a source that is silent is not waited for.
            upload.abort().await;
            return Err(error.into());
        }
    }
    // The pieces also end when a thread fails or dies, so the object is completed only after all have said they did.
    let outcome = outcome(feeder, threads, sealer).await;
    match outcome {
        Ok((fed, sealed)) => {
            let size = upload.finish().await?;
            if size != sealed.size {
                return Err(broken(format!("{size} of {} bytes were uploaded", sealed.size)));
            }
            Ok(DataPart {
                kind,
                size,
                original_size: fed.size,
                ciphertext_sha256: sealed.digest.to_string(),
                plaintext_digest: fed.digest.to_string(),
                compression: compression.to_string(),
                encrypted,
                key,
            })
        }
        Err(failure) => {
            upload.abort().await;
            Err(match failure {
                Failure::Source(detail) => ArtifactError::Source { key, detail },
                Failure::Broken(detail) => ArtifactError::Broken { key, detail },
                Failure::Stopped => ArtifactError::Broken { key, detail: "a thread stopped early".to_owned() },
            })
        }
    }
}

/// A part that was packed whole.
#[derive(Debug)]
pub struct Sent {
    /// Its entry for the manifest.
    pub part: DataPart,
    /// What was uploaded, of which the entry's digest was taken.
    pub object: Vec<Bytes>,
}

/// Packs what is whole already and no larger than a few blocks, on one thread: where there are many of these, side by
/// side is what they are to each other.
///
/// # Errors
/// When compression or encryption breaks, or the store fails. No object is visible then.
pub async fn pack_whole(request: PackRequest, content: Vec<Bytes>) -> Result<Sent, ArtifactError> {
    let PackRequest { store, key, kind, compression, recipient, digest_key, estimate: _ } = request;
    let broken = |detail: String| ArtifactError::Broken { key: key.clone(), detail };
    let encrypted = recipient.is_some();
    let small = content.iter().map(Bytes::len).sum::<usize>() <= SMALL;
    let work = move || seal_whole(content, compression, recipient.as_ref(), digest_key.as_ref());
    // What is small is done sooner than a thread for it is found.
    let worked = if small {
        work()
    } else {
        spawn_blocking(work).await.map_err(|error| broken(format!("a thread died: {error}")))?
    };
    let Whole { sealed, original_size, plain, outer } = worked.map_err(|error| broken(error.to_string()))?;
    let size = put_whole(store, &key, sealed.clone(), outer).await?;
    let part = DataPart {
        kind,
        size,
        original_size,
        ciphertext_sha256: outer.to_string(),
        plaintext_digest: plain.to_string(),
        compression: compression.to_string(),
        encrypted,
        key,
    };
    Ok(Sent { part, object: sealed })
}

/// A content, compressed and encrypted.
struct Whole {
    sealed: Vec<Bytes>,
    original_size: u64,
    plain: PlainDigest,
    outer: Digest,
}

fn seal_whole(
    content: Vec<Bytes>,
    compression: Compression,
    recipient: Option<&Recipient>,
    digest_key: Option<&DigestKey>,
) -> io::Result<Whole> {
    let mut hasher = PlainHasher::new(digest_key);
    let mut desk = Desk::take(compression)?;
    let original_size = content.iter().map(Bytes::len).sum::<usize>();
    let mut sealing = Sealing::Begin { recipient, frames: original_size.div_ceil(BLOCK) };
    for mut piece in content {
        hasher.update(&piece);
        while !piece.is_empty() {
            let rest = piece.split_off(piece.len().min(desk.room()));
            desk.add(&piece);
            piece = rest;
            if desk.room() == 0 {
                sealing.take(desk.frame()?)?;
            }
        }
    }
    // An empty content still is one frame, if it is compressed.
    if !desk.is_empty() || original_size == 0 {
        sealing.take(desk.frame()?)?;
    }
    desk.keep();
    let sealed = sealing.finish()?;
    let mut outer = ContentHasher::new(None);
    sealed.iter().for_each(|frame| outer.update(frame));
    Ok(Whole { sealed, original_size: original_size as u64, plain: hasher.finish(), outer: outer.finish() })
}

/// The frames of one content on their way to what is uploaded.
enum Sealing<'a> {
    /// Before the first: how many may come.
    Begin {
        recipient: Option<&'a Recipient>,
        frames: usize,
    },
    Sealed(Box<Encrypting<Vec<u8>>>),
    Plain(Vec<Bytes>),
}

impl Sealing<'_> {
    fn take(&mut self, frame: &[u8]) -> io::Result<()> {
        if let Self::Begin { recipient, frames } = self {
            *self = match recipient {
                Some(recipient) => {
                    // Of one frame this is all: the header, and a tag for each 64 KiB.
                    let size = frame.len() * (*frames).max(1);
                    let output = Vec::with_capacity(size + size / 2048 + 1024);
                    Self::Sealed(Box::new(encrypting(recipient, output).map_err(io::Error::other)?))
                }
                None => Self::Plain(Vec::new()),
            };
        }
        match self {
            Self::Sealed(writer) => writer.write_all(frame),
            Self::Plain(frames) => {
                frames.push(Bytes::copy_from_slice(frame));
                Ok(())
            }
            Self::Begin { .. } => Ok(()),
        }
    }

    fn finish(self) -> io::Result<Vec<Bytes>> {
        match self {
            Self::Sealed(writer) => Ok(vec![Bytes::from(writer.finish()?)]),
            Self::Plain(frames) => Ok(frames),
            Self::Begin { .. } => Ok(Vec::new()),
        }
    }
}

#[derive(Debug)]
enum Failure {
    Source(String),
    Broken(String),
    /// Another thread went away first and says why.
    Stopped,
}

struct End<D> {
    size: u64,
    digest: D,
    blocks: u64,
}

async fn outcome(
    feeder: JoinHandle<Result<End<PlainDigest>, Failure>>,
    workers: Vec<JoinHandle<Result<(), Failure>>>,
    sealer: JoinHandle<Result<End<Digest>, Failure>>,
) -> Result<(End<PlainDigest>, End<Digest>), Failure> {
    let died = |error: tokio::task::JoinError| Failure::Broken(format!("a thread died: {error}"));
    let mut failures = Vec::new();
    for worker in workers {
        failures.extend(worker.await.unwrap_or_else(|error| Err(died(error))).err());
    }
    let sealed = sealer.await.unwrap_or_else(|error| Err(died(error)));
    let fed = feeder.await.unwrap_or_else(|error| Err(died(error)));
    match (fed, sealed) {
        (Ok(fed), Ok(sealed)) if failures.is_empty() => {
            if fed.blocks == sealed.blocks {
                Ok((fed, sealed))
            } else {
                Err(Failure::Broken(format!("{} of {} blocks came through", sealed.blocks, fed.blocks)))
            }
        }
        (fed, sealed) => {
            failures.extend(fed.err());
            failures.extend(sealed.err());
            // Whoever failed by itself knows more than those that found the others gone.
            let first = failures.iter().position(|failure| !matches!(failure, Failure::Stopped)).unwrap_or(0);
            Err(failures.swap_remove(first))
        }
    }
}

fn feed(
    first: Vec<Bytes>,
    mut source: PipeReader,
    mut hasher: PlainHasher,
    workers: &[SyncSender<io::Result<Vec<u8>>>],
    at_least_one: bool,
) -> Result<End<PlainDigest>, Failure> {
    let (mut size, mut blocks) = (0, 0);
    let mut block = Vec::new();
    let mut send = |block: Vec<u8>| {
        let worker = &workers[blocks as usize % workers.len()];
        blocks += 1;
        worker.send(Ok(block)).map_err(|_| Failure::Stopped)
    };
    for piece in first.into_iter().map(Ok).chain(std::iter::from_fn(|| source.next_blocking())) {
        let mut piece = piece.map_err(|error| Failure::Source(error.to_string()))?;
        hasher.update(&piece);
        size += piece.len() as u64;
        while !piece.is_empty() {
            if block.capacity() == 0 {
                block.reserve_exact(BLOCK);
            }
            let rest = piece.split_off(piece.len().min(BLOCK - block.len()));
            block.extend_from_slice(&piece);
            piece = rest;
            if block.len() == BLOCK {
                send(std::mem::take(&mut block))?;
            }
        }
    }
    if !block.is_empty() || (at_least_one && size == 0) {
        send(block)?;
    }
    Ok(End { size, digest: hasher.finish(), blocks })
}

fn compress(
    mut compressor: Compressor,
    blocks: &Receiver<io::Result<Vec<u8>>>,
    frames: &SyncSender<io::Result<Vec<u8>>>,
) -> Result<(), Failure> {
    while let Ok(block) = blocks.recv() {
        let frame = block.and_then(|block| compressor.frame(block));
        frames.send(frame).map_err(|_| Failure::Stopped)?;
    }
    Ok(())
}

fn seal(
    recipient: Option<&Recipient>,
    workers: &[Receiver<io::Result<Vec<u8>>>],
    pieces: mpsc::Sender<Bytes>,
) -> Result<End<Digest>, Failure> {
    let failed = |error: io::Error| {
        if error.kind() == io::ErrorKind::BrokenPipe { Failure::Stopped } else { Failure::Broken(error.to_string()) }
    };
    let mut output = Pieces { pieces, buffer: BytesMut::new(), hasher: ContentHasher::new(None), size: 0 };
    let mut blocks: u64 = 0;
    let frames = std::iter::from_fn(|| {
        let frame = workers[blocks as usize % workers.len()].recv().ok()?;
        blocks += 1;
        Some(frame)
    });
    if let Some(recipient) = recipient {
        let mut writer = encrypting(recipient, &mut output).map_err(|error| Failure::Broken(error.to_string()))?;
        for frame in frames {
            writer.write_all(&frame.map_err(failed)?).map_err(failed)?;
        }
        writer.finish().map_err(failed)?;
    } else {
        for frame in frames {
            output.write_all(&frame.map_err(failed)?).map_err(failed)?;
        }
    }
    output.send().map_err(failed)?;
    Ok(End { size: output.size, digest: output.hasher.finish(), blocks })
}

/// Gathers what is written into pieces, hashes them, and hands them to the upload.
struct Pieces {
    pieces: mpsc::Sender<Bytes>,
    buffer: BytesMut,
    hasher: ContentHasher,
    size: u64,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = self.buffer.split().freeze();
        self.hasher.update(&piece);
        self.size += piece.len() as u64;
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(PIECE);
        }
        let take = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..take]);
        if self.buffer.len() >= PIECE {
            self.send()?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
