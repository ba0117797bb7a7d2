//! One folder, written and looked at without ever leaving it: every step of a path is opened below the one before, and a
//! symbolic link on the way is an error, whoever put it there and when.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown, fsync, ftruncate,
    futimens, linkat, mkdirat, openat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::{Entry, FilesError, Kind, shown};

/// Whose what is written becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// As recorded; only root may.
    Kept,
    /// The caller's; what would let others act in the name of a recorded owner is dropped.
    Mine,
}

impl Owners {
    /// Returns what this process may do.
    #[must_use]
    pub fn of_process() -> Self {
        if rustix::process::geteuid().is_root() { Self::Kept } else { Self::Mine }
    }

    /// Returns the permissions that something gets.
    #[must_use]
    pub const fn mode(self, recorded: u32) -> u32 {
        match self {
            Self::Kept => recorded & 0o7777,
            // Set-user-id was given to what belonged to somebody else.
            Self::Mine => recorded & 0o1777,
        }
    }
}

/// What is recorded of an entry beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its permissions, twelve bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was modified: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
}

/// An open folder.
pub struct Place {
    root: Arc<OwnedFd>,
    stack: Vec<Level>,
    owners: Owners,
    writes: bool,
}

/// A folder on the way to what was last worked on.
struct Level {
    name: Vec<u8>,
    folder: Arc<OwnedFd>,
    /// What it gets when everything below it is there: no sooner, since a folder may be closed even to its owner.
    seen: Option<Seen>,
}

