//! Backups that somebody asks for by what they are of, beside every schedule: what is asked, and what is remembered.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Name, Period, RetentionRule, Scope, digest_of};

/// How long such backups are kept where no policy says it.
const KEPT: Period = Period::days(30);

/// A backup that somebody asks for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDemand {
    /// Of which database.
    pub database: Name,
    /// What of it.
    pub what: Wanted,
    /// Where to.
    pub store: Name,
    /// How many programs make it; absent: as the policies say.
    pub jobs: Option<u32>,
    /// Whether the rows of tables are written as CSV files, too.
    pub csv: bool,
}

/// What of a database somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The whole.
    Database,
    /// These tenants, by slug.
    Tenants(BTreeSet<String>),
    /// The tables that match one of these globs over `schema.table`.
    Tables(BTreeSet<String>),
}

/// Who asked for a backup, and why: in its manifest and in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
pub struct AskedFor {
    /// The person or pipeline.
    pub by: String,
    /// Why, in their words: `pre-migration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For a backup of tables that no schedule lists: the globs that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
}

impl OnDemand {
    /// Returns the rule such backups are kept by where no policy says it: everything for 30 days.
    #[must_use]
    pub fn rule() -> RetentionRule {
        RetentionRule { within: Some(KEPT), ..RetentionRule::default() }
    }

    /// Returns the scope of tables that no schedule lists: the same for the same globs, so that they are one history.
    #[must_use]
    pub fn tables_scope(globs: &BTreeSet<String>) -> Scope {
        let digest = digest_of(&globs).short();
        Scope::Tables(Name::on_demand_tables(&digest))
    }
}

#[cfg(test)]
mod tests {
    use super::{OnDemand, Scope};

    #[test]
    fn the_same_tables_are_one_history_whatever_their_order() {
        let scope = |globs: &[&str]| OnDemand::tables_scope(&globs.iter().map(|glob| (*glob).to_owned()).collect());
        assert_eq!(scope(&["public.a", "public.b"]), scope(&["public.b", "public.a"]));
        assert_ne!(scope(&["public.a"]), scope(&["public.b"]));
        let text = scope(&["public.a"]).to_string();
        assert_eq!(text.parse::<Scope>().unwrap(), scope(&["public.a"]));
        assert!(text.starts_with("tables=on-demand-"), "{text}");
    }
}
