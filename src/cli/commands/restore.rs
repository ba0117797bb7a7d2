//! `bkup restore`: brings a database or a tenant back.

use clap::{ArgGroup, Args};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::Session;
use crate::domain::{Name, RestoreInto};

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["backup", "latest"]))]
pub struct RestoreArgs {
    /// The backup, as `bkup list` shows it
    #[arg(value_name = "BACKUP")]
    pub backup: Option<String>,
    /// The newest one that can be restored
    #[arg(long)]
    pub latest: bool,
    /// Of this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<Name>,
    /// Of this tenant, by slug
    #[arg(long, value_name = "SLUG")]
    pub tenant: Option<String>,
    /// From this store
    #[arg(long, value_name = "NAME")]
    pub store: Option<Name>,
    /// Where to: scratch, new:NAME, live or folder:DIR
    #[arg(long, value_name = "WHERE", default_value = "scratch", value_parser = into)]
    pub into: RestoreInto,
    /// Leave the scratch server running, and say how to reach and stop it
    #[arg(long)]
    pub keep: bool,
    /// Do not ask before writing to a live database
    #[arg(long)]
    pub auto_approve: bool,
}

/// Restores.
///
/// # Errors
/// Where it cannot be done; what was half done is taken back.
pub fn run(context: &mut Context, args: &RestoreArgs) -> Result<Exit, CliError> {
    if args.keep && args.into != RestoreInto::Scratch {
        return Err(CliError::usage("--keep is for a scratch server", "leave --keep out, or restore --into scratch"));
    }
    if args.into == RestoreInto::Live {
        context.ui.require_approval(args.auto_approve)?;
    }
    Session::open(context)?;
    Err(CliError::NotServed("restore"))
}

fn into(text: &str) -> Result<RestoreInto, String> {
    match text.split_once(':') {
        None if text == "scratch" => Ok(RestoreInto::Scratch),
        None if text == "live" => Ok(RestoreInto::Live),
        Some(("new", name)) if !name.is_empty() => Ok(RestoreInto::New(name.to_owned())),
        Some(("folder", dir)) if !dir.is_empty() => Ok(RestoreInto::Folder(dir.to_owned())),
        _ => Err("write scratch, new:NAME, live or folder:DIR".to_owned()),
    }
}
