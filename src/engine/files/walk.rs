//! Finds what a selection means, folder by folder, in the order of the names. One folder's names are in memory for each
//! step of depth, and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use super::{Content, Facts, Kind, Selection, shown};

/// Something that was found.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its path, absolute.
    pub path: Vec<u8>,
    /// What it is.
    pub facts: Facts,
    folder: Option<Arc<OwnedFd>>,
    name: CString,
}

/// Why something that matches is not in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// It has no content that could be kept: a socket, a device, a pipe.
    Special(&'static str),
    /// Another file system begins there.
    OtherFileSystem,
    /// It was gone when its turn came.
    Vanished,
    /// What lies behind a symbolic link that is named itself, and is kept as one.
    BehindLink,
    /// The system's words.
    Unreadable(String),
}

/// One step of a walk.
#[derive(Debug)]
pub enum Step {
    /// It belongs to the backup.
    Found(Entry),
    /// It would, and cannot be kept.
    Left {
        /// Its path, absolute.
        path: Vec<u8>,
        /// Why.
        why: LeftOut,
    },
}

/// A walk under way.
pub struct Walk {
    selection: Selection,
    /// Where to begin still, the last one first.
    roots: Vec<Vec<u8>>,
    /// Beginnings that the walk from another one came past.
    passed: BTreeSet<Vec<u8>>,
    /// Folders that lead to a beginning and were given.
    given: BTreeSet<Vec<u8>>,
    /// Symbolic links that stand where a beginning leads through, and were given as what they are.
    links: BTreeSet<Vec<u8>>,
    /// Folders above the present beginning, not yet given.
    ahead: Vec<Entry>,
    stack: Vec<Frame>,
    ready: VecDeque<Step>,
    unmatched: BTreeSet<usize>,
    reasons: BTreeMap<Vec<u8>, String>,
}

/// A folder that is being gone through.
struct Frame {
    path: Vec<u8>,
    folder: Arc<OwnedFd>,
    names: Names,
    taken: bool,
    device: u64,
    /// The folder itself, as long as nothing below it belongs to the backup.
    pending: Option<Entry>,
}

impl Entry {
    pub(super) fn at(path: Vec<u8>, folder: &Arc<OwnedFd>, name: CString) -> rustix::io::Result<Self> {
        let facts = Facts::of(&statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)?);
        Ok(Self { path, facts, folder: Some(Arc::clone(folder)), name })
    }

    fn parent(&self) -> BorrowedFd<'_> {
        self.folder.as_ref().map_or(CWD, |folder| folder.as_fd())
    }

    /// Opens a file for reading. What was put in its place meanwhile is opened only if it is a file, too.
    ///
    /// # Errors
    /// When the system refuses, or it is a file no more.
    pub fn open(&self) -> std::io::Result<Content> {
        // Without `NONBLOCK` a pipe that was put in its place would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let content = Content::of(openat(self.parent(), &self.name, flags, Mode::empty())?)?;
        if content.facts().kind == Kind::File {
            Ok(content)
        } else {
            Err(std::io::Error::other("it is no file any more"))
        }
    }

    /// Reads what a symbolic link points to.
    ///
    /// # Errors
    /// When the system refuses, or it is none any more.
    pub fn target(&self) -> std::io::Result<Vec<u8>> {
        Ok(readlinkat(self.parent(), &self.name, Vec::new())?.into_bytes())
    }
}

impl Walk {
    /// Begins.
    #[must_use]
    pub fn new(selection: Selection) -> Self {
        let roots: Vec<Vec<u8>> = selection.roots().iter().rev().cloned().collect();
        let unmatched = (0..selection.globs().count()).collect();
        Self {
            selection,
            roots,
            passed: BTreeSet::new(),
            given: BTreeSet::new(),
            links: BTreeSet::new(),
            ahead: Vec::new(),
            stack: Vec::new(),
            ready: VecDeque::new(),
            unmatched,
            reasons: BTreeMap::new(),
        }
    }

