//! What a backup covers inside its database: the whole of it, one tenant, what belongs to no tenant, and so on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Name;

/// The scope of a backup. Its text form (`tenant=acme`) is what the catalog stores and manifests say; object keys
/// percent-encode it further.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// A whole cluster.
    System,
    /// One whole database.
    Database,
    /// One tenant, by slug.
    Tenant(String),
    /// What belongs to no tenant: extensions, shared schemas, globals. Tenant backups name it.
    Shared,
    /// What depends on more than one tenant; restored last.
    Bridge,
    /// The tables a schedule lists.
    Tables(Name),
    /// The files a schedule lists.
    Files(Name),
    /// Roles, settings, extensions, policies.
    Configuration,
}

/// A text that is no [`Scope`]; carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a scope: use database, tenant=SLUG, shared, system, configuration, tables=SCHEDULE or files=SCHEDULE"
)]
pub struct InvalidScope(pub String);

impl Scope {
    /// Returns the tenant's slug where the scope is a tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        if let Self::Tenant(slug) = self { Some(slug) } else { None }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Database => f.write_str("database"),
            Self::Tenant(slug) => write!(f, "tenant={slug}"),
            Self::Shared => f.write_str("shared"),
            Self::Bridge => f.write_str("bridge"),
            Self::Tables(schedule) => write!(f, "tables={schedule}"),
            Self::Files(schedule) => write!(f, "files={schedule}"),
            Self::Configuration => f.write_str("configuration"),
        }
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;
    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let invalid = || InvalidScope(text.to_owned());
        match text.split_once('=') {
            None => match text {
                "system" => Ok(Self::System),
                "database" => Ok(Self::Database),
                "shared" => Ok(Self::Shared),
                "bridge" => Ok(Self::Bridge),
                "configuration" => Ok(Self::Configuration),
                _ => Err(invalid()),
            },
            Some(("tenant", slug)) if !slug.is_empty() => Ok(Self::Tenant(slug.to_owned())),
            Some(("tables", name)) => name.parse().map(Self::Tables).map_err(|_| invalid()),
            Some(("files", name)) => name.parse().map(Self::Files).map_err(|_| invalid()),
            Some(_) => Err(invalid()),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;
    fn try_from(text: String) -> Result<Self, InvalidScope> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}
