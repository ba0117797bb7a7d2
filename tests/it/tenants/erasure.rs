//! The right to erasure, through the binary: what is asked first, what is gone afterwards, and what a store that refuses
//! does to it.

use super::snap;
use crate::world::cluster::Major;
use crate::world::s3::S3Server;
use crate::world::setup::{APP, Place, Policy, Setup};

const SLUGS: [&str; 6] = ["acme", "b", "c", "d", "e", "f"];

/// An installation whose tenant `acme` is gone.
async fn offboarded(place: Place, encrypted: bool) -> Setup {
    let mut setup = Setup::start(Major::V17, place, &SLUGS).await;
    setup.policy(&Policy { encrypted, ..Policy::default() });
    let _ = setup.first();
    setup.now("2026-03-03T03:15:00Z");
    let _ = setup.apply().exits(0);
    setup.cluster.exec(APP, "DROP SCHEMA tenant_acme CASCADE").await;
    setup.now("2026-03-04T03:15:00Z");
    let _ = setup.apply().exits(0);
    setup
}

/// What consents to the erasure of `acme`.
pub(super) fn digest(setup: &Setup) -> String {
    let json = setup.run(&["--format", "json", "erase", "tenant", "acme"]).exits(0).json();
    json["digest"].as_str().unwrap()[..16].to_owned()
}

