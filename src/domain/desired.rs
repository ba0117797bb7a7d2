//! What the policies ask for, after every reference is resolved and every default filled in. It holds no secrets: a
//! value from the environment stays the name of its variable.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Address, AlertsSpec, BackupType, ChannelSpec, Digest, Engine, EnvText, Instant, Moved, Name, Percent, Period,
    RecoveryPlanSpec, Removed, RetentionRule, StoreSpec, Suspension, Tenant, When,
};

/// Everything the policies ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// Where backups go.
    pub stores: BTreeMap<Name, StoreSpec>,
    /// What is protected.
    pub databases: BTreeMap<Name, DatabaseSpec>,
    /// Tenant priority classes.
    pub classes: BTreeMap<Name, ClassSpec>,
    /// Named retention rules.
    pub retentions: BTreeMap<Name, RetentionRule>,
    /// What runs when.
    pub schedules: BTreeMap<Name, ScheduleSpec>,
    /// How to come back, and how that is proven.
    pub recovery_plans: BTreeMap<Name, RecoveryPlanSpec>,
    /// Where messages go.
    pub channels: BTreeMap<Name, ChannelSpec>,
    /// What is worth a message, and who gets it.
    pub alerts: Option<AlertsSpec>,
    /// The limits of a single apply.
    pub guards: Guards,
    /// What was renamed.
    pub moved: Vec<Moved>,
    /// What left the policies, and what becomes of its backups.
    pub removed: Vec<Removed>,
    /// What is paused, and until when.
    pub suspended: BTreeMap<Address, Suspension>,
    /// What nothing of is deleted.
    pub protected: BTreeSet<Address>,
    /// The drift that comments of the policies live with: the thing and the code, `BK904`.
    pub tolerated: BTreeSet<(Address, String)>,
    /// Each thing as it is recorded in the catalog, by address.
    pub documents: BTreeMap<Address, Document>,
    /// The tenants of each database that has any, with their classes; from the live server.
    pub tenants: BTreeMap<Name, ResolvedTenants>,
}

/// One policy thing as recorded: canonical JSON with defaults filled in, variables by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The thing.
    pub body: serde_json::Value,
    /// SHA-256 of the canonical body.
    pub digest: Digest,
    /// Where it stands.
    pub location: SourceLocation,
}

/// A place in a policy file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceLocation {
    /// The file, relative to the policies' root.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// The tenants of a database, or why they are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedTenants {
    /// The tenants with their class, sorted by slug; a tenant that no class matches has none.
    Known(Vec<(Tenant, Option<Name>)>),
    /// They could not be read; the reason.
    Unknown(String),
}

/// What is protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSpec {
    /// The connection string.
    pub url: EnvText,
    /// The objectives of the database as a whole.
    pub objectives: Option<Objectives>,
    /// How its tenants are found; absent: it has none.
    pub tenants: Option<TenantSelector>,
    /// How its WAL is archived; absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal: Option<WalSpec>,
    /// Tables, as globs over `schema.table`, that are in no backup on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmanaged: Vec<String>,
    /// Whether bkup may change the server's settings to what the policies need.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manage_settings: bool,
}

/// How a cluster's WAL is archived, so that any instant of a window can be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalSpec {
    /// Where to.
    pub store: Name,
    /// How long a segment may stay unfinished before the server switches.
    pub archive_timeout: Period,
    /// How long archiving a finished segment may take.
    pub max_lag: Period,
    /// How far back every instant can be restored.
    pub window: Period,
}

impl WalSpec {
    /// The default of `archive_timeout`.
    pub const ARCHIVE_TIMEOUT: Period = Period::seconds(60);
    /// The default of `max_lag`.
    pub const MAX_LAG: Period = Period::minutes(2);
    /// The default of `window`.
    pub const WINDOW: Period = Period::days(7);
}

/// How tenants are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantSelector {
    /// A glob over schema names with one `*`, which matches the slug: `tenant_*`.
    Schemas(String),
    /// A query with the columns `slug`, `schema_name` and, if there is one, `id`.
    Query(String),
}

