//! `bkup list`: the backups there are.

use clap::Args;

use crate::catalog::{CatalogError, Reader};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::{Facts, Session, run_clock};
use crate::domain::{Backup, CatalogState, Instant, Name, TenantRecord};
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
pub fn run(context: &mut Context, args: &ListArgs) -> Result<Exit, CliError> {
    let session = Session::open(context)?;
    let facts = Facts::of(context);
    let catalog = session.catalog()?;
    let (state, now) = context.block_on_reading(async {
        let failed = |error: CatalogError| CliError::of(&error, Exit::Failed);
        let reader = Reader::with(catalog.options());
        let clock = run_clock(&reader, &facts, false).await?;
        Ok::<_, CliError>((reader.state().await.map_err(failed)?, clock.now))
    })??;
    let backups = match state {
        CatalogState::Absent => Vec::new(),
        CatalogState::Present(facts) => {
            let wanted = |record: &&TenantRecord| args.tenant.as_deref() == Some(record.slug.as_str());
            for record in facts.tenants.iter().filter(wanted) {
                if let Some(at) = record.offboarded_at {
                    let at = at.strftime("%Y-%m-%d %H:%M UTC");
                    let words = format!("{} tenant={} was offboarded at {at}", record.database, record.slug);
                    context.ui.note(&context.ui.err_style.name(&words));
                }
            }
            facts.backups
        }
    };
    Ok(show(context, args, backups, now))
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
