//! What the file system says of one thing. Pure but for the type of its answers.

use rustix::fs::{FileType, Stat};

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link.
    Symlink,
    /// What has no content that could be kept.
    Other(&'static str),
}

/// What the file system says of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Its permissions, twelve bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The bytes that it takes on its disk.
    pub stored: u64,
    /// When its content changed: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// When anything of it changed.
    pub changed: (i64, u32),
    /// Which file it is, whatever its name: device and inode.
    pub identity: (u64, u64),
    /// How many names it has.
    pub links: u64,
}

impl Facts {
    pub(super) fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Folder,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Other("a pipe"),
            FileType::Socket => Kind::Other("a socket"),
            FileType::CharacterDevice | FileType::BlockDevice => Kind::Other("a device"),
            FileType::Unknown => Kind::Other("of an unknown kind"),
        };
        Self {
            kind,
            mode: narrow(stat.st_mode) & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: wide(stat.st_size),
            stored: wide(stat.st_blocks).saturating_mul(512),
            modified: (signed(stat.st_mtime), narrow(stat.st_mtime_nsec)),
            changed: (signed(stat.st_ctime), narrow(stat.st_ctime_nsec)),
            identity: (wide(stat.st_dev), wide(stat.st_ino)),
            links: wide(stat.st_nlink),
        }
    }

    /// Returns whether it is still as it was when these facts were taken. A change of its owner counts, since what is in
    /// the archive would be half of the one and half of the other.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        self.identity == other.identity
            && self.size == other.size
            && self.modified == other.modified
            && self.changed == other.changed
    }
}

// The fields' types differ between systems.

fn wide<T: TryInto<u64>>(number: T) -> u64 {
    number.try_into().unwrap_or(0)
}

fn signed<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(0)
}

fn narrow<T: TryInto<u32>>(number: T) -> u32 {
    number.try_into().unwrap_or(0)
}
