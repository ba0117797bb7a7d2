//! `bkup schema`: the JSON Schema of policy files, for editors.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::policy;

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {}

/// Prints the schema.
///
/// # Errors
/// None of its own.
pub fn run(context: &mut Context, _args: &SchemaArgs) -> Result<Exit, CliError> {
    context.ui.print(&format!("{:#}\n", policy::schema()));
    Ok(Exit::Success)
}
