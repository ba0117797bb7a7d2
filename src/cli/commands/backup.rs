//! `bkup backup`: takes a schedule's backup now, for `on: request` and before risky work.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::wiring;
use crate::domain::Name;

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The schedule whose backup is taken
    #[arg(value_name = "SCHEDULE")]
    pub schedule: Name,
    /// Only of this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<Name>,
    /// Only of this tenant, by slug
    #[arg(long, value_name = "SLUG")]
    pub tenant: Option<String>,
}

/// Takes the backup.
///
/// # Errors
/// Where it cannot be taken.
pub fn run(context: &mut Context, _args: &BackupArgs) -> Result<Exit, CliError> {
    wiring::policy_set(context)?;
    Err(CliError::NotServed("backup"))
}
