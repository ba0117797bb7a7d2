//! `bkup man`: man pages, one for each command.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::cli::args::Arguments;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this folder; without it, print the main one
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Prints or writes the pages.
///
/// # Errors
/// Where the folder cannot be written.
pub fn run(context: &mut Context, args: &ManArgs) -> Result<Exit, CliError> {
    let command = Arguments::command();
    match &args.dir {
        Some(dir) => {
            let dir = context.cwd.join(dir);
            let failed = |error: std::io::Error| CliError::unwritable(&dir, &error);
            std::fs::create_dir_all(&dir).map_err(failed)?;
            clap_mangen::generate_to(command, &dir).map_err(failed)?;
        }
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command).render(&mut page);
            rendered.map_err(|error| CliError::unwritable(std::path::Path::new("the page"), &error))?;
            context.ui.print(&String::from_utf8_lossy(&page));
        }
    }
    Ok(Exit::Success)
}
