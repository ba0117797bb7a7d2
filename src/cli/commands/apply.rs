//! `bkup apply`: does what the policies ask for, or exactly what a saved plan says.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::narrow::NarrowArgs;
use crate::apply::{self, ApplyError};
use crate::catalog::Reader;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::plan_file;
use crate::cli::session::{self, Facts, RunClock, Session, Survey, Wiring, Wish, catalog_of, run_clock};
use crate::domain::{ApplyReport, Bytes, Desired, EnvText, Held, HeldReason, Instant, Outcome, Period, Plan};
use crate::engine::Connection;
use crate::plan::policy_digest;
use crate::render::{PlanView, Sources, age, plan_text, report_json, report_text};
use crate::store::ReadStore;

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A saved plan: it is the approval, and is applied exactly
    #[arg(value_name = "PLAN", conflicts_with_all = ["only", "target", "exclude", "allow_delete"])]
    pub plan: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Refuse a saved plan older than this
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub max_age: Period,
    /// How long to wait for work that someone else holds
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub lock_timeout: Period,
    /// Write the report here, also after a failure
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Make a catalog with a clock that BKUP_NOW moves: for tests and demos
    #[arg(long, hide = true)]
    pub init_simulated: bool,
    /// Which part of the work
    #[command(flatten)]
    pub narrow: NarrowArgs,
}

/// Plans or reads a plan, asks, and applies.
///
/// # Errors
/// Where nothing can be applied.
pub fn run(context: &mut Context, args: &ApplyArgs) -> Result<Exit, CliError> {
    match &args.plan {
        Some(path) => {
            let plan = plan_file::read_to_apply(context, path)?;
            apply_saved(context, args, &plan)
        }
        None => {
            // Everything but a saved plan needs an approval, and a pipeline should learn that at once.
            context.ui.require_approval(args.auto_approve)?;
            let session = Session::open(context)?;
            apply_fresh(context, &session, &args.narrow.wish(), args)
        }
    }
}

/// Plans, shows the plan, asks, and applies it.
///
/// # Errors
/// Where nothing can be applied.
pub fn apply_fresh(context: &mut Context, session: &Session, wish: &Wish, args: &ApplyArgs) -> Result<Exit, CliError> {
    let facts = Facts::of(context);
    let survey = context.block_on_reading(session.survey(&facts, args.init_simulated))??;
    let plan = session.plan(&survey, wish)?;
    if !context.ui.is_json() {
        let view = PlanView { plan: &plan, next: None, full: context.ui.verbosity > 0 };
        context.ui.print(&plan_text(view, &context.ui.style));
        context.ui.findings(&survey.findings, &survey.suppressed, &session.texts);
    }
    if !plan.refusals.is_empty() {
        return Err(CliError::of(&ApplyError::Refused(plan.refusals[0].words.clone()), Exit::Refused));
    }
    if !plan.actions.is_empty() {
        context.ui.approve(&question(&plan), args.auto_approve)?;
    }
    let catalog = session.catalog()?;
    let clock = RunClock { now: survey.now, simulated: survey.simulated };
    let record = Record { desired: Some(&survey.desired), texts: Some(&session.texts), adopted: None };
    execute(context, args, &plan, &catalog, clock, record)
}

/// What a run has beside its plan: what the policies ask for and their files' texts, for the record, and where backups
/// lie that are adopted.
#[derive(Clone, Copy, Default)]
struct Record<'a> {
    desired: Option<&'a Desired>,
    texts: Option<&'a Sources>,
    adopted: Option<&'a Arc<dyn ReadStore>>,
}

/// Plans and applies without showing the plan: for a command whose whole work it is.
///
/// # Errors
/// Where nothing can be applied.
pub fn apply_quietly(context: &mut Context, session: &Session, wish: &Wish) -> Result<(ApplyReport, Exit), CliError> {
    let facts = Facts::of(context);
    let survey = context.block_on_reading(session.survey(&facts, false))??;
    let plan = session.plan(&survey, wish)?;
    if let Some(refusal) = plan.refusals.first() {
        return Err(CliError::of(&ApplyError::Refused(refusal.words.clone()), Exit::Refused));
    }
    let catalog = session.catalog()?;
    let clock = RunClock { now: survey.now, simulated: survey.simulated };
    let record = Record { desired: Some(&survey.desired), texts: Some(&session.texts), adopted: None };
    let report = perform(context, &plan, &catalog, clock, Period::minutes(5), record)?;
    let exit = exit(&report);
    Ok((report, exit))
}

/// Applies the plan of an adoption; `place` is where its backups lie.
///
/// # Errors
/// Where nothing can be applied.
pub fn apply_adoption(
    context: &mut Context,
    session: &Session,
    survey: &Survey,
    plan: &Plan,
    place: Arc<dyn ReadStore>,
) -> Result<(ApplyReport, Exit), CliError> {
    let catalog = session.catalog()?;
    let clock = RunClock { now: survey.now, simulated: survey.simulated };
    let record = Record { desired: Some(&survey.desired), texts: None, adopted: Some(&place) };
    let report = perform(context, plan, &catalog, clock, Period::minutes(5), record)?;
    let exit = exit(&report);
    Ok((report, exit))
}

