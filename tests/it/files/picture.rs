//! Trees of every kind: made from a plan, and told as what can be compared.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use bkup::domain::sha256;
use proptest::prelude::*;

/// One thing of a tree, in a folder that is chosen by number among those that are there.
#[derive(Debug, Clone)]
pub enum Thing {
    Folder,
    File(Vec<u8>),
    Large(u32, u8),
    Sparse(Vec<(u32, u8)>, u32),
    Symlink(Vec<u8>),
    Link(usize),
}

pub type Plan = Vec<(usize, Vec<u8>, Thing, u32, i64)>;

/// Returns random trees.
pub fn trees() -> impl Strategy<Value = Plan> {
    let name = prop_oneof![
        "[a-z]{1,6}".prop_map(String::into_bytes),
        "[a-zé \\\\*\\[\n]{1,40}".prop_map(String::into_bytes),
        proptest::collection::vec(prop_oneof![1_u8..47, 48_u8..=255], 1..250),
    ];
    let thing = prop_oneof![
        2 => Just(Thing::Folder),
        4 => proptest::collection::vec(any::<u8>(), 0..2000).prop_map(Thing::File),
        1 => (260_000_u32..700_000, any::<u8>()).prop_map(|(size, with)| Thing::Large(size, with)),
        1 => (proptest::collection::vec((0_u32..4_000_000, any::<u8>()), 0..4), 0_u32..5_000_000)
            .prop_map(|(data, size)| Thing::Sparse(data, size)),
        1 => proptest::collection::vec(1_u8..=255, 1..200).prop_map(Thing::Symlink),
        1 => any::<usize>().prop_map(Thing::Link),
    ];
    let mode = prop_oneof![Just(0o644), Just(0o755), Just(0o4711), Just(0o1777), Just(0o700), Just(0o400)];
    proptest::collection::vec(
        (any::<usize>(), name, thing, mode, -1_000_000_000_000_i64..4_000_000_000_000_000_000),
        0..14,
    )
}

/// Makes a tree; what cannot be made, since its name is taken or too long, is left away.
pub fn plant(root: &Path, plan: &Plan) {
    std::fs::create_dir(root).unwrap();
    let mut folders = vec![root.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    let mut made: Vec<(PathBuf, u32, i64)> = Vec::new();
    for (parent, name, thing, mode, time) in plan {
        let path = folders[parent % folders.len()].join(OsStr::from_bytes(name));
        if name == b"." || name == b".." || std::fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        let fine = match thing {
            Thing::Folder => std::fs::create_dir(&path).map(|()| folders.push(path.clone())),
            Thing::File(content) => std::fs::write(&path, content),
            Thing::Large(size, with) => std::fs::write(&path, vec![*with; usize::try_from(*size).unwrap()]),
            Thing::Sparse(data, size) => sparse(&path, data, *size),
            Thing::Symlink(target) => symlink(OsStr::from_bytes(target), &path),
            Thing::Link(_) if files.is_empty() => continue,
            Thing::Link(of) => std::fs::hard_link(&files[of % files.len()], &path),
        };
        let Ok(facts) = fine.and_then(|()| std::fs::symlink_metadata(&path)) else { continue };
        if facts.is_file() {
            files.push(path.clone());
        }
        made.push((path, *mode, *time));
    }
    // The folders' own times last, from the deepest up.
    let root = rustix::process::geteuid().is_root();
    for (path, mode, time) in made.iter().rev() {
        let facts = std::fs::symlink_metadata(path).unwrap();
        // Others than root cannot read every folder, and get no rights back that were somebody else's.
        let mode = if facts.is_dir() { mode | 0o700 } else { *mode };
        let mode = if root { mode } else { mode & 0o1777 };
        if !facts.is_symlink() {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let times = rustix::fs::Timestamps {
            last_access: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
            last_modification: rustix::fs::Timespec {
                tv_sec: time.div_euclid(1_000_000_000),
                tv_nsec: time.rem_euclid(1_000_000_000),
            },
        };
        let flag = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, path, &times, flag).unwrap();
    }
}

fn sparse(path: &Path, data: &[(u32, u8)], size: u32) -> std::io::Result<()> {
    let file = std::fs::File::create_new(path)?;
    for (at, with) in data {
        file.write_all_at(&[*with; 3000], u64::from(*at))?;
    }
    let length = file.metadata()?.len().max(u64::from(size));
    file.set_len(length)
}

/// Tells a tree: each path with what it is, whose, its permissions, its time, its content, and which paths are one file.
pub fn picture(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut told = BTreeMap::new();
    let mut first: BTreeMap<u64, PathBuf> = BTreeMap::new();
    tell(root, root, &mut first, &mut told);
    told
}

fn tell(root: &Path, path: &Path, first: &mut BTreeMap<u64, PathBuf>, told: &mut BTreeMap<Vec<u8>, String>) {
    let facts = std::fs::symlink_metadata(path).unwrap();
    let within = path.strip_prefix(root).unwrap().to_owned();
    let kind = if facts.is_symlink() {
        format!("link to {:?}", std::fs::read_link(path).unwrap())
    } else if facts.is_dir() {
        "folder".to_owned()
    } else {
        let one = first.entry(facts.ino()).or_insert_with(|| within.clone());
        format!("file {} {} one with {one:?}", facts.len(), sha256(&std::fs::read(path).unwrap()))
    };
    let mode = if facts.is_symlink() { 0 } else { facts.mode() };
    let words =
        format!("{kind} {mode:o} {}:{} at {}.{:09}", facts.uid(), facts.gid(), facts.mtime(), facts.mtime_nsec());
    told.insert(within.as_os_str().as_bytes().to_vec(), words);
    if facts.is_dir() {
        let mut names: Vec<PathBuf> = std::fs::read_dir(path).unwrap().map(|item| item.unwrap().path()).collect();
        names.sort();
        for name in names {
            tell(root, &name, first, told);
        }
    }
}
