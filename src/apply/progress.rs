//! What a run knows while it goes on: outcomes, claims, evidence, and what is yet to be written to the audit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::time::Instant as Monotonic;

use super::claims::{Claimed, Claims};
use super::ensure;
use super::health::Health;
use super::runtime::Runtime;
use super::stop::Halt;
use crate::catalog::AuditEvent;
use crate::domain::{
    Action, ActionId, ActionKind, ActionOutcome, Digest, Event, Evidence, Outcome, Plan, Precondition,
};
use crate::plan::ruled_by;

/// What a run knows while it goes on.
pub(super) struct Progress<'a> {
    pub runtime: &'a Runtime,
    pub plan: &'a Plan,
    /// Where each action stands in the plan: it is asked for each that waits, again and again.
    places: HashMap<ActionId, usize>,
    /// The catalog's identity.
    pub lineage: String,
    pub claims: Arc<Claims>,
    pub health: Arc<Health>,
    pub halt: Halt,
    pub outcomes: BTreeMap<ActionId, (Outcome, u64, u32)>,
    pub audit: Vec<AuditEvent>,
    pub evidence: Vec<Evidence>,
    /// Where the record of the run could not be written.
    pub unrecorded: Vec<String>,
    /// How many outcomes were no success.
    pub misses: usize,
}

/// Whether what waits for it may begin.
const fn is_success(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done { .. } | Outcome::AlreadyDone { .. })
}

/// An action whose work this run holds.
pub(super) struct Turn {
    pub claimed: Claimed,
    begun: Monotonic,
}

impl Turn {
    /// Begins now.
    pub fn new(claimed: Claimed) -> Self {
        Self { claimed, begun: Monotonic::now() }
    }
}

/// Whether an action may begin.
pub(super) enum Standing {
    /// It may.
    Ready,
    /// What it waits for is not settled yet.
    Waits,
    /// It never will in this run.
    Never(Outcome),
}

impl<'a> Progress<'a> {
    /// Begins, with nothing settled.
    pub fn new(runtime: &'a Runtime, halt: Halt, plan: &'a Plan, lineage: String) -> Self {
        Self {
            runtime,
            plan,
            places: plan.actions.iter().enumerate().map(|(place, action)| (action.id, place)).collect(),
            lineage,
            claims: Arc::new(Claims::new(runtime, halt.clone())),
            health: Arc::new(Health::default()),
            halt,
            outcomes: BTreeMap::new(),
            audit: Vec::new(),
            evidence: Vec::new(),
            unrecorded: Vec::new(),
            misses: 0,
        }
    }

