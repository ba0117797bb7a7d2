//! The seams to modules that commands call through one function each, so that a command reads as what it does.

use super::context::Context;
use super::failure::CliError;
use super::policies;
use crate::diag::Severity;
use crate::domain::{Digest, Plan};
use crate::policy::{self, PolicySet};
use crate::render::findings_summary;

/// Reads the policies for a command that works with them. Errors in them are shown and end it with exit 3; warnings
/// are `validate`'s to show.
///
/// # Errors
/// Where there are none, one cannot be read, or they are invalid.
pub fn policy_set(context: &Context) -> Result<PolicySet, CliError> {
    let files = policies::read_all(context)?;
    let (set, mut findings) = policy::read(&files);
    findings.retain(|finding| finding.severity == Severity::Error);
    if findings.is_empty() {
        return Ok(set);
    }
    context.ui.findings(&findings, &policies::sources(&files));
    Err(CliError::InvalidPolicies { summary: findings_summary(&findings) })
}

/// Returns the digests that a plan of this content has; absent where they cannot be made.
pub(super) const fn plan_digests(_plan: &Plan) -> Option<(Digest, Digest)> {
    None
}
