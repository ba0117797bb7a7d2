//! `bkup backup`: takes a backup now, of a schedule or of what is named: before risky work, and for `on: request`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::plan_file;
use crate::cli::session::{Facts, Session, Wiring, Wish};
use crate::cli::survey::Survey;
use crate::domain::{
    ActionKind, Address, ApplyReport, AskedFor, Backup, CatalogState, Instant, Name, Narrowing, Observation, OnDemand,
    Outcome, Plan, ResolvedTenants, Section, Wanted,
};
use crate::render::{PlanView, plan_json, plan_text, report_text};

use super::apply::apply_survey;

/// How long a reason may be: a line.
const LONGEST_REASON: usize = 200;

/// Arguments of `backup`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["schedule", "database", "tenant", "tables"]))]
pub struct BackupArgs {
    /// The schedule whose backup is taken
    #[arg(value_name = "SCHEDULE", conflicts_with_all = ["database", "tenant", "tables", "store", "jobs", "csv"])]
    pub schedule: Option<Name>,
    /// This whole database; with --tenant or --tables: in this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<Name>,
    /// This tenant, by slug; repeatable
    #[arg(long, value_name = "SLUG", conflicts_with = "tables")]
    pub tenant: Vec<String>,
    /// The tables that match: globs over schema.table
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub tables: Vec<String>,
    /// Why, in your words: pre-migration; it is recorded with the backup
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Into this store
    #[arg(long, value_name = "NAME")]
    pub store: Option<Name>,
    /// How many programs read at once; 1 to 64
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// The rows as CSV files, too
    #[arg(long, requires = "tables")]
    pub csv: bool,
    /// Only write the plan here: `bkup apply FILE` takes the backup
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Takes the backup.
///
/// # Errors
/// Where it cannot be taken.
pub fn run(context: &mut Context, args: &BackupArgs) -> Result<Exit, CliError> {
    let reason = args.reason.as_deref().map(reason).transpose()?;
    let session = Session::open(context)?;
    let by = Wiring::of(context)?.actor().to_owned();
    let asked_for = Some(AskedFor { by, reason, tables: Vec::new() });
    let narrowing = Narrowing { only: Some("backups".to_owned()), ..Narrowing::default() };
    let mut wish = Wish { narrowing, asked_for, ..Wish::default() };
    let asked = match &args.schedule {
        Some(schedule) => {
            check_schedule(&session, schedule)?;
            wish.schedules.insert(schedule.clone());
            None
        }
        None => Some(on_demand(&session, args)?),
    };
    wish.on_demand = asked.clone();
    let survey = survey(context, &session, &wish)?;
    if let Some(asked) = &asked {
        check_tenants(&survey, asked)?;
    }
    let plan = session.plan(&survey, &wish)?;
    if let Some(path) = &args.out {
        return save(context, path, &plan);
    }
    let (report, exit) = apply_survey(context, &session, &survey, &plan)?;
    if !context.ui.is_json() {
        context.ui.print(&report_text(&report, &context.ui.style));
        let ids = taken(&report).map(|(id, _)| format!("backup {}\n", context.ui.style.name(id)));
        let ids: String = if asked.is_some() { ids.collect() } else { String::new() };
        context.ui.print(&ids);
    }
    conclude(args.schedule.as_ref(), &report, exit)
}

/// Looks at the world at an instant whose second has no backup of what is asked for yet: a slot is a second, and what
/// was taken in it may be older than what has been written since.
fn survey(context: &mut Context, session: &Session, wish: &Wish) -> Result<Survey, CliError> {
    let mut facts = Facts::of(context);
    loop {
        let survey = context.block_on_reading(session.survey(&facts, false))??;
        let taken = taken_this_second(&survey, wish);
        if taken.is_empty() {
            return Ok(survey);
        }
        if survey.simulated {
            let help = "move it on with BKUP_NOW";
            return Err(CliError::usage(
                format!("the simulated clock stands at the second of {}", taken.join(", ")),
                help,
            ));
        }
        let next = survey.now.as_millisecond() / 1_000 * 1_000 + 1_000;
        let wait = next.saturating_sub(Context::clock().as_millisecond()).clamp(0, 1_000);
        let wait = Duration::from_millis(wait.unsigned_abs());
        context.block_on_reading(async move { tokio::time::sleep(wait).await })?;
        facts.now = Context::clock();
    }
}

/// Whoever takes a backup before risky work must not go on without one, or with a part of it.
fn conclude(schedule: Option<&Name>, report: &ApplyReport, exit: Exit) -> Result<Exit, CliError> {
    let done = taken(report).any(|(_, done)| done);
    let own = Address::of(Section::Schedule, schedule.cloned().unwrap_or_else(Name::on_demand));
    let held = report.held.iter().filter(|held| held.address == own);
    let words: BTreeSet<String> = held.map(|held| held.words.clone()).collect();
    // Of a schedule some tenants may be paused; what was named is wanted whole.
    if exit == Exit::Success && (!done || schedule.is_none()) && !words.is_empty() {
        let words = words.into_iter().collect::<Vec<_>>().join("; ");
        return Err(match schedule {
            Some(schedule) => CliError::Held { schedule: schedule.to_string(), words },
            None => CliError::NotTaken { words },
        });
    }
    Ok(if exit == Exit::Success && !done { Exit::Failed } else { exit })
}

/// Returns the backups of a report, and whether each of them is there.
fn taken(report: &ApplyReport) -> impl Iterator<Item = (&str, bool)> {
    report.actions.iter().filter_map(|outcome| match &outcome.action.kind {
        ActionKind::BackUp(work) => {
            let done = matches!(outcome.outcome, Outcome::Done { .. } | Outcome::AlreadyDone { .. });
            Some((work.backup.as_str(), done))
        }
        _ => None,
    })
}

fn check_schedule(session: &Session, schedule: &Name) -> Result<(), CliError> {
    if session.base.schedules.contains_key(schedule) {
        return Ok(());
    }
    let known: Vec<String> = session.base.schedules.keys().map(ToString::to_string).collect();
    let help = format!("the schedules are {}; --database, --tenant and --tables need none", known.join(", "));
    Err(CliError::usage(format!("there is no schedule {schedule}"), help))
}

/// Makes a reason fit to be recorded and shown.
fn reason(text: &str) -> Result<String, CliError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LONGEST_REASON || text.chars().any(char::is_control) {
        let help = format!("write one line of at most {LONGEST_REASON} characters, as in --reason pre-migration");
        return Err(CliError::usage("this is no reason that can be recorded", help));
    }
    Ok(text.to_owned())
}

