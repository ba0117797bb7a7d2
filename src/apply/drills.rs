//! Drills, one after the other: a scratch server takes what the machine has.

use std::sync::Arc;

use serde_json::json;

use super::claims::Claimed;
use super::ensure::{failed, failed_with};
use super::progress::Progress;
use super::queue::Queue;
use super::record;
use super::runtime::Runtime;
use crate::catalog::{LEASE, ReadingEnd, ReadingKind, Validation};
use crate::crypto::DigestKey;
use crate::domain::{
    Action, ActionKind, DrillBackup, DrillWork, Evidence, Name, Outcome, Verification, canonical_json,
};
use crate::drill::{Drill, Finding, Subject};
use crate::restore::{self, Origin, RestoreError};
use crate::store::{self, ReadStore, layout};

/// How often the lease on what is read is renewed.
const KEEP: std::time::Duration = std::time::Duration::from_secs(15);

/// Runs every drill of the plan.
pub(super) async fn run(progress: &mut Progress<'_>) {
    let mut queue = Queue::new(progress.actions(|kind| matches!(kind, ActionKind::Drill(_))));
    while let Some((action, turn)) = queue.turn(progress).await {
        let outcome = match &action.kind {
            ActionKind::Drill(work) => perform(progress, &action, work, &turn.claimed).await,
            _ => Err(failed_with("the action is no drill")),
        };
        let outcome = outcome.unwrap_or_else(|failure| failure);
        progress.end_turn(&action, turn, outcome).await;
        progress.flush_audit().await;
    }
}

/// Files the newest evidence of every recovery plan that a run recorded and died before it filed it: the stores get what
/// the catalog holds. Evidence that is there stays as it is.
pub(super) async fn file_left(progress: &mut Progress<'_>) {
    match progress.runtime.catalog.reader().newest_evidence().await {
        Ok(newest) => {
            for (plan, evidence) in &newest {
                if !progress.evidence.contains(evidence) {
                    file(progress, plan, evidence).await;
                }
            }
        }
        Err(error) => tracing::warn!(%error, "the evidence of earlier runs could not be looked at"),
    }
}

