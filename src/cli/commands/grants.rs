//! `bkup init roles` and `bkup init iam`: print the rights that each part of the work needs, and no more. Nothing is
//! connected to and nothing is changed.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::Session;
use crate::domain::Name;
use crate::render::{IamGrants, backup_role_sql, iam_json, roles_sql};

/// What `init` prints.
#[derive(Debug, Subcommand)]
pub enum InitPrint {
    /// Print the SQL of the catalog's roles, and of the roles that backups are taken with
    Roles {
        /// Only the SQL for this protected database
        #[arg(long, value_name = "NAME")]
        database: Option<Name>,
        /// Only the SQL for the catalog; needs no policies
        #[arg(long, conflicts_with = "database")]
        catalog: bool,
    },
    /// Print the AWS policies of the S3 stores, as JSON
    Iam {
        /// Only of this store
        #[arg(long, value_name = "NAME")]
        store: Option<Name>,
        /// Only for this role; with --store, one policy document alone
        #[arg(long, value_enum, value_name = "ROLE")]
        role: Option<IamRole>,
    },
}

/// Whose policy is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IamRole {
    /// Lists and gets.
    #[value(help = None::<&str>)]
    Planner,
    /// Puts.
    #[value(help = None::<&str>)]
    Runner,
    /// Deletes.
    #[value(help = None::<&str>)]
    Pruner,
    /// Deletes old versions too.
    #[value(help = None::<&str>)]
    Eraser,
    /// Gets.
    #[value(help = None::<&str>)]
    Restore,
    /// The bucket's own policy.
    #[value(help = None::<&str>)]
    Bucket,
}

impl From<IamRole> for IamGrants {
    fn from(role: IamRole) -> Self {
        match role {
            IamRole::Planner => Self::Planner,
            IamRole::Runner => Self::Runner,
            IamRole::Pruner => Self::Pruner,
            IamRole::Eraser => Self::Eraser,
            IamRole::Restore => Self::Restore,
            IamRole::Bucket => Self::Bucket,
        }
    }
}

/// Prints.
///
/// # Errors
/// Where the policies cannot be read, or do not name what was asked for: exit 64.
pub fn run(context: &Context, print: &InitPrint) -> Result<Exit, CliError> {
    match print {
        InitPrint::Roles { database, catalog } => roles(context, database.as_ref(), *catalog),
        InitPrint::Iam { store, role } => iam(context, store.as_ref(), role.map(IamGrants::from)),
    }
}

fn roles(context: &Context, database: Option<&Name>, catalog: bool) -> Result<Exit, CliError> {
    let sql = if catalog {
        roles_sql()
    } else {
        let session = Session::open(context)?;
        let databases = &session.base.databases;
        match database {
            Some(name) if !databases.contains_key(name) => {
                let known: Vec<String> = databases.keys().map(ToString::to_string).collect();
                let help = format!("the policies have: {}", known.join(", "));
                return Err(CliError::usage(format!("there is no database {name} in the policies"), help));
            }
            Some(name) => backup_role_sql(name.as_str()),
            None => {
                // For other databases than the catalog's, hence comments: the whole text can be run in one place.
                let others = databases.keys().map(|name| commented(&backup_role_sql(name.as_str())));
                roles_sql() + &others.collect::<String>()
            }
        }
    };
    let ui = &context.ui;
    if ui.is_json() {
        ui.print(&format!("{}\n", json!({ "format_version": "1.0", "sql": sql })));
    } else {
        ui.print(&sql);
    }
    Ok(Exit::Success)
}

fn commented(sql: &str) -> String {
    sql.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("-- {line}\n") }).collect()
}

fn iam(context: &Context, store: Option<&Name>, role: Option<IamGrants>) -> Result<Exit, CliError> {
    let session = Session::open(context)?;
    match iam_json(&session.base.stores, store, role) {
        Some(json) => context.ui.print(&json),
        None => {
            let words = match store {
                Some(name) => format!("store {name} is not an S3 store of the policies"),
                None => "the policies have no S3 store".to_owned(),
            };
            return Err(CliError::usage(words, "folders need no AWS policies: their rights are the file system's"));
        }
    }
    Ok(Exit::Success)
}
