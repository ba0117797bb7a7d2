//! Buckets, folders and servers as they are set, and what else is on them.

use std::os::unix::fs::PermissionsExt;

use crate::world::cluster::Major;
use crate::world::s3::{Rclone, S3Server};
use crate::world::setup::{Place, Policy, Setup};

const LIFECYCLE: &str = "<LifecycleConfiguration><Rule><ID>tidy\u{202e}</ID><Filter><Prefix>deep/</Prefix></Filter>\
    <Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule><Rule><ID>off</ID><Filter><Prefix/></Filter>\
    <Status>Disabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
const OPEN: &str = "<AccessControlPolicy><Owner><ID>me</ID></Owner><AccessControlList><Grant>\
    <Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\">\
    <URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>\
    </AccessControlList></AccessControlPolicy>";

async fn on_s3() -> Setup {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme"]).await;
    let text =
        setup.policy_text(&Policy::default()).replace("path_style: true", "path_style: true\n    versioning: required");
    std::fs::write(setup.path("bkup.yaml"), text).unwrap();
    setup.s3().set_setting(
        "versioning",
        200,
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    );
    let _ = setup.apply().success();
    setup.assert_converges().await;
    setup
}

#[tokio::test]
async fn a_bucket_that_lost_its_versions_is_open_or_deletes_backups_is_told() {
    let setup = on_s3().await;
    setup.s3().set_setting(
        "versioning",
        200,
        "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
    );
    setup.s3().set_setting("lifecycle", 200, LIFECYCLE);
    setup.s3().set_setting("policyStatus", 200, "<PolicyStatus><IsPublic>TRUE</IsPublic></PolicyStatus>");
    setup.s3().set_setting("acl", 200, OPEN);
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
    for words in [
        "3 drift, left to people",
        "the bucket is open to others: its policy lets everybody in, its access list lets everybody list it",
        "deletes its objects after 30 days",
        "`versioning: required` is asked for, and the bucket's is suspended",
    ] {
        assert!(drift.stdout.replace("\n    ", " ").contains(words), "{words}:\n{}", drift.stdout);
    }
    assert!(!drift.stdout.contains('\u{202e}'), "{}", drift.stdout);
    assert!(!drift.stdout.contains("off"), "a rule that is off does nothing: {}", drift.stdout);
    let plan = setup.run(&["plan", "--detailed-exitcode"]).exits(2);
    assert!(plan.stdout.contains("Nothing to apply"), "{}", plan.stdout);
}

#[tokio::test]
async fn a_setting_that_is_denied_is_not_known_and_nothing_waits_for_it() {
    let setup = on_s3().await;
    for question in ["versioning", "lifecycle", "policyStatus", "acl", "publicAccessBlock", "object-lock", "encryption"]
    {
        setup.s3().deny_setting(question);
    }
    setup.s3().deny_setting("uploads");
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(0);
    let text = drift.stdout.replace("\n    ", " ");
    for words in ["versioning (the store denies it: it takes s3:GetBucketVersioning)", "uploads could not be listed"] {
        assert!(text.contains(words), "{words}:\n{}", drift.stdout);
    }
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_server_that_has_no_such_settings_is_quiet_about_them() {
    let setup = Setup::start(Major::V17, Place::Rclone(Rclone::start()), &["acme"]).await;
    let _ = setup.apply().success();
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(0);
    assert!(drift.stdout.contains("No drift") && !drift.stdout.contains("Notes"), "{}", drift.stdout);
}

#[tokio::test]
async fn a_folder_that_everybody_can_write_into_is_told() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.apply().success();
    std::fs::set_permissions(setup.folder(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
    assert!(drift.stdout.contains("everybody on the machine can take backups out of its folder"), "{}", drift.stdout);
}

#[tokio::test]
async fn a_second_database_of_the_server_is_told_and_may_be_lived_with() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.apply().success();
    setup.cluster.exec("postgres", "CREATE DATABASE \"billing\u{1b}[2J\"").await;
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
    assert!(drift.stdout.contains("1 database is on its server and in no policy"), "{}", drift.stdout);
    assert!(!drift.stdout.contains('\u{1b}'), "{}", drift.stdout);
    let text =
        setup.read("bkup.yaml").replace("  app:\n", "  app: # bkup: ignore[BK904] billing is made anew every night\n");
    std::fs::write(setup.path("bkup.yaml"), text).unwrap();
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(0);
    let text = drift.stdout.replace("\n    ", " ");
    assert!(text.contains("a comment in the policies lives with it"), "{text}");
    let _ = setup.run(&["validate"]).exits(0);
    setup.assert_converges().await;
}

#[tokio::test]
async fn what_wal_and_a_hot_standby_need_is_compared_with_the_real_server() {
    let setup =
        Setup::start_with(Major::V17, Place::Folder, &["acme"], &[("wal_level", "minimal"), ("max_wal_senders", "0")]);
    let setup = setup.await;
    let text = setup
        .policy_text(&Policy::default())
        .replace(
            "    tenants: { schemas: \"tenant_*\" }\n",
            "    tenants: { schemas: \"tenant_*\" }\n    wal: { store: primary }\n",
        )
        .replace("priority: 9 }", "priority: 9, rpo: 5m, rto: 30m, method: hot_standby }");
    std::fs::write(setup.path("bkup.yaml"), text).unwrap();
    let drift = setup.run(&["drift", "--detailed-exitcode", "--target", "database.*"]).exits(2);
    for words in [
        "`wal_level` of its server is minimal",
        "`archive_mode` of its server is off",
        "`archive_command` of its server is empty",
        "`archive_timeout` of its server is off",
        "class.everybody promises a hot standby, and none follows its server",
    ] {
        assert!(drift.stdout.replace("\n    ", " ").contains(words), "{words}:\n{}\n{}", drift.stdout, drift.stderr);
    }
}

#[tokio::test]
async fn tenants_without_a_class_are_told_as_drift_and_only_once() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    let text =
        setup.policy_text(&Policy::default()).replace("tenants: [\"*\"], priority", "tenants: [\"acme\"], priority");
    std::fs::write(setup.path("bkup.yaml"), text).unwrap();
    let plan = setup.run(&["plan", "--detailed-exitcode"]).exits(2);
    assert!(plan.stdout.contains("1 tenant of no class: `globex`"), "{}", plan.stdout);
    assert!(!plan.stderr.contains("BK211"), "{}", plan.stderr);
}
