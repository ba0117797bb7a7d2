//! `bkup drill`: runs a recovery plan's drill now, due or not.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::plan_file;
use crate::cli::session::{Session, Wish};
use crate::domain::{Evidence, Name, Narrowing};
use crate::render::{evidence_json, evidence_text, report_text};

use super::apply::apply_quietly;

/// Arguments of `drill`.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// The recovery plan that is drilled
    #[arg(value_name = "RECOVERY-PLAN")]
    pub plan: Name,
    /// Write the evidence here as JSON
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
}

/// Runs the drill.
///
/// # Errors
/// Where it cannot be run at all; one that runs and fails is exit 8.
pub fn run(context: &mut Context, args: &DrillArgs) -> Result<Exit, CliError> {
    let session = Session::open(context)?;
    let Some(plan) = session.base.recovery_plans.get(&args.plan) else {
        let known: Vec<String> = session.base.recovery_plans.keys().map(ToString::to_string).collect();
        let help = format!("the recovery plans are {}", known.join(", "));
        return Err(CliError::usage(format!("there is no recovery plan {}", args.plan), help));
    };
    if plan.drill.is_none() {
        let help = "add `drill: { every: 30d, checks: [{ tables: equal }] }` to it".to_owned();
        return Err(CliError::usage(format!("the recovery plan {} has no drill", args.plan), help));
    }
    let wish = Wish {
        narrowing: Narrowing { only: Some("drills".to_owned()), ..Narrowing::default() },
        drills: BTreeSet::from([args.plan.clone()]),
        ..Wish::default()
    };
    let (report, exit) = apply_quietly(context, &session, &wish)?;
    for held in &report.held {
        context.ui.note(&context.ui.err_style.name(&format!("{}: {}", held.address, held.words)));
    }
    let Some(evidence) = report.evidence.first() else {
        // Nothing was drilled: what stands against it was said, or is in the failed action.
        context.ui.print(&report_text(&report, &context.ui.style));
        return Ok(if exit == Exit::Success { Exit::Failed } else { exit });
    };
    show(context, args, evidence)
}

/// Writes the evidence of a drill where asked, prints it, and returns how `drill` ends.
///
/// # Errors
/// Where the file cannot be written.
pub fn show(context: &Context, args: &DrillArgs, evidence: &Evidence) -> Result<Exit, CliError> {
    args.evidence.iter().try_for_each(|path| plan_file::write_whole(context, path, &evidence_json(evidence)))?;
    let ui = &context.ui;
    ui.print(&if ui.is_json() { evidence_json(evidence) } else { evidence_text(evidence, &ui.style) });
    Ok(if evidence.status == "passed" { Exit::Success } else { Exit::Violated })
}
