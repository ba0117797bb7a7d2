//! `bkup simulate`: what the policies keep, cost and guarantee over the time to come, and what a change to them loses.
//! Changes nothing; offline unless --live.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::{Facts, Session};
use crate::cli::survey::Survey;
use crate::cli::{plan_file, policies, prices, version};
use crate::domain::{
    Bytes, CatalogFacts, CatalogState, Desired, ForecastReport, Instant, Name, Observation, Period, Tenant,
};
use crate::forecast::{self, Counts, Faults, ForecastError, Question, Start};
use crate::policy::LiveTenants;
use crate::render::{forecast_html, forecast_json, forecast_svg, forecast_text};

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// How far ahead
    #[arg(long = "for", value_name = "DURATION", default_value = "400d")]
    pub length: Period,
    /// Compare with the policies of this git commit, branch or tag
    #[arg(long, value_name = "GIT-REF", conflicts_with = "against_policies")]
    pub against: Option<String>,
    /// Compare with the policies of this file or folder
    #[arg(long, value_name = "PATH")]
    pub against_policies: Option<PathBuf>,
    /// Start from what the catalog holds, and with the tenants that are there
    #[arg(long, conflicts_with_all = ["at", "from_nothing", "tenants"])]
    pub live: bool,
    /// Start from nothing, instead of as if the (old) policies had run for a year
    #[arg(long)]
    pub from_nothing: bool,
    /// Start at this instant [default: now]
    #[arg(long, value_name = "INSTANT")]
    pub at: Option<String>,
    /// How many tenants there are of each class, or of one; repeatable [default: 1]
    #[arg(long, value_name = "[CLASS=]N")]
    pub tenants: Vec<String>,
    /// The size of a database, where no backup was measured; repeatable
    #[arg(long, value_name = "DATABASE=SIZE")]
    pub size: Vec<String>,
    /// How much larger backups become
    #[arg(long, value_name = "PERCENT/d", default_value = "0%/d")]
    pub growth: String,
    /// What stores charge: a YAML file of prices
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Which runs are late or never come: none, github-actions, late:30m, drop:2%, outage:3d@2026-03-01
    #[arg(long, value_name = "PROFILE", default_value = "none")]
    pub faults: String,
    /// The seed of chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Show the fewest missed slots that break each objective, with dates; shown with --faults, too
    #[arg(long)]
    pub search_faults: bool,
    /// Draw it
    #[arg(long, value_name = "FILE.svg|FILE.html")]
    pub chart: Option<PathBuf>,
}

/// How long before the begin the policies are supposed to have run.
const PAST: Period = Period::days(365);

/// Simulates and shows it.
///
/// # Errors
/// Where the policies are invalid, what they are compared with cannot be read, or the options make no sense.
pub fn run(context: &mut Context, args: &SimulateArgs) -> Result<Exit, CliError> {
    let chart = args.chart.as_deref().map(Picture::of).transpose()?;
    let faults: Faults = args.faults.parse().map_err(|error| refused(&ForecastError::from(error)))?;
    let growth = args.growth.parse().map_err(|error| refused(&ForecastError::from(error)))?;
    let prices = args.prices.as_deref().map(|path| prices::read(context, path)).transpose()?;
    let new = Session::of_files(context, &policies::read_all(context)?)?;
    let old = compared_with(context, args)?;
    let counts = if args.live { None } else { Some(counts(&args.tenants, &new)?) };
    let given = sizes(&args.size, &new)?;
    let mut world = Seen::of(context, args, &new, old.as_ref().map(|(old, _)| old))?;
    world.sizes.extend(given);
    let search = args.search_faults || !faults.is_none();
    let report = forecast::forecast(&Question {
        after: (&world.after, policies_name(context)),
        before: world.before.as_ref().zip(old.map(|(_, name)| name)),
        start: match &world.facts {
            Some(facts) => Start::Catalog(facts),
            None if args.from_nothing || args.live => Start::Nothing,
            None => Start::AsIf(PAST),
        },
        begin: world.begin,
        length: args.length,
        faults,
        seed: args.seed,
        growth,
        prices,
        databases: world.sizes,
        counts,
        step: None,
        tool_version: version::SHORT.to_owned(),
        catalog_version: crate::catalog::newest_version(),
    });
    let report = report.map_err(|error| refused(&error))?;
    if let Some(chart) = chart {
        plan_file::write_whole(context, chart.path, &chart.draw(&report))?;
    }
    let ui = &context.ui;
    ui.print(&if ui.is_json() { forecast_json(&report) } else { forecast_text(&report, search, &ui.style) });
    Ok(if report.holds { Exit::Success } else { Exit::Violated })
}

