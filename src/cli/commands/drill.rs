//! `bkup drill`: runs a recovery plan's drill now, due or not.

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::{plan_file, wiring};
use crate::domain::{Evidence, Name};
use crate::render::{evidence_json, evidence_text};

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
    wiring::policy_set(context)?;
    Err(CliError::NotServed("drill"))
}

/// Writes the evidence of a drill where asked, prints it, and returns how `drill` ends.
///
/// # Errors
/// Where the file cannot be written.
pub fn show(context: &Context, args: &DrillArgs, evidence: &Evidence) -> Result<Exit, CliError> {
    args.evidence.iter().try_for_each(|path| plan_file::write_whole(context, path, &evidence_json(evidence)))?;
    let ui = &context.ui;
    ui.print(&if ui.is_json() { evidence_json(evidence) } else { evidence_text(evidence, &ui.style) });
    Ok(if evidence.status == "passed" { Exit::Success } else { Exit::Violated })
}
