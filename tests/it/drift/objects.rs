//! Objects of real stores, deleted, truncated and put there by others.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bkup::catalog::Reader;
use bkup::domain::Instant;
use bkup::observe::{self, Sources};
use bkup::store::{FolderStore, ListPage, ObjectFacts, ReadStore, ServerClock, StoreError};
use bytes::Bytes;

use crate::world::cluster::Major;
use crate::world::model::{at, name};
use crate::world::s3::S3Server;
use crate::world::setup::{CATALOG, Place, Setup};

/// Returns the key of the only object of the whole database's backup whose key holds a text.
async fn key_of(setup: &Setup, containing: &str) -> String {
    let keys = setup.keys().await;
    let found = keys.into_iter().filter(|key| key.contains("app/database/") && key.contains(containing));
    let found: Vec<String> = found.collect();
    assert_eq!(found.len(), 1, "{containing}: {found:?}");
    found[0].clone()
}

#[tokio::test]
async fn a_backup_that_is_not_whole_any_more_is_quarantined_and_replaced() {
    for (what, words) in [
        ("delete the data", "1 of its 2 data objects is gone"),
        ("truncate the data", "bytes instead of"),
        ("delete the key", "its key object is gone: nobody can decrypt it"),
        ("truncate the manifest", "its manifest cannot be understood any more"),
        ("delete the manifest", "its manifest is gone"),
    ] {
        let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
        let _ = setup.first();
        let containing = match what {
            _ if what.ends_with("data") => "archive.dump",
            _ if what.ends_with("key") => "keys/",
            _ => "manifest.json",
        };
        let keys = setup.keys().await;
        let key = keys.iter().find(|key| {
            key.contains("app/database/")
                && key.contains(containing)
                && (key.starts_with("keys/") == what.ends_with("key"))
        });
        let path = setup.folder().join(key.unwrap_or_else(|| panic!("{containing}: {keys:?}")));
        if what.starts_with("delete") {
            std::fs::remove_file(&path).unwrap();
        } else {
            let half = std::fs::metadata(&path).unwrap().len() / 2;
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(half).unwrap();
        }
        let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
        assert!(drift.stdout.contains(words), "{what}:\n{}", drift.stdout);
        let _ = setup.apply().success();
        setup.assert_converges().await;
        assert_eq!(setup.catalog("SELECT count(*) FROM bkup.executions WHERE quarantine IS NOT NULL").await, "1");
        setup.now("2026-03-03T02:40:00Z");
        let _ = setup.apply().success();
        let eligible = "SELECT count(*) FROM bkup.executions WHERE scope = 'database' AND status = 'COMPLETED' \
                        AND quarantine IS NULL";
        assert_eq!(setup.catalog(eligible).await, "1", "{what}: the next slot replaces it");
        setup.assert_converges().await;
    }
}

#[tokio::test]
async fn objects_that_came_back_after_the_plan_was_made_are_in_use_again() {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme"]).await;
    let _ = setup.apply().success();
    let key = format!("deep/prefix/{}", key_of(&setup, "archive.dump").await);
    let bytes = setup.s3().remove(&key).expect("an object");
    let _ = setup.run(&["plan", "--out", "plan.json"]).success();
    setup.s3().set(&key, bytes);
    let applied = setup.run(&["apply", "plan.json"]);
    assert!(applied.stdout.contains("its objects are all there again"), "{}{}", applied.stdout, applied.stderr);
    assert_eq!(setup.catalog("SELECT count(*) FROM bkup.executions WHERE quarantine IS NOT NULL").await, "0");
    setup.assert_converges().await;
}

#[tokio::test]
async fn objects_of_nobody_are_told_when_they_are_old_enough_and_left_alone() {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme"]).await;
    let _ = setup.apply().success();
    let key = "deep/prefix/backups/app/database/20200101T000000Z-other-00/a-1/x.dump";
    setup.s3().set(key, vec![0; 100].into());
    let _ = setup.run(&["drift", "--detailed-exitcode"]).exits(0);
    setup.s3().age(key, Duration::from_secs(2 * 3600));
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
    assert!(drift.stdout.contains("1 object is among the backups and of none the catalog knows"), "{}", drift.stdout);
    let _ = setup.apply().success();
    assert!(setup.s3().bytes(key).is_some());
    assert!(setup.s3().remove(key).is_some());
    setup.assert_converges().await;
}

