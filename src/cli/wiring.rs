//! The seams to modules that commands call through one function each, so that a command reads as what it does.

use crate::diag::Diagnostic;
use crate::domain::{Digest, Instant, Plan};
use crate::policy::{self, SourceFile};
use crate::{crypto, plan};

/// Reads a set of policies and proves what it promises; returns every finding.
pub(super) fn judge(files: &[SourceFile], now: Instant) -> Vec<Diagnostic> {
    policy::judge(files, &policy::Facts::at(now)).1
}

/// Returns the JSON Schema of a policy file.
pub(super) fn policy_schema() -> serde_json::Value {
    policy::schema()
}

/// Returns the digests that a plan of this content has.
pub(super) fn plan_digests(plan: &Plan) -> (Digest, Digest) {
    (plan::digest(plan), plan::change_digest(plan))
}

/// Makes a key pair and returns the text of its identity file and its public key.
pub(super) fn new_identity(created: Instant) -> (secrecy::SecretString, String) {
    let made = crypto::generate_identity(created);
    (made.text, made.recipient.to_string())
}
