//! A backup of files brought back below one folder, and proven: what was written is read again, and compared with the
//! list that was made when the files were read. The archive is trusted in nothing: not in its paths, not in its links.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use super::archive::{Opened, Proof, blocking, cause_of, phase};
use super::failure::RestoreError;
use super::folder::Piped;
use super::job::{Done, Job};
use crate::artifact::pax::{MOST_EXTENTS, PaxEntry, PaxKind, PaxReader};
use crate::artifact::{PipeReader, TarError};
use crate::crypto::{ContentHasher, DigestKey, SparseHasher};
use crate::domain::{Bytes as Size, FileKind, FileLine, FilePath, PartKind};
use crate::engine::Comparison;
use crate::engine::files::{Entry, FilesError, Kind, Owners, Place, Seen, shown};
use crate::engine::scratch::free_bytes;

/// The longest line of a list: a path of 4 KiB, every byte escaped, and a target as long.
const LONGEST_LINE: u64 = 256 * 1024;
/// How much is read or written at once.
const PIECE: usize = 512 * 1024;
/// How many differences are named.
const NAMED: usize = 10;

/// What a comparison of files with their list found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilesProof {
    /// How many things were compared.
    pub entries: u64,
    /// How many of them are files.
    pub files: u64,
    /// The content of these files, with their holes.
    pub bytes: Size,
    /// What differs: all counted, the first few by name.
    pub different: u64,
    /// The first few that differ, with how they do.
    pub examples: Vec<String>,
    /// How many files changed or failed while they were backed up.
    pub unsettled: u64,
    /// How many things that matched are not in the backup.
    pub left_out: u64,
}

impl FilesProof {
    /// Returns whether everything is as it was recorded.
    #[must_use]
    pub const fn is_equal(&self) -> bool {
        self.different == 0
    }

    fn differs(&mut self, path: &[u8], how: &str) {
        self.different += 1;
        if self.examples.len() < NAMED {
            self.examples.push(format!("{} ({how})", shown(path)));
        }
    }
}

impl Opened {
    /// Returns whether it is a backup of files.
    #[must_use]
    pub fn is_files(&self) -> bool {
        self.part(PartKind::FileList).is_some()
    }
}

impl Job {
    /// Writes the last backup's files below a new folder, proves them, and removes them again.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing is left in any case.
    pub async fn files_in_scratch(&self) -> Result<Done, RestoreError> {
        let folder = self.workshop.folder.join(format!("bkup-{}", self.tag));
        let done = self.unless_stopped(files_into(self.wanted()?, &folder, &*self.tell)).await;
        let removed = remove_files(folder).await;
        let done = done?;
        removed?;
        Ok(done)
    }
}

/// Writes files below a folder that is made for them, and proves them.
///
/// # Errors
/// [`RestoreError`]; what was written is still there.
pub async fn files_into(
    backup: &Opened,
    folder: &Path,
    tell: &(dyn Fn(String) + Send + Sync),
) -> Result<Done, RestoreError> {
    let manifest = &backup.origin.manifest;
    let mut done = Done::default();
    tell(format!("writing {} below {}", manifest.backup_id, folder.display()));
    let begun = std::time::Instant::now();
    fill_files(backup, folder).await?;
    done.loaded.phases.push(phase("fetch and write", manifest, begun));
    tell(format!("comparing {} with what was recorded", manifest.backup_id));
    let begun = std::time::Instant::now();
    let proof = prove_files(backup, folder).await?;
    done.loaded.phases.push(phase("compare", manifest, begun));
    done.loaded.fetched = manifest.parts.iter().map(|part| Size(part.size)).sum();
    if !proof.is_equal() {
        let more = proof.different - proof.examples.len() as u64;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = format!("{}{more}", proof.examples.join(", "));
        return Err(RestoreError::NotEqual { backup: manifest.backup_id.clone(), what });
    }
    done.proofs.push(Proof {
        backup: manifest.backup_id.clone(),
        scope: manifest.scope.scope.clone(),
        comparison: Comparison::default(),
        sequences: 0,
        left_out: Vec::new(),
        files: Some(proof),
    });
    Ok(done)
}

/// Removes what a restore into scratch wrote, folders that are closed to their owner among it.
///
/// # Errors
/// [`RestoreError::Files`].
pub async fn remove_files(folder: PathBuf) -> Result<(), RestoreError> {
    blocking("removing", move || Ok(crate::engine::files::remove_all(&folder)?)).await
}

fn room(backup: &Opened, folder: &Path) -> Result<(), RestoreError> {
    let Some(part) = backup.part(PartKind::Tar) else { return Ok(()) };
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (needed, free) = (Size(part.original_size), Size(free_bytes(above)?));
    if needed.0 > free.0 {
        let (folder, needed, free) = (above.display().to_string(), needed.to_string(), free.to_string());
        return Err(RestoreError::NoRoom { folder, needed, free });
    }
    Ok(())
}

