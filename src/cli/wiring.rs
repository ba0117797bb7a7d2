//! The seams to modules that commands call through one function each, so that a command reads as what it does.

use super::failure::CliError;
use super::policies::PolicyFile;
use crate::diag::Diagnostic;
use crate::domain::{Digest, Instant, Plan};

/// Reads a set of policies and returns every finding.
pub(super) fn judge(_files: &[PolicyFile]) -> Result<Vec<Diagnostic>, CliError> {
    Err(CliError::NotServed("validate"))
}

/// Returns the JSON Schema of a policy file.
pub(super) fn policy_schema() -> Result<serde_json::Value, CliError> {
    Err(CliError::NotServed("schema"))
}

/// Returns the digests that a plan of this content has; absent where they cannot be made.
pub(super) const fn plan_digests(_plan: &Plan) -> Option<(Digest, Digest)> {
    None
}

/// Makes a key pair and returns the text of its identity file and its public key.
pub(super) fn new_identity(_created: Instant) -> Result<(secrecy::SecretString, String), CliError> {
    Err(CliError::NotServed("key generate"))
}
