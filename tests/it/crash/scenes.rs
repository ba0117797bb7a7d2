//! The worlds whose applies are disturbed.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::site::{Ground, Site, State};
use super::{Scene, settle};
use crate::world::gate::{Mode, Reached};

const DAY: &str = "2026-03-02T10:00:00Z";

const FIRST: &str = "
guards: { max_delete: 50%, min_keep: 1, grace: 2d }
retention:
  short: { last: 3 }
schedules:
  nightly: { databases: [app], backup: database, when: { frequency: daily, time: \"02:30\" }, retention: short, store: primary }
  tenants: { databases: [app], backup: tenant_data, when: { frequency: daily, time: \"03:00\" }, retention: short, store: primary }
";

const RECOVERY: &str = "recovery_plans:
  tenant-recovery:
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
    drill: { every: 30d, sample_tenants: 2, checks: [{ tables: equal }] }
";

/// Nothing is there yet.
pub async fn first(ground: &Arc<Ground>) -> Scene {
    let site = Site::on(ground, "first", FIRST, DAY).await;
    let begin = site.save().await;
    Scene { name: "first_apply", policy: FIRST.to_owned(), now: DAY, begin, same: |_| true, least: 70 }
}

/// Everything is backed up, and a recovery plan is new.
pub async fn drilled(ground: &Arc<Ground>) -> Scene {
    let site = Site::on(ground, "drilled", FIRST, DAY).await;
    settle(&site).await.unwrap();
    let begin = site.save().await;
    let policy = format!("{FIRST}{RECOVERY}");
    Scene { name: "a_drill", policy, now: DAY, begin, same: |_| true, least: 15 }
}

/// The same, and a byte of a tenant's archive has changed meanwhile.
pub async fn damaged(ground: &Arc<Ground>) -> Scene {
    let site = Site::on(ground, "damaged", FIRST, DAY).await;
    settle(&site).await.unwrap();
    let key = site.s3.keys().into_iter().find(|key| key.contains("/tenant=acme/") && key.contains("archive")).unwrap();
    let mut bytes = site.s3.bytes(&key).unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    site.s3.set(&key, bytes.into());
    let begin = site.save().await;
    // A drill that runs once more goes by without the backup that is known to be damaged by then.
    let same = |line: &str| line.starts_with("said: (\"backup quarantined\"") || line.starts_with("object: backups");
    Scene { name: "a_drill_of_damage", policy: format!("{FIRST}{RECOVERY}"), now: DAY, begin, same, least: 15 }
}

/// A week later, after a night that was missed and one in which the runner died: retention is shortened, a schedule is
/// gone, a manifest is lost, backups fall out and others are over their grace.
pub async fn later(ground: &Arc<Ground>) -> Scene {
    let before = FIRST.replace(
        "schedules:\n",
        "schedules:\n  extra: { databases: [app], backup: database, when: { frequency: daily, time: \"01:00\" }, \
         retention: short, store: primary }\n",
    );
    let after = FIRST.replace("last: 3", "last: 2");
    let mut site = Site::on(ground, "later", &before, DAY).await;
    for day in 2..=6 {
        site.now = crate::world::model::at(&format!("2026-03-{day:02}T03:10:00Z"));
        settle(&site).await.unwrap();
    }
    site.now = crate::world::model::at("2026-03-07T03:10:00Z");
    // Not later: a shared archive that is there, and nobody recorded, is left for a second apply.
    let died = died_before(&site, |label| label.contains("/shared/") && label.contains("manifest.json")).await;
    // In another place: what the dead runner has sent may still arrive where it died.
    let now = site.now;
    let mut site = Site::on(ground, "later_after", &before, DAY).await;
    site.now = now;
    site.load(&died).await;
    site.end_leases().await;
    // What that runner was uploading is there, too.
    let store = site.store().await;
    let keys = site.s3.keys();
    let manifests: Vec<&String> = keys.iter().filter(|key| key.ends_with("/manifest.json")).collect();
    let folder = |key: &str| key.rsplit_once('/').unwrap().0.to_owned();
    let half = keys.iter().find(|key| {
        key.contains("20260307") && key.contains("/backups/") && !manifests.iter().any(|m| key.starts_with(&folder(m)))
    });
    let half = half.expect("an attempt without a manifest").strip_prefix("deep/prefix/").unwrap().to_owned();
    let key = format!("{}/more.dump", folder(&half));
    let upload = store.begin_upload(&key, bkup::store::StorageRole::Data).await.unwrap();
    let _ = store.put_part(&key, &upload, 1, 0, Bytes::from_static(b"half")).await.unwrap();
    // Somebody deleted the manifest of a backup that is kept.
    let lost = manifests.iter().find(|key| key.contains("/tenant=globex/") && key.contains("20260305")).unwrap();
    site.s3.remove(lost);
    let begin = site.save().await;
    Scene { name: "later_apply", policy: after, now: "2026-03-09T03:10:00Z", begin, same: |_| true, least: 120 }
}

/// Applies, watched, and returns the state just before the first such effect.
async fn died_before(site: &Site, is_it: fn(&str) -> bool) -> State {
    let (plan, desired) = site.plan().await;
    let (watcher, mut reached) = mpsc::unbounded_channel();
    site.gate.set(Mode::Watched(watcher));
    let state = {
        let apply = site.apply(&plan, &desired);
        tokio::pin!(apply);
        loop {
            let Reached { label, happened, go_on } = tokio::select! {
                _ = &mut apply => panic!("the apply ended without that effect"),
                Some(reached) = reached.recv() => reached,
            };
            if !happened && is_it(&label) {
                break site.save().await;
            }
            let _ = go_on.send(());
        }
    };
    site.gate.set(Mode::Open);
    state
}
