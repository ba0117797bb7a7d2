//! `bkup apply`: does what the policies ask for, or exactly what a saved plan says.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::markdown::MarkdownArgs;
use super::narrow::NarrowArgs;
use super::restore::{self, RestoreArgs};
use super::{expect, since};
use crate::apply::{self, ApplyError};
use crate::catalog::Reader;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::progress::HEARTBEAT;
use crate::cli::session::{self, Facts, RunClock, Session, Wiring, Wish, catalog_of, run_clock};
use crate::cli::survey::Survey;
use crate::cli::version;
use crate::cli::{github, plan_file};
use crate::diag::Explain;
use crate::domain::{ApplyReport, Bytes, Desired, EnvText, Instant, Outcome, Period, Plan, RunFailure, RunId};
use crate::engine::Connection;
use crate::plan::policy_digest;
use crate::render::{PlanView, Sources, age, plan_text, report_json, report_markdown, report_text};
use crate::store::ReadStore;

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A saved plan: it is the approval, and is applied exactly
    #[arg(value_name = "PLAN", conflicts_with_all = ["only", "target", "exclude", "allow_delete", "expect_digest"])]
    pub plan: Option<PathBuf>,
    /// Plan again, and go on only where its changes have this digest: the approval of a review, 12 digits or more
    #[arg(long, value_name = "DIGEST")]
    pub expect_digest: Option<String>,
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
    /// How the report becomes Markdown
    #[command(flatten)]
    pub markdown: MarkdownArgs,
}

/// Plans or reads a plan, asks, and applies. Whatever becomes of it, `--report` and `--md-out` are written.
///
/// # Errors
/// Where nothing can be applied.
pub fn run(context: &mut Context, args: &ApplyArgs) -> Result<Exit, CliError> {
    let mut told = Told::default();
    let applied = std::panic::catch_unwind(AssertUnwindSafe(|| begin(context, args, &mut told)));
    let error = match applied {
        Ok(Ok(exit)) => return Ok(exit),
        Ok(Err(error)) => error,
        Err(payload) => {
            let what = payload.downcast_ref::<String>().map(String::as_str);
            CliError::Fault(what.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no words").to_owned())
        }
    };
    if !told.reported {
        let report = not_begun(context, told.plan.as_ref(), &error);
        for unwritten in [write_report(context, args, &report), write_markdown(context, args, &report)] {
            unwritten.unwrap_or_else(|unwritten| context.ui.failure(&unwritten.explain()));
        }
        github::reported(context, &report);
    }
    Err(error)
}

/// What is known for a report, should it come to nothing.
#[derive(Default)]
struct Told {
    plan: Option<Plan>,
    reported: bool,
}

fn begin(context: &mut Context, args: &ApplyArgs, told: &mut Told) -> Result<Exit, CliError> {
    match &args.plan {
        Some(path) => {
            if let Some(plan) = restore::planned::read(context, path)? {
                refuse_report_of_restore(args)?;
                // Nor is one made where it fails: that no action was begun says nothing of a restore.
                told.reported = true;
                let given = RestoreArgs { lock_timeout: args.lock_timeout, ..RestoreArgs::default() };
                return restore::carry_out(context, &given, &plan);
            }
            let plan = plan_file::read_to_apply(context, path)?;
            told.plan = Some(plan.clone());
            apply_saved(context, args, &plan, told)
        }
        None => {
            // Everything but a saved plan needs an approval, and a pipeline should learn that at once.
            context.ui.require_approval(args.auto_approve || args.expect_digest.is_some())?;
            let expected = args.expect_digest.as_deref().map(expect::read).transpose()?;
            refuse_open_consent(args)?;
            let session = Session::open(context)?;
            apply_fresh(context, &session, args, expected.as_deref(), told)
        }
    }
}

/// Makes the report of a run that came to nothing before the executor had the plan.
fn not_begun(context: &Context, plan: Option<&Plan>, error: &CliError) -> ApplyReport {
    let finding = error.explain();
    let failure = RunFailure { code: finding.code.to_string(), message: finding.message, help: finding.help };
    let run = RunId::of(context.now, Context::random().unwrap_or_default());
    ApplyReport::not_begun(run, version::SHORT, plan, context.now, failure)
}

/// A report is of an apply's actions. A file that is asked for and not written would be taken for this run's.
fn refuse_report_of_restore(args: &ApplyArgs) -> Result<(), CliError> {
    if args.report.is_none() && args.markdown.md_out.is_none() {
        return Ok(());
    }
    Err(CliError::usage(
        "the plan is of a restore, which has no report".to_owned(),
        "leave out --report and --md-out; what a restore did is printed".to_owned(),
    ))
}

/// A consent is for what somebody has seen. An apply that plans anew might find another change, and delete that.
fn refuse_open_consent(args: &ApplyArgs) -> Result<(), CliError> {
    match &args.narrow.allow_delete {
        Some(consent) if consent.change.is_none() => Err(CliError::usage(
            format!("--allow-delete {consent} does not say which change it is for"),
            format!(
                "`bkup plan` refuses the change and names its digest: give --allow-delete {consent}@DIGEST; or save the plan \
                 with `bkup plan --allow-delete {consent} --out plan.json`, look at it, and run `bkup apply plan.json`"
            ),
        )),
        _ => Ok(()),
    }
}

/// Plans, shows the plan, asks, and applies it.
fn apply_fresh(
    context: &mut Context,
    session: &Session,
    args: &ApplyArgs,
    expected: Option<&str>,
    told: &mut Told,
) -> Result<Exit, CliError> {
    let facts = Facts::of(context);
    let survey = context.block_on_reading(session.survey(&facts, args.init_simulated))??;
    let plan = session.plan(&survey, &args.narrow.wish())?;
    told.plan = Some(plan.clone());
    if !context.ui.is_json() {
        let view = PlanView { plan: &plan, next: None, full: context.ui.verbosity > 0 };
        context.ui.print(&plan_text(view, &context.ui.style));
        let (findings, suppressed) = survey.beside_plan();
        context.ui.findings(&findings, &suppressed, &session.texts);
    }
    if !plan.refusals.is_empty() {
        github::planned(context, &plan, None);
        return Err(CliError::of(&ApplyError::Refused(plan.refusals[0].words.clone()), Exit::Refused));
    }
    let catalog = session.catalog()?;
    if let Some(expected) = expected {
        let options = catalog.options();
        // Only for the words of a refusal: a catalog that is not there, or cannot say, changes no verdict.
        let before =
            context.block_on_reading(async { Reader::with(options).changes_end(expected).await.ok().flatten() })?;
        expect::check(&plan, expected, before.as_ref())?;
    }
    if !plan.actions.is_empty() {
        context.ui.approve(&question(&plan), args.auto_approve || expected.is_some())?;
    }
    let clock = RunClock { now: survey.now, simulated: survey.simulated };
    let record = Record { desired: Some(&survey.desired), texts: Some(&session.texts), ..Record::default() };
    execute(context, args, &plan, &catalog, clock, record, told)
}

/// What a run has beside its plan: what the policies ask for and their files' texts, for the record, who looks at what
/// came since the plan was made, and where backups lie that are adopted.
#[derive(Default)]
struct Record<'a> {
    desired: Option<&'a Desired>,
    texts: Option<&'a Sources>,
    since: Option<Result<since::Look, String>>,
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
    apply_survey(context, session, &survey, &plan)
}

