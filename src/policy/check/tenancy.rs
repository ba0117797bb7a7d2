//! Classes and tenants: patterns, priorities, and databases that have no tenants. Pure.

use std::collections::BTreeMap;

use crate::domain::{BackupType, ClassSpec, Name};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::globs;
use crate::policy::raw::Class;
use crate::policy::set::{PolicySet, Thing};
use crate::policy::text::{Places, shown};

/// Looks at one class.
pub(in crate::policy) fn class(raw: &Class, several: bool, places: &Places, cx: &mut Context<'_>) {
    let globs: Vec<String> = raw.tenants.iter().flatten().map(|glob| glob.0.clone()).collect();
    refuse_bad_globs(&globs, "tenants", places, cx);
    if several && !places.has("priority") {
        let message = "there are several classes, and this one has no priority";
        cx.error(
            codes::NO_PRIORITY,
            places.get(""),
            message,
            "which class wins?",
            "add `priority: 1`; the lowest number that matches a tenant wins",
        );
    }
}

/// Refuses patterns that are no globs.
pub(super) fn refuse_bad_globs(patterns: &[String], path: &str, places: &Places, cx: &mut Context<'_>) {
    for (index, pattern) in patterns.iter().enumerate() {
        if let Some(reason) = globs::rejection(pattern) {
            let message = format!("`{}` is not a pattern: {reason}", shown(pattern));
            let help = "`*` matches anything, `?` one character, [a-z] one of these, {a,b} one of these";
            cx.error(codes::BAD_GLOB, places.get(&format!("{path}[{index}]")), message, "this pattern", help);
        }
    }
}

/// How much work the patterns of a set may make: pairs of characters that are compared, a second or less in all.
const MOST_COMPARED: usize = 40_000_000;

/// Refuses classes of equal priority that can match the same slug.
pub(in crate::policy) fn classes(classes: &BTreeMap<Name, Thing<ClassSpec>>, cx: &mut Context<'_>) {
    let all: Vec<(&Name, &Thing<ClassSpec>)> =
        classes.iter().filter(|(_, thing)| thing.places.has("priority") && !thing.spec.tenants.is_empty()).collect();
    let mut left = MOST_COMPARED;
    for (index, (name, thing)) in all.iter().enumerate() {
        for (other, earlier) in all[..index].iter().filter(|(_, earlier)| earlier.spec.priority == thing.spec.priority)
        {
            let pairs =
                thing.spec.tenants.iter().enumerate().flat_map(|(at, a)| {
                    earlier.spec.tenants.iter().enumerate().map(move |(before, b)| (at, a, before, b))
                });
            let meeting = pairs
                .map_while(|(at, a, before, b)| {
                    left = left.checked_sub(globs::cost(a, b))?;
                    Some((at, before, globs::common(a, b)))
                })
                .find_map(|(at, before, slug)| slug.map(|slug| (at, before, slug)));
            if left < 256 * 256 {
                let message = "the classes have more patterns of equal priority than can be compared";
                let help = "give each class a priority of its own: then there is nothing to compare";
                cx.error(codes::TOO_LARGE, thing.place, message, "here it is too much", help);
                return;
            }
            if let Some((at, before, slug)) = meeting {
                let message = format!(
                    "the classes `{other}` and `{name}` have the same priority, and both match a tenant such as `{}`",
                    shown(&slug)
                );
                let place = thing.places.get(&format!("tenants[{at}]"));
                let first = earlier.places.get(&format!("tenants[{before}]"));
                cx.error(
                    codes::CLASSES_OVERLAP,
                    place,
                    message,
                    format!("`{name}` matches it"),
                    "give one of them a lower number: it then wins",
                )
                .and(first, format!("so does `{other}`"));
            }
        }
    }
}

/// Refuses to speak of the tenants of a database that has none.
pub(in crate::policy) fn tenants(set: &PolicySet, cx: &mut Context<'_>) {
    let of_tenants = |backup: Option<BackupType>| backup == Some(BackupType::TenantData);
    for thing in set.schedules.values().filter(|thing| of_tenants(Some(thing.spec.backup))) {
        without_tenants(set, &thing.spec.databases, &thing.places, "this schedule backs up tenants", cx);
    }
    for thing in set.recovery_plans.values() {
        let restores = thing.spec.steps.iter().any(|step| match step {
            crate::domain::PlanStep::Restore(restore) => of_tenants(restore.backup) || !restore.tenants.is_empty(),
            _ => false,
        });
        if restores {
            without_tenants(set, &thing.spec.databases, &thing.places, "this plan restores tenants", cx);
        }
    }
}

fn without_tenants(set: &PolicySet, databases: &[Name], places: &Places, what: &str, cx: &mut Context<'_>) {
    for (index, name) in databases.iter().enumerate() {
        let Some(database) = set.databases.get(name).filter(|database| database.spec.tenants.is_none()) else {
            continue;
        };
        let message = format!("{what}, and the database `{name}` has none");
        let help = format!("add `tenants: {{ schemas: \"tenant_*\" }}` to `{name}`, or leave it out here");
        let place = places.get(&format!("databases[{index}]"));
        cx.error(codes::NO_TENANTS, place, message, "has no tenants", help).and(database.place, "no `tenants` here");
    }
}
