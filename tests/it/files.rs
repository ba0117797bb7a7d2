//! Suite: backups of files. Trees of every kind come back as they were; what changes, vanishes or cannot be read is told;
//! no archive, however it was made, writes outside of its folder.

mod binary;
mod hostile;
mod picture;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use bkup::backup::{self, BackupError, Destination, Machine, Order, Policies};
use bkup::crypto::{DigestKey, Identity};
use bkup::domain::{
    ActionId, Address, BackupId, BackupMethod, BackupType, BackupWork, Compression, Engine, FileKind, FileLine,
    FilesWork, Instant, Manifest, PartKind, RetentionRule, Scope, Section, sha256,
};
use bkup::restore::{self, Done, Opened, Origin, RestoreError};
use bkup::store::{MemoryStore, ReadStore, WriteStore};
use proptest::prelude::*;

use crate::world::model::{at, name};
use picture::{picture, plant, trees};

/// A store with its keys, and what backups in it are taken with.
pub struct Shelf {
    pub store: Arc<MemoryStore>,
    identity: Option<Identity>,
    digest_key: Option<DigestKey>,
}

impl Shelf {
    /// Returns one that encrypts.
    pub fn new() -> Self {
        let digest_key = Some(DigestKey::from_bytes([7; 32]));
        let made = bkup::crypto::generate_identity(now());
        let identity = Identity::parse_all(secrecy::ExposeSecret::expose_secret(&made.text)).unwrap().pop();
        Self { store: Arc::new(MemoryStore::new("shelf")), identity, digest_key }
    }

    /// Returns one that does not.
    pub fn open() -> Self {
        Self { store: Arc::new(MemoryStore::new("open")), identity: None, digest_key: None }
    }

    pub async fn back_up(&self, paths: &[&str], exclude: &[&str]) -> Result<Manifest, BackupError> {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let order = order(FilesWork { paths: texts(paths), exclude: texts(exclude) });
        let destination = Destination {
            store: Arc::clone(&self.store) as Arc<dyn WriteStore>,
            store_id: "shelf".to_owned(),
            recipients: self.identity.iter().map(Identity::recipient).collect(),
            digest_key: self.digest_key.clone(),
            storage_class: None,
        };
        let taken = backup::run(&order, &Machine::at(now()), &destination).await?;
        assert!(taken.by_this_attempt);
        Ok(taken.manifest)
    }

    pub async fn opened(&self, manifest: &Manifest) -> Opened {
        let origin = Origin {
            manifest: manifest.clone(),
            store: Arc::clone(&self.store) as Arc<dyn ReadStore>,
            identities: self.identity.iter().cloned().collect(),
            digest_key: None,
        };
        restore::open(origin).await.unwrap()
    }

    pub async fn bring_back(&self, manifest: &Manifest, folder: &Path) -> Result<Done, RestoreError> {
        restore::files_into(&self.opened(manifest).await, folder, &|_| ()).await
    }

