//! The catalog, the stores' markers, documents, and the world's differences that only need to be written down.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant as Monotonic;

use super::failure::ApplyError;
use super::progress::{Progress, document_digest, millis};
use super::queue::Queue;
use super::recheck;
use super::runtime::{Runtime, op_word};
use crate::catalog::{CatalogError, DocumentChange, Lease, MarkOutcome, Rename, StoreRecord};
use crate::domain::{Action, ActionId, ActionKind, Address, Digest, DocumentOp, Name, Outcome, Plan, ReasonCode};
use crate::plan::planned_moves;
use crate::store;

/// How often what must not be lost is written before the catalog counts as gone, and how long between.
const TRIES: u32 = 3;
const BETWEEN: Duration = Duration::from_secs(1);

/// Makes or migrates the catalog, before anything can be claimed. Returns what became of the action.
pub(super) async fn catalog(runtime: &Runtime, plan: &Plan) -> Result<Option<(ActionId, Outcome, u64)>, ApplyError> {
    let action = plan.actions.iter().find(|a| matches!(a.kind, ActionKind::EnsureCatalog { .. }));
    let Some(action) = action else { return Ok(None) };
    let begun = Monotonic::now();
    let lineage = runtime.tag().map_err(|error| ApplyError::Stale(error.to_string()))?;
    let made = runtime.catalog.create(&lineage, runtime.simulated).await?;
    let outcome = if made.from_version == Some(made.version) {
        Outcome::AlreadyDone { summary: format!("it is of version {} already", made.version) }
    } else {
        Outcome::Done { summary: format!("version {}", made.version) }
    };
    Ok(Some((action.id, outcome, millis(begun))))
}

/// Checks, before anything is changed, that every document is still as the plan saw it, or as an earlier run of the
/// same plan left it.
pub(super) async fn check_documents(runtime: &Runtime, plan: &Plan, begun_before: bool) -> Result<(), ApplyError> {
    let planned: Vec<_> = plan.actions.iter().filter_map(|a| Some((a, document_digest(a)?))).collect();
    let moves: Vec<_> = planned_moves(plan).collect();
    let mut addresses: Vec<&Address> = planned.iter().map(|(action, _)| &action.address).collect();
    addresses.extend(moves.iter().map(|moved| &moved.from));
    let mut applied = runtime.catalog.reader().applied_digests(&addresses).await?;
    // Documents are compared as they will be after the plan's renames, which may be done already.
    for moved in &moves {
        if let Some(digest) = applied.remove(&moved.from) {
            applied.insert(moved.to.clone(), digest);
        }
    }
    for (action, planned) in planned {
        let there = applied.get(&action.address).copied();
        if planned != there && !(begun_before && there.is_some() && there == wanted_digest(action)) {
            return Err(ApplyError::Stale(format!("{} was changed since the plan was made", action.address)));
        }
    }
    Ok(())
}

/// Returns the digest of a document as an action leaves it.
fn wanted_digest(action: &Action) -> Option<Digest> {
    match &action.kind {
        ActionKind::ApplyDocument { after, .. } => after.as_ref().map(crate::domain::digest_of),
        _ => None,
    }
}

/// Does the rest of the first phase.
pub(super) async fn run(progress: &mut Progress<'_>) {
    let wanted = |kind: &ActionKind| {
        matches!(
            kind,
            ActionKind::EnsureStore { .. }
                | ActionKind::ApplyDocument { .. }
                | ActionKind::Move { .. }
                | ActionKind::Release { .. }
                | ActionKind::Offboard(_)
                | ActionKind::Onboard(_)
                | ActionKind::RecordMissed { .. }
                | ActionKind::Quarantine { .. }
        )
    };
    let mut queue = Queue::new(progress.actions(wanted));
    while let Some((action, turn)) = queue.turn(progress).await {
        let outcome = perform(progress, &action, &turn.claimed.lease).await.unwrap_or_else(|failure| failure);
        progress.end_turn(&action, turn, outcome).await;
    }
    progress.flush_audit().await;
}