    /// Returns the globs that nothing matched, each with the reason where there is one. Complete after the last step.
    #[must_use]
    pub fn unmatched(&self) -> Vec<String> {
        let words = |(at, glob): (usize, &str)| {
            let mut reasons = self.reasons.iter().filter(|(root, _)| glob.as_bytes().starts_with(root));
            let why = reasons.next_back().map(|(root, why)| format!(" ({}: {why})", shown(root))).unwrap_or_default();
            self.unmatched.contains(&at).then(|| format!("{glob:?}{why}"))
        };
        self.selection.globs().enumerate().filter_map(words).collect()
    }

    fn begin(&mut self, root: Vec<u8>) {
        self.ahead.clear();
        if self.passed.contains(&root) {
            return;
        }
        let mut ancestors = Vec::new();
        for at in (1..root.len()).filter(|at| root[*at] == b'/') {
            ancestors.push(root[..at].to_vec());
        }
        for path in ancestors {
            if self.links.contains(&path) {
                let why = format!("{} is a symbolic link, and is kept as one", shown(&path));
                self.reasons.insert(root, why);
                return;
            }
            if self.selection.excludes(&path) || self.selection.empties(&path) {
                self.reasons.insert(root, format!("{} is left out by `exclude`", shown(&path)));
                return;
            }
            // Whoever wrote the path meant what lies behind a link in it.
            match whole(&path).and_then(|name| Ok((statat(CWD, &name, AtFlags::empty())?, name))) {
                Ok((stat, name)) if !self.given.contains(&path) => {
                    self.ahead.push(Entry { path, facts: Facts::of(&stat), folder: None, name });
                }
                Ok(_) => {}
                Err(error) => {
                    self.reasons.insert(root, words(error));
                    return;
                }
            }
        }
        let entry = whole(&root).and_then(|name| {
            let facts = Facts::of(&statat(CWD, &name, AtFlags::SYMLINK_NOFOLLOW)?);
            let facts = if facts.kind == Kind::Symlink && self.selection.matching(&root).is_empty() {
                Facts::of(&statat(CWD, &name, AtFlags::empty())?)
            } else {
                facts
            };
            Ok(Entry { path: root.clone(), facts, folder: None, name })
        });
        match entry {
            Ok(entry) => self.visit(entry, false, None),
            Err(error) => {
                self.reasons.insert(root, words(error));
            }
        }
    }

    /// Looks at one thing. `device` is that of the folder it was found in.
    fn visit(&mut self, entry: Entry, inherited: bool, device: Option<u64>) {
        if self.selection.excludes(&entry.path) {
            return;
        }
        // Met on the way, it is not begun at once more.
        if self.selection.roots().contains(&entry.path) {
            self.passed.insert(entry.path.clone());
        }
        let mut taken = inherited;
        if !taken || !self.unmatched.is_empty() {
            for glob in self.selection.matching(&entry.path) {
                self.unmatched.remove(&glob);
                taken = true;
            }
        }
        match entry.facts.kind {
            Kind::Other(what) if taken => self.leave(entry.path, LeftOut::Special(what)),
            Kind::Other(_) => {}
            Kind::Symlink if taken && device.is_none() => {
                let path = entry.path.clone();
                self.give(entry);
                self.leave(path, LeftOut::BehindLink);
            }
            Kind::File | Kind::Symlink if taken => self.give(entry),
            Kind::File | Kind::Symlink => {}
            Kind::Folder => self.visit_folder(entry, taken, device),
        }
    }

    fn visit_folder(&mut self, entry: Entry, taken: bool, device: Option<u64>) {
        let named = self.selection.roots().contains(&entry.path);
        let wanted = taken || self.selection.leads_through(&entry.path);
        let mounted = device.is_some_and(|device| device != entry.facts.identity.0) || is_mounted(&entry);
        let barred = mounted && !named && device.is_some();
        let opened = if wanted && !barred && !self.selection.empties(&entry.path) {
            // A beginning may be a link, which was written down; nothing below it is followed.
            let follow = if device.is_none() { OFlags::empty() } else { OFlags::NOFOLLOW };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | follow;
            let folder = openat(entry.parent(), &entry.name, flags, Mode::empty());
            Some(folder.and_then(|folder| Ok((Names::of(&folder)?, folder))))
        } else {
            None
        };
        let path = entry.path.clone();
        let (device, mut pending) = (entry.facts.identity.0, Some(entry));
        if taken && let Some(entry) = pending.take() {
            self.give(entry);
        }
        match opened {
            None if barred && wanted => self.leave(path, LeftOut::OtherFileSystem),
            None => {}
            Some(Ok((names, folder))) => {
                self.stack.push(Frame { path, folder: Arc::new(folder), names, taken, device, pending });
            }
            Some(Err(error)) => {
                if self.selection.roots().contains(&path) {
                    self.reasons.insert(path.clone(), words(error));
                }
                self.leave(path, left_out(error));
            }
        }
    }

