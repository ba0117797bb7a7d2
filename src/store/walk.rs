//! A walk through a folder's files in the order of their keys, which can rest between the pages of a listing: what was
//! read of the folders on its way is not read again. Reads only; blocks, so it belongs on a blocking thread.
//!
//! A folder tree answers one question at a time slowly and several at once well, so folders are read some way ahead of
//! the walk, side by side: as many as [`AHEAD`], each as far down as [`BUDGET`] names go. That, and the names of the
//! folders it stands in, is all that it holds. Links are not followed into folders.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::vec::IntoIter;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, open, openat, statat};
use rustix::io::Errno;

use crate::domain::Instant;

/// How many folders are read at once, ahead of the walk; one that was not read to its end holds a file descriptor.
const AHEAD: usize = 128;
/// How many threads read them: more than a machine has cores, because a disk or a network answers several at once.
const READERS: usize = 4;
/// How many names of a folder and of those inside it are looked at ahead of the walk.
const BUDGET: usize = 512;

/// A walk, at rest or under way.
#[derive(Debug)]
pub(super) struct Walk {
    prefix: String,
    /// The key of the innermost folder, with a slash at the end; empty for the root.
    key: String,
    /// The folders on the way to where the walk stands, outermost first.
    levels: Vec<Level>,
    bounds: Bounds,
}

/// What a walk passes over.
#[derive(Debug)]
struct Bounds {
    /// The key at which the last page ended: files up to it are passed over. Empty before the first.
    last: String,
    /// Folders that are not entered, by their keys with the slash at the end.
    but: Vec<String>,
}

#[derive(Debug)]
struct Level {
    /// None where everything in it was read ahead.
    folder: Option<Dir>,
    /// How much of the walk's key is the key of this folder.
    key: usize,
    /// What is still to be looked at, in the order of keys.
    entries: IntoIter<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Its name, that of a folder with a slash at the end: in this spelling their order is that of keys.
    name: Box<str>,
    ahead: Ahead,
}

/// What was read ahead of the walk.
#[derive(Debug)]
enum Ahead {
    Nothing,
    File(FileFacts),
    Folder(Contents),
}

#[derive(Debug)]
struct Contents {
    folder: Option<Dir>,
    entries: Vec<Entry>,
}

/// A file on the way.
#[derive(Debug)]
pub(super) struct Found {
    /// Its key.
    pub key: String,
    /// Where its name begins in the key.
    name: usize,
    facts: Option<FileFacts>,
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
        let bounds = Bounds { last: from.to_owned(), but: but.iter().map(|key| (*key).to_owned()).collect() };
        let mut walk = Self { prefix: prefix.to_owned(), key: String::new(), levels: Vec::new(), bounds };
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
        let contents = walk.bounds.read(folder, &walk.key, begin)?;
        walk.enter(contents);
        Ok(walk)
    }

    /// Returns whether this walk goes on where a page of a listing ended.
    pub fn rests_at(&self, prefix: &str, key: &str) -> bool {
        self.prefix == prefix && self.bounds.last == key
    }

    /// Returns the next file; none at the end.
    pub fn next(&mut self) -> io::Result<Option<Found>> {
        while let Some(level) = self.levels.last_mut() {
            self.key.truncate(level.key);
            if let (Some(folder), [entry, ..]) = (&level.folder, level.entries.as_mut_slice())
                && entry.is_unread_folder()
            {
                self.bounds.read_ahead(folder, &self.key, level.entries.as_mut_slice());
            }
            let Some(Entry { name, ahead }) = level.entries.next() else {
                self.levels.pop();
                continue;
            };
            let Some(folder) = name.strip_suffix('/') else {
                let mut key = String::with_capacity(self.key.len() + name.len());
                key.push_str(&self.key);
                key.push_str(&name);
                let facts = if let Ahead::File(facts) = ahead { Some(facts) } else { None };
                return Ok(Some(Found { key, name: self.key.len(), facts }));
            };
            self.key.push_str(&name);
            if let Ahead::Folder(contents) = ahead {
                self.enter(contents);
            } else if let Some(above) = &level.folder
                // Reading it ahead failed, or it is gone: an error is met again here, where somebody hears of it.
                && let Some(inside) = open_inside(above, folder)?
            {
                let contents = self.bounds.read(inside, &self.key, "")?;
                self.enter(contents);
            }
        }
        Ok(None)
    }

    /// Returns what the file system says of the file that the walk has just given; none where that is gone.
    pub fn facts(&self, found: &Found) -> io::Result<Option<FileFacts>> {
        match (found.facts, self.levels.last().and_then(|level| level.folder.as_ref())) {
            (Some(facts), _) => Ok(Some(facts)),
            (None, Some(folder)) => facts(folder, found.name()),
            (None, None) => Ok(None),
        }
    }

    /// Ends a page with a file: a listing that goes on goes on behind it.
    pub fn rest_at(&mut self, key: &str) {
        self.bounds.last.clear();
        self.bounds.last.push_str(key);
    }

    /// Enters a folder whose key the walk's is now.
    fn enter(&mut self, contents: Contents) {
        let Contents { folder, entries } = contents;
        self.levels.push(Level { folder, key: self.key.len(), entries: entries.into_iter() });
    }
}

