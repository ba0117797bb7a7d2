//! What stores do when things go wrong, and what manifests and markers do when two writers meet.

use std::sync::Arc;
use std::time::Duration;

use bkup::crypto::ContentHasher;
use bkup::diag::Explain;
use bkup::domain::{BackupId, Manifest, Scope};
use bkup::store::faults::{Fault, Faulty, Operation};
use bkup::store::{
    FolderStore, ManifestOutcome, MemoryStore, PutOptions, PutOutcome, ReadStore, Retrying, StoreCredentials,
    StoreError, UPLOAD_MEMORY, Uploader, WriteStore, ensure_marker, layout, list, manifests, open, open_reader, probe,
    put_once, put_whole, read, read_manifest, read_marker, write_manifest,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use crate::store::noise;
use crate::world::s3::{HttpFault, Rclone, S3Server};

const MIB: usize = 1024 * 1024;

fn code(error: &StoreError) -> &'static str {
    error.explain().code.0
}

async fn probed(server: &S3Server) -> Arc<dyn WriteStore> {
    let mut connection = server.connection("p");
    connection.capabilities = Some(probe(open(connection.clone()).await.unwrap().as_ref(), "t").await.unwrap());
    open(connection).await.unwrap()
}

#[tokio::test]
async fn a_storm_of_503_is_waited_out_and_counted() {
    let server = S3Server::start();
    let store = open(server.connection("p")).await.unwrap();
    server.inject("PUT", "", 0, 3, HttpFault::Unavailable);
    server.inject("GET", "", 0, 2, HttpFault::Unavailable);
    assert_eq!(store.put("x", Bytes::from_static(b"x"), PutOptions::default()).await.unwrap(), PutOutcome::Created);
    assert_eq!(store.get("x", 10).await.unwrap(), Bytes::from_static(b"x"));
    assert_eq!(store.retries(), 5);
}

#[tokio::test]
async fn a_store_checks_what_it_gets_against_the_digest_that_is_recorded() {
    let server = S3Server::start();
    let store = open(server.connection("p")).await.unwrap();
    let sha256 = |body: &Bytes| {
        let mut hasher = ContentHasher::new(None);
        hasher.update(body);
        hasher.finish()
    };
    for size in [0, 1, MIB, 16 * MIB, 16 * MIB + 1] {
        let body = noise(size, 1);
        let pieces = vec![body.slice(..size / 3), body.slice(size / 3..)];
        assert_eq!(put_whole(store.clone(), "x", pieces, sha256(&body)).await.unwrap(), size as u64);
        assert_eq!(store.get("x", size as u64).await.unwrap(), body);
    }
    // Another body than the one that was digested: damaged in memory, before it was sent.
    let put = put_whole(store.clone(), "y", vec![noise(MIB, 2)], sha256(&noise(MIB, 1))).await;
    assert!(matches!(put, Err(StoreError::DamagedInTransit { .. })), "{put:?}");
    assert_eq!((server.keys(), server.unfinished()), (vec!["p/x".to_owned()], 0));
}

#[tokio::test]
async fn a_storm_that_does_not_end_is_told() {
    let server = S3Server::start();
    let store = open(server.connection("p")).await.unwrap();
    server.inject("GET", "", 0, u64::MAX, HttpFault::Unavailable);
    let error = store.get("x", 10).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert_eq!(code(&error), "BK814");
    assert!(error.to_string().contains("SlowDown"), "{error}");
}

#[tokio::test]
async fn a_conditional_write_whose_reply_is_lost_is_still_ours() {
    let server = S3Server::start();
    let store = probed(&server).await;
    server.inject("PUT", "m.json", 0, 1, HttpFault::LostReply);
    let body = Bytes::from_static(b"ours");
    assert_eq!(put_once(store.as_ref(), "m.json", body.clone()).await.unwrap(), PutOutcome::Created);
    assert_eq!(server.bytes("p/m.json").unwrap(), body);
    server.inject("PUT", "m.json", 0, 1, HttpFault::LostReply);
    let other = Bytes::from_static(b"theirs");
    assert_eq!(put_once(store.as_ref(), "m.json", other).await.unwrap(), PutOutcome::Exists);
    assert_eq!(server.bytes("p/m.json").unwrap(), body);
}