    fn planned(&self, id: &ActionId) -> Option<&'a Action> {
        self.places.get(id).and_then(|place| self.plan.actions.get(*place))
    }

    /// Returns the actions whose kind fits and that are not settled, in the plan's order.
    pub fn actions(&self, wanted: impl Fn(&ActionKind) -> bool) -> Vec<Action> {
        self.plan.actions.iter().filter(|a| wanted(&a.kind) && !self.outcomes.contains_key(&a.id)).cloned().collect()
    }

    /// Returns whether an action may begin: what it waits for has succeeded.
    pub fn standing(&self, action: &Action) -> Standing {
        for id in &action.after {
            if self.succeeded(id) {
                continue;
            }
            if !self.outcomes.contains_key(id) && self.planned(id).is_some() {
                return Standing::Waits;
            }
            let what = self.planned(id).map_or_else(
                || id.digest().short(),
                |a| match &a.kind {
                    ActionKind::BackUp(work) => format!("backup {}", work.backup),
                    kind => format!("{} {}", a.address, kind.word()),
                },
            );
            return Standing::Never(Outcome::Skipped { reason: format!("what it waits for did not succeed: {what}") });
        }
        Standing::Ready
    }

    /// Returns whether an action may begin beside another one, which it may wait for.
    pub fn ready_beside(&self, action: &Action, lead: &ActionId) -> bool {
        action.after.iter().all(|id| id == lead || self.succeeded(id))
    }

    /// Returns why a deletion must not happen any more: the rule it was decided by is no longer the one in force, or the
    /// catalog cannot say. What became deletable since the plan is never deleted by it; what stopped being so neither.
    pub async fn rule_changed(&self, action: &Action) -> Option<Outcome> {
        let address = ruled_by(&self.plan.rules, &action.address);
        let planned = self.plan.rules.get(address)?;
        let there = match self.runtime.catalog.reader().applied_digest(address).await {
            Ok(there) => there,
            Err(error) => return Some(ensure::failed(&error)),
        };
        (there != Some(*planned))
            .then(|| Outcome::Skipped { reason: format!("{address} was changed since the plan was made; plan again") })
    }

    fn succeeded(&self, id: &ActionId) -> bool {
        self.outcomes.get(id).is_some_and(|(outcome, ..)| is_success(outcome))
    }

    /// Ends a turn: gives the work back, and settles it.
    pub async fn end_turn(&mut self, action: &Action, turn: Turn, outcome: Outcome) {
        self.claims.release(turn.claimed).await;
        self.settle(action.id, outcome, millis(turn.begun), 0).await;
    }

    /// Says that an action begins.
    pub fn begin(&self, action: &Action) {
        self.runtime.tell(Event::ActionStarted { action: Box::new(action.clone()) });
    }

    /// Records what became of an action, in the catalog too: a later run of the same plan goes on from there.
    pub async fn settle(&mut self, id: ActionId, outcome: Outcome, elapsed_ms: u64, retries: u32) {
        self.settle_all(vec![(id, outcome, elapsed_ms, retries)]).await;
    }

    /// Records what became of actions, as [`Progress::settle`].
    pub async fn settle_all(&mut self, ends: Vec<(ActionId, Outcome, u64, u32)>) {
        let mut rows = Vec::new();
        for (id, outcome, elapsed_ms, retries) in ends {
            self.runtime.tell(Event::ActionFinished { id, outcome: outcome.clone(), elapsed_ms, retries });
            rows.extend(self.planned(&id).map(|action| outcome_of(action, outcome.clone(), elapsed_ms, retries)));
            self.misses += usize::from(!is_success(&outcome));
            self.outcomes.insert(id, (outcome, elapsed_ms, retries));
        }
        if !rows.is_empty() {
            let at = (self.runtime.now)();
            // The report holds it all the same; a catalog that is gone is said there by the actions that need it.
            let _ = self.runtime.catalog.record_outcomes(&self.plan.digest, &rows, &self.runtime.run, at).await;
        }
    }

    /// Takes what an earlier run of the same plan did for done: the catalog knows it already.
    pub fn known(&mut self, id: ActionId, by: Option<String>) {
        let by = by.unwrap_or_else(|| "an earlier run".to_owned());
        let outcome = Outcome::AlreadyDone { summary: format!("done by run {by}") };
        self.runtime.tell(Event::ActionFinished { id, outcome: outcome.clone(), elapsed_ms: 0, retries: 0 });
        self.outcomes.insert(id, (outcome, 0, 0));
    }

    /// Adds an event to the audit chain, written with the next batch: for what no effect on the catalog goes with. Such an
    /// effect tells of itself, by a writer that is telling.
    pub fn note(&mut self, event: &str, subject: impl Into<String>, facts: serde_json::Value) {
        self.audit.push(self.runtime.event(event, subject, facts));
    }

    /// Writes the noted events to the chain.
    pub async fn flush_audit(&mut self) {
        if !self.audit.is_empty() && self.runtime.catalog.audit(&self.audit).await.is_ok() {
            self.audit.clear();
        }
    }
}

/// Puts an action and what became of it together.
pub(super) fn outcome_of(action: &Action, outcome: Outcome, elapsed_ms: u64, retries: u32) -> ActionOutcome {
    ActionOutcome { action: action.clone(), outcome, elapsed_ms, retries }
}

/// The milliseconds since an instant of the machine's monotonic clock.
pub(super) fn millis(since: Monotonic) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Returns the digest that an action's document must have before it; absent where the action asks for none.
pub(super) fn document_digest(action: &Action) -> Option<Option<Digest>> {
    action.preconditions.iter().find_map(|p| if let Precondition::DocumentDigest(d) = p { Some(*d) } else { None })
}
