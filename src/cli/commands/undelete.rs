//! `bkup undelete`: brings a tombstoned backup back, and keeps it for a while whatever the rules say.

use clap::Args;

use crate::apply::{self, Undeleted};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::lives::Looked;
use crate::cli::session::{self, RunClock, Wiring};
use crate::domain::{Connections, Period};
use crate::render::{undeleted_json, undeleted_text};

/// Arguments of `undelete`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without a pin the next plan would tombstone it again, since no rule keeps it. Run the command again to \
    change how long it is kept; --for 0s gives it back to the rules."
)]
pub struct UndeleteArgs {
    /// The backup's id, or the begin of it: `bkup list --all` shows tombstoned ones
    #[arg(value_name = "BACKUP")]
    pub backup: String,
    /// How long it is kept, whatever the rules say
    #[arg(long = "for", value_name = "DURATION", default_value = "30d")]
    pub keep_for: Period,
}

/// Brings it back.
///
/// # Errors
/// Where there is no such backup, its purge has begun, or its objects are gone.
pub fn run(context: &mut Context, args: &UndeleteArgs) -> Result<Exit, CliError> {
    let looked = Looked::at(context)?;
    let backup = looked.find(context, args.backup.trim())?.clone();
    let until = Some(args.keep_for.after(looked.now())).filter(|until| *until > looked.now());
    let base = &looked.session.base;
    let stores = base.stores.iter().filter(|(name, _)| **name == backup.store);
    let connections =
        Connections { stores: stores.map(|(n, s)| (n.clone(), s.clone())).collect(), ..Connections::default() };
    let catalog = looked.session.catalog()?;
    let clock = RunClock { now: looked.now(), simulated: looked.simulated() };
    let wiring = Wiring::of(context)?;
    let undeleted = context.block_on(async {
        let events = std::sync::mpsc::channel().0;
        let wait = std::time::Duration::ZERO;
        let runtime = session::runtime(&wiring, &catalog, &connections, clock, wait, events).await?;
        Ok::<_, CliError>(apply::undelete(&runtime, &backup, until).await)
    })??;
    match undeleted {
        Undeleted::Done { back } => {
            let ui = &context.ui;
            ui.print(&if ui.is_json() {
                undeleted_json(&backup, back, until)
            } else {
                undeleted_text(&backup, back, until, &ui.style)
            });
            Ok(Exit::Success)
        }
        Undeleted::Refused { words, help } => {
            Err(CliError::NotUndeleted { backup: backup.id.to_string(), words, help })
        }
        Undeleted::Failed(finding) => Err(CliError::Failed { finding, exit: Exit::Failed }),
    }
}
