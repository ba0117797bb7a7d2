//! What a run leaves for people and for a catalog that is ever rebuilt: the serial, `state/<serial>.json`, the report
//! under `runs/`, the same bytes in every store.

use bytes::Bytes;
use serde_json::json;

use super::run::Progress;
use super::runtime::Runtime;
use crate::catalog::CatalogError;
use crate::domain::{ApplyReport, CatalogState, Name, Plan, canonical_json};
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

/// Writes state and report to every store the plan writes to. A store that fails is told of in the log: the catalog
/// holds the same.
pub(super) async fn write(runtime: &Runtime, plan: &Plan, report: &ApplyReport) {
    let Ok(CatalogState::Present(facts)) = runtime.catalog.reader().state().await else { return };
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
        "protected": facts.backups.iter().filter(|b| b.protected).map(|b| &b.id).collect::<Vec<_>>(),
        "audit_head": report.audit_head,
    });
    let state = Bytes::from(canonical_json(&state));
    let run = Bytes::from(canonical_json(report));
    for name in stores(plan) {
        let Ok(handle) = runtime.store(name) else { continue };
        for (key, body) in [(layout::state(report.serial.unsigned_abs()), &state), (layout::run(&report.run), &run)] {
            match store::put_once(handle.store.as_ref(), &key, body.clone()).await {
                Ok(_) | Err(StoreError::Overwritten { .. }) => {}
                Err(error) => tracing::warn!(%error, key, "the record of the run could not be written to store {name}"),
            }
        }
    }
}

/// Returns the stores the plan's policies write to.
fn stores(plan: &Plan) -> impl Iterator<Item = &Name> {
    plan.connections.stores.keys()
}
