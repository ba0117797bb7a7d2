//! `bkup adopt`: takes backups over that other scripts left in a bucket or folder. Copies; what lies there stays.

use std::sync::Arc;

use clap::Args;

use super::apply::{apply_adoption, question};
use crate::adopt;
use crate::apply::ApplyError;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::{Facts, Session};
use crate::diag::{Code, Diagnostic, Explain};
use crate::domain::{EnvText, Name, StoreSpec, StoreUrl, ZoneName};
use crate::plan::{self, Adoption};
use crate::render::{adoption_json, adoption_text, report_text};
use crate::store::{self, ReadStore, StoreConnection};

/// Arguments of `adopt`.
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// Where they lie: a folder, file:///folder or s3://bucket/prefix
    #[arg(long, value_name = "PLACE")]
    pub from: String,
    /// The database that they are of; may be left out where the policies have one alone
    #[arg(long, value_name = "NAME")]
    pub database: Option<Name>,
    /// The schedule whose backups they become; repeatable, once for databases and once for tenants
    #[arg(long, value_name = "NAME")]
    pub schedule: Vec<Name>,
    /// The zone of the times in their names
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    pub timezone: ZoneName,
    /// The S3 server, for a bucket that is not on AWS
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The bucket's region
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Show what would be adopted, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
}

fn zone(text: &str) -> Result<ZoneName, String> {
    ZoneName::try_from(text.to_owned()).map_err(|_| "no IANA time zone, such as Asia/Seoul".to_owned())
}

/// Why nothing is adopted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unclear(String);

impl Explain for Unclear {
    fn explain(&self) -> Diagnostic {
        Diagnostic::error(Code("BK921"), self.to_string()).help(
            "name it with --schedule; one of its own, such as `when: { on: request }` with a retention rule, will do",
        )
    }
}

/// Looks, shows what it would do, asks, and adopts.
///
/// # Errors
/// Where the place cannot be listed, or it is not clear what the backups belong to.
pub fn run(context: &mut Context, args: &AdoptArgs) -> Result<Exit, CliError> {
    if !args.dry_run {
        context.ui.require_approval(args.auto_approve)?;
    }
    let session = Session::open(context)?;
    let database = database(&session, args)?;
    let spec = place(context, args)?;
    let (err, style) = (context.ui.err.clone(), context.ui.err_style);
    let tell = move |words: String| err.write(&format!("{}\n", style.name(&words)));
    let zone = args.timezone.zone().clone();
    let facts = Facts::of(context);
    let (place, looked, survey) = context.block_on_reading(async {
        let mut connection = StoreConnection::new(spec);
        connection.endpoint = args.endpoint.clone();
        let failed = |error: &store::StoreError| CliError::of(error, Exit::Failed);
        let place: Arc<dyn ReadStore> = store::open_reader(connection).await.map_err(|error| failed(&error))?;
        let survey = session.survey(&facts, false).await?;
        let looked = adopt::survey(&place, &zone, survey.now, &tell).await;
        Ok::<_, CliError>((place, looked.map_err(|error| CliError::of(&error, Exit::Failed))?, survey))
    })??;
    let wanted = Adoption {
        database,
        schedules: args.schedule.clone(),
        found: looked.whole.into_iter().map(|checked| (checked.scope, checked.found)).collect(),
    };
    let request = session.request(&survey, &crate::cli::session::Wish::default());
    let mut adoption = plan::adoption(&survey.desired, &survey.observed, &request, &wanted)
        .map_err(|words| CliError::of(&Unclear(words), Exit::Usage))?;
    adoption.left_alone.extend(looked.left_alone);
    adoption.left_alone.sort();
    let plan::AdoptionPlan { plan, left_alone, already } = adoption;
    let ui = &context.ui;
    if ui.is_json() {
        ui.print(&adoption_json(&plan, &left_alone, &already, looked.others));
    } else {
        let zone = args.timezone.as_str();
        ui.print(&adoption_text(&plan, &left_alone, &already, looked.others, zone, &ui.style));
    }
    if args.dry_run || plan.actions.is_empty() {
        return Ok(Exit::Success);
    }
    if let Some(refusal) = plan.refusals.first() {
        return Err(CliError::of(&ApplyError::Refused(refusal.words.clone()), Exit::Refused));
    }
    context.ui.approve(&question(&plan), args.auto_approve)?;
    let (report, exit) = apply_adoption(context, &session, &survey, &plan, place)?;
    if !context.ui.is_json() {
        context.ui.print(&report_text(&report, &context.ui.style));
    }
    Ok(exit)
}

fn database(session: &Session, args: &AdoptArgs) -> Result<Name, CliError> {
    let all = &session.base.databases;
    let names = || all.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if let Some(schedule) = args.schedule.iter().find(|name| !session.base.schedules.contains_key(*name)) {
        let known: Vec<String> = session.base.schedules.keys().map(ToString::to_string).collect();
        let help = format!("the schedules are {}", known.join(", "));
        return Err(CliError::usage(format!("there is no schedule {schedule}"), help));
    }
    match (&args.database, all.keys().next(), all.len()) {
        (Some(name), ..) if all.contains_key(name) => Ok(name.clone()),
        (Some(name), ..) => {
            Err(CliError::usage(format!("there is no database {name}"), format!("the databases are {}", names())))
        }
        (None, Some(only), 1) => Ok(only.clone()),
        _ => Err(CliError::usage("--from is of which database?", format!("add --database: there are {}", names()))),
    }
}

/// Reads `--from`: a URL as stores have it, or a folder as people write it.
fn place(context: &Context, args: &AdoptArgs) -> Result<StoreSpec, CliError> {
    let text = if args.from.contains("://") {
        args.from.clone()
    } else {
        let folder = context.cwd.join(&args.from);
        let folder = std::fs::canonicalize(&folder).map_err(|error| {
            CliError::usage(format!("{} cannot be read: {error}", folder.display()), "name a folder that is there")
        })?;
        format!("file://{}", folder.display())
    };
    let url = StoreUrl::try_from(text)
        .map_err(|why| CliError::usage(why, "write a folder, file:///folder or s3://bucket/prefix"))?;
    let mut spec = StoreSpec::at(url);
    spec.region.clone_from(&args.region);
    spec.endpoint = args.endpoint.clone().map(EnvText::Literal);
    spec.path_style = args.endpoint.is_some();
    Ok(spec)
}