#[tokio::test]
async fn of_many_writers_at_once_exactly_one_wins() {
    let server = S3Server::start();
    let folder = tempfile::tempdir().unwrap();
    let stores: [Arc<dyn WriteStore>; 3] =
        [Arc::new(MemoryStore::default()), Arc::new(FolderStore::open(folder.path()).unwrap()), probed(&server).await];
    // Slow writes overlap for certain.
    server.inject("PUT", "once", 0, 12, HttpFault::Slow(Duration::from_millis(30)));
    for store in stores {
        let writers = (0..12).map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let body = Bytes::from(format!("writer {n}"));
                (body.clone(), put_once(store.as_ref(), "a/b/once", body).await.unwrap())
            })
        });
        let done: Vec<_> = futures_util::future::join_all(writers).await.into_iter().map(Result::unwrap).collect();
        let winners: Vec<&Bytes> =
            done.iter().filter(|(_, outcome)| *outcome == PutOutcome::Created).map(|(body, _)| body).collect();
        assert_eq!(winners.len(), 1, "{}", store.place());
        assert_eq!(store.get("a/b/once", 100).await.unwrap(), *winners[0]);
    }
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_asked_before_and_read_after() {
    let memory = Arc::new(MemoryStore::ignoring_conditions("m"));
    assert!(!probe(memory.as_ref(), "t").await.unwrap().conditional_writes);
    let store = Arc::new(Faulty::new(memory.clone()).with_latency(Duration::from_millis(100)));
    let (ours, theirs) = (Bytes::from_static(b"ours"), Bytes::from_static(b"theirs"));
    assert_eq!(put_once(store.as_ref(), "k", ours.clone()).await.unwrap(), PutOutcome::Created);
    assert_eq!(put_once(store.as_ref(), "k", theirs.clone()).await.unwrap(), PutOutcome::Exists);
    assert_eq!(memory.bytes("k").unwrap(), ours);
    // Another writer between the write and the reading back: after 200 ms, before 300.
    let racing = store.clone();
    let write = tokio::spawn(async move { put_once(racing.as_ref(), "race", ours).await });
    tokio::time::sleep(Duration::from_millis(250)).await;
    memory.set("race", theirs);
    let error = write.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Overwritten { .. }), "{error}");
    assert_eq!(code(&error), "BK818");
}

