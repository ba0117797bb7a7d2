//! `bkup restore`: brings a database or a tenant back.

mod report;
mod select;
mod source;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use clap::{ArgGroup, Args};

use crate::catalog::ReadingEnd;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::{Session, Wiring};
use crate::domain::{Manifest, Name, PartKind, Period, RestoreInto, Scope};
use crate::engine::{Connection, scratch};
use crate::render::{elapsed, restoration_json, restoration_text};
use crate::restore::{Done, Job, Proven, RestoreError, Tell};

use report::Report;
use source::Source;

/// How long a kept scratch server stays.
const KEPT: Period = Period::hours(24);
/// A sign of life at least this often: pipelines kill what is silent.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["backup", "latest", "stop"]))]
pub struct RestoreArgs {
    /// The backup, as `bkup list` shows it; the beginning of its id will do
    #[arg(value_name = "BACKUP")]
    pub backup: Option<String>,
    /// The newest one that can be restored
    #[arg(long)]
    pub latest: bool,
    /// Of this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<Name>,
    /// Of this tenant, by slug
    #[arg(long, value_name = "SLUG")]
    pub tenant: Option<String>,
    /// Of this scope: database, configuration, files=SCHEDULE
    #[arg(long, value_name = "SCOPE", conflicts_with = "tenant")]
    pub scope: Option<Scope>,
    /// From this store
    #[arg(long, value_name = "NAME")]
    pub store: Option<Name>,
    /// Where to: scratch, new:NAME, live or folder:DIR
    #[arg(long, value_name = "WHERE", default_value = "scratch", value_parser = into)]
    pub into: RestoreInto,
    /// Leave the scratch server running, and say how to reach and stop it
    #[arg(long)]
    pub keep: bool,
    /// Do not ask before writing to a live database
    #[arg(long)]
    pub auto_approve: bool,
    /// Stop a scratch server that --keep left running, and remove its folder
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["database", "tenant", "scope", "store", "into", "keep"])]
    pub stop: Option<PathBuf>,
}

/// Restores.
///
/// # Errors
/// Where it cannot be done; what was half done is taken back.
pub fn run(context: &mut Context, args: &RestoreArgs) -> Result<Exit, CliError> {
    if let Some(folder) = &args.stop {
        return stop(context, folder);
    }
    if args.keep && args.into != RestoreInto::Scratch {
        return Err(CliError::usage("--keep is for a scratch server", "leave --keep out, or restore --into scratch"));
    }
    if args.into == RestoreInto::Live {
        context.ui.require_approval(args.auto_approve)?;
    }
    let session = Session::open(context)?;
    let wanted = select::wanted(&session, args)?;
    let wiring = Wiring::of(context)?;
    let tell = teller(context);
    let clock = Monotonic::now();
    let source = context.block_on_reading(source::find(&session, args, &wanted, &facts(context), &tell))??;
    let target = Target::of(&session, args, source.manifest(), &context.cwd)?;
    let job = context.block_on_reading(prepare(&source, &target, &wiring, &tell))??;
    // Only the folders of kept servers whose time is over; one that resists is not this restore's trouble.
    let swept = context.block_on(scratch::sweep(&wiring.workshop.folder, Context::clock()))?;
    if let Ok(folders) = swept {
        folders.iter().for_each(|folder| tell(format!("removed {}, whose time was over", folder.display())));
    }
    let (job, mut source) = (job, source);
    let hold = context.block_on(source.hold(&target.words(), &wiring.runner))??;
    let job = Job { lost: hold.as_ref().map(crate::restore::Hold::lost), ..job };
    let mut report = Report::new(&source, &target);
    let result = perform(context, args, &job, &target, clock, &mut report);
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
    Ok(Exit::Success)
}

/// Where a restore goes, resolved.
enum Target {
    Scratch,
    /// A folder for files that is gone when they are proven.
    Files,
    Folder(PathBuf),
    New {
        server: Connection,
        name: String,
    },
    LiveTenant(Connection),
    LiveDatabase {
        server: Connection,
        name: String,
    },
}

impl Target {
    fn of(session: &Session, args: &RestoreArgs, manifest: &Manifest, cwd: &Path) -> Result<Self, CliError> {
        let files = manifest.parts.iter().any(|part| part.kind == PartKind::Tar);
        let csv = manifest.parts.iter().any(|part| part.kind == PartKind::Csv);
        match &args.into {
            RestoreInto::Folder(dir) if files || csv => return Ok(Self::Folder(cwd.join(dir))),
            RestoreInto::Scratch if manifest.parts.iter().any(|part| part.kind == PartKind::FileList) && !args.keep => {
                return Ok(Self::Files);
            }
            RestoreInto::Folder(_) => {
                return Err(CliError::usage(
                    format!("{} is a dump, and a folder is for a configuration or for files", manifest.backup_id),
                    "restore it --into scratch, new:NAME or live",
                ));
            }
            _ if files => {
                return Err(CliError::usage(
                    format!("{} is a {}, which goes into a folder", manifest.backup_id, manifest.scope.scope),
                    "restore it --into folder:DIR; DIR must not exist yet, or be empty",
                ));
            }
            _ => {}
        }
        if args.into == RestoreInto::Scratch {
            return Ok(Self::Scratch);
        }
        let server = select::server(session, manifest.database.as_deref())?;
        let scope: Option<Scope> = manifest.scope.scope.parse().ok();
        match (&args.into, scope) {
            (RestoreInto::New(name), _) => Ok(Self::New { server, name: name.clone() }),
            (_, Some(Scope::Tenant(_))) => Ok(Self::LiveTenant(server)),
            (_, Some(Scope::Database)) => {
                let name = server.database().to_owned();
                Ok(Self::LiveDatabase { server, name })
            }
            _ => Err(CliError::usage(
                format!("{} holds neither a tenant nor a whole database", manifest.backup_id),
                "only these can be restored --into live; restore it --into scratch or new:NAME",
            )),
        }
    }

