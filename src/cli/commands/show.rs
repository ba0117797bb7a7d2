//! `bkup show`: a saved plan, also a stale, applied or altered one.

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::plan_file::{self, Integrity};
use crate::render::{PlanView, Symbol, plan_json, plan_text};

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The plan; - is standard input
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
}

/// Shows a plan.
///
/// # Errors
/// Where the file is no plan that this version can read.
pub fn run(context: &mut Context, args: &ShowArgs) -> Result<Exit, CliError> {
    let (plan, integrity) = plan_file::read(context, &args.plan)?;
    let ui = &context.ui;
    if integrity == Integrity::Altered {
        let mark = ui.err_style.mark(Symbol::Attention);
        ui.note(&format!("{mark} its digest does not agree with its content: it was altered, and apply refuses it"));
    }
    let view = PlanView { plan: &plan, next: None, full: ui.verbosity > 0 };
    ui.print(&if ui.is_json() { plan_json(&plan) } else { plan_text(view, &ui.style) });
    Ok(Exit::Success)
}
