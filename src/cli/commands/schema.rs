//! `bkup schema`: the JSON Schemas of what people write, for editors.

use clap::{Args, ValueEnum};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::wiring;

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which files
    #[arg(value_enum, value_name = "WHAT", default_value_t = What::Policies)]
    pub what: What,
}

/// Files that people write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Policies.
    #[value(help = None::<&str>)]
    Policies,
    /// Tests of policies.
    #[value(help = None::<&str>)]
    Tests,
}

/// Prints the schema.
///
/// # Errors
/// None of its own.
pub fn run(context: &mut Context, args: &SchemaArgs) -> Result<Exit, CliError> {
    let schema = match args.what {
        What::Policies => wiring::policy_schema(),
        What::Tests => wiring::test_schema(),
    };
    context.ui.print(&format!("{schema:#}\n"));
    Ok(Exit::Success)
}
