//! A backup of files or of a configuration brought back into a folder: written beside it first, and given its name only
//! when every byte was proven. Nothing that exists is touched, and nothing lands outside.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant as Monotonic;

use bytes::{Buf, Bytes};

use super::archive::{Loaded, Opened, blocking, phase};
use super::failure::RestoreError;
use super::job::{Done, Job};
use crate::artifact::{PipeReader, TarReader};
use crate::domain::{Bytes as Size, DataPart, PartKind};
use crate::engine::{Connection, EngineError, Programs, restore_directory};

impl Job {
    /// Checks that a folder is not there yet, or is empty.
    ///
    /// # Errors
    /// [`RestoreError::TargetExists`], or when it cannot be looked at.
    pub fn check_folder(dir: &Path) -> Result<(), RestoreError> {
        let exists = || RestoreError::TargetExists { what: dir.display().to_string() };
        match fs::symlink_metadata(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(dir, error)),
            Ok(facts) if !facts.is_dir() => Err(exists()),
            Ok(_) => match fs::read_dir(dir).map_err(|error| failed(dir, error))?.next() {
                None => Ok(()),
                Some(_) => Err(exists()),
            },
        }
    }

    /// Writes the last backup's files into a folder that is not there yet, or is empty.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing of it is left then.
    pub async fn into_folder(&self, dir: &Path) -> Result<Done, RestoreError> {
        Self::check_folder(dir)?;
        let backup = self.wanted()?;
        let begun = Monotonic::now();
        let name = dir.file_name().ok_or_else(|| RestoreError::TargetExists { what: dir.display().to_string() })?;
        let mut own = name.to_os_string();
        own.push(format!(".bkup-{}", self.tag));
        let beside = dir.with_file_name(own);
        if backup.is_files() {
            let filled = self.unless_stopped(super::files_into(backup, &beside, &*self.tell)).await;
            let placed = filled.and_then(|done| place(&beside, dir).map(|()| done));
            if placed.is_err() {
                // Why it failed matters more than a folder whose name says what it is.
                let _ = super::remove_files(beside).await;
            }
            return placed;
        }
        let filled = self.unless_stopped(fill(backup, beside.clone())).await;
        let placed = filled.and_then(|()| place(&beside, dir));
        if let Err(error) = placed {
            // Why it failed matters more than a folder whose name says what it is.
            let _ = fs::remove_dir_all(&beside);
            return Err(error);
        }
        let manifest = &backup.origin.manifest;
        let loaded = Loaded {
            phases: vec![phase("fetch and write", manifest, begun)],
            fetched: manifest.parts.iter().filter(|part| is_file(part.kind)).map(|part| Size(part.size)).sum(),
            deferred: Vec::new(),
            torn: Vec::new(),
        };
        Ok(Done { loaded, proofs: Vec::new() })
    }
}

/// Whether a part goes into a folder.
const fn is_file(kind: PartKind) -> bool {
    matches!(kind, PartKind::Tar | PartKind::Csv)
}

/// Streams the tar file into a folder that only its owner can read.
async fn fill(backup: &Opened, into: PathBuf) -> Result<(), RestoreError> {
    if backup.part(PartKind::Tar).is_none() {
        return fill_with_csv(backup, &into).await;
    }
    let (reader, task) = backup.tar(PartKind::Tar)?;
    let written = blocking("writing", move || unpack(reader, &into)).await;
    super::archive::cause_of(written, task).await
}

/// Streams the CSV files of a backup of tables into a folder that only its owner can read.
async fn fill_with_csv(backup: &Opened, into: &Path) -> Result<(), RestoreError> {
    let manifest = &backup.origin.manifest;
    let files: Vec<&DataPart> = manifest.parts.iter().filter(|part| part.kind == PartKind::Csv).collect();
    if files.is_empty() {
        return Err(RestoreError::NotServed(format!("backup {} holds no files", manifest.backup_id)));
    }
    DirBuilder::new().mode(0o700).create(into).map_err(|error| failed(into, error))?;
    for part in files {
        let path = into.join(csv_name(&part.key));
        let (reader, task) = backup.stream(part);
        let written = blocking("writing", move || {
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(&path);
            let mut file = file.map_err(|error| failed(&path, error))?;
            io::copy(&mut Piped::new(reader), &mut file)
                .and_then(|_| file.sync_all())
                .map_err(|error| failed(&path, error))
        });
        let written = written.await;
        super::archive::cause_of(written, task).await?;
    }
    Ok(())
}

