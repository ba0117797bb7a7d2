//! Tests of policies: given a clock, tenants and a history, what the plan must and must not have. Pure: the shell reads
//! the files; a test asks the same planner that `plan` and `apply` ask, over a world that its file describes.
//!
//! The way of a test file: `raw` (the language as written, read as strictly as policies) → `world` with `history` (what
//! the planner looks at) → `judge` (what the plan has against what is expected). Nothing here decides what is due or
//! kept: a test that passes says something about the planner that will run.

mod codes;
mod facts;
mod history;
mod judge;
mod names;
mod raw;
mod read;
mod things;
mod value;
mod verdicts;
mod world;

pub use judge::run;
pub use read::{Suite, read};

use crate::diag::Code;
use crate::policy::schema_of;

/// Returns the JSON Schema (draft-07) of a test file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema_of::<raw::TestFile>("bkup policy tests, version 1")
}

/// Returns every code that running tests can give beside those of policies, with its meaning in one line, sorted by code.
#[must_use]
pub const fn codes() -> &'static [(Code, &'static str)] {
    codes::ALL
}