/// Words an error as an outcome.
pub(super) fn failed<E: crate::diag::Explain>(error: &E) -> Outcome {
    let finding = error.explain();
    let help = finding.help.map(|help| format!("; {help}")).unwrap_or_default();
    Outcome::Failed { code: finding.code.to_string(), error: format!("{}{help}", finding.message) }
}

/// Words a reason without a typed error as an outcome.
pub(super) fn failed_with(reason: impl Into<String>) -> Outcome {
    Outcome::Failed { code: "BK882".to_owned(), error: reason.into() }
}

/// `Err` is an outcome too: the one of a step that failed.
async fn perform(progress: &mut Progress<'_>, action: &Action, lease: &Lease) -> Result<Outcome, Outcome> {
    let runtime = progress.runtime;
    let now = (runtime.now)();
    let catalog = &runtime.catalog;
    match &action.kind {
        ActionKind::EnsureStore { store, url } => ensure_store(progress, lease, store, url).await,
        ActionKind::ApplyDocument { op, after, location, .. } => {
            let change = DocumentChange {
                address: &action.address,
                op: *op,
                body: after.as_ref(),
                location: location.as_ref(),
                commit: runtime.commit.as_deref(),
                by: &runtime.actor,
                run: &runtime.run,
                at: now,
            };
            let expected = document_digest(action).flatten();
            let digest = after.as_ref().map(|body| crate::domain::digest_of(body).to_string());
            let facts = json!({ "digest": digest });
            let catalog = catalog.telling(runtime.event(op_word(*op), action.address.to_string(), facts));
            if !catalog.apply_document_if(lease, &change, expected).await.map_err(|error| failed(&error))? {
                return Ok(Outcome::AlreadyDone { summary: "it is so already".to_owned() });
            }
            let summary = match op {
                DocumentOp::Archive => "archived",
                DocumentOp::Restore => "written again as it was applied",
                DocumentOp::Create | DocumentOp::Update | DocumentOp::Revive => "recorded",
            };
            Ok(Outcome::Done { summary: summary.to_owned() })
        }
        ActionKind::Move { from, backups } => {
            let to = &action.address;
            let rename = Rename { from, to, by: &runtime.actor, run: &runtime.run, at: now };
            let told = runtime.event("renamed", to.to_string(), json!({ "from": from, "backups": backups }));
            match catalog.telling(told).rename(lease, &rename).await.map_err(|error| failed(&error))? {
                MarkOutcome::Done => {}
                MarkOutcome::AlreadyDone => {
                    return Ok(Outcome::AlreadyDone { summary: format!("nothing is called {from} any more") });
                }
                MarkOutcome::Refused(reason) => return Ok(Outcome::Skipped { reason }),
            }
            Ok(Outcome::Done { summary: format!("carried over from {from}, {backups} backups") })
        }
        ActionKind::Release { before, after, backups } => {
            let run = &runtime.run;
            let facts = json!({ "backups": after.word(), "before": before.map(|b| b.word()), "count": backups });
            catalog
                .telling(runtime.event("removal recorded", action.address.to_string(), facts))
                .record_removal(lease, &action.address, *after, run, now)
                .await
                .map_err(|error| failed(&error))?;
            Ok(Outcome::Done { summary: format!("recorded: {}", after.word()) })
        }
        ActionKind::Offboard(work) => {
            let facts = json!({ "database": work.database, "schema": work.schema, "backups": work.backups });
            let told = catalog.telling(runtime.event("tenant offboarded", format!("tenant={}", work.slug), facts));
            marked(told.offboard(lease, work, now).await, "its clock has begun", "it was offboarded already")
        }
        ActionKind::Onboard(work) => {
            let facts =
                json!({ "database": work.database, "schema": work.schema, "offboarded_at": work.offboarded_at });
            let told = catalog.telling(runtime.event("tenant onboarded", format!("tenant={}", work.slug), facts));
            marked(told.onboard(lease, work, now).await, "its clock has stopped", "it is known as present already")
        }
        ActionKind::RecordMissed { schedule, database, slots, scopes } => {
            let facts = json!({ "slots": slots, "scopes": scopes, "database": database });
            let catalog = catalog.telling(runtime.event("slots missed", action.address.to_string(), facts));
            // Nobody looks again behind the slot that this apply takes next: a connection that broke must not be the end.
            let mut tries = 0;
            let recorded = loop {
                match catalog.settle(lease, schedule, database.as_ref(), slots, *scopes, now).await {
                    Ok(recorded) => break recorded,
                    Err(error) => {
                        tries += 1;
                        if tries == TRIES || !error.is_transient() || runtime.stopped() {
                            return Err(failed(&error));
                        }
                    }
                }
                tokio::time::sleep(BETWEEN).await;
            };
            // Another apply of the same hour may have been first.
            Ok(match recorded {
                0 => Outcome::AlreadyDone { summary: "recorded as missed already".to_owned() },
                recorded => Outcome::Done { summary: format!("{recorded} recorded as missed") },
            })
        }
        ActionKind::Quarantine { backup, store, words } => {
            if action.reason.code != ReasonCode::VerificationFailed {
                let recorded =
                    catalog.reader().recorded_backups(&[backup]).await.map_err(|error| failed(&error))?.pop();
                let handle = runtime.store(store).map_err(failed_with)?;
                if let Some((_, recorded)) = recorded
                    && recheck::is_whole(handle, backup, &recorded).await?
                {
                    return Ok(Outcome::Skipped { reason: "its objects are all there again".to_owned() });
                }
            }
            let told = runtime.event("backup quarantined", backup.as_str(), json!({ "reason": words }));
            let marked = catalog.telling(told).quarantine(backup, words, now).await.map_err(|error| failed(&error))?;
            Ok(match marked {
                MarkOutcome::Done => Outcome::Done { summary: "quarantined".to_owned() },
                MarkOutcome::AlreadyDone => Outcome::AlreadyDone { summary: "it is quarantined already".to_owned() },
                MarkOutcome::Refused(reason) => Outcome::Skipped { reason },
            })
        }
        _ => Err(failed_with("the action belongs to another phase")),
    }
}

