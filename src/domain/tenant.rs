//! Tenants as a database shows them.

use serde::{Deserialize, Serialize};

use super::{Instant, Name};

/// One tenant of a database. Its identity is the slug; id and schema may change over its life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tenant {
    /// What globs match and scopes name.
    pub slug: String,
    /// The schema that holds its data, exactly as in `pg_namespace.nspname`.
    pub schema: String,
    /// The application's own id, where discovery gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// A tenant as the catalog remembers it: present, or offboarded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TenantRecord {
    /// Its database.
    pub database: Name,
    /// Its slug.
    pub slug: String,
    /// Its schema when it was last seen.
    pub schema: String,
    /// When it was last seen.
    pub last_seen_at: Instant,
    /// When it was taken for gone; its backups are kept by the clock that began then.
    pub offboarded_at: Option<Instant>,
}

/// A tenant that went, or came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantWork {
    /// Its database.
    pub database: Name,
    /// Its slug.
    pub slug: String,
    /// Its schema: as it was last seen where it went, as it is now where it came back.
    pub schema: String,
    /// When it was last seen, as the plan knows it: one that was seen since is not gone.
    pub last_seen_at: Instant,
    /// When it was offboarded, where it came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offboarded_at: Option<Instant>,
    /// How many backups of it there are.
    pub backups: u64,
}