#[tokio::test]
async fn a_server_that_ignores_conditions_is_found_by_the_probe() {
    let server = S3Server::start();
    server.ignore_conditions();
    let store = probed(&server).await;
    assert!(!store.capabilities().unwrap().conditional_writes);
    assert_eq!(put_once(store.as_ref(), "k", Bytes::from_static(b"1")).await.unwrap(), PutOutcome::Created);
    assert_eq!(put_once(store.as_ref(), "k", Bytes::from_static(b"2")).await.unwrap(), PutOutcome::Exists);
    assert_eq!(server.bytes("p/k").unwrap(), Bytes::from_static(b"1"));
    // Such a store may be a moment behind its own writes, too: that is nobody else's writing.
    for (key, fault) in [("emptied", HttpFault::Emptied), ("absent", HttpFault::Absent)] {
        server.inject("GET", key, 0, 1, fault);
        assert_eq!(put_once(store.as_ref(), key, Bytes::from_static(b"3")).await.unwrap(), PutOutcome::Created);
        server.inject("GET", key, 0, 2, fault);
        server.remove(&format!("p/{key}"));
        let error = put_once(store.as_ref(), key, Bytes::from_static(b"3")).await.unwrap_err();
        assert!(matches!(error, StoreError::Overwritten { .. } | StoreError::NotFound { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_missing_bucket_is_no_empty_store() {
    let server = S3Server::start();
    let mut connection = server.connection("p");
    connection.spec.url = "s3://no-such-bucket/p".to_owned().try_into().unwrap();
    let store = open(connection.clone()).await.unwrap();
    let reader = open_reader(connection).await.unwrap();
    let errors = [
        store.put("x", Bytes::new(), PutOptions::default()).await.unwrap_err(),
        store.get("x", 1).await.unwrap_err(),
        read_marker(store.as_ref()).await.unwrap_err(),
        list(reader, "").try_collect::<Vec<_>>().await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::NoStore { .. }), "{error}");
        assert_eq!(code(&error), "BK811");
        assert!(error.to_string().contains("no-such-bucket"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_folder_is_no_empty_store() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("unmounted");
    assert!(matches!(FolderStore::open(&path), Err(StoreError::NoStore { .. })));
    std::fs::create_dir(&path).unwrap();
    let store = FolderStore::open(&path).unwrap();
    std::fs::remove_dir(&path).unwrap();
    assert!(matches!(store.list_page("", None).await, Err(StoreError::NoStore { .. })));
    assert!(matches!(store.head("x").await, Err(StoreError::NoStore { .. })));
    assert!(matches!(store.put("x", Bytes::new(), PutOptions::default()).await, Err(StoreError::NoStore { .. })));
    assert!(!path.exists(), "the folder is not made behind the operator's back");
}

#[tokio::test]
async fn wrong_credentials_are_told_apart_from_missing_rights() {
    let server = S3Server::start();
    let rclone = Rclone::start();
    for connection in [server.connection("p"), rclone.connection("p")] {
        for (id, secret) in [("AKIDTEST", "wrong-and-private"), ("AKIDNOBODY", "wrong-and-private")] {
            let mut connection = connection.clone();
            connection.credentials = StoreCredentials::Given {
                access_key_id: id.to_owned(),
                secret_access_key: secret.into(),
                session_token: None,
            };
            assert!(!format!("{connection:?}").contains("private"));
            let store = open(connection).await.unwrap();
            let error = store.get("x", 1).await.unwrap_err();
            assert!(matches!(error, StoreError::BadCredentials { .. }), "{error:?}");
            assert_eq!(code(&error), "BK813");
            assert!(!error.to_string().contains("private"));
        }
    }
    let store = open(server.connection("p")).await.unwrap();
    server.deny("DELETE");
    let error = store.delete("x").await.unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error}");
    assert_eq!(code(&error), "BK812");
    assert!(error.to_string().contains("delete x"), "{error}");
}

#[tokio::test]
async fn an_endpoint_without_a_server_is_unreachable() {
    let server = S3Server::start();
    let mut connection = server.connection("p");
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    connection.endpoint = Some(format!("http://{free}"));
    let error = open(connection.clone()).await.unwrap().get("x", 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert_eq!(code(&error), "BK814");
    connection.endpoint = Some("http://no-such-host.invalid".to_owned());
    let error = open(connection).await.unwrap().get("x", 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_cut_listing_is_an_error_and_not_the_whole() {
    let server = S3Server::start();
    let store = open(server.connection("p")).await.unwrap();
    server.set("p/a", Bytes::new());
    server.cut_listings();
    let found: Vec<_> = list(store, "").collect().await;
    assert!(matches!(found.last(), Some(Err(StoreError::Invalid { .. }))), "{found:?}");
}

#[tokio::test]
async fn the_servers_clock_is_heard() {
    let server = S3Server::start();
    let store = open(server.connection("p")).await.unwrap();
    assert!(store.server_clock().is_none());
    assert_eq!(store.head("x").await.unwrap(), None);
    let clock = store.server_clock().unwrap();
    let ahead = clock.ahead_of(clock.said - Duration::from_secs(600));
    assert!((600..605).contains(&ahead.as_secs()), "{ahead:?}");
}

#[tokio::test]
async fn the_storage_class_is_for_data_alone() {
    let server = S3Server::start();
    let mut connection = server.connection("p");
    connection.spec.storage_class = Some("standard_ia".to_owned());
    let store = open(connection).await.unwrap();
    for (key, size) in [("small", 10), ("large", 6 * MIB)] {
        let mut upload = Uploader::with_part_size(store.clone(), key, 5 * MIB as u64);
        upload.write(noise(size, 1)).await.unwrap();
        upload.finish().await.unwrap();
    }
    assert_eq!(
        put_once(store.as_ref(), "manifest.json", Bytes::from_static(b"{}")).await.unwrap(),
        PutOutcome::Created
    );
    assert_eq!(server.class("p/small").as_deref(), Some("STANDARD_IA"));
    assert_eq!(server.class("p/large").as_deref(), Some("STANDARD_IA"));
    assert_eq!(server.class("p/manifest.json"), None);
}

#[tokio::test]
async fn an_upload_that_fails_leaves_no_object_and_no_parts() {
    let server = S3Server::start();
    let store = open(server.connection("p")).await.unwrap();
    server.inject("PUT", "partNumber=2", 0, u64::MAX, HttpFault::Unavailable);
    let mut upload = Uploader::with_part_size(store.clone(), "data", 5 * MIB as u64);
    upload.write(noise(17 * MIB, 1)).await.unwrap();
    let error = upload.finish().await.unwrap_err();
    // A server that answers before it has read the body may close the connection under it.
    assert!(matches!(error, StoreError::Busy { .. } | StoreError::Unreachable { .. }), "{error}");
    assert_eq!((server.keys(), server.unfinished()), (Vec::new(), 0));
}

#[tokio::test]
async fn an_upload_survives_lost_replies_at_every_step() {
    let server = S3Server::start();
    let store = open(server.connection("p")).await.unwrap();
    server.inject("PUT", "partNumber=2", 0, 1, HttpFault::LostReply);
    server.inject("POST", "uploadId=", 0, 1, HttpFault::LostReply);
    server.inject("GET", "data", 0, 1, HttpFault::LostReply);
    let body = noise(17 * MIB, 1);
    let mut upload = Uploader::with_part_size(store.clone(), "data", 5 * MIB as u64);
    upload.write(body.clone()).await.unwrap();
    assert_eq!(upload.finish().await.unwrap(), body.len() as u64);
    assert!(server.bytes("p/data").unwrap() == body);
    let back: Vec<Bytes> = read(store.clone(), "data", body.len() as u64).try_collect().await.unwrap();
    assert!(back.concat() == body);
    assert!(store.retries() >= 3);
}

#[tokio::test]
async fn an_upload_holds_no_more_memory_than_it_says() {
    let slow = Arc::new(Faulty::new(Arc::new(MemoryStore::default())).with_latency(Duration::from_millis(30)));
    let mut upload = Uploader::new(slow.clone(), "data", None);
    let piece = noise(MIB, 1);
    for _ in 0..150 {
        upload.write(piece.clone()).await.unwrap();
    }
    assert_eq!(upload.finish().await.unwrap(), 150 * MIB as u64);
    let part = 16 * MIB as u64;
    assert_eq!(slow.calls(Operation::PutPart), 10, "150 MiB in parts of 16");
    let peak = slow.peak(Operation::PutPart) as u64;
    assert!(peak > 1, "parts go side by side");
    assert!((peak + 1) * part <= UPLOAD_MEMORY, "{peak} parts at once");
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    let faulty = Arc::new(Faulty::new(Arc::new(MemoryStore::default())));
    let store = Retrying::new(faulty.clone(), S3Server::start().connection("").retry);
    faulty.inject(Operation::Put, 0, 1, Fault::Full);
    let error = store.put("x", Bytes::new(), PutOptions::default()).await.unwrap_err();
    assert_eq!(code(&error), "BK816");
    assert_eq!((faulty.calls(Operation::Put), store.retries()), (1, 0));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a limit on file sizes needs a process of its own")]
fn a_full_disk_leaves_nothing_half_written() {
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" --exact --ignored store_faults::inside_a_size_limit"])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "run by a_full_disk_leaves_nothing_half_written, in a process that may not write large files"]
async fn inside_a_size_limit() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn WriteStore> = Arc::new(FolderStore::open(folder.path()).unwrap());
    let put = store.put("a/whole", noise(MIB, 1), PutOptions::default()).await.unwrap_err();
    assert!(matches!(put, StoreError::Full { .. }), "{put:?}");
    let mut upload = Uploader::with_part_size(store.clone(), "b/parts", 20_000);
    let written = upload.write(noise(MIB, 1)).await;
    let error = match written {
        Err(error) => {
            upload.abort().await;
            error
        }
        Ok(()) => upload.finish().await.unwrap_err(),
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(list(store.clone(), "").try_collect::<Vec<_>>().await.unwrap().is_empty());
    assert!(store.unfinished_uploads("").await.unwrap().is_empty());
}

fn manifest(attempt: u64) -> (String, Manifest) {
    let id = BackupId::from_text("20260301T020000Z-nightly-0123456789abcdef".to_owned());
    let key = layout::manifest(Some(&"app".parse().unwrap()), &Scope::Tenant("Acme".to_owned()), &id);
    let manifest = serde_json::from_value(serde_json::json!({
        "format_version": "1.0", "backup_id": id, "action_id": "00", "attempt": attempt, "store_id": "s",
        "backup_type": "tenant_data", "engine": "logical", "method": "SCHEDULED", "database": "app",
        "schedule": "nightly", "retention": {}, "slot": "2026-03-01T02:00:00Z",
        "consistent_at": "2026-03-01T02:00:01Z", "started_at": "2026-03-01T02:00:00Z",
        "completed_at": "2026-03-01T02:01:00Z", "scope": {"scope": "tenant=Acme"}, "parts": [],
        "policy_digest": "00", "tool_version": "0.1.0", "server_version": "17.0",
    }))
    .unwrap();
    (key, manifest)
}

#[tokio::test]
async fn two_attempts_meet_at_one_manifest_and_one_wins() {
    let server = S3Server::start();
    let store = probed(&server).await;
    let ((key, first), (_, second)) = (manifest(1), manifest(2));
    assert_eq!(write_manifest(store.as_ref(), &key, &first).await.unwrap(), ManifestOutcome::Won);
    assert_eq!(write_manifest(store.as_ref(), &key, &first).await.unwrap(), ManifestOutcome::Won);
    let lost = write_manifest(store.as_ref(), &key, &second).await.unwrap();
    assert_eq!(lost, ManifestOutcome::Lost(Box::new(first.clone())));
    assert_eq!(read_manifest(store.as_ref(), &key).await.unwrap(), first);
}

#[tokio::test]
async fn manifests_are_found_among_their_data() {
    let store = Arc::new(MemoryStore::default());
    let (key, first) = manifest(1);
    assert_eq!(write_manifest(store.as_ref(), &key, &first).await.unwrap(), ManifestOutcome::Won);
    for n in 0..1500 {
        store.set(&format!("{}a-1/{n}", key.trim_end_matches("manifest.json")), Bytes::new());
    }
    let found: Vec<_> = manifests(store).try_collect().await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].key.as_str(), found[0].database.as_str()), (key.as_str(), "app"));
    assert_eq!(found[0].scope, Some(Scope::Tenant("Acme".to_owned())));
    assert_eq!(found[0].id.as_str(), first.backup_id);
}

#[tokio::test]
async fn manifests_that_are_newer_broken_or_misplaced_are_refused() {
    let store = MemoryStore::default();
    let (key, good) = manifest(1);
    let text = serde_json::to_string(&good).unwrap();
    let newer = text.replace("\"format_version\":\"1.0\"", "\"format_version\":\"2.0\"");
    store.set(&key, Bytes::from(newer));
    assert!(matches!(read_manifest(&store, &key).await, Err(StoreError::NewerFormat { .. })));
    store.set(&key, Bytes::from(text.replace("\"format_version\":\"1.0\"", "\"format_version\":\"1.9\",\"new\":1")));
    assert_eq!(read_manifest(&store, &key).await.unwrap().backup_id, good.backup_id);
    for broken in ["", "{", "[]", "{\"format_version\":\"one\"}", &text[..text.len() - 20]] {
        store.set(&key, Bytes::from(broken.to_owned()));
        assert!(matches!(read_manifest(&store, &key).await, Err(StoreError::Invalid { .. })), "{broken}");
    }
    let elsewhere = key.replace("tenant=%41cme", "tenant=other");
    store.set(&elsewhere, Bytes::from(text));
    assert!(matches!(read_manifest(&store, &elsewhere).await, Err(StoreError::Invalid { .. })));
}

#[tokio::test]
async fn the_first_writer_names_the_store() {
    let server = S3Server::start();
    let store = probed(&server).await;
    assert_eq!(read_marker(store.as_ref()).await.unwrap(), None);
    let mine = ensure_marker(store.as_ref(), "first").await.unwrap();
    let theirs = ensure_marker(store.as_ref(), "second").await.unwrap();
    assert_eq!((mine.store_id.as_str(), &mine), ("first", &theirs));
    assert_eq!(read_marker(store.as_ref()).await.unwrap(), Some(mine));
    server.set("p/bkup.json", Bytes::from_static(b"{\"format_version\":\"2.0\",\"store_id\":\"x\"}"));
    assert!(matches!(ensure_marker(store.as_ref(), "third").await, Err(StoreError::NewerFormat { .. })));
}
