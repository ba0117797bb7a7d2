//! Suite: a catalog that is lost, made again from the stores alone by the binary, and the audit chain proven across it.

use crate::world::cluster::Major;
use crate::world::run::Ran;
use crate::world::s3::{HttpFault, S3Server};
use crate::world::setup::{CATALOG, Place, Policy, Setup};

const RECOVERY: &str = "recovery_plans:
  tenant-recovery:
    description: Bring a tenant back
    type: tenant_recovery
    scope: tenant_data
    databases: [app]
    rpo: 50h
    rto: 1h
    requires: [tenant_data]
    steps:
      - restore: { backup: tenant_data, from: ask, tenants: ask, into: scratch }
    approval: { status: pending_approval }
    contacts: { primary: ops@example.com }
    drill:
      every: 4d
      sample_tenants: 1
      checks:
        - tables: equal
";

/// What has to be the same after a rebuild, as questions that give one text each.
const SAME: [(&str, &str); 9] = [
    (
        "backups",
        "SELECT string_agg(concat_ws('|', backup_id, attempt, action_id, backup_type, backup_method, backup_format, database, \
         scope, tenant_slug, tenant_schema, tenant_id, backup_tenant_id, store, store_id, manifest_key, slot, slot_local, \
         slot_zone, consistent_at, completed_at, backup_size, original_size, duration_ms, verification, drilled_at, \
         quarantine, quarantined_at, tombstoned_at, purge_after, expires_at, marks, shared, parent, protected, retention, \
         retention_days, digest_key_id, policy_digest, simulated), E'\\n' ORDER BY backup_id) \
         FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted",
    ),
    (
        "purged backups",
        "SELECT string_agg(concat_ws('|', backup_id, backup_type, schedule, slot, database, scope, store, marks), E'\\n' \
         ORDER BY backup_id) FROM bkup.executions WHERE status = 'COMPLETED' AND deleted",
    ),
    (
        "drills",
        "SELECT string_agg(concat_ws('|', drill_id, plan, plan_digest, attempt, drilled_at, passed, backups, tenants, \
         evidence_digest), E'\\n' ORDER BY ordinal) FROM bkup.drills",
    ),
    (
        "progress",
        "SELECT string_agg(concat_ws('|', schedule, database, settled), E'\\n' ORDER BY schedule, database) FROM bkup.schedule_progress",
    ),
    (
        "stores",
        "SELECT string_agg(concat_ws('|', store, url, store_id, capabilities, probed_at), E'\\n' ORDER BY store) FROM bkup.stores",
    ),
    (
        "keys",
        "SELECT string_agg(concat_ws('|', store, database, key_id, encode(key, 'hex')), E'\\n' ORDER BY 1) FROM bkup.digest_keys",
    ),
    (
        "policies",
        "SELECT string_agg(concat_ws('|', address, digest, retention, since, applied_at, archived_at, applied_by, \
         source_file, source_line, run), E'\\n' ORDER BY address) FROM bkup.policies",
    ),
    (
        "rows for people",
        "SELECT string_agg(concat_ws('|', schedule_name, backup_type, frequency, schedule_time, backup_format, \
         retention_days, deleted, policy_digest), E'\\n' ORDER BY 1) || (SELECT string_agg(concat_ws('|', plan_name, \
         last_tested_at, test_results IS NOT NULL, policy_digest), E'\\n' ORDER BY 1) FROM bkup.recovery_plans) \
         FROM bkup.schedules",
    ),
    (
        "what it is",
        "SELECT concat_ws('|', lineage, serial, simulated, clock, tenant_fk, \
         (SELECT string_agg(digest, ',' ORDER BY digest) FROM bkup.plans WHERE status = 'FINISHED')) FROM bkup.meta",
    ),
];

async fn same(setup: &Setup) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for (what, question) in SAME {
        let asked = question.to_owned();
        all.push((what, setup.catalog(&asked).await));
    }
    all
}

#[track_caller]
fn assert_same(before: &[(&str, String)], after: &[(&str, String)]) {
    for ((what, before), (_, after)) in before.iter().zip(after) {
        assert_eq!(before, after, "{what}");
    }
}

async fn lose(setup: &Setup) {
    setup.cluster.exec(CATALOG, "DROP SCHEMA bkup CASCADE").await;
}

fn rebuild(setup: &Setup) -> Ran {
    setup.run(&["catalog", "rebuild", "--auto-approve"])
}