#[tokio::test]
async fn uploads_of_attempts_that_are_over_are_aborted_and_those_of_others_are_told() {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme"]).await;
    let _ = setup.apply().success();
    let data = key_of(&setup, "archive.dump").await;
    let folder = &data[..data.rfind('/').unwrap()];
    setup.s3().leave_upload(&format!("deep/prefix/{folder}/late.dump"), Duration::from_secs(60), 1000);
    setup.s3().leave_upload("deep/prefix/probe/abc-parts", Duration::from_secs(2 * 86400), 10);
    setup.s3().leave_upload("elsewhere/x", Duration::from_secs(86400), 10);
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
    assert!(drift.stdout.contains("abort 2 uploads in primary"), "{}", drift.stdout);
    let _ = setup.apply().success();
    assert_eq!(setup.s3().unfinished(), 1, "what lies outside the prefix is not bkup's");
    setup.assert_converges().await;
    setup.s3().leave_upload("deep/prefix/other/x", Duration::from_secs(3 * 86400), 10);
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
    assert!(drift.stdout.contains("the oldest 3 days old"), "{}", drift.stdout);
    let _ = setup.apply().success();
    assert_eq!(setup.s3().unfinished(), 2, "an upload that nobody knows is left alone");
}

#[tokio::test]
async fn an_upload_of_an_attempt_that_is_at_work_is_nobodys_business() {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme"]).await;
    let _ = setup.apply().success();
    let data = key_of(&setup, "archive.dump").await;
    let running = "INSERT INTO bkup.executions (backup_type, backup_name, status, backup_id, attempt, action_id, store, \
                   database, scope, started_at, lease_until) SELECT backup_type, backup_name, 'RUNNING', backup_id, 77, \
                   action_id, store, database, scope, now(), now() + interval '1 hour' FROM bkup.executions \
                   WHERE scope = 'database' AND status = 'COMPLETED'";
    setup.cluster.exec(CATALOG, running).await;
    let folder = &data[..data.rfind("/a-").unwrap()];
    setup.s3().leave_upload(&format!("deep/prefix/{folder}/a-77/x.dump"), Duration::from_secs(2 * 3600), 1000);
    setup.s3().set(&format!("deep/prefix/{folder}/a-77/y.dump"), vec![0; 10].into());
    setup.s3().age(&format!("deep/prefix/{folder}/a-77/y.dump"), Duration::from_secs(2 * 3600));
    let _ = setup.run(&["drift", "--detailed-exitcode"]).exits(0);
}

/// A store of very many objects that nobody knows, of which it makes one page at a time.
struct Endless {
    objects: u64,
    pages: AtomicU64,
}

impl Endless {
    fn missing<T>(key: &str) -> Result<T, StoreError> {
        Err(StoreError::NotFound { place: "endless".to_owned(), key: key.to_owned() })
    }
}

#[async_trait]
impl ReadStore for Endless {
    fn place(&self) -> &str {
        "endless"
    }

    async fn get(&self, key: &str, _cap: u64) -> Result<Bytes, StoreError> {
        Self::missing(key)
    }

    async fn get_range(&self, key: &str, _range: Range<u64>) -> Result<Bytes, StoreError> {
        Self::missing(key)
    }

    async fn head(&self, _key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        Ok(None)
    }

    async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<ListPage, StoreError> {
        let begin = from.map_or(0, |from| from.parse::<u64>().expect("a number"));
        let end = if prefix == "backups/" { self.objects.min(begin + 1000) } else { begin };
        self.pages.fetch_add(1, Ordering::Relaxed);
        let object = |n: u64| ObjectFacts {
            key: format!("backups/app/database/20200101T000000Z-old-{}/a-1/{n}.dump", n / 10),
            size: 10,
            modified: Some(at("2020-01-01T00:00:00Z")),
        };
        let next = (end > begin && end < self.objects).then(|| end.to_string());
        Ok(ListPage { objects: (begin..end).map(object).collect(), next, ..ListPage::default() })
    }

