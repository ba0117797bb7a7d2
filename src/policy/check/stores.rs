//! Stores: encryption, and two of them at one place. Pure.

use std::collections::BTreeMap;

use crate::domain::{EnvText, Name, StoreSpec, StoreUrl};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::raw::Store;
use crate::policy::set::Thing;
use crate::policy::text::{Place, Places};

/// Looks at one store.
pub(in crate::policy) fn store(raw: &Store, places: &Places, name: Place, cx: &mut Context<'_>) {
    if !places.has("encryption") {
        let help = "add `encryption: { recipients: [\"age1...\"] }`; `bkup key generate` prints a pair of keys";
        cx.warning(
            codes::NOT_ENCRYPTED,
            name,
            "this store has no encryption: whoever can read it can read every backup",
            "no `encryption`",
            help,
        );
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
pub(in crate::policy) fn stores(stores: &BTreeMap<Name, Thing<StoreSpec>>, cx: &mut Context<'_>) {
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
