//! A swap of a live schema for a restored one: what it will do, and what it did. And the plan of a restore, as a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, digest_of};

/// The version of a restore plan's form, `major.minor`.
pub const RESTORE_PLAN_FORMAT: &str = "1.1";
/// What tells the plan of a restore from the plan of the policies.
pub const RESTORE_PLAN_KIND: &str = "restore";

/// What a swap will do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SwapPlan {
    /// The restore's id, 8 hexadecimal digits.
    pub id: String,
    /// The schema or database in use.
    pub name: String,
    /// The name under which its successor is loaded.
    pub incoming: String,
    /// The name it gets itself.
    pub aside: String,
    /// Foreign keys of other schemas that are re-pointed, with the tables they are of.
    pub keys: Vec<String>,
    /// Views of other schemas that are re-pointed.
    pub views: Vec<String>,
    /// Publications that are re-pointed.
    pub publications: Vec<String>,
    /// Functions of other schemas that name it in their text.
    pub mentions: Vec<String>,
    /// What is good to know.
    pub notes: Vec<String>,
}

/// A table that holds something else than what takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableChange {
    /// The table, quoted.
    pub table: String,
    /// Its rows now; absent where it is not there.
    pub now: Option<u64>,
    /// The rows of what it is compared with; absent where that lacks it.
    pub then: Option<u64>,
}

/// What a swap did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Swapped {
    /// What it was to do.
    pub plan: SwapPlan,
    /// Tables whose content is not what it was before the swap.
    pub changes: Vec<TableChange>,
    /// Milliseconds from the first wait for a lock to the commit.
    pub locked_ms: u64,
    /// How many attempts the locks took.
    pub attempts: u32,
    /// Foreign keys of others that do not hold for all rows, and why.
    pub unvalidated: Vec<String>,
}

/// One table whose rows were compared with those of a backup, and perhaps brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableRestored {
    /// The table, quoted.
    pub table: String,
    /// `compare`, `merge`, `update` or `replace`.
    pub how: String,
    /// Rows of the backup that the table lacked.
    pub missing: u64,
    /// Rows of both with other content; 0 where the table has no key.
    pub different: u64,
    /// Rows of the table that the backup lacks.
    pub extra: u64,
    /// Rows of both with the same content.
    pub same: u64,
    /// Rows that were inserted.
    pub inserted: u64,
    /// Rows that were set back.
    pub updated: u64,
    /// Rows that were deleted.
    pub deleted: u64,
}

/// A restore that is planned: carried out, it does this and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestorePlan {
    /// Version of this form, `1.1`.
    pub format_version: String,
    /// `restore`.
    pub kind: String,
    /// SHA-256 over all else in its canonical form, 64 hexadecimal digits.
    pub digest: String,
    /// When it was made, RFC 3339 in UTC.
    pub as_of: String,
    /// The version of bkup that made it.
    pub tool_version: String,
    /// The restore's id, 8 hexadecimal digits: names of what is made come from it.
    pub id: String,
    /// The backup.
    pub backup: String,
    /// Every backup that is loaded, in order.
    pub backups: Vec<String>,
    /// The store it is read from.
    pub store: String,
    /// The database it is of, by its policy name.
    pub database: Option<String>,
    /// What of it.
    pub scope: String,
    /// The instant its content is of.
    pub consistent_at: String,
    /// Where to: `scratch`, `new:NAME`, `live`, `folder:DIR`.
    pub into: String,
    /// The server and the database on it, without a password; absent for scratch servers and folders.
    pub server: Option<String>,
    /// Bytes to load, before compression.
    pub bytes: u64,
    /// The swap, where something has to make room.
    pub swap: Option<SwapPlan>,
    /// The one table, `schema.table`.
    pub table: Option<String>,
    /// How rows get into that table: `merge`, `update` or `replace`.
    pub rows: Option<String>,
    /// SHA-256 of the SQL that sanitises the copy.
    pub sanitize: Option<String>,
    /// Schemas of other tenants that the tenant is tied to, and that are not restored with it: what of it cannot be
    /// without them is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart_from: Vec<String>,
    /// Whether sessions of a database in use are ended.
    #[serde(default)]
    pub end_sessions: bool,
    /// Whether rows of others may be left that refer to nothing.
    #[serde(default)]
    pub keep_orphans: bool,
    /// What people have to know of what is read, as that its objects were written over. Carrying the plan out does not
    /// depend on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl RestorePlan {
    /// Returns the digest of its content.
    #[must_use]
    pub fn content_digest(&self) -> Digest {
        digest_of(&Self { digest: String::new(), ..self.clone() })
    }
}
