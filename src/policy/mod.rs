//! Reads policies: the texts of all files to one [`PolicySet`], with every problem of every file in one run, and
//! resolves the set with the live tenants to what is desired. Pure: the shell reads the files and asks the servers.
//!
//! The way of a file: bytes → `text` (a tree that keeps every scalar as written, with places) → `raw` (the sections,
//! typed) → `check` (what is wrong across things) → [`PolicySet`]. Semantic checks name a place by its path, so the
//! types of `domain` carry no places.

mod check;
pub(crate) mod codes;
pub(crate) mod decode;
mod describe;
pub mod export;
mod fix;
mod format;
mod globs;
mod ignore;
pub mod import;
mod prove;
mod raw;
mod read;
pub(crate) mod record;
mod resolve;
mod schema;
mod set;
pub mod starter;
pub(crate) mod text;
pub(crate) mod values;
mod write;

pub use check::masked;
pub use fix::{Mended, apply_edits, mend};
pub use format::format;
pub use ignore::is_drift;
pub use prove::{Facts, Measured, changed_plans};
pub(crate) use raw::{Named, Version};
pub(crate) use read::{Dialect, read_texts, sort};
pub use read::{Judged, judge, read};
pub use resolve::LiveTenants;
pub use schema::schema;
pub(crate) use schema::schema_of;
pub use set::PolicySet;

use crate::diag::Code;

/// One policy file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The name people see in findings and plans, as the user gave it: `policies/stores.yaml`.
    pub name: String,
    /// Its content; a file that is not UTF-8 becomes a finding.
    pub bytes: Vec<u8>,
}

/// Returns every code that reading and resolving policies can give, with its meaning in one line, sorted by code.
#[must_use]
pub const fn codes() -> &'static [(Code, &'static str)] {
    codes::ALL
}
