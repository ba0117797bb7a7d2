//! `bkup status`: every class and tenant against its objectives; exit 8 where one is breached.

use std::collections::BTreeSet;

use clap::Args;

use super::markdown::MarkdownArgs;
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::github;
use crate::cli::session::{Facts, Session, Wish};
use crate::cli::survey::Survey;
use crate::domain::{CatalogState, Instant, Name, ObjectiveRow, TenantRecord};
use crate::render::{is_breached, status_json, status_markdown, status_text};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<Name>,
    /// Only tenants of this class
    #[arg(long, value_name = "NAME")]
    pub class: Option<Name>,
    /// How the status becomes Markdown
    #[command(flatten)]
    pub markdown: MarkdownArgs,
}

/// Shows the status.
///
/// # Errors
/// Where it cannot be known.
pub fn run(context: &mut Context, args: &StatusArgs) -> Result<Exit, CliError> {
    let session = Session::open(context)?;
    let facts = Facts::of(context);
    let survey = context.block_on_reading(session.survey(&facts, false))??;
    let plan = session.plan(&survey, &Wish::default())?;
    context.ui.findings(&survey.findings, &survey.suppressed, &session.texts);
    for held in plan.held.iter().filter(|held| held.work == "look" || held.database.is_some() && held.scope.is_none()) {
        context.ui.note(&context.ui.err_style.name(&format!("{}: {}", held.address, held.words)));
    }
    note_offboarded(context, args, &survey);
    show(context, args, plan.objectives, survey.now)
}

/// Tenants that are gone have no objective any more, and backups all the same.
fn note_offboarded(context: &Context, args: &StatusArgs, survey: &Survey) {
    let Some(CatalogState::Present(facts)) = survey.observed.catalog.known() else { return };
    let wanted = |record: &&TenantRecord| {
        record.offboarded_at.is_some() && args.database.as_ref().is_none_or(|name| record.database == *name)
    };
    let gone: BTreeSet<(&Name, &str)> =
        facts.tenants.iter().filter(wanted).map(|record| (&record.database, record.slug.as_str())).collect();
    let theirs: BTreeSet<(&Name, &str)> = facts
        .backups
        .iter()
        .filter_map(|backup| Some((backup.database.as_ref()?, backup.scope.tenant()?)))
        .filter(|who| gone.contains(who))
        .collect();
    match theirs.len() {
        0 => {}
        1 => context.ui.note("1 tenant was offboarded and still has backups: `bkup orphans`"),
        n => context.ui.note(&format!("{n} tenants were offboarded and still have backups: `bkup orphans`")),
    }
}

/// Prints rows in the format asked for and returns how `status` ends.
///
/// # Errors
/// Where a file cannot be written.
pub fn show(
    context: &Context,
    args: &StatusArgs,
    mut rows: Vec<ObjectiveRow>,
    as_of: Instant,
) -> Result<Exit, CliError> {
    rows.retain(|row| args.database.as_ref().is_none_or(|name| row.database == *name));
    rows.retain(|row| args.class.is_none() || row.class == args.class);
    let ui = &context.ui;
    let markdown = || status_markdown(&rows, as_of, &args.markdown.md_key, args.markdown.md_max_bytes);
    args.markdown.write(context, markdown)?;
    github::stands(context, &rows, as_of);
    ui.print(&match ui.format {
        Format::Json => status_json(&rows, as_of),
        Format::Markdown => markdown().text,
        _ => status_text(&rows, as_of, &ui.style),
    });
    Ok(if is_breached(&rows) { Exit::Violated } else { Exit::Success })
}