/// Nine days: tombstones, purges, drills, a schedule that left the policies, a quarantined backup.
async fn lived(major: Major) -> Setup {
    let mut setup = Setup::start(major, Place::Folder, &["acme", "globex"]).await;
    let mut policy =
        Policy { more: RECOVERY.to_owned(), retention: "  short: { last: 2 }\n".to_owned(), ..Policy::default() };
    let plain = policy.clone();
    policy.schedules +=
        "  gone: { databases: [app], backup: database, when: { on: request }, retention: short, store: primary }\n";
    setup.policy(&policy);
    let _ = setup.first();
    let _ = setup.run(&["backup", "gone"]).success();
    setup.policy(&plain);
    for day in 3..=9 {
        // On the sixth the run came too late: those slots are missed, once.
        let time = if day == 6 { "05:00" } else { "03:10" };
        setup.now(&format!("2026-03-{day:02}T{time}:00Z"));
        let _ = setup.apply().success();
        if day == 5 {
            let sql = "UPDATE bkup.executions SET quarantine = 'looked odd', quarantined_at = '2026-03-05 05:00+00' \
                       WHERE scope = 'tenant=globex' AND slot::date = '2026-03-05'";
            setup.cluster.exec(CATALOG, sql).await;
        }
    }
    setup
}

#[tokio::test]
async fn a_lost_catalog_comes_back_as_it_was_from_the_store_alone_on_every_version() {
    for major in Major::ALL {
        let mut setup = lived(major).await;
        let before = same(&setup).await;
        for (what, text) in &before {
            assert!(!text.is_empty(), "the world has no {what}");
        }
        let rows: u64 = setup.catalog("SELECT audit_rows FROM bkup.meta").await.parse().unwrap();
        let head = setup.catalog("SELECT audit_head FROM bkup.meta").await;
        let _ = setup.run(&["audit", "verify"]).exits(0);
        lose(&setup).await;

        let refused = setup.run(&["plan"]);
        // The clock of a simulated catalog is gone with it; that is told first, and nothing is planned.
        assert_eq!(refused.code, 64, "{}{}", refused.stdout, refused.stderr);
        setup.env.remove("BKUP_NOW");
        let refused = setup.run(&["plan"]);
        assert!(refused.stdout.contains("bkup catalog rebuild"), "{}{}", refused.stdout, refused.stderr);
        let _ = setup.apply().exits(4);
        let _ = setup.run(&["catalog", "rebuild"]).exits(64);
        assert_eq!(setup.catalog("SELECT to_regnamespace('bkup')").await, "");

        let said = rebuild(&setup).exits(0);
        assert!(said.stdout.contains("the audit chain goes on"), "{}", said.stdout);
        assert_same(&before, &same(&setup).await);
        assert_eq!(setup.catalog("SELECT audit_rows FROM bkup.meta").await, (rows + 1).to_string());
        let link = format!("SELECT previous FROM bkup.audit_log WHERE seq = {}", rows + 1);
        assert_eq!(setup.catalog(&link).await, head, "the chain goes on from where it was");
        setup.assert_converges().await;
        setup.assert_whole().await;
        let proof = setup.run(&["--format", "json", "audit", "verify"]).exits(0).json();
        assert_eq!((&proof["whole"], proof["before_rebuild"].as_u64()), (&true.into(), Some(rows)), "{proof}");

        // Life goes on: what was tombstoned is purged when its grace ends, the drill comes when it is due, no slot twice.
        for day in 10..=12 {
            setup.now(&format!("2026-03-{day:02}T03:10:00Z"));
            let _ = setup.apply().success();
            setup.assert_whole().await;
        }
        setup.assert_converges().await;
        let _ = setup.run(&["audit", "verify"]).exits(0);
        let again = rebuild(&setup);
        assert_eq!(again.code, 4, "{}", again.stderr);
        assert!(again.stderr.contains("BK915"), "{}", again.stderr);
    }
}

#[tokio::test]
async fn a_rebuild_of_a_rebuild_is_the_same_and_a_killed_one_leaves_nothing() {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["acme", "globex"]).await;
    let _ = setup.apply().success();
    let before = same(&setup).await;
    lose(&setup).await;
    for kill_after in [100, 400, 900] {
        // Slow enough to die in the middle of the manifests, or of the rest.
        setup.s3().inject("GET", "manifest.json", 2, 1, HttpFault::Slow(std::time::Duration::from_secs(3)));
        let mut child = setup.spawn(&["catalog", "rebuild", "--auto-approve"]);
        tokio::time::sleep(std::time::Duration::from_millis(kill_after)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(setup.catalog("SELECT to_regnamespace('bkup')").await, "", "killed after {kill_after} ms");
    }
    let _ = rebuild(&setup).exits(0);
    assert_same(&before, &same(&setup).await);
    lose(&setup).await;
    let _ = rebuild(&setup).exits(0);
    assert_same(&before, &same(&setup).await);
    setup.assert_converges().await;
}

