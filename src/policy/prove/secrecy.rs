//! Who could read what on its way or at rest: private keys where nothing needs them, connections without verified
//! encryption, and copies that are lost with the original. Pure.

use crate::diag::{Diagnostic, Severity};
use crate::domain::{EnvText, StoreUrl};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::PolicySet;
use crate::policy::text::Place;

/// Looks at keys, connections and copies.
pub(super) fn prove(set: &PolicySet, cx: &mut Context<'_>) {
    identities(set, cx);
    connections(set, cx);
    copies(set, cx);
}

/// Notes a private key in a set that only backs up: whoever takes over the host could read every backup.
fn identities(set: &PolicySet, cx: &mut Context<'_>) {
    if set.recovery_plans.values().any(|thing| thing.spec.drill.is_some()) {
        return;
    }
    for thing in set.stores.values() {
        if thing.spec.encryption.as_ref().is_some_and(|encryption| encryption.identity.is_some()) {
            let message = "a private key is named, and nothing in these policies reads backups: no plan is drilled";
            let help =
                "remove `identity` and give it to restores only, or let a recovery plan prove the backups by a `drill`";
            let place = thing.places.get("encryption.identity");
            let note = Diagnostic::new(codes::IDENTITY_UNUSED, Severity::Note, message).help(help);
            cx.tell(note, place, "needed by restores and drills only");
        }
    }
}

/// Warns of connections over a network that anybody on the way could read or answer.
fn connections(set: &PolicySet, cx: &mut Context<'_>) {
    let mut urls: Vec<(&EnvText, Place)> =
        set.databases.values().map(|thing| (&thing.spec.url, thing.places.get("url"))).collect();
    if let (Some(url), Some(place)) = (&set.catalog, set.catalog_place) {
        urls.push((url, place));
    }
    for (url, place) in urls {
        let EnvText::Literal(text) = url else { continue };
        let mode = parameter(text, "sslmode");
        if is_local(&host(text)) || mode.as_deref() == Some("verify-full") {
            continue;
        }
        let message = match mode {
            Some(mode) => format!("`sslmode={mode}` does not prove which server answers"),
            None => "this connection does not prove which server answers, and may not be encrypted".to_owned(),
        };
        let help = "add `sslmode=verify-full`, and `sslrootcert` where the server's authority is your own";
        cx.warning(codes::NOT_VERIFIED, place, message, "over a network", help);
    }
    for thing in set.stores.values() {
        if let Some(EnvText::Literal(endpoint)) = &thing.spec.endpoint
            && let Some(rest) = endpoint.strip_prefix("http://")
            && !is_local(rest.split(['/', ':']).next().unwrap_or_default())
        {
            let message =
                "this endpoint is not encrypted: names and sizes of backups, and requests, can be read on the way";
            let place = thing.places.get("endpoint");
            cx.warning(codes::NOT_VERIFIED, place, message, "over a network", "write https://");
        }
    }
}

/// Returns the host of a connection string of either form; empty where it names none.
fn host(text: &str) -> String {
    if let Some((_, rest)) = text.split_once("://") {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = match host.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        if !host.is_empty() {
            return host.to_owned();
        }
    }
    parameter(text, "host").unwrap_or_default()
}

/// Returns a parameter of a connection string of either form.
fn parameter(text: &str, key: &str) -> Option<String> {
    let parts: Vec<&str> = match text.split_once("://") {
        Some((_, rest)) => rest.split_once('?').map(|(_, query)| query.split('&').collect()).unwrap_or_default(),
        None => text.split_whitespace().collect(),
    };
    let found = parts.into_iter().find_map(|part| part.split_once('=').filter(|(name, _)| *name == key));
    found.map(|(_, value)| value.trim_matches('\'').to_owned())
}

fn is_local(host: &str) -> bool {
    host.is_empty()
        || host.starts_with(['/', '@'])
        || host.starts_with("%2F")
        || host.starts_with("%2f")
        || host.starts_with("127.")
        || matches!(host, "localhost" | "::1")
}

/// Warns of copies in the same bucket or below the same folder: what takes the one takes the other.
fn copies(set: &PolicySet, cx: &mut Context<'_>) {
    for (name, thing) in &set.stores {
        for (index, replica) in thing.spec.replicate_to.iter().enumerate() {
            let Some(other) = set.stores.get(&replica.store) else { continue };
            let together = match (&thing.spec.url, &other.spec.url) {
                (StoreUrl::S3 { bucket: a, .. }, StoreUrl::S3 { bucket: b, .. }) => {
                    a == b && thing.spec.endpoint == other.spec.endpoint
                }
                (StoreUrl::Folder(a), StoreUrl::Folder(b)) => {
                    a.rsplit_once('/').map(|p| p.0) == b.rsplit_once('/').map(|p| p.0)
                }
                _ => false,
            };
            if together {
                let place = thing.places.get(&format!("replicate_to[{index}]"));
                let message = format!("`{}` lies beside `{name}`: what takes one takes the other", replica.store);
                let help = "copy to another bucket, best in another region and account";
                let _ = cx
                    .warning(codes::COPY_BESIDE, place, message, "no second place", help)
                    .and(other.places.get("url"), "the copies go there");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{host, is_local, parameter};

    #[test]
    fn hosts_and_parameters_of_both_forms_are_found() {
        for (text, host_is, mode) in [
            ("postgres://u@db.example.com:5432/app?sslmode=require", "db.example.com", Some("require")),
            ("postgres://u:p@[::1]:5432/app", "::1", None),
            ("postgresql:///app?host=/run/postgresql&sslmode=disable", "/run/postgresql", Some("disable")),
            ("postgres://localhost/app", "localhost", None),
            ("host=db user=u sslmode='verify-full'", "db", Some("verify-full")),
            ("dbname=app", "", None),
            ("postgres://%2Frun%2Fpostgresql/app", "%2Frun%2Fpostgresql", None),
        ] {
            assert_eq!((host(text).as_str(), parameter(text, "sslmode").as_deref()), (host_is, mode), "{text}");
        }
        assert!(is_local("%2Frun") && is_local("127.0.0.9") && is_local("") && !is_local("10.0.0.1"));
    }
}
