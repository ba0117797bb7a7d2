//! What the policies ask for, after every reference is resolved and every default filled in. It holds no secrets: a
//! value from the environment stays the name of its variable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Address, BackupType, Digest, Engine, EnvText, Instant, Name, Percent, Period, RecoveryPlanSpec, RetentionRule,
    Tenant, When,
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
    /// The limits of a single apply.
    pub guards: Guards,
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

/// Where backups go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreSpec {
    /// Bucket and prefix, or folder.
    pub url: StoreUrl,
    /// The S3 region.
    pub region: Option<String>,
    /// The S3 endpoint, for servers other than AWS.
    pub endpoint: Option<EnvText>,
    /// Whether the bucket stands in the path rather than in the host name.
    pub path_style: bool,
    /// The storage class objects are written with, as in the policy: `standard`.
    pub storage_class: Option<String>,
    /// How data is encrypted; absent: it is not.
    pub encryption: Option<EncryptionSpec>,
}

/// A store's place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StoreUrl {
    /// `s3://bucket/prefix`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// `file:///absolute/dir`.
    Folder(String),
}

impl TryFrom<String> for StoreUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let invalid = || format!("{text:?} is not a store: write s3://bucket/prefix or file:///absolute/dir");
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let bucket_ok = bucket.len() >= 3
                && bucket.len() <= 63
                && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
            let prefix = prefix.trim_matches('/');
            if !bucket_ok || prefix.contains("//") {
                return Err(invalid());
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        match text.strip_prefix("file://") {
            Some(path)
                if path.starts_with('/') && !path.split('/').any(|p| p == "..") && path.trim_matches('/') != "" =>
            {
                Ok(Self::Folder(path.trim_end_matches('/').to_owned()))
            }
            _ => Err(invalid()),
        }
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(path) => write!(f, "file://{path}"),
        }
    }
}

/// How a store's data is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptionSpec {
    /// age public keys, `age1...`.
    pub recipients: Vec<String>,
    /// The private key, needed to restore and to drill only: the key itself or a path to a file that holds it.
    pub identity: Option<EnvText>,
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
