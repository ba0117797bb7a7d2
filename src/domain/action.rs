//! What a plan does, one action at a time. Everything an action needs is in it: the executor makes no choices.

use serde::{Deserialize, Serialize};

use super::{
    ActionId, Address, AskedFor, BackupId, BackupMethod, BackupType, Between, Bytes, Check, Compression, Digest,
    Engine, FoundBackup, Instant, Name, Period, RemovedBackups, RetentionRule, Scope, SourceLocation, Tenant,
    TenantWork,
};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Its identity, the same in every plan.
    pub id: ActionId,
    /// The policy thing that asks for it.
    pub address: Address,
    /// Which class it counts in.
    pub class: ActionClass,
    /// What is done.
    pub kind: ActionKind,
    /// Why.
    pub reason: Reason,
    /// What must still hold just before.
    pub preconditions: Vec<Precondition>,
    /// Actions that must have succeeded before.
    pub after: Vec<ActionId>,
    /// How many bytes it deletes, or is expected to write, where that is known.
    pub bytes: Option<Bytes>,
}

/// Which class an action counts in; they are counted apart because something is always due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionClass {
    /// The policies differ from the catalog.
    Change,
    /// The world differs from the catalog.
    Drift,
    /// Time has brought it.
    Due,
}

/// The phases of an apply, in order. Deletions are last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are their own explanation")]
pub enum Phase {
    Ensure,
    BackUp,
    Verify,
    Drill,
    Tombstone,
    Purge,
}

/// What is done. Everything it needs is in here: the executor makes no choices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "most actions of a plan are backups; a box for each would cost more")]
pub enum ActionKind {
    /// Makes the catalog, or migrates it.
    EnsureCatalog {
        /// Its version now; absent where there is none.
        from_version: Option<i64>,
        /// Its version afterwards.
        to_version: i64,
        /// Whether it is made with a simulated clock.
        simulated: bool,
    },
    /// Writes the store's marker and learns what the store can do.
    EnsureStore {
        /// The store.
        store: Name,
        /// Its place, without secrets.
        url: String,
    },
    /// Records a policy thing as applied.
    ApplyDocument {
        /// What happens to it.
        op: DocumentOp,
        /// The document before; absent where it is new.
        before: Option<serde_json::Value>,
        /// The document afterwards; absent where it is archived.
        after: Option<serde_json::Value>,
        /// Where it stands; absent where it is archived.
        location: Option<SourceLocation>,
    },
    /// Carries history, backups, progress, drills and retention from one address to another.
    Move {
        /// The address before.
        from: Address,
        /// How many backups go along.
        backups: u64,
    },
    /// Records what becomes of the backups of something that left the policies.
    Release {
        /// What was recorded before; absent where nothing was, and its rule decides.
        before: Option<RemovedBackups>,
        /// What becomes of them.
        after: RemovedBackups,
        /// How many backups that is about.
        backups: u64,
    },
    /// Records that a tenant is gone: from then on its backups are kept by the clock of its offboarding.
    Offboard(TenantWork),
    /// Records that a tenant which was taken for gone is there: its clock stops.
    Onboard(TenantWork),
    /// Takes a backup.
    BackUp(BackupWork),
    /// Records slots that nobody ran in time, once.
    RecordMissed {
        /// The schedule.
        schedule: Name,
        /// The database.
        database: Option<Name>,
        /// The slots, oldest first.
        slots: Vec<Instant>,
        /// How many scopes each of them would have covered.
        scopes: u64,
    },
    /// Restores and checks.
    Drill(DrillWork),
    /// Takes a backup out of `latest`; it stays restorable.
    Tombstone(PruneWork),
    /// Deletes a tombstoned backup: its manifest, its data, its keys.
    Purge(PruneWork),
    /// Takes a backup whose objects are gone or changed out of everything that counts on it.
    Quarantine {
        /// The backup.
        backup: BackupId,
        /// In which store.
        store: Name,
        /// What is wrong with it.
        words: String,
    },
    /// Ends uploads that nobody will complete, and frees their parts.
    AbortUploads {
        /// In which store.
        store: Name,
        /// The uploads.
        uploads: Vec<StaleUpload>,
    },
    /// Deletes what an attempt without manifest left.
    CollectGarbage {
        /// In which store.
        store: Name,
        /// Of which database, by its name in the store's keys.
        database: Option<Name>,
        /// Of which scope.
        scope: Scope,
        /// Of which backup.
        backup: BackupId,
        /// Which attempt.
        attempt: u64,
    },
}

