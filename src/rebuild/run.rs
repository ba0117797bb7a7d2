//! The rebuild itself, in the order in which one thing needs the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::TryStreamExt;

use super::evidence::{self, attempt_of};
use super::failure::{RebuildError, is_unusable};
use super::manifests::{self, Gathered};
use super::survey::Survey;
use super::{keys, marks};
use crate::catalog::{Base, Rebuilding, Writer};
use crate::domain::{Instant, Manifest, REBUILT_FORMAT, Rebuilt};
use crate::store;

/// Builds the catalog in a transaction that is still open, and says what is in it. Nothing is visible before
/// [`Rebuilding::commit`].
///
/// # Errors
/// [`RebuildError`]; nothing is written then.
pub async fn rebuild(catalog: &Writer, survey: &Survey, now: Instant) -> Result<(Rebuilding, Rebuilt), RebuildError> {
    let (lineage, simulated) = match &survey.state {
        Some(state) => (state.lineage.clone(), state.simulated),
        None => {
            let first = first_manifest(survey).await?.ok_or(RebuildError::Nothing)?;
            let simulated = first.simulated.then(|| first.completed_at.parse().ok()).flatten();
            (first.lineage.unwrap_or_default(), simulated)
        }
    };
    let now = simulated.unwrap_or(now);
    let base = Base { lineage: &lineage, serial: survey.serial, simulated, state: survey.state.as_ref(), at: now };
    let mut rebuilding = catalog.begin_rebuild(&base).await?;
    let mut gathered = Gathered { unusable: survey.unusable.clone(), ..Gathered::default() };
    let ids: BTreeSet<String> = survey.stores.values().map(|(_, id)| id.clone()).collect();
    for (name, (open, id)) in &survey.stores {
        manifests::read_store(&mut rebuilding, &mut gathered, &lineage, name, (&open.store, id), &ids).await?;
    }
    let Gathered { stores, mut unusable, untouched, mut replaced, hidden } = gathered;
    replaced.sort_unstable();
    let mut proven = BTreeMap::new();
    for (name, (open, _)) in &survey.stores {
        marks::read_store(&mut rebuilding, &mut unusable, name, &open.store, now).await?;
        evidence::read_store(&mut proven, &mut unusable, name, &open.store).await?;
    }
    for piece in evidence::in_order(proven) {
        rebuilding.drill(&piece, attempt_of(&piece).unwrap_or(0)).await?;
    }
    for (plan, record) in survey.state.iter().flat_map(|state| &state.drills) {
        let _added = rebuilding.drill_without_evidence(plan, record).await?;
    }
    for plan in &survey.finished {
        rebuilding.finished_plan(plan, &lineage).await?;
    }
    let (digest_keys, without_digest_key) = keys::recover(&mut rebuilding, &mut unusable, &survey.stores).await?;
    let counts = rebuilding.conclude(survey.state.as_ref(), &untouched).await?;
    let kept = survey.state.as_ref().map(|state| &state.kept);
    let rebuilt = Rebuilt {
        format_version: REBUILT_FORMAT.to_owned(),
        serial: survey.serial,
        state_at: survey.state.as_ref().map(|state| state.at),
        simulated: simulated.is_some(),
        audit_head: kept.and_then(|kept| kept.audit_head.clone()),
        audit_rows: kept.map_or(0, |kept| kept.audit_rows),
        stores,
        documents: counts.documents,
        backups: counts.backups,
        tombstoned: counts.tombstoned,
        quarantined: counts.quarantined,
        protected: counts.protected,
        purged: counts.purged,
        drills: counts.drills,
        plans: counts.plans,
        abandoned: counts.abandoned,
        digest_keys,
        without_digest_key,
        left_out: survey.left_out.clone(),
        unusable,
        replaced,
        hidden: hidden.into_iter().collect(),
        lineage,
    };
    Ok((rebuilding, rebuilt))
}

/// Without a state, the manifests alone say whose catalog it was.
async fn first_manifest(survey: &Survey) -> Result<Option<Manifest>, RebuildError> {
    let mut first: Option<Manifest> = None;
    for (open, _) in survey.stores.values() {
        let mut entries = store::manifests(Arc::clone(&open.store));
        while let Some(entry) = entries.try_next().await? {
            match store::read_manifest(open.store.as_ref(), &entry.key).await {
                Ok(manifest) if manifest.lineage.is_some() => {
                    if let Some(other) = first.as_ref().filter(|other| other.lineage != manifest.lineage) {
                        let name = |lineage: &Option<String>| lineage.clone().unwrap_or_default();
                        let (first, second) = (name(&other.lineage), name(&manifest.lineage));
                        return Err(RebuildError::SeveralCatalogs { first, second });
                    }
                    first.get_or_insert(manifest);
                    break;
                }
                Ok(_) => {}
                Err(error) if is_unusable(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(first)
}