    fn server_clock(&self) -> Option<ServerClock> {
        None
    }
}

#[tokio::test]
async fn very_many_objects_are_summed_up_page_by_page() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.apply().success();
    for (objects, told, more) in [(90_000, 90_000, false), (120_000, 100_000, true)] {
        let store = Arc::new(Endless { objects, pages: AtomicU64::new(0) });
        let sources = Sources {
            catalog: Ok(Arc::new(Reader::with(setup.cluster.connection(CATALOG).options())) as _),
            stores: BTreeMap::from([(name("primary"), Ok(Arc::clone(&store) as Arc<dyn ReadStore>))]),
            databases: BTreeMap::new(),
            renamed: BTreeMap::new(),
            configurations: BTreeMap::new(),
            settings: true,
        };
        let now = || -> Instant { at("2026-03-01T00:00:00Z") };
        let observed = observe::look(&sources, &now).await;
        let signs = &observed.signs.stores[&name("primary")].objects;
        assert_eq!((signs.strays, signs.strays_more, signs.stray_examples.len()), (told, more, 3));
        assert_eq!(store.pages.load(Ordering::Relaxed), objects / 1000 + 1, "each page once, and one of keys");
    }
}

/// A folder in which somebody does something just before its backups are listed.
struct Meanwhile<F> {
    folder: FolderStore,
    first: Mutex<Option<F>>,
}

#[async_trait]
impl<F: FnOnce() + Send + 'static> ReadStore for Meanwhile<F> {
    fn place(&self) -> &str {
        self.folder.place()
    }

    async fn get(&self, key: &str, cap: u64) -> Result<Bytes, StoreError> {
        self.folder.get(key, cap).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.folder.get_range(key, range).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        self.folder.head(key).await
    }

    async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<ListPage, StoreError> {
        if prefix == "backups/"
            && let Some(first) = self.first.lock().unwrap().take()
        {
            tokio::task::block_in_place(first);
        }
        self.folder.list_page(prefix, from).await
    }

    fn server_clock(&self) -> Option<ServerClock> {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_another_runner_completes_while_a_store_is_listed_is_no_stranger() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.now("2026-03-03T02:40:00Z");
    let before = setup.manifests().await.len();
    let folder = FolderStore::open(&setup.folder()).unwrap();
    let catalog = Reader::with(setup.cluster.connection(CATALOG).options());
    let setup = Arc::new(setup);
    let other = Arc::clone(&setup);
    let first = Mutex::new(Some(move || drop(other.apply().success())));
    let sources = Sources {
        catalog: Ok(Arc::new(catalog) as _),
        stores: BTreeMap::from([(name("primary"), Ok(Arc::new(Meanwhile { folder, first }) as Arc<dyn ReadStore>))]),
        databases: BTreeMap::new(),
        renamed: BTreeMap::new(),
        configurations: BTreeMap::new(),
        settings: true,
    };
    let now = || -> Instant { at("2026-03-03T02:41:00Z") };
    let observed = observe::look(&sources, &now).await;
    assert!(setup.manifests().await.len() > before, "the other runner took no backup");
    let facts = observed.stores[&name("primary")].known().expect("a listing");
    assert_eq!((facts.foreign, &facts.foreign_examples, facts.missing.len()), (0, &Vec::new(), 0));
    let signs = &observed.signs.stores[&name("primary")].objects;
    assert_eq!((signs.damaged.len(), signs.strays), (0, 0));
}

#[tokio::test]
async fn the_objects_of_a_store_that_is_being_renamed_are_no_strangers() {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme"]).await;
    let _ = setup.apply().success();
    for key in setup.s3().keys() {
        setup.s3().age(&key, Duration::from_secs(2 * 3600));
    }
    let text = setup.read("bkup.yaml").replace("store: primary", "store: main").replace("  primary:\n", "  main:\n");
    let moved = "moved:\n  - { from: store.primary, to: store.main }\n";
    std::fs::write(setup.path("bkup.yaml"), text + moved).unwrap();
    let drift = setup.run(&["drift"]);
    assert!(!drift.stdout.contains("of none the catalog knows"), "{}", drift.stdout);
    let _ = setup.apply().success();
    setup.assert_converges().await;
}
