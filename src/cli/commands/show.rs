//! `bkup show`: a saved plan, also a stale, applied or altered one.

use std::path::PathBuf;

use clap::Args;

use super::markdown::MarkdownArgs;
use super::{plan, restore};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::plan_file::{self, Integrity};
use crate::render::{Sources, Symbol, plan_findings};

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The plan; - is standard input
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// How the plan becomes Markdown
    #[command(flatten)]
    pub markdown: MarkdownArgs,
}

/// Shows a plan.
///
/// # Errors
/// Where the file is no plan that this version can read.
pub fn run(context: &mut Context, args: &ShowArgs) -> Result<Exit, CliError> {
    if let Some(plan) = restore::planned::read(context, &args.plan)? {
        restore::planned::show(context, &plan);
        return Ok(Exit::Success);
    }
    let (plan, integrity) = plan_file::read(context, &args.plan)?;
    let ui = &context.ui;
    if integrity == Integrity::Altered {
        let mark = ui.err_style.mark(Symbol::Attention);
        ui.note(&format!("{mark} its digest does not agree with its content: it was altered, and apply refuses it"));
    }
    args.markdown.write(context, || plan::markdown(&args.markdown, &plan, None))?;
    plan::print(context, &args.markdown, &plan, None, &plan_findings(&plan), &Sources::new());
    Ok(Exit::Success)
}
