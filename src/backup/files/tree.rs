//! Writes what a walk finds into two pipes, the tar file and the list, on a thread that may block. Memory is bounded: a
//! few pieces of content, one line, and the names of files that have several.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use super::tally::Tally;
use crate::artifact::PipeWriter;
use crate::artifact::pax::{self, Extent, MOST_EXTENTS, PaxEntry, PaxKind};
use crate::crypto::{ContentHasher, DigestKey, SparseHasher};
use crate::domain::{FILE_LIST_FORMAT, FileKind, FileLine, FilePath};
use crate::engine::files::{Content, Entry, Facts, FilesError, Kind, LeftOut, Step, Walk};

/// How much goes into a pipe at once.
const PIECE: usize = 512 * 1024;
/// Up to which size a file is read whole before its head is written, so that one that changes meanwhile is read again.
const SMALL: u64 = 256 * 1024;
/// How often that is tried.
const TRIES: usize = 3;
/// How many files with several names are remembered, at some hundred bytes each.
const REMEMBERED: usize = 200_000;

/// Why the writing ended early.
pub(super) enum Stopped {
    /// Who reads a pipe is gone, and says why.
    Closed,
    /// The file system's fault.
    Files(FilesError),
}

/// Writes everything, and says what it was.
pub(super) fn write(
    mut walk: Walk,
    digest_key: Option<DigestKey>,
    tar: PipeWriter,
    list: PipeWriter,
) -> Result<Tally, Stopped> {
    let mut writer = Writer {
        tar: Sink::new(tar),
        list: Sink::new(list),
        digest_key,
        names: HashMap::new(),
        buffer: vec![0; PIECE],
        tally: Tally::default(),
    };
    for step in &mut walk {
        match step {
            Step::Found(entry) => writer.entry(&entry)?,
            Step::Left { path, why } => writer.left_out(&path, &why)?,
        }
    }
    let unmatched = walk.unmatched();
    if !unmatched.is_empty() {
        return Err(FilesError::NoMatch(unmatched).into());
    }
    let tally = &writer.tally;
    if tally.files + tally.symlinks + tally.links == 0 && tally.unreadable.count > 0 {
        return Err(FilesError::NothingRead(tally.unreadable.count).into());
    }
    writer.finish()
}

struct Writer {
    tar: Sink,
    list: Sink,
    digest_key: Option<DigestKey>,
    /// Of the files that have several names, the first that was met.
    names: HashMap<(u64, u64), Known>,
    buffer: Vec<u8>,
    tally: Tally,
}

struct Known {
    path: Box<[u8]>,
    /// How many of its names have not been met.
    left: u64,
}

/// A file's content as it went into the tar file.
struct Written {
    facts: Facts,
    digest: Option<String>,
    sparse_digest: Option<String>,
    note: Option<String>,
}

impl Writer {
    fn entry(&mut self, entry: &Entry) -> Result<(), Stopped> {
        let path = relative(&entry.path);
        if path.is_empty() {
            // The root has no name in an archive.
            return Ok(());
        }
        match entry.facts.kind {
            Kind::Folder => {
                self.tally.folders += 1;
                self.head(path, PaxKind::Folder, &entry.facts)?;
                self.line(FileLine { kind: FileKind::Folder, ..line(path, &entry.facts) })
            }
            Kind::Symlink => match entry.target() {
                Ok(target) => {
                    self.tally.symlinks += 1;
                    self.head(path, PaxKind::Symlink(target.clone()), &entry.facts)?;
                    let target = Some(FilePath::of(&target));
                    self.line(FileLine { kind: FileKind::Symlink, target, ..line(path, &entry.facts) })
                }
                Err(error) => self.failed(&entry.path, &error),
            },
            Kind::File => self.file(entry, path),
            Kind::Other(what) => self.left_out(&entry.path, &LeftOut::Special(what)),
        }
    }

