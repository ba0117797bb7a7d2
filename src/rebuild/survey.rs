//! The first look: which stores there are, the newest state, the newest reports, and whose catalog it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use serde::Deserialize;

use super::failure::{RebuildError, is_unusable};
use crate::catalog::FinishedPlan;
use crate::crypto::Identity;
use crate::domain::{Digest, Instant, Name, Outcome, RunId, STATE_FORMAT, StateFile, Unusable};
use crate::store::{self, ReadStore, StoreError, layout};

/// The largest state or report that is read.
const CAP: u64 = 256 * 1024 * 1024;
/// How many of the newest reports are read: plans that are older than them are too old to be applied.
const REPORTS: usize = 200;
/// How many states are tried before a store counts as one without any.
const TRIES: usize = 5;
/// How many small objects are read at once.
pub(super) const PARALLEL: usize = 16;

/// A store that was opened, with the private keys that are at hand.
#[derive(Clone)]
pub struct OpenStore {
    /// The store.
    pub store: Arc<dyn ReadStore>,
    /// The keys.
    pub identities: Vec<Identity>,
}

/// Where a rebuild reads.
pub struct Sources {
    /// The stores of the policies; one that could not be opened carries the reason.
    pub stores: BTreeMap<Name, Result<OpenStore, String>>,
    /// The stores that somebody consents to leave out.
    pub without: BTreeSet<Name>,
}

/// What the first look showed.
pub struct Survey {
    /// The stores that are read, with their ids.
    pub stores: BTreeMap<Name, (OpenStore, String)>,
    /// The newest state.
    pub state: Option<StateFile>,
    /// The newest plans that were finished.
    pub finished: Vec<FinishedPlan>,
    /// The highest serial that anything says.
    pub serial: i64,
    /// States and reports that cannot be used.
    pub unusable: Vec<Unusable>,
    /// The stores that are left out.
    pub left_out: Vec<Name>,
}

/// Looks at every store.
///
/// # Errors
/// [`RebuildError`]: a store is missing without consent, is another one, or belongs to another catalog.
pub async fn survey(sources: &Sources) -> Result<Survey, RebuildError> {
    let mut found = Survey {
        stores: BTreeMap::new(),
        state: None,
        finished: Vec::new(),
        serial: 0,
        unusable: Vec::new(),
        left_out: sources.without.iter().cloned().collect(),
    };
    let mut reports = BTreeMap::new();
    for (name, opened) in &sources.stores {
        if sources.without.contains(name) {
            continue;
        }
        let missing = |why: String| RebuildError::StoreMissing { store: name.clone(), why };
        let open = opened.as_ref().map_err(|why| missing(why.clone()))?;
        let marker = store::read_marker(open.store.as_ref()).await.map_err(|error| missing(error.to_string()))?;
        // A store that nobody has used yet holds nothing of a lost catalog.
        let Some(marker) = marker else { continue };
        found.stores.insert(name.clone(), (open.clone(), marker.store_id));
        if let Some(state) = newest_state(name, &open.store, &mut found.unusable).await? {
            take_newer(&mut found.state, state)?;
        }
        newest_reports(name, &open.store, &mut reports, &mut found.unusable).await?;
    }
    let used = |name: &&Name| found.state.iter().any(|state| state.kept.stores.iter().any(|seen| seen.store == **name));
    let unknown = |name: &&Name| !sources.stores.contains_key(*name) && !used(name);
    if let Some(unknown) = sources.without.iter().find(unknown) {
        return Err(RebuildError::UnknownStore(unknown.clone()));
    }
    if let Some(state) = &found.state {
        check_stores(state, &found, &sources.without)?;
        found.serial = state.serial;
    }
    for report in reports.into_values() {
        found.serial = found.serial.max(report.serial);
        found.finished.extend(report.finished());
    }
    Ok(found)
}

fn take_newer(newest: &mut Option<StateFile>, state: StateFile) -> Result<(), RebuildError> {
    if let Some(there) = newest.as_ref()
        && there.lineage != state.lineage
    {
        return Err(RebuildError::SeveralCatalogs { first: there.lineage.clone(), second: state.lineage });
    }
    if newest.as_ref().is_none_or(|there| (there.serial, there.at) < (state.serial, state.at)) {
        *newest = Some(state);
    }
    Ok(())
}

