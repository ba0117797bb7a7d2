//! Suite: old versions, on a server that keeps them: what is destroyed is gone with every version and mark of it, and
//! nothing else is; what the server keeps, hides or fails at is said.

use std::sync::Arc;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bkup::store::{StoreError, WriteStore, destroy_versions, open};

use crate::world::moto::Moto;
use crate::world::s3::{BUCKET, S3Server};
use crate::world::toll::Trouble;

const PREFIX: &str = "deep/prefix";
const ACME: &str = "keys/app/tenant=acme/";
const MANY: [&str; 3] = ["many/a", "many/b", "many/c"];

async fn store(server: &Moto) -> Arc<dyn WriteStore> {
    open(server.connection(PREFIX)).await.unwrap()
}

/// Deletes objects, one as often as it is named: each time it gets a mark.
async fn mark(server: &Moto, keys: impl Iterator<Item = String>) {
    let object = |key| ObjectIdentifier::builder().key(key).build().unwrap();
    let delete = Delete::builder().set_objects(Some(keys.map(object).collect())).quiet(true).build().unwrap();
    server.client.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
}

/// More versions than a page holds, of three keys below [`ACME`].
async fn many(server: &Moto) {
    for name in MANY {
        let key = format!("{PREFIX}/{ACME}{name}");
        let _ = server.put(&key, "one").await;
        mark(server, std::iter::repeat_n(key, 400)).await;
    }
}

