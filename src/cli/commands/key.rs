//! `bkup key`: makes age keys, and destroys a tenant's. A private key goes to one file or to standard output, and nowhere
//! else.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::wiring;

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an age key pair: the identity file, with the recipient in a comment
    Generate {
        /// Write the identity to a new file that only you can read, and print the recipient
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Destroy the keys of one tenant, and its data: `bkup erase tenant`
    Erase(super::erase::TenantArgs),
}

/// Makes a key.
///
/// # Errors
/// Where the file exists or cannot be written.
pub fn run(context: &mut Context, args: &KeyArgs) -> Result<Exit, CliError> {
    let out = match &args.command {
        KeyCommand::Generate { out } => out,
        KeyCommand::Erase(args) => return super::erase::tenant(context, args),
    };
    let (identity, recipient) = wiring::new_identity(context.now);
    match out {
        Some(path) => {
            let path = context.cwd.join(path);
            write_new(&path, identity.expose_secret())?;
            context.ui.print(&format!("{recipient}\n"));
            context
                .ui
                .note("keep the identity apart from the backups, in two places: without it they cannot be restored");
        }
        None => context.ui.print(identity.expose_secret()),
    }
    Ok(Exit::Success)
}

/// Writes a private file that did not exist.
fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => CliError::Exists { path: path.display().to_string() },
        _ => CliError::unwritable(path, &error),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // Half a key in a file looks like a key; the file is ours, made above.
        let _ = std::fs::remove_file(path);
        CliError::unwritable(path, &error)
    })
}
