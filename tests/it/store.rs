//! Every backend under one set of rules: memory, folder, an S3 server in this process, and rclone.

use std::sync::Arc;

use bkup::store::{
    FolderStore, Listed, MemoryStore, PutOptions, PutOutcome, ReadStore, StorageRole, StoreError, Uploader, WriteStore,
    list, list_all, open, probe, put_once, read,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use crate::world::s3::{BUCKET, PAGE, Rclone, S3Server};

const MIB: usize = 1024 * 1024;

/// Bytes that no compressor helps with, the same for the same seed.
pub(crate) fn noise(size: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

async fn write(store: &Arc<dyn WriteStore>, key: &str, body: Bytes) {
    assert_eq!(store.put(key, body, PutOptions::default()).await.unwrap(), PutOutcome::Created);
}

async fn keys(store: &Arc<dyn WriteStore>, prefix: &str) -> Vec<String> {
    let mut keys: Vec<String> = list(store.clone(), prefix).map_ok(|facts| facts.key).try_collect().await.unwrap();
    keys.sort();
    keys
}

/// What every store must do.
async fn conforms(store: Arc<dyn WriteStore>) {
    reads_what_was_written(&store).await;
    writes_once(&store).await;
    lists_everything_once(&store).await;
    uploads_in_parts(&store).await;
    cleans_up_uploads(&store).await;
    deletes(&store).await;
    refuses_keys_that_escape(&store).await;
    assert_eq!(keys(&store, "").await, Vec::<String>::new(), "the suite leaves nothing behind");
}

async fn reads_what_was_written(store: &Arc<dyn WriteStore>) {
    let body = noise(10_000, 1);
    let key = "backups/app/tenant=%41cme%20%c3%a4/x/a-1/archive.dump";
    write(store, key, body.clone()).await;
    assert_eq!(store.get(key, 10_000).await.unwrap(), body);
    assert!(matches!(store.get(key, 9_999).await, Err(StoreError::TooLarge { .. })));
    assert_eq!(store.get_range(key, 100..200).await.unwrap(), body.slice(100..200));
    assert_eq!(store.get_range(key, 9_999..10_000).await.unwrap(), body.slice(9_999..));
    assert_eq!(store.get_range(key, 5..5).await.unwrap(), Bytes::new());
    assert!(matches!(store.get_range(key, 9_000..10_001).await, Err(StoreError::Invalid { .. })));
    assert!(matches!(store.get_range(key, 20_000..20_001).await, Err(StoreError::Invalid { .. })));
    let facts = store.head(key).await.unwrap().unwrap();
    assert_eq!((facts.key.as_str(), facts.size), (key, 10_000));
    assert_eq!(store.head("backups/app").await.unwrap(), None);
    assert!(matches!(store.get("absent", 10).await, Err(StoreError::NotFound { .. })));
    let streamed: Vec<Bytes> = read(store.clone(), key, 10_000).try_collect().await.unwrap();
    assert_eq!(streamed.concat(), body);
    write(store, "empty", Bytes::new()).await;
    assert_eq!(store.get("empty", 0).await.unwrap(), Bytes::new());
    store.delete("empty").await.unwrap();
    store.delete(key).await.unwrap();
}

async fn writes_once(store: &Arc<dyn WriteStore>) {
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second, longer"));
    assert_eq!(put_once(store.as_ref(), "a/once.json", first.clone()).await.unwrap(), PutOutcome::Created);
    assert_eq!(put_once(store.as_ref(), "a/once.json", second).await.unwrap(), PutOutcome::Exists);
    assert_eq!(store.get("a/once.json", 100).await.unwrap(), first);
    store.delete("a/once.json").await.unwrap();
}

async fn lists_everything_once(store: &Arc<dyn WriteStore>) {
    // Names around the slash's place in the byte order: a folder and its neighbours must not hide one another.
    let mut written: Vec<String> = (0..PAGE + 30).map(|n| format!("l/a/{n}.json")).collect();
    written.extend(["l/a-b", "l/a.b", "l/a0", "l/a%2f", "l/ab/c", "lx"].map(str::to_owned));
    for key in &written {
        write(store, key, Bytes::from_static(b"x")).await;
    }
    written.sort();
    assert_eq!(keys(store, "l").await, written);
    let below: Vec<String> = written.iter().filter(|key| key.starts_with("l/a/")).cloned().collect();
    assert_eq!(keys(store, "l/a/").await, below);
    let narrow: Vec<String> = below.iter().filter(|key| key.starts_with("l/a/12")).cloned().collect();
    assert_eq!(narrow.len(), 11);
    assert_eq!(keys(store, "l/a/12").await, narrow);
    assert_eq!(keys(store, "nothing/").await, Vec::<String>::new());
    assert_eq!(store.delete_many(&written).await.unwrap(), []);
    assert_eq!(keys(store, "l").await, Vec::<String>::new());
}

async fn uploads_in_parts(store: &Arc<dyn WriteStore>) {
    let part = 5 * MIB;
    for size in [0, 1, part - 1, part, part + 1, 3 * part, 4 * part + 7] {
        let body = noise(size, size as u64);
        let mut upload = Uploader::with_part_size(store.clone(), "u/data", part as u64);
        for piece in body.chunks(700_001) {
            upload.write(body.slice_ref(piece)).await.unwrap();
        }
        assert_eq!(upload.finish().await.unwrap(), size as u64);
        assert_eq!(store.head("u/data").await.unwrap().unwrap().size, size as u64);
        let whole: Vec<Bytes> = read(store.clone(), "u/data", size as u64).try_collect().await.unwrap();
        assert!(whole.concat() == body, "{size} bytes came back otherwise");
        store.delete("u/data").await.unwrap();
    }
}

async fn cleans_up_uploads(store: &Arc<dyn WriteStore>) {
    let begin = async || {
        let mut upload = Uploader::with_part_size(store.clone(), "c/d/data", 5 * MIB as u64);
        upload.write(noise(11 * MIB, 3)).await.unwrap();
        upload
    };
    begin().await.abort().await;
    assert_eq!(store.head("c/d/data").await.unwrap(), None);
    drop(begin().await);
    let listable = probe(store.as_ref(), "clean").await.unwrap().lists_uploads;
    for round in 0.. {
        if !listable || store.unfinished_uploads("c/").await.unwrap().is_empty() {
            break;
        }
        assert!(round < 200, "a dropped upload is aborted in the background");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // As after a kill: nobody aborts, so whoever collects garbage must find it.
    let upload = store.begin_upload("c/d/left", StorageRole::Data).await.unwrap();
    store.put_part("c/d/left", &upload, 1, 0, noise(100, 1)).await.unwrap();
    assert_eq!(keys(store, "c/").await, Vec::<String>::new());
    if listable {
        assert!(store.unfinished_uploads("elsewhere/").await.unwrap().is_empty());
        let found = store.unfinished_uploads("c/").await.unwrap();
        assert_eq!(found.len(), 1);
        for left in &found {
            store.abort_upload(&left.key, &left.upload).await.unwrap();
        }
        assert!(store.unfinished_uploads("c/").await.unwrap().is_empty());
    }
    store.abort_upload("c/d/left", &upload).await.unwrap();
    let part = store.put_part("c/d/left", &upload, 2, 100, noise(100, 1)).await;
    assert!(part.is_err(), "an aborted upload takes no more parts");
}

async fn deletes(store: &Arc<dyn WriteStore>) {
    for key in ["d/e/1", "d/e/2"] {
        write(store, key, Bytes::from_static(b"x")).await;
    }
    store.delete("d/e/1").await.unwrap();
    store.delete("d/e/1").await.unwrap();
    assert_eq!(keys(store, "d/").await, ["d/e/2"]);
    assert_eq!(store.delete_many(&["d/e/2".to_owned(), "d/e/3".to_owned()]).await.unwrap(), []);
}

async fn refuses_keys_that_escape(store: &Arc<dyn WriteStore>) {
    for key in ["../x", "a/../../x", "/etc/x", "a//x", "a/./x", ".hidden", ""] {
        let put = store.put(key, Bytes::new(), PutOptions::default()).await;
        assert!(matches!(put, Err(StoreError::BadKey { .. })), "{key:?}: {put:?}");
        assert!(matches!(store.get(key, 1).await, Err(StoreError::BadKey { .. })), "{key:?}");
        assert!(matches!(store.delete(key).await, Err(StoreError::BadKey { .. })), "{key:?}");
    }
}

#[tokio::test]
async fn memory_conforms() {
    let store = Arc::new(MemoryStore::default());
    conforms(store.clone()).await;
    let found = probe(store.as_ref(), "t").await.unwrap();
    assert_eq!(Some(found), store.capabilities());
    assert!(store.keys().is_empty(), "the probe leaves nothing behind");
}

#[tokio::test]
async fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    // A page of its own size would hold all that is written here.
    let store = Arc::new(FolderStore::open(folder.path()).unwrap().with_pages_of(1000));
    conforms(store.clone()).await;
    assert_eq!(Some(probe(store.as_ref(), "t").await.unwrap()), store.capabilities());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "empty folders and temporary files go, too");
}

/// Every page of a listing, its keys and where it goes on, each asked of the store that `at` gives.
async fn pages(prefix: &str, at: impl Fn() -> FolderStore) -> Vec<(Vec<String>, Option<String>)> {
    let (mut pages, mut from) = (Vec::new(), None);
    loop {
        let page = at().list_page(prefix, from.as_deref()).await.unwrap();
        from = page.next.clone();
        pages.push((page.objects.into_iter().map(|object| object.key).collect(), page.next));
        if from.is_none() {
            return pages;
        }
    }
}

#[tokio::test]
async fn a_folder_that_forgot_where_a_page_ended_finds_the_place_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap().with_pages_of(3);
    let mut written: Vec<String> = (0..20).map(|n| format!("b/s{}/{}/m", n % 7, n)).collect();
    written.extend(["b/s1-", "b/s1.x/y", "b/s10/z", "b/s1/0", "b0", "a/b", "c"].map(str::to_owned));
    for key in &written {
        let _ = store.put(key, Bytes::from_static(b"x"), PutOptions::default()).await.unwrap();
    }
    written.sort();
    for prefix in ["", "b", "b/", "b/s1", "b/s1/", "b/s1/1", "nothing", "b/../b/", "b//"] {
        let wanted: Vec<&String> = written.iter().filter(|key| key.starts_with(prefix)).collect();
        let going_on = pages(prefix, || store.clone()).await;
        let anew = pages(prefix, || FolderStore::open(folder.path()).unwrap().with_pages_of(3)).await;
        assert_eq!(going_on, anew, "{prefix}");
        assert_eq!(going_on.iter().flat_map(|(keys, _)| keys).collect::<Vec<_>>(), wanted, "{prefix}");
    }
    for (prefix, from, left) in [("b/", "a/b", 24), ("b/", "b0", 0), ("b/s1/", "b/s10/z", 0), ("b", "b/s6/6/m", 1)] {
        let page = FolderStore::open(folder.path()).unwrap().list_page(prefix, Some(from)).await.unwrap();
        assert_eq!(page.objects.len(), left, "{prefix} behind {from}");
    }
}

