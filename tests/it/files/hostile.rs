//! Archives that somebody made by hand: each is refused, and nothing outside of the folder is touched.

use std::sync::Arc;

use bkup::artifact::pax::{PaxEntry, PaxKind, end, head, padding};
use bkup::artifact::{PackRequest, PipeReader, pack};
use bkup::domain::{Compression, Manifest, PartKind};
use bkup::engine::files::FilesError;
use bkup::restore::RestoreError;
use bkup::store::WriteStore;
use bytes::Bytes;

use super::Shelf;

fn entry(path: &str, kind: PaxKind) -> PaxEntry {
    PaxEntry { path: path.as_bytes().to_vec(), kind, mode: 0o644, uid: 0, gid: 0, modified: (1_700_000_000, 0) }
}

fn file(path: &str) -> PaxEntry {
    entry(path, PaxKind::File { size: 5 })
}

fn symlink(path: &str, target: &str) -> PaxEntry {
    entry(path, PaxKind::Symlink(target.as_bytes().to_vec()))
}

fn link(path: &str, target: &str) -> PaxEntry {
    entry(path, PaxKind::Link(target.as_bytes().to_vec()))
}

fn archive(entries: &[PaxEntry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend(head(entry));
        let size = entry.content();
        bytes.extend(std::iter::repeat_n(b'!', usize::try_from(size).unwrap()));
        bytes.resize(bytes.len() + padding(size), 0);
    }
    bytes.extend(end());
    bytes
}

/// Puts other bytes in the place of a backup's tar file, as whoever holds the keys could.
async fn exchange(shelf: &Shelf, manifest: &Manifest, bytes: Vec<u8>) -> Manifest {
    let request = PackRequest {
        store: Arc::clone(&shelf.store) as Arc<dyn WriteStore>,
        key: "exchanged".to_owned(),
        kind: PartKind::Tar,
        compression: Compression::default(),
        recipient: None,
        digest_key: None,
        estimate: None,
    };
    let part = pack(request, PipeReader::from_bytes(Bytes::from(bytes))).await.unwrap();
    let mut manifest = manifest.clone();
    manifest.parts[0] = part;
    manifest
}

#[tokio::test(flavor = "multi_thread")]
async fn no_archive_writes_outside_of_its_folder() {
    let dirs = tempfile::tempdir().unwrap();
    let outside = dirs.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    std::fs::write(dirs.path().join("seed"), "seed").unwrap();
    let shelf = Shelf::open();
    let manifest = shelf.back_up(&[dirs.path().join("seed").to_str().unwrap()], &[]).await.unwrap();
    let away = outside.to_str().unwrap();
    let new = outside.join("new").display().to_string();
    let secret = outside.join("secret").display().to_string();
    let mut device = archive(&[entry("null", PaxKind::Folder)]);
    (device[156], device[155]) = (b'3', b' ');
    let sum: u32 =
        device[..512].iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) }).sum();
    device[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        ("climbs", archive(&[file("../escaped")])),
        ("climbs from within", archive(&[entry("a", PaxKind::Folder), file("a/../../escaped")])),
        ("begins at the root", archive(&[file(&new)])),
        ("a folder that climbs", archive(&[entry("..", PaxKind::Folder)])),
        ("a file through a link", archive(&[symlink("a", away), file("a/new")])),
        ("a file through a relative link", archive(&[symlink("a", "../outside"), file("a/new")])),
        ("a folder through a link", archive(&[symlink("a", away), entry("a/new", PaxKind::Folder)])),
        ("a folder in the place of a link", archive(&[symlink("a", away), entry("a", PaxKind::Folder)])),
        ("a link through a link", archive(&[symlink("a", away), symlink("a/new", "x")])),
        ("a file over a link", archive(&[symlink("a", &new), file("a")])),
        (
            "a sparse file over a link",
            archive(&[symlink("a", &secret), entry("a", PaxKind::Sparse { size: 9, data: vec![] })]),
        ),
        ("a hard link outwards", archive(&[link("a", "../outside/secret"), file("a")])),
        ("a hard link to the root", archive(&[link("a", &secret)])),
        ("a hard link through a link", archive(&[symlink("l", away), link("a", "l/secret")])),
        ("a hard link to a link", archive(&[symlink("l", &secret), link("a", "l")])),
        ("a hard link to a folder", archive(&[entry("d", PaxKind::Folder), link("a", "d")])),
        ("a hard link to nothing", archive(&[link("a", "b")])),
        ("a hard link below a link", archive(&[file("f"), symlink("l", away), link("l/new", "f")])),
        ("a file twice", archive(&[file("a"), file("a")])),
        ("a file that is a folder", archive(&[file("a"), file("a/b")])),
        ("a device", device),
    ];
    for (number, (what, bytes)) in attacks.into_iter().enumerate() {
        let into = dirs.path().join(format!("into-{number}"));
        let changed = exchange(&shelf, &manifest, bytes).await;
        let error = shelf.bring_back(&changed, &into).await.unwrap_err();
        assert!(matches!(error, RestoreError::Files(FilesError::Refused { .. })), "{what}: {error}");
        let mut left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|item| item.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["secret"], "{what}");
        assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "secret", "{what}");
        let links = std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(outside.join("secret")).unwrap());
        assert_eq!(links, 1, "{what}");
        assert!(!dirs.path().join("escaped").exists(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leads_away_is_kept_and_left_alone() {
    let dirs = tempfile::tempdir().unwrap();
    std::fs::write(dirs.path().join("seed"), "seed").unwrap();
    let shelf = Shelf::open();
    let manifest = shelf.back_up(&[dirs.path().join("seed").to_str().unwrap()], &[]).await.unwrap();
    let changed = exchange(&shelf, &manifest, archive(&[symlink("a", "/etc/passwd")])).await;
    let into = dirs.path().join("into");
    let error = shelf.bring_back(&changed, &into).await.unwrap_err();
    assert!(matches!(error, RestoreError::NotEqual { .. }), "it is not what the list says: {error}");
    assert_eq!(std::fs::read_link(into.join("a")).unwrap(), std::path::Path::new("/etc/passwd"));
}
