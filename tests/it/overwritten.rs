//! Suite: somebody wrote over the backups in a bucket that keeps versions, or deleted them: what was written first is
//! brought back, proven, and it is said; where nobody may look at versions, that is said.

use serde_json::Value;

use crate::world::cluster::Major;
use crate::world::moto::Moto;
use crate::world::run::Ran;
use crate::world::s3::BUCKET;
use crate::world::setup::{APP, CATALOG, Place, Policy, Setup};

const ACME: [&str; 2] = ["backups/app/tenant=acme/", "keys/app/tenant=acme/"];
const INTO_SCRATCH: [&str; 8] = ["--format", "json", "restore", "--latest", "--tenant", "acme", "--into", "scratch"];

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// Other bytes, as many.
    Garbage,
    /// Nothing.
    Emptied,
    /// A mark of deletion.
    Deleted,
    /// Deleted, then written as it was but for the last byte.
    DeletedAndForged,
}

async fn installation(encrypted: bool) -> Setup {
    let mut setup = Setup::start(Major::V17, Place::Moto(Moto::versioned().await), &["acme", "b"]).await;
    setup.policy(&Policy { encrypted, ..Policy::default() });
    let _ = setup.first();
    setup
}

async fn attack(setup: &Setup, key: &str, how: Attack) {
    let (moto, full) = (setup.moto(), format!("deep/prefix/{key}"));
    let mut bytes = bytes_of(setup, key).await;
    let delete = moto.client.delete_object().bucket(BUCKET).key(&full);
    match how {
        Attack::Garbage => bytes.iter_mut().for_each(|byte| *byte = b'x'),
        Attack::Emptied => bytes.clear(),
        Attack::Deleted => {
            let _ = delete.send().await.unwrap();
            return;
        }
        Attack::DeletedAndForged => {
            let _ = delete.send().await.unwrap();
            *bytes.last_mut().unwrap() ^= 1;
        }
    }
    let _ = moto.put(&full, bytes).await;
}

async fn bytes_of(setup: &Setup, key: &str) -> Vec<u8> {
    let full = format!("deep/prefix/{key}");
    let got = setup.moto().client.get_object().bucket(BUCKET).key(full).send().await.unwrap();
    got.body.collect().await.unwrap().to_vec()
}

/// Makes it look as if these bytes had been written before those that are there now.
async fn written_before(setup: &Setup, key: &str, before: &[Vec<u8>]) {
    let (moto, full) = (setup.moto(), format!("deep/prefix/{key}"));
    let now = bytes_of(setup, key).await;
    for version in moto.versions().await.iter().filter_map(|one| one.strip_prefix(&format!("{full} "))) {
        let _ = moto.client.delete_object().bucket(BUCKET).key(&full).version_id(version).send().await.unwrap();
    }
    for bytes in before {
        let _ = moto.put(&full, bytes.clone()).await;
    }
    let _ = moto.put(&full, now).await;
}

/// Returns a manifest with another instant.
fn of_another_instant(manifest: &[u8], at: &str) -> Vec<u8> {
    let mut manifest: Value = serde_json::from_slice(manifest).unwrap();
    manifest["consistent_at"] = at.into();
    manifest.to_string().into_bytes()
}

async fn keys_below(setup: &Setup, folders: &[&str]) -> Vec<String> {
    let keys = setup.keys().await;
    keys.into_iter().filter(|key| folders.iter().any(|folder| key.starts_with(folder))).collect()
}

