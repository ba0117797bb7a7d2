//! Backups, slot by slot: one exported snapshot for all scopes of a slot, so that they are of one instant; the shared
//! archive first, then tenants by class priority, as many at once as the schedule allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use tokio::time::Instant as Monotonic;

use super::claims::{Claimed, Claims};
use super::ensure::{failed, failed_with};
use super::run::{Progress, millis};
use super::runtime::Runtime;
use crate::backup::{self, BackupError, Destination, Fence, Order, Source, Taken};
use crate::catalog::{self, Completed, Completion, Intended, Intent, LEASE};
use crate::crypto::{DigestKey, Recipient};
use crate::domain::{
    Action, ActionKind, Backup, BackupId, BackupWork, Bytes, CatalogState, Digest, Instant, Name, Outcome, Scope,
    Verification,
};

/// How often a backup is tried again after a failure that may pass.
const RETRIES: u32 = 2;

/// What the backups of one slot have in common.
struct Common {
    source: Box<dyn Source>,
    destination: Destination,
    lineage: String,
}

/// Takes every backup of the plan.
pub(super) async fn run(progress: &mut Progress<'_>) {
    let mut batches: BTreeMap<(Instant, Name, Name), Vec<Action>> = BTreeMap::new();
    for action in progress.actions(|kind| matches!(kind, ActionKind::BackUp(_))) {
        if let Some(work) = work_of(&action) {
            let key = (work.slot, work.schedule.clone(), work.database.clone());
            batches.entry(key).or_default().push(action);
        }
    }
    for batch in batches.into_values() {
        run_batch(progress, batch).await;
        progress.flush_audit().await;
    }
}

const fn work_of(action: &Action) -> Option<&BackupWork> {
    if let ActionKind::BackUp(work) = &action.kind { Some(work) } else { None }
}

async fn run_batch(progress: &mut Progress<'_>, batch: Vec<Action>) {
    let Some(first) = batch.first().and_then(work_of).cloned() else { return };
    let runtime = progress.runtime.clone();
    // Everything that has passed or cannot begin is settled before a snapshot holds back the server's vacuum.
    let mut ready = Vec::new();
    for action in batch {
        match (progress.obstacle(&action).filter(|_| !waits_inside(&action)), too_late(&action, (runtime.now)())) {
            (Some(obstacle), _) => progress.settle(action.id, obstacle, 0, 0).await,
            (None, Some(late)) => progress.settle(action.id, late, 0, 0).await,
            (None, None) => ready.push(action),
        }
    }
    if ready.is_empty() {
        return;
    }
    let common = match common(&runtime, &first).await {
        Ok(common) => common,
        Err(outcome) => {
            for action in ready {
                progress.settle(action.id, outcome.clone(), 0, 0).await;
            }
            return;
        }
    };
    let (shared, rest): (Vec<Action>, Vec<Action>) =
        ready.into_iter().partition(|a| work_of(a).is_some_and(|work| work.scope == Scope::Shared));
    let (claims, policy_digest) = (Arc::clone(&progress.claims), progress.plan.policy_digest);
    for action in shared {
        progress.begin(&action);
        let begun = Monotonic::now();
        let (outcome, retries) = one(&runtime, &claims, policy_digest, &action, &common).await;
        audit(progress, &action, &outcome);
        progress.settle(action.id, outcome, millis(begun), retries).await;
    }
    let mut waiting = Vec::new();
    for action in rest {
        match progress.obstacle(&action) {
            Some(obstacle) => progress.settle(action.id, obstacle, 0, 0).await,
            None => waiting.push(action),
        }
    }
    let parallel = usize::try_from(first.parallel).unwrap_or(1).max(1);
    let mut waiting = waiting.into_iter();
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < parallel && !runtime.stopped() {
            let Some(action) = waiting.next() else { break };
            progress.begin(&action);
            let (runtime, claims, common) = (&runtime, &claims, &common);
            running.push(async move {
                let begun = Monotonic::now();
                let (outcome, retries) = one(runtime, claims, policy_digest, &action, common).await;
                (action, outcome, millis(begun), retries)
            });
        }
        let Some((action, outcome, elapsed, retries)) = running.next().await else { break };
        audit(progress, &action, &outcome);
        progress.settle(action.id, outcome, elapsed, retries).await;
    }
    drop(running);
    // What was taken under a snapshot that was lost meanwhile failed by itself; here it only ends.
    let _ = common.source.close().await;
}

/// Tenants wait for the shared archive of their own batch, which is looked at once it is done.
fn waits_inside(action: &Action) -> bool {
    work_of(action).is_some_and(|work| work.scope != Scope::Shared && !action.after.is_empty())
}

