//! What rebuilding a catalog found in the stores, before anybody approves it. Data only.

use serde::{Deserialize, Serialize};

use super::{Instant, Name};

/// The version of the JSON form, `major.minor`.
pub const REBUILT_FORMAT: &str = "1.1";

/// A catalog as it can be made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// Version of this form.
    pub format_version: String,
    /// Its identity.
    pub lineage: String,
    /// Its serial.
    pub serial: i64,
    /// When the state it goes on from was written; absent where no store holds one.
    pub state_at: Option<Instant>,
    /// Whether its clock is simulated.
    pub simulated: bool,
    /// The head of its audit chain as the store has it.
    pub audit_head: Option<String>,
    /// How many rows that chain had.
    pub audit_rows: u64,
    /// Each store, and what was found in it.
    pub stores: Vec<RebuiltStore>,
    /// Policy things as applied, archived ones too.
    pub documents: u64,
    /// Backups.
    pub backups: u64,
    /// Those of them that are tombstoned.
    pub tombstoned: u64,
    /// Those of them that are quarantined.
    pub quarantined: u64,
    /// Those of them that are pinned.
    pub protected: u64,
    /// Backups that are purged and whose slots stay done.
    pub purged: u64,
    /// Drill attempts.
    pub drills: u64,
    /// Plans that are not applied again.
    pub plans: u64,
    /// What dead attempts left in a store, to be collected.
    pub abandoned: u64,
    /// Databases whose digest key was found in a key object.
    pub digest_keys: u64,
    /// Databases whose digest key was not, for want of a private key: `primary/app`.
    pub without_digest_key: Vec<String>,
    /// Stores that were left out with consent.
    pub left_out: Vec<Name>,
    /// Objects that cannot be used and were left alone.
    pub unusable: Vec<Unusable>,
    /// Manifests that were written over, of which the oldest whole version is recorded.
    #[serde(default)]
    pub replaced: Vec<Replaced>,
    /// Stores that keep versions and do not show them: whether manifests were written over is not known.
    #[serde(default)]
    pub hidden: Vec<Name>,
}

/// One store of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuiltStore {
    /// Its name in the policies.
    pub store: Name,
    /// Its identity.
    pub store_id: String,
    /// How many manifests are taken from it.
    pub manifests: u64,
    /// How many of its manifests are copies of another store's.
    pub copies: u64,
}

/// A manifest that was written over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Replaced {
    /// In which store.
    pub store: Name,
    /// Its key.
    pub key: String,
}

/// An object that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    /// In which store.
    pub store: Name,
    /// Its key.
    pub key: String,
    /// Why not.
    pub why: String,
}

impl Rebuilt {
    /// Returns whether the rebuilt catalog knows everything that the stores hold.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unusable.is_empty() && self.left_out.is_empty()
    }
}