/// Returns the name of a file by its object's: a segment of a key, which never leads out of a folder.
fn csv_name(key: &str) -> &str {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.rfind(".csv").map_or(name, |at| &name[..at + 4])
}

/// Loads a directory-format archive: unpacked into `folder`, restored, and removed again.
pub(super) async fn load_directory(
    backup: &Opened,
    programs: &Programs,
    target: &Connection,
    folder: &Path,
) -> Result<Loaded, RestoreError> {
    let manifest = &backup.origin.manifest;
    let begun = Monotonic::now();
    let loaded = unpacked_and_loaded(backup, programs, target, folder).await;
    // Why it failed matters more than a folder that stays.
    let _ = fs::remove_dir_all(folder);
    loaded?;
    Ok(Loaded {
        phases: vec![phase("fetch and restore", manifest, begun)],
        fetched: manifest.parts.iter().map(|part| Size(part.size)).sum(),
        deferred: Vec::new(),
        torn: Vec::new(),
    })
}

async fn unpacked_and_loaded(
    backup: &Opened,
    programs: &Programs,
    target: &Connection,
    folder: &Path,
) -> Result<(), RestoreError> {
    let (reader, task) = backup.tar(PartKind::DirectoryTar)?;
    let into = folder.to_owned();
    let written = blocking("writing", move || unpack(reader, &into)).await;
    super::archive::cause_of(written, task).await?;
    // The script's tar file has one folder with everything in it.
    let inner = |dir: &Path| dir.join("toc.dat").is_file().then(|| dir.to_owned());
    let within = || {
        let items = fs::read_dir(folder).ok()?.flatten();
        items.map(|item| item.path()).find_map(|path| inner(&path))
    };
    let Some(archive) = inner(folder).or_else(within) else {
        return Err(RestoreError::NotServed("the tar file has no toc.dat".to_owned()));
    };
    Ok(restore_directory(programs, target, &archive).await?)
}

fn unpack(reader: PipeReader, into: &Path) -> Result<(), RestoreError> {
    let broken = |error: crate::artifact::TarError| RestoreError::NotServed(error.to_string());
    DirBuilder::new().mode(0o700).create(into).map_err(|error| failed(into, error))?;
    let mut tar = TarReader::new(Piped::new(reader));
    while let Some(member) = tar.next_member().map_err(broken)? {
        let path = into.join(&member.path);
        let folder = if member.folder { path.as_path() } else { path.parent().unwrap_or(into) };
        DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(|error| failed(folder, error))?;
        if member.folder {
            continue;
        }
        // The folder is new and this process's own, so there is no link to follow; a second member of one name is none.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(&path, error))?;
        io::copy(&mut tar, &mut file).and_then(|_| file.sync_all()).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn place(beside: &Path, dir: &Path) -> Result<(), RestoreError> {
    match fs::remove_dir(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return Err(RestoreError::TargetExists { what: dir.display().to_string() }),
    }
    fs::rename(beside, dir).map_err(|error| failed(dir, error))
}

pub(super) fn failed(path: &Path, error: io::Error) -> RestoreError {
    RestoreError::Engine(EngineError::io(format!("writing {}", path.display()), error))
}

/// A pipe as a reader for threads that may block.
pub(super) struct Piped {
    reader: PipeReader,
    current: Bytes,
}

impl Piped {
    pub(super) const fn new(reader: PipeReader) -> Self {
        Self { reader, current: Bytes::new() }
    }
}

impl Read for Piped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.reader.next_blocking() {
                None => return Ok(0),
                Some(Ok(bytes)) => self.current = bytes,
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
