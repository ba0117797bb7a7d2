//! The two digests of a plan. `digest` covers everything; `change_digest` covers changes and the deletions they cause,
//! without serial, instant and source lines, so that a review stays valid while due work comes and goes.

use serde_json::{Value, json};

use crate::domain::{ActionClass, ActionKind, Desired, Digest, Plan, canonical_value, digest_of, sha256};

/// Fills in both digests.
pub fn seal(mut plan: Plan) -> Plan {
    plan.change_digest = change_digest(&plan);
    plan.digest = digest(&plan);
    plan
}

/// Returns the digest over everything but the digests themselves, and why backups stay, which nothing is done by.
#[must_use]
pub fn digest(plan: &Plan) -> Digest {
    let mut value = serde_json::to_value(plan).unwrap_or(Value::Null);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("digest");
        fields.remove("change_digest");
        fields.remove("kept");
    }
    sha256(canonical_value(&value).as_bytes())
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
pub(super) fn policy_digest(desired: &Desired) -> Digest {
    let documents: Vec<(String, Digest)> =
        desired.documents.iter().map(|(address, document)| (address.to_string(), document.digest)).collect();
    digest_of(&documents)
}
