//! Tenants as a database shows them.

use serde::{Deserialize, Serialize};

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
