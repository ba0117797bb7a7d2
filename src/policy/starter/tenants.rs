//! Tenants as a look at a database finds them: a common prefix of schemas, or a table that lists them. Pure.

use std::collections::BTreeMap;

use crate::domain::{Inspection, TenantTable};
use crate::policy::write::{Draft, Line, Part, Value, label};

/// Prefixes that say what a schema is for, whatever their number.
const SPEAKING: [&str; 7] = ["tenant_", "tenant-", "t_", "customer_", "client_", "org_", "account_"];
/// So many schemas with another prefix are taken for tenants.
const ENOUGH: usize = 3;
/// Tiers as slugs often begin with them, and what they are promised.
const CRITICAL: [&str; 5] = ["enterprise", "premium", "gold", "platinum", "vip"];
const HIGH: [&str; 5] = ["standard", "business", "pro", "professional", "team"];

/// How tenants are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tenancy {
    /// There are none to be seen.
    None,
    /// By their schemas.
    Schemas {
        /// With one `*`.
        glob: String,
        /// The slugs that it matches now.
        slugs: Vec<String>,
        /// A table that lists them, for a comment.
        table: Option<TenantTable>,
    },
    /// By a table.
    Table(TenantTable),
}

impl Tenancy {
    pub(super) fn of(found: &Inspection) -> Self {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for schema in &found.schemas {
            let cut = schema.find(['_', '-']).map(|at| at + 1).filter(|at| *at < schema.len());
            if let Some(cut) = cut {
                groups.entry(&schema[..cut]).or_default().push(&schema[cut..]);
            }
        }
        let speaks = |prefix: &str| SPEAKING.contains(&prefix);
        groups.retain(|prefix, slugs| {
            slugs.len() >= if speaks(prefix) { 1 } else { ENOUGH } && !prefix.contains(['*', '$', '?', '[', '{'])
        });
        let largest = groups.into_iter().max_by_key(|(prefix, slugs)| (speaks(prefix), slugs.len()));
        let table = found.tenant_tables.first().cloned();
        match (largest, table) {
            (Some((prefix, slugs)), table) => Self::Schemas {
                glob: format!("{prefix}*"),
                slugs: slugs.into_iter().map(str::to_owned).collect(),
                table,
            },
            (None, Some(table)) => Self::Table(table),
            (None, None) => Self::None,
        }
    }

    pub(super) const fn exists(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Returns the database's line.
    pub(super) fn line(&self) -> Option<Line> {
        match self {
            Self::None => None,
            Self::Schemas { glob, slugs, table } => {
                let line = Line::new("tenants", Value::Inline(vec![("schemas", Value::quoted(glob))]));
                let number = if slugs.len() == 1 { "1 schema".to_owned() } else { format!("{} schemas", slugs.len()) };
                let line = line.above(format!("It matches {number}; what `*` matches is the tenant's slug."));
                Some(match table {
                    Some(table) => line.above(format!(
                        "Or by the table {}.{}, which can leave tenants out: tenants: {{ query: ... }}",
                        label(&table.schema),
                        label(&table.table)
                    )),
                    None => line,
                })
            }
            Self::Table(table) => {
                let line = Line::new("tenants", Value::Inline(vec![("query", Value::quoted(&query(table)))]));
                Some(line.above("decide: this table looks like the list of tenants, one schema for each"))
            }
        }
    }
}

fn query(table: &TenantTable) -> String {
    let quoted = |name: &str| {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !name.is_empty();
        if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
    };
    let column = |name: &str, wanted: &str| {
        if name == wanted { wanted.to_owned() } else { format!("{} AS {wanted}", quoted(name)) }
    };
    let id = if table.has_id { "id, " } else { "" };
    format!(
        "SELECT {id}{}, {} FROM {}.{}",
        column(&table.slug, "slug"),
        column(&table.schema_name, "schema_name"),
        quoted(&table.schema),
        quoted(&table.table)
    )
}

/// Adds classes for the tiers that slugs begin with, and one for everybody else.
pub(super) fn add_classes(draft: &mut Draft, tenancy: &Tenancy) {
    if !tenancy.exists() {
        return;
    }
    let slugs: &[String] = match tenancy {
        Tenancy::Schemas { slugs, .. } => slugs,
        _ => &[],
    };
    let globs = |tiers: &[&str]| -> Vec<String> {
        let seen = |tier: &&&str| slugs.iter().any(|slug| tier_of(slug) == Some(**tier));
        let separator = |tier: &str| {
            slugs.iter().find(|slug| tier_of(slug) == Some(tier)).and_then(|slug| slug[tier.len()..].chars().next())
        };
        tiers.iter().filter(seen).map(|tier| format!("{tier}{}*", separator(tier).unwrap_or('-'))).collect()
    };
    let mut add = |name: &str, tenants: Vec<String>, priority: u32, rto: &str, comment: &str| {
        if !tenants.is_empty() {
            let lines = vec![
                Line::new("tenants", Value::globs(tenants)),
                Line::new("priority", Value::word(priority)),
                Line::new("rpo", Value::word("27h")),
                Line::new("rto", Value::word(rto)),
            ];
            draft.add(Part::Classes, name, vec![comment.to_owned()], lines);
        }
    };
    let first = "decide what they are promised; a smaller rpo needs a schedule that runs more often";
    add("critical", globs(&CRITICAL), 1, "1h", first);
    add("high", globs(&HIGH), 2, "2h", "the lowest priority that matches a slug wins");
    add("everyone", vec!["*".to_owned()], 9, "4h", "everybody else, so that no tenant is forgotten on its first day");
}

/// Returns the tier that a slug begins with.
fn tier_of(slug: &str) -> Option<&'static str> {
    let known = CRITICAL.iter().chain(&HIGH);
    known
        .copied()
        .find(|tier| slug.strip_prefix(tier).is_some_and(|rest| rest.len() > 1 && rest.starts_with(['-', '_'])))
}
