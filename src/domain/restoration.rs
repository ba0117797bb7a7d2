//! What a restore did: the result of `bkup restore`, for people and as JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Phase, Swapped, TableRestored};

/// The version of this form, `major.minor`.
pub const RESTORATION_FORMAT: &str = "1.0";

/// One restore. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restoration {
    /// Version of this form, `1.0`.
    pub format_version: String,
    /// The backup that was asked for.
    pub backup: String,
    /// Every backup that was loaded, in order: the shared archive first.
    pub backups: Vec<String>,
    /// The database it is of, by its policy name.
    pub database: Option<String>,
    /// What of it: `database`, `tenant=acme`.
    pub scope: String,
    /// The instant its content is of.
    pub consistent_at: String,
    /// The store it was read from.
    pub store: String,
    /// Whether the catalog was asked; otherwise the store alone.
    pub catalog: bool,
    /// Where to: `scratch`, `new:NAME`, `live`.
    pub into: String,
    /// What was proven where, in order.
    pub proofs: Vec<RestoreProof>,
    /// Objects that could not be brought back without other tenants, and why. None of them is a table of a tenant.
    pub left_out: Vec<String>,
    /// Bytes fetched from the store.
    pub bytes_fetched: u64,
    /// Milliseconds from the first byte to the last proof; waiting for an approval is not in it.
    pub elapsed_ms: u64,
    /// Each phase and its time, in order.
    pub phases: Vec<Phase>,
    /// The scratch server that was left running.
    pub kept: Option<KeptServer>,
    /// The swap that put it in place, where something was in use there.
    #[serde(default)]
    pub swap: Option<Swapped>,
    /// The one table that was asked for.
    #[serde(default)]
    pub table: Option<TableRestored>,
    /// Whether it was sanitised after it was compared.
    #[serde(default)]
    pub sanitized: bool,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A backup whose restored content was compared with what it recorded, and was equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoreProof {
    /// Where: `scratch`, or as asked for.
    pub place: String,
    /// The backup.
    pub backup: String,
    /// Its scope.
    pub scope: String,
    /// Tables that were compared.
    pub tables: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Sequences that were compared.
    pub sequences: u64,
    /// Files that were compared, for a backup of files; folders and links are not counted.
    #[serde(default)]
    pub files: u64,
    /// Their content in bytes.
    #[serde(default)]
    pub file_bytes: u64,
}

/// A scratch server that runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptServer {
    /// Its folder.
    pub folder: String,
    /// How it is reached; only from this machine, and without a password.
    pub connection: String,
    /// Until when; a later `bkup restore` removes it then.
    pub until: String,
    /// The command that stops and removes it.
    pub stop: String,
}
