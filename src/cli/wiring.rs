//! The seams to modules that commands call through one function each, so that a command reads as what it does.

use crate::diag::{Code, Diagnostic};
use crate::domain::{Digest, Instant, Plan};
use crate::policy::{self, SourceFile};
use crate::{crypto, plan, trial};

/// Reads a set of policies and proves what it promises, offline.
pub(super) fn judge(files: &[SourceFile], now: Instant) -> policy::Judged {
    policy::judge(files, &policy::Facts::at(now))
}

/// Returns a policy file's text in the one layout; findings where it cannot be had.
pub(super) fn formatted(file: &SourceFile) -> Result<String, Vec<Diagnostic>> {
    policy::format(file)
}

/// Returns a policy's text with its secrets masked.
pub(super) fn masked(text: &str) -> String {
    policy::masked(text)
}

/// Returns the JSON Schema of a policy file.
pub(super) fn policy_schema() -> serde_json::Value {
    policy::schema()
}

/// Returns every code that judging policies can give, with its meaning in one line.
pub(super) const fn policy_codes() -> &'static [(Code, &'static str)] {
    policy::codes()
}

/// Returns the JSON Schema of a file of tests.
pub(super) fn test_schema() -> serde_json::Value {
    trial::schema()
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
