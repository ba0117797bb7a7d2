//! The world as it was seen: catalog, stores, servers. What could not be read is [`Observation::Unreachable`], which
//! is never the same as empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Address, Backup, BackupId, Bytes, CanceledSlot, ConfigurationSeen, Digest, Instant, Name, Period, RemovedBackups,
    RetentionRule, Scope, Signs, Tenant, TenantRecord,
};

/// Something that was looked at, or the reason why it could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation<T> {
    /// What was seen.
    Known(T),
    /// Why nothing was seen, in words without secrets. It holds work back; it never deletes and never looks new.
    Unreachable(String),
}

impl<T> Observation<T> {
    /// Returns what was seen, if anything was.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unreachable(_) => None,
        }
    }

    /// Returns why nothing was seen, if nothing was.
    pub fn unreachable(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unreachable(reason) => Some(reason),
        }
    }
}

/// The world, each part by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What the catalog holds.
    pub catalog: Observation<CatalogState>,
    /// What each store of the policies holds.
    pub stores: BTreeMap<Name, Observation<StoreFacts>>,
    /// What each database of the policies says of itself.
    pub servers: BTreeMap<Name, Observation<ServerFacts>>,
    /// What each clock said, beside bkup's own at the same moment. A simulated catalog has none to compare with.
    pub clocks: Vec<Clock>,
    /// What was seen for drift alone.
    pub signs: Signs,
}

/// A clock that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Whose: `catalog`, `store primary`, `database app`.
    pub owner: String,
    /// How many seconds it is ahead of bkup's own; negative: behind.
    pub ahead_seconds: i64,
}

/// Whether there is a catalog, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogState {
    /// The database answers and has no `bkup` schema.
    Absent,
    /// It is there.
    Present(Box<CatalogFacts>),
}

/// What the catalog holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFacts {
    /// The version of its schema: the newest migration that was applied.
    pub version: i64,
    /// Its identity: random, made when it was.
    pub lineage: String,
    /// How many applies have changed something.
    pub serial: i64,
    /// Whether its clock is simulated; then the clock's last value.
    pub simulated: Option<Instant>,
    /// Every policy thing as applied, also archived ones.
    pub applied: BTreeMap<Address, Applied>,
    /// Every completed and not yet purged backup.
    pub backups: Vec<Backup>,
    /// Drill attempts: the newest of each plan.
    pub drills: BTreeMap<Name, DrillRecord>,
    /// How far each schedule has got with each database.
    pub progress: Vec<Progress>,
    /// Attempts whose data is in a store and whose manifest is not.
    pub garbage: Vec<Garbage>,
    /// Slots that somebody canceled: the newest one of each schedule and scope.
    pub canceled: Vec<CanceledSlot>,
    /// Backups (and what they need) that a restore or drill is reading now.
    pub leased: Vec<BackupId>,
    /// What each store was found to be: its id, as recorded.
    pub stores: BTreeMap<Name, String>,
    /// What becomes of the backups of things that left the policies, where they say it.
    pub removals: BTreeMap<Address, RemovedBackups>,
    /// Every tenant that was ever seen, by database and slug.
    pub tenants: Vec<TenantRecord>,
}

/// A policy thing as it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The document as applied.
    pub body: serde_json::Value,
    /// Its digest.
    pub digest: Digest,
    /// When it was first applied.
    pub since: Instant,
    /// When it left the policies; such a thing keeps its backups to their recorded retention.
    pub archived_at: Option<Instant>,
    /// The retention rule its backups are under; schedules only.
    pub retention: Option<RetentionRule>,
}

/// The newest attempt at drilling a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRecord {
    /// When it began.
    pub at: Instant,
    /// Whether it passed.
    pub passed: bool,
    /// The digest of the plan's document as drilled.
    pub plan_digest: Digest,
    /// How long the restore took.
    pub restore: Period,
    /// Age of the oldest restored backup.
    pub backup_age: Period,
    /// How many attempts there have been: the ordinal of the next one.
    pub attempts: u64,
}

/// How far a schedule has got with a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The schedule.
    pub schedule: Name,
    /// The database.
    pub database: Option<Name>,
    /// Slots up to and including this one are settled: done, or recorded as missed.
    pub settled: Instant,
}

/// An attempt that left data without a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garbage {
    /// In which store.
    pub store: Name,
    /// Of which backup.
    pub backup: BackupId,
    /// Of which database, by its name in the store's keys.
    pub database: Option<Name>,
    /// Of which scope.
    pub scope: Scope,
    /// Which attempt.
    pub attempt: u64,
    /// When its lease ended; younger ones may still be at work.
    pub abandoned_at: Instant,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreFacts {
    /// `bkup.json`, if it is there.
    pub marker: Option<StoreMarker>,
    /// How many manifests the listing showed.
    pub manifests: u64,
    /// Backups the catalog holds in this store whose manifest the listing did not show.
    pub missing: Vec<BackupId>,
    /// How many manifests the catalog does not know; some of their keys, for people.
    pub foreign: u64,
    /// The first few of those keys.
    pub foreign_examples: Vec<String>,
}

/// The content of `bkup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StoreMarker {
    /// Version of the layout, `1.0`.
    pub format_version: String,
    /// The store's identity: random, made when it was.
    pub store_id: String,
}

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `server_version_num`, such as 170011.
    pub version_num: u32,
    /// The database's own name.
    pub datname: String,
    /// Its size.
    pub size: Bytes,
    /// Its tenants, sorted by slug; absent where the policy names no way to find them, or they could not be read.
    pub tenants: Option<Vec<Tenant>>,
    /// Why they could not be read, although the rest could.
    pub tenants_unread: Option<String>,
    /// Its configuration.
    pub configuration: ConfigurationSeen,
}