/// Words what became of a mark.
fn marked(marked: Result<MarkOutcome, CatalogError>, done: &str, already: &str) -> Result<Outcome, Outcome> {
    Ok(match marked.map_err(|error| failed(&error))? {
        MarkOutcome::Done => Outcome::Done { summary: done.to_owned() },
        MarkOutcome::AlreadyDone => Outcome::AlreadyDone { summary: already.to_owned() },
        MarkOutcome::Refused(reason) => Outcome::Skipped { reason },
    })
}

async fn ensure_store(progress: &mut Progress<'_>, lease: &Lease, name: &Name, url: &str) -> Result<Outcome, Outcome> {
    let runtime = progress.runtime;
    let handle = runtime.store(name).map_err(failed_with)?;
    let offered = runtime.tag().map_err(|error| failed(&error))?;
    let marker = store::ensure_marker(handle.store.as_ref(), &offered).await.map_err(|error| failed(&error))?;
    // The lease is this catalog's only one on the store's probe: what bears its name is of a run that died at it.
    let owner = store::layout::encode(&progress.lineage);
    store::clear_probes(&handle.store, &owner).await.map_err(|error| failed(&error))?;
    let token = format!("{owner}-{}", runtime.tag().map_err(|error| failed(&error))?);
    let learnt = store::probe(handle.store.as_ref(), &token).await.map_err(|error| failed(&error))?;
    let record = StoreRecord {
        store: name.clone(),
        url: url.to_owned(),
        store_id: marker.store_id.clone(),
        capabilities: serde_json::to_value(learnt).unwrap_or_default(),
        probed_at: (runtime.now)(),
    };
    let facts = json!({ "store_id": marker.store_id, "capabilities": record.capabilities });
    let catalog = runtime.catalog.telling(runtime.event("store learnt", format!("store.{name}"), facts));
    catalog.store_learnt(lease, &record).await.map_err(|error| failed(&error))?;
    let summary = if learnt.conditional_writes {
        "ready".to_owned()
    } else {
        // Never silent: two runners without a common catalog could overwrite each other here.
        "ready; it ignores conditional writes, so every manifest is read back and the catalog's leases alone keep writers apart".to_owned()
    };
    Ok(Outcome::Done { summary })
}
