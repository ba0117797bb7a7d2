//! `bkup demo`: the whole promise on this machine, with a server and a store of its own.

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::demo::{Making, Narrator, tell};
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::search;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the server running, with an environment file to source and a stop command
    #[arg(long)]
    pub keep: bool,
    /// How many nights pass before the prune: fewer than retention keeps prune nothing
    #[arg(long, hide = true, default_value_t = 35)]
    pub days: u32,
}

/// Runs the demo.
///
/// # Errors
/// Where a step of it fails.
pub fn run(context: &mut Context, args: &DemoArgs) -> Result<Exit, CliError> {
    if context.ui.is_json() {
        return Err(CliError::usage("the demo is a story for people", "leave --format out"));
    }
    let program = std::env::current_exe()
        .map_err(|error| CliError::Unreadable { path: "bkup's own program".to_owned(), why: error.to_string() })?;
    let style = context.ui.style;
    let colour = if style.colour { "FORCE_COLOR" } else { "NO_COLOR" };
    // Two columns less: what the commands say is indented.
    let columns = style.width.saturating_sub(2).to_string();
    let looks = vec![("COLUMNS".to_owned(), columns), (colour.to_owned(), "1".to_owned())];
    let temporary = context.env("TMPDIR").map(PathBuf::from);
    let making = Making {
        search: search(context),
        parents: temporary.into_iter().chain([PathBuf::from("/tmp")]).collect(),
        tag: format!("{:08x}", Context::random()? >> 32),
        program,
        looks,
    };
    let narrator = Narrator::new(context.ui.out.clone(), style);
    let (stop, keep) = (context.stop(), args.keep.then_some(context.now));
    context.block_on(tell(making, &narrator, args.days, keep, stop))??;
    Ok(Exit::Success)
}
