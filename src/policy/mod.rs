//! Reads policies: the texts of all files to one [`PolicySet`], with every problem of every file in one run, and
//! resolves the set with the live tenants to what is desired. Pure: the shell reads the files and the servers.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic};
use crate::domain::{Desired, EnvText, Name, Tenant};

/// One policy file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The name people see in findings and plans, as the user gave it: `policies/stores.yaml`.
    pub name: String,
    /// Its content; a file that is not UTF-8 becomes a finding.
    pub bytes: Vec<u8>,
}

/// The tenants that a live database shows, or why they could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveTenants {
    /// The tenants found.
    Known(Vec<Tenant>),
    /// Why they could not be read.
    Unknown(String),
}

/// Everything the policy files say, typed, with the places it was read from.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {}

impl PolicySet {
    /// Returns the catalog's connection string; `${BKUP_CATALOG_URL}` where no file says it.
    #[must_use]
    pub fn catalog_url(&self) -> EnvText {
        unimplemented!()
    }

    /// Resolves the set with the live tenants of each database that has a tenant selector. A database that is missing
    /// in `tenants` counts as unknown. Findings are about the tenants only: what the files say was judged by [`read`].
    #[must_use]
    pub fn desired(&self, _tenants: &BTreeMap<Name, LiveTenants>) -> (Desired, Vec<Diagnostic>) {
        unimplemented!()
    }
}

/// Reads a set of policy files. Findings come in the order of the files and places; the set holds what could be read,
/// and must not be used for anything but showing where any finding is an error.
#[must_use]
pub fn read(_files: &[SourceFile]) -> (PolicySet, Vec<Diagnostic>) {
    unimplemented!()
}

/// Returns the JSON Schema (draft-07) of a policy file.
#[must_use]
pub fn schema() -> serde_json::Value {
    unimplemented!()
}

/// Returns every code that reading and resolving policies can give, with a one-line meaning, sorted.
#[must_use]
pub fn codes() -> &'static [(Code, &'static str)] {
    &[]
}