    const fn server(&self) -> Option<&Connection> {
        match self {
            Self::Scratch | Self::Files | Self::Folder(_) => None,
            Self::New { server, .. } | Self::LiveTenant(server) | Self::LiveDatabase { server, .. } => Some(server),
        }
    }

    /// Returns the target as the report words it.
    fn words(&self) -> String {
        match self {
            Self::Scratch | Self::Files => "scratch".to_owned(),
            Self::Folder(dir) => format!("folder:{}", dir.display()),
            Self::New { name, .. } => format!("new:{name}"),
            Self::LiveTenant(_) | Self::LiveDatabase { .. } => "live".to_owned(),
        }
    }

    /// Checks that nothing is in the way, before anything is fetched.
    async fn check(&self, manifest: &Manifest) -> Result<(), RestoreError> {
        match self {
            Self::Scratch | Self::Files => Ok(()),
            Self::Folder(dir) => Job::check_folder(dir),
            Self::New { server, name } | Self::LiveDatabase { server, name } => {
                Job::check_no_database(server, name).await
            }
            Self::LiveTenant(live) => Job::check_no_schema(live, manifest).await,
        }
    }
}

/// Opens the keys and looks whether the restore can be done, before anything large is fetched.
async fn prepare(source: &Source, target: &Target, wiring: &Wiring, tell: &Tell) -> Result<Job, CliError> {
    target.check(source.manifest()).await.map_err(|error| failure(&error))?;
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
    };
    if let Some(server) = target.server() {
        job.check_programs(server).await.map_err(|error| failure(&error))?;
    }
    if !matches!(target, Target::New { .. } | Target::Folder(_) | Target::Files) {
        let (needed, free) = job.workshop.room(job.expected()).map_err(|error| failure(&error))?;
        tell(format!("a scratch server wants {needed} in {}, and {free} are free", job.workshop.folder.display()));
    }
    Ok(job)
}

fn perform(
    context: &mut Context,
    args: &RestoreArgs,
    job: &Job,
    target: &Target,
    clock: Monotonic,
    report: &mut Report,
) -> Result<(), CliError> {
    let begun = Monotonic::now();
    let place = target.words();
    match target {
        Target::New { server, name } => {
            let done = beating(context, job.into_database(server, name))?;
            report.add(&place, done);
        }
        Target::Files => {
            let done = beating(context, job.files_in_scratch())?;
            report.add(&place, done);
        }
        Target::Folder(dir) => {
            let done = beating(context, job.into_folder(dir))?;
            report.add(&place, done);
            report.how_to_apply(dir);
        }
        Target::Scratch | Target::LiveTenant(_) | Target::LiveDatabase { .. } => {
            let proven = beating(context, job.prove_in_scratch("restored"))?;
            let Proven { scratch, target: inside, done } = proven;
            report.add("scratch", done);
            if args.keep {
                let until = KEPT.after(Context::clock());
                let folder = scratch.keep(until).map_err(|error| CliError::of(&error, Exit::Failed))?;
                report.keep(&folder, &inside, until);
            } else {
                let stopped = context.block_on(scratch.stop())?;
                stopped.map_err(|error| CliError::of(&error, Exit::Failed))?;
            }
        }
    }
    report.took(clock.elapsed());
    let done: Done = match target {
        Target::Scratch | Target::Files | Target::New { .. } | Target::Folder(_) => return Ok(()),
        Target::LiveTenant(live) => {
            approve(context, args, job, live, begun)?;
            beating(context, job.into_live_tenant(live))?
        }
        Target::LiveDatabase { server, name } => {
            approve(context, args, job, server, begun)?;
            beating(context, job.into_database(server, name))?
        }
    };
    report.add(&place, done);
    report.took(clock.elapsed());
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
fn beating<T>(context: &mut Context, work: impl Future<Output = Result<T, RestoreError>>) -> Result<T, CliError> {
    let err = context.ui.err.clone();
    let begun = Monotonic::now();
    let done = context.block_on(async move {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(HEARTBEAT) => {
                    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    err.write(&format!("still at work, since {}\n", elapsed(ms)));
                }
            }
        }
    })?;
    done.map_err(|error| failure(&error))
}

/// Words a failure with its exit code.
fn failure(error: &RestoreError) -> CliError {
    let exit = match error {
        RestoreError::NotEqual { .. } => Exit::Violated,
        RestoreError::TargetExists { .. } => Exit::Stale,
        RestoreError::NotFound { .. } | RestoreError::Ambiguous { .. } => Exit::Usage,
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

fn into(text: &str) -> Result<RestoreInto, String> {
    match text.split_once(':') {
        None if text == "scratch" => Ok(RestoreInto::Scratch),
        None if text == "live" => Ok(RestoreInto::Live),
        Some(("new", name)) if !name.is_empty() && name.len() <= 63 => Ok(RestoreInto::New(name.to_owned())),
        Some(("new", name)) if !name.is_empty() => Err("a database's name has at most 63 bytes".to_owned()),
        Some(("folder", dir)) if !dir.is_empty() => Ok(RestoreInto::Folder(dir.to_owned())),
        _ => Err("write scratch, new:NAME, live or folder:DIR".to_owned()),
    }
}