/// Resolves what is asked for; what is left open must leave no choice.
fn on_demand(session: &Session, args: &BackupArgs) -> Result<OnDemand, CliError> {
    let names = |names: Vec<&Name>| names.into_iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    let databases: Vec<&Name> = session.base.databases.keys().collect();
    let database = match (&args.database, databases.as_slice()) {
        (Some(name), all) if all.contains(&name) => name.clone(),
        (Some(name), _) => {
            let help = format!("the databases are {}", names(databases));
            return Err(CliError::usage(format!("there is no database {name}"), help));
        }
        (None, [only]) => (*only).clone(),
        (None, _) => {
            let help = format!("add --database: the databases are {}", names(databases));
            return Err(CliError::usage("in which database?", help));
        }
    };
    let what = if !args.tables.is_empty() {
        let globs: BTreeSet<String> = args.tables.iter().cloned().collect();
        if globs.contains("") {
            return Err(CliError::usage(
                "a glob is empty",
                "write schema.table, with * and ? where any character may stand",
            ));
        }
        Wanted::Tables(globs)
    } else if args.tenant.is_empty() {
        Wanted::Database
    } else {
        Wanted::Tenants(args.tenant.iter().cloned().collect())
    };
    Ok(OnDemand { database, what, store: store(session, args)?, jobs: args.jobs, csv: args.csv })
}