    fn file(&mut self, entry: &Entry, path: &[u8]) -> Result<(), Stopped> {
        if entry.facts.links > 1
            && let Some(known) = self.names.get_mut(&entry.facts.identity)
        {
            known.left = known.left.saturating_sub(1);
            let target = known.path.to_vec();
            if known.left == 0 {
                self.names.remove(&entry.facts.identity);
            }
            self.tally.links += 1;
            self.head(path, PaxKind::Link(target.clone()), &entry.facts)?;
            let target = Some(FilePath::of(&target));
            return self.line(FileLine { kind: FileKind::Link, target, ..line(path, &entry.facts) });
        }
        let content = match entry.open() {
            Ok(content) => content,
            Err(error) => return self.failed(&entry.path, &error),
        };
        let written = match self.content(&entry.path, path, content)? {
            Ok(written) => written,
            Err(error) => return self.failed(&entry.path, &error),
        };
        self.tally.files += 1;
        self.tally.bytes += written.facts.size;
        if written.facts.links > 1 {
            if self.names.len() < REMEMBERED {
                let known = Known { path: path.into(), left: written.facts.links - 1 };
                self.names.insert(written.facts.identity, known);
            } else {
                self.tally.loose += 1;
            }
        }
        self.line(FileLine {
            kind: FileKind::File,
            size: Some(written.facts.size),
            digest: written.digest,
            sparse_digest: written.sparse_digest,
            note: written.note,
            ..line(path, &written.facts)
        })
    }

    /// Writes head and content. The inner error: nothing was written.
    fn content(&mut self, path: &[u8], name: &[u8], mut content: Content) -> Result<std::io::Result<Written>, Stopped> {
        if content.facts().size <= SMALL {
            return self.small(path, name, &mut content);
        }
        let facts = *content.facts();
        let regions = match content.regions(MOST_EXTENTS) {
            Ok(regions) => regions,
            Err(error) => return Ok(Err(error)),
        };
        let size = facts.size;
        let (kind, data) = match regions {
            None => (PaxKind::File { size }, vec![Extent { at: 0, length: size }]),
            Some(regions) => {
                let data: Vec<Extent> = regions.iter().map(|r| Extent { at: r.at, length: r.length }).collect();
                (PaxKind::Sparse { size, data: data.clone() }, data)
            }
        };
        let mut hasher = match kind {
            PaxKind::Sparse { .. } => Hasher::Sparse(SparseHasher::new(self.digest_key.as_ref())),
            _ => Hasher::Dense(ContentHasher::new(self.digest_key.as_ref())),
        };
        self.head(name, kind, &facts)?;
        let (mut total, mut failure) = (0, None);
        for extent in data {
            self.extent(&content, extent, &mut hasher, &mut failure)?;
            total += extent.length;
        }
        self.tar.zeros(pax::padding(total))?;
        let (digest, sparse_digest) = hasher.finish(size);
        let mut written = Written { facts, digest, sparse_digest, note: None };
        if let Some(why) = failure {
            self.tally.torn.add(path, Some(&why));
            written.note = Some(why);
        } else if !content.look_again().is_ok_and(|after| after.is_as(&facts)) {
            self.changed(path, &mut written);
        }
        Ok(Ok(written))
    }

    /// Reads a small file until it stands still, and writes it.
    fn small(&mut self, path: &[u8], name: &[u8], content: &mut Content) -> Result<std::io::Result<Written>, Stopped> {
        let mut still = false;
        let mut length = 0;
        let mut facts = *content.facts();
        for _ in 0..TRIES {
            // One byte more than it should have, to see that it grew.
            let wanted = usize::try_from(facts.size).unwrap_or(PIECE).saturating_add(1).min(PIECE);
            length = match content.read(&mut self.buffer[..wanted], 0) {
                Ok(length) => length,
                Err(error) => return Ok(Err(error)),
            };
            let before = facts;
            facts = match content.look_again() {
                Ok(facts) => facts,
                Err(error) => return Ok(Err(error)),
            };
            still = facts.is_as(&before) && length as u64 == facts.size;
            if still {
                break;
            }
        }
        // What was read is what is stored, whatever the file has become.
        facts.size = length as u64;
        let mut hasher = ContentHasher::new(self.digest_key.as_ref());
        hasher.update(&self.buffer[..length]);
        self.head(name, PaxKind::File { size: facts.size }, &facts)?;
        self.tar.put(&self.buffer[..length])?;
        self.tar.zeros(pax::padding(facts.size))?;
        let digest = Some(hasher.finish().to_string());
        let mut written = Written { facts, digest, sparse_digest: None, note: None };
        if !still {
            self.changed(path, &mut written);
        }
        Ok(Ok(written))
    }

    fn changed(&mut self, path: &[u8], written: &mut Written) {
        self.tally.changed.add(path, None);
        written.note = Some("changed while it was read".to_owned());
    }

