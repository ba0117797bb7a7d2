//! `bkup import`: policies out of what there is: a crontab, CronJob manifests, fragments of YAML, a catalog. Reads only;
//! what it writes is a new file, or standard output.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};

use crate::catalog::Reader;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::new_files::{read_text, write_new};
use crate::cli::{policies, session, wiring};
use crate::diag::Severity;
use crate::domain::{CatalogState, ZoneName};
use crate::policy::import::{self, Circumstances, Defined, Imported};
use crate::policy::{self, SourceFile};
use crate::render::{Tone, findings_summary};

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).multiple(false))]
pub struct ImportArgs {
    /// A crontab, of a user or of the system; - reads standard input
    #[arg(long, value_name = "FILE", group = "source")]
    pub crontab: Option<PathBuf>,
    /// Kubernetes CronJob manifests
    #[arg(long, value_name = "FILE", group = "source", num_args = 1..)]
    pub cronjobs: Vec<PathBuf>,
    /// Fragments backup_retention, schedules, recovery_priorities: YAML, or the YAML blocks of a Markdown file
    #[arg(long, value_name = "FILE", group = "source")]
    pub fragments: Option<PathBuf>,
    /// What the catalog records and no policy says, rows that people put in by hand included
    #[arg(long, group = "source")]
    pub catalog: bool,
    /// The zone of schedules that do not say theirs
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub timezone: Option<ZoneName>,
    /// Write a new file, or a file into this folder, instead of standard output
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
}

fn zone(text: &str) -> Result<ZoneName, String> {
    ZoneName::try_from(text.to_owned()).map_err(|_| "no IANA time zone, such as Asia/Seoul".to_owned())
}

/// Imports and says what was taken and what was not.
///
/// # Errors
/// Where nothing can be read or nothing of it can be imported (exit 1), or the result is no valid policy (exit 3).
pub fn run(context: &mut Context, args: &ImportArgs) -> Result<Exit, CliError> {
    let told = Circumstances { timezone: args.timezone.clone(), now: context.instant() };
    let mut beside = Vec::new();
    let (kind, imported) = if let Some(path) = &args.crontab {
        ("crontab", import::crontab(&read_text(context, path)?, &told))
    } else if let Some(path) = &args.fragments {
        ("fragments", import::fragments(&path.display().to_string(), &read_text(context, path)?, &told))
    } else if args.catalog {
        beside = defined_files(context)?;
        ("catalog", from_catalog(context, &beside, &told)?)
    } else {
        let read = |path: &PathBuf| Ok((file_name(path), read_text(context, path)?));
        let files = args.cronjobs.iter().map(read).collect::<Result<Vec<_>, CliError>>()?;
        ("cronjobs", import::cronjobs(&files, &told))
    };
    say(context, &imported);
    let Some(text) = &imported.text else {
        return Err(CliError::NothingToImport { left: imported.left.len() });
    };
    let name = out_path(context, args.out.as_deref(), kind);
    let shown = name.as_ref().map_or_else(|| format!("imported-{kind}.yaml"), |path| path.display().to_string());
    match &name {
        Some(path) => write_new(context, &[(path.clone(), text.clone())])?,
        None if context.ui.is_json() => {}
        None => context.ui.print(text),
    }
    if context.ui.is_json() {
        print_json(context, &shown, &imported);
    }
    beside.push(SourceFile { name: shown.clone(), bytes: text.clone().into_bytes() });
    let judged = wiring::judge(&beside, context.instant());
    let findings = &judged.findings;
    context.ui.findings(findings, &judged.suppressed, &policies::sources(&beside));
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(CliError::InvalidPolicies { summary: findings_summary(findings) });
    }
    if name.is_some() && !context.ui.is_json() {
        context.ui.note(&format!("wrote {shown}; next: read it, then `bkup validate -p {shown}` and `bkup plan`"));
    }
    Ok(Exit::Success)
}

/// Says on the side what was taken and what was not.
fn say(context: &Context, imported: &Imported) {
    if context.ui.is_json() {
        return;
    }
    let ui = &context.ui;
    let style = &ui.err_style;
    for line in &imported.taken {
        ui.note(&format!("{} {}", style.paint(Tone::Good, "imported"), style.name(line)));
    }
    for line in &imported.left {
        ui.note(&format!("{} {}", style.paint(Tone::Warn, "not imported"), style.name(line)));
    }
    ui.note(&format!("{} imported, {} not", imported.taken.len(), imported.left.len()));
}

fn print_json(context: &Context, file: &str, imported: &Imported) {
    let json = serde_json::json!({
        "format_version": "1.0",
        "file": file,
        "policies": imported.text,
        "imported": imported.taken,
        "not_imported": imported.left,
    });
    context.ui.print(&format!("{json:#}\n"));
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Returns where the file goes: a folder that is there, or is named with a slash, gets a file named after the source.
fn out_path(context: &Context, out: Option<&Path>, kind: &str) -> Option<PathBuf> {
    let out = out?;
    let folder = context.cwd.join(out).is_dir() || out.as_os_str().as_encoded_bytes().ends_with(b"/");
    Some(if folder { out.join(format!("imported-{kind}.yaml")) } else { out.to_owned() })
}

/// Returns the policies that are there, none where there are none.
fn defined_files(context: &Context) -> Result<Vec<SourceFile>, CliError> {
    match policies::read_all(context) {
        Err(CliError::NoPolicies { .. }) if context.global.policies.is_empty() => Ok(Vec::new()),
        read => read,
    }
}

fn from_catalog(context: &mut Context, files: &[SourceFile], told: &Circumstances) -> Result<Imported, CliError> {
    let (set, findings) = policy::read(files);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        context.ui.findings(&findings, &[], &policies::sources(files));
        return Err(CliError::InvalidPolicies { summary: findings_summary(&findings) });
    }
    let connection = session::catalog_of(&context.env_lookup(), &set.catalog_url())?;
    let reading = async move {
        let reader = Reader::with(connection.options());
        let state = reader.state().await?;
        let by_hand = reader.by_hand().await?;
        reader.close().await;
        Ok((state, by_hand))
    };
    let (state, by_hand) = context
        .block_on_reading(reading)?
        .map_err(|error: crate::catalog::CatalogError| CliError::of(&error, Exit::Failed))?;
    let CatalogState::Present(facts) = state else {
        return Err(CliError::Setting {
            words: "there is no catalog in that database".to_owned(),
            help: "check BKUP_CATALOG_URL; `bkup apply` makes the catalog".to_owned(),
        });
    };
    let applied: BTreeMap<_, _> = facts.applied;
    Ok(import::applied(&applied, &by_hand, &Defined::of(&set, told.now), told))
}
