//! What happens while an apply runs, as it happens: the lines of `apply --format json` and what progress is drawn from.

use serde::{Deserialize, Serialize};

use super::{Action, ActionId, ApplyReport, Bytes, Digest, Instant, Outcome, RunId};

/// The version of the events' form, `major.minor`.
pub const EVENT_FORMAT: &str = "1.0";

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began.
    Started {
        /// Version of this form.
        format_version: String,
        /// The run.
        run: RunId,
        /// The plan that is applied.
        plan_digest: Digest,
        /// When.
        at: Instant,
        /// How many actions there are.
        actions: u64,
        /// How many bytes they are expected to move, where that is known.
        bytes: Option<Bytes>,
    },
    /// An action began.
    ActionStarted {
        /// The action, as planned.
        action: Box<Action>,
    },
    /// An action has moved so many bytes since it began.
    Progress {
        /// The action.
        id: ActionId,
        /// Bytes since its begin, not since the last event.
        bytes: Bytes,
    },
    /// An action ended.
    ActionFinished {
        /// The action.
        id: ActionId,
        /// What became of it.
        outcome: Outcome,
        /// How long it took, in milliseconds.
        elapsed_ms: u64,
        /// How often it was tried again.
        retries: u32,
    },
    /// The run ended. Always the last event.
    Finished {
        /// All of it.
        report: Box<ApplyReport>,
    },
}