/// `Err` is an outcome too: the one of a step that failed before there was anything to prove.
async fn perform(
    progress: &mut Progress<'_>,
    action: &Action,
    work: &DrillWork,
    claimed: &Claimed,
) -> Result<Outcome, Outcome> {
    let runtime = progress.runtime;
    let catalog = &runtime.catalog;
    if catalog.reader().drill_attempts(&work.plan).await.map_err(|error| failed(&error))? != work.attempt {
        return Ok(Outcome::AlreadyDone { summary: "this attempt was made meanwhile".to_owned() });
    }
    let mut subjects = Vec::new();
    for part in &work.backups {
        if let Some(refusal) = progress.health.refusal(runtime, &part.store).await {
            return Err(refusal);
        }
        let handle = runtime.store(&part.store).map_err(failed_with)?;
        let reader: Arc<dyn ReadStore> = Arc::clone(&handle.store) as Arc<dyn ReadStore>;
        let key = layout::manifest(part.key_database(), &part.scope, &part.backup);
        let manifest = store::read_manifest(reader.as_ref(), &key).await.map_err(|error| failed(&error))?;
        let known = match &part.database {
            Some(database) => {
                catalog.reader().digest_key(&part.store, database).await.map_err(|error| failed(&error))?
            }
            None => None,
        };
        let digest_key = known.and_then(|known| known.key.as_slice().try_into().ok()).map(DigestKey::from_bytes);
        let origin = Origin { manifest, store: reader, identities: handle.identities.clone(), digest_key };
        subjects.push(Subject { part: part.clone(), origin });
    }
    // A key that is not at hand says nothing about the backups: that is no evidence, and nothing is recorded.
    for subject in &subjects {
        if let Err(error @ RestoreError::NoIdentity { .. }) = restore::open(subject.origin.clone()).await {
            return Err(failed(&error));
        }
    }
    let ids: Vec<_> = work.backups.iter().map(|b| b.backup.clone()).collect();
    let at = (runtime.now)();
    let reading = catalog
        .begin_reading(ReadingKind::Drill, &ids, "scratch", &runtime.runner, LEASE, at)
        .await
        .map_err(|error| failed(&error))?;
    let previous = catalog.reader().evidence_head().await.map_err(|error| failed(&error))?;
    let drill = Drill {
        work: work.clone(),
        subjects,
        tag: runtime.tag().map_err(|error| failed(&error))?,
        now: Arc::clone(&runtime.now),
        simulated: runtime.simulated.is_some(),
        tool_version: runtime.tool_version.clone(),
        previous: previous.map(|digest| digest.to_string()),
    };
    let keep = async {
        loop {
            tokio::time::sleep(KEEP).await;
            if matches!(catalog.keep_reading(&reading, LEASE).await, Ok(false)) {
                return;
            }
        }
    };
    let finding = tokio::select! {
        biased;
        finding = runtime.stage.run(&drill) => Ok(finding),
        () = keep => Err(failed_with("the lease on what it reads was lost")),
        () = claimed.until_lost() => Err(failed_with("its lease was lost; someone else does it now")),
        () = runtime.until_stopped() => Err(Outcome::NotReached),
    };
    let end = match &finding {
        Ok(finding) => ReadingEnd::Completed { bytes_fetched: finding.evidence.bytes_fetched },
        Err(_) => ReadingEnd::Failed("the drill was interrupted".to_owned()),
    };
    let _ = catalog.end_reading(&reading, &end, (runtime.now)()).await;
    let Finding { evidence, damaged } = finding?;
    // Damage first: once the drill is recorded it is not run again, and nobody would learn of it a second time.
    if let Some((part, why)) = &damaged {
        quarantine(runtime, part, why).await?;
    }
    // The catalog first: what it holds is what the stores get, and a store that fails does not undo a drill.
    let facts = json!({ "drill": work.drill, "status": evidence.status, "backups": evidence.backups });
    let told = catalog.telling(runtime.event("drill recorded", action.address.to_string(), facts));
    told.record_drill(&claimed.lease, work, &evidence, &runtime.run).await.map_err(|error| failed(&error))?;
    file(progress, &work.plan, &evidence).await;
    let outcome = judge(&evidence);
    progress.evidence.push(evidence);
    Ok(outcome)
}

/// Takes a backup whose objects are damaged out of everything that counts on it.
async fn quarantine(runtime: &Runtime, part: &DrillBackup, why: &str) -> Result<(), Outcome> {
    let at = (runtime.now)();
    let told = runtime.event("backup quarantined", part.backup.as_str(), json!({ "reason": why, "store": part.store }));
    runtime.catalog.telling(told).quarantine(&part.backup, why, at).await.map_err(|error| failed(&error))?;
    let look = Validation {
        backup: &part.backup,
        store: &part.store,
        depth: Verification::Restore,
        passed: false,
        detail: Some(why),
        bytes_read: 0,
        run: Some(&runtime.run),
        at,
    };
    runtime.catalog.validated(&look).await.map_err(|error| failed(&error))
}

/// Writes the evidence beside the backups it speaks of. The same attempt has the same name, and is written once.
async fn file(progress: &mut Progress<'_>, plan: &Name, evidence: &Evidence) {
    let body = canonical_json(evidence);
    record::everywhere(progress, &layout::evidence(plan, &evidence.drill_id), body).await;
}

fn judge(evidence: &Evidence) -> Outcome {
    if let Some(failure) = &evidence.failure {
        return Outcome::Violated { reason: failure.clone() };
    }
    let checks = evidence.checks.len();
    let seconds = evidence.restore_duration_ms / 1000;
    let tenths = evidence.restore_duration_ms % 1000 / 100;
    Outcome::Done { summary: format!("{checks} checks held, restored in {seconds}.{tenths} s") }
}
