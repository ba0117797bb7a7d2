//! What a run leaves for people and for a catalog that is ever rebuilt: the serial, `state/<serial>.json`, the report
//! under `runs/`, the same bytes in every store.

use bytes::Bytes;
use serde_json::json;

use super::run::Progress;
use super::runtime::Runtime;
use crate::catalog::CatalogError;
use crate::domain::{ApplyReport, CatalogState, Plan, canonical_json};
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
pub(super) async fn state(runtime: &Runtime, plan: &Plan, report: &ApplyReport) {
    let Ok(CatalogState::Present(facts)) = runtime.catalog.reader().state().await else { return };
    let moves = runtime.catalog.reader().moves().await.unwrap_or_default();
    let state = json!({
        "format_version": "1.0",
        "serial": report.serial,
        "lineage": facts.lineage,
        "simulated": facts.simulated,
        "at": report.end,
        "run": report.run,
        "plan_digest": plan.digest,
        "change_digest": plan.change_digest,
        "policy_digest": plan.policy_digest,
        "applied": facts.applied,
        "drills": facts.drills,
        "progress": facts.progress,
        "removals": facts.removals,
        "moves": moves,
        "protected": facts.backups.iter().filter(|b| b.protected).map(|b| &b.id).collect::<Vec<_>>(),
        "audit_head": report.audit_head,
    });
    everywhere(runtime, plan, &layout::state(report.serial.unsigned_abs()), canonical_json(&state)).await;
}

/// Writes the report of the run to every store of the plan.
pub(super) async fn report(runtime: &Runtime, plan: &Plan, report: &ApplyReport) {
    everywhere(runtime, plan, &layout::run(&report.run), canonical_json(report)).await;
}

/// Writes an object once to every store that can be written. One that fails is told of in the log: the catalog holds
/// the same, and the next run writes its own.
pub(super) async fn everywhere(runtime: &Runtime, plan: &Plan, key: &str, body: String) {
    let body = Bytes::from(body);
    for name in plan.connections.stores.keys() {
        let Ok(handle) = runtime.store(name) else { continue };
        match store::put_once(handle.store.as_ref(), key, body.clone()).await {
            Ok(_) | Err(StoreError::Overwritten { .. }) => {}
            Err(error) => tracing::warn!(%error, key, "the record of the run could not be written to store {name}"),
        }
    }
}
