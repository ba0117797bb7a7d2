//! Suite: somebody wrote over the backups in a bucket that keeps versions, or deleted them: what was written first is
//! brought back, proven, and it is said; where nobody may look at versions, that is said.

use serde_json::Value;

use crate::world::cluster::Major;
use crate::world::moto::Moto;
use crate::world::run::Ran;
use crate::world::s3::BUCKET;
use crate::world::setup::{APP, Place, Policy, Setup};

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
    let got = moto.client.get_object().bucket(BUCKET).key(&full).send().await.unwrap();
    let mut bytes = got.body.collect().await.unwrap().to_vec();
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
    let other = format!("deep/prefix/{}", of("backups/app/tenant=b/"));
    let got = setup.moto().client.get_object().bucket(BUCKET).key(other).send().await.unwrap();
    let other = got.body.collect().await.unwrap().to_vec();
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
