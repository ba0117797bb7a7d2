//! A walk through a folder's files in the order of their keys, which can rest between the pages of a listing: what was
//! read of the folders on its way is not read again. Reads only; blocks, so it belongs on a blocking thread.
//!
//! It holds the names of the folders it stands in and nothing of those it left: as much memory as one path's folders
//! have names. Links are not followed into folders.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::vec::IntoIter;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, open, openat, statat};
use rustix::io::Errno;

use crate::domain::Instant;

/// A walk, at rest or under way.
#[derive(Debug)]
pub(super) struct Walk {
    prefix: String,
    /// The key at which the last page ended: files up to it are passed over. Empty before the first.
    last: String,
    /// Folders that are not entered, by their keys with the slash at the end.
    but: Vec<String>,
    /// The key of the innermost folder, with a slash at the end; empty for the root.
    key: String,
    /// The folders on the way to where the walk stands, outermost first.
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    folder: Dir,
    /// How much of the walk's key is the key of this folder.
    key: usize,
    /// The names that are still to be looked at, those of folders with a slash at the end: in the order of keys.
    names: IntoIter<Box<str>>,
}

/// A file on the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its key.
    pub key: String,
    /// Where its name begins in the key.
    pub name: usize,
}

/// What the file system says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileFacts {
    pub size: u64,
    pub modified: Option<Instant>,
}

impl Found {
    /// Returns the last segment of its key.
    pub fn name(&self) -> &str {
        &self.key[self.name..]
    }

    /// Returns the key of its folder, with a slash at the end; empty for the root.
    pub fn folder(&self) -> &str {
        &self.key[..self.name]
    }
}

impl Walk {
    /// Begins a walk over the files below `root` whose keys begin with `prefix` and come after `from`; folders in `but`
    /// are left out.
    pub fn begin(root: &Path, prefix: &str, from: &str, but: &[&str]) -> io::Result<Self> {
        let mut walk = Self {
            prefix: prefix.to_owned(),
            last: from.to_owned(),
            but: but.iter().map(|key| (*key).to_owned()).collect(),
            key: String::new(),
            levels: Vec::new(),
        };
        let (folders, begin) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let mut folder = open(root, FOLDER, Mode::empty())?;
        for segment in folders.split('/').filter(|_| prefix.contains('/')) {
            if matches!(segment, "" | "." | "..") {
                return Ok(walk);
            }
            match openat(&folder, segment, INSIDE, Mode::empty()) {
                Ok(inside) => folder = inside,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(walk),
                Err(error) => return Err(error.into()),
            }
            walk.key.push_str(segment);
            walk.key.push('/');
        }
        walk.enter(folder, begin)?;
        Ok(walk)
    }

    /// Returns whether this walk goes on where a page of a listing ended.
    pub fn rests_at(&self, prefix: &str, key: &str) -> bool {
        self.prefix == prefix && self.last == key
    }

    /// Returns the next file; none at the end.
    pub fn next(&mut self) -> io::Result<Option<Found>> {
        while let Some(level) = self.levels.last_mut() {
            self.key.truncate(level.key);
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let Some(folder) = name.strip_suffix('/') else {
                let mut key = String::with_capacity(self.key.len() + name.len());
                key.push_str(&self.key);
                key.push_str(&name);
                return Ok(Some(Found { key, name: self.key.len() }));
            };
            match openat(level.folder.fd()?, folder, INSIDE, Mode::empty()) {
                Ok(inside) => {
                    self.key.push_str(&name);
                    self.enter(inside, "")?;
                }
                // Deleted since its name was read.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Returns what the file system says of the file that the walk has just given; none where that is gone.
    pub fn facts(&self, found: &Found) -> io::Result<Option<FileFacts>> {
        let Some(level) = self.levels.last() else { return Ok(None) };
        match statat(level.folder.fd()?, found.name(), AtFlags::empty()) {
            Ok(facts) => {
                Ok(Some(FileFacts { size: u64::try_from(facts.st_size).unwrap_or(0), modified: modified(&facts) }))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a page with a file: a listing that goes on goes on behind it.
    pub fn rest_at(&mut self, key: &str) {
        self.last.clear();
        self.last.push_str(key);
    }

    /// Reads the names of a folder whose key the walk's is now, those that begin with `begin`.
    fn enter(&mut self, folder: OwnedFd, begin: &str) -> io::Result<()> {
        let mut names: Vec<Box<str>> = Vec::new();
        let mut folder = Dir::new(folder)?;
        // Of a folder on the way to where an earlier page ended, what lies before that is left out.
        let from = match self.last.strip_prefix(self.key.as_str()) {
            Some(from) => from,
            None if self.last > self.key => return Ok(()),
            None => "",
        };
        while let Some(entry) = folder.read() {
            let entry = entry?;
            // A name that is no text is not bkup's.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") || !name.starts_with(begin) {
                continue;
            }
            let is_folder = match entry.file_type() {
                FileType::Unknown => match statat(folder.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(facts) => FileType::from_raw_mode(facts.st_mode) == FileType::Directory,
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                },
                kind => kind == FileType::Directory,
            };
            if is_folder {
                let name = format!("{name}/");
                let passed = name.as_str() <= from && !from.starts_with(&name);
                if !passed && !self.but.iter().any(|but| but.strip_prefix(self.key.as_str()) == Some(&name)) {
                    names.push(name.into());
                }
            } else if name > from {
                names.push(name.into());
            }
        }
        names.sort_unstable();
        self.levels.push(Level { folder, key: self.key.len(), names: names.into_iter() });
        Ok(())
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A link inside a store leads out of it.
const INSIDE: OFlags = FOLDER.union(OFlags::NOFOLLOW);

fn modified(facts: &Stat) -> Option<Instant> {
    Instant::new(facts.st_mtime, i32::try_from(facts.st_mtime_nsec).ok()?).ok()
}