#[tokio::test]
async fn listings_of_a_folder_at_once_do_not_take_one_anothers_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap().with_pages_of(2);
    for n in 0..30 {
        let _ = store.put(&format!("a/{n:02}/x"), Bytes::new(), PutOptions::default()).await.unwrap();
    }
    let store: Arc<dyn ReadStore> = Arc::new(store);
    let listing = |prefix: &str| list(Arc::clone(&store), prefix).map_ok(|object| object.key).try_collect::<Vec<_>>();
    let all = futures_util::future::join_all(["", "a/", "a/1", "a/", "", "a/2", "a/0"].map(listing)).await;
    let sizes: Vec<usize> = all.into_iter().map(|keys| keys.unwrap().len()).collect();
    assert_eq!(sizes, [30, 30, 10, 30, 30, 10, 10]);
}

#[tokio::test]
async fn whatever_comes_and_goes_between_the_pages_of_a_folder_the_rest_is_listed_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap().with_pages_of(7);
    let stays: Vec<String> = (0..300).map(|n| format!("a/{:02}/{n:03}/x", n % 40)).collect();
    for key in &stays {
        let _ = store.put(key, Bytes::new(), PutOptions::default()).await.unwrap();
        let _ = store.put(&format!("{key}-goes"), Bytes::new(), PutOptions::default()).await.unwrap();
    }
    let (mut seen, mut from, mut round) = (Vec::new(), None, 0);
    loop {
        let page = store.list_page("a/", from.as_deref()).await.unwrap();
        seen.extend(page.objects.into_iter().map(|object| object.key).filter(|key| key.ends_with('x')));
        let Some(next) = page.next else { break };
        from = Some(next);
        for n in [round, 299 - round] {
            store.delete(&format!("{}-goes", stays[n])).await.unwrap();
            let _ = store.put(&format!("{}-comes", stays[n]), Bytes::new(), PutOptions::default()).await.unwrap();
        }
        round += 1;
    }
    let mut stays = stays;
    stays.sort();
    assert_eq!(seen, stays);
    // A listing that begins now shows nothing that is gone.
    let goes = list(Arc::new(store), "a/").map_ok(|object| object.key).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(
        goes.iter().filter(|key| key.ends_with("-goes")).count(),
        300 - goes.iter().filter(|key| key.ends_with("-comes")).count()
    );
}

