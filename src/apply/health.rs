//! Stores that stopped answering. Each request to one is retried for a long while; the first action that fails of it
//! has waited that out, and the others of the same run must not do so again, one after the other.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::runtime::Runtime;
use crate::domain::{Name, Outcome};
use crate::store::layout;

/// How long a probe may take: a store that lives answers sooner, whatever its retries.
const PROBE: Duration = Duration::from_secs(3);
/// How long a probe's answer holds.
const HOLDS: Duration = Duration::from_secs(30);
/// The code of a store that did not answer.
const NO_ANSWER: &str = "BK814";

/// Which stores do not answer.
#[derive(Default)]
pub(super) struct Health(Mutex<BTreeMap<Name, Sick>>);

struct Sick {
    why: String,
    /// When a probe last failed; absent where only an action did.
    failed: Option<Instant>,
}

impl Health {
    /// Notes how an action of a store ended.
    pub(super) fn note(&self, store: &Name, outcome: &Outcome) {
        let Outcome::Failed { code, error } = outcome else { return };
        if code == NO_ANSWER {
            let mut sick = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            sick.entry(store.clone()).or_insert_with(|| Sick { why: error.clone(), failed: None });
        }
    }

    /// Returns whether a probe has found the store gone a moment ago.
    pub(super) fn is_gone(&self, store: &Name) -> bool {
        let sick = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sick.get(store).and_then(|sick| sick.failed).is_some_and(|at| at.elapsed() < HOLDS)
    }

    /// Returns why an action of a store must not begin: an action before it found no answer, and neither did a probe.
    pub(super) async fn refusal(&self, runtime: &Runtime, store: &Name) -> Option<Outcome> {
        let why = {
            let sick = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            sick.get(store)?.why.clone()
        };
        if !self.is_gone(store) {
            // A store that could not be opened says so by itself.
            let handle = runtime.store(store).ok()?;
            let answer = tokio::time::timeout(PROBE, handle.store.head(layout::MARKER)).await;
            let mut sick = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(answer, Ok(Ok(_))) {
                sick.remove(store);
                return None;
            }
            sick.entry(store.clone())
                .and_modify(|sick| sick.failed = Some(Instant::now()))
                .or_insert_with(|| Sick { why: why.clone(), failed: Some(Instant::now()) });
        }
        let error = format!("not tried: store.{store} does not answer, as an action before found: {why}");
        Some(Outcome::Failed { code: NO_ANSWER.to_owned(), error })
    }
}

#[cfg(test)]
mod tests {
    use super::Health;
    use crate::domain::Outcome;

    #[test]
    fn only_a_store_that_did_not_answer_is_suspected() {
        let health = Health::default();
        let store = "primary".parse().unwrap();
        let failed = |code: &str| Outcome::Failed { code: code.to_owned(), error: "no".to_owned() };
        for outcome in [failed("BK812"), failed("BK840"), Outcome::NotReached] {
            health.note(&store, &outcome);
            assert!(health.0.lock().unwrap().is_empty(), "{outcome:?}");
        }
        health.note(&store, &failed("BK814"));
        assert!(health.0.lock().unwrap().contains_key(&store));
        assert!(!health.is_gone(&store), "a probe says so, not an action");
    }
}