/// Applies a plan over a survey without showing it.
///
/// # Errors
/// Where nothing can be applied.
pub fn apply_survey(
    context: &mut Context,
    session: &Session,
    survey: &Survey,
    plan: &Plan,
) -> Result<(ApplyReport, Exit), CliError> {
    if let Some(refusal) = plan.refusals.first() {
        return Err(CliError::of(&ApplyError::Refused(refusal.words.clone()), Exit::Refused));
    }
    let catalog = session.catalog()?;
    let clock = RunClock { now: survey.now, simulated: survey.simulated };
    let record = Record { desired: Some(&survey.desired), texts: Some(&session.texts), ..Record::default() };
    let report = perform(context, plan, &catalog, clock, Period::minutes(5), record)?;
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
    let record = Record { desired: Some(&survey.desired), adopted: Some(&place), ..Record::default() };
    let report = perform(context, plan, &catalog, clock, Period::minutes(5), record)?;
    let exit = exit(&report);
    Ok((report, exit))
}

/// Returns how the catalog is reached: as the policies say, where there are some, else by its variable.
///
/// # Errors
/// Where the policies are invalid, or its variable is not set.
pub fn catalog_at_hand(context: &Context) -> Result<Connection, CliError> {
    catalog_by(context).map(|(catalog, _)| catalog)
}

fn catalog_by(context: &Context) -> Result<(Connection, Option<Session>), CliError> {
    let (text, session) = catalog_text(context)?;
    Ok((catalog_of(&context.env_lookup(), &text)?, session))
}

