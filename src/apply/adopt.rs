//! Takes backups over that other scripts left. Each is claimed, intended and confirmed as a backup that bkup takes.

use std::sync::Arc;

use tokio::time::Instant as Monotonic;

use super::backups::{attempt_order, confirm, destination};
use super::ensure::{failed, failed_with};
use super::run::Progress;
use crate::backup;
use crate::catalog::{Intended, Intent};
use crate::domain::{Action, ActionKind, BackupWork, FoundBackup, Outcome};

/// Adopts everything of the plan.
pub(super) async fn run(progress: &mut Progress<'_>) {
    for action in progress.actions(|kind| matches!(kind, ActionKind::BackUp(work) if work.found.is_some())) {
        let ActionKind::BackUp(work) = &action.kind else { continue };
        let Some(found) = &work.found else { continue };
        let Some(turn) = progress.take_turn(&action).await else { continue };
        let outcome = one(progress, &action, work, found, &turn.claimed).await.unwrap_or_else(|failure| failure);
        if matches!(outcome, Outcome::Done { .. }) {
            let facts = serde_json::json!({
                "scope": work.scope, "database": work.database, "schedule": work.schedule, "store": work.store,
                "from": format!("{}/{}", found.place, found.key), "sha256": found.sha256,
            });
            progress.note("backup adopted", work.backup.as_str(), facts);
        }
        progress.end_turn(&action, turn, outcome).await;
        progress.flush_audit().await;
    }
}

async fn one(
    progress: &Progress<'_>,
    action: &Action,
    work: &BackupWork,
    found: &FoundBackup,
    claimed: &super::claims::Claimed,
) -> Result<Outcome, Outcome> {
    let runtime = progress.runtime;
    let Some(place) = &runtime.adopted else {
        return Err(failed_with("the plan adopts backups, and only `bkup adopt` reads where they lie"));
    };
    if place.place() != found.place {
        return Err(failed_with(format!("the backup lies in {}, and {} is read", found.place, place.place())));
    }
    let (to, lineage) = destination(runtime, work).await?;
    let catalog = &runtime.catalog;
    let intent = Intent { work, run: &runtime.run, started_at: (runtime.now)() };
    match catalog.intend_backup(&claimed.lease, &intent).await.map_err(|error| failed(&error))? {
        Intended::Go => {}
        Intended::SlotTaken(by) => {
            return Ok(Outcome::AlreadyDone { summary: format!("it is there already, as {by}") });
        }
    }
    let order = attempt_order(runtime, action, work, claimed, progress.plan.policy_digest, (lineage, Arc::default()));
    let begun = Monotonic::now();
    let taken = tokio::select! {
        taken = backup::adopt(&order, found, place, &to) => taken,
        () = claimed.until_lost() => return Err(failed_with("its lease was lost; someone else does it now")),
        () = runtime.until_stopped() => Err(backup::BackupError::Interrupted),
    };
    match taken {
        Ok(taken) => confirm(runtime, work, claimed, &taken, begun).await,
        Err(error) => {
            let outcome =
                if matches!(error, backup::BackupError::Interrupted) { Outcome::NotReached } else { failed(&error) };
            let now = (runtime.now)();
            let _ = catalog.fail_backup(&claimed.lease, &work.backup, &error.to_string(), now).await;
            Err(outcome)
        }
    }
}