    /// Writes one run of data. What cannot be read, or is not there any more, is zeros: the head has said how much comes.
    fn extent(
        &mut self,
        content: &Content,
        extent: Extent,
        hasher: &mut Hasher,
        failure: &mut Option<String>,
    ) -> Result<(), Stopped> {
        let (mut at, mut left) = (extent.at, extent.length);
        while left > 0 {
            let take = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let mut piece = BytesMut::zeroed(take);
            if failure.is_none()
                && let Err(error) = content.read(&mut piece, at)
            {
                *failure = Some(format!("reading failed at byte {at}: {error}"));
                piece.fill(0);
            }
            hasher.update(at, &piece);
            self.tar.send(piece.freeze())?;
            at += take as u64;
            left -= take as u64;
        }
        Ok(())
    }

    fn failed(&mut self, path: &[u8], error: &std::io::Error) -> Result<(), Stopped> {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => LeftOut::Vanished,
            _ => LeftOut::Unreadable(error.to_string()),
        };
        self.left_out(path, &why)
    }

    fn left_out(&mut self, path: &[u8], why: &LeftOut) -> Result<(), Stopped> {
        self.tally.leave(path, why);
        let note = match why {
            LeftOut::Special(what) => (*what).to_owned(),
            LeftOut::OtherFileSystem => "another file system".to_owned(),
            LeftOut::Vanished => "vanished".to_owned(),
            LeftOut::BehindLink => "behind a symbolic link, which is kept as one".to_owned(),
            LeftOut::Unreadable(words) => format!("unreadable: {words}"),
        };
        let path = Some(FilePath::of(relative(path)));
        self.line(FileLine { kind: FileKind::LeftOut, path, note: Some(note), ..FileLine::default() })
    }

    fn head(&mut self, path: &[u8], kind: PaxKind, facts: &Facts) -> Result<(), Stopped> {
        let (mode, uid, gid, modified) = (facts.mode, facts.uid, facts.gid, facts.modified);
        self.tar.put(&pax::head(&PaxEntry { path: path.to_vec(), kind, mode, uid, gid, modified }))
    }

    fn line(&mut self, line: FileLine) -> Result<(), Stopped> {
        // A line has no map with keys that are no text: it always becomes JSON.
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        self.list.put(&text)
    }

    fn finish(mut self) -> Result<Tally, Stopped> {
        self.tar.put(&pax::end())?;
        self.line(FileLine {
            entries: Some(self.tally.entries()),
            format_version: Some(FILE_LIST_FORMAT.to_owned()),
            ..FileLine::default()
        })?;
        self.tar.finish()?;
        self.list.finish()?;
        Ok(self.tally)
    }
}

enum Hasher {
    Dense(ContentHasher),
    Sparse(SparseHasher),
}

impl Hasher {
    fn update(&mut self, at: u64, bytes: &[u8]) {
        match self {
            Self::Dense(hasher) => hasher.update(bytes),
            Self::Sparse(hasher) => hasher.update(at, bytes),
        }
    }

    fn finish(self, size: u64) -> (Option<String>, Option<String>) {
        match self {
            Self::Dense(hasher) => (Some(hasher.finish().to_string()), None),
            Self::Sparse(hasher) => (None, Some(hasher.finish(size).to_string())),
        }
    }
}

fn line(path: &[u8], facts: &Facts) -> FileLine {
    FileLine {
        path: Some(FilePath::of(path)),
        mode: Some(format!("{:04o}", facts.mode)),
        uid: Some(facts.uid),
        gid: Some(facts.gid),
        modified: Some(facts.modified),
        ..FileLine::default()
    }
}

/// Returns a path as it stands in the archive.
fn relative(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/").unwrap_or(path)
}

/// A pipe that is fed in pieces worth sending.
struct Sink {
    writer: PipeWriter,
    gathered: BytesMut,
}

impl Sink {
    fn new(writer: PipeWriter) -> Self {
        Self { writer, gathered: BytesMut::with_capacity(PIECE) }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn zeros(&mut self, count: usize) -> Result<(), Stopped> {
        self.gathered.resize(self.gathered.len() + count, 0);
        Ok(())
    }

    /// Sends a piece as it is, after what was gathered.
    fn send(&mut self, piece: Bytes) -> Result<(), Stopped> {
        self.flush()?;
        self.writer.send_blocking(piece).map_err(|_| Stopped::Closed)
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = self.gathered.split().freeze();
        self.writer.send_blocking(piece).map_err(|_| Stopped::Closed)
    }

    fn finish(mut self) -> Result<(), Stopped> {
        self.flush()?;
        self.writer.finish_blocking().map_err(|_| Stopped::Closed)
    }
}
