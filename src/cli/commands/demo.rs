//! `bkup demo`: the whole promise on this machine, with a server and a store of its own.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the server running, with an environment file to source and a stop command
    #[arg(long)]
    pub keep: bool,
}

/// Runs the demo.
///
/// # Errors
/// Where a step of it fails.
pub fn run(_context: &mut Context, _args: &DemoArgs) -> Result<Exit, CliError> {
    Err(CliError::NotServed("demo"))
}
