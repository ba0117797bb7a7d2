//! `bkup backup`: takes a schedule's backup now, for `on: request` and before risky work.

use std::collections::BTreeSet;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::{Session, Wish};
use crate::domain::{ActionKind, Address, Name, Narrowing, Outcome, Section};
use crate::render::report_text;

use super::apply::apply_quietly;

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The schedule whose backup is taken
    #[arg(value_name = "SCHEDULE")]
    pub schedule: Name,
}

/// Takes the backup.
///
/// # Errors
/// Where it cannot be taken.
pub fn run(context: &mut Context, args: &BackupArgs) -> Result<Exit, CliError> {
    let session = Session::open(context)?;
    if !session.base.schedules.contains_key(&args.schedule) {
        let known: Vec<String> = session.base.schedules.keys().map(ToString::to_string).collect();
        let help = format!("the schedules are {}", known.join(", "));
        return Err(CliError::usage(format!("there is no schedule {}", args.schedule), help));
    }
    let wish = Wish {
        narrowing: Narrowing { only: Some("backups".to_owned()), ..Narrowing::default() },
        schedules: BTreeSet::from([args.schedule.clone()]),
        ..Wish::default()
    };
    let (report, exit) = apply_quietly(context, &session, &wish)?;
    if !context.ui.is_json() {
        context.ui.print(&report_text(&report, &context.ui.style));
    }
    let taken = report.actions.iter().any(|a| {
        matches!(a.action.kind, ActionKind::BackUp(_))
            && matches!(a.outcome, Outcome::Done { .. } | Outcome::AlreadyDone { .. })
    });
    if exit == Exit::Success && !taken {
        let own = Address::of(Section::Schedule, args.schedule.clone());
        let held = report.held.iter().filter(|held| held.address == own);
        let words: BTreeSet<String> = held.map(|held| held.words.clone()).collect();
        if !words.is_empty() {
            let words = words.into_iter().collect::<Vec<_>>().join("; ");
            return Err(CliError::Held { schedule: args.schedule.to_string(), words });
        }
    }
    // Whoever takes a backup before risky work must not go on without one.
    Ok(if exit == Exit::Success && !taken { Exit::Failed } else { exit })
}
