//! `bkup plan`: shows what an apply would do. Changes nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::markdown::MarkdownArgs;
use super::narrow::NarrowArgs;
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::{Facts, Session};
use crate::cli::{formats, github, plan_file};
use crate::diag::Diagnostic;
use crate::domain::Plan;
use crate::plan::coverage;
use crate::render::{
    Markdown, PlanMarkdown, PlanView, Sources, coverage_json, coverage_text, plan_findings, plan_json, plan_markdown,
    plan_text,
};

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Save the plan, for `bkup apply FILE`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the plan as JSON beside the text
    #[arg(long, value_name = "FILE")]
    pub json_out: Option<PathBuf>,
    /// Exit 2 where there are changes or drift
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// With --detailed-exitcode: exit 2 also where work is due
    #[arg(long, requires = "detailed_exitcode")]
    pub include_due: bool,
    /// Explain a part of what is planned instead: tenants, with what each of them gets
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["out", "json_out", "md_out", "detailed_exitcode", "only", "target", "exclude", "allow_delete"])]
    pub explain: Option<Explain>,
    /// Plan for a catalog with a clock that BKUP_NOW moves, where there is none yet: for tests and demos
    #[arg(long, hide = true)]
    pub init_simulated: bool,
    /// Which part of the work
    #[command(flatten)]
    pub narrow: NarrowArgs,
    /// How the plan becomes Markdown
    #[command(flatten)]
    pub markdown: MarkdownArgs,
}

/// What `plan` can explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Explain {
    /// Who gets what.
    #[value(help = None::<&str>)]
    Tenants,
}

/// Plans and shows it.
///
/// # Errors
/// Where the policies are invalid or nothing can be planned.
pub fn run(context: &mut Context, args: &PlanArgs) -> Result<Exit, CliError> {
    let session = Session::review(context)?;
    let facts = Facts::of(context);
    let survey = context.block_on_reading(session.survey(&facts, args.init_simulated))??;
    if let Some(Explain::Tenants) = args.explain {
        let table = coverage(&survey.desired, survey.now);
        let ui = &context.ui;
        ui.print(&if ui.is_json() { coverage_json(&table) } else { coverage_text(&table, &ui.style) });
        ui.findings(&survey.findings, &survey.suppressed, &session.texts);
        return Ok(Exit::Success);
    }
    let plan = session.plan(&survey, &args.narrow.wish())?;
    let (beside, suppressed) = survey.beside_plan();
    let mut findings = plan_findings(&plan);
    findings.extend(session.found.iter().chain(&beside).cloned());
    show(context, args, &plan, &findings, &session.texts)?;
    if context.ui.format != Format::Github {
        // That format is annotations already.
        github::annotate(context, &findings, &session.texts);
    }
    context.ui.findings(&beside, &suppressed, &session.texts);
    Ok(exit(args, &plan))
}

/// Saves a plan where asked and prints it in the format asked for.
///
/// # Errors
/// Where a file cannot be written.
pub fn show(
    context: &Context,
    args: &PlanArgs,
    plan: &Plan,
    findings: &[Diagnostic],
    texts: &Sources,
) -> Result<(), CliError> {
    for path in args.out.iter().chain(&args.json_out) {
        plan_file::write_whole(context, path, &plan_json(plan))?;
    }
    let next = next_command(args, plan);
    args.markdown.write(context, || markdown(&args.markdown, plan, next.as_deref()))?;
    github::planned(context, plan, next.as_deref());
    print(context, &args.markdown, plan, next.as_deref(), findings, texts);
    Ok(())
}

/// Prints a plan in the format asked for.
pub fn print(
    context: &Context,
    args: &MarkdownArgs,
    plan: &Plan,
    next: Option<&str>,
    findings: &[Diagnostic],
    texts: &Sources,
) {
    let ui = &context.ui;
    match ui.format {
        Format::Json => ui.print(&plan_json(plan)),
        Format::Text => {
            let view = PlanView { plan, next, full: ui.verbosity > 0 };
            ui.print(&plan_text(view, &ui.style));
        }
        Format::Markdown => {
            let made = markdown(args, plan, next);
            args.warn(context, &made);
            ui.print(&made.text);
        }
        Format::Sarif | Format::Github => {
            ui.print(&formats::for_programs(context, findings, texts).unwrap_or_default());
        }
    }
}

/// Returns a plan in Markdown.
#[must_use]
pub fn markdown(args: &MarkdownArgs, plan: &Plan, next: Option<&str>) -> Markdown {
    plan_markdown(PlanMarkdown { plan, next, key: &args.md_key, limit: args.md_max_bytes })
}

/// Returns how `plan` ends: refusals are a guard's, differences only where they were asked for.
#[must_use]
pub fn exit(args: &PlanArgs, plan: &Plan) -> Exit {
    let counts = plan.counts();
    let differs = counts.changes + counts.drift > 0 || args.include_due && counts.due > 0;
    if !plan.refusals.is_empty() {
        Exit::Refused
    } else if args.detailed_exitcode && differs {
        Exit::Differences
    } else {
        Exit::Success
    }
}

fn next_command(args: &PlanArgs, plan: &Plan) -> Option<String> {
    if plan.actions.is_empty() || !plan.refusals.is_empty() {
        return None;
    }
    let file = args.out.as_ref().map(|path| format!(" {}", for_shell(&path.display().to_string())));
    Some(format!("bkup apply{}", file.unwrap_or_default()))
}

/// Quotes a word so that a shell takes it as one.
pub(super) fn for_shell(word: &str) -> String {
    let plain = word.chars().all(|c| c.is_alphanumeric() || "-_./:@%+=,".contains(c));
    if plain && !word.is_empty() { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::for_shell;

    #[test]
    fn a_path_in_the_next_command_can_be_pasted() {
        for (path, word) in
            [("plan.json", "plan.json"), ("my plan.json", "'my plan.json'"), ("a'b;rm", "'a'\\''b;rm'"), ("", "''")]
        {
            assert_eq!(for_shell(path), word);
        }
    }
}
