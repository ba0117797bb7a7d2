//! What a look at a live database finds, for writing its first policies.

use super::Bytes;

/// Facts that policies are made of. Names are as the server has them: any text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// `server_version_num`.
    pub version_num: u32,
    /// The database.
    pub datname: String,
    /// Its size.
    pub size: Bytes,
    /// The zone of the machine, as the server was set up with; any text.
    pub timezone: String,
    /// `wal_level`.
    pub wal_level: String,
    /// `archive_mode`.
    pub archive_mode: String,
    /// Extensions other than `plpgsql`.
    pub extensions: Vec<String>,
    /// Schemas that are not the system's.
    pub schemas: Vec<String>,
    /// Tables that look like lists of tenants.
    pub tenant_tables: Vec<TenantTable>,
    /// Whether the role can read every table.
    pub reads_everything: bool,
}

/// A table with a column for a tenant's slug and one for its schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// The column that looks like a slug.
    pub slug: String,
    /// The column that looks like a schema's name.
    pub schema_name: String,
    /// Whether there is a column `id`.
    pub has_id: bool,
}