impl ActionKind {
    /// Returns the phase it belongs to.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::EnsureCatalog { .. }
            | Self::EnsureStore { .. }
            | Self::ApplyDocument { .. }
            | Self::Move { .. }
            | Self::Release { .. }
            | Self::Offboard(_)
            | Self::Onboard(_)
            | Self::RecordMissed { .. } => Phase::Ensure,
            Self::BackUp(_) => Phase::BackUp,
            Self::Quarantine { .. } => Phase::Verify,
            Self::Drill(_) => Phase::Drill,
            Self::Tombstone(_) => Phase::Tombstone,
            Self::Purge(_) | Self::AbortUploads { .. } | Self::CollectGarbage { .. } => Phase::Purge,
        }
    }

    /// Returns the word in ids, plans and reports: `back_up`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::EnsureCatalog { .. } => "ensure_catalog",
            Self::EnsureStore { .. } => "ensure_store",
            Self::ApplyDocument { .. } => "apply_document",
            Self::Move { .. } => "move",
            Self::Release { .. } => "release",
            Self::Offboard(_) => "offboard",
            Self::Onboard(_) => "onboard",
            Self::BackUp(_) => "back_up",
            Self::RecordMissed { .. } => "record_missed",
            Self::Drill(_) => "drill",
            Self::Tombstone(_) => "tombstone",
            Self::Purge(_) => "purge",
            Self::Quarantine { .. } => "quarantine",
            Self::AbortUploads { .. } => "abort_uploads",
            Self::CollectGarbage { .. } => "collect_garbage",
        }
    }

    /// Returns whether it takes a backup away from people.
    #[must_use]
    pub const fn deletes(&self) -> bool {
        matches!(self, Self::Tombstone(_) | Self::Purge(_))
    }
}

/// What happens to a policy thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentOp {
    /// It is new.
    Create,
    /// It differs.
    Update,
    /// It left the policies. Its backups stay, to their recorded retention.
    Archive,
    /// It came back after it had been archived.
    Revive,
    /// What people changed in its record or its row is written again as it was applied.
    Restore,
}

/// An upload that nobody will complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleUpload {
    /// The key it is for.
    pub key: String,
    /// The store's name for it.
    pub upload: String,
}

/// A backup to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupWork {
    /// The schedule.
    pub schedule: Name,
    /// The database; absent for files.
    pub database: Option<Name>,
    /// The scope.
    pub scope: Scope,
    /// The tenant, where the scope is one: its schema as seen when the plan was made.
    pub tenant: Option<Tenant>,
    /// The slot.
    pub slot: Instant,
    /// The last instant at which it is still taken; absent where a scope has no backup yet.
    pub start_before: Option<Instant>,
    /// The backup's id.
    pub backup: BackupId,
    /// What kind.
    pub backup_type: BackupType,
    /// How.
    pub engine: Engine,
    /// Why, in the catalog's word.
    pub method: BackupMethod,
    /// Where to.
    pub store: Name,
    /// The shared archive it names.
    pub shared: Option<BackupId>,
    /// For the shared archive itself: the schemas it leaves out, because they are tenants'.
    pub leave_out: Vec<String>,
    /// The tenant's class priority: lower goes first.
    pub priority: u32,
    /// How it is compressed.
    pub compression: Compression,
    /// The retention rule it is made under.
    pub retention: RetentionRule,
    /// How many backups of its schedule are made at once.
    pub parallel: u32,
    /// Whether the policies protect what it belongs to; its manifest says so, for a catalog that is ever rebuilt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
    /// For a backup of the configuration: what the plan saw of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigurationWork>,
    /// Who asked for it, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_for: Option<AskedFor>,
    /// For a backup of tables: globs over `schema.table`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Whether the rows of these tables are written as CSV files, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub csv: bool,
    /// How many programs read a whole database at once; absent: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// For a backup of files: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesWork>,
    /// For a backup that is taken over from elsewhere: what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Box<FoundBackup>>,
}

/// What a plan knows of a configuration that is to be backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationWork {
    /// Its digest as the plan saw it; absent where it could not be read, or nobody asked.
    pub digest: Option<Digest>,
    /// Whether the passwords of roles go in.
    pub passwords: bool,
}

