//! `bkup completions`: a completion script.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::args::Arguments;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// None of its own.
pub fn run(context: &mut Context, args: &CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "bkup", &mut script);
    context.ui.print(&String::from_utf8_lossy(&script));
    Ok(Exit::Success)
}
