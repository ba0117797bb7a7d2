//! `bkup drill`: runs a recovery plan's drill now, due or not.

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::policies;
use crate::domain::{Evidence, Name};
use crate::render::evidence_text;

/// Arguments of `drill`.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// The recovery plan that is drilled
    #[arg(value_name = "RECOVERY-PLAN")]
    pub plan: Name,
    /// Write the evidence here as JSON
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
}

/// Runs the drill.
///
/// # Errors
/// Where it cannot be run at all; one that runs and fails is exit 8.
pub fn run(context: &mut Context, _args: &DrillArgs) -> Result<Exit, CliError> {
    policies::read_all(context)?;
    Err(CliError::NotServed("drill"))
}

/// Prints the evidence of a drill and returns how `drill` ends.
pub fn show(context: &Context, evidence: &Evidence) -> Exit {
    let ui = &context.ui;
    let json = || serde_json::to_string_pretty(evidence).map(|text| text + "\n").unwrap_or_default();
    ui.print(&if ui.is_json() { json() } else { evidence_text(evidence, &ui.style) });
    if evidence.status == "passed" { Exit::Success } else { Exit::Violated }
}
