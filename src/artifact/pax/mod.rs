//! Tar files of a file system's trees, in POSIX's extended form: names of any length and any bytes, owners, modes, times
//! to the nanosecond, symbolic and hard links, and sparse files by their data alone, as GNU tar 1.0 writes them. Every
//! usual `tar` reads the result. Pure: bytes in, bytes out, and never more than one header in memory.

mod read;
mod write;

pub use read::PaxReader;
pub use write::{end, head, padding};

/// The most extents a sparse file is described by; what lies behind the last one is taken as data.
pub const MOST_EXTENTS: usize = 65_536;

/// A run of data in a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins, in bytes.
    pub at: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaxKind {
    /// A folder.
    Folder,
    /// A file whose content follows.
    File {
        /// In bytes.
        size: u64,
    },
    /// A file with holes; only its data follows, extent after extent.
    Sparse {
        /// With the holes, in bytes.
        size: u64,
        /// Its data, in order, without overlaps.
        data: Vec<Extent>,
    },
    /// A symbolic link, with what it points to.
    Symlink(Vec<u8>),
    /// Another name of a file that came before, with the path of that.
    Link(Vec<u8>),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaxEntry {
    /// Its path, relative, without a slash at its end.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: PaxKind,
    /// Its permissions, twelve bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was modified: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
}

impl PaxEntry {
    /// Returns how many bytes of content follow the head.
    #[must_use]
    pub fn content(&self) -> u64 {
        match &self.kind {
            PaxKind::File { size } => *size,
            PaxKind::Sparse { data, .. } => data.iter().map(|extent| extent.length).sum(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;
    use crate::artifact::TarError;

    fn entry(path: &[u8], kind: PaxKind) -> PaxEntry {
        PaxEntry { path: path.to_vec(), kind, mode: 0o640, uid: 0, gid: 0, modified: (1_700_000_000, 0) }
    }

    fn archive(entries: &[(PaxEntry, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (entry, content) in entries {
            bytes.extend(head(entry));
            bytes.extend(content);
            bytes.resize(bytes.len() + padding(content.len() as u64), 0);
        }
        bytes.extend(end());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<(PaxEntry, Vec<u8>)>, TarError> {
        let mut reader = PaxReader::new(bytes);
        let mut all = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).map_err(|error| TarError::Damaged(error.to_string()))?;
            all.push((entry, content));
        }
        Ok(all)
    }

    fn paths() -> impl Strategy<Value = Vec<u8>> {
        let name = proptest::collection::vec(prop_oneof![1_u8..47, 48_u8..=255], 1..90)
            .prop_filter("no step", |name| name.as_slice() != b"." && name.as_slice() != b"..");
        proptest::collection::vec(name, 1..5).prop_map(|names| names.join(&b'/'))
    }

    fn entries() -> impl Strategy<Value = (PaxEntry, Vec<u8>)> {
        let sparse = proptest::collection::vec((1_u64..9_000_000_000, 0_u64..700), 0..6).prop_map(|runs| {
            let (mut at, mut data) = (0, Vec::new());
            for (gap, length) in runs {
                at += gap;
                data.push(Extent { at, length });
                at += length;
            }
            PaxKind::Sparse { size: at + 5, data }
        });
        let kind = prop_oneof![
            Just(PaxKind::Folder),
            (0_u64..1500).prop_map(|size| PaxKind::File { size }),
            sparse,
            proptest::collection::vec(1_u8..=255, 1..300).prop_map(PaxKind::Symlink),
            paths().prop_map(PaxKind::Link),
        ];
        let modified = (-5_000_000_000_i64..200_000_000_000, 0_u32..1_000_000_000);
        (paths(), kind, 0_u32..0o10000, any::<u32>(), any::<u32>(), modified).prop_map(
            |(path, kind, mode, uid, gid, modified)| {
                let entry = PaxEntry { path, kind, mode, uid, gid, modified };
                let content = (0..entry.content()).map(|at| u8::try_from(at % 251).unwrap()).collect();
                (entry, content)
            },
        )
    }

    proptest! {
        #[test]
        fn entries_come_back_as_they_were(all in proptest::collection::vec(entries(), 0..6)) {
            prop_assert_eq!(read(&archive(&all)).unwrap(), all);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _refused_or_empty = read(&bytes);
        }

        #[test]
        fn a_changed_byte_never_makes_it_panic(
            all in proptest::collection::vec(entries(), 1..4), at in any::<prop::sample::Index>(), to in any::<u8>()
        ) {
            let mut bytes = archive(&all);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _refused_or_other = read(&bytes);
        }
    }

    #[test]
    fn what_would_land_elsewhere_is_refused() {
        for path in ["../a", "/etc/passwd", "a/../../b", "a/..", "", ".", "a//b", "a/./b", "a/"] {
            let folder = archive(&[(entry(path.as_bytes(), PaxKind::Folder), Vec::new())]);
            assert!(matches!(read(&folder), Err(TarError::Outside(_))), "{path:?}");
            let link = archive(&[(entry(b"x", PaxKind::Link(path.as_bytes().to_vec())), Vec::new())]);
            assert!(matches!(read(&link), Err(TarError::Outside(_))), "hard link to {path:?}");
        }
        // A name that fits into a header ends there with its first zero.
        let long = [vec![b'x'; 120], b"\0b".to_vec()].concat();
        assert!(matches!(read(&archive(&[(entry(&long, PaxKind::Folder), Vec::new())])), Err(TarError::Outside(_))));
    }

    #[test]
    fn a_cut_or_changed_head_is_no_archive() {
        let whole = archive(&[(entry(b"a", PaxKind::File { size: 700 }), vec![7; 700])]);
        for end in [0, 100, 512, 600, 1500, 1536] {
            assert!(matches!(read(&whole[..end]), Err(TarError::Damaged(_))), "{end}");
        }
        let mut changed = whole.clone();
        changed[3] ^= 1;
        assert!(matches!(read(&changed), Err(TarError::Damaged(_))));
    }

    #[test]
    fn a_sparse_map_that_does_not_fit_is_refused() {
        let wrong = [
            (10, vec![Extent { at: 8, length: 4 }]),
            (10, vec![Extent { at: 4, length: 2 }, Extent { at: 5, length: 1 }]),
            (10, vec![Extent { at: u64::MAX, length: 1 }]),
        ];
        for (size, data) in wrong {
            let entry = entry(b"a", PaxKind::Sparse { size, data });
            let content = vec![0; usize::try_from(entry.content()).unwrap()];
            assert!(matches!(read(&archive(&[(entry, content)])), Err(TarError::Damaged(_))));
        }
    }
}