fn catalog_text(context: &Context) -> Result<(EnvText, Option<Session>), CliError> {
    match Session::open(context) {
        Ok(session) => Ok((session.set.catalog_url(), Some(session))),
        Err(CliError::NoPolicies { .. }) => Ok((EnvText::Variable("BKUP_CATALOG_URL".to_owned()), None)),
        Err(error) => Err(error),
    }
}

/// Applies exactly a saved plan: the file is the approval.
fn apply_saved(context: &mut Context, args: &ApplyArgs, plan: &Plan, told: &mut Told) -> Result<Exit, CliError> {
    let (text, session) = catalog_text(context)?;
    github::hide_of_plan(context, &text, plan);
    let catalog = catalog_of(&context.env_lookup(), &text)?;
    let facts = Facts::of(context);
    let making = plan.lineage.is_none() && plan.simulated;
    let options = catalog.options();
    let clock = context.block_on_reading(async { run_clock(&Reader::with(options), &facts, making).await })??;
    check_age(args, plan, clock.now)?;
    let session = session.map(Arc::new);
    let since = Some(since::Look::begin(context, session.as_ref(), plan)?);
    // Texts of other policies than the plan was made of are not those that it applies.
    let same = session.as_ref().filter(|session| policy_digest(&session.base) == plan.policy_digest);
    let record = Record { texts: same.map(|session| &session.texts), since, ..Record::default() };
    execute(context, args, plan, &catalog, clock, record, told)
}

fn execute(
    context: &mut Context,
    args: &ApplyArgs,
    plan: &Plan,
    catalog: &Connection,
    clock: RunClock,
    record: Record<'_>,
    told: &mut Told,
) -> Result<Exit, CliError> {
    let report = perform(context, plan, catalog, clock, args.lock_timeout, record)?;
    told.reported = true;
    // What was done is shown also where the file cannot be written.
    let written = [write_report(context, args, &report), write_markdown(context, args, &report)];
    if !context.ui.is_json() {
        context.ui.print(&report_text(&report, &context.ui.style));
    }
    written.into_iter().collect::<Result<(), _>>().map(|()| exit(&report))
}

fn perform(
    context: &mut Context,
    plan: &Plan,
    catalog: &Connection,
    clock: RunClock,
    lock_timeout: Period,
    record: Record<'_>,
) -> Result<ApplyReport, CliError> {
    let progress = context.ui.progress(heartbeat(context));
    let events = progress.sender().unwrap_or_else(|| std::sync::mpsc::channel().0);
    let wiring = Wiring::of(context)?;
    let Record { desired, texts, since, adopted } = record;
    let report = context.block_on(async {
        let mut runtime =
            session::runtime(&wiring, catalog, &plan.connections, clock, lock_timeout.to_std(), events).await?;
        if let Some(desired) = desired {
            session::for_the_record(&mut runtime, desired, clock.now);
        }
        runtime.policy_texts = texts.cloned().unwrap_or_default();
        let (since, look) = since::beside_work(since);
        runtime.since = since;
        runtime.adopted = adopted.cloned();
        let applied = apply::apply(&runtime, plan).await;
        // It was for the report alone.
        drop(look);
        applied.map_err(|error| {
            let exit = match &error {
                ApplyError::Refused(_) => Exit::Refused,
                ApplyError::Stale(_) => Exit::Stale,
                ApplyError::Catalog(_) => Exit::Failed,
            };
            CliError::of(&error, exit)
        })
    })??;
    github::applied(context, plan, &report);
    Ok(report)
}

/// Returns how long a run may be silent; tests have no half minute to wait.
fn heartbeat(context: &Context) -> Duration {
    let given = context.env("BKUP_HEARTBEAT").and_then(|text| text.parse::<Period>().ok());
    given.map_or(HEARTBEAT, Period::to_std).max(Duration::from_millis(100))
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

fn write_markdown(context: &Context, args: &ApplyArgs, report: &ApplyReport) -> Result<(), CliError> {
    let asked = &args.markdown;
    asked.write(context, || report_markdown(report, &asked.md_key, asked.md_max_bytes))
}

/// Returns how an apply ends, by what became of its actions. Interruption is the context's to know.
#[must_use]
pub fn exit(report: &ApplyReport) -> Exit {
    let of = |test: fn(&Outcome) -> bool| report.actions.iter().any(|action| test(&action.outcome));
    // What could not even be looked at is not done either: a night without its store must not end as a success.
    let failed = of(|o| matches!(o, Outcome::Failed { .. } | Outcome::NotReached))
        || report.failure.is_some()
        || (report.finished_before.is_none() && report.held.iter().any(|held| held.reason.is_blind()));
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
