//! Stores: encryption, and two of them at one place. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{EnvText, Name, Section, StoreSpec, StoreUrl};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::raw::Store;
use crate::policy::set::{PolicySet, Thing};
use crate::policy::text::Places;

use super::Known;

/// Looks at one store.
pub(in crate::policy) fn store(raw: &Store, places: &Places, cx: &mut Context<'_>) {
    let signing_key = raw.encryption.as_ref().and_then(|encryption| encryption.signing_key.as_ref());
    if let Some(EnvText::Literal(key)) = signing_key
        && !key.starts_with(['/', '.'])
    {
        let message = "`signing_key` stands in the file for everyone who can read it";
        let help = "make a new one, and write \"${BKUP_SIGNING_KEY}\" or the path of a file that holds it";
        cx.warning(codes::SECRET_IN_FILE, places.get("encryption.signing_key"), message, "in plain sight", help);
    }
    if let Some(EnvText::Literal(endpoint)) = &raw.endpoint {
        let place = places.get("endpoint");
        super::secrets::refuse_password("this endpoint", endpoint, place, cx);
        if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
            cx.bad_value(place, "`endpoint` is no URL of an S3 server", "write https://host or http://host:9000");
        }
    }
}

/// Refuses two stores of which one holds the other's objects: each would count the other's as foreign or prune them.
pub(in crate::policy) fn stores(stores: &BTreeMap<Name, Thing<StoreSpec>>, known: &Known, cx: &mut Context<'_>) {
    for (name, thing) in stores {
        replicas(name, thing, stores, known, cx);
    }
    let mut all: Vec<(Root<'_>, &str, &Name, &Thing<StoreSpec>)> = stores
        .iter()
        .map(|(name, thing)| {
            let (bucket, path) = match &thing.spec.url {
                StoreUrl::S3 { bucket, prefix } => (Some(bucket.as_str()), prefix.as_str()),
                StoreUrl::Folder(path) => (None, path.as_str()),
            };
            ((thing.spec.endpoint.as_ref(), bucket), path, name, thing)
        })
        .collect();
    // With the slash as the lowest character what lies inside a folder follows it at once: comparing all pairs would
    // take minutes for thousands of stores.
    let steps = |path: &str| path.bytes().map(|byte| if byte == b'/' { 0 } else { byte }).collect::<Vec<u8>>();
    all.sort_by_cached_key(|(root, path, name, _)| (*root, steps(path), (*name).clone()));
    let mut outer: Option<(Root<'_>, &str, &Name, &Thing<StoreSpec>)> = None;
    for (root, path, name, thing) in all {
        let Some((_, _, other, around)) = outer.filter(|(of, outer, ..)| *of == root && inside(path, outer)) else {
            outer = Some((root, path, name, thing));
            continue;
        };
        let ((other, earlier), (name, later)) =
            if other < name { ((other, around), (name, thing)) } else { ((name, thing), (other, around)) };
        let message = format!("the stores `{other}` and `{name}` lie at the same place, or one inside the other");
        let help = "give each store a prefix or folder of its own";
        cx.error(codes::STORES_OVERLAP, later.places.get("url"), message, format!("`{name}`"), help)
            .and(earlier.places.get("url"), format!("`{other}`"));
    }
}

/// The server and the bucket; neither for a folder.
type Root<'a> = (Option<&'a EnvText>, Option<&'a str>);

fn inside(inner: &str, outer: &str) -> bool {
    outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Warns of a store whose objects anybody can read who can read the store. One that only holds copies needs no
/// encryption of its own: copies are what was written elsewhere, encrypted or not.
pub(in crate::policy) fn encryption(set: &PolicySet, cx: &mut Context<'_>) {
    let written: BTreeSet<&Name> = set.schedules.values().map(|thing| &thing.spec.store).collect();
    let archived: BTreeSet<&Name> =
        set.databases.values().filter_map(|t| t.spec.wal.as_ref()).map(|wal| &wal.store).collect();
    let copies: BTreeSet<&Name> =
        set.stores.values().flat_map(|t| t.spec.replicate_to.iter().map(|replica| &replica.store)).collect();
    for (name, thing) in &set.stores {
        let only_copies = copies.contains(name) && !written.contains(name) && !archived.contains(name);
        if thing.places.has("encryption.recipients") || only_copies {
            continue;
        }
        let help = "add `encryption: { recipients: [\"age1...\"] }`; `bkup key generate` prints a pair of keys";
        let (message, label, place) = if thing.places.has("encryption") {
            let message = "this store has no encryption of its own: whoever can read the bucket can read every backup";
            (message, "no `recipients`", thing.places.get("encryption"))
        } else {
            let message = "this store has no encryption: whoever can read it can read every backup";
            (message, "no `encryption`", thing.place)
        };
        cx.warning(codes::NOT_ENCRYPTED, place, message, label, help);
    }
}

/// Looks at where a store is copied to: stores that are there, each once, and never the store itself.
fn replicas(
    name: &Name,
    thing: &Thing<StoreSpec>,
    stores: &BTreeMap<Name, Thing<StoreSpec>>,
    known: &Known,
    cx: &mut Context<'_>,
) {
    let mut seen = BTreeSet::new();
    for (index, replica) in thing.spec.replicate_to.iter().enumerate() {
        let place = thing.places.get(&format!("replicate_to[{index}]"));
        known.refer(Section::Store, &replica.store, place, cx);
        if !seen.insert(&replica.store) {
            let message = format!("`{name}` is copied to `{}` twice", replica.store);
            cx.error(codes::LISTED_TWICE, place, message, "the second time", "remove one of them");
        }
        if leads_to(&replica.store, name, stores) {
            let message = format!("`{name}` is copied to `{}`, which leads back to `{name}`", replica.store);
            let help = "copy from one store to others, and from those to none";
            cx.error(codes::REPLICA_CIRCLE, place, message, "part of a circle", help);
        }
    }
}

/// How many stores a copy is followed through: each begins a walk of its own.
const FARTHEST: usize = 64;

/// Returns whether a store is another one, or is copied to it through any others, not many.
fn leads_to(from: &Name, to: &Name, stores: &BTreeMap<Name, Thing<StoreSpec>>) -> bool {
    let mut open = vec![from];
    let mut seen = BTreeSet::new();
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if seen.len() < FARTHEST && seen.insert(at) {
            open.extend(stores.get(at).into_iter().flat_map(|t| t.spec.replicate_to.iter().map(|r| &r.store)));
        }
    }
    false
}
