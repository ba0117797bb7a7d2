//! The first workflows of a repository: those that `export` writes, calling the program and using no action but the
//! checkout, since nobody has said yet where an action is to come from. Pure.

use std::collections::BTreeSet;

use super::Wishes;
use crate::domain::{Name, StoreUrl, ZoneName};
use crate::policy::export::{Cadence, Drills, Flow, all as flows};

/// Returns them, with their paths in the repository.
pub(super) fn all(wishes: &Wishes, plans: &[Name]) -> Vec<(String, String)> {
    let variables = BTreeSet::from(["BKUP_CATALOG_URL", wishes.url_variable.as_str()]);
    flows(&Flow {
        folder: &wishes.folder,
        variables: variables.into_iter().collect(),
        identities: if wishes.recipients.is_empty() { Vec::new() } else { vec!["BKUP_AGE_IDENTITY"] },
        s3: matches!(wishes.store, Some(StoreUrl::S3 { .. })),
        regions: &BTreeSet::new(),
        cadence: &Cadence::hourly(ZoneName::utc()),
        drills: if plans.is_empty() { Drills::None } else { Drills::Asked(plans) },
        action: None,
    })
}