/// Writes files below a folder that is made for them, once there is room; they are not proven.
///
/// # Errors
/// [`RestoreError`]; what was written is still there.
pub async fn fill_files(backup: &Opened, folder: &Path) -> Result<(), RestoreError> {
    room(backup, folder)?;
    let (reader, task) = backup.tar(PartKind::Tar)?;
    let folder = folder.to_owned();
    let written = blocking("writing", move || write(reader, &folder)).await;
    cause_of(written, task).await
}

fn write(reader: PipeReader, folder: &Path) -> Result<(), RestoreError> {
    DirBuilder::new().mode(0o700).create(folder).map_err(|error| super::folder::failed(folder, error))?;
    let owners = Owners::of_process();
    let mut place = Place::to_write(folder, owners)?;
    let mut archive = PaxReader::new(BufReader::with_capacity(64 * 1024, Piped::new(reader)));
    let mut buffer = vec![0; PIECE];
    while let Some(entry) = archive.next_entry().map_err(broken)? {
        put(&mut place, &entry, &mut archive, &mut buffer)?;
    }
    Ok(place.finish()?)
}

fn broken(error: TarError) -> RestoreError {
    match error {
        TarError::Outside(path) => {
            let why = "it would land outside of the folder".to_owned();
            FilesError::Refused { path, why }.into()
        }
        TarError::Kind { name, what } => {
            FilesError::Refused { path: name, why: format!("it is {what}; only files, folders and links are") }.into()
        }
        error => RestoreError::NotServed(error.to_string()),
    }
}

fn put(place: &mut Place, entry: &PaxEntry, content: &mut impl Read, buffer: &mut [u8]) -> Result<(), RestoreError> {
    let seen = Seen { mode: entry.mode, uid: entry.uid, gid: entry.gid, modified: entry.modified };
    let failed =
        |error: io::Error| FilesError::System { what: "writing", path: shown(&entry.path), detail: error.to_string() };
    match &entry.kind {
        PaxKind::Folder => place.folder(&entry.path, seen)?,
        PaxKind::Symlink(target) => place.symlink(&entry.path, target, seen)?,
        PaxKind::Link(target) => place.link(&entry.path, target)?,
        PaxKind::File { size } => {
            let mut file = place.file(&entry.path)?;
            loop {
                let count = content.read(buffer).map_err(failed)?;
                if count == 0 {
                    break;
                }
                file.write_all(&buffer[..count]).map_err(failed)?;
            }
            place.seal(&entry.path, &file, *size, seen)?;
        }
        PaxKind::Sparse { size, data } => {
            let file = place.file(&entry.path)?;
            for extent in data {
                let (mut at, mut left) = (extent.at, extent.length);
                while left > 0 {
                    let most = usize::try_from(left).unwrap_or(PIECE).min(buffer.len());
                    let count = content.read(&mut buffer[..most]).map_err(failed)?;
                    if count == 0 {
                        return Err(RestoreError::NotServed("a sparse file ends within its data".to_owned()));
                    }
                    file.write_all_at(&buffer[..count], at).map_err(failed)?;
                    at += count as u64;
                    left -= count as u64;
                }
            }
            place.seal(&entry.path, &file, *size, seen)?;
        }
    }
    Ok(())
}

/// Reads what is below a folder, and compares it with the list of a backup.
///
/// # Errors
/// When the list cannot be read or is not whole, or the digests' key is not at hand.
pub async fn prove_files(backup: &Opened, folder: &Path) -> Result<FilesProof, RestoreError> {
    let key = backup.content_key()?;
    let (reader, task) = backup.tar(PartKind::FileList)?;
    let folder = folder.to_owned();
    let compared = blocking("comparing", move || compare(reader, &folder, key)).await;
    cause_of(compared, task).await
}

fn compare(reader: PipeReader, folder: &Path, key: Option<DigestKey>) -> Result<FilesProof, RestoreError> {
    let unreadable = |what: String| RestoreError::NotServed(format!("the list of the files {what}"));
    let mut lines = BufReader::with_capacity(64 * 1024, Piped::new(reader));
    let mut comparing = Comparing {
        place: Place::to_read(folder)?,
        owners: Owners::of_process(),
        key,
        proof: FilesProof::default(),
        buffer: vec![0; PIECE],
        links: BTreeMap::new(),
    };
    loop {
        let mut text = Vec::new();
        let count = lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text);
        let count = count.map_err(|error| unreadable(format!("could not be read: {error}")))?;
        if count == 0 {
            return Err(unreadable("ends before its last line".to_owned()));
        }
        let line: FileLine =
            serde_json::from_slice(&text).map_err(|error| unreadable(format!("has a line that is none: {error}")))?;
        if line.kind == FileKind::End {
            if line.entries != Some(comparing.proof.entries) {
                return Err(unreadable("lacks lines".to_owned()));
            }
            break;
        }
        let path = line.path.as_ref().and_then(FilePath::bytes);
        let path = path.ok_or_else(|| unreadable("has a path that is none".to_owned()))?;
        comparing.line(&path, &line)?;
    }
    // To the end, so that a damage behind the last line is seen by whoever reads.
    io::copy(&mut lines, &mut io::sink()).map_err(|error| unreadable(format!("could not be read: {error}")))?;
    Ok(comparing.proof)
}

