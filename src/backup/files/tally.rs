//! What a backup of files met on its way, counted, with the first few of each kind by name. Pure.

use std::fmt::Write as _;

use crate::domain::{Bytes, FilesWork, Manifest};
use crate::engine::files::{LeftOut, shown};

/// How many of a kind are named in a manifest; the list names all.
const NAMED: usize = 10;
/// What a note of a manifest begins with that says that the backup lacks something.
pub const FINDING: &str = "finding: ";

/// Returns how many findings a backup was completed with.
#[must_use]
pub fn findings(manifest: &Manifest) -> usize {
    manifest.notes.iter().filter(|note| note.starts_with(FINDING)).count()
}

/// What was met.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub folders: u64,
    pub files: u64,
    pub symlinks: u64,
    pub links: u64,
    pub bytes: u64,
    pub changed: Met,
    pub torn: Met,
    pub vanished: Met,
    pub unreadable: Met,
    pub special: Met,
    pub mounts: Met,
    pub behind: Met,
    pub loose: u64,
}

/// A number of things, some of them by name.
#[derive(Debug, Default)]
pub(super) struct Met {
    pub count: u64,
    names: Vec<String>,
}

impl Met {
    pub fn add(&mut self, path: &[u8], why: Option<&str>) {
        self.count += 1;
        if self.names.len() < NAMED {
            let path = shown(path);
            self.names.push(why.map_or_else(|| path.clone(), |why| format!("{path} ({why})")));
        }
    }

    fn note(&self, notes: &mut Vec<String>, prefix: &str, one: &str, many: &str) {
        if self.count == 0 {
            return;
        }
        let words = if self.count == 1 { one } else { many };
        let mut note = format!("{prefix}{} {words}: {}", self.count, self.names.join(", "));
        let more = self.count - self.names.len() as u64;
        if more > 0 {
            let _ = write!(note, " and {more} more, all in the list of the files");
        }
        notes.push(note);
    }
}

impl Tally {
    /// Returns how many things are in the tar file.
    pub const fn entries(&self) -> u64 {
        self.folders + self.files + self.symlinks + self.links
    }

    /// Counts what is left out.
    pub fn leave(&mut self, path: &[u8], why: &LeftOut) {
        match why {
            LeftOut::Special(what) => self.special.add(path, Some(what)),
            LeftOut::OtherFileSystem => self.mounts.add(path, None),
            LeftOut::Vanished => self.vanished.add(path, None),
            LeftOut::BehindLink => self.behind.add(path, None),
            LeftOut::Unreadable(words) => self.unreadable.add(path, Some(words)),
        }
    }

    /// Words it for the manifest: what is in the backup, then what a person should look at, the worst first.
    pub fn notes(&self, files: &FilesWork) -> Vec<String> {
        let of = |number: u64, word: &str| if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") };
        let mut notes = vec![format!(
            "{}, {}, {} and {} of {}; {} of content",
            of(self.files, "file"),
            of(self.folders, "folder"),
            of(self.symlinks, "symbolic link"),
            of(self.links, "hard link"),
            files.paths.join(", "),
            Bytes(self.bytes),
        )];
        self.unreadable.note(
            &mut notes,
            FINDING,
            "could not be read and is not in the backup",
            "could not be read and are not in the backup",
        );
        self.torn.note(
            &mut notes,
            FINDING,
            "failed while it was read, and is zeros from there on",
            "failed while they were read, and are zeros from there on",
        );
        self.mounts.note(
            &mut notes,
            FINDING,
            "file system is mounted below and was not entered; name it in `paths` to back it up",
            "file systems are mounted below and were not entered; name them in `paths` to back them up",
        );
        self.changed.note(
            &mut notes,
            "",
            "changed while it was read, and may be half of one state and half of another",
            "changed while they were read, and may be half of one state and half of another",
        );
        self.behind.note(
            &mut notes,
            "",
            "is a symbolic link that `paths` names: what it points to is not in the backup",
            "are symbolic links that `paths` names: what they point to is not in the backup",
        );
        self.vanished.note(&mut notes, "", "vanished before it was read", "vanished before they were read");
        self.special.note(
            &mut notes,
            "",
            "has no content that could be kept, and was left out",
            "have no content that could be kept, and were left out",
        );
        if self.loose > 0 {
            notes.push(format!(
                "{} stored by itself, since the names of files with several are remembered up to a limit",
                of(self.loose, "hard link"),
            ));
        }
        notes
    }
}