/// Applies exactly a saved plan: the file is the approval.
fn apply_saved(context: &mut Context, args: &ApplyArgs, plan: &Plan) -> Result<Exit, CliError> {
    let session = match Session::open(context) {
        Ok(session) => Some(session),
        Err(CliError::NoPolicies { .. }) => None,
        Err(error) => return Err(error),
    };
    let variable = || EnvText::Variable("BKUP_CATALOG_URL".to_owned());
    let text = session.as_ref().map_or_else(variable, |session| session.set.catalog_url());
    // Texts of other policies than the plan was made of are not those that it applies.
    let same = session.as_ref().filter(|session| policy_digest(&session.base) == plan.policy_digest);
    let catalog = catalog_of(&context.env_lookup(), &text)?;
    let facts = Facts::of(context);
    let making = plan.lineage.is_none() && plan.simulated;
    let options = catalog.options();
    let clock = context.block_on_reading(async { run_clock(&Reader::with(options), &facts, making).await })??;
    check_age(args, plan, clock.now)?;
    let record = Record { desired: None, texts: same.map(|session| &session.texts), adopted: None };
    execute(context, args, plan, &catalog, clock, record)
}

fn execute(
    context: &mut Context,
    args: &ApplyArgs,
    plan: &Plan,
    catalog: &Connection,
    clock: RunClock,
    record: Record<'_>,
) -> Result<Exit, CliError> {
    let report = perform(context, plan, catalog, clock, args.lock_timeout, record)?;
    write_report(context, args, &report)?;
    if !context.ui.is_json() {
        context.ui.print(&report_text(&report, &context.ui.style));
    }
    Ok(exit(&report))
}

fn perform(
    context: &mut Context,
    plan: &Plan,
    catalog: &Connection,
    clock: RunClock,
    lock_timeout: Period,
    record: Record<'_>,
) -> Result<ApplyReport, CliError> {
    let progress = context.ui.progress();
    let events = progress.sender().unwrap_or_else(|| std::sync::mpsc::channel().0);
    let wiring = Wiring::of(context)?;
    context.block_on(async {
        let mut runtime =
            session::runtime(&wiring, catalog, &plan.connections, clock, lock_timeout.to_std(), events).await?;
        if let Some(desired) = record.desired {
            session::for_the_record(&mut runtime, desired, clock.now);
        }
        runtime.policy_texts = record.texts.cloned().unwrap_or_default();
        runtime.adopted = record.adopted.cloned();
        apply::apply(&runtime, plan).await.map_err(|error| {
            let exit = match &error {
                ApplyError::Refused(_) => Exit::Refused,
                ApplyError::Stale(_) => Exit::Stale,
                ApplyError::Catalog(_) => Exit::Failed,
            };
            CliError::of(&error, exit)
        })
    })?
}

/// Returns the question that approves a plan, with the numbers that matter.
#[must_use]
pub fn question(plan: &Plan) -> String {
    let counts = plan.counts();
    let bytes: Bytes = plan.actions.iter().filter(|a| a.kind.deletes()).filter_map(|a| a.bytes).sum();
    let deletes = if counts.deletes == 0 {
        "deleting nothing".to_owned()
    } else {
        format!("deleting {} backups, {bytes}", counts.deletes)
    };
    format!("Apply {} actions, {deletes}?", plan.actions.len())
}

/// Checks that a saved plan is young enough to be its own approval.
///
/// # Errors
/// Where it is older than `--max-age`: exit 6.
pub fn check_age(args: &ApplyArgs, plan: &Plan, now: Instant) -> Result<(), CliError> {
    let old = Period::between(plan.as_of, now);
    if old <= args.max_age { Ok(()) } else { Err(CliError::TooOld { age: age(old), limit: age(args.max_age) }) }
}

/// Writes the report where asked, also after a failure.
///
/// # Errors
/// Where it cannot be written.
pub fn write_report(context: &Context, args: &ApplyArgs, report: &ApplyReport) -> Result<(), CliError> {
    args.report.iter().try_for_each(|path| plan_file::write_whole(context, path, &report_json(report)))
}

/// Returns how an apply ends, by what became of its actions. Interruption is the context's to know.
#[must_use]
pub fn exit(report: &ApplyReport) -> Exit {
    let of = |test: fn(&Outcome) -> bool| report.actions.iter().any(|action| test(&action.outcome));
    // What could not even be looked at is not done either: a night without its store must not end as a success.
    let blind = |held: &Held| {
        use HeldReason::{CatalogUnreachable, DatabaseUnreachable, StoreUnreachable, UnsupportedServer};
        matches!(held.reason, CatalogUnreachable | DatabaseUnreachable | StoreUnreachable | UnsupportedServer)
    };
    let failed = of(|o| matches!(o, Outcome::Failed { .. } | Outcome::NotReached)) || report.held.iter().any(blind);
    let done = of(|o| matches!(o, Outcome::Done { .. } | Outcome::Violated { .. }));
    if failed && done {
        Exit::PartlyApplied
    } else if failed {
        Exit::Failed
    } else if of(|o| matches!(o, Outcome::Violated { .. })) {
        Exit::Violated
    } else if of(|o| matches!(o, Outcome::Claimed { .. })) {
        Exit::Locked
    } else {
        Exit::Success
    }
}