#[tokio::test]
async fn what_a_dead_attempt_left_is_collected_and_never_written_over() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.apply().success();
    let kept = setup.manifests().await;
    // One beside a backup that is there, one of a backup that is not, one that only has its key.
    let folder = kept[0].trim_end_matches("manifest.json").to_owned();
    let keys = folder.replace("backups/", "keys/");
    let other = "20260101T020000Z-nightly-00000000000000aa";
    for key in [
        format!("{folder}a-41/archive.dump.zst.age"),
        format!("backups/app/database/{other}/a-42/archive.dump.zst.age"),
        format!("{keys}a-43/00ff.age"),
    ] {
        let path = setup.folder().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "half").unwrap();
    }
    lose(&setup).await;
    let said = rebuild(&setup).exits(0);
    assert!(said.stdout.contains("3 dead attempts"), "{}", said.stdout);
    let old = "UPDATE bkup.executions SET abandoned_at = abandoned_at - interval '3 days' WHERE status = 'FAILED'";
    setup.cluster.exec(CATALOG, old).await;
    let _ = setup.apply().success();
    let left: Vec<String> = setup.keys().await.into_iter().filter(|key| key.contains("/a-4")).collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(setup.manifests().await, kept);
    let token = setup.catalog("SELECT min(token) FROM bkup.claims WHERE claimed_at > now() - interval '1 h'").await;
    assert!(token.parse::<u64>().unwrap() > 43, "attempts are numbered above every one there was: {token}");
    setup.assert_converges().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_left_and_what_cannot_be_reached_ends_it() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.apply().success();
    let manifests = setup.manifests().await;
    let (cut, foreign) = (&manifests[0], &manifests[1]);
    let path = setup.folder().join(cut);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let other = setup.folder().join(foreign);
    let text = std::fs::read_to_string(&other).unwrap();
    let lineage = setup.catalog("SELECT lineage FROM bkup.meta").await;
    std::fs::write(&other, text.replace(&lineage, "somebody-else")).unwrap();
    lose(&setup).await;

    let said = rebuild(&setup).exits(5);
    assert!(said.stdout.contains(cut.as_str()) && said.stdout.contains(foreign.as_str()), "{}", said.stdout);
    assert!(said.stdout.contains("another catalog") && said.stderr.contains("BK919"), "{}{}", said.stdout, said.stderr);
    assert_eq!(setup.catalog("SELECT count(*) FROM bkup.executions WHERE status = 'FAILED'").await, "0");
    std::fs::write(&path, whole).unwrap();
    std::fs::write(&other, text).unwrap();
    lose(&setup).await;

    let policies = setup.read("bkup.yaml");
    let moved = policies.replace(&setup.folder().display().to_string(), "/nonexistent/store");
    std::fs::write(setup.path("bkup.yaml"), moved).unwrap();
    let said = rebuild(&setup);
    assert_eq!(said.code, 4, "{}", said.stderr);
    assert!(said.stderr.contains("BK918") && said.stderr.contains("--without primary"), "{}", said.stderr);
    assert_eq!(setup.catalog("SELECT to_regnamespace('bkup')").await, "");
    std::fs::write(setup.path("bkup.yaml"), policies).unwrap();

    // Without the private key all is there but the digest key, and what follows is said.
    let identity = setup.env.remove("BKUP_AGE_IDENTITY").unwrap();
    let said = rebuild(&setup).exits(0);
    assert!(said.stdout.contains("No private key opens the digest key of primary/app"), "{}", said.stdout);
    assert_eq!(setup.catalog("SELECT count(*) FROM bkup.digest_keys").await, "0");
    setup.set("BKUP_AGE_IDENTITY", &identity);
    setup.assert_converges().await;
}

