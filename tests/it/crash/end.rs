//! What there is at the end of it all, without what may differ: attempts, run ids, the order in which things were said.
//! And what must hold whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bkup::artifact::read_back;
use bkup::catalog::{AuditVerdict, Reader};
use bkup::store::{read_manifest, read_marker};

use super::site::Site;

/// What of the catalog must be the same, one question a line; each gives rows of one text.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "backup",
        "SELECT row(backup_id, schedule, database, scope, slot, store, verification, verified_at, drilled_at, \
                    quarantine, tombstoned_at, purge_after, purge_begun_at, purged_at, marks, deleted, shared, \
                    tenant_slug, retention, manifest_key, consistent_at, started_at, completed_at, expires_at)::text \
         FROM bkup.executions WHERE status = 'COMPLETED'",
    ),
    (
        "an attempt that nobody collected",
        "SELECT row(backup_id, attempt, status)::text FROM bkup.executions \
         WHERE status <> 'COMPLETED' AND collected_at IS NULL",
    ),
    ("applied", "SELECT row(address, digest, archived_at, since, source_line)::text FROM bkup.policies"),
    ("schedule", "SELECT row(policy_name, enabled, deleted, next_run_at, policy_digest)::text FROM bkup.schedules"),
    ("recovery plan", "SELECT row(policy_name, deleted, last_tested_at, policy_digest)::text FROM bkup.recovery_plans"),
    ("missed slot", "SELECT row(schedule, database, slot, scopes, recorded_at)::text FROM bkup.missed_slots"),
    ("settled", "SELECT row(schedule, database, settled)::text FROM bkup.schedule_progress"),
    ("store", "SELECT row(store, url, capabilities)::text FROM bkup.stores"),
    ("drill", "SELECT row(plan, attempt, passed, drill_id, backups, drilled_at)::text FROM bkup.drills"),
    ("tenant", "SELECT row(database, slug, schema_name, class, last_seen_at, offboarded_at)::text FROM bkup.tenants"),
    ("look", "SELECT DISTINCT row(backup_id, depth, passed, validated_at)::text FROM bkup.validations"),
    (
        "said",
        "SELECT DISTINCT row(event, subject)::text FROM bkup.audit_log \
         WHERE event NOT IN ('apply finished', 'garbage collected', 'backup failed')",
    ),
    ("clock", "SELECT row(simulated, clock)::text FROM bkup.meta"),
    ("a lease that is held", "SELECT action_id FROM bkup.claims WHERE lease_until > clock_timestamp()"),
];

/// Returns everything there is, one line each, sorted.
pub async fn end(site: &Site) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, question) in QUESTIONS {
        lines.extend(site.rows(question).await.into_iter().map(|row| format!("{what}: {row}")));
    }
    for key in site.s3.keys() {
        let key = key.strip_prefix("deep/prefix/").unwrap_or(&key);
        // The mark of a tombstone is a hint, written after the tombstone: without it, a catalog that is made again from
        // the store takes the backup for kept, and the next plan tombstones it again.
        if !key.starts_with("state/") && !key.starts_with("runs/") && !key.ends_with("-tombstone.json") {
            lines.push(format!("object: {}", without_attempt(key)));
        }
    }
    lines.sort();
    lines
}

fn without_attempt(key: &str) -> String {
    let parts = key.split('/').map(|part| {
        let attempt = part.strip_prefix("a-").is_some_and(|number| number.parse::<u64>().is_ok());
        if attempt { "a-N" } else { part }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Returns what is wrong, in words: nothing is, if it is empty.
pub async fn wrong(site: &Site) -> Vec<String> {
    let mut wrong = Vec::new();
    let store = site.store().await as Arc<dyn bkup::store::ReadStore>;
    let marker = read_marker(store.as_ref()).await.unwrap().map(|marker| marker.store_id);
    if marker != site.rows("SELECT store_id FROM bkup.stores").await.into_iter().next() {
        wrong.push("the catalog and the store name different stores".to_owned());
    }
    let rows = site
        .rows(
            "SELECT manifest_key || ' ' || attempt FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted \
             AND quarantine IS NULL",
        )
        .await;
    let rows: BTreeMap<&str, &str> = rows.iter().filter_map(|row| row.split_once(' ')).collect();
    let mut named = BTreeSet::new();
    for (key, attempt) in &rows {
        let manifest = match read_manifest(store.as_ref(), key).await {
            Ok(manifest) => manifest,
            Err(error) => {
                wrong.push(format!("{key}: {error}"));
                continue;
            }
        };
        if manifest.attempt.to_string() != *attempt {
            wrong.push(format!("{key} is of attempt {}, and its row of {attempt}", manifest.attempt));
        }
        named.insert((*key).to_owned());
        for object in &manifest.keys {
            named.insert(object.key.clone());
            if !matches!(store.head(&object.key).await, Ok(Some(_))) {
                wrong.push(format!("{}: the key is gone", object.key));
            }
        }
        for part in &manifest.parts {
            named.insert(part.key.clone());
            if let Err(error) = read_back(Arc::clone(&store), part).await {
                wrong.push(format!("{}: {error}", part.key));
            }
        }
    }
    let quarantined = site.rows("SELECT backup_id FROM bkup.executions WHERE quarantine IS NOT NULL").await;
    for key in site.s3.keys() {
        let key = key.strip_prefix("deep/prefix/").unwrap_or(&key);
        let data = key.starts_with("backups/") || key.starts_with("keys/");
        if data && !named.contains(key) && !quarantined.iter().any(|id| key.contains(id.as_str())) {
            wrong.push(format!("{key} belongs to nothing"));
        }
    }
    if site.s3.unfinished() > 0 {
        wrong.push(format!("{} unfinished uploads", site.s3.unfinished()));
    }
    let reader = Reader::with(site.direct().options());
    if let AuditVerdict::Broken { row, reason } = reader.verify_audit().await.unwrap() {
        wrong.push(format!("row {row} of the audit chain {reason}"));
    }
    reader.close().await;
    wrong.extend(site.scratch().iter().map(|folder| format!("{} is left", folder.display())));
    wrong
}