fn too_late(action: &Action, now: Instant) -> Option<Outcome> {
    let before = work_of(action)?.start_before?;
    (now > before).then(|| Outcome::Skipped {
        reason: format!("its slot passed at {}; the next plan records it", before.strftime("%Y-%m-%d %H:%M:%S UTC")),
    })
}

fn audit(progress: &mut Progress<'_>, action: &Action, outcome: &Outcome) {
    let Some(work) = work_of(action) else { return };
    // What was taken is told by its completion itself.
    if let Outcome::Failed { code, error } = outcome {
        let facts = json!({ "code": code, "error": error, "scope": work.scope, "database": work.database });
        progress.note("backup failed", work.backup.as_str(), facts);
    }
}

/// Opens what all backups of a slot share: programs, the exported snapshot, the store's keys.
async fn common(runtime: &Runtime, work: &BackupWork) -> Result<Common, Outcome> {
    let connection = runtime.database(&work.database).map_err(failed_with)?.clone();
    let handle = runtime.store(&work.store).map_err(failed_with)?;
    let recipients = match &handle.spec.encryption {
        None => Vec::new(),
        Some(encryption) => encryption
            .recipients
            .iter()
            .map(|text| text.parse::<Recipient>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(&error))?,
    };
    let state = runtime.catalog.reader().state().await.map_err(|error| failed(&error))?;
    let CatalogState::Present(facts) = state else { return Err(failed_with("the catalog is gone")) };
    let store_id = facts.stores.get(&work.store).cloned();
    let store_id = store_id.ok_or_else(|| failed_with(format!("store.{} was not made ready", work.store)))?;
    let lineage = facts.lineage.clone();
    let digest_key = if recipients.is_empty() { None } else { Some(digest_key(runtime, work).await?) };
    let source = runtime.exporter.export(&connection).await.map_err(|error| failed(&error))?;
    let destination = Destination {
        store: Arc::clone(&handle.store),
        store_id,
        recipients,
        digest_key,
        storage_class: handle.spec.storage_class.clone(),
    };
    Ok(Common { source, destination, lineage })
}

/// Returns the key of the content digests: the catalog's, or a fresh one that it keeps from now on.
async fn digest_key(runtime: &Runtime, work: &BackupWork) -> Result<DigestKey, Outcome> {
    let known =
        runtime.catalog.reader().digest_key(&work.store, &work.database).await.map_err(|error| failed(&error))?;
    let kept = match known {
        Some(known) => known,
        None => {
            let fresh = DigestKey::generate(&mut |bytes| (runtime.random)(bytes)).map_err(|error| failed(&error))?;
            let offered = catalog::DigestKey { id: fresh.id(), key: zeroize::Zeroizing::new(fresh.bytes().to_vec()) };
            let catalog = &runtime.catalog;
            catalog.keep_digest_key(&work.store, &work.database, &offered).await.map_err(|error| failed(&error))?
        }
    };
    let bytes: [u8; 32] =
        kept.key.as_slice().try_into().map_err(|_| failed_with("the catalog's digest key is not of 32 bytes"))?;
    Ok(DigestKey::from_bytes(bytes))
}

/// Takes one backup, trying again what may pass. Each try is a claim of its own: its token is the attempt, and nothing
/// is ever written under another attempt's prefix.
async fn one(
    runtime: &Runtime,
    claims: &Claims,
    policy_digest: Digest,
    action: &Action,
    common: &Common,
) -> (Outcome, u32) {
    let Some(work) = work_of(action) else { return (failed_with("the action is no backup"), 0) };
    let mut retries = 0;
    loop {
        let claimed = match claims.take(action.id).await {
            Ok(claimed) => claimed,
            Err(outcome) => return (outcome, retries),
        };
        let result = attempt(runtime, policy_digest, action, work, common, &claimed).await;
        let _ = claims.release(claimed).await;
        match result {
            Ok(outcome) => return (outcome, retries),
            Err((outcome, transient)) => {
                if !transient || retries == RETRIES || runtime.stopped() {
                    return (outcome, retries);
                }
                retries += 1;
                tokio::time::sleep(Duration::from_secs(u64::from(retries))).await;
            }
        }
    }
}

