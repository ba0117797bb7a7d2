//! `bkup restore`: brings a database or a tenant back.

pub mod args;
mod live;
pub mod planned;
mod report;
mod select;
mod source;
mod target;

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use crate::catalog::ReadingEnd;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::{Session, Wiring};
use crate::domain::{Bytes, Period, RestoreInto, RestorePlan};
use crate::engine::{Connection, scratch};
use crate::render::{elapsed, restoration_json, restoration_text};
use crate::restore::swap::SwapError;
use crate::restore::{Done, Job, Proven, RestoreError, Tell};

pub use args::RestoreArgs;
use planned::About;
use report::Report;
use source::Source;
use target::{Occupied, Target};

/// How long a kept scratch server stays.
const KEPT: Period = Period::hours(24);
/// A sign of life at least this often: pipelines kill what is silent.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// And this often where somebody looks on.
const LOOKED_ON: Duration = Duration::from_secs(5);

/// Restores.
///
/// # Errors
/// Where it cannot be done; what was half done is taken back.
pub fn run(context: &mut Context, args: &RestoreArgs) -> Result<Exit, CliError> {
    if let Some(folder) = &args.stop {
        return stop(context, folder);
    }
    if let Some(wanted) = &args.undo {
        return live::take_back(context, args, wanted);
    }
    if let Some(id) = &args.forget {
        return live::remove_aside(context, args, id);
    }
    if !args.says_what() {
        let help = "name one, as `bkup list` shows it, or what it is of: --database, --tenant, --scope; then the \
                    newest is taken";
        return Err(CliError::usage("which backup?", help));
    }
    let named = args.backup.as_deref().map(std::path::Path::new);
    if let Some(plan) = named.map(|path| planned::read(context, path)).transpose()?.flatten() {
        return carry_out(context, args, &plan);
    }
    let sanitize = checked(context, args)?;
    let compares = args.table.is_some() && args.rows().is_none();
    if args.into == RestoreInto::Live && args.plan.is_none() && !compares {
        context.ui.require_approval(args.auto_approve)?;
    }
    perform_or_plan(context, args, (None, sanitize))
}

/// Carries out a plan: it is the approval, and what would be done now must be what it says.
///
/// # Errors
/// Where it is too old, or something else would be done.
pub fn carry_out(context: &mut Context, given: &RestoreArgs, plan: &RestorePlan) -> Result<Exit, CliError> {
    let args = planned::arguments(context, given, plan)?;
    let sanitize = checked(context, &args)?;
    perform_or_plan(context, &args, (Some(plan), sanitize))
}

/// Restores as planned, or as the arguments say, sanitising with this SQL; or only plans it.
fn perform_or_plan(
    context: &mut Context,
    args: &RestoreArgs,
    (planned, sanitize): (Option<&RestorePlan>, Option<String>),
) -> Result<Exit, CliError> {
    let session = Session::open(context)?;
    let wanted = select::wanted(&session, args)?;
    let wiring = Wiring::of(context)?;
    let tell = teller(context);
    let clock = Monotonic::now();
    let source = context.block_on_reading(source::find(&session, args, &wanted, &facts(context), &tell))??;
    let target = Target::of(&session, args, source.manifest(), &context.cwd)?;
    let id = planned.map_or_else(live::fresh_id, |plan| Ok(plan.id.clone()))?;
    let prepared = context.block_on_reading(prepare(&source, &target, (&id, args.end_sessions), &wiring, &tell))??;
    let (job, in_use) = prepared;
    let job = Job { sanitize, ..job };
    let (bytes, sanitize) = (job.expected(), job.sanitize.as_deref());
    let about = About { id: &id, source: &source, target: &target, in_use: in_use.as_ref(), bytes, sanitize };
    let plan = planned::plan_of(context, args, &about);
    if let Some(path) = &args.plan {
        planned::write(context, path, &plan)?;
        return Ok(Exit::Success);
    }
    if let Some(planned) = planned {
        planned::must_agree(planned, &plan)?;
    }
    // Only the folders of kept servers whose time is over; one that resists is not this restore's trouble.
    let swept = context.block_on(scratch::sweep(&wiring.workshop.folder, Context::clock()))?;
    if let Ok(folders) = swept {
        folders.iter().for_each(|folder| tell(format!("removed {}, whose time was over", folder.display())));
    }
    let mut source = source;
    let hold = context.block_on(source.hold(&target.words(), &wiring.runner))??;
    let job = Job { lost: hold.as_ref().map(crate::restore::Hold::lost), ..job };
    let mut report = Report::new(&source, &target);
    let work = Work { job: &job, target: &target, in_use: in_use.as_ref(), id: &id, clock };
    let result = perform(context, args, &work, &mut report);
    let end = match &result {
        Ok(()) => ReadingEnd::Completed { bytes_fetched: report.fetched().0 },
        Err(error) => ReadingEnd::Failed(error.to_string()),
    };
    if let Some(hold) = hold {
        context.block_on(hold.end(&end, source.now))?;
    }
    result?;
    let restoration = report.finish();
    let ui = &context.ui;
    ui.print(&if ui.is_json() { restoration_json(&restoration) } else { restoration_text(&restoration, &ui.style) });
    let partly = restoration.swap.is_some_and(|swapped| !swapped.unvalidated.is_empty());
    Ok(if partly { Exit::PartlyApplied } else { Exit::Success })
}

