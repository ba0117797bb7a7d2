//! `bkup orphans`: backups whose schedule, database or store is gone from the policies, or whose tenant is gone, and what
//! would release them.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::lives::Looked;
use crate::render::{orphans_json, orphans_text};

/// Arguments of `orphans`.
#[derive(Debug, Args)]
pub struct OrphansArgs {}

/// Lists orphans.
///
/// # Errors
/// Where they cannot be known.
pub fn run(context: &mut Context, _: &OrphansArgs) -> Result<Exit, CliError> {
    let looked = Looked::at(context)?;
    let orphans = looked.lives().orphans();
    let ui = &context.ui;
    ui.print(&if ui.is_json() {
        orphans_json(&orphans, looked.now())
    } else {
        orphans_text(&orphans, looked.now(), &ui.style)
    });
    Ok(Exit::Success)
}
