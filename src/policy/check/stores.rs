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
    let all: Vec<(&Name, &Thing<StoreSpec>)> = stores.iter().collect();
    for (index, (name, thing)) in all.iter().enumerate() {
        for (other, earlier) in &all[..index] {
            if thing.spec.endpoint == earlier.spec.endpoint && overlap(&thing.spec.url, &earlier.spec.url) {
                let message =
                    format!("the stores `{other}` and `{name}` lie at the same place, or one inside the other");
                let (place, first) = (thing.places.get("url"), earlier.places.get("url"));
                cx.error(
                    codes::STORES_OVERLAP,
                    place,
                    message,
                    format!("`{name}`"),
                    "give each store a prefix or folder of its own",
                )
                .and(first, format!("`{other}`"));
            }
        }
    }
}

fn overlap(a: &StoreUrl, b: &StoreUrl) -> bool {
    let inside = |inner: &str, outer: &str| {
        outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match (a, b) {
        (StoreUrl::S3 { bucket: x, prefix: p }, StoreUrl::S3 { bucket: y, prefix: q }) => {
            x == y && (inside(p, q) || inside(q, p))
        }
        (StoreUrl::Folder(p), StoreUrl::Folder(q)) => inside(p, q) || inside(q, p),
        _ => false,
    }
}
