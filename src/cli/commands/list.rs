//! `bkup list`: the backups there are.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::wiring;
use crate::domain::{Backup, Instant, Name};
use crate::render::{backups_json, backups_text};

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<Name>,
    /// Only of this tenant
    #[arg(long, value_name = "SLUG")]
    pub tenant: Option<String>,
    /// Only in this store
    #[arg(long, value_name = "NAME")]
    pub store: Option<Name>,
    /// Only of this schedule
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<Name>,
    /// Also tombstoned ones, which can still be brought back
    #[arg(long)]
    pub all: bool,
}

/// Lists backups.
///
/// # Errors
/// Where they cannot be known.
pub fn run(context: &mut Context, _args: &ListArgs) -> Result<Exit, CliError> {
    wiring::policy_set(context)?;
    Err(CliError::NotServed("list"))
}

/// Prints the backups that the arguments ask for, newest first.
pub fn show(context: &Context, args: &ListArgs, mut backups: Vec<Backup>, as_of: Instant) -> Exit {
    backups.retain(|backup| {
        args.database.as_ref().is_none_or(|name| backup.database.as_ref() == Some(name))
            && args.tenant.as_deref().is_none_or(|slug| backup.scope.tenant() == Some(slug))
            && args.store.as_ref().is_none_or(|name| backup.store == *name)
            && args.schedule.as_ref().is_none_or(|name| backup.schedule == *name)
            && (args.all || backup.tombstoned_at.is_none())
    });
    backups.sort_by(|a, b| (b.consistent_at, &a.database, &a.scope).cmp(&(a.consistent_at, &b.database, &b.scope)));
    let ui = &context.ui;
    ui.print(&if ui.is_json() { backups_json(&backups, as_of) } else { backups_text(&backups, as_of, &ui.style) });
    Exit::Success
}