/// Checks what goes with where to, and reads the SQL that sanitises a copy.
fn checked(context: &Context, args: &RestoreArgs) -> Result<Option<String>, CliError> {
    if args.keep && args.into != RestoreInto::Scratch {
        return Err(CliError::usage("--keep is for a scratch server", "leave --keep out, or restore --into scratch"));
    }
    let Some(path) = &args.sanitize else { return Ok(None) };
    if !matches!(args.into, RestoreInto::Scratch | RestoreInto::New(_)) {
        return Err(CliError::usage(
            "--sanitize changes what is restored, which is never for live",
            "restore it --into scratch or new:NAME",
        ));
    }
    let why = |error: std::io::Error| crate::cli::failure::reason(&error);
    let read = std::fs::read_to_string(context.cwd.join(path));
    read.map(Some).map_err(|error| CliError::Unreadable { path: path.display().to_string(), why: why(error) })
}

/// Opens the keys and looks whether the restore can be done, before anything large is fetched.
async fn prepare(
    source: &Source,
    target: &Target,
    (id, end_sessions): (&str, bool),
    wiring: &Wiring,
    tell: &Tell,
) -> Result<(Job, Option<Occupied>), CliError> {
    let in_use = target.look(source.manifest(), id, end_sessions).await.map_err(|error| failure(&error))?;
    let mut backups = Vec::new();
    for origin in &source.origins {
        backups.push(crate::restore::open(origin.clone()).await.map_err(|error| failure(&error))?);
    }
    let job = Job {
        backups,
        workshop: wiring.workshop.clone(),
        tag: format!("{:016x}", Context::random()?),
        tell: Arc::clone(tell),
        stop: wiring.stop(),
        lost: None,
        sanitize: None,
        whole: !target.is_new(),
    };
    if let (Some(Occupied::Database(_)), Some(server), Some(catalog)) = (&in_use, target.server(), &source.catalog)
        && (server.host(), server.port(), server.database()) == (catalog.host(), catalog.port(), catalog.database())
    {
        return Err(CliError::usage(
            "the catalog lies in the database that would be put aside",
            "restore it --into new:NAME, or restore its tenants and tables",
        ));
    }
    if let Some(server) = target.server() {
        job.check_programs(server).await.map_err(|error| failure(&error))?;
        job.check_room(server).await.map_err(|error| failure(&error))?;
    }
    if !matches!(target, Target::New { .. } | Target::Folder(_) | Target::Files) {
        let (needed, free) = job.workshop.room(job.expected()).map_err(|error| failure(&error))?;
        tell(format!("a scratch server wants {needed} in {}, and {free} are free", job.workshop.folder.display()));
    }
    Ok((job, in_use))
}

/// What is to be done.
struct Work<'a> {
    job: &'a Job,
    target: &'a Target,
    in_use: Option<&'a Occupied>,
    id: &'a str,
    clock: Monotonic,
}

fn perform(context: &mut Context, args: &RestoreArgs, work: &Work<'_>, report: &mut Report) -> Result<(), CliError> {
    let (job, target) = (work.job, work.target);
    let begun = Monotonic::now();
    let place = target.words();
    match target {
        Target::New { server, name } => {
            let done = beating(context, job, job.into_database(server, name))?;
            report.add(&place, done);
        }
        Target::Files => {
            let done = beating(context, job, job.files_in_scratch())?;
            report.add(&place, done);
        }
        Target::Folder(dir) => {
            let done = beating(context, job, job.into_folder(dir))?;
            report.add(&place, done);
            report.how_to_apply(dir);
        }
        Target::Scratch | Target::LiveTenant(_) | Target::LiveTable { .. } | Target::LiveDatabase { .. } => {
            let mut proven = beating(context, job, job.prove_in_scratch("restored"))?;
            report.add("scratch", std::mem::take(&mut proven.done));
            if let (Some(live), Some(in_use)) = (target.server(), work.in_use) {
                report.took(work.clock.elapsed());
                let (done, swapped) = match in_use {
                    Occupied::Schema(in_use) => live::swap(context, args, job, live, (&proven, in_use))?,
                    Occupied::Database(held) => live::swap_database(context, args, job, live, (&proven, held))?,
                };
                report.add(&place, done);
                report.swapped(swapped);
                report.took(work.clock.elapsed());
            }
            if let Target::LiveTable { live, schema, table } = target {
                report.table(live::table(context, args, job, live, (schema, table), (&proven, work.id))?);
            }
            let Proven { scratch, target: inside, .. } = proven;
            if args.keep {
                let until = KEPT.after(Context::clock());
                let folder = scratch.keep(until).map_err(|error| CliError::of(&error, Exit::Failed))?;
                report.keep(&folder, &inside, until);
            } else {
                let stopped = context.block_on(scratch.stop())?;
                stopped.map_err(|error| CliError::of(&error, Exit::Failed))?;
            }
            if work.in_use.is_some() {
                return Ok(());
            }
        }
    }
    report.sanitized(job.sanitize.is_some());
    report.took(work.clock.elapsed());
    let done: Done = match target {
        Target::Scratch | Target::Files | Target::New { .. } | Target::Folder(_) | Target::LiveTable { .. } => {
            return Ok(());
        }
        Target::LiveTenant(live) => {
            approve(context, args, job, live, begun)?;
            beating(context, job, job.into_live_tenant(live))?
        }
        Target::LiveDatabase { server, name } => {
            approve(context, args, job, server, begun)?;
            beating(context, job, job.into_database(server, name))?
        }
    };
    report.add(&place, done);
    report.took(work.clock.elapsed());
    Ok(())
}

