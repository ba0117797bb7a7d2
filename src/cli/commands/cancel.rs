//! `bkup cancel`: takes running work its right to finish away.

use clap::Args;

use super::apply::catalog_at_hand;
use crate::catalog::{CancelWish, CanceledExecution, CatalogError, Writer};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::{Facts, Wiring, run_clock};
use crate::domain::{AttemptLog, Meant};
use crate::render::{canceled_json, canceled_text};

/// Arguments of `cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// An execution, a backup that is being taken, or a run; the begin of its id is enough where it is the only one
    #[arg(value_name = "EXECUTION|BACKUP|RUN")]
    pub what: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Cancels it.
///
/// # Errors
/// Where nothing of it is running, or the id means nothing or too much.
pub fn run(context: &mut Context, args: &CancelArgs) -> Result<Exit, CliError> {
    let catalog = catalog_at_hand(context)?;
    let facts = Facts::of(context);
    let actor = Wiring::of(context)?.actor().to_owned();
    let (meant, canceled) = context.block_on(async {
        let failed = |error: CatalogError| CliError::of(&error, Exit::Failed);
        let writer = Writer::with(catalog.options());
        let clock = run_clock(writer.reader(), &facts, false).await?;
        if writer.reader().meta().await.map_err(failed)?.is_none() {
            return Err(failed(CatalogError::Absent));
        }
        let found = writer.reader().meant(&args.what).await.map_err(failed)?;
        let [meant] = found.as_slice() else { return Err(CliError::unknown_id(&args.what, &found)) };
        let wish = CancelWish { by: &actor, reason: args.reason.as_deref(), at: clock.now };
        let canceled = writer.cancel(meant, &wish).await.map_err(failed)?;
        if canceled.as_ref().is_none_or(|canceled| canceled.is_empty() && !matches!(meant, Meant::Run(_))) {
            return not_running(&writer, meant).await;
        }
        Ok((meant.clone(), canceled.unwrap_or_default()))
    })??;
    let run = if let Meant::Run(run) = &meant { Some(run.as_str()) } else { None };
    let rows: Vec<AttemptLog> = canceled.iter().map(row).collect();
    let ui = &context.ui;
    ui.print(&if ui.is_json() { canceled_json(run, &rows) } else { canceled_text(run, &rows, &ui.style) });
    Ok(Exit::Success)
}

/// Says why there was nothing to cancel; what is canceled already is no failure.
async fn not_running(writer: &Writer, meant: &Meant) -> Result<(Meant, Vec<CanceledExecution>), CliError> {
    let failed = |error: CatalogError| CliError::of(&error, Exit::Failed);
    let reader = writer.reader();
    let backup = match meant {
        Meant::Run(run) => {
            return Err(CliError::NotRunning { what: format!("run {run}"), state: "has ended".to_owned() });
        }
        Meant::Backup(backup) => Some(backup.clone()),
        Meant::Execution(execution) => reader.backup_of_execution(execution).await.map_err(failed)?,
    };
    let Some(backup) = backup else { return Err(CliError::unknown_id(meant.id(), &[])) };
    let log = reader.backup_log(&backup).await.map_err(failed)?;
    let own = |attempt: &&AttemptLog| !matches!(meant, Meant::Execution(id) if id != &attempt.execution);
    match log.attempts.iter().rfind(own) {
        Some(last) if last.status == "CANCELED" => Ok((meant.clone(), Vec::new())),
        Some(last) => {
            let state = format!("is not running: attempt {} is {}", last.attempt, last.status.to_lowercase());
            Err(CliError::NotRunning { what: format!("backup {backup}"), state })
        }
        None => Err(CliError::unknown_id(meant.id(), &[])),
    }
}

fn row(canceled: &CanceledExecution) -> AttemptLog {
    AttemptLog {
        execution: canceled.execution.clone(),
        backup: canceled.backup.clone(),
        attempt: canceled.attempt,
        status: "CANCELED".to_owned(),
        schedule: canceled.schedule.parse().ok(),
        database: canceled.database.as_ref().and_then(|name| name.parse().ok()),
        scope: Some(canceled.scope.clone()),
        slot: Some(canceled.slot),
        run: None,
        runner: canceled.runner.clone(),
        begin: None,
        elapsed_ms: None,
        size: None,
        error: None,
    }
}
