//! Rows of a real catalog, changed with SQL as people do.

use crate::world::cluster::Major;
use crate::world::setup::{CATALOG, Place, Policy, Setup};

/// A plan to recover, so that there is a row of it.
const RECOVERY: &str = "recovery_plans:
  whole: { type: full_recovery, scope: all_systems, databases: [app], rto: 4h, rpo: 27h, requires: [database], \
            steps: [{ manual: Look }, { restore: { backup: database, from: latest, into: scratch } }], \
            approval: { status: draft }, contacts: { primary: ops@example.com } }
";

async fn started() -> Setup {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    setup.policy(&Policy { more: RECOVERY.to_owned(), ..Policy::default() });
    let _ = setup.first();
    assert!(setup.run(&["drift", "--detailed-exitcode"]).exits(0).stdout.contains("No drift"));
    setup
}

#[tokio::test]
async fn what_people_change_in_the_rows_of_policies_is_seen_and_written_again() {
    let setup = started().await;
    let record = "UPDATE bkup.policies SET";
    for (edit, words) in [
        (
            "UPDATE bkup.schedules SET frequency = 'WEEKLY' WHERE policy_name = 'nightly'",
            "frequency is WEEKLY instead of DAILY",
        ),
        (
            "UPDATE bkup.schedules SET schedule_time = '04:00', enabled = false WHERE policy_name = 'nightly'",
            "schedule_time is 04:00:00",
        ),
        (
            "UPDATE bkup.schedules SET notify_emails = '{a@b}', target_tenants = '{}' WHERE policy_name = 'nightly'",
            "notify_emails",
        ),
        (
            "UPDATE bkup.schedules SET policy = policy || '{\"x\": 1}' WHERE policy_name = 'nightly'",
            "policy is another document",
        ),
        (
            "UPDATE bkup.schedules SET timezone = E'\\x1b[2J''; DROP SCHEMA x' WHERE policy_name = 'nightly'",
            "instead of UTC",
        ),
        ("UPDATE bkup.schedules SET deleted = true WHERE policy_name = 'nightly'", "deleted is true instead of false"),
        ("DELETE FROM bkup.schedules WHERE policy_name = 'nightly'", "the row is gone"),
        (
            "UPDATE bkup.recovery_plans SET recovery_time = 1, status = 'APPROVED' WHERE policy_name = 'whole'",
            "recovery_time is 1 instead of 240",
        ),
        (
            &format!("{record} body = body || '{{\"max_parallel_jobs\": 9}}' WHERE address = 'schedule.nightly'"),
            "does not agree with its own digest",
        ),
        (
            &format!("{record} digest = repeat('0', 64) WHERE address = 'schedule.nightly'"),
            "does not agree with its own digest",
        ),
        (
            &format!("{record} retention = '{{\"last\": 1}}' WHERE address = 'schedule.nightly'"),
            "retention is another document",
        ),
    ] {
        setup.cluster.exec(CATALOG, edit).await;
        let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
        assert!(drift.stdout.contains(words), "{edit}:\n{}", drift.stdout);
        assert!(!drift.stdout.contains('\u{1b}'), "{}", drift.stdout);
        let plan = setup.run(&["plan", "--detailed-exitcode"]).exits(2);
        assert!(plan.stdout.contains("0 changes · 1 drift"), "{edit}:\n{}", plan.stdout);
        let _ = setup.apply().success();
        setup.assert_converges().await;
    }
}