async fn attempt(
    runtime: &Runtime,
    policy_digest: Digest,
    action: &Action,
    work: &BackupWork,
    common: &Common,
    claimed: &Claimed,
) -> Result<Outcome, (Outcome, bool)> {
    let catalog = &runtime.catalog;
    let lasting = |outcome: Outcome| (outcome, false);
    let intent = Intent { work, run: &runtime.run, started_at: (runtime.now)() };
    match catalog.intend_backup(&claimed.lease, &intent).await.map_err(|error| lasting(failed(&error)))? {
        Intended::Go => {}
        Intended::SlotTaken(by)
            if work.scope == Scope::Shared && !restorable(runtime, &by).await.map_err(lasting)? =>
        {
            return Err(lasting(failed_with(format!("the slot is held by {by}, which cannot be restored"))));
        }
        Intended::SlotTaken(by) => return Ok(Outcome::AlreadyDone { summary: format!("the slot is held by {by}") }),
    }
    let order = Order {
        work: work.clone(),
        action: action.id,
        attempt: claimed.lease.token,
        policy_digest,
        simulated: runtime.simulated,
        now: Arc::clone(&runtime.now),
        tool_version: runtime.tool_version.clone(),
        lineage: common.lineage.clone(),
        still_mine: fence(runtime, claimed),
    };
    let begun = Monotonic::now();
    // A lost lease or a stop drops the work: its program is killed and its upload aborted, and nothing is visible.
    let taken = tokio::select! {
        biased;
        taken = backup::run(&order, common.source.as_ref(), &common.destination) => taken,
        () = claimed.until_lost() => return Err(lasting(failed_with("its lease was lost; someone else does it now"))),
        () = runtime.until_stopped() => Err(BackupError::Interrupted),
    };
    match taken {
        Ok(taken) => confirm(runtime, work, claimed, &taken, begun).await.map_err(lasting),
        Err(error) => {
            let outcome = if matches!(error, BackupError::Interrupted) { Outcome::NotReached } else { failed(&error) };
            let _ = catalog.fail_backup(&claimed.lease, &work.backup, &error.to_string(), (runtime.now)()).await;
            Err((outcome, error.is_transient()))
        }
    }
}

/// Returns whether a shared archive can be restored: what else holds a slot is of no use to the tenants that would name
/// it. It is asked when the slot turns out to be taken, never before: another runner may have made it since.
async fn restorable(runtime: &Runtime, shared: &BackupId) -> Result<bool, Outcome> {
    let state = runtime.catalog.reader().state().await.map_err(|error| failed(&error))?;
    let CatalogState::Present(facts) = state else { return Err(failed_with("the catalog is gone")) };
    let whole = |b: &&Backup| b.scope == Scope::Shared && b.quarantine.is_none() && b.tombstoned_at.is_none();
    Ok(facts.backups.iter().filter(whole).any(|backup| &backup.id == shared))
}

/// Asks the catalog itself, by renewing the lease: only a renewed one leaves time to write the manifest.
fn fence(runtime: &Runtime, claimed: &Claimed) -> Fence {
    let (catalog, lease) = (Arc::clone(&runtime.catalog), claimed.lease.clone());
    Arc::new(move || {
        let (catalog, lease) = (Arc::clone(&catalog), lease.clone());
        async move { matches!(catalog.heartbeat(std::slice::from_ref(&lease), LEASE).await, Ok(lost) if lost.is_empty()) }.boxed()
    })
}

/// Writes down that the backup is there. The manifest is the truth already: were this lost, the next run would find it.
async fn confirm(
    runtime: &Runtime,
    work: &BackupWork,
    claimed: &Claimed,
    taken: &Taken,
    begun: Monotonic,
) -> Result<Outcome, Outcome> {
    let at = (runtime.now)();
    let facts =
        json!({ "scope": work.scope, "database": work.database, "schedule": work.schedule, "store": work.store });
    let catalog = runtime.catalog.telling(runtime.event("backup completed", work.backup.as_str(), facts));
    let completed = Completed {
        manifest: &taken.manifest,
        manifest_key: &taken.manifest_key,
        store: &work.store,
        verified: Some((Verification::Checksum, at)),
    };
    let size: Bytes = taken.manifest.parts.iter().map(|part| Bytes(part.size)).sum();
    match catalog.complete_backup(&claimed.lease, &completed, at).await.map_err(|error| failed(&error))? {
        Completion::Recorded => {}
        Completion::Already => return Ok(Outcome::AlreadyDone { summary: "it was there already".to_owned() }),
        Completion::SlotTaken => {
            return Ok(Outcome::AlreadyDone { summary: "another backup holds the slot".to_owned() });
        }
    }
    let summary = if taken.by_this_attempt {
        format!("{size} in {}.{:01} s", millis(begun) / 1000, millis(begun) % 1000 / 100)
    } else {
        "an earlier attempt had written it; recorded now".to_owned()
    };
    Ok(Outcome::Done { summary })
}
