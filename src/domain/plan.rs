//! A plan: everything an apply will do, as a value that can be read, saved, digested and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{
    Action, ActionClass, Address, BackupId, Bytes, DatabaseSpec, Digest, DriftFinding, Instant, Moved, Name, Percent,
    Period, Scope, StoreSpec,
};

/// The version of the plan's form, `major.minor`.
pub const PLAN_FORMAT: &str = "1.0";

/// Everything an apply will do, and what is due and will not be done.
#[must_use = "a plan changes nothing until it is applied"]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this form.
    pub format_version: String,
    /// bkup's version.
    pub tool_version: String,
    /// The instant it was made for.
    pub as_of: Instant,
    /// Whether that instant is of a simulated clock.
    pub simulated: bool,
    /// The catalog's identity; absent where it is yet to be made.
    pub lineage: Option<String>,
    /// The catalog's serial it was made against.
    pub serial: i64,
    /// SHA-256 over the policy documents.
    pub policy_digest: Digest,
    /// Where everything is; secrets by the names of their variables.
    pub connections: Connections,
    /// The digest of each schedule's document, as applied once the plan is: deletions are done under it or not at all.
    pub rules: BTreeMap<Address, Digest>,
    /// What will be done, in order.
    pub actions: Vec<Action>,
    /// What is due and will not be done, with reasons.
    pub held: Vec<Held>,
    /// Why each backup that stays does: only where that was asked for, and under no digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptBackup>,
    /// How each scope stands against its objective.
    pub objectives: Vec<ObjectiveRow>,
    /// Differences between the world and the catalog that no action of bkup mends.
    pub findings: Vec<DriftFinding>,
    /// What looks like a rename that the policies do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Moved>,
    /// Guards that refuse it; an apply with any of them exits 4.
    pub refusals: Vec<GuardRefusal>,
    /// Consent to what a guard would have refused; absent where none was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// How it was narrowed; absent for a whole one.
    pub narrowing: Option<Narrowing>,
    /// SHA-256 over all of it but the digests.
    pub digest: Digest,
    /// SHA-256 over changes and the deletions they cause, without serial and instant.
    pub change_digest: Digest,
}

impl Plan {
    /// Counts the actions by class.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = |class| self.actions.iter().filter(|a| a.class == class).count();
        Counts {
            changes: of(ActionClass::Change),
            drift: of(ActionClass::Drift) + self.findings.iter().filter(|finding| finding.counts()).count(),
            due: of(ActionClass::Due),
            deletes: self.actions.iter().filter(|a| a.kind.deletes()).count(),
            held: self.held.len(),
        }
    }
}

/// Where the things are that a plan works with, so that a saved plan needs no policies beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Connections {
    /// The stores.
    pub stores: BTreeMap<Name, StoreSpec>,
    /// The databases.
    pub databases: BTreeMap<Name, DatabaseSpec>,
}

/// How many actions there are of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Policies differ from the catalog.
    pub changes: usize,
    /// The world differs from the catalog.
    pub drift: usize,
    /// Work that time has brought.
    pub due: usize,
    /// Tombstones and purges among all of them.
    pub deletes: usize,
    /// Due and not done.
    pub held: usize,
}

/// Something that is due and not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The policy thing it belongs to.
    pub address: Address,
    /// The database.
    pub database: Option<Name>,
    /// The scope; absent where it is the whole thing.
    pub scope: Option<Scope>,
    /// The kind of work.
    pub work: String,
    /// Why it waits.
    pub reason: HeldReason,
    /// The same in words.
    pub words: String,
}

/// Why due work waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldReason {
    /// The catalog could not be read.
    CatalogUnreachable,
    /// The store could not be read.
    StoreUnreachable,
    /// The database could not be read.
    DatabaseUnreachable,
    /// The server is not of a version bkup serves.
    UnsupportedServer,
    /// There is no backup to work with.
    NoEligibleBackup,
    /// The private key is not at hand.
    NoIdentity,
    /// A floor keeps it.
    Floor,
    /// It is quarantined.
    Quarantined,
    /// It is protected.
    Protected,
    /// The store's lock keeps it.
    Locked,
    /// Something reads it.
    Leased,
    /// A kept backup needs it.
    Needed,
    /// The plan's approval does not allow it.
    NotApproved,
    /// A guard refuses it.
    Guard,
    /// It waits for its grace period.
    Grace,
    /// This version of bkup does not do it yet.
    NotServed,
    /// The policies pause it.
    Suspended,
    /// Somebody canceled its slot.
    Canceled,
    /// The plan was narrowed.
    Narrowed,
    /// The catalog's rows were changed by hand.
    RowEdited,
}

