//! What drills proved, in the order in which each names the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};

use super::failure::{RebuildError, is_unusable};
use super::survey::{PARALLEL, read, unusable_of};
use crate::domain::{Evidence, Name, Unusable, digest_of};
use crate::store::{self, ReadStore, layout};

/// Reads one store's evidence into what was read already: the same attempt has the same name in every store.
pub(super) async fn read_store(
    all: &mut BTreeMap<String, Evidence>,
    unusable: &mut Vec<Unusable>,
    name: &Name,
    store: &Arc<dyn ReadStore>,
) -> Result<(), RebuildError> {
    let mut keys = BTreeSet::new();
    let mut listing = store::list(Arc::clone(store), layout::EVIDENCE);
    while let Some(facts) = listing.try_next().await? {
        if !all.contains_key(&facts.key) {
            keys.insert(facts.key);
        }
    }
    let reading = futures_util::stream::iter(keys).map(|key| async move {
        let evidence = read::<Evidence>(store, &key, "1.0").await;
        (key, evidence)
    });
    let mut reading = std::pin::pin!(reading.buffer_unordered(PARALLEL));
    while let Some((key, evidence)) = reading.next().await {
        match evidence {
            Ok(evidence) if attempt_of(&evidence).is_some() => {
                all.insert(key, evidence);
            }
            Ok(_) => {
                let why = "its drill's id does not say which attempt it was".to_owned();
                unusable.push(Unusable { store: name.clone(), key, why });
            }
            Err(error) if is_unusable(&error) => unusable.push(unusable_of(name, &key, &error)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Returns which attempt at its plan's drill a piece of evidence is of: `<plan>-<attempt>-<hash>`.
pub(super) fn attempt_of(evidence: &Evidence) -> Option<u64> {
    let (rest, _) = evidence.drill_id.rsplit_once('-')?;
    let (plan, attempt) = rest.rsplit_once('-')?;
    if plan == evidence.plan { attempt.parse().ok() } else { None }
}

/// Puts evidence in the order of its chain. A piece whose predecessor is lost begins a chain of its own, by its time.
pub(super) fn in_order(all: BTreeMap<String, Evidence>) -> Vec<Evidence> {
    let mut pieces: Vec<(String, Evidence)> = all
        .into_values()
        .map(|evidence| (digest_of(&serde_json::to_value(&evidence).unwrap_or_default()).to_string(), evidence))
        .collect();
    pieces.sort_by(|(_, a), (_, b)| (&a.drill_timestamp, &a.drill_id).cmp(&(&b.drill_timestamp, &b.drill_id)));
    let known: BTreeSet<String> = pieces.iter().map(|(digest, _)| digest.clone()).collect();
    let mut after: BTreeMap<String, Vec<(String, Evidence)>> = BTreeMap::new();
    let mut waiting = Vec::new();
    for (digest, evidence) in pieces {
        match evidence.previous.clone().filter(|previous| known.contains(previous)) {
            Some(previous) => after.entry(previous).or_default().push((digest, evidence)),
            None => waiting.push((digest, evidence)),
        }
    }
    waiting.reverse();
    let mut ordered = Vec::new();
    while let Some((digest, evidence)) = waiting.pop() {
        ordered.push(evidence);
        waiting.extend(after.remove(&digest).into_iter().flatten().rev());
    }
    ordered
}