async fn below(server: &Moto, prefix: &str) -> Vec<String> {
    let full = format!("{PREFIX}/{prefix}");
    server.versions().await.into_iter().filter(|version| version.starts_with(&full)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_and_mark_goes_over_several_pages_and_nothing_of_a_neighbour() {
    let server = Moto::versioned().await;
    let neighbours = [
        format!("{PREFIX}/keys/app/tenant=acme-2/b/a-1/k.age"),
        format!("{PREFIX}/keys/app/tenant=acm/b/a-1/k.age"),
        format!("{PREFIX}/keys/app/tenant=acme"),
        format!("{PREFIX}/keys/app2/tenant=acme/k"),
        format!("{PREFIX}/backups/app/tenant=acme/manifest.json"),
        "keys/app/tenant=acme/k".to_owned(),
        "other/deep/prefix/keys/app/tenant=acme/k".to_owned(),
    ];
    for key in &neighbours {
        let _ = server.put(key, "one").await;
        let _ = server.put(key, "two").await;
    }
    mark(&server, neighbours.iter().take(2).cloned()).await;
    let untouched = server.versions().await;
    many(&server).await;
    let mut keys = MANY.len();
    for name in ["a b", "100%", "a%20b", "a+b", "größe", "人", "a&b<c>\"'", "=&?#"] {
        let key = format!("{PREFIX}/{ACME}{name}");
        let _ = server.put(&key, "one").await;
        let _ = server.put(&key, "two").await;
        mark(&server, std::iter::once(key.clone())).await;
        let _ = server.put(&key, "three").await;
        keys += 1;
    }
    let store = store(&server).await;
    server.toll.count("");
    let gone = destroy_versions(store.as_ref(), ACME).await.unwrap().expect("it keeps versions");
    assert_eq!(gone.left, []);
    assert_eq!(gone.keys.len(), keys);
    assert!(server.toll.count("versions") > 2, "the listing was not of several pages");
    assert_eq!(server.versions().await, untouched);
    let again = destroy_versions(store.as_ref(), ACME).await.unwrap().unwrap();
    assert!(again.keys.is_empty() && again.left.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bucket_held_before_it_kept_versions_goes_too() {
    let server = Moto::start().await;
    let store = store(&server).await;
    let key = format!("{PREFIX}/{ACME}k");
    let _ = server.put(&key, "before versions").await;
    server.keep_versions().await;
    let _ = server.put(&key, "one").await;
    mark(&server, std::iter::once(key)).await;
    let kept = below(&server, ACME).await;
    assert!(kept.len() == 3 && kept.iter().any(|version| version.ends_with(" null")), "{kept:?}");
    let gone = destroy_versions(store.as_ref(), ACME).await.unwrap().unwrap();
    assert_eq!((gone.keys.len(), gone.left.len()), (1, 0));
    assert_eq!(below(&server, ACME).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_under_a_hold_is_named_and_the_others_go() {
    let server = Moto::versioned().await;
    let store = store(&server).await;
    let (free, held) = (format!("{PREFIX}/{ACME}free"), format!("{PREFIX}/{ACME}held"));
    let version = server.put(&held, "held").await;
    server.hold(&held, &version, true).await;
    for key in [&free, &held] {
        let _ = server.put(key, "one").await;
        mark(&server, std::iter::once(key.clone())).await;
    }
    let gone = destroy_versions(store.as_ref(), ACME).await.unwrap().unwrap();
    let [(left, why)] = gone.left.as_slice() else { panic!("{:?}", gone.left) };
    assert_eq!((left.key.as_str(), &left.version), ("keys/app/tenant=acme/held", &version));
    assert!(matches!(why, StoreError::Denied { .. }) && why.to_string().contains("object lock"), "{why}");
    assert_eq!(below(&server, ACME).await, [format!("{held} {version}")]);
    server.hold(&held, &version, false).await;
    let gone = destroy_versions(store.as_ref(), ACME).await.unwrap().unwrap();
    assert_eq!((gone.left.len(), below(&server, ACME).await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_costs_requests_and_not_what_was_done() {
    let server = Moto::versioned().await;
    let store = store(&server).await;
    // Three of four fail: no run over all pages that begins anew after a failure would ever come to its end.
    for containing in ["versions", "delete"] {
        many(&server).await;
        server.toll.storm(containing, Trouble::Unavailable, 4);
        let gone = destroy_versions(store.as_ref(), ACME).await.unwrap().unwrap();
        assert_eq!((gone.keys.len(), gone.left.len()), (MANY.len(), 0), "{containing}");
        assert_eq!(below(&server, ACME).await.len(), 0, "{containing}");
    }
    many(&server).await;
    server.toll.storm("delete", Trouble::EachFails, 4);
    let gone = destroy_versions(store.as_ref(), ACME).await.unwrap().unwrap();
    assert_eq!((gone.keys.len(), gone.left.len()), (MANY.len(), 0), "each by itself");
    // What fails on and on is left, with the server's word.
    let _ = server.put(&format!("{PREFIX}/{ACME}k"), "one").await;
    server.toll.storm("delete", Trouble::EachFails, u64::MAX);
    let gone = destroy_versions(store.as_ref(), ACME).await.unwrap().unwrap();
    assert!(matches!(gone.left.as_slice(), [(_, StoreError::Busy { .. })]), "{:?}", gone.left);
    let kept = store.delete_many(&[format!("{ACME}k")]).await.unwrap();
    assert!(matches!(kept.as_slice(), [(key, StoreError::Busy { .. })] if *key == format!("{ACME}k")), "{kept:?}");
    server.toll.storm("delete", Trouble::EachFails, 3);
    assert_eq!(store.delete_many(&[format!("{ACME}k")]).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_not_to_be_seen_are_not_taken_for_none() {
    let server = S3Server::start();
    let store = open(server.connection(PREFIX)).await.unwrap();
    let state = |inner: &str| {
        server.set_setting("versioning", 200, &format!("<VersioningConfiguration>{inner}</VersioningConfiguration>"))
    };
    // A server that does not know the question has none to show, unless it says that it keeps some.
    assert!(destroy_versions(store.as_ref(), ACME).await.unwrap().is_none());
    state("<Status>Enabled</Status>");
    let error = destroy_versions(store.as_ref(), ACME).await.expect_err("it keeps versions");
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");

    server.deny_setting("versions");
    state("");
    let gone = destroy_versions(store.as_ref(), ACME).await.unwrap().expect("the bucket never kept any, and says so");
    assert!(gone.keys.is_empty() && gone.left.is_empty());
    let denied = |error: StoreError| {
        assert!(matches!(error, StoreError::Denied { .. }), "{error}");
        assert!(error.to_string().contains("list the versions below keys/app/tenant=acme/"), "{error}");
    };
    for inner in ["<Status>Enabled</Status>", "<Status>Suspended</Status>"] {
        state(inner);
        denied(destroy_versions(store.as_ref(), ACME).await.expect_err("it keeps versions"));
    }
    server.deny_setting("versioning");
    denied(destroy_versions(store.as_ref(), ACME).await.expect_err("nobody knows"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_goes_nowhere_is_an_error_and_no_loop() {
    let server = S3Server::start();
    let store = open(server.connection(PREFIX)).await.unwrap();
    let page = |more: &str| {
        let inner = format!("<IsTruncated>true</IsTruncated>{more}");
        server.set_setting("versions", 200, &format!("<ListVersionsResult>{inner}</ListVersionsResult>"));
    };
    page("");
    let cut = destroy_versions(store.as_ref(), ACME).await.expect_err("cut");
    assert!(cut.to_string().contains("does not say where to go on"), "{cut}");
    page(&format!("<NextKeyMarker>{PREFIX}/{ACME}k</NextKeyMarker>"));
    let round = destroy_versions(store.as_ref(), ACME).await.expect_err("round and round");
    assert!(round.to_string().contains("goes on where it was"), "{round}");
    // What is said to be deleted and is shown again is not gone.
    let version = format!("<Version><Key>{PREFIX}/{ACME}k</Key><VersionId>1</VersionId></Version>");
    server.set_setting("versions", 200, &format!("<ListVersionsResult>{version}</ListVersionsResult>"));
    let again = destroy_versions(store.as_ref(), ACME).await.expect_err("still there");
    assert!(again.to_string().contains("still shows versions"), "{again}");
}
