//! What keeps a backup, and what will release it: for `bkup explain` and `bkup orphans`. Data only.

use serde::Serialize;

use super::{Address, Backup, Instant, RemovedBackups, Scope};
use super::{BackupId, Bytes, Name};

/// Where a backup stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LifeState {
    /// Something keeps it.
    Kept,
    /// The next apply tombstones it.
    Released,
    /// It can be brought back.
    Tombstoned,
    /// Its grace is over: the next apply purges it.
    PurgeDue,
    /// It failed a check: people decide.
    Quarantined,
}

/// A backup with everything that decides over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupLife {
    /// The backup.
    pub backup: Backup,
    /// Where it stands.
    pub state: LifeState,
    /// The rule it is under, in words; absent where none is recorded.
    pub rule: Option<String>,
    /// Every reason for which it is kept.
    pub reasons: Vec<String>,
    /// What happens to it next, in words.
    pub next: Vec<String>,
    /// When that is, where it can be said.
    pub next_at: Option<Instant>,
}

/// Backups of something that is gone from the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrphanGroup {
    /// What is gone; of a tenant that is gone, its database.
    pub address: Address,
    /// The tenant that is gone, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When it left the policies, or was offboarded, where the catalog knows.
    pub archived_at: Option<Instant>,
    /// What the policies say becomes of them.
    pub fate: Option<RemovedBackups>,
    /// The recorded rule, in words.
    pub rule: Option<String>,
    /// They, newest first.
    pub backups: Vec<Orphan>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// The backup.
    pub id: BackupId,
    /// Its database.
    pub database: Option<Name>,
    /// Its scope.
    pub scope: Scope,
    /// Its store.
    pub store: Name,
    /// The instant its content is of.
    pub consistent_at: Instant,
    /// Its size.
    pub size: Bytes,
    /// Where it stands.
    pub state: LifeState,
    /// What keeps it.
    pub reasons: Vec<String>,
    /// When time alone releases it, or it may be purged; absent where neither can be said.
    pub until: Option<Instant>,
}