#[track_caller]
fn restored(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(report["proofs"][0]["rows"].as_u64().unwrap() > 0, "{report:#}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_over_or_deleted_comes_back_as_it_was_written() {
    let setup = installation(true).await;
    let policy = setup.run(&["init", "iam", "--store", "primary", "--role", "restore"]).exits(0).json();
    setup.moto().toll.only(Some(policy));
    let as_it_was = restored(&setup.run(&INTO_SCRATCH));
    assert!(!as_it_was.to_string().contains("oldest whole version"), "{as_it_was:#}");
    for how in [Attack::Garbage, Attack::Emptied, Attack::Deleted, Attack::DeletedAndForged] {
        let setup = installation(true).await;
        let keys = keys_below(&setup, &[ACME[0], ACME[1], "backups/app/shared/", "keys/app/shared/"]).await;
        assert!(keys.len() >= 7, "{keys:?}");
        for key in &keys {
            attack(&setup, key, how).await;
        }
        let policy = setup.run(&["init", "iam", "--store", "primary", "--role", "restore"]).exits(0).json();
        setup.moto().toll.only(Some(policy));
        let ran = setup.run(&INTO_SCRATCH);
        let report = restored(&ran);
        assert_eq!(report["proofs"], as_it_was["proofs"], "{how:?}");
        let notes = report["notes"].to_string() + &ran.stderr;
        assert!(notes.contains("oldest whole version"), "{how:?}: {report:#}{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_alone_gives_back_what_was_written_over_or_deleted() {
    for (encrypted, last) in [(true, Attack::Emptied), (false, Attack::Emptied), (true, Attack::Deleted)] {
        let mut setup = installation(encrypted).await;
        for key in keys_below(&setup, &ACME).await {
            attack(&setup, &key, Attack::Garbage).await;
            attack(&setup, &key, last).await;
        }
        setup.set("BKUP_CATALOG_URL", "postgres://nobody@127.0.0.1:9/none");
        let report = restored(&setup.run(&INTO_SCRATCH));
        assert_eq!(report["catalog"], Value::Bool(false), "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_of_another_backup_is_not_taken_for_this_one() {
    let setup = installation(true).await;
    let manifests = setup.manifests().await;
    let of = |begin: &str| manifests.iter().find(|key| key.starts_with(begin)).unwrap();
    let other = bytes_of(&setup, of("backups/app/tenant=b/")).await;
    let _ = setup.moto().put(&format!("deep/prefix/{}", of(ACME[0])), other).await;
    let report = restored(&setup.run(&INTO_SCRATCH));
    assert!(report["backup"].to_string().contains("tenants"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_at_versions_is_told_and_never_given_what_was_forged() {
    let setup = installation(true).await;
    let mut blind = setup.run(&["init", "iam", "--store", "primary", "--role", "restore"]).exits(0).json();
    blind["Statement"].as_array_mut().unwrap().retain(|statement| statement["Sid"] != "ListVersions");
    setup.moto().toll.only(Some(blind));
    let ran = setup.run(&INTO_SCRATCH);
    let report = restored(&ran);
    let notes = report["notes"].to_string() + &ran.stderr;
    assert!(notes.contains("is not known") && notes.contains("init iam --role restore"), "{report:#}{}", ran.stderr);
    let archive = keys_below(&setup, &ACME[..1]).await.into_iter().find(|key| key.contains("archive")).unwrap();
    attack(&setup, &archive, Attack::DeletedAndForged).await;
    let ran = setup.run(&INTO_SCRATCH);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("damaged") || ran.stdout.contains("damaged"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(
        setup.cluster.ask(APP, "SELECT count(*)::text FROM pg_namespace WHERE nspname ~ '__'").await.unwrap(),
        "0"
    );
    setup.moto().toll.only(None);
    let _ = restored(&setup.run(&INTO_SCRATCH));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_found_replaced_is_quarantined_and_restored_by_its_id() {
    let setup = installation(true).await;
    let report = restored(&setup.run(&INTO_SCRATCH));
    let id = report["backup"].as_str().unwrap().to_owned();
    let archive = keys_below(&setup, &ACME[..1]).await.into_iter().find(|key| key.contains("archive")).unwrap();
    attack(&setup, &archive, Attack::Emptied).await;
    let ran = setup.apply();
    assert!(ran.stdout.contains("quarantine"), "{}{}", ran.stdout, ran.stderr);
    let ran = setup.run(&["--format", "json", "restore", &id, "--into", "scratch"]);
    let again = restored(&ran);
    assert_eq!(again["proofs"], report["proofs"]);
    let notes = again["notes"].to_string() + &ran.stderr;
    assert!(notes.contains("quarantined") && notes.contains("oldest whole version"), "{again:#}{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_of_a_restore_says_what_was_written_over_and_holds_while_it_goes_on() {
    let setup = installation(true).await;
    let archive = keys_below(&setup, &ACME[..1]).await.into_iter().find(|key| key.contains("archive")).unwrap();
    attack(&setup, &archive, Attack::Garbage).await;
    let with_plan = [&INTO_SCRATCH[2..], &["--plan", "restore.json"]].concat();
    let shown = setup.run(&with_plan).exits(0).stdout;
    assert!(shown.contains("oldest whole version"), "{shown}");
    let plan = setup.run(&["--format", "json", "show", "restore.json"]).exits(0).json();
    assert!(plan["notes"].to_string().contains("oldest whole version"), "{plan:#}");
    // What is to be known differs by now.
    attack(&setup, &keys_below(&setup, &ACME[1..]).await[0], Attack::Emptied).await;
    let report = restored(&setup.run(&["--format", "json", "restore", "restore.json"]));
    assert!(report["notes"].to_string().contains("2 of its objects"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn instants_that_were_forged_choose_no_backup_where_there_is_no_catalog() {
    let mut setup = installation(true).await;
    let first = keys_below(&setup, &ACME[..1]).await.into_iter().find(|key| key.ends_with("/manifest.json")).unwrap();
    setup.now("2026-03-03T03:15:00Z");
    let _ = setup.apply().exits(0);
    let newest = restored(&setup.run(&INTO_SCRATCH))["backup"].clone();
    let all = keys_below(&setup, &ACME[..1]).await;
    let second = all.into_iter().find(|key| key.ends_with("/manifest.json") && *key != first).unwrap();
    setup.set("BKUP_CATALOG_URL", "postgres://nobody@127.0.0.1:9/none");
    let (old, new) = (bytes_of(&setup, &first).await, bytes_of(&setup, &second).await);
    let forge = async |key: &str, bytes: &[u8], at| {
        let _ = setup.moto().put(&format!("deep/prefix/{key}"), of_another_instant(bytes, at)).await;
    };
    forge(&first, &old, "2099-01-01T00:00:00Z").await;
    assert_eq!(restored(&setup.run(&INTO_SCRATCH))["backup"], newest);
    forge(&second, &new, "1970-01-01T00:00:00Z").await;
    assert_eq!(restored(&setup.run(&INTO_SCRATCH))["backup"], newest);
    attack(&setup, &second, Attack::Deleted).await;
    assert_eq!(restored(&setup.run(&INTO_SCRATCH))["backup"], newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_catalog_is_made_again_from_what_was_written_first() {
    let setup = installation(true).await;
    let instants = async || {
        let all = "SELECT string_agg(backup_id || ' ' || consistent_at || ' ' || parts::text, E'\\n' ORDER BY backup_id) \
                   FROM bkup.executions WHERE status = 'COMPLETED'";
        setup.cluster.ask(CATALOG, all).await.unwrap()
    };
    let before = instants().await;
    let mine = async |end: &'static str| keys_below(&setup, &ACME[..1]).await.into_iter().find(|key| key.contains(end));
    let manifest = mine("/manifest.json").await.unwrap();
    let forged = of_another_instant(&bytes_of(&setup, &manifest).await, "2026-03-01T00:00:00Z");
    let _ = setup.moto().put(&format!("deep/prefix/{manifest}"), forged).await;
    // What is no manifest any more is one that was written over, too. What was deleted stays deleted.
    let manifests = setup.manifests().await;
    let other = manifests.iter().find(|key| key.starts_with("backups/app/tenant=b/")).unwrap();
    attack(&setup, other, Attack::Garbage).await;
    let rebuild = |setup: &Setup| setup.run(&["--format", "json", "catalog", "rebuild", "--auto-approve"]);
    let lose = async || setup.cluster.exec(CATALOG, "DROP SCHEMA bkup CASCADE").await;
    lose().await;
    let rebuilt = rebuild(&setup).exits(0).json();
    assert_eq!(instants().await, before);
    let replaced: Vec<&str> =
        rebuilt["replaced"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(replaced, [manifest.as_str(), other.as_str()]);
    assert_eq!(rebuilt["hidden"], serde_json::json!([]));
    lose().await;
    attack(&setup, other, Attack::Deleted).await;
    let rebuilt = rebuild(&setup).exits(0).json();
    assert!(!instants().await.contains("tenant=b"), "{rebuilt:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_attempt_wrote_before_is_not_taken_for_the_recorded_one() {
    let setup = installation(true).await;
    let before = restored(&setup.run(&INTO_SCRATCH));
    let manifest =
        keys_below(&setup, &ACME[..1]).await.into_iter().find(|key| key.ends_with("/manifest.json")).unwrap();
    let other = of_another_instant(&bytes_of(&setup, &manifest).await, "2026-03-01T00:00:00Z");
    // Of the same instants, with the data of somebody else.
    let theirs = keys_below(&setup, &["backups/app/tenant=b/"]).await;
    let theirs = theirs.iter().find(|key| key.ends_with("/manifest.json")).unwrap();
    let theirs: Value = serde_json::from_slice(&bytes_of(&setup, theirs).await).unwrap();
    let mut mixed: Value = serde_json::from_slice(&bytes_of(&setup, &manifest).await).unwrap();
    mixed["parts"] = theirs["parts"].clone();
    written_before(&setup, &manifest, &[other, mixed.to_string().into_bytes()]).await;
    // A key that opens, and is not the one that the data was encrypted to.
    let keys = keys_below(&setup, &["keys/app/tenant=b/"]).await;
    let strange = bytes_of(&setup, &keys[0]).await;
    let key = keys_below(&setup, &ACME[1..]).await.remove(0);
    written_before(&setup, &key, &[strange]).await;
    let after = restored(&setup.run(&INTO_SCRATCH));
    for field in ["backup", "consistent_at", "proofs"] {
        assert!(!before[field].is_null(), "{field}: {before:#}");
        assert_eq!(after[field], before[field], "{field}");
    }
    assert!(!after.to_string().contains("is read"), "{after:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_without_number_and_the_same_bytes_twice_hide_nothing() {
    let setup = installation(true).await;
    let archive = keys_below(&setup, &ACME[..1]).await.into_iter().find(|key| key.contains("archive")).unwrap();
    let bytes = bytes_of(&setup, &archive).await;
    // A write whose reply was lost is no attack.
    let _ = setup.moto().put(&format!("deep/prefix/{archive}"), bytes).await;
    let report = restored(&setup.run(&INTO_SCRATCH));
    assert!(!report.to_string().contains("is read"), "{report:#}");
    for n in 0..40 {
        attack(&setup, &archive, if n % 2 == 0 { Attack::Garbage } else { Attack::Emptied }).await;
    }
    let folder = archive.rsplit_once('/').unwrap().0;
    for n in 0..1_100 {
        let _ = setup.moto().put(&format!("deep/prefix/{folder}/{n}"), "junk").await;
    }
    let report = restored(&setup.run(&INTO_SCRATCH));
    assert!(report.to_string().contains("oldest whole version"), "{report:#}");
}
