//! `bkup apply`: does what the policies ask for, or exactly what a saved plan says.

use std::path::PathBuf;

use clap::Args;

use super::narrow::NarrowArgs;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::{plan_file, wiring};
use crate::domain::{ApplyReport, Bytes, Instant, Outcome, Period, Plan};
use crate::render::{age, report_json};

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A saved plan: it is the approval, and is applied exactly
    #[arg(value_name = "PLAN", conflicts_with_all = ["only", "target", "exclude", "allow_delete"])]
    pub plan: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Refuse a saved plan older than this
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub max_age: Period,
    /// How long to wait for work that someone else holds
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub lock_timeout: Period,
    /// Write the report here, also after a failure
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Make a catalog with a clock that BKUP_NOW moves: for tests and demos
    #[arg(long, hide = true)]
    pub init_simulated: bool,
    /// Which part of the work
    #[command(flatten)]
    pub narrow: NarrowArgs,
}

/// Plans or reads a plan, asks, and applies.
///
/// # Errors
/// Where nothing can be applied.
pub fn run(context: &mut Context, args: &ApplyArgs) -> Result<Exit, CliError> {
    // A saved plan is its own approval; everything else needs one, and a pipeline should learn that at once.
    match &args.plan {
        Some(path) => plan_file::read_to_apply(context, path).map(drop)?,
        None => {
            context.ui.require_approval(args.auto_approve)?;
            wiring::policy_set(context)?;
        }
    }
    Err(CliError::NotServed("apply"))
}

/// Returns the question that approves a plan, with the numbers that matter.
#[must_use]
pub fn question(plan: &Plan) -> String {
    let counts = plan.counts();
    let bytes: Bytes = plan.actions.iter().filter(|a| a.kind.deletes()).filter_map(|a| a.bytes).sum();
    let deletes = if counts.deletes == 0 {
        "deleting nothing".to_owned()
    } else {
        format!("deleting {} backups, {bytes}", counts.deletes)
    };
    format!("Apply {} actions, {deletes}?", plan.actions.len())
}

/// Checks that a saved plan is young enough to be its own approval.
///
/// # Errors
/// Where it is older than `--max-age`: exit 6.
pub fn check_age(args: &ApplyArgs, plan: &Plan, now: Instant) -> Result<(), CliError> {
    let old = Period::between(plan.as_of, now);
    if old <= args.max_age { Ok(()) } else { Err(CliError::TooOld { age: age(old), limit: age(args.max_age) }) }
}

/// Writes the report where asked, also after a failure.
///
/// # Errors
/// Where it cannot be written.
pub fn write_report(context: &Context, args: &ApplyArgs, report: &ApplyReport) -> Result<(), CliError> {
    args.report.iter().try_for_each(|path| plan_file::write_whole(context, path, &report_json(report)))
}

/// Returns how an apply ends, by what became of its actions. Interruption is the context's to know.
#[must_use]
pub fn exit(report: &ApplyReport) -> Exit {
    let of = |test: fn(&Outcome) -> bool| report.actions.iter().any(|action| test(&action.outcome));
    let failed = of(|o| matches!(o, Outcome::Failed { .. } | Outcome::NotReached));
    let done = of(|o| matches!(o, Outcome::Done { .. } | Outcome::Violated { .. }));
    if failed && done {
        Exit::PartlyApplied
    } else if failed {
        Exit::Failed
    } else if of(|o| matches!(o, Outcome::Violated { .. })) {
        Exit::Violated
    } else if of(|o| matches!(o, Outcome::Claimed { .. })) {
        Exit::Locked
    } else {
        Exit::Success
    }
}