/// Every reason why there is no forecast is in what was asked.
fn refused(error: &ForecastError) -> CliError {
    CliError::of(error, Exit::Usage)
}

/// Reads the policies that are compared with.
fn compared_with(context: &mut Context, args: &SimulateArgs) -> Result<Option<(Session, String)>, CliError> {
    let (files, name) = match (&args.against, &args.against_policies) {
        (Some(reference), _) => (policies::read_at(context, reference)?, reference.clone()),
        (None, Some(path)) => {
            let files = policies::read_roots(context, std::slice::from_ref(path), "--against-policies")?;
            (files, path.display().to_string())
        }
        (None, None) => return Ok(None),
    };
    Ok(Some((Session::of_files(context, &files)?, name)))
}

/// What the forecast starts from.
struct Seen {
    after: Desired,
    before: Option<Desired>,
    facts: Option<CatalogFacts>,
    begin: Instant,
    sizes: BTreeMap<Name, Bytes>,
}

impl Seen {
    fn of(context: &mut Context, args: &SimulateArgs, new: &Session, old: Option<&Session>) -> Result<Self, CliError> {
        if args.live {
            let facts = Facts::of(context);
            let survey = context.block_on_reading(new.survey(&facts, false))??;
            return Ok(Self::live(context, survey, old));
        }
        let begin = args.at.as_deref().map(instant).transpose()?.unwrap_or_else(|| context.instant());
        let sides: Vec<&Desired> = old.iter().map(|old| &old.base).chain([&new.base]).collect();
        let tenants: BTreeMap<Name, LiveTenants> = forecast::placeholders(&sides)
            .into_iter()
            .map(|(database, tenants)| (database, LiveTenants::Known(tenants)))
            .collect();
        // What is found about placeholders says nothing about tenants.
        let resolved = |session: &Session| session.set.desired(&tenants).0;
        Ok(Self { after: resolved(new), before: old.map(resolved), facts: None, begin, sizes: BTreeMap::new() })
    }

    /// Takes a survey. Tenants of a database that cannot be read are those the catalog holds backups of.
    fn live(context: &Context, survey: Survey, old: Option<&Session>) -> Self {
        let facts = match survey.observed.catalog {
            Observation::Known(CatalogState::Present(facts)) => Some(*facts),
            Observation::Known(CatalogState::Absent) => {
                context.ui.note("there is no catalog yet: the forecast starts from nothing");
                None
            }
            Observation::Unreachable(why) => {
                let words = format!("the catalog cannot be read ({why}): the forecast starts from nothing");
                context.ui.note(&context.ui.err_style.name(&words));
                None
            }
        };
        let mut tenants = BTreeMap::new();
        let mut sizes = BTreeMap::new();
        for (name, server) in &survey.observed.servers {
            let live = match server {
                Observation::Known(server) => {
                    sizes.insert(name.clone(), server.size);
                    match &server.tenants_unread {
                        None => server.tenants.clone().unwrap_or_default(),
                        Some(why) => {
                            let words = format!("database.{name}: {why}; its tenants are those of the catalog");
                            context.ui.note(&context.ui.err_style.name(&words));
                            recorded(facts.as_ref(), name)
                        }
                    }
                }
                Observation::Unreachable(why) => {
                    let words = format!("database.{name} cannot be read ({why}): its tenants are those of the catalog");
                    context.ui.note(&context.ui.err_style.name(&words));
                    recorded(facts.as_ref(), name)
                }
            };
            tenants.insert(name.clone(), live);
        }
        let known: BTreeMap<Name, LiveTenants> =
            tenants.iter().map(|(name, live)| (name.clone(), LiveTenants::Known(live.clone()))).collect();
        let before = old.map(|old| old.set.desired(&known).0);
        Self { after: survey.desired, before, facts, begin: survey.now, sizes }
    }
}