const THROUGH: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Place {
    /// Opens a folder to write below it.
    ///
    /// # Errors
    /// [`FilesError::System`].
    pub fn to_write(folder: &Path, owners: Owners) -> Result<Self, FilesError> {
        Self::open(folder, owners, true)
    }

    /// Opens a folder to look at what is below it.
    ///
    /// # Errors
    /// [`FilesError::System`].
    pub fn to_read(folder: &Path) -> Result<Self, FilesError> {
        Self::open(folder, Owners::Mine, false)
    }

    fn open(folder: &Path, owners: Owners, writes: bool) -> Result<Self, FilesError> {
        let root = openat(CWD, folder, THROUGH, Mode::empty())
            .map_err(|error| FilesError::system("opening", folder.as_os_str().as_encoded_bytes(), error))?;
        Ok(Self { root: Arc::new(root), stack: Vec::new(), owners, writes })
    }

    /// Makes a folder, or takes the one that a longer path has made.
    ///
    /// # Errors
    /// [`FilesError`]: something else is there, or the system refuses.
    pub fn folder(&mut self, path: &[u8], seen: Seen) -> Result<(), FilesError> {
        self.enter(path)?;
        if let Some(level) = self.stack.last_mut() {
            level.seen = Some(seen);
        }
        Ok(())
    }

    /// Makes a file that only its owner can read, to be filled and then given to [`Place::seal`].
    ///
    /// # Errors
    /// [`FilesError`]: something is there, or the system refuses.
    pub fn file(&mut self, path: &[u8]) -> Result<File, FilesError> {
        let (folder, name) = self.parent(path)?;
        // What is there is never opened: it could be a link to a file elsewhere.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&folder, &name, flags, Mode::from_raw_mode(0o600)).map(File::from).map_err(|error| taken(path, error))
    }

    /// Gives a file its size, owner, permissions and time.
    ///
    /// # Errors
    /// [`FilesError::System`].
    pub fn seal(&self, path: &[u8], file: &File, size: u64, seen: Seen) -> Result<(), FilesError> {
        let sealed = || {
            // A hole at the end is no content, and is there by the size alone.
            ftruncate(file, size)?;
            self.mark(file, seen)
        };
        sealed().map_err(|error| FilesError::system("writing", path, error))
    }

    /// Makes a symbolic link. Where it points to is not looked at, now or later.
    ///
    /// # Errors
    /// [`FilesError`]: something is there, or the system refuses.
    pub fn symlink(&mut self, path: &[u8], target: &[u8], seen: Seen) -> Result<(), FilesError> {
        let (folder, name) = self.parent(path)?;
        let target = CString::new(target).map_err(|_| FilesError::system("writing", path, Errno::INVAL))?;
        symlinkat(&target, &folder, &name).map_err(|error| taken(path, error))?;
        let marked = || {
            if self.owners == Owners::Kept {
                let (uid, gid) = owner(seen);
                chownat(&folder, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            utimensat(&folder, &name, &times(seen), AtFlags::SYMLINK_NOFOLLOW)
        };
        marked().map_err(|error| FilesError::system("writing", path, error))
    }

    /// Gives a file that this restore wrote another name.
    ///
    /// # Errors
    /// [`FilesError`]: the file is not there or none, something has the name, or the system refuses.
    pub fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), FilesError> {
        let refused = |why: &str| FilesError::Refused { path: shown(path), why: why.to_owned() };
        let mut from = Place { root: Arc::clone(&self.root), stack: Vec::new(), owners: self.owners, writes: false };
        let found = from.look(target)?.filter(|entry| entry.facts.kind == Kind::File);
        if found.is_none() {
            return Err(refused("it is another name of a file that is not there"));
        }
        let (old_folder, old_name) = from.parent(target)?;
        let (folder, name) = self.parent(path)?;
        // Without a flag, a link that took the file's place is linked itself, and not what it points to.
        linkat(&old_folder, &old_name, &folder, &name, AtFlags::empty()).map_err(|error| taken(path, error))
    }

    /// Returns what is at a path; `None` where nothing is, or something else than a folder is on the way.
    ///
    /// # Errors
    /// [`FilesError::System`].
    pub fn look(&mut self, path: &[u8]) -> Result<Option<Entry>, FilesError> {
        let (folder, name) = match self.parent(path) {
            Ok(parent) => parent,
            Err(FilesError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        match Entry::at(path.to_vec(), &folder, name) {
            Ok(entry) => Ok(Some(entry)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(FilesError::system("reading", path, error)),
        }
    }

    /// Gives the folders that are still open what they are to get, and waits until everything is on its disk.
    ///
    /// # Errors
    /// [`FilesError::System`].
    pub fn finish(mut self) -> Result<(), FilesError> {
        self.leave(0)?;
        self.settle().map_err(|error| FilesError::system("writing", b"", error))
    }

    #[cfg(target_os = "linux")]
    fn settle(&self) -> rustix::io::Result<()> {
        rustix::fs::syncfs(&self.root)?;
        fsync(&self.root)
    }

    #[cfg(not(target_os = "linux"))]
    fn settle(&self) -> rustix::io::Result<()> {
        rustix::fs::sync();
        fsync(&self.root)
    }

    /// Opens the folder that a path is in, and returns it with the last name of the path.
    fn parent(&mut self, path: &[u8]) -> Result<(Arc<OwnedFd>, CString), FilesError> {
        let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        let name = step(path, name)?;
        if folder.is_empty() {
            self.leave(0)?;
        } else {
            self.enter(folder)?;
        }
        Ok((self.innermost(), name))
    }

    fn innermost(&self) -> Arc<OwnedFd> {
        Arc::clone(self.stack.last().map_or(&self.root, |level| &level.folder))
    }

    /// Goes into a folder, step by step from where the last one was.
    fn enter(&mut self, path: &[u8]) -> Result<(), FilesError> {
        let steps: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let common = self.stack.iter().zip(&steps).take_while(|(level, step)| level.name == **step).count();
        self.leave(common)?;
        for name in &steps[common..] {
            let opened = self.step_into(path, &step(path, name)?)?;
            self.stack.push(Level { name: name.to_vec(), folder: Arc::new(opened), seen: None });
        }
        Ok(())
    }

    fn step_into(&self, path: &[u8], name: &CString) -> Result<OwnedFd, FilesError> {
        let above = self.innermost();
        if self.writes {
            match mkdirat(&above, name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(FilesError::system("writing", path, error)),
            }
        }
        match openat(&above, name, THROUGH, Mode::empty()) {
            Ok(folder) => Ok(folder),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::NOENT) => {
                let why = "what is on the way to it is no folder".to_owned();
                Err(FilesError::Refused { path: shown(path), why })
            }
            Err(error) => Err(FilesError::system("opening", path, error)),
        }
    }

    /// Leaves all folders but the outermost ones, each of which gets what it is to get.
    fn leave(&mut self, depth: usize) -> Result<(), FilesError> {
        while self.stack.len() > depth {
            let Some(level) = self.stack.pop() else { break };
            if let Some(seen) = level.seen {
                self.mark(&level.folder, seen).map_err(|error| FilesError::system("writing", &level.name, error))?;
            }
        }
        Ok(())
    }

    /// Owner first: changing it takes set-user-id away. Time last: everything before changes it.
    fn mark(&self, thing: impl AsFd, seen: Seen) -> rustix::io::Result<()> {
        if self.owners == Owners::Kept {
            let (uid, gid) = owner(seen);
            fchown(&thing, uid, gid)?;
        }
        fchmod(&thing, Mode::from_raw_mode(self.owners.mode(seen.mode)))?;
        futimens(&thing, &times(seen))
    }
}

/// The largest number stands for no change, and nobody has it.
fn owner(seen: Seen) -> (Option<Uid>, Option<Gid>) {
    let known = |id: u32| (id != u32::MAX).then_some(id);
    (known(seen.uid).map(Uid::from_raw), known(seen.gid).map(Gid::from_raw))
}

fn times(seen: Seen) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seen.modified.0, tv_nsec: i64::from(seen.modified.1) },
    }
}

/// Returns one step of a path, which leads down and nowhere else.
fn step(path: &[u8], name: &[u8]) -> Result<CString, FilesError> {
    let refused = || FilesError::Refused { path: shown(path), why: "it would land outside of the folder".to_owned() };
    if name.is_empty() || name == b"." || name == b".." {
        return Err(refused());
    }
    CString::new(name).map_err(|_| refused())
}

fn taken(path: &[u8], error: Errno) -> FilesError {
    match error {
        Errno::EXIST | Errno::LOOP => {
            FilesError::Refused { path: shown(path), why: "something is there already".to_owned() }
        }
        error => FilesError::system("writing", path, error),
    }
}
