//! `--expect-digest`: a review approves changes, not a file. The plan is made anew, and goes on only where its changes
//! are those that were approved.

use crate::catalog::PlanEnd;
use crate::cli::failure::CliError;
use crate::domain::{ActionClass, ActionKind, Plan};
use crate::render::moment;

/// The fewest digits that are taken for a digest: enough that no other plan of a catalog begins so by chance.
const FEWEST: usize = 12;
/// How many changes are named.
const NAMED: usize = 8;

/// Reads a digest, or the begin of one, as `plan` prints it.
///
/// # Errors
/// Where it is none: exit 64.
pub fn read(text: &str) -> Result<String, CliError> {
    let digits = text.trim().strip_prefix("sha256:").unwrap_or(text.trim()).to_ascii_lowercase();
    let fits = (FEWEST..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if fits {
        return Ok(digits);
    }
    Err(CliError::usage(
        format!("--expect-digest {text:?} is no digest of changes"),
        format!("give the change digest of the plan that was reviewed: {FEWEST} to 64 hexadecimal digits"),
    ))
}

/// Checks that a plan's changes are the expected ones. `before` is how a plan with the expected changes ended that was
/// applied earlier.
///
/// # Errors
/// Where they are others: exit 6.
pub fn check(plan: &Plan, expected: &str, before: Option<&PlanEnd>) -> Result<(), CliError> {
    let found = plan.change_digest.to_string();
    if found.starts_with(expected) {
        return Ok(());
    }
    let mut help = differs(plan);
    if let Some(end) = before {
        help.push_str(&format!("; the expected changes were applied {} by run {}", moment(end.at), end.run));
    }
    help.push_str("; review `bkup plan` again, and expect its change digest");
    Err(CliError::OtherChanges { expected: expected.to_owned(), found, help })
}

/// Says what the plan changes now. What was reviewed is known by its digest alone.
fn differs(plan: &Plan) -> String {
    let mut changes: Vec<String> = plan
        .actions
        .iter()
        .filter_map(|action| match &action.kind {
            ActionKind::Tombstone(work) | ActionKind::Purge(work) if work.caused_by_change => {
                Some(format!("{} {}", action.kind.word(), work.backup))
            }
            _ if action.class == ActionClass::Change => Some(format!("{} {}", action.kind.word(), action.address)),
            _ => None,
        })
        .collect();
    if changes.is_empty() {
        return "the plan changes nothing now".to_owned();
    }
    let more = changes.len().saturating_sub(NAMED);
    changes.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("the plan now has {}{more}", changes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_digest_may_be_short_but_not_too_short() {
        let whole = "0123456789abcdef".repeat(4);
        for (text, digits) in [
            ("0123456789ab", "0123456789ab"),
            ("sha256:0123456789ABCDEF", "0123456789abcdef"),
            (whole.as_str(), whole.as_str()),
        ] {
            assert_eq!(read(text).unwrap(), digits);
        }
        for text in ["", "0123456789a", "0123456789ag", &format!("{whole}0"), "sha256:"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
