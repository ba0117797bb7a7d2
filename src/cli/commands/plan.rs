//! `bkup plan`: shows what an apply would do. Changes nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::narrow::NarrowArgs;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::plan_file;
use crate::cli::session::{Facts, Session};
use crate::domain::Plan;
use crate::plan::coverage;
use crate::render::{PlanView, coverage_json, coverage_text, plan_json, plan_text};

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
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["out", "json_out", "detailed_exitcode", "only", "target", "exclude", "allow_delete"])]
    pub explain: Option<Explain>,
    /// Plan for a catalog with a clock that BKUP_NOW moves, where there is none yet: for tests and demos
    #[arg(long, hide = true)]
    pub init_simulated: bool,
    /// Which part of the work
    #[command(flatten)]
    pub narrow: NarrowArgs,
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
    show(context, args, &plan)?;
    let (findings, suppressed) = survey.beside_plan();
    context.ui.findings(&findings, &suppressed, &session.texts);
    Ok(exit(args, &plan))
}

/// Saves a plan where asked and prints it in the format asked for.
///
/// # Errors
/// Where a file cannot be written.
pub fn show(context: &Context, args: &PlanArgs, plan: &Plan) -> Result<(), CliError> {
    for path in args.out.iter().chain(&args.json_out) {
        plan_file::write_whole(context, path, &plan_json(plan))?;
    }
    if context.ui.is_json() {
        context.ui.print(&plan_json(plan));
        return Ok(());
    }
    let next = next_command(args, plan);
    let view = PlanView { plan, next: next.as_deref(), full: context.ui.verbosity > 0 };
    context.ui.print(&plan_text(view, &context.ui.style));
    Ok(())
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
fn for_shell(word: &str) -> String {
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