/// Which files of the machine that runs the work are to be backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesWork {
    /// Globs over absolute paths.
    pub paths: Vec<String>,
    /// Globs over what is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// A drill to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillWork {
    /// The recovery plan.
    pub plan: Name,
    /// The digest of its document.
    pub plan_digest: Digest,
    /// The drill's id.
    pub drill: String,
    /// The backups it restores, in order: shared archives before what needs them. Some may be made by this plan.
    pub backups: Vec<DrillBackup>,
    /// The ordinal of this attempt, from 0.
    pub attempt: u64,
    /// What must hold afterwards.
    pub checks: Vec<Check>,
    /// The plan's recovery point objective.
    pub rpo: Option<Period>,
    /// The plan's recovery time objective.
    pub rto: Option<Period>,
}

/// One backup of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillBackup {
    /// The backup.
    pub backup: BackupId,
    /// Its database; absent for files.
    pub database: Option<Name>,
    /// The database's name in the store's keys, where it was renamed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed_under: Option<Name>,
    /// Its scope.
    pub scope: Scope,
    /// Its store.
    pub store: Name,
}

impl DrillBackup {
    /// Returns the database's name in the store's keys.
    #[must_use]
    pub fn key_database(&self) -> Option<&Name> {
        self.filed_under.as_ref().or(self.database.as_ref())
    }
}

/// A backup to tombstone or purge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneWork {
    /// The backup.
    pub backup: BackupId,
    /// Its database.
    pub database: Option<Name>,
    /// The database's name in the store's keys, where it was renamed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed_under: Option<Name>,
    /// Its scope.
    pub scope: Scope,
    /// Its store.
    pub store: Name,
    /// The instant its content is of.
    pub consistent_at: Instant,
    /// The ordinal of the mark that is written.
    pub mark: u32,
    /// Whether a change of the policies causes it, and not time.
    pub caused_by_change: bool,
    /// For a tombstone: from when on it may be purged.
    pub purge_after: Option<Instant>,
    /// For a tombstone: how many other restorable backups its scope must have, the newest verified and the newest
    /// drilled one among them; 0 for what has no floors, as shared archives.
    pub min_keep: u32,
    /// Whether backups of other schedules count for that: those of its own schedule are given up together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_schedule: bool,
    /// For a tombstone that counts on backups of this plan: of when the newest of its schedule and scope must be.
    #[serde(default, skip_serializing_if = "Between::is_all")]
    pub newest: Between,
}

impl PruneWork {
    /// Returns the database's name in the store's keys.
    #[must_use]
    pub fn key_database(&self) -> Option<&Name> {
        self.filed_under.as_ref().or(self.database.as_ref())
    }
}

/// Why an action is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The kind of reason.
    pub code: ReasonCode,
    /// The reason in words.
    pub words: String,
    /// The policy line behind it, where there is one.
    pub location: Option<SourceLocation>,
}

/// The kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// There is none yet.
    Missing,
    /// The policy differs from what was applied.
    PolicyChanged,
    /// The policy is gone.
    PolicyRemoved,
    /// The policies give it another name.
    Renamed,
    /// Discovery no longer shows the tenant.
    TenantGone,
    /// Discovery shows a tenant again that was taken for gone.
    TenantBack,
    /// The slot has come.
    SlotDue,
    /// The scope has no backup yet.
    FirstBackup,
    /// The configuration differs from that of the newest backup.
    ConfigurationChanged,
    /// A tenant backup of this plan needs it.
    NeededBy,
    /// Nobody ran it in time.
    SlotMissed,
    /// The drill's time has come.
    DrillDue,
    /// No rule keeps it any longer.
    RetentionOver,
    /// It is older than `max_age` allows.
    TooOld,
    /// Its grace period is over.
    GraceOver,
    /// An attempt left it behind.
    Abandoned,
    /// Somebody asked for it.
    Requested,
    /// The store does not hold what the catalog says it does.
    ObjectMissing,
    /// An object is not as it was recorded.
    ObjectChanged,
    /// A look at its content failed.
    VerificationFailed,
    /// A row of the catalog was changed by hand.
    RowEdited,
}

/// What must still hold just before an action. A failed one stops the action, never the facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precondition {
    /// The catalog has this identity.
    Lineage(String),
    /// Something is recorded under this address; it has not been renamed yet.
    HistoryAt(Address),
    /// The document as applied has this digest; absent: there is none.
    DocumentDigest(Option<Digest>),
    /// No completed backup holds the slot.
    SlotFree,
    /// The backup is completed and not tombstoned, quarantined, leased or protected.
    Prunable,
    /// The backup has been tombstoned, not undeleted, and its grace period is over.
    Purgeable,
    /// The plan's drill has had just so many attempts.
    DrillAttempts(u64),
}
