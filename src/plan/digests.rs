//! The two digests of a plan. `digest` covers everything; `change_digest` covers changes and the deletions they cause,
//! without serial, instant and source lines, so that a review stays valid while due work comes and goes.

use serde_json::{Value, json};

use crate::domain::{ActionClass, ActionKind, Desired, Digest, ObjectDigest, Plan, digest_of};

/// Fills in both digests.
pub fn seal(mut plan: Plan) -> Plan {
    plan.change_digest = change_digest(&plan);
    plan.digest = digest(&plan);
    plan
}

/// Returns the digest over everything but the digests themselves, and why backups stay, which nothing is done by: of the
/// canonical JSON of what is left.
#[must_use]
pub fn digest(plan: &Plan) -> Digest {
    let Plan {
        format_version,
        tool_version,
        as_of,
        simulated,
        lineage,
        serial,
        policy_digest,
        connections,
        rules,
        actions,
        held,
        kept: _,
        objectives,
        findings,
        offers,
        refusals,
        consent,
        narrowing,
        digest: _,
        change_digest: _,
    } = plan;
    let mut all = ObjectDigest::new();
    all.list("actions", actions);
    all.field("as_of", as_of);
    all.field("connections", connections);
    if let Some(consent) = consent {
        all.field("consent", consent);
    }
    all.list("findings", findings);
    all.field("format_version", format_version);
    all.list("held", held);
    all.field("lineage", lineage);
    all.field("narrowing", narrowing);
    all.list("objectives", objectives);
    if !offers.is_empty() {
        all.list("offers", offers);
    }
    all.field("policy_digest", policy_digest);
    all.list("refusals", refusals);
    all.field("rules", rules);
    all.field("serial", serial);
    all.field("simulated", simulated);
    all.field("tool_version", tool_version);
    all.finish()
}

/// Returns the digest over changes and the deletions they cause.
#[must_use]
pub fn change_digest(plan: &Plan) -> Digest {
    let changes: Vec<Value> = plan
        .actions
        .iter()
        .filter_map(|action| match &action.kind {
            ActionKind::ApplyDocument { op, before, after, .. } if action.class == ActionClass::Change => {
                Some(json!({"address": action.address, "op": op, "before": before, "after": after}))
            }
            ActionKind::Tombstone(work) | ActionKind::Purge(work) if work.caused_by_change => {
                Some(json!({"address": action.address, "delete": work.backup}))
            }
            kind if action.class == ActionClass::Change => Some(json!({"address": action.address, "kind": kind})),
            _ => None,
        })
        .collect();
    digest_of(&changes)
}

/// Returns the digest over the policy documents, wherever they stand in their files.
#[must_use]
pub fn policy_digest(desired: &Desired) -> Digest {
    let documents: Vec<(String, Digest)> =
        desired.documents.iter().map(|(address, document)| (address.to_string(), document.digest)).collect();
    digest_of(&documents)
}
