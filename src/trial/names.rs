//! References from test files to policies: what is said where a thing is not there. Pure.

use crate::domain::{Address, Desired, Name, Section};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::text::{Place, shown, similar};

/// Looks a named thing of the policies up; a missing one is a finding.
pub(super) fn refer(section: Section, name: &Name, place: Place, desired: &Desired, cx: &mut Context<'_>) -> bool {
    let (what, names): (&str, Vec<&Name>) = match section {
        Section::Store => ("store", desired.stores.keys().collect()),
        Section::Database => ("database", desired.databases.keys().collect()),
        Section::Class => ("class", desired.classes.keys().collect()),
        Section::RecoveryPlan => ("recovery plan", desired.recovery_plans.keys().collect()),
        _ => ("schedule", desired.schedules.keys().collect()),
    };
    if names.contains(&name) {
        return true;
    }
    let help = match similar(name.as_str(), names.iter().map(|name| name.as_str())) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => format!("the policies have {}", listed(names.iter().map(|name| name.as_str()))),
    };
    let message = format!("the policies have no {what} `{name}`");
    cx.error(codes::UNKNOWN_REFERENCE, place, message, format!("no such {what}"), help);
    false
}

/// Looks an address up; one that nothing has is a finding.
pub(super) fn refer_to(address: &Address, place: Place, desired: &Desired, cx: &mut Context<'_>) -> bool {
    if address.section().stands_once() || desired.documents.contains_key(address) {
        return true;
    }
    let all: Vec<String> = desired.documents.keys().map(ToString::to_string).collect();
    let same =
        |other: &&String| other.split_once('.').map(|(section, _)| section) == Some(address.section().singular());
    let help = match similar(&address.to_string(), all.iter().map(String::as_str)) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => format!("the policies have {}", listed(all.iter().filter(same).map(String::as_str))),
    };
    let message = format!("nothing in the policies has the address `{address}`");
    cx.error(codes::UNKNOWN_REFERENCE, place, message, "no such address", help);
    false
}

/// Adds the finding that a slug is none of those that live.
pub(super) fn no_tenant<'s>(
    slug: &str,
    living: impl IntoIterator<Item = &'s str> + Clone,
    place: Place,
    cx: &mut Context<'_>,
) {
    let help = match similar(slug, living.clone()) {
        Some(guess) => format!("did you mean `{}`?", shown(guess)),
        None => format!("name it under `tenants`, where there are: {}", listed(living)),
    };
    let message = format!("no tenant `{}` lives in this test", shown(slug));
    cx.error(codes::UNKNOWN_REFERENCE, place, message, "no such tenant", help);
}

fn listed<'s>(words: impl IntoIterator<Item = &'s str>) -> String {
    let all: Vec<String> = words.into_iter().map(|word| format!("`{}`", shown(word))).collect();
    match all.as_slice() {
        [] => "none".to_owned(),
        few if few.len() <= 8 => few.join(", "),
        many => format!("{} and {} more", many[..8].join(", "), many.len() - 8),
    }
}