/// Every store that the catalog used must be there, and be the same.
fn check_stores(state: &StateFile, found: &Survey, without: &BTreeSet<Name>) -> Result<(), RebuildError> {
    for seen in state.kept.stores.iter().filter(|seen| !without.contains(&seen.store)) {
        match found.stores.get(&seen.store) {
            Some((_, id)) if *id == seen.store_id => {}
            Some((_, id)) => {
                return Err(RebuildError::OtherStore {
                    store: seen.store.clone(),
                    recorded: seen.store_id.clone(),
                    found: id.clone(),
                });
            }
            None => {
                let why = "the catalog used it, and the policies do not name it or it is empty now".to_owned();
                return Err(RebuildError::StoreMissing { store: seen.store.clone(), why });
            }
        }
    }
    Ok(())
}

/// Returns the newest state of a store that can be read; newer ones that cannot are reported.
async fn newest_state(
    name: &Name,
    store: &Arc<dyn ReadStore>,
    unusable: &mut Vec<Unusable>,
) -> Result<Option<StateFile>, StoreError> {
    let mut serials = BTreeSet::new();
    let mut listing = store::list(Arc::clone(store), layout::STATE);
    while let Some(facts) = listing.try_next().await? {
        serials.extend(layout::parse_state(&facts.key));
        if serials.len() > TRIES {
            serials.pop_first();
        }
    }
    for serial in serials.into_iter().rev() {
        let key = layout::state(serial);
        match read(store, &key, STATE_FORMAT).await {
            Ok(state) => return Ok(Some(state)),
            Err(error) if is_unusable(&error) => unusable.push(unusable_of(name, &key, &error)),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

pub(super) fn unusable_of(store: &Name, key: &str, error: &StoreError) -> Unusable {
    Unusable { store: store.clone(), key: key.to_owned(), why: error.to_string() }
}

/// Reads a versioned JSON object.
pub(super) async fn read<T: serde::de::DeserializeOwned>(
    store: &Arc<dyn ReadStore>,
    key: &str,
    known: &str,
) -> Result<T, StoreError> {
    let bytes = store.get(key, CAP).await?;
    store::parse_versioned(store.place(), key, &bytes, known)
}

/// What is needed of a run's report.
#[derive(Deserialize)]
struct Report {
    run: RunId,
    plan_digest: Digest,
    begin: Instant,
    end: Instant,
    serial: i64,
    actions: Vec<Ended>,
}

#[derive(Deserialize)]
struct Ended {
    outcome: Outcome,
}

impl Report {
    /// The same rule by which the run itself counted its plan as finished.
    fn finished(self) -> Option<FinishedPlan> {
        let last = |outcome: &Outcome| {
            use Outcome::{AlreadyDone, Done, Skipped, Violated};
            matches!(outcome, Done { .. } | AlreadyDone { .. } | Skipped { .. } | Violated { .. })
        };
        let any = |test: fn(&Outcome) -> bool| self.actions.iter().any(|action| test(&action.outcome));
        let did = any(|o| matches!(o, Outcome::Done { .. } | Outcome::Violated { .. }));
        let skipped = any(|o| matches!(o, Outcome::Skipped { .. }));
        let finished = self.actions.iter().all(|action| last(&action.outcome)) && (did || !skipped);
        finished.then_some(FinishedPlan {
            plan: self.plan_digest,
            run: self.run,
            serial: self.serial,
            begin: self.begin,
            end: self.end,
        })
    }
}

/// Reads the newest reports: their names begin with the instant of their run.
async fn newest_reports(
    name: &Name,
    store: &Arc<dyn ReadStore>,
    reports: &mut BTreeMap<String, Report>,
    unusable: &mut Vec<Unusable>,
) -> Result<(), StoreError> {
    let mut keys = BTreeSet::new();
    let mut listing = store::list(Arc::clone(store), layout::RUNS);
    while let Some(facts) = listing.try_next().await? {
        keys.insert(facts.key);
        if keys.len() > REPORTS {
            keys.pop_first();
        }
    }
    keys.retain(|key| !reports.contains_key(key));
    let reading = futures_util::stream::iter(keys).map(|key| async move {
        let report = read::<Report>(store, &key, "1.0").await;
        (key, report)
    });
    let mut reading = std::pin::pin!(reading.buffer_unordered(PARALLEL));
    while let Some((key, report)) = reading.next().await {
        match report {
            Ok(report) => {
                reports.insert(key, report);
            }
            // A report is for people first; one of a newer form says nothing that a rebuild cannot do without.
            Err(error) if is_unusable(&error) => unusable.push(unusable_of(name, &key, &error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
