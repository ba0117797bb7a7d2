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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{attempt_of, in_order};
    use crate::domain::{Evidence, digest_of};

    fn evidence(plan: &str, attempt: u64, previous: Option<&Evidence>) -> Evidence {
        let digest = previous.map(|e| digest_of(&serde_json::to_value(e).unwrap()).to_string());
        Evidence {
            format_version: "1.0".to_owned(),
            drill_id: format!("{plan}-{attempt:06}-0123456789abcdef"),
            plan: plan.to_owned(),
            plan_digest: "00".repeat(32),
            // A simulated clock gives many drills one instant: their order is not in it.
            drill_timestamp: "2026-03-02T10:00:00Z".to_owned(),
            status: "passed".to_owned(),
            backups: Vec::new(),
            backup_age_minutes: 0,
            restore_duration_minutes: 0,
            restore_duration_ms: 0,
            rpo_compliant: None,
            rto_compliant: None,
            rpo_minutes: None,
            rto_minutes: None,
            tenants: Vec::new(),
            phases: Vec::new(),
            checks: Vec::new(),
            left_out: Vec::new(),
            bytes_fetched: 0,
            server_version: "17".to_owned(),
            tool_version: "0".to_owned(),
            failure: None,
            previous: digest,
            simulated: true,
        }
    }

    #[test]
    fn evidence_comes_in_the_order_of_its_chain_whatever_its_names_and_times_are() {
        let first = evidence("z-plan", 0, None);
        let second = evidence("a-plan", 0, Some(&first));
        let third = evidence("m-plan", 3, Some(&second));
        let all: BTreeMap<String, Evidence> =
            [&third, &first, &second].into_iter().map(|e| (e.drill_id.clone(), e.clone())).collect();
        assert_eq!(in_order(all.clone()), [first.clone(), second, third.clone()]);
        assert_eq!(attempt_of(&third), Some(3));
        let torn: BTreeMap<String, Evidence> = all.into_iter().filter(|(id, _)| !id.starts_with("a-plan")).collect();
        assert_eq!(in_order(torn).len(), 2, "a piece whose predecessor is lost is not lost with it");
    }
}
