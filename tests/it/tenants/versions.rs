//! The right to erasure in a bucket that keeps versions: no version of the tenant's objects is left, and until that is so
//! nobody is told that it is.

use serde_json::Value;

use super::erasure::digest;
use crate::world::cluster::Major;
use crate::world::moto::Moto;
use crate::world::setup::{APP, Place, Policy, Setup};

/// An installation in a bucket with versions, with a tenant `acme` that is gone and whose older backups were purged.
async fn offboarded(encrypted: bool) -> Setup {
    let slugs = ["acme", "acme-2", "b", "c", "d", "e"];
    let mut setup = Setup::start(Major::V17, Place::Moto(Moto::versioned().await), &slugs).await;
    let mut policy = Policy { encrypted, ..Policy::default() };
    policy.retention = "  short: { last: 1 }\n".to_owned();
    policy.guards = "{ max_delete: 75%, min_keep: 1, grace: 1h }".to_owned();
    policy.schedules = policy.schedules.lines().nth(1).unwrap().to_owned() + "\n";
    setup.policy(&policy);
    let _ = setup.first();
    for day in 3..=4 {
        setup.now(&format!("2026-03-0{day}T03:15:00Z"));
        let _ = setup.apply().exits(0);
    }
    setup.cluster.exec(APP, "DROP SCHEMA tenant_acme CASCADE").await;
    setup.now("2026-03-05T03:15:00Z");
    let _ = setup.apply().exits(0);
    setup
}

fn policy(setup: &Setup, role: &str) -> Value {
    setup.run(&["init", "iam", "--store", "primary", "--role", role]).exits(0).json()
}

fn is_its(version: &str) -> bool {
    version.starts_with("deep/prefix/keys/app/tenant=acme/")
        || version.starts_with("deep/prefix/backups/app/tenant=acme/")
}

/// The tenant's versions, and all the others but for what every command leaves in the store.
async fn versions(setup: &Setup) -> (Vec<String>, Vec<String>) {
    setup.moto().versions().await.into_iter().partition(|version| is_its(version))
}

