//! Proves that a backup can be restored, and writes the evidence.

mod checks;
mod files;
mod run;

pub use run::{Drill, Finding, Stage, Subject};