#[tokio::test]
async fn an_empty_database_beside_the_catalog_can_be_named() {
    let mut setup = Setup::start(Major::V15, Place::Folder, &["acme"]).await;
    let _ = setup.apply().success();
    let before = same(&setup).await;
    setup.cluster.exec("postgres", "CREATE DATABASE beside").await;
    let url = setup.cluster.url("beside");
    setup.set("BESIDE_URL", &url);
    let _ = setup.run(&["catalog", "rebuild", "--auto-approve", "--into", "${BESIDE_URL}"]).exits(0);
    setup.set("BKUP_CATALOG_URL", &url);
    let mut after = Vec::new();
    for (what, question) in SAME {
        after.push((what, setup.cluster.ask("beside", question).await.unwrap_or_default()));
    }
    assert_same(&before, &after);
    // The catalog that was left lies on the same server, in no policy: that is the one difference.
    let told = setup.run(&["plan", "--detailed-exitcode", "--include-due"]).exits(2);
    assert!(
        told.stdout.contains("no changes, nothing due. 1 difference") && told.stdout.contains("[BK904]"),
        "{}",
        told.stdout
    );
    // A catalog that was only made is nobody's yet.
    setup.cluster.exec("postgres", "CREATE DATABASE made").await;
    setup.set("BKUP_CATALOG_URL", &setup.cluster.url("made"));
    let _ = setup.run(&["catalog", "migrate"]).exits(0);
    let _ = rebuild(&setup).exits(0);
}

#[tokio::test]
async fn an_audit_log_that_was_written_anew_is_found_out_by_the_store() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    setup.now("2026-03-03T04:00:00Z");
    let _ = setup.apply().success();
    let whole = setup.run(&["audit", "verify"]).exits(0);
    assert!(whole.stdout.contains("agrees with 2 heads"), "{}", whole.stdout);
    // A row by itself is caught by its hash; a chain that is cut short, and says so consistently, by the store.
    setup.cluster.exec(CATALOG, "ALTER TABLE bkup.audit_log DISABLE TRIGGER append_only").await;
    let cut = "DELETE FROM bkup.audit_log WHERE seq = (SELECT audit_rows FROM bkup.meta);
               UPDATE bkup.meta SET audit_rows = audit_rows - 1, audit_head = (SELECT hash FROM bkup.audit_log ORDER BY seq DESC LIMIT 1)";
    setup.cluster.exec(CATALOG, cut).await;
    let _ = setup.run(&["audit", "verify", "--without-stores"]).exits(0);
    let broken = setup.run(&["audit", "verify"]).exits(8);
    assert!(broken.stderr.contains("BK917"), "{}", broken.stderr);
    setup.cluster.exec(CATALOG, "UPDATE bkup.audit_log SET actor = 'nobody' WHERE seq = 2").await;
    let broken = setup.run(&["--format", "json", "audit", "verify"]).exits(8);
    let first: serde_json::Value = serde_json::from_str(&broken.stdout).unwrap();
    assert_eq!(first["first_bad_row"], 2, "{first}");
}

#[tokio::test]
async fn purged_rows_move_to_the_archive_after_ninety_days_and_their_slots_stay_done() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    setup.policy(&Policy { retention: "  short: { last: 1 }\n".to_owned(), ..Policy::default() });
    let _ = setup.first();
    for day in ["2026-03-03", "2026-03-06"] {
        setup.now(&format!("{day}T04:00:00Z"));
        let _ = setup.apply().success();
    }
    let purged = "SELECT string_agg(backup_id, ',' ORDER BY backup_id) FROM bkup.executions WHERE deleted";
    let old = setup.catalog(purged).await;
    assert!(!old.is_empty());
    for day in ["2026-06-10", "2026-06-11"] {
        setup.now(&format!("{day}T04:00:00Z"));
        let _ = setup.run(&["plan", "--allow-delete", "100%", "--out", "late.json"]).exits(0);
        let _ = setup.run(&["apply", "late.json"]).success();
    }
    let archived = setup
        .catalog("SELECT string_agg(backup_id, ',' ORDER BY backup_id) FROM bkup.executions_archive WHERE deleted AND archived_at = '2026-06-10 04:00+00'")
        .await;
    assert!(archived.contains(&old), "{old} is not in {archived}");
    assert_eq!(setup.catalog("SELECT count(*) FROM bkup.executions WHERE purged_at < '2026-03-12'").await, "0");
    for query in ["query-recent-status", "query-success-rate"] {
        let path = format!("{}/tests/fixtures/seeds/{query}.sql", env!("CARGO_MANIFEST_DIR"));
        setup.cluster.exec(CATALOG, &std::fs::read_to_string(path).unwrap()).await;
    }
    setup.assert_converges().await;
}