/// The objects of the tenant below a folder of the store.
fn below(setup: &Setup, folder: &str) -> usize {
    fn count(folder: &std::path::Path) -> usize {
        let items = std::fs::read_dir(folder).into_iter().flatten().flatten();
        items.map(|item| if item.path().is_dir() { count(&item.path()) } else { 1 }).sum()
    }
    match &setup.place {
        Place::Folder => count(&setup.folder().join(folder).join("app/tenant=acme")),
        _ => setup.s3().keys().iter().filter(|key| key.contains(&format!("/{folder}/app/tenant=acme/"))).count(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_data_go_after_consent_to_just_that_and_what_else_holds_it_is_named() {
    let setup = offboarded(Place::Folder, true).await;
    assert!(below(&setup, "keys") > 0 && below(&setup, "backups") > 0);
    snap("erase_shows", &setup.run(&["erase", "tenant", "acme"]).success());
    let digest = digest(&setup);
    let id = setup.run(&["--format", "json", "list", "--tenant", "acme"]).json()["backups"][0]["id"].to_string();
    let id = id.trim_matches('"').to_owned();
    for (args, code, words) in [
        (vec!["erase", "tenant", "b"], 4, "BK945"),
        (vec!["erase", "tenant", "nobody"], 1, "BK944"),
        (vec!["erase", "tenant", "acme", "--database", "other"], 1, "BK944"),
        (vec!["erase", "tenant", "acme", "--confirm", "0123456789abcdef"], 4, "BK968"),
        (vec!["erase", "tenant", "acme", "--confirm", &digest[..8]], 4, "BK968"),
    ] {
        let ran = setup.run(&args);
        assert_eq!(ran.code, code, "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    }
    assert!(below(&setup, "keys") > 0, "nothing was touched by any of that");

    let erased = setup.run(&["key", "erase", "acme", "--confirm", &digest, "--reason", "request 17"]).exits(0);
    snap("erase_done", &erased.stdout);
    assert_eq!((below(&setup, "keys"), below(&setup, "backups")), (0, 0));
    assert!(below(&setup, "marks") > 0, "word is left for a catalog that is rebuilt");
    for args in [
        vec!["restore", "--database", "app", "--tenant", "acme", "--into", "scratch"],
        vec!["restore", id.as_str(), "--into", "scratch"],
        vec!["explain", id.as_str()],
    ] {
        let ran = setup.run(&args);
        assert!(ran.code != 0 && ran.stderr.contains("BK946"), "{args:?}: {}{}", ran.stdout, ran.stderr);
    }
    let again = setup.run(&["erase", "tenant", "acme"]).success();
    assert!(again.contains("It was erased at"), "{again}");
    setup.assert_converges().await;
    let left = setup
        .cluster
        .ask(
            "catalog",
            "SELECT concat_ws(' ', count(*) FILTER (WHERE tenant_schema IS NOT NULL OR tenant_id IS NOT NULL), \
                 count(*) FILTER (WHERE deleted), (SELECT reason FROM bkup.erasures WHERE completed_at IS NOT NULL), \
                 (SELECT evidence#>>'{erasure,format_version}' FROM bkup.erasures), \
                 (SELECT count(*) FROM bkup.erased_backups WHERE keys_destroyed_at IS NOT NULL AND deleted_at IS NOT NULL)) \
             FROM bkup.executions WHERE tenant_slug = 'acme' AND status = 'COMPLETED'",
        )
        .await;
    assert_eq!(
        left.as_deref(),
        Some("0 2 request 17 1.0 2"),
        "personal data is out of the rows, the evidence is there"
    );
    let audit = setup.run(&["audit", "verify"]);
    assert_eq!(audit.code, 0, "{}{}", audit.stdout, audit.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_keeps_the_data_keeps_what_no_key_opens_and_it_is_finished_later() {
    let setup = offboarded(Place::S3(S3Server::start()), true).await;
    let digest = digest(&setup);
    setup.s3().deny("DELETE");
    let confirm = ["--format", "json", "erase", "tenant", "acme", "--confirm", &digest];
    let first = setup.run(&confirm).exits(0).json();
    let left = first["left"].as_array().unwrap();
    assert_eq!(left.len(), 2, "{first:#}");
    assert!(left.iter().all(|left| left["unreadable"] == true), "{first:#}");
    assert_eq!(below(&setup, "keys"), 0, "the keys are gone whatever the store keeps");
    let restored = setup.run(&["restore", "--database", "app", "--tenant", "acme", "--into", "scratch"]);
    assert!(restored.code != 0 && restored.stderr.contains("BK946"), "{}", restored.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_breaks_off_is_finished_by_the_same_command() {
    let setup = offboarded(Place::Folder, true).await;
    let digest = digest(&setup);
    // The place of the marks is taken by a file: the erasure breaks off behind the data of the first backup.
    let marks = setup.folder().join("marks/app/tenant=acme");
    std::fs::create_dir_all(marks.parent().unwrap()).unwrap();
    std::fs::write(&marks, "in the way").unwrap();
    let broken = setup.run(&["erase", "tenant", "acme", "--confirm", &digest]);
    assert_eq!(broken.code, 5, "{}{}", broken.stdout, broken.stderr);
    assert_eq!(below(&setup, "keys"), 0, "keys go first");
    let restored = setup.run(&["restore", "--database", "app", "--tenant", "acme", "--into", "scratch"]);
    assert!(restored.code != 0 && restored.stderr.contains("BK946"), "{}", restored.stderr);
    std::fs::remove_file(&marks).unwrap();
    let done = setup.run(&["erase", "tenant", "acme", "--confirm", &digest]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(below(&setup, "backups"), 0);
    setup.assert_converges().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_encrypted_is_deleted_and_where_it_cannot_be_that_is_no_success() {
    let setup = offboarded(Place::S3(S3Server::start()), false).await;
    let digest = digest(&setup);
    setup.s3().deny("DELETE");
    let ran = setup.run(&["erase", "tenant", "acme", "--confirm", &digest]);
    assert_eq!(ran.code, 5, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("CAN STILL BE READ") && ran.stderr.contains("BK969"), "{}{}", ran.stdout, ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_that_hurts_is_erased_alone() {
    let slugs = ["a", "a%", "a'b", "A", "b", "c"];
    let mut setup = Setup::start(Major::V17, Place::Folder, &slugs).await;
    let _ = setup.first();
    setup.cluster.exec(APP, "DROP SCHEMA \"tenant_a%\" CASCADE").await;
    setup.now("2026-03-03T03:15:00Z");
    let _ = setup.apply().exits(0);
    let shown = setup.run(&["--format", "json", "erase", "tenant", "a%"]).exits(0).json();
    assert_eq!(shown["backups"].as_array().unwrap().len(), 1);
    let _ = setup.run(&["erase", "tenant", "a%", "--confirm", shown["digest"].as_str().unwrap()]).exits(0);
    let json = setup.run(&["--format", "json", "list"]).json();
    let mut left: Vec<&str> = json["backups"].as_array().unwrap().iter().filter_map(|b| b["scope"].as_str()).collect();
    left.retain(|scope| scope.starts_with("tenant="));
    left.sort_unstable();
    left.dedup();
    assert_eq!(left, ["tenant=A", "tenant=a", "tenant=a'b", "tenant=b", "tenant=c"]);
}
