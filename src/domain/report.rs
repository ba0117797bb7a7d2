//! What an apply did, action by action.

use serde::{Deserialize, Serialize};

use super::{Action, ActionId, Address, Digest, Evidence, Held, Instant, Plan, RunId};

/// The report of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyReport {
    /// Version of this form, `1.0`.
    pub format_version: String,
    /// The run.
    pub run: RunId,
    /// bkup's version.
    pub tool_version: String,
    /// The digest of the plan that was applied; absent where there was none yet.
    pub plan_digest: Option<Digest>,
    /// When it began.
    pub begin: Instant,
    /// When it ended.
    pub end: Instant,
    /// How long it took by the machine's own clock, in milliseconds.
    pub elapsed_ms: u64,
    /// The catalog's serial afterwards.
    pub serial: i64,
    /// Each action and what became of it, in the plan's order.
    pub actions: Vec<ActionOutcome>,
    /// What was due and not done.
    pub held: Vec<Held>,
    /// The evidence of the drills that ran.
    pub evidence: Vec<Evidence>,
    /// The head of the audit chain.
    pub audit_head: Option<String>,
    /// Why the run ended before its end; absent where it did not.
    pub interrupted: Option<String>,
    /// Why the run did not begin, or broke off: a refusal, a stale plan, a fault of bkup's own.
    #[serde(default)]
    pub failure: Option<RunFailure>,
    /// The run that had finished the plan before; this one did nothing then.
    #[serde(default)]
    pub finished_before: Option<FinishedBefore>,
    /// What has become due or deletable since the plan was made: it is not in the plan, and was left alone.
    #[serde(default)]
    pub since: Vec<Since>,
    /// Why not all of that is known; absent where it is.
    #[serde(default)]
    pub since_unknown: Option<String>,
    /// Where the record of the run could not be written, and why.
    #[serde(default)]
    pub unrecorded: Vec<String>,
}

impl ApplyReport {
    /// Makes the report of a run that did not begin.
    #[must_use]
    pub fn not_begun(run: RunId, tool_version: &str, plan: Option<&Plan>, at: Instant, failure: RunFailure) -> Self {
        let not_reached = |action: &Action| ActionOutcome {
            action: action.clone(),
            outcome: Outcome::NotReached,
            elapsed_ms: 0,
            retries: 0,
        };
        Self {
            format_version: "1.0".to_owned(),
            run,
            tool_version: tool_version.to_owned(),
            plan_digest: plan.map(|plan| plan.digest),
            begin: at,
            end: at,
            elapsed_ms: 0,
            serial: plan.map_or(0, |plan| plan.serial),
            actions: plan.iter().flat_map(|plan| &plan.actions).map(not_reached).collect(),
            held: plan.map(|plan| plan.held.clone()).unwrap_or_default(),
            evidence: Vec::new(),
            audit_head: None,
            interrupted: None,
            failure: Some(failure),
            finished_before: None,
            since: Vec::new(),
            since_unknown: None,
            unrecorded: Vec::new(),
        }
    }
}

/// Why a run did not begin, or broke off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// The stable code.
    pub code: String,
    /// The reason, without secrets.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl RunFailure {
    /// The code of a fault of bkup's own. It can come at any time, and what was at work then has no outcome.
    pub const FAULT: &str = "BK913";
}

/// The run that finished a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedBefore {
    /// The run that did the last of it.
    pub run: String,
    /// When.
    pub at: Instant,
}

/// Work that came after the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// The policy thing that asks for it.
    pub address: Address,
    /// The kind of work: `back_up`, `tombstone`.
    pub work: String,
    /// Whether it deletes.
    pub deletes: bool,
    /// What it is, in words.
    pub words: String,
}

/// What came after the plan was made, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CameSince {
    /// The work.
    pub work: Vec<Since>,
    /// Why not all of it is known; absent where it is.
    pub unknown: Option<String>,
}

impl CameSince {
    /// Makes what nothing is known of, with the reason.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { unknown: Some(why.into()), ..Self::default() }
    }
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionOutcome {
    /// The action.
    pub action: Action,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// How often it was tried again.
    pub retries: u32,
}

impl ActionOutcome {
    /// Returns the action's id.
    #[must_use]
    pub const fn id(&self) -> ActionId {
        self.action.id
    }
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done; what was seen, in words.
    Done {
        /// In words: `12.5 MiB in 0.8 s`.
        summary: String,
    },
    /// Already so: nothing was done.
    AlreadyDone {
        /// Why nothing was to be done.
        summary: String,
    },
    /// Not done, on purpose.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Someone else holds it.
    Claimed {
        /// Who.
        by: String,
    },
    /// Tried and failed.
    Failed {
        /// The error's stable code, `BK...`.
        code: String,
        /// The error in words, without secrets.
        error: String,
    },
    /// A drill ran and its plan did not hold.
    Violated {
        /// What did not hold.
        reason: String,
    },
    /// Not reached: the run ended before.
    NotReached,
}