impl Bounds {
    /// Reads the folders among the next entries of a folder, side by side. What cannot be read stays as it is.
    fn read_ahead(&self, folder: &Dir, key: &str, entries: &mut [Entry]) {
        let count = entries.len().min(AHEAD);
        let entries = &mut entries[..count];
        let read = |entries: &mut [Entry]| {
            for entry in entries.iter_mut().filter(|entry| entry.is_unread_folder()) {
                let mut key = format!("{key}{}", entry.name);
                self.read_deep(folder, &mut key, entry, &mut { BUDGET });
            }
        };
        if count < READERS {
            return read(entries);
        }
        thread::scope(|scope| {
            let mut parts = entries.chunks_mut(count.div_ceil(READERS));
            let own = parts.next();
            for part in parts {
                // Without a thread, they are read when the walk gets to them.
                let _ = thread::Builder::new().spawn_scoped(scope, || read(part));
            }
            own.map(read);
        });
    }

    /// Reads a folder and those inside it, until the budget of names is used up.
    fn read_deep(&self, above: &Dir, key: &mut String, entry: &mut Entry, budget: &mut usize) {
        let Ok(Some(inside)) = open_inside(above, entry.name.trim_end_matches('/')) else { return };
        let Ok(Contents { folder, mut entries }) = self.read(inside, key, "") else { return };
        let length = key.len();
        if let Some(folder) = &folder {
            for entry in &mut entries {
                if *budget == 0 {
                    break;
                }
                *budget -= 1;
                if entry.is_unread_folder() {
                    key.push_str(&entry.name);
                    self.read_deep(folder, key, entry, budget);
                    key.truncate(length);
                } else if let Ok(Some(facts)) = facts(folder, &entry.name) {
                    entry.ahead = Ahead::File(facts);
                }
            }
        }
        let unread = |entry: &Entry| matches!(entry.ahead, Ahead::Nothing);
        let folder = folder.filter(|_| entries.iter().any(unread));
        entry.ahead = Ahead::Folder(Contents { folder, entries });
    }

    /// Reads the names of a folder, those that begin with `begin`.
    fn read(&self, folder: OwnedFd, key: &str, begin: &str) -> io::Result<Contents> {
        let (mut folder, mut entries) = (Dir::new(folder)?, Vec::new());
        // Of a folder on the way to where an earlier page ended, what lies before that is left out.
        let from = match self.last.strip_prefix(key) {
            Some(from) => from,
            None if self.last.as_str() > key => return Ok(Contents { folder: None, entries }),
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
            let name: Box<str> = if is_folder {
                let name = format!("{name}/");
                let passed = name.as_str() <= from && !from.starts_with(&name);
                if passed || self.but.iter().any(|but| but.strip_prefix(key) == Some(&name)) {
                    continue;
                }
                name.into()
            } else if name > from {
                name.into()
            } else {
                continue;
            };
            entries.push(Entry { name, ahead: Ahead::Nothing });
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Contents { folder: Some(folder), entries })
    }
}

impl Entry {
    fn is_unread_folder(&self) -> bool {
        self.name.ends_with('/') && matches!(self.ahead, Ahead::Nothing)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A link inside a store leads out of it.
const INSIDE: OFlags = FOLDER.union(OFlags::NOFOLLOW);

/// Opens a folder; none where it was deleted since its name was read.
fn open_inside(folder: &Dir, name: &str) -> io::Result<Option<OwnedFd>> {
    match openat(folder.fd()?, name, INSIDE, Mode::empty()) {
        Ok(inside) => Ok(Some(inside)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Looks at a file; none where it was deleted since its name was read.
fn facts(folder: &Dir, name: &str) -> io::Result<Option<FileFacts>> {
    match statat(folder.fd()?, name, AtFlags::empty()) {
        Ok(facts) => {
            Ok(Some(FileFacts { size: u64::try_from(facts.st_size).unwrap_or(0), modified: modified(&facts) }))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn modified(facts: &Stat) -> Option<Instant> {
    Instant::new(facts.st_mtime, i32::try_from(facts.st_mtime_nsec).ok()?).ok()
}