/// Asserts that nothing else than the tenant's was touched.
#[track_caller]
fn assert_there(before: &[String], after: &[String]) {
    let missing: Vec<&String> = before.iter().filter(|version| !after.contains(version)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_version_is_left_of_what_the_printed_identity_erases_and_others_say_what_they_lack() {
    let setup = offboarded(true).await;
    let live = setup.run(&["--format", "json", "list", "--tenant", "acme"]).exits(0).json();
    let live = live["backups"].as_array().unwrap().len();
    let (its, others) = versions(&setup).await;
    let manifests = its.iter().filter(|one| one.contains("/manifest.json ") && !one.contains(" (gone) ")).count();
    assert!(manifests > live, "no backup was purged before: {manifests} {live}");
    assert!(its.iter().any(|one| one.contains(" (gone) ")), "a purge left no marks");
    let digest = digest(&setup);
    let erase = ["erase", "tenant", "acme", "--confirm", &digest];

    // One that may only delete hides the objects, and says that this is not enough.
    setup.moto().toll.only(Some(policy(&setup, "pruner")));
    let ran = setup.run(&erase);
    assert_eq!(ran.code, 5, "{}{}", ran.stdout, ran.stderr);
    for words in ["BK969", "list the versions below keys/app/tenant=acme/", "init iam --role eraser", "run the same"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    let (left, still) = versions(&setup).await;
    assert!(left.len() >= its.len(), "{} {}", left.len(), its.len());
    assert_there(&others, &still);

    // One that sees versions and may not delete them names the first.
    let mut blind = policy(&setup, "eraser");
    for statement in blind["Statement"].as_array_mut().unwrap() {
        if let Some(actions) = statement["Action"].as_array_mut() {
            actions.retain(|action| action != "s3:DeleteObjectVersion");
        }
    }
    setup.moto().toll.only(Some(blind));
    let ran = setup.run(&erase);
    assert_eq!(ran.code, 5, "{}{}", ran.stdout, ran.stderr);
    for words in ["BK969", "of the key keys/app/tenant=acme/", "AccessDenied", "more like it", "init iam --role eraser"]
    {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    let again = setup.run(&["erase", "tenant", "acme"]).exits(0).stdout;
    assert!(!again.contains("It was erased"), "{again}");

    setup.moto().toll.only(Some(policy(&setup, "eraser")));
    let done = setup.run(&["--format", "json", "erase", "tenant", "acme", "--confirm", &digest]).exits(0).json();
    assert_eq!((done["left"].as_array().unwrap().len(), done["notes"].as_array().unwrap().len()), (0, 0), "{done:#}");
    assert!(done["keys"].as_u64().unwrap() >= manifests as u64, "{done:#}");
    setup.moto().toll.only(None);
    let (its, still) = versions(&setup).await;
    assert_eq!(its, [""; 0]);
    assert_there(&others, &still);
    for args in [vec!["erase", "tenant", "acme"], erase.to_vec()] {
        let again = setup.run(&args).success();
        assert!(again.contains("It was erased at"), "{again}");
    }
    setup.assert_converges().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_version_is_named_and_the_erasure_is_finished_when_the_hold_is_gone() {
    let setup = offboarded(true).await;
    let keys = setup.keys().await;
    let key = keys.iter().find(|key| key.starts_with("keys/app/tenant=acme/")).unwrap();
    let key = format!("deep/prefix/{key}");
    let version = setup.moto().put(&key, "another version").await;
    setup.moto().hold(&key, &version, true).await;
    // Nobody recorded this one: it lies among what the last sweep takes, when no backup is left to tell of.
    let stray = "deep/prefix/backups/app/tenant=acme/stray".to_owned();
    let held = setup.moto().put(&stray, "stray").await;
    setup.moto().hold(&stray, &held, true).await;
    let (_, others) = versions(&setup).await;
    let digest = digest(&setup);
    let erase = ["erase", "tenant", "acme", "--confirm", &digest];
    let mut left = vec![format!("{stray} {held}"), format!("{key} {version}")];
    left.sort();
    for _ in 0..2 {
        let ran = setup.run(&erase);
        assert_eq!(ran.code, 5, "{}{}", ran.stdout, ran.stderr);
        let short = key.trim_start_matches("deep/prefix/");
        let named = format!("version {version} of the key {short}");
        for words in ["BK969", named.as_str(), "object lock", "1 more like it", "a hold or a lock", "run the same"] {
            let text: String = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(words), "{words}: {text}");
        }
        let (its, still) = versions(&setup).await;
        assert_eq!(its, left, "everything else is gone");
        assert_there(&others, &still);
        let shown = setup.run(&["erase", "tenant", "acme"]).success();
        assert!(shown.contains("--confirm") && !shown.contains("It was erased"), "{shown}");
    }
    setup.moto().hold(&key, &version, false).await;
    setup.moto().hold(&stray, &held, false).await;
    let done = setup.run(&erase).exits(0).stdout;
    assert!(done.contains("nobody can read"), "{done}");
    assert_eq!(versions(&setup).await.0, [""; 0]);
    assert!(setup.run(&erase).success().contains("It was erased at"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_encrypted_and_is_held_can_still_be_read_and_that_is_no_success() {
    let setup = offboarded(false).await;
    let keys = setup.keys().await;
    let data = keys.iter().find(|key| key.starts_with("backups/app/tenant=acme/") && key.contains("/a-")).unwrap();
    let key = format!("deep/prefix/{data}");
    let version = setup.moto().put(&key, "another version").await;
    setup.moto().hold(&key, &version, true).await;
    let digest = digest(&setup);
    let erase = ["erase", "tenant", "acme", "--confirm", &digest];
    let ran = setup.run(&erase);
    assert_eq!(ran.code, 5, "{}{}", ran.stdout, ran.stderr);
    let text: String = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("CAN STILL BE READ") && text.contains(&version), "{text}");
    assert_eq!(versions(&setup).await.0, [format!("{key} {version}")], "everything else is gone");
    setup.moto().hold(&key, &version, false).await;
    let _ = setup.run(&erase).exits(0);
    assert_eq!(versions(&setup).await.0, [""; 0]);
}
