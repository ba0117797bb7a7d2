//! Suite: drills, with the binary, on real servers: what they prove, what they record, what they quarantine.

use bkup::domain::{Evidence, Manifest};
use serde_json::Value;

use crate::restore::{flip, only};
use crate::schemas::{assert_fits, schema_of};
use crate::world::cluster::Major;
use crate::world::place::{RECOVERY, SCHEDULES, World};

async fn drills(world: &World) -> String {
    let sql = "SELECT coalesce(string_agg(attempt || ' ' || passed, ',' ORDER BY attempt), 'none') FROM bkup.drills";
    world.cluster.ask("cat", &format!("({sql})")).await.unwrap()
}

fn nothing_due(world: &World) {
    let _ = world.run(&["plan", "--detailed-exitcode", "--include-due"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_has_the_form_that_is_published_and_is_filed_where_it_is_promised() {
    for major in Major::ALL {
        let world = World::new(major, &["a", "b", "c"]).await;
        world.policy("recovery.yaml", RECOVERY);
        let _ = world.apply();
        assert_eq!(drills(&world).await, "0 true");
        let file = only(world.objects("evidence"));
        let stored: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let schema = schema_of::<Evidence>();
        assert_fits(&schema, &schema, &stored, "evidence");
        assert_eq!(
            (&stored["status"], &stored["rpo_compliant"], &stored["rto_compliant"]),
            (&"passed".into(), &true.into(), &true.into())
        );
        assert_eq!(stored["tenants"].as_array().unwrap().len(), 2);
        let recorded = world.cluster.ask("cat", "SELECT evidence FROM bkup.drills").await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&recorded).unwrap(), stored);
        let checks = stored["checks"].as_array().unwrap();
        // Shared and two tenants for `tables: equal`, the query once for each tenant.
        assert_eq!(checks.len(), 5, "{checks:?}");
        assert!(checks.iter().all(|check| check["passed"] == true));
        let manifest =
            only(world.objects("backups/app/tenant=a").into_iter().filter(|p| p.ends_with("manifest.json")).collect());
        let schema = schema_of::<Manifest>();
        let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
        assert_fits(&schema, &schema, &manifest, "manifest");
        // Now, though not due: the next attempt, chained to the one before.
        let json = world.run(&["--format", "json", "drill", "tenant-recovery", "--evidence", "e.json"]).exits(0);
        let evidence: Value = serde_json::from_str(&world.cli.read("e.json")).unwrap();
        assert!(evidence["previous"].is_string() && json.stdout.contains(evidence["drill_id"].as_str().unwrap()));
        assert_eq!(drills(&world).await, "0 true,1 true");
        nothing_due(&world);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_does_not_hold_is_8_is_recorded_and_waits_for_its_next_time() {
    let world = World::new(Major::V15, &["a", "b"]).await;
    world.policy("recovery.yaml", &RECOVERY.replace("> 0", "> 1000"));
    let ran = world.run(&["apply", "--auto-approve"]).exits(8);
    assert!(ran.stdout.contains("> 1000") && ran.stdout.contains("50"), "{}", ran.stdout);
    assert_eq!(drills(&world).await, "0 false");
    nothing_due(&world);
    let _ = world.run(&["apply", "--auto-approve"]).exits(0);
    assert_eq!(drills(&world).await, "0 false");
    let quarantined =
        world.cluster.ask("cat", "SELECT count(*) FROM bkup.executions WHERE quarantine IS NOT NULL").await;
    assert_eq!(quarantined.as_deref(), Some("0"), "a check that fails is no damage");
    let _ = world.run(&["drill", "tenant-recovery"]).exits(8);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_key_a_drill_is_held_and_nothing_is_recorded() {
    let world = World::new(Major::V17, &["a"]).await;
    world.policy("recovery.yaml", RECOVERY);
    let other = bkup::crypto::generate_identity("2026-01-01T00:00:00Z".parse().unwrap());
    let world = world.env("BKUP_AGE_IDENTITY", secrecy::ExposeSecret::expose_secret(&other.text));
    let ran = world.apply();
    assert!(ran.stdout.contains("private key of store.primary is not at hand"), "{}", ran.stdout);
    let world = world.env("BKUP_AGE_IDENTITY", "");
    let ran = world.run(&["drill", "tenant-recovery"]).exits(1);
    assert!(ran.stderr.contains("private key of store.primary is not at hand"), "{}", ran.stderr);
    assert_eq!(drills(&world).await, "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_fails_its_drill_and_goes_into_quarantine() {
    let world = World::new(Major::V15, &["a"]).await;
    let _ = world.apply();
    let id = world.backups("tenant=a").remove(0);
    flip(&only(
        world.objects("backups/app/tenant=a").into_iter().filter(|p| p.ends_with("archive.dump.zst.age")).collect(),
    ));
    world.policy("recovery.yaml", RECOVERY);
    let ran = world.run(&["apply", "--auto-approve"]).exits(8);
    assert!(ran.stdout.contains("archive.dump.zst.age is damaged"), "{}", ran.stdout);
    assert_eq!(drills(&world).await, "0 false");
    let sql =
        "SELECT string_agg(backup_id || ': ' || quarantine, ',') FROM bkup.executions WHERE quarantine IS NOT NULL";
    let quarantined = world.cluster.ask("cat", &format!("({sql})")).await.unwrap();
    assert!(quarantined.starts_with(&format!("{id}: ")) && quarantined.contains("is damaged"), "{quarantined}");
    let stored: Value = serde_json::from_slice(&std::fs::read(only(world.objects("evidence"))).unwrap()).unwrap();
    assert_eq!(stored["status"], "failed");
    // It stands in for nothing any more; the next one can be restored.
    let _ = world.run(&["restore", "--latest", "--tenant", "a"]).exits(64);
    let _ = world.back_up("tenants-now");
    let _ = world.run(&["restore", "--latest", "--tenant", "a"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_of_different_schedules_are_proven_beside_each_other() {
    let world = World::new(Major::V17, &["a", "b"]).await;
    let one = "    backup: tenant_data\n    when: { frequency";
    let schedules = SCHEDULES.replacen(one, "    backup: tenant_data\n    tenants: [\"a\"]\n    when: { frequency", 1);
    assert_ne!(schedules, SCHEDULES);
    let others = "  others: { databases: [app], backup: tenant_data, tenants: [\"b\"], when: { frequency: daily, time: \"02:00\" }, \
                  start_within: 24h, retention: keep, store: primary }\n";
    world.policy("schedules.yaml", &(schedules + others));
    world.policy("recovery.yaml", RECOVERY);
    let _ = world.apply();
    assert_eq!(drills(&world).await, "0 true");
    let evidence: Value = serde_json::from_slice(&std::fs::read(only(world.objects("evidence"))).unwrap()).unwrap();
    assert_eq!(evidence["tenants"].as_array().unwrap().len(), 2);
    let backups = evidence["backups"].as_array().unwrap();
    // Each schedule has a shared archive, which holds the same tables as the other's.
    assert_eq!(backups.len(), 4, "{backups:?}");
    let of = |schedule: &str| backups.iter().filter(|id| id.as_str().unwrap().contains(schedule)).count();
    assert_eq!((of("Z-tenants-"), of("Z-others-")), (2, 2), "{backups:?}");
}
