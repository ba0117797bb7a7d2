//! One backup as the catalog knows it.

use serde::{Deserialize, Serialize};

use super::{AskedFor, BackupId, Bytes, Digest, Instant, Name, Scope};

/// What kind of backup, in the words of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the policy language")]
pub enum BackupType {
    FullSystem,
    Database,
    TenantData,
    Files,
    Configuration,
}

impl BackupType {
    /// Returns the word of the policy language: `tenant_data`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::FullSystem => "full_system",
            Self::Database => "database",
            Self::TenantData => "tenant_data",
            Self::Files => "files",
            Self::Configuration => "configuration",
        }
    }

    /// Returns the catalog's word: `TENANT_DATA`.
    #[must_use]
    pub fn sql(self) -> String {
        self.word().to_ascii_uppercase()
    }

    fn is_sql(self, text: &str) -> bool {
        let lower = |byte: u8| if byte.is_ascii_lowercase() { b'!' } else { byte.to_ascii_lowercase() };
        text.bytes().map(lower).eq(self.word().bytes())
    }

    /// Reads the catalog's word.
    #[must_use]
    pub fn from_sql(text: &str) -> Option<Self> {
        [Self::FullSystem, Self::Database, Self::TenantData, Self::Files, Self::Configuration]
            .into_iter()
            .find(|kind| kind.is_sql(text))
    }
}

/// How a backup is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// `pg_dump`, as a custom-format archive.
    Logical,
    /// A base backup over the replication protocol.
    Physical,
    /// A base backup against an earlier one.
    Incremental,
}

/// Why a backup was made, in the catalog's words AUTOMATED, MANUAL, SCHEDULED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words of the catalog")]
pub enum BackupMethod {
    Automated,
    Manual,
    Scheduled,
}

/// The state of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words of the catalog")]
pub enum BackupStatus {
    Pending,
    Running,
    Completed,
    Failed,
    Canceled,
}

/// How deeply a backup has been proven, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// Not at all.
    None,
    /// Its objects are there with the right sizes.
    Exists,
    /// Its ciphertext was read back and agreed.
    Checksum,
    /// A drill restored it.
    Restore,
}

/// A completed, not yet purged backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// Which database it is of; absent for files.
    pub database: Option<Name>,
    /// The database's name in the store's keys, where it was renamed since: keys are never rewritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed_under: Option<Name>,
    /// What of it.
    pub scope: Scope,
    /// What kind.
    pub backup_type: BackupType,
    /// The schedule that asked for it.
    pub schedule: Name,
    /// Its slot, as a UTC instant.
    pub slot: Instant,
    /// The store its objects lie in.
    pub store: Name,
    /// The instant its content is of: when the snapshot was exported.
    pub consistent_at: Instant,
    /// When its manifest was written.
    pub completed_at: Instant,
    /// Size in the store.
    pub size: Bytes,
    /// Size before compression.
    pub original_size: Bytes,
    /// How deeply it has been proven.
    pub verification: Verification,
    /// When it was last proven.
    pub verified_at: Option<Instant>,
    /// When a drill last restored it.
    pub drilled_at: Option<Instant>,
    /// Why it is quarantined, where it is.
    pub quarantine: Option<String>,
    /// When it was tombstoned; it is restorable until purged.
    pub tombstoned_at: Option<Instant>,
    /// Until when its tombstone promised that it can be brought back.
    #[serde(default)]
    pub purge_after: Option<Instant>,
    /// Whether its purge has begun: objects of it may be gone, and nothing brings it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purging: bool,
    /// How often it has been tombstoned or undeleted; the ordinal of the next mark.
    pub marks: u32,
    /// The shared archive it needs.
    pub shared: Option<BackupId>,
    /// The backup it builds on.
    pub parent: Option<BackupId>,
    /// The digest of its content as a whole, where it has one: backups of the configuration.
    #[serde(default)]
    pub content: Option<Digest>,
    /// Who asked for it, where somebody did. Boxed: a million backups have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_for: Option<Box<AskedFor>>,
    /// Whether it is pinned.
    pub protected: bool,
    /// Until when it is kept because somebody brought it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_until: Option<Instant>,
    /// Until when the store refuses to delete it.
    pub locked_until: Option<Instant>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

impl Backup {
    /// Returns the database's name in the store's keys.
    #[must_use]
    pub fn key_database(&self) -> Option<&Name> {
        self.filed_under.as_ref().or(self.database.as_ref())
    }
}
