//! The manifest: what a backup is and where it lies. A backup exists when its manifest does; it is the truth that
//! restores read and catalogs are rebuilt from. Its fields are a promise: new ones may come, none may change meaning.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AskedFor;

/// The version of the manifest's form, `major.minor`. A reader refuses a larger major and ignores unknown fields.
pub const MANIFEST_FORMAT: &str = "1.1";

/// One backup's manifest, `manifest.json` in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Version of this form, `1.1`.
    pub format_version: String,
    /// The backup's id.
    pub backup_id: String,
    /// The action that asked for it, 64 hexadecimal digits.
    pub action_id: String,
    /// The attempt (fencing token) whose data this manifest names.
    pub attempt: u64,
    /// The id of the store it was written to, from `bkup.json`.
    pub store_id: String,
    /// `database`, `tenant_data`, ...
    pub backup_type: String,
    /// `logical`, `physical`, `incremental`.
    pub engine: String,
    /// AUTOMATED, MANUAL or SCHEDULED.
    pub method: String,
    /// Whether its clock was simulated: never the case for real backups.
    #[serde(default)]
    pub simulated: bool,
    /// The identity of the catalog it was recorded in.
    #[serde(default)]
    pub lineage: Option<String>,
    /// The policy name of the database; absent for files.
    pub database: Option<String>,
    /// The schedule that asked for it.
    pub schedule: String,
    /// The retention rule it was made under, as JSON.
    pub retention: serde_json::Value,
    /// Whether the policy protects it from deletion.
    #[serde(default)]
    pub protect: bool,
    /// The slot, RFC 3339 in UTC.
    pub slot: String,
    /// The instant the content is of: when the snapshot was exported. RFC 3339 in UTC.
    pub consistent_at: String,
    /// When the work began, RFC 3339 in UTC.
    pub started_at: String,
    /// When the manifest was written, RFC 3339 in UTC.
    pub completed_at: String,
    /// What it covers and what is in it.
    pub scope: ManifestScope,
    /// The data objects, in the order in which a restore wants them.
    pub parts: Vec<DataPart>,
    /// The key objects of its data, one for each recipient; empty when the store does not encrypt.
    #[serde(default)]
    pub keys: Vec<KeyObject>,
    /// The public half of the key pair of this backup, `age1...`; absent without encryption.
    #[serde(default)]
    pub data_recipient: Option<String>,
    /// SHA-256 over the content as a whole in its canonical form, for backups of the configuration: two of them with
    /// the same digest hold the same configuration.
    #[serde(default)]
    pub content_digest: Option<String>,
    /// Who asked for it, and why; absent for those that a schedule's calendar asked for.
    #[serde(default)]
    pub asked_for: Option<AskedFor>,
    /// Where an adopted backup was found, for people; absent for those that bkup made.
    #[serde(default)]
    pub adopted_from: Option<String>,
    /// Which key the content digests are keyed with; absent when they are not keyed.
    #[serde(default)]
    pub digest_key_id: Option<String>,
    /// The shared archive that must be restored before it, as a backup id.
    #[serde(default)]
    pub shared: Option<String>,
    /// The backup it builds on, as a backup id.
    #[serde(default)]
    pub parent: Option<String>,
    /// Schemas outside of this tenant whose objects refer to it or are referred to by it: of other tenants, and shared.
    #[serde(default)]
    pub mutual: Vec<String>,
    /// SHA-256 of the policy documents it was made under, 64 hexadecimal digits.
    pub policy_digest: String,
    /// bkup's version.
    pub tool_version: String,
    /// The server's version, as `server_version` says it.
    pub server_version: String,
    /// The dump program's version line; absent where none ran.
    #[serde(default)]
    pub dump_version: Option<String>,
    /// The cluster's system identifier, decimal; absent where it could not be read.
    #[serde(default)]
    pub system_identifier: Option<String>,
    /// Begin of the needed log, `16/B374D848`; physical backups only.
    #[serde(default)]
    pub begin_lsn: Option<String>,
    /// End of the needed log; for a logical backup the position when the snapshot was exported, where known.
    #[serde(default)]
    pub end_lsn: Option<String>,
    /// The timeline.
    #[serde(default)]
    pub timeline: Option<u32>,
    /// Whether all parts and the other backups of this slot are of one instant: one snapshot was exported for all.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// Time spent per phase.
    #[serde(default)]
    pub timings: Vec<PhaseTiming>,
    /// The storage class the parts were written with.
    #[serde(default)]
    pub storage_class: Option<String>,
    /// Until when the store refuses to delete the parts, RFC 3339 in UTC.
    #[serde(default)]
    pub locked_until: Option<String>,
    /// What a person should know: large objects, extensions, silent changes seen during the dump.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What a backup covers and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ManifestScope {
    /// The scope's text: `database`, `tenant=acme`, `shared`.
    pub scope: String,
    /// The database's name on its server.
    #[serde(default)]
    pub datname: Option<String>,
    /// The tenant's id, where discovery gave one.
    #[serde(default)]
    pub tenant_id: Option<String>,
    /// The schemas whose definitions are inside.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// The tables with data inside, in archive order.
    #[serde(default)]
    pub tables: Vec<TableDigest>,
    /// The sequences with values inside.
    #[serde(default)]
    pub sequences: Vec<SequenceDigest>,
    /// Extensions that the archive creates.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// Roles that the archive's owners, grants and row policies name.
    #[serde(default)]
    pub roles: Vec<String>,
    /// How many large objects are inside.
    #[serde(default)]
    pub large_objects: u64,
}