/// What may be lost and how long coming back may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objectives {
    /// Recovery point objective.
    pub rpo: Option<Period>,
    /// Recovery time objective.
    pub rto: Option<Period>,
    /// How it is meant to be met.
    pub method: Method,
}

/// How an objective is meant to be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the field")]
pub enum Method {
    HotStandby,
    WarmStandby,
    #[default]
    ColdBackup,
}

/// A tenant priority class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassSpec {
    /// Globs over slugs.
    pub tenants: Vec<String>,
    /// The lowest number that matches wins.
    pub priority: u32,
    /// What its tenants are promised.
    pub objectives: Objectives,
}

/// What runs when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// Which databases.
    pub databases: Vec<Name>,
    /// What kind of backup.
    pub backup: BackupType,
    /// How it is made.
    pub engine: Engine,
    /// Which tenants, for `tenant_data`.
    pub tenants: TenantFilter,
    /// Which tables, for a backup of tables; empty: all.
    pub tables: Vec<String>,
    /// When.
    pub when: When,
    /// How late a missed slot is still run.
    pub start_within: Period,
    /// The retention rule, resolved.
    pub retention: RetentionRule,
    /// The rule's name; absent for an inline one.
    pub retention_name: Option<Name>,
    /// Where to.
    pub store: Name,
    /// How it is compressed.
    pub compression: Compression,
    /// How many programs run at once.
    pub max_parallel_jobs: u32,
    /// For an incremental backup: the schedule whose backups it builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Name>,
    /// For an incremental backup: after how many a new base is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_chain: Option<u32>,
    /// For a backup of the configuration: whether the passwords of roles go in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passwords: bool,
    /// For a backup of files: globs over absolute paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// For a backup of files: globs over what is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Who hears of its runs; absent: failures go where critical alerts go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<NotifySpec>,
}

impl ScheduleSpec {
    /// How many incremental backups stand on one base where the policy does not say.
    pub const MAX_CHAIN: u32 = 24;

    /// Returns what of this schedule this version of bkup does not do, in words; absent where it does all of it.
    #[must_use]
    pub fn not_served(&self) -> Option<&'static str> {
        match (self.backup, self.engine) {
            (BackupType::FullSystem, _) => Some("backups of a whole cluster are not made by this version of bkup yet"),
            (BackupType::Files | BackupType::Configuration, _) => None,
            (_, Engine::Physical | Engine::Incremental) => {
                Some("physical backups are not made by this version of bkup yet")
            }
            (BackupType::Database | BackupType::TenantData, Engine::Logical) => None,
        }
    }
}

/// Who hears of a schedule's runs: names of channels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NotifySpec {
    /// When a run succeeded; nobody by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<Name>,
    /// When one failed; absent: where critical alerts go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Vec<Name>>,
}

/// Which tenants a schedule is for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantFilter {
    /// All.
    #[default]
    All,
    /// Those of these classes.
    Classes(Vec<Name>),
    /// Those whose slug matches one of these globs.
    Slugs(Vec<String>),
}

/// How data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// Not at all.
    None,
    /// The lz4 frame format.
    Lz4,
    /// Zstandard at a level from 1 to 19.
    Zstd(u8),
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd(3)
    }
}

impl TryFrom<String> for Compression {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "none" => Ok(Self::None),
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::default()),
            other => other
                .strip_prefix("zstd:")
                .and_then(|level| level.parse().ok())
                .filter(|level| (1..=19).contains(level))
                .map(Self::Zstd)
                .ok_or_else(|| format!("{text:?} is not a compression: write none, lz4, or zstd:1 to zstd:19")),
        }
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> Self {
        compression.to_string()
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

/// The limits of a single apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guards {
    /// How large a share of a scope's or a store's backups or bytes a change may delete.
    pub max_delete: Percent,
    /// How many restorable backups every scope keeps.
    pub min_keep: u32,
    /// How long a tombstoned backup can be brought back.
    pub grace: Period,
    /// Why the limits differ from the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
}

impl Default for Guards {
    fn default() -> Self {
        Self { max_delete: Percent::hundredths(1000), min_keep: 2, grace: Period::days(7), reason: None, until: None }
    }
}