    /// Returns the list of a backup, line by line.
    pub async fn list(&self, manifest: &Manifest) -> Vec<FileLine> {
        let text = self.opened(manifest).await.read(PartKind::FileList, 64 << 20).await.unwrap();
        text.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

fn now() -> Instant {
    at("2026-11-20T03:00:00Z")
}

fn order(files: FilesWork) -> Order {
    let schedule = name("uploads");
    let scope = Scope::Files(schedule.clone());
    let address = Address::of(Section::Schedule, schedule.clone());
    let action = ActionId::of("back_up", None, Some(&scope), &address, None);
    Order {
        work: BackupWork {
            backup: BackupId::of(now(), "uploads", action),
            schedule,
            database: None,
            scope,
            tenant: None,
            slot: now(),
            start_before: None,
            backup_type: BackupType::Files,
            engine: Engine::Logical,
            method: BackupMethod::Scheduled,
            store: name("primary"),
            shared: None,
            leave_out: Vec::new(),
            priority: 0,
            compression: Compression::default(),
            retention: RetentionRule::default(),
            parallel: 1,
            protect: false,
            configuration: None,
            asked_for: None,
            tables: Vec::new(),
            csv: false,
            jobs: None,
            files: Some(files),
            found: None,
        },
        action,
        attempt: 1,
        policy_digest: sha256(b"policies"),
        simulated: None,
        now: Arc::new(now),
        tool_version: "0".to_owned(),
        lineage: "here".to_owned(),
        policies: Arc::new(Policies::default()),
        still_mine: Arc::new(|| Box::pin(async { true })),
        notes: Vec::new(),
    }
}

/// Returns where a path of this machine is below a folder into which it was brought back.
pub fn below(folder: &Path, path: &Path) -> std::path::PathBuf {
    folder.join(path.strip_prefix("/").unwrap())
}

fn glob(path: &Path) -> String {
    format!("{}/**", path.display())
}

#[track_caller]
fn finding(manifest: &Manifest, words: &str) {
    let found = manifest.notes.iter().any(|note| note.starts_with(backup::FINDING) && note.contains(words));
    assert!(found, "no finding with {words:?}: {:?}", manifest.notes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_comes_back_as_it_was(plan in trees(), encrypted in any::<bool>()) {
        let dirs = tempfile::tempdir().unwrap();
        let source = dirs.path().join("source");
        plant(&source, &plan);
        let shelf = if encrypted { Shelf::new() } else { Shelf::open() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let into = dirs.path().join("into");
        let done = runtime.block_on(async {
            let manifest = shelf.back_up(&[source.to_str().unwrap()], &[]).await.unwrap();
            assert!(manifest.notes.len() == 1, "{:?}", manifest.notes);
            shelf.bring_back(&manifest, &into).await.unwrap()
        });
        prop_assert_eq!(picture(&below(&into, &source)), picture(&source));
        prop_assert!(done.proofs[0].files.as_ref().unwrap().is_equal());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_globs_mean_is_taken_once_and_nothing_else() {
    let dirs = tempfile::tempdir().unwrap();
    let source = dirs.path().join("s");
    for file in ["a/1.txt", "a/2.tmp", "a/deep/3.txt", "b/4.jpg", "b/cache/5.txt", "c/6.txt", "empty/.keep"] {
        let path = source.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
    std::fs::remove_file(source.join("empty/.keep")).unwrap();
    let shelf = Shelf::new();
    let paths = |globs: &[&str]| globs.iter().map(|glob| format!("{}/{glob}", source.display())).collect::<Vec<_>>();
    let owned = paths(&["a/**", "**/*.txt", "b/*.jpg", "a/1.txt", "empty"]);
    let texts: Vec<&str> = owned.iter().map(String::as_str).collect();
    let cache = format!("{}/b/cache/**", source.display());
    let manifest = shelf.back_up(&texts, &["*.tmp", &cache]).await.unwrap();
    let lines = shelf.list(&manifest).await;
    let prefix = source.strip_prefix("/").unwrap().as_os_str().as_bytes().to_vec();
    let mut found: Vec<String> = lines
        .iter()
        .filter_map(|line| line.path.as_ref()?.bytes())
        .filter_map(|path| Some(String::from_utf8(path.strip_prefix(prefix.as_slice())?.to_vec()).unwrap()))
        .collect();
    found.sort();
    assert_eq!(found, ["", "/a", "/a/1.txt", "/a/deep", "/a/deep/3.txt", "/b", "/b/4.jpg", "/c", "/c/6.txt", "/empty"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glob_that_nothing_matches_is_an_error_and_writes_nothing() {
    let dirs = tempfile::tempdir().unwrap();
    let source = dirs.path().join("s");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("a"), "a").unwrap();
    let shelf = Shelf::new();
    let there = glob(&source);
    for missing in
        ["/not/there/**".to_owned(), format!("{}/*.jpg", source.display()), format!("{}/x/**", source.display())]
    {
        let error = shelf.back_up(&[&there, &missing], &[]).await.unwrap_err().to_string();
        assert!(error.contains("nothing matches") && error.contains(&missing) && !error.contains(&there), "{error}");
    }
    assert!(shelf.store.keys().iter().all(|key| key.starts_with("keys/")), "{:?}", shelf.store.keys());
    let empty = dirs.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let error = shelf.back_up(&[&glob(&empty)], &[]).await.unwrap_err().to_string();
    assert!(error.contains("nothing matches"), "as of a disk that is not mounted: {error}");
    let _named_itself = shelf.back_up(&[empty.to_str().unwrap()], &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_finding_and_nothing_read_is_an_error() {
    let dirs = tempfile::tempdir().unwrap();
    let source = dirs.path().join("s");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("a"), "a").unwrap();
    let shelf = Shelf::new();
    // Not even root reads the first page of its memory.
    let memory = format!("/proc/{}/mem", std::process::id());
    let error = shelf.back_up(&[&memory], &[]).await.unwrap_err().to_string();
    assert!(error.contains("none of the 1 files that match could be read"), "{error}");
    let manifest = shelf.back_up(&[&glob(&source), &memory], &[]).await.unwrap();
    finding(&manifest, "1 could not be read and is not in the backup: /proc/");
    assert_eq!(backup::findings(&manifest), 1);
    let left: Vec<FileLine> =
        shelf.list(&manifest).await.into_iter().filter(|line| line.kind == FileKind::LeftOut).collect();
    assert_eq!(left.len(), 1);
    let into = dirs.path().join("into");
    let done = shelf.bring_back(&manifest, &into).await.unwrap();
    assert_eq!(done.proofs[0].files.as_ref().unwrap().left_out, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_pipes_are_left_out_and_told_and_no_link_is_followed() {
    let dirs = tempfile::tempdir().unwrap();
    let (source, outside) = (dirs.path().join("s"), dirs.path().join("outside"));
    std::fs::create_dir(&source).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(&outside, source.join("link")).unwrap();
    std::os::unix::fs::symlink("/not/there", source.join("dangling")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, source.join("pipe"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let shelf = Shelf::new();
    let manifest = shelf.back_up(&[&glob(&source)], &[]).await.unwrap();
    let note = manifest.notes.iter().find(|note| note.contains("left out")).unwrap();
    assert!(note.starts_with("2 have no content") && note.contains("socket") && note.contains("pipe"), "{note}");
    let into = dirs.path().join("into");
    let _done = shelf.bring_back(&manifest, &into).await.unwrap();
    let there = below(&into, &source);
    assert_eq!(std::fs::read_link(there.join("link")).unwrap(), outside);
    assert_eq!(std::fs::read_link(there.join("dangling")).unwrap(), Path::new("/not/there"));
    assert!(!below(&into, &outside).exists(), "what a link points to is not in the backup");
    assert!(!there.join("socket").exists() && !there.join("pipe").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_and_shrinks_meanwhile_leaves_a_whole_archive_and_a_note() {
    let dirs = tempfile::tempdir().unwrap();
    let source = dirs.path().join("s");
    std::fs::create_dir(&source).unwrap();
    let path = source.join("busy");
    std::fs::write(&path, vec![7; 12 << 20]).unwrap();
    std::fs::write(source.join("zz"), "still").unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (stop, path) = (Arc::clone(&stop), path.clone());
        std::thread::spawn(move || {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                file.set_len(6 << 20).unwrap();
                file.set_len(13 << 20).unwrap();
            }
        })
    };
    let shelf = Shelf::new();
    let manifest = shelf.back_up(&[&glob(&source)], &[]).await.unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert!(manifest.notes.iter().any(|note| note.starts_with("1 changed while it was read")), "{:?}", manifest.notes);
    let into = dirs.path().join("into");
    let done = shelf.bring_back(&manifest, &into).await.unwrap();
    assert_eq!(done.proofs[0].files.as_ref().unwrap().unsettled, 1);
    assert_eq!(std::fs::read(below(&into, &source).join("zz")).unwrap(), b"still");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_sparse_file_costs_its_data_alone() {
    let dirs = tempfile::tempdir().unwrap();
    let source = dirs.path().join("s");
    std::fs::create_dir(&source).unwrap();
    let path = source.join("lastlog");
    let file = std::fs::File::create(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"far out", 1 << 40).unwrap();
    file.set_len((1 << 40) + (1 << 30)).unwrap();
    let shelf = Shelf::new();
    let manifest = shelf.back_up(&[&glob(&source)], &[]).await.unwrap();
    let tar = manifest.parts.iter().find(|part| part.kind == PartKind::Tar).unwrap();
    assert!(tar.original_size < 1 << 20, "{}", tar.original_size);
    let into = dirs.path().join("into");
    let _done = shelf.bring_back(&manifest, &into).await.unwrap();
    let facts = std::fs::metadata(below(&into, &path)).unwrap();
    assert_eq!(facts.len(), (1 << 40) + (1 << 30));
    assert!(std::os::unix::fs::MetadataExt::blocks(&facts) * 512 < 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_after_it_was_brought_back_is_told() {
    let dirs = tempfile::tempdir().unwrap();
    let source = dirs.path().join("s");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("a"), "a").unwrap();
    std::fs::write(source.join("b"), "b").unwrap();
    let shelf = Shelf::new();
    let manifest = shelf.back_up(&[&glob(&source)], &[]).await.unwrap();
    let into = dirs.path().join("into");
    let _done = shelf.bring_back(&manifest, &into).await.unwrap();
    let there = below(&into, &source);
    let time = std::fs::metadata(there.join("a")).unwrap().modified().unwrap();
    std::fs::write(there.join("a"), "x").unwrap();
    std::fs::File::options().write(true).open(there.join("a")).unwrap().set_modified(time).unwrap();
    std::fs::remove_file(there.join("b")).unwrap();
    let proof = restore::prove_files(&shelf.opened(&manifest).await, &into).await.unwrap();
    let examples = proof.examples.join("; ");
    assert!(examples.contains("a (its content differs)") && examples.contains("b (it is not there)"), "{examples}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_usual_tar_reads_the_archive() {
    let dirs = tempfile::tempdir().unwrap();
    let source = dirs.path().join("s");
    let long = "x".repeat(200);
    std::fs::create_dir_all(source.join(&long)).unwrap();
    std::fs::write(source.join(&long).join("ä".repeat(90)), "long").unwrap();
    std::fs::write(source.join(std::ffi::OsStr::from_bytes(b"no\xfftext")), "bytes").unwrap();
    std::fs::write(source.join("one"), "one").unwrap();
    std::fs::hard_link(source.join("one"), source.join("two")).unwrap();
    std::os::unix::fs::symlink("one", source.join("three")).unwrap();
    let holes = std::fs::File::create(source.join("holes")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"data", 3 << 20).unwrap();
    holes.set_len(5 << 20).unwrap();
    drop(holes);
    let shelf = Shelf::open();
    let manifest = shelf.back_up(&[source.to_str().unwrap()], &[]).await.unwrap();
    let bytes = shelf.opened(&manifest).await.read(PartKind::Tar, 64 << 20).await.unwrap();
    let archive = dirs.path().join("files.tar");
    std::fs::write(&archive, &bytes).unwrap();
    let into = dirs.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let mut tar = assert_cmd::Command::new("tar");
    let _out = tar.args(["-xpf", archive.to_str().unwrap(), "-C", into.to_str().unwrap()]).assert().success();
    assert_eq!(picture(&below(&into, &source)), picture(&source));
}