#[tokio::test]
async fn a_listing_of_a_folder_shows_the_unfinished_uploads_on_its_way_and_nobody_else_them_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap().with_pages_of(2);
    for key in ["backups/a/1", "backups/a/2", "backups/b/3", "keys/a/1"] {
        let _ = store.put(key, Bytes::new(), PutOptions::default()).await.unwrap();
    }
    for key in ["backups/a/left", "backups/b/left", "keys/a/left", "left"] {
        let _ = store.begin_upload(key, StorageRole::Data).await.unwrap();
    }
    let folders = |uploads: Vec<bkup::store::UnfinishedUpload>| {
        let mut folders: Vec<String> = uploads.into_iter().map(|upload| upload.key).collect();
        folders.sort();
        folders
    };
    let listed: Vec<Listed> = list_all(Arc::new(store.clone()), "backups/").try_collect().await.unwrap();
    let shown = listed.into_iter().filter_map(|listed| match listed {
        Listed::Upload(upload) => Some(upload),
        Listed::Object(_) => None,
    });
    assert_eq!(folders(shown.collect()), ["backups/a/", "backups/b/"]);
    assert_eq!(folders(store.uploads(&["backups/"]).await.unwrap().unwrap()), ["/", "keys/a/"]);
    assert_eq!(folders(store.uploads(&["backups/", "keys/"]).await.unwrap().unwrap()), ["/"]);
    assert_eq!(folders(store.uploads(&[]).await.unwrap().unwrap()), ["/", "backups/a/", "backups/b/", "keys/a/"]);
}