/// Returns the tenants of a database that the catalog holds backups of.
fn recorded(facts: Option<&CatalogFacts>, database: &Name) -> Vec<Tenant> {
    let backups = facts.into_iter().flat_map(|facts| &facts.backups).filter(|b| b.database.as_ref() == Some(database));
    let slugs: BTreeSet<&str> = backups.filter_map(|backup| backup.scope.tenant()).collect();
    slugs.into_iter().map(|slug| Tenant { slug: slug.to_owned(), schema: slug.to_owned(), id: None }).collect()
}

/// Reads `--tenants`: numbers by class, and one for every other.
fn counts(texts: &[String], session: &Session) -> Result<Counts, CliError> {
    let mut counts = Counts::default();
    for text in texts {
        let (class, number) = text.split_once('=').map_or((None, text.as_str()), |(class, n)| (Some(class), n));
        let wrong = |help: &str| CliError::usage(format!("--tenants {text:?} is no number of tenants"), help);
        let number: u64 = number.parse().map_err(|_| wrong("write --tenants critical=12, or --tenants 40"))?;
        if number == 0 || number > 100_000_000 {
            return Err(wrong("write a number from 1 to 100000000"));
        }
        match class {
            None => counts.otherwise = Some(number),
            Some(class) => {
                let known = || session.base.classes.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
                let name = class.parse().ok().filter(|name| session.base.classes.contains_key(name));
                let name: Name = name.ok_or_else(|| wrong(&format!("the classes are: {}", known())))?;
                counts.by_class.insert(name, number);
            }
        }
    }
    Ok(counts)
}

/// Reads `--size`.
fn sizes(texts: &[String], session: &Session) -> Result<BTreeMap<Name, Bytes>, CliError> {
    let read = |text: &String| {
        let wrong =
            || CliError::usage(format!("--size {text:?} names no size of a database"), "write --size app=20GiB");
        let (name, size) = text.split_once('=').ok_or_else(wrong)?;
        let name: Name = name.parse().map_err(|_| wrong())?;
        if !session.base.databases.contains_key(&name) {
            let known: Vec<&str> = session.base.databases.keys().map(Name::as_str).collect();
            let words = format!("--size {text:?}: there is no database.{name}");
            return Err(CliError::usage(words, format!("the databases are: {}", known.join(", "))));
        }
        Ok((name, size.parse().map_err(|_| wrong())?))
    };
    texts.iter().map(read).collect()
}

/// Reads an instant, or a date, which is its first instant in UTC.
fn instant(text: &str) -> Result<Instant, CliError> {
    let date = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let zoned = || text.parse::<jiff::Zoned>().ok();
    let found = text.parse().ok().or_else(|| zoned().or_else(date).map(|zoned| zoned.timestamp()));
    found.ok_or_else(|| {
        CliError::usage(format!("--at {text:?} is no instant"), "write --at 2026-03-01 or --at 2026-03-01T02:00:00Z")
    })
}

/// Returns what the policies in question are called: the paths that were named, or the usual ones.
fn policies_name(context: &Context) -> String {
    let named: Vec<String> = context.global.policies.iter().map(|path| path.display().to_string()).collect();
    let listed = || context.env("BKUP_POLICIES");
    if named.is_empty() { listed().unwrap_or_else(|| "the policies here".to_owned()) } else { named.join(", ") }
}

/// A picture to draw, by the ending of its file's name.
struct Picture<'a> {
    path: &'a Path,
    draw: fn(&ForecastReport) -> String,
}

impl<'a> Picture<'a> {
    fn of(path: &'a Path) -> Result<Self, CliError> {
        let draw = match path.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => forecast_svg,
            Some("html" | "htm") => forecast_html,
            _ => {
                let words = format!("--chart {:?} is neither a .svg nor a .html file", path.display().to_string());
                return Err(CliError::usage(words, "write --chart forecast.svg or --chart forecast.html"));
            }
        };
        Ok(Self { path, draw })
    }

    fn draw(&self, report: &ForecastReport) -> String {
        (self.draw)(report)
    }
}
