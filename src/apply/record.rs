//! What a run leaves for people and for a catalog that is ever rebuilt: the serial, `state/<serial>.json`, the report
//! under `runs/`, the same bytes in every store.

use bytes::Bytes;
use serde_json::json;

use super::progress::Progress;
use crate::catalog::CatalogError;
use crate::domain::{ApplyReport, STATE_FORMAT, StateFile, canonical_json};
use crate::store::{self, StoreError, layout};

/// Counts the run, once, and shows people when each schedule runs next.
///
/// # Errors
/// When the catalog cannot be told.
pub(super) async fn serial(progress: &mut Progress<'_>) -> Result<i64, CatalogError> {
    let serial = progress.runtime.catalog.bump_serial(&progress.runtime.run).await?;
    let facts = json!({ "serial": serial, "plan": progress.plan.digest, "change_digest": progress.plan.change_digest });
    progress.note("apply finished", progress.runtime.run.as_str(), facts);
    Ok(serial)
}

/// Writes what is applied now to every store of the plan, under the run's serial: what a catalog is rebuilt from.
pub(super) async fn state(progress: &mut Progress<'_>, report: &ApplyReport) {
    let (plan, reader) = (progress.plan, progress.runtime.catalog.reader());
    let recorded = match reader.recorded().await {
        Ok(Some(recorded)) => recorded,
        Ok(None) => return,
        Err(error) => return progress.unrecorded.push(format!("state/{}.json: {error}", report.serial)),
    };
    // A state without what it exists for would be worse than the one before it, which still stands.
    let kept = match reader.kept().await {
        Ok(kept) => kept,
        Err(error) => return progress.unrecorded.push(format!("state/{}.json: {error}", report.serial)),
    };
    let state = StateFile {
        format_version: STATE_FORMAT.to_owned(),
        serial: report.serial,
        lineage: recorded.lineage,
        simulated: recorded.simulated,
        at: report.end,
        run: report.run.clone(),
        plan_digest: plan.digest,
        change_digest: plan.change_digest,
        policy_digest: plan.policy_digest,
        protected: recorded.protected,
        applied: recorded.applied,
        drills: recorded.drills,
        progress: recorded.progress,
        kept,
    };
    everywhere(progress, &layout::state(report.serial.unsigned_abs()), canonical_json(&state)).await;
}

/// Writes the report of the run to every store of the plan.
pub(super) async fn report(progress: &mut Progress<'_>, report: &ApplyReport) {
    everywhere(progress, &layout::run(&report.run), canonical_json(report)).await;
}

/// Writes an object once to every store that can be written. One that fails is told of in the report: the catalog holds
/// the same, and the next run writes its own.
pub(super) async fn everywhere(progress: &mut Progress<'_>, key: &str, body: String) {
    let body = Bytes::from(body);
    for name in progress.plan.connections.stores.keys() {
        // One that could not be opened at all is said by each of its actions.
        let Ok(handle) = progress.runtime.store(name) else { continue };
        if progress.health.is_gone(name) {
            progress.unrecorded.push(format!("store.{name}, {key}: it does not answer"));
            continue;
        }
        match store::put_once(handle.store.as_ref(), key, body.clone()).await {
            Ok(_) | Err(StoreError::Overwritten { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, key, "the record of the run could not be written to store {name}");
                progress.unrecorded.push(format!("store.{name}, {key}: {error}"));
            }
        }
    }
}
