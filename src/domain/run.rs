//! Runs as the catalog remembers them, for people who ask what happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ActionOutcome, ApplyReport, Bytes, Digest, Instant, Name};

/// The version of the form of `logs --format json`, `major.minor`.
pub const LOGS_FORMAT: &str = "1.0";

/// One run, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: String,
    /// The plan it applied.
    pub plan_digest: Digest,
    /// Who ran it: host and process.
    pub runner: String,
    /// Who asked for it.
    pub actor: String,
    /// When it began.
    pub begin: Instant,
    /// When it ended; absent while it works, and where it died.
    pub end: Option<Instant>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: Option<u64>,
    /// How it stands.
    pub state: RunState,
    /// How many actions came to which end: `done`, `failed`.
    pub counts: BTreeMap<String, u64>,
    /// Who canceled it, and why; absent where nobody did.
    pub canceled: Option<String>,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It has ended and left its report.
    Ended,
    /// It gave a sign of life within the last minute.
    Working,
    /// It left no report and gives no sign of life.
    Dead,
}

/// A run with everything it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLog {
    /// The run; absent where only its report in a store is known.
    pub run: Option<RunSummary>,
    /// Its report; absent where it left none.
    pub report: Option<Box<ApplyReport>>,
    /// What is known of its actions without a report.
    pub actions: Vec<ActionOutcome>,
    /// What it was at when it was last heard of.
    pub attempts: Vec<AttemptLog>,
}

/// What happened to one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupLog {
    /// The backup.
    pub backup: String,
    /// Every attempt at it, the first one first.
    pub attempts: Vec<AttemptLog>,
    /// Everything the audit has on it, the oldest first.
    pub events: Vec<LoggedEvent>,
}

/// One attempt at a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLog {
    /// The execution's own id, which `cancel` takes.
    pub execution: String,
    /// The backup.
    pub backup: String,
    /// Which attempt.
    pub attempt: u64,
    /// The catalog's word: `RUNNING`, `COMPLETED`, `FAILED`, `CANCELED`.
    pub status: String,
    /// The schedule.
    pub schedule: Option<Name>,
    /// The database.
    pub database: Option<Name>,
    /// The scope.
    pub scope: Option<String>,
    /// The slot.
    pub slot: Option<Instant>,
    /// The run.
    pub run: Option<String>,
    /// Who worked at it.
    pub runner: Option<String>,
    /// When it began.
    pub begin: Option<Instant>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: Option<u64>,
    /// Its size in the store.
    pub size: Option<Bytes>,
    /// Why it failed, or who canceled it.
    pub error: Option<String>,
}

/// Something the audit chain holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// When.
    pub at: Instant,
    /// Who.
    pub actor: String,
    /// In which run.
    pub run: Option<String>,
    /// What.
    pub event: String,
    /// Anything else that was worth keeping.
    pub facts: serde_json::Value,
}

/// What an id, or the begin of one, stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// A run.
    Run(String),
    /// A backup, with all attempts at it.
    Backup(String),
    /// One attempt, by the id of its execution.
    Execution(String),
}

impl Meant {
    /// Returns the whole id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Run(id) | Self::Backup(id) | Self::Execution(id) => id,
        }
    }
}

/// A slot that somebody canceled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanceledSlot {
    /// The schedule.
    pub schedule: Name,
    /// The database.
    pub database: Option<Name>,
    /// The scope.
    pub scope: super::Scope,
    /// The slot.
    pub slot: Instant,
    /// When it was canceled.
    pub at: Instant,
    /// By whom, and why: `canceled by ann: migration`.
    pub words: String,
}
