//! From arguments to what is wanted; everything left open is said with what there is to choose from.

use super::RestoreArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::Session;
use crate::domain::{Name, Scope};
use crate::engine::Connection;
use crate::restore::Wanted;

/// Returns which backup is wanted.
///
/// # Errors
/// Where a database or store is not in the policies, or there is more than one to choose from: exit 64.
pub(super) fn wanted(session: &Session, args: &RestoreArgs) -> Result<Wanted, CliError> {
    let base = &session.base;
    if let Some(store) = &args.store
        && !base.stores.contains_key(store)
    {
        let help = format!("the stores are {}", list(base.stores.keys()));
        return Err(CliError::usage(format!("there is no store {store}"), help));
    }
    if let Some(database) = &args.database
        && !base.databases.contains_key(database)
    {
        let help = format!("the databases are {}", list(base.databases.keys()));
        return Err(CliError::usage(format!("there is no database {database}"), help));
    }
    if args.tenant.as_deref() == Some("") {
        return Err(CliError::usage("--tenant is empty", "write the tenant's slug"));
    }
    if let Some(id) = &args.backup {
        return Ok(Wanted::Id(id.clone()));
    }
    if let Some(scope @ Scope::Files(_)) = &args.scope {
        return Ok(Wanted::Latest { database: None, scope: scope.clone(), not_after: None });
    }
    let mut databases = base.databases.keys();
    let database = match (&args.database, databases.next(), databases.next()) {
        (Some(database), ..) => database.clone(),
        (None, Some(only), None) => only.clone(),
        (None, None, _) => return Err(CliError::usage("the policies have no database", "name a backup by its id")),
        (None, Some(_), Some(_)) => {
            let help = format!("add --database: the databases are {}", list(base.databases.keys()));
            return Err(CliError::usage("of which database?", help));
        }
    };
    let scope = args.tenant.clone().map(Scope::Tenant).or_else(|| args.scope.clone()).unwrap_or(Scope::Database);
    Ok(Wanted::Latest { database: Some(database), scope, not_after: None })
}

/// Returns how the live server of a database is reached.
///
/// # Errors
/// Where the policies do not know it, or its variable is not set.
pub(super) fn server(session: &Session, database: Option<&str>) -> Result<Connection, CliError> {
    let name = database.unwrap_or_default();
    let spec = name.parse::<Name>().ok().and_then(|name| session.base.databases.get(&name));
    let Some(spec) = spec else {
        let words = format!("the policies have no database {name:?}, so its server is not known");
        return Err(CliError::usage(words, "restore --into scratch, or add the database to the policies"));
    };
    let url = session.value(&spec.url).map_err(|reason| CliError::Setting {
        words: format!("database.{name} cannot be reached: {reason}"),
        help: "set it to the database's PostgreSQL URL".to_owned(),
    })?;
    Connection::parse(&url).map_err(|error| CliError::of(&error, Exit::Failed))
}

fn list<'a>(names: impl Iterator<Item = &'a Name>) -> String {
    names.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
