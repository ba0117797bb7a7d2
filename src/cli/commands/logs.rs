//! `bkup logs`: what runs did, from the catalog; from the reports in the stores where the catalog cannot say.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use futures_util::TryStreamExt;

use super::apply::catalog_at_hand;
use crate::catalog::{CatalogError, Reader};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::Session;
use crate::domain::{ApplyReport, Meant, Outcome, RunId, RunLog, RunState, RunSummary};
use crate::render::{backup_log_json, backup_log_text, run_log_json, run_log_text, runs_json, runs_text};
use crate::store::{self, ReadStore, layout};

/// The largest report that is read from a store.
const LARGEST: u64 = 256 << 20;

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// A run, a backup or an execution, or the begin of its id; without it, the runs are listed
    #[arg(value_name = "RUN|BACKUP")]
    pub what: Option<String>,
    /// How many runs are listed
    #[arg(long, value_name = "N", default_value = "10", conflicts_with = "what")]
    pub last: u32,
}

/// Shows runs, one run, or one backup.
///
/// # Errors
/// Where they cannot be known, or the id means nothing or too much.
pub fn run(context: &mut Context, args: &LogsArgs) -> Result<Exit, CliError> {
    let catalog = catalog_at_hand(context)?;
    let known = context.block_on_reading(async {
        let reader = Reader::with(catalog.options());
        ask(&reader, args).await
    })?;
    let why = match known {
        Ok(Some(answer)) => return answer.show(context),
        Ok(None) => None,
        Err(error @ CatalogError::Unreachable { .. }) => Some(error),
        Err(error) => return Err(CliError::of(&error, Exit::Failed)),
    };
    // What the catalog cannot say may be in a store: each run left its report there.
    let unknown = || args.what.as_deref().map_or_else(|| CliError::NoRuns, |what| CliError::unknown_id(what, &[]));
    let session = match Session::open(context) {
        Ok(session) => session,
        Err(CliError::NoPolicies { .. }) => return Err(why.map_or_else(unknown, |e| CliError::of(&e, Exit::Failed))),
        Err(error) => return Err(error),
    };
    if let Some(error) = &why {
        let words = format!("the catalog does not answer ({error}); these are the reports in the stores");
        context.ui.note(&context.ui.err_style.name(&words));
    }
    let found = context.block_on_reading(in_stores(&session, args))?;
    match found {
        Some(answer) => answer.show(context),
        None => Err(why.map_or_else(unknown, |error| CliError::of(&error, Exit::Failed))),
    }
}

enum Answer {
    Runs(Vec<RunSummary>),
    Run(Box<RunLog>),
    Backup(crate::domain::BackupLog),
    Unclear(String, Vec<Meant>),
}

impl Answer {
    fn show(self, context: &Context) -> Result<Exit, CliError> {
        let ui = &context.ui;
        let text = match self {
            Self::Unclear(what, meant) => return Err(CliError::unknown_id(&what, &meant)),
            Self::Runs(runs) if ui.is_json() => runs_json(&runs),
            Self::Runs(runs) => runs_text(&runs, &ui.style),
            Self::Run(log) if ui.is_json() => run_log_json(&log),
            Self::Run(log) => run_log_text(&log, &ui.style),
            Self::Backup(log) if ui.is_json() => backup_log_json(&log),
            Self::Backup(log) => backup_log_text(&log, &ui.style),
        };
        ui.print(&text);
        Ok(Exit::Success)
    }
}

/// Asks the catalog; `None` where it does not know, or there is none.
async fn ask(reader: &Reader, args: &LogsArgs) -> Result<Option<Answer>, CatalogError> {
    if reader.meta().await?.is_none() {
        return Ok(None);
    }
    let Some(what) = &args.what else { return reader.runs(args.last).await.map(Answer::Runs).map(Some) };
    let found = reader.meant(what).await?;
    Ok(match found.as_slice() {
        [] => None,
        [Meant::Run(run)] => reader.run_log(run).await?.map(Box::new).map(Answer::Run),
        [Meant::Backup(backup)] => Some(Answer::Backup(reader.backup_log(backup).await?)),
        [Meant::Execution(execution)] => match reader.backup_of_execution(execution).await? {
            Some(backup) => Some(Answer::Backup(reader.backup_log(&backup).await?)),
            None => None,
        },
        _ => Some(Answer::Unclear(what.clone(), found)),
    })
}

/// Reads reports from the first store that has some.
async fn in_stores(session: &Session, args: &LogsArgs) -> Option<Answer> {
    for spec in session.base.stores.values() {
        let Ok((store, _)) = session.store(spec).await else { continue };
        if let Some(what) = &args.what {
            let Ok(run) = serde_json::from_value::<RunId>(serde_json::Value::String(what.clone())) else { continue };
            if let Some(report) = report(store.as_ref(), &layout::run(&run)).await {
                let log = RunLog { run: None, report: Some(Box::new(report)), actions: vec![], attempts: vec![] };
                return Some(Answer::Run(Box::new(log)));
            }
            continue;
        }
        let listed: Result<Vec<_>, _> = store::list(Arc::clone(&store), "runs/").try_collect().await;
        let mut keys: Vec<String> = listed.unwrap_or_default().into_iter().map(|facts| facts.key).collect();
        // The keys begin with the year and the month, and the names with the instant.
        keys.sort_unstable_by(|a, b| b.cmp(a));
        let mut runs = Vec::new();
        for key in keys.iter().take(usize::try_from(args.last).unwrap_or(usize::MAX)) {
            runs.extend(report(store.as_ref(), key).await.as_ref().and_then(summary));
        }
        if !runs.is_empty() {
            return Some(Answer::Runs(runs));
        }
    }
    None
}

async fn report(store: &dyn ReadStore, key: &str) -> Option<ApplyReport> {
    serde_json::from_slice(&store.get(key, LARGEST).await.ok()?).ok()
}

/// Sums a report up as the catalog would. Who ran it is not in it.
fn summary(report: &ApplyReport) -> Option<RunSummary> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for action in &report.actions {
        let word = match &action.outcome {
            Outcome::Done { .. } => "done",
            Outcome::AlreadyDone { .. } => "already_done",
            Outcome::Skipped { .. } => "skipped",
            Outcome::Claimed { .. } => "claimed",
            Outcome::Failed { .. } => "failed",
            Outcome::Violated { .. } => "violated",
            Outcome::NotReached => "not_reached",
        };
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    Some(RunSummary {
        run: report.run.to_string(),
        plan_digest: report.plan_digest?,
        runner: "unknown".to_owned(),
        actor: "unknown".to_owned(),
        begin: report.begin,
        end: Some(report.end),
        elapsed_ms: Some(report.elapsed_ms),
        state: RunState::Ended,
        counts,
        canceled: None,
    })
}
