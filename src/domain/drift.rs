//! Differences between the world and what bkup knows, that no action of bkup mends: each with its kind, how much it
//! matters, and what a person can do. Data only.

use serde::{Deserialize, Serialize};

use super::Address;
use crate::diag::{Code, Severity};

/// A difference between the world and the catalog or the policies that no action of bkup mends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftFinding {
    /// The policy thing it belongs to.
    pub address: Address,
    /// The kind of difference.
    pub kind: DriftKind,
    /// The code whose page explains it, `BK902`.
    pub code: String,
    /// How much it matters. Notes say what is not known, or what somebody lives with; they are never counted as drift.
    pub severity: DriftSeverity,
    /// What is different.
    pub words: String,
    /// What to do about it.
    pub help: String,
}

impl DriftFinding {
    /// Makes a finding of a kind, as severe as its kind usually is.
    #[must_use]
    pub fn new(address: Address, kind: DriftKind, words: impl Into<String>, help: impl Into<String>) -> Self {
        let (words, help, code) = (words.into(), help.into(), kind.code().to_string());
        Self { address, kind, code, severity: kind.severity(), words, help }
    }

    /// Changes how much it matters.
    #[must_use]
    pub fn as_severe_as(mut self, severity: DriftSeverity) -> Self {
        self.severity = severity;
        self
    }

    /// Returns whether it counts as drift: a note does not.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !matches!(self.severity, DriftSeverity::Note)
    }
}

/// How much a difference matters, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftSeverity {
    /// Backups are in danger, or open to others.
    Error,
    /// A promise is not kept, or something is protected by nobody.
    Warning,
    /// Something could not be seen, or somebody lives with it.
    Note,
}

impl From<DriftSeverity> for Severity {
    fn from(severity: DriftSeverity) -> Self {
        match severity {
            DriftSeverity::Error => Self::Error,
            DriftSeverity::Warning => Self::Warning,
            DriftSeverity::Note => Self::Note,
        }
    }
}

/// The codes of drift, one for each family, with their meaning. Comments in policies may ignore them.
pub const DRIFT_CODES: [(Code, &str); 5] = [
    (Code("BK900"), "the catalog was changed by hand"),
    (Code("BK901"), "a store's objects are not what the catalog recorded"),
    (Code("BK902"), "a bucket or folder is not set as backups need it"),
    (Code("BK903"), "a server is not set, or not followed, as its policy needs"),
    (Code("BK904"), "something on a protected server is in no policy"),
];

/// The kinds of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// A row that shows a policy thing was changed by hand.
    RowEdited,
    /// Rows were put into the catalog by hand.
    RowByHand,
    /// A recorded document does not agree with its own digest, and the policies do not have it any more.
    DocumentDamaged,
    /// A backup's row says something else than what was recorded when it was made.
    ExecutionEdited,
    /// The catalog's drift could not be read.
    CatalogUnread,
    /// Manifests lie in the store that the catalog does not know.
    ForeignManifest,
    /// Objects lie among the backups that belong to none.
    ForeignObject,
    /// An upload was begun and neither completed nor aborted, and is not of an attempt the catalog knows.
    UnfinishedUpload,
    /// Backups are in quarantine: out of everything that counts on backups.
    Quarantined,
    /// The store's objects or uploads could not be read.
    ObjectsUnread,
    /// The bucket's versioning is not as the policy asks.
    Versioning,
    /// The bucket cannot lock objects, and the policy asks for it.
    ObjectLock,
    /// The bucket's default encryption is not the one the policy asks for.
    Encryption,
    /// Others than the account can read or list the bucket.
    Public,
    /// Nothing keeps the bucket from being opened to everybody.
    PublicAccessBlock,
    /// A rule of the bucket deletes backups behind bkup's back.
    LifecycleDeletes,
    /// A rule of the bucket moves backups to where they cannot be read at once.
    LifecycleMoves,
    /// Everybody on the machine can write into the folder.
    Folder,
    /// A setting of the bucket or folder could not be read.
    SettingsUnread,
    /// A setting of the server is not as its policy needs.
    ServerSetting,
    /// A standby is promised, and none follows.
    StandbyMissing,
    /// A standby is further behind than was promised.
    StandbyBehind,
    /// A fact of the server could not be read.
    ServerUnread,
    /// Databases of a protected server are in no policy.
    DatabaseUncovered,
    /// Tenants that no class matches.
    TenantWithoutClass,
    /// Tenants that no schedule backs up.
    TenantWithoutSchedule,
}