impl HeldReason {
    /// Returns whether something could not even be looked at.
    #[must_use]
    pub const fn is_blind(self) -> bool {
        matches!(
            self,
            Self::CatalogUnreachable | Self::StoreUnreachable | Self::DatabaseUnreachable | Self::UnsupportedServer
        )
    }
}

/// A backup that stays, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBackup {
    /// The backup.
    pub backup: BackupId,
    /// Every rule, floor and dependency that keeps it, in words: `daily 2026-11-20`, `floor: newest verified`.
    pub reasons: Vec<String>,
    /// When time alone releases it, where that can be said.
    pub until: Option<Instant>,
}

/// How a scope stands against its objective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectiveRow {
    /// The database.
    pub database: Name,
    /// The scope: the database as a whole, or a tenant.
    pub scope: Scope,
    /// The tenant's class.
    pub class: Option<Name>,
    /// The newest eligible backup of the scope, by any schedule.
    pub newest: Option<BackupId>,
    /// Its consistency point.
    pub consistent_at: Option<Instant>,
    /// Its age.
    pub age: Option<Period>,
    /// What may be lost.
    pub rpo: Option<Period>,
    /// Whether the age is more than that, or there is none; absent without an objective.
    pub breached: Option<bool>,
    /// When the newest backup was last verified.
    pub verified_at: Option<Instant>,
    /// When a drill last restored a backup of the scope.
    pub drilled_at: Option<Instant>,
    /// How many restorable backups the scope has.
    pub backups: u64,
    /// Their bytes.
    pub bytes: Bytes,
}

/// A guard that refuses a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardRefusal {
    /// Which guard: `max_delete`, `empty_desired`, `clock`, `inventory`, `catalog_missing`.
    pub guard: String,
    /// What it saw, with the numbers.
    pub words: String,
    /// The policy key or the flag that would let it pass.
    pub help: String,
}

/// Consent to delete more than `guards.max_delete` allows, once: it holds for one change and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The share of a scope's or a store's backups that may go.
    pub share: Percent,
    /// The change digest it is given for, or its begin; absent: the plan that it is given with, which carries it.
    pub change: Option<String>,
}

impl Consent {
    /// How much of a digest names it.
    pub const SHORTEST: usize = 12;

    /// Returns whether it is given for this change.
    #[must_use]
    pub fn covers(&self, change: &Digest) -> bool {
        self.change.as_ref().is_none_or(|begin| change.to_string().starts_with(begin.as_str()))
    }
}

impl FromStr for Consent {
    type Err = String;
    /// Reads `60%` and `60%@3f2a91c07d44`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (share, change) = text.split_once('@').map_or((text, None), |(share, change)| (share, Some(change)));
        let share: Percent = share.trim().parse().map_err(|error| format!("{error}"))?;
        let change = change.map(|change| change.trim().to_ascii_lowercase());
        match change {
            Some(change)
                if !(Self::SHORTEST..=64).contains(&change.len()) || !change.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                Err(format!("{change:?} is not the begin of a change digest: 12 hexadecimal digits or more"))
            }
            change => Ok(Self { share, change }),
        }
    }
}

impl fmt::Display for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.share.fmt(f)?;
        self.change.as_ref().map_or(Ok(()), |change| write!(f, "@{change}"))
    }
}

/// How a plan was narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Narrowing {
    /// Only this kind of work: `changes`, `backups`, `verify`, `retention`, `drills`.
    pub only: Option<String>,
    /// Address globs that are in.
    pub target: BTreeSet<String>,
    /// Address globs that are out.
    pub exclude: BTreeSet<String>,
}
