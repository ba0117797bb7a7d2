//! Where a restore goes, resolved from its arguments and its manifest.

use std::path::{Path, PathBuf};

use super::args::RestoreArgs;
use super::select;
use crate::cli::failure::CliError;
use crate::cli::session::Session;
use crate::domain::{Manifest, PartKind, RestoreInto, Scope, SwapPlan};
use crate::engine::Connection;
use crate::engine::sql::quote_qualified;
use crate::restore::swap::database::{self, Held};
use crate::restore::{InUse, Job, RestoreError};

/// Where a restore goes.
pub(super) enum Target {
    Scratch,
    /// A folder for files that is gone when they are proven.
    Files,
    Folder(PathBuf),
    New {
        server: Connection,
        name: String,
    },
    LiveTenant(Connection),
    LiveTable {
        live: Connection,
        schema: String,
        table: String,
    },
    LiveDatabase {
        server: Connection,
        name: String,
    },
}

/// What is in use where a restore goes, and has to make room.
pub(super) enum Occupied {
    Schema(InUse),
    Database(Held),
}

impl Occupied {
    pub(super) const fn plan(&self) -> &SwapPlan {
        match self {
            Self::Schema(in_use) => &in_use.plan,
            Self::Database(held) => &held.plan,
        }
    }
}

impl Target {
    /// Whether nothing is there that it takes the place of: a scratch server, a new database, a folder.
    pub(super) const fn is_new(&self) -> bool {
        matches!(self, Self::Scratch | Self::Files | Self::Folder(_) | Self::New { .. })
    }

    pub(super) fn of(session: &Session, args: &RestoreArgs, manifest: &Manifest, cwd: &Path) -> Result<Self, CliError> {
        let files = manifest.parts.iter().any(|part| part.kind == PartKind::Tar);
        let csv = manifest.parts.iter().any(|part| part.kind == PartKind::Csv);
        match &args.into {
            RestoreInto::Folder(dir) if files || csv => return Ok(Self::Folder(cwd.join(dir))),
            RestoreInto::Scratch if manifest.parts.iter().any(|part| part.kind == PartKind::FileList) && !args.keep => {
                return Ok(Self::Files);
            }
            RestoreInto::Folder(_) => {
                return Err(CliError::usage(
                    format!("{} is a dump, and a folder is for a configuration or for files", manifest.backup_id),
                    "restore it --into scratch, new:NAME or live",
                ));
            }
            _ if files => {
                return Err(CliError::usage(
                    format!("{} is a {}, which goes into a folder", manifest.backup_id, manifest.scope.scope),
                    "restore it --into folder:DIR; DIR must not exist yet, or be empty",
                ));
            }
            _ => {}
        }
        if let Some(name) = &args.table {
            if args.into != RestoreInto::Live {
                return Err(CliError::usage("--table is for a live table", "add --into live, or leave --table out"));
            }
            let live = select::server(session, manifest.database.as_deref())?;
            let (schema, table) = parts(name, manifest)?;
            return Ok(Self::LiveTable { live, schema, table });
        }
        if args.into == RestoreInto::Scratch {
            return Ok(Self::Scratch);
        }
        let server = select::server(session, manifest.database.as_deref())?;
        let scope: Option<Scope> = manifest.scope.scope.parse().ok();
        match (&args.into, scope) {
            (RestoreInto::New(name), _) => Ok(Self::New { server, name: name.clone() }),
            (_, Some(Scope::Tenant(_))) => Ok(Self::LiveTenant(server)),
            (_, Some(Scope::Database)) => {
                let name = server.database().to_owned();
                Ok(Self::LiveDatabase { server, name })
            }
            _ => Err(CliError::usage(
                format!("{} holds neither a tenant nor a whole database", manifest.backup_id),
                "only these can be restored --into live; restore it --into scratch or new:NAME",
            )),
        }
    }

    pub(super) const fn server(&self) -> Option<&Connection> {
        match self {
            Self::Scratch | Self::Files | Self::Folder(_) => None,
            Self::New { server, .. }
            | Self::LiveTenant(server)
            | Self::LiveTable { live: server, .. }
            | Self::LiveDatabase { server, .. } => Some(server),
        }
    }

    /// Returns the target as the report words it.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Scratch | Self::Files => "scratch".to_owned(),
            Self::Folder(dir) => format!("folder:{}", dir.display()),
            Self::New { name, .. } => format!("new:{name}"),
            Self::LiveTenant(_) | Self::LiveTable { .. } | Self::LiveDatabase { .. } => "live".to_owned(),
        }
    }

    /// Returns the one table that is meant, quoted.
    pub(super) fn table(&self) -> Option<String> {
        match self {
            Self::LiveTable { schema, table, .. } => Some(quote_qualified(schema, table)),
            _ => None,
        }
    }

    /// Looks what is there, before anything is fetched: what is in the way, or what will have to make room.
    pub(super) async fn look(
        &self,
        manifest: &Manifest,
        id: &str,
        end_sessions: bool,
    ) -> Result<Option<Occupied>, RestoreError> {
        match self {
            Self::Scratch | Self::Files | Self::LiveTable { .. } => {}
            Self::Folder(dir) => Job::check_folder(dir)?,
            Self::New { server, name } => Job::check_no_database(server, name).await?,
            Self::LiveDatabase { server, name } => {
                return Ok(database::look(server, name, id, end_sessions).await?.map(Occupied::Database));
            }
            Self::LiveTenant(live) => {
                // A tenant of several schemas would need a swap of all of them at once.
                if let [schema] = manifest.scope.schemas.as_slice() {
                    return Ok(InUse::look(live, schema, id).await?.map(Occupied::Schema));
                }
                Job::check_no_schema(live, manifest).await?;
            }
        }
        Ok(None)
    }
}

/// Reads `schema.table`, each perhaps in double quotes; a tenant's backup has one schema, which may be left out.
fn parts(name: &str, manifest: &Manifest) -> Result<(String, String), CliError> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                parts.last_mut().into_iter().for_each(|part| part.push('"'));
            }
            '"' => quoted = !quoted,
            // Only the first dot parts: a table's name may have others.
            '.' if !quoted && parts.len() == 1 => parts.push(String::new()),
            c => parts.last_mut().into_iter().for_each(|part| part.push(c)),
        }
    }
    match (parts.as_slice(), manifest.scope.schemas.as_slice()) {
        ([schema, table], _) if !schema.is_empty() && !table.is_empty() => Ok((schema.clone(), table.clone())),
        ([table], [schema]) if !table.is_empty() => Ok((schema.clone(), table.clone())),
        _ => Err(CliError::usage(format!("--table {name} is not the name of a table"), "write it as schema.table")),
    }
}