/// Returns where to: the store that was named, else that of the schedule `on-demand`, else the only one that is no copy.
fn store(session: &Session, args: &BackupArgs) -> Result<Name, CliError> {
    let base = &session.base;
    let copies: BTreeSet<&Name> =
        base.stores.values().flat_map(|spec| &spec.replicate_to).map(|replica| &replica.store).collect();
    let own: Vec<&Name> = base.stores.keys().filter(|name| !copies.contains(name)).collect();
    let names = || own.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let like = base.schedules.get(&Name::on_demand()).map(|spec| spec.store.clone());
    match (&args.store, like, own.as_slice()) {
        (Some(name), ..) if base.stores.contains_key(name) => Ok(name.clone()),
        (Some(name), ..) => {
            Err(CliError::usage(format!("there is no store {name}"), format!("the stores are {}", names())))
        }
        (None, Some(like), _) => Ok(like),
        (None, None, [only]) => Ok((*only).clone()),
        (None, None, _) => {
            let help = format!(
                "add --store, or a schedule `on-demand` with `when: {{ on: request }}` that names one: the stores are {}",
                names()
            );
            Err(CliError::usage("into which store?", help))
        }
    }
}

fn check_tenants(survey: &Survey, asked: &OnDemand) -> Result<(), CliError> {
    let Wanted::Tenants(slugs) = &asked.what else { return Ok(()) };
    let database = &asked.database;
    match survey.desired.tenants.get(database) {
        Some(ResolvedTenants::Known(known)) => {
            let Some(slug) = slugs.iter().find(|slug| !known.iter().any(|(tenant, _)| &tenant.slug == *slug)) else {
                return Ok(());
            };
            let all: Vec<&str> = known.iter().map(|(tenant, _)| tenant.slug.as_str()).take(10).collect();
            let more = if known.len() > all.len() { ", ..." } else { "" };
            let help = format!("its tenants are {}{more}", all.join(", "));
            Err(CliError::usage(format!("database.{database} has no tenant {slug:?}"), help))
        }
        // A database that cannot be read is held, with the reason.
        Some(ResolvedTenants::Unknown(_)) => Ok(()),
        None => Err(CliError::usage(
            format!("database.{database} has no tenants: its policy names no way to find them"),
            "give it `tenants: { schemas: ... }`, or back up the --database or some --tables",
        )),
    }
}

/// Returns the backups of what is asked for that this very second has already.
fn taken_this_second(survey: &Survey, wish: &Wish) -> Vec<String> {
    let Observation::Known(CatalogState::Present(facts)) = &survey.observed.catalog else { return Vec::new() };
    let second = Instant::from_second(survey.now.as_second()).unwrap_or(survey.now);
    let of_it = |backup: &&Backup| match &wish.on_demand {
        Some(asked) => backup.schedule.is_on_demand() && backup.database.as_ref() == Some(&asked.database),
        None => wish.schedules.contains(&backup.schedule),
    };
    let there = facts.backups.iter().filter(|backup| backup.slot == second).filter(of_it);
    there.map(|backup| backup.id.to_string()).collect()
}

/// Writes the plan and shows it.
fn save(context: &Context, path: &std::path::Path, plan: &Plan) -> Result<Exit, CliError> {
    plan_file::write_whole(context, path, &plan_json(plan))?;
    if context.ui.is_json() {
        context.ui.print(&plan_json(plan));
    } else {
        let next = format!("bkup apply {}", super::plan::for_shell(&path.display().to_string()));
        let next = (!plan.actions.is_empty() && plan.refusals.is_empty()).then_some(next.as_str());
        context.ui.print(&plan_text(PlanView { plan, next, full: true }, &context.ui.style));
    }
    Ok(if plan.refusals.is_empty() { Exit::Success } else { Exit::Refused })
}