impl DriftKind {
    /// Returns the word in JSON, rules and reports: `lifecycle_deletes`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RowEdited => "row_edited",
            Self::RowByHand => "row_by_hand",
            Self::DocumentDamaged => "document_damaged",
            Self::ExecutionEdited => "execution_edited",
            Self::CatalogUnread => "catalog_unread",
            Self::ForeignManifest => "foreign_manifest",
            Self::ForeignObject => "foreign_object",
            Self::UnfinishedUpload => "unfinished_upload",
            Self::Quarantined => "quarantined",
            Self::ObjectsUnread => "objects_unread",
            Self::Versioning => "versioning",
            Self::ObjectLock => "object_lock",
            Self::Encryption => "encryption",
            Self::Public => "public",
            Self::PublicAccessBlock => "public_access_block",
            Self::LifecycleDeletes => "lifecycle_deletes",
            Self::LifecycleMoves => "lifecycle_moves",
            Self::Folder => "folder",
            Self::SettingsUnread => "settings_unread",
            Self::ServerSetting => "server_setting",
            Self::StandbyMissing => "standby_missing",
            Self::StandbyBehind => "standby_behind",
            Self::ServerUnread => "server_unread",
            Self::DatabaseUncovered => "database_uncovered",
            Self::TenantWithoutClass => "tenant_without_class",
            Self::TenantWithoutSchedule => "tenant_without_schedule",
        }
    }

    /// Returns the code of its family.
    #[must_use]
    pub const fn code(self) -> Code {
        let family = match self {
            Self::RowEdited | Self::RowByHand | Self::DocumentDamaged | Self::ExecutionEdited | Self::CatalogUnread => {
                0
            }
            Self::ForeignManifest
            | Self::ForeignObject
            | Self::UnfinishedUpload
            | Self::Quarantined
            | Self::ObjectsUnread => 1,
            Self::Versioning
            | Self::ObjectLock
            | Self::Encryption
            | Self::Public
            | Self::PublicAccessBlock
            | Self::LifecycleDeletes
            | Self::LifecycleMoves
            | Self::Folder
            | Self::SettingsUnread => 2,
            Self::ServerSetting | Self::StandbyMissing | Self::StandbyBehind | Self::ServerUnread => 3,
            Self::DatabaseUncovered | Self::TenantWithoutClass | Self::TenantWithoutSchedule => 4,
        };
        DRIFT_CODES[family].0
    }

    /// Returns how much it usually matters.
    #[must_use]
    pub const fn severity(self) -> DriftSeverity {
        match self {
            Self::DocumentDamaged | Self::ExecutionEdited | Self::Public | Self::LifecycleDeletes => {
                DriftSeverity::Error
            }
            Self::CatalogUnread
            | Self::Quarantined
            | Self::ObjectsUnread
            | Self::SettingsUnread
            | Self::ServerUnread => DriftSeverity::Note,
            _ => DriftSeverity::Warning,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DRIFT_CODES, DriftKind};

    #[test]
    fn the_words_are_those_of_the_serialized_form() {
        for kind in [DriftKind::RowEdited, DriftKind::LifecycleDeletes, DriftKind::TenantWithoutSchedule] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert!(DRIFT_CODES.iter().any(|(code, _)| *code == kind.code()));
        }
    }
}