    /// Gives an entry, after the folders that lead to it.
    fn give(&mut self, entry: Entry) {
        let frames = self.stack.iter_mut().filter_map(|frame| frame.pending.take());
        let before: Vec<Entry> = self.ahead.drain(..).chain(frames).collect();
        for entry in before.into_iter().chain([entry]) {
            let mut below = entry.path.clone();
            below.push(b'/');
            let mut after = self.selection.roots().range(below.clone()..);
            if after.next().is_some_and(|root| root.starts_with(&below)) {
                let kept = if entry.facts.kind == Kind::Symlink { &mut self.links } else { &mut self.given };
                kept.insert(entry.path.clone());
            }
            self.ready.push_back(Step::Found(entry));
        }
    }

    fn leave(&mut self, path: Vec<u8>, why: LeftOut) {
        self.ready.push_back(Step::Left { path, why });
    }

    /// Goes on to the next name of the innermost folder.
    fn advance(&mut self) {
        let Some(frame) = self.stack.last_mut() else { return };
        let Some(name) = frame.names.next() else {
            self.stack.pop();
            return;
        };
        let mut path = frame.path.clone();
        if path != b"/" {
            path.push(b'/');
        }
        path.extend(name.to_bytes());
        let (folder, taken, device) = (Arc::clone(&frame.folder), frame.taken, frame.device);
        match Entry::at(path.clone(), &folder, name) {
            Ok(entry) => self.visit(entry, taken, Some(device)),
            Err(_) if self.selection.excludes(&path) => {}
            Err(error) if taken || !self.selection.matching(&path).is_empty() => self.leave(path, left_out(error)),
            Err(_) => {}
        }
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Some(step);
            }
            if !self.stack.is_empty() {
                self.advance();
            } else {
                let root = self.roots.pop()?;
                self.begin(root);
            }
        }
    }
}

/// The names of one folder, sorted, in one piece of memory: a folder may have millions.
struct Names {
    text: Vec<u8>,
    begins: Vec<usize>,
    next: usize,
}

impl Names {
    fn of(folder: &OwnedFd) -> rustix::io::Result<Self> {
        let (mut text, mut begins) = (Vec::new(), Vec::new());
        for item in Dir::read_from(folder)? {
            let item = item?;
            let name = item.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            begins.push(text.len());
            text.extend_from_slice(name.to_bytes_with_nul());
        }
        begins.sort_unstable_by(|a, b| name_at(&text, *a).cmp(&name_at(&text, *b)));
        Ok(Self { text, begins, next: 0 })
    }

    fn next(&mut self) -> Option<CString> {
        let begin = *self.begins.get(self.next)?;
        self.next += 1;
        name_at(&self.text, begin).map(CStr::to_owned)
    }
}

fn name_at(text: &[u8], begin: usize) -> Option<&CStr> {
    CStr::from_bytes_until_nul(text.get(begin..)?).ok()
}

fn whole(path: &[u8]) -> rustix::io::Result<CString> {
    CString::new(path).map_err(|_| Errno::INVAL)
}

fn words(error: Errno) -> String {
    std::io::Error::from(error).to_string()
}

fn left_out(error: Errno) -> LeftOut {
    if error == Errno::NOENT { LeftOut::Vanished } else { LeftOut::Unreadable(words(error)) }
}

/// Returns whether another file system is mounted there, be it another place of the same one.
#[cfg(target_os = "linux")]
fn is_mounted(entry: &Entry) -> bool {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    let answer = statx(entry.parent(), &entry.name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    answer.is_ok_and(|answer| answer.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
const fn is_mounted(_entry: &Entry) -> bool {
    false
}