#[test]
fn what_is_shown_before_the_approval_reads_well() {
    use bkup::domain::{REBUILT_FORMAT, Rebuilt, RebuiltStore, Replaced, Unusable};
    use bkup::render::{Style, rebuilt_json, rebuilt_text};

    let store = |name: &str, manifests, copies| RebuiltStore {
        store: name.parse().unwrap(),
        store_id: "5f0c1d2e3a4b5c6d".to_owned(),
        manifests,
        copies,
    };
    let whole = Rebuilt {
        format_version: REBUILT_FORMAT.to_owned(),
        lineage: "074a1337c0ffee00".to_owned(),
        serial: 412,
        state_at: Some("2026-03-09T03:12:44Z".parse().unwrap()),
        simulated: false,
        audit_head: Some("852c0d21d84a35b5852c0d21d84a35b5".to_owned()),
        audit_rows: 1184,
        stores: vec![store("primary", 364, 0)],
        documents: 14,
        backups: 364,
        tombstoned: 12,
        quarantined: 1,
        protected: 0,
        purged: 2210,
        drills: 3,
        plans: 200,
        abandoned: 0,
        digest_keys: 1,
        without_digest_key: Vec::new(),
        left_out: Vec::new(),
        unusable: Vec::new(),
        replaced: Vec::new(),
        hidden: Vec::new(),
    };
    let unusable =
        |key: &str, why: &str| Unusable { store: "primary".parse().unwrap(), key: key.to_owned(), why: why.to_owned() };
    let torn = Rebuilt {
        state_at: None,
        audit_head: None,
        stores: vec![store("primary", 1, 0), store("replica", 0, 1)],
        backups: 1,
        tombstoned: 0,
        quarantined: 0,
        abandoned: 2,
        without_digest_key: vec!["primary/app".to_owned(), "primary/crm".to_owned()],
        left_out: vec!["offsite".parse().unwrap()],
        unusable: vec![
            unusable("backups/app/database/x/manifest.json", "it is of another catalog, 5f\u{1b}[31m"),
            unusable("state/413.json", "state/413.json in s3://shop cannot be understood: EOF while parsing"),
        ],
        replaced: vec![Replaced {
            store: "primary".parse().unwrap(),
            key: "backups/app/tenant=acme/y\u{1b}[31m/manifest.json".to_owned(),
        }],
        hidden: vec!["archive".parse().unwrap()],
        ..whole.clone()
    };
    let text = format!("{}\n{}", rebuilt_text(&whole, &Style::plain()), rebuilt_text(&torn, &Style::plain()));
    assert!(!text.contains('\u{1b}') && rebuilt_json(&whole).contains("\"backups\": 364"));
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("catalog_rebuild_shown", text);
    });
}

#[tokio::test]
async fn a_store_that_is_gone_for_good_is_left_out_by_its_name_alone() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let second = setup.path("second");
    std::fs::create_dir(&second).unwrap();
    let nightly = "  second: { databases: [app], backup: database, when: { frequency: daily, time: \"02:30\" }, \
                   start_within: 24h, retention: short, store: second }\n";
    let policy = Policy { schedules: Policy::default().schedules + nightly, ..Policy::default() };
    let text = setup.policy_text(&policy);
    let stores = format!("  second:\n    url: \"file://{}\"\nguards:", second.display());
    std::fs::write(setup.path("bkup.yaml"), text.replacen("guards:", &stores, 1)).unwrap();
    let _ = setup.first();
    let before = same(&setup).await;
    setup.env.remove("BKUP_NOW");
    lose(&setup).await;
    let _ = rebuild(&setup).exits(0);
    assert_same(&before, &same(&setup).await);
    lose(&setup).await;

    let _ = setup.run(&["catalog", "rebuild", "--auto-approve", "--without", "third"]).exits(64);
    std::fs::rename(&second, setup.path("elsewhere")).unwrap();
    let said = rebuild(&setup);
    assert!(said.code == 4 && said.stderr.contains("--without second"), "{}", said.stderr);
    let said = setup.run(&["catalog", "rebuild", "--auto-approve", "--without", "second"]).exits(5);
    assert!(said.stdout.contains("Left out with consent: store.second"), "{}", said.stdout);
    assert_eq!(setup.catalog("SELECT string_agg(DISTINCT store, ',') FROM bkup.executions").await, "primary");
    // An empty folder in its place is not taken for it, and nothing is written there.
    std::fs::create_dir(&second).unwrap();
    let plan = setup.run(&["plan"]);
    assert!(plan.stdout.contains("store.second is recorded as"), "{}", plan.stdout);
    assert_eq!(std::fs::read_dir(&second).unwrap().count(), 0);
}
