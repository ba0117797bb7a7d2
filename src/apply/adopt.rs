//! Takes backups over that other scripts left. Each is claimed, intended and confirmed as a backup that bkup takes.

use tokio::time::Instant as Monotonic;

use super::backups::{attempt_order, confirm};
use super::batch::destination;
use super::claims::Claimed;
use super::ensure::{failed, failed_with};
use super::progress::Progress;
use super::queue::Queue;
use crate::backup::{self, Policies};
use crate::catalog::{Intended, Intent};
use crate::domain::{Action, ActionKind, BackupWork, FoundBackup, Outcome};

/// Adopts everything of the plan.
pub(super) async fn run(progress: &mut Progress<'_>) {
    let found = |kind: &ActionKind| matches!(kind, ActionKind::BackUp(work) if work.found.is_some());
    let mut queue = Queue::new(progress.actions(found));
    while let Some((action, turn)) = queue.turn(progress).await {
        let outcome = match &action.kind {
            ActionKind::BackUp(work) => adopt(progress, &action, work, &turn.claimed).await,
            _ => failed_with("the action belongs to another phase"),
        };
        // What was adopted is in the audit before the next is.
        progress.flush_audit().await;
        progress.end_turn(&action, turn, outcome).await;
    }
}

async fn adopt(progress: &mut Progress<'_>, action: &Action, work: &BackupWork, claimed: &Claimed) -> Outcome {
    let Some(found) = &work.found else { return failed_with("nothing was found to adopt") };
    let outcome = match progress.health.refusal(progress.runtime, &work.store).await {
        Some(refusal) => refusal,
        None => one(progress, action, work, found, claimed).await.unwrap_or_else(|failure| failure),
    };
    progress.health.note(&work.store, &outcome);
    if matches!(outcome, Outcome::Done { .. }) {
        let facts = serde_json::json!({
            "scope": work.scope, "database": work.database, "schedule": work.schedule, "store": work.store,
            "from": format!("{}/{}", found.place, found.key), "sha256": found.sha256,
        });
        progress.note("backup adopted", work.backup.as_str(), facts);
    }
    outcome
}

async fn one(
    progress: &Progress<'_>,
    action: &Action,
    work: &BackupWork,
    found: &FoundBackup,
    claimed: &Claimed,
) -> Result<Outcome, Outcome> {
    let runtime = progress.runtime;
    let Some(place) = &runtime.adopted else {
        return Err(failed_with("the plan adopts backups, and only `bkup adopt` reads where they lie"));
    };
    if place.place() != found.place {
        return Err(failed_with(format!("the backup lies in {}, and {} is read", found.place, place.place())));
    }
    let to = destination(runtime, work).await?;
    let catalog = &runtime.catalog;
    let intent = Intent { work, run: &runtime.run, started_at: (runtime.now)() };
    match catalog.intend_backup(&claimed.lease, &intent).await.map_err(|error| failed(&error))? {
        Intended::Go => {}
        Intended::SlotTaken(by) => {
            return Ok(Outcome::AlreadyDone { summary: format!("it is there already, as {by}") });
        }
    }
    let told = (progress.lineage.clone(), Policies::default());
    let order = attempt_order((runtime, &progress.claims), action, work, claimed, progress.plan.policy_digest, told);
    let begun = Monotonic::now();
    let taken = tokio::select! {
        taken = backup::adopt(&order, found, place, &to) => taken,
        () = claimed.until_lost() => return Err(lost(progress, work, claimed).await),
        () = runtime.until_stopped() => Err(backup::BackupError::Interrupted),
    };
    match taken {
        Ok(taken) => confirm((runtime, &progress.claims), work, claimed, taken, begun).await,
        Err(error) => Err(progress.claims.fail_with(claimed, work, &error).await),
    }
}

/// Whoever lost its right to the work either was slow, and someone else goes on, or was canceled.
async fn lost(progress: &Progress<'_>, work: &BackupWork, claimed: &Claimed) -> Outcome {
    let reader = progress.runtime.catalog.reader();
    match reader.canceled(&work.backup, claimed.lease.token).await {
        Ok(Some(words)) => {
            let error = format!("the adoption was {words}; nothing of it is visible, and its slot is not taken again");
            Outcome::Failed { code: "BK910".to_owned(), error }
        }
        _ => failed_with("its lease was lost; someone else does it now"),
    }
}