struct Comparing {
    place: Place,
    owners: Owners,
    key: Option<DigestKey>,
    proof: FilesProof,
    buffer: Vec<u8>,
    /// Hard links stand close to what they name; only so many are remembered, the rest is compared by looking.
    links: BTreeMap<Vec<u8>, (u64, u64)>,
}

impl Comparing {
    fn line(&mut self, path: &[u8], line: &FileLine) -> Result<(), RestoreError> {
        if line.kind == FileKind::LeftOut {
            self.proof.left_out += 1;
            return Ok(());
        }
        self.proof.entries += 1;
        let Some(entry) = self.place.look(path)? else {
            self.proof.differs(path, "it is not there");
            return Ok(());
        };
        let kind = match line.kind {
            FileKind::Folder => Kind::Folder,
            FileKind::Symlink => Kind::Symlink,
            _ => Kind::File,
        };
        if entry.facts.kind != kind {
            self.proof.differs(path, "it is something else");
            return Ok(());
        }
        self.marks(path, line, &entry);
        match line.kind {
            FileKind::Symlink => {
                let target = line.target.as_ref().and_then(FilePath::bytes);
                if target.is_none() || entry.target().ok() != target {
                    self.proof.differs(path, "it points elsewhere");
                }
            }
            FileKind::Link => self.link(path, line, &entry)?,
            FileKind::File => self.file(path, line, &entry),
            _ => {}
        }
        Ok(())
    }

    /// Compares owner, permissions and time. Of a symbolic link, no system keeps permissions.
    fn marks(&mut self, path: &[u8], line: &FileLine, entry: &Entry) {
        let recorded = line.mode.as_deref().and_then(|mode| u32::from_str_radix(mode, 8).ok());
        let wanted = recorded.map(|mode| self.owners.mode(mode));
        if line.kind != FileKind::Symlink && wanted != Some(entry.facts.mode) {
            self.proof.differs(path, "its permissions differ");
        }
        let owner = (Some(entry.facts.uid), Some(entry.facts.gid));
        if self.owners == Owners::Kept && owner != (line.uid, line.gid) {
            self.proof.differs(path, "its owner differs");
        }
        if line.modified != Some(entry.facts.modified) {
            self.proof.differs(path, "its time differs");
        }
    }

    fn link(&mut self, path: &[u8], line: &FileLine, entry: &Entry) -> Result<(), RestoreError> {
        let target = line.target.as_ref().and_then(FilePath::bytes).unwrap_or_default();
        let known = self.links.get(&target).copied();
        let identity = match known {
            Some(identity) => Some(identity),
            None => self.place.look(&target)?.map(|entry| entry.facts.identity),
        };
        if identity != Some(entry.facts.identity) {
            self.proof.differs(path, "it is no other name of the same file");
        }
        if known.is_none()
            && let Some(identity) = identity
        {
            if self.links.len() >= MOST_EXTENTS {
                self.links.clear();
            }
            self.links.insert(target, identity);
        }
        Ok(())
    }

    fn file(&mut self, path: &[u8], line: &FileLine, entry: &Entry) {
        self.proof.files += 1;
        self.proof.bytes = self.proof.bytes.plus(Size(entry.facts.size));
        if line.note.is_some() {
            self.proof.unsettled += 1;
        }
        if line.size != Some(entry.facts.size) {
            return self.proof.differs(path, "its size differs");
        }
        let digest = match (&line.digest, &line.sparse_digest) {
            (Some(_), _) => self.dense(entry),
            (None, Some(_)) => self.sparse(entry),
            (None, None) => return self.proof.differs(path, "no digest is recorded"),
        };
        let recorded = line.digest.as_ref().or(line.sparse_digest.as_ref());
        match digest {
            Ok(digest) if Some(&digest) == recorded => {}
            Ok(_) => self.proof.differs(path, "its content differs"),
            Err(error) => self.proof.differs(path, &format!("it could not be read: {error}")),
        }
    }

    fn dense(&mut self, entry: &Entry) -> io::Result<String> {
        let content = entry.open()?;
        let mut hasher = ContentHasher::new(self.key.as_ref());
        let mut at = 0;
        loop {
            let count = content.read(&mut self.buffer, at)?;
            if count == 0 {
                return Ok(hasher.finish().to_string());
            }
            hasher.update(&self.buffer[..count]);
            at += count as u64;
        }
    }

    fn sparse(&mut self, entry: &Entry) -> io::Result<String> {
        let content = entry.open()?;
        let size = content.facts().size;
        let whole = vec![crate::engine::files::Region { at: 0, length: size }];
        let mut hasher = SparseHasher::new(self.key.as_ref());
        for region in content.regions(MOST_EXTENTS)?.unwrap_or(whole) {
            let (mut at, end) = (region.at, region.at + region.length);
            while at < end {
                let most = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
                let count = content.read(&mut self.buffer[..most], at)?;
                if count == 0 {
                    break;
                }
                hasher.update(at, &self.buffer[..count]);
                at += count as u64;
            }
        }
        Ok(hasher.finish(size).to_string())
    }
}
