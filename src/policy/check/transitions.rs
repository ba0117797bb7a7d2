//! Renames and removals: what they name must be gone, what they lead to must be there, and they lead nowhere in circles.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Address, Moved};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::{PolicySet, Thing};
use crate::policy::text::Place;

use super::Known;

/// Looks at `moved` and `removed`.
pub(in crate::policy) fn transitions(set: &PolicySet, known: &Known, cx: &mut Context<'_>) {
    let mut from: BTreeMap<&Address, Place> = BTreeMap::new();
    let mut to: BTreeMap<&Address, Place> = BTreeMap::new();
    for thing in &set.moved {
        let (before, now) = (&thing.spec.from, &thing.spec.to);
        once(&mut from, before, thing.places.get("from"), |a| format!("`{a}` is renamed or removed twice"), cx);
        once(&mut to, now, thing.places.get("to"), |a| format!("two things are renamed to `{a}`"), cx);
        if before.section() != now.section() {
            let message = format!("`{before}` and `{now}` are of two kinds, and a rename does not change the kind");
            let help = "name two things of one section";
            cx.error(codes::CONFLICT, thing.places.get("to"), message, "of another section", help);
        }
    }
    for thing in &set.removed {
        once(
            &mut from,
            &thing.spec.from,
            thing.places.get("from"),
            |a| format!("`{a}` is renamed or removed twice"),
            cx,
        );
    }
    let circles = circles(&set.moved);
    for thing in &set.moved {
        if circles.contains(&thing.spec.from) {
            let message = format!("the renames lead from `{}` back to itself", thing.spec.from);
            let help = "keep the last rename of each thing, and remove the others";
            cx.error(codes::MOVED_CIRCLE, thing.places.get("from"), message, "part of a circle", help);
            continue;
        }
        still_defined(&thing.spec.from, thing.places.get("from"), "renamed", known, cx);
        // Where it goes on from there, the next rename says where to.
        if !from.contains_key(&thing.spec.to)
            && let Some(name) = thing.spec.to.name()
        {
            known.refer(thing.spec.to.section(), name, thing.places.get("to"), cx);
        }
    }
    for thing in &set.removed {
        still_defined(&thing.spec.from, thing.places.get("from"), "removed", known, cx);
    }
}

/// Takes an address in; one that is there already is a finding.
fn once<'a>(
    seen: &mut BTreeMap<&'a Address, Place>,
    address: &'a Address,
    place: Place,
    message: impl Fn(&Address) -> String,
    cx: &mut Context<'_>,
) {
    match seen.get(address) {
        None => {
            seen.insert(address, place);
        }
        Some(first) => {
            let _ = cx
                .error(codes::LISTED_TWICE, place, message(address), "the second time", "keep one of the two")
                .and(*first, "the first time");
        }
    }
}

fn still_defined(address: &Address, place: Place, what: &str, known: &Known, cx: &mut Context<'_>) {
    if let Some(defined) = known.place(address) {
        let message = format!("`{address}` is said to be {what}, and the files still define it");
        let help = format!("remove `{address}` from its section, or this entry");
        let _ = cx.error(codes::STILL_DEFINED, place, message, what, help).and(defined, "defined here");
    }
}

/// Returns the addresses from which renames lead back to themselves.
fn circles(moved: &[Thing<Moved>]) -> BTreeSet<&Address> {
    let next: BTreeMap<&Address, &Address> = moved.iter().map(|t| (&t.spec.from, &t.spec.to)).collect();
    let mut circular = BTreeSet::new();
    // Each address is walked from once: what a walk has passed leads where that walk led.
    let mut walked: BTreeMap<&Address, usize> = BTreeMap::new();
    for (walk, begin) in next.keys().enumerate() {
        let mut at = *begin;
        let mut path = Vec::new();
        while !walked.contains_key(at) {
            walked.insert(at, walk);
            path.push(at);
            match next.get(at) {
                Some(to) => at = to,
                None => break,
            }
        }
        if walked.get(at) == Some(&walk)
            && next.contains_key(at)
            && let Some(first) = path.iter().position(|address| *address == at)
        {
            circular.extend(&path[first..]);
        }
    }
    circular
}