/// A table's content: its rows counted and digested as they passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableDigest {
    /// The schema, unquoted.
    pub schema: String,
    /// The table, unquoted.
    pub table: String,
    /// The columns in the order in which their text was digested, unquoted; generated columns are left out.
    pub columns: Vec<String>,
    /// The number of rows.
    pub rows: u64,
    /// The bytes of COPY text, line ends included.
    pub bytes: u64,
    /// The sum modulo 2^256 of each row's keyed SHA-256, 64 hexadecimal digits, most significant first.
    pub digest: String,
}

/// A sequence's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SequenceDigest {
    /// The schema, unquoted.
    pub schema: String,
    /// The sequence, unquoted.
    pub sequence: String,
    /// The last value.
    pub last_value: i64,
    /// Whether the last value has been used.
    pub is_called: bool,
}

/// One data object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DataPart {
    /// Its key below the store's prefix; it may lie in an earlier backup's folder.
    pub key: String,
    /// What it holds.
    pub kind: PartKind,
    /// Bytes in the store.
    pub size: u64,
    /// Bytes before compression and encryption.
    pub original_size: u64,
    /// SHA-256 of the object as stored, 64 hexadecimal digits.
    pub ciphertext_sha256: String,
    /// Digest of the bytes before compression: `blake3:` and 64 hexadecimal digits, keyed with the digest key where there
    /// is one. 64 digits alone, in manifests of format 1.0, are HMAC-SHA-256 under that key, SHA-256 without one.
    pub plaintext_digest: String,
    /// `none`, `lz4` or `zstd:LEVEL`.
    pub compression: String,
    /// Whether it is an age file.
    pub encrypted: bool,
}

/// What a data object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A custom-format archive of `pg_dump`.
    Archive,
    /// What stands on tenants without being of one, beside the archive of what they share: restored after them.
    Bridge,
    /// Roles, tablespaces and their grants as SQL, without passwords.
    Globals,
    /// A tar file.
    Tar,
    /// A dump as plain SQL text for `psql`; of adopted backups.
    Sql,
    /// A directory-format archive of `pg_dump` as a tar file; of adopted backups.
    DirectoryTar,
    /// A custom-format archive of what single tables may need and are not: schemas, types, functions. It is restored
    /// first where nothing is there.
    Prelude,
    /// A custom-format archive of a whole database's definitions, without rows: what comes before the rows and what
    /// comes after them.
    Definitions,
    /// A custom-format archive of the rows of some tables of a whole database, without definitions.
    Rows,
    /// The rows of one table or view as a CSV file with a header.
    Csv,
    /// The list of the files in a tar file: a line of JSON for each, with its digest.
    FileList,
}

/// One copy of the backup's data key, for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyObject {
    /// Its key below the store's prefix.
    pub key: String,
    /// The recipient, `age1...`.
    pub recipient: String,
    /// The first 16 hexadecimal digits of SHA-256 of the recipient in lower case.
    pub fingerprint: String,
}

/// Time spent in one phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseTiming {
    /// The phase: `dump`, `verify`, ...
    pub phase: String,
    /// Milliseconds.
    pub milliseconds: u64,
}
