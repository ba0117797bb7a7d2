//! Tenants that stand for those nobody has counted: offline, one for each pattern that tells tenants apart. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Desired, Name, Tenant, TenantFilter};

/// Returns placeholders for every database that has tenants: one slug that each pattern of the classes and schedules
/// matches. What class each gets is decided as for live tenants.
#[must_use]
pub fn placeholders(sides: &[&Desired]) -> BTreeMap<Name, Vec<Tenant>> {
    let mut slugs = BTreeSet::from(["any".to_owned()]);
    for side in sides {
        slugs.extend(side.classes.values().flat_map(|class| &class.tenants).map(|glob| instance(glob)));
        let filters = side.schedules.values().filter_map(|spec| match &spec.tenants {
            TenantFilter::Slugs(globs) => Some(globs),
            _ => None,
        });
        slugs.extend(filters.flatten().map(|glob| instance(glob)));
    }
    let tenant = |slug: &String| Tenant { slug: slug.clone(), schema: slug.clone(), id: None };
    let tenants: Vec<Tenant> = slugs.iter().map(tenant).collect();
    let databases = sides.iter().flat_map(|side| &side.databases).filter(|(_, spec)| spec.tenants.is_some());
    databases.map(|(name, _)| (name.clone(), tenants.clone())).collect()
}

/// Returns a text that a glob matches.
fn instance(glob: &str) -> String {
    let mut out = String::new();
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str("any"),
            '?' => out.push('x'),
            '\\' => out.extend(chars.next()),
            '[' => {
                let inside: Vec<char> = chars.by_ref().take_while(|c| *c != ']').collect();
                let negated = matches!(inside.first(), Some('!' | '^'));
                out.push(if negated { '_' } else { inside.first().copied().unwrap_or('x') });
            }
            '{' => {
                let inside: String = chars.by_ref().take_while(|c| *c != '}').collect();
                out.push_str(&instance(inside.split(',').next().unwrap_or_default()));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::instance;

    #[test]
    fn an_instance_is_matched_by_its_glob() {
        for glob in ["*", "enterprise-*", "a?c", "[b-d]*", "{eu,us}-*", "plain", "x[!a]y"] {
            let slug = instance(glob);
            assert!(globset::Glob::new(glob).unwrap().compile_matcher().is_match(&slug), "{glob}: {slug}");
        }
    }
}