fn approve(
    context: &mut Context,
    args: &RestoreArgs,
    job: &Job,
    live: &Connection,
    begun: Monotonic,
) -> Result<(), CliError> {
    let Some(backup) = job.backups.last() else { return Ok(()) };
    let manifest = &backup.origin.manifest;
    let took = elapsed(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    let question = format!(
        "{} was proven in a scratch server in {took}. Restore {} into {} now?",
        manifest.backup_id, manifest.scope.scope, live
    );
    context.ui.approve(&context.ui.err_style.name(&question), args.auto_approve)
}

/// Does long work with a sign of life, and words its failure.
fn beating<T>(
    context: &mut Context,
    job: &Job,
    work: impl Future<Output = Result<T, RestoreError>>,
) -> Result<T, CliError> {
    let (err, style) = (context.ui.err.clone(), context.ui.err_style);
    let every = if context.terminal.stderr { LOOKED_ON } else { HEARTBEAT };
    let begun = Monotonic::now();
    let done = context.block_on(async move {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(every) => {
                    let words = sign_of_life(begun.elapsed(), job.loaded(), job.expected());
                    err.write(&format!("{}\n", style.name(&words)));
                }
            }
        }
    })?;
    done.map_err(|error| failure(&error))
}

/// `still at work, since 1m 3s: 1.2 GiB of 3.4 GiB, 20.0 MiB/s, 1m 54s left`
fn sign_of_life(since: Duration, loaded: Bytes, expected: Bytes) -> String {
    let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let mut words = format!("still at work, since {}", elapsed(ms));
    let rate = loaded.0.saturating_mul(1000) / ms.max(1);
    if rate > 0 {
        words.push_str(&format!(": {loaded} of {expected}, {}/s", Bytes(rate)));
        // What was loaded twice (a shared archive, say) is more than what was expected once.
        if let Some(left) = expected.0.checked_sub(loaded.0).filter(|left| *left > 0) {
            words.push_str(&format!(", {} left", elapsed((left / rate).saturating_mul(1000))));
        }
    }
    words
}

/// Words a failure with its exit code.
fn failure(error: &RestoreError) -> CliError {
    let exit = match error {
        RestoreError::NotEqual { .. } => Exit::Violated,
        RestoreError::TargetExists { .. } => Exit::Stale,
        RestoreError::NotFound { .. } | RestoreError::Ambiguous { .. } => Exit::Usage,
        RestoreError::Swap(error) => match error {
            SwapError::Refused { .. }
            | SwapError::Orphans { .. }
            | SwapError::InUse { .. }
            | SwapError::Table { .. } => Exit::Refused,
            SwapError::Busy { .. } => Exit::Locked,
            SwapError::Changed { .. } | SwapError::OtherPlan(_) => Exit::Stale,
            SwapError::NotFound { .. } => Exit::Usage,
            SwapError::Sanitize(_) => Exit::Failed,
        },
        _ => Exit::Failed,
    };
    CliError::of(error, exit)
}

fn teller(context: &Context) -> Tell {
    let (err, style) = (context.ui.err.clone(), context.ui.err_style);
    Arc::new(move |words| err.write(&format!("{}\n", style.name(&words))))
}

const fn facts(context: &Context) -> crate::cli::session::Facts {
    crate::cli::session::Facts::of(context)
}

fn stop(context: &mut Context, folder: &std::path::Path) -> Result<Exit, CliError> {
    let folder = context.cwd.join(folder);
    context.block_on(scratch::remove(&folder))?.map_err(|error| CliError::of(&error, Exit::Failed))?;
    context.ui.note(&context.ui.err_style.name(&format!("stopped, and removed {}", folder.display())));
    Ok(Exit::Success)
}
