//! The erasure of a tenant: what would go, what would still hold its data, and what came of it. Data only.

use serde::{Deserialize, Serialize};

use super::{BackupId, Bytes, Digest, Instant, Name, Scope};

/// The version of the JSON forms, `major.minor`.
pub const ERASURE_FORMAT: &str = "1.0";

/// What an erasure would do. Its digest is what somebody consents to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// `1.0`.
    pub format_version: String,
    /// The tenant's database.
    pub database: Name,
    /// The tenant.
    pub slug: String,
    /// When it was offboarded, where that is recorded.
    pub offboarded_at: Option<Instant>,
    /// Every backup of it alone, tombstoned ones too, by id.
    pub backups: Vec<Condemned>,
    /// Where else it had backups since an erasure of it was last completed, whether they are deleted or were never finished:
    /// a store may keep old versions there.
    #[serde(default)]
    pub traces: Vec<Trace>,
    /// What holds its data beside that of others, and is not touched.
    pub holders: Vec<Holder>,
    /// Over tenant and backups.
    pub digest: Digest,
}

impl Erasure {
    /// Returns whether there is nothing of the tenant that could go.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.backups.is_empty() && self.traces.is_empty()
    }
}

/// A place in which a tenant had backups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trace {
    /// The store.
    pub store: Name,
    /// The database's name in the store's keys.
    pub filed_under: Name,
}

/// A backup that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// The backup.
    pub backup: BackupId,
    /// Its store.
    pub store: Name,
    /// The database's name in the store's keys.
    pub filed_under: Name,
    /// The instant its content is of.
    pub consistent_at: Instant,
    /// Its size.
    pub size: Bytes,
    /// Until when the store refuses to delete its data; its key is never locked.
    pub locked_until: Option<Instant>,
}

/// Backups that hold the data of more than this tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Of what.
    pub scope: Scope,
    /// Why they may hold it.
    pub words: String,
    /// They, oldest first.
    pub backups: Vec<HeldBackup>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBackup {
    /// The backup.
    pub backup: BackupId,
    /// Its store.
    pub store: Name,
    /// The instant its content is of.
    pub consistent_at: Instant,
    /// When it is released, where that can be said.
    pub released_at: Option<Instant>,
}

/// What came of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// What was consented to, and what still holds data.
    pub erasure: Erasure,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// The run.
    pub run: String,
    /// When it ended.
    pub at: Instant,
    /// Key objects that were destroyed.
    pub keys: u64,
    /// Other objects that were deleted.
    pub objects: u64,
    /// Backups whose data a store keeps on, and what that means.
    pub left: Vec<LeftOver>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Data that a store did not delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOver {
    /// Of which backup.
    pub backup: BackupId,
    /// In which store.
    pub store: Name,
    /// Whether nobody can read it: its key is destroyed.
    pub unreadable: bool,
    /// What the store said.
    pub why: String,
}

impl Erased {
    /// Returns whether nobody can read the tenant's own backups any more.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.left.iter().all(|left| left.unreadable)
    }
}