#[tokio::test]
async fn a_link_inside_a_folder_leads_no_listing_out_of_it() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(elsewhere.path().join("secret"), b"x").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("a")).unwrap();
    let store: Arc<dyn WriteStore> = Arc::new(FolderStore::open(folder.path()).unwrap());
    assert_eq!(keys(&store, "a/").await, Vec::<String>::new());
    assert!(!keys(&store, "").await.contains(&"a/secret".to_owned()));
}

#[tokio::test]
async fn s3_in_process_conforms_probed_or_not() {
    let server = S3Server::start();
    let mut connection = server.connection("some/prefix");
    let store = open(connection.clone()).await.unwrap();
    conforms(store.clone()).await;
    let found = probe(store.as_ref(), "t").await.unwrap();
    assert!(found.conditional_writes && found.crc32c && found.multipart && found.lists_uploads, "{found:?}");
    assert!(server.keys().is_empty());
    connection.capabilities = Some(found);
    conforms(open(connection).await.unwrap()).await;
    assert_eq!(server.unfinished(), 0);
}

#[tokio::test]
async fn s3_without_a_prefix_conforms() {
    let server = S3Server::start();
    conforms(open(server.connection("")).await.unwrap()).await;
}

#[tokio::test]
async fn rclone_conforms_and_is_found_to_ignore_conditions() {
    let server = Rclone::start();
    let mut connection = server.connection("pre");
    let store = open(connection.clone()).await.unwrap();
    let found = probe(store.as_ref(), "t").await.unwrap();
    assert!(!found.conditional_writes, "{found:?}");
    assert!(found.multipart, "{found:?}");
    conforms(store).await;
    connection.capabilities = Some(found);
    conforms(open(connection).await.unwrap()).await;
}

#[tokio::test]
async fn an_open_store_can_be_lent_to_a_reader() {
    let server = S3Server::start();
    let store = open(server.connection("p")).await.unwrap();
    write(&store, "x", Bytes::from_static(b"x")).await;
    assert_eq!(server.keys(), ["p/x"]);
    assert!(server.requests().iter().all(|request| request.contains(BUCKET)));
    let reader: Arc<dyn ReadStore> = store;
    assert_eq!(list(reader, "").count().await, 1);
}