#[tokio::test]
async fn the_row_of_an_archived_schedule_is_restored_as_an_archived_one() {
    let mut setup = started().await;
    let only = "  nightly: { databases: [app], backup: database, when: { frequency: daily, time: \"02:30\" }, \
                retention: short, store: primary }\n";
    setup.policy(&Policy { schedules: only.to_owned(), more: RECOVERY.to_owned(), ..Policy::default() });
    setup.now("2026-03-02T10:05:00Z");
    let _ = setup.apply().success();
    setup.assert_converges().await;
    let revive = "UPDATE bkup.schedules SET deleted = false, enabled = true WHERE policy_name = 'tenants';
                  UPDATE bkup.policies SET retention = '{\"last\": 1}' WHERE address = 'schedule.tenants'";
    setup.cluster.exec(CATALOG, revive).await;
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
    assert!(drift.stdout.contains("deleted is false instead of true"), "{}", drift.stdout);
    let _ = setup.apply().success();
    let row = "SELECT s.deleted || ' ' || s.enabled || ' ' || (p.archived_at IS NOT NULL) FROM bkup.schedules s \
               JOIN bkup.policies p ON p.address = 'schedule.' || s.policy_name WHERE s.policy_name = 'tenants'";
    assert_eq!(setup.catalog(row).await, "true false true");
    setup.assert_converges().await;
}

#[tokio::test]
async fn schedules_put_in_by_hand_are_told_and_executed_by_nobody() {
    let setup = started().await;
    let insert = "INSERT INTO bkup.schedules (schedule_name, backup_type, frequency) \
                  VALUES (E'mine\\x1b[2J', 'DATABASE', 'HOURLY')";
    setup.cluster.exec(CATALOG, insert).await;
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
    assert!(drift.stdout.contains("1 schedule is in the catalog and in no policy"), "{}", drift.stdout);
    assert!(drift.stdout.contains("bkup import --catalog") && !drift.stdout.contains('\u{1b}'), "{}", drift.stdout);
    let before = setup.manifests().await;
    let _ = setup.apply().success();
    assert_eq!(setup.manifests().await, before);
    setup.cluster.exec(CATALOG, "DELETE FROM bkup.schedules WHERE policy_name IS NULL").await;
    setup.assert_converges().await;
}

#[tokio::test]
async fn a_backup_whose_row_was_changed_is_told_until_the_change_is_taken_back() {
    let setup = started().await;
    for (edit, back) in [
        ("consistent_at = consistent_at - interval '90 days'", "consistent_at = consistent_at + interval '90 days'"),
        ("backup_size = backup_size + 1", "backup_size = backup_size - 1"),
        ("manifest_key = manifest_key || 'x'", "manifest_key = left(manifest_key, -1)"),
    ] {
        let of = "WHERE scope = 'database' AND status = 'COMPLETED'";
        setup.cluster.exec(CATALOG, &format!("UPDATE bkup.executions SET {edit} {of}")).await;
        let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
        assert!(drift.stdout.contains("not what was recorded when they were made"), "{edit}: {}", drift.stdout);
        setup.cluster.exec(CATALOG, &format!("UPDATE bkup.executions SET {back} {of}")).await;
        setup.assert_converges().await;
    }
    assert_eq!(setup.catalog("SELECT count(*) FROM bkup.executions WHERE recorded_hash IS NULL").await, "0");
    for otherwise in ["recorded_hash + 1", "NULL"] {
        let edit = format!("UPDATE bkup.executions SET recorded_hash = {otherwise}");
        setup.cluster.exec(CATALOG, &edit).await;
        setup.assert_converges().await;
    }
}

#[tokio::test]
async fn a_failed_verification_that_left_no_quarantine_gets_one() {
    let setup = started().await;
    let insert = "INSERT INTO bkup.validations (backup_id, store, depth, passed, detail, validated_at) \
                  SELECT backup_id, store, 'checksum', false, 'SHA-256 differs', now() FROM bkup.executions \
                  WHERE scope = 'database' AND status = 'COMPLETED'";
    setup.cluster.exec(CATALOG, insert).await;
    let drift = setup.run(&["drift", "--detailed-exitcode"]).exits(2);
    assert!(drift.stdout.contains("SHA-256 differs"), "{}", drift.stdout);
    let _ = setup.apply().success();
    assert_eq!(setup.catalog("SELECT count(*) FROM bkup.executions WHERE quarantine IS NOT NULL").await, "1");
    setup.assert_converges().await;
}
