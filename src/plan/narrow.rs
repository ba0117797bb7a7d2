//! Narrowing a plan to some kinds of work or some addresses.

use globset::Glob;

use crate::domain::{Address, CatalogState, Desired, Narrowing, Observation, Observed};

/// The words `--only` takes.
pub const FAMILIES: [&str; 5] = ["changes", "backups", "verify", "retention", "drills"];

/// A narrowing that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// `--only` takes another word.
    #[error("{0:?} is no kind of work: --only takes changes, backups, verify, retention or drills")]
    UnknownFamily(String),
    /// It is no glob.
    #[error("{0:?} is not a glob over addresses such as `schedule.*`")]
    BadGlob(String),
    /// Nothing has such an address.
    #[error("no address matches {0:?}; the addresses are {1}")]
    NoMatch(String, String),
}

/// Checks that every word and glob means something.
///
/// # Errors
/// The first word or glob that does not.
pub fn check(narrowing: &Narrowing, desired: &Desired, observed: &Observed) -> Result<(), NarrowError> {
    let families = narrowing.only.iter().flat_map(|only| only.split(','));
    if let Some(unknown) = families.into_iter().find(|family| !FAMILIES.contains(family)) {
        return Err(NarrowError::UnknownFamily(unknown.to_owned()));
    }
    let mut addresses: Vec<String> = desired.documents.keys().map(ToString::to_string).collect();
    if let Observation::Known(CatalogState::Present(facts)) = &observed.catalog {
        addresses.extend(facts.applied.keys().map(ToString::to_string));
    }
    addresses.sort_unstable();
    addresses.dedup();
    for pattern in narrowing.target.iter().chain(&narrowing.exclude) {
        let matcher = Glob::new(pattern).map_err(|_| NarrowError::BadGlob(pattern.clone()))?.compile_matcher();
        if !addresses.iter().any(|address| matcher.is_match(address)) {
            return Err(NarrowError::NoMatch(pattern.clone(), addresses.join(", ")));
        }
    }
    Ok(())
}

/// Returns whether an address is inside the narrowing. A pattern that is no glob matches nothing; [`check`] reports it.
pub(super) fn in_target(narrowing: &Narrowing, address: &Address) -> bool {
    let address = address.to_string();
    let matches = |pattern: &String| Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(&address));
    (narrowing.target.is_empty() || narrowing.target.iter().any(matches)) && !narrowing.exclude.iter().any(matches)
}
