//! `bkup catalog`: makes a lost catalog again from the stores, and makes or migrates the schema by itself.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::catalog::{AuditEvent, CatalogError, Writer};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::{Session, Wiring, catalog_of};
use crate::diag::{Code, Diagnostic};
use crate::domain::{EnvText, Name, Rebuilt};
use crate::engine::Connection;
use crate::rebuild::{self, OpenStore, RebuildError};
use crate::render::{Sources, rebuilt_json, rebuilt_text};

/// Arguments of `catalog`.
#[derive(Debug, Args)]
pub struct CatalogArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CatalogCommand,
}

/// What to do with the catalog.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Make a lost catalog again from the stores alone; shows what it found, and asks
    Rebuild(RebuildArgs),
    /// Make or migrate the schema, and nothing else: for the role that owns it
    Migrate,
}

/// Arguments of `catalog rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Build in this empty database instead of the policies' catalog: a URL, or '${NAME}' of a variable
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub into: Option<String>,
    /// Consent to a catalog that does not know the backups of this store; repeatable
    #[arg(long, value_name = "STORE")]
    pub without: Vec<Name>,
}

/// Runs a subcommand.
///
/// # Errors
/// Where nothing could be done.
pub fn run(context: &mut Context, args: &CatalogArgs) -> Result<Exit, CliError> {
    match &args.command {
        CatalogCommand::Rebuild(args) => rebuild_it(context, args),
        CatalogCommand::Migrate => migrate(context),
    }
}

fn rebuild_it(context: &mut Context, args: &RebuildArgs) -> Result<Exit, CliError> {
    context.ui.require_approval(args.auto_approve)?;
    let session = Session::open(context)?;
    let catalog = match &args.into {
        Some(text) => named(context, text)?,
        None => session.catalog()?,
    };
    let wiring = Wiring::of(context)?;
    let now = context.now;
    let without: BTreeSet<Name> = args.without.iter().cloned().collect();
    let building = async {
        let mut stores = BTreeMap::new();
        for (name, spec) in &session.base.stores {
            let opened = session.store(spec).await.map(|(store, identities)| OpenStore { store, identities });
            stores.insert(name.clone(), opened);
        }
        let survey = rebuild::survey(&rebuild::Sources { stores, without }).await?;
        rebuild::rebuild(&Writer::with(catalog.options()), &survey, now).await
    };
    let (rebuilding, rebuilt) = context.block_on_reading(building)?.map_err(|error| failed(&error))?;
    let ui = &context.ui;
    ui.print(&if ui.is_json() { rebuilt_json(&rebuilt) } else { rebuilt_text(&rebuilt, &ui.style) });
    if let Err(declined) = context.ui.approve(&question(&rebuilt), args.auto_approve) {
        // Dropping it would do the same; said aloud, the server need not wait for a broken connection.
        let _ = context.block_on(rebuilding.give_up())?;
        return Err(declined);
    }
    let event = event(&wiring, &rebuilt, rebuilding.at());
    context.block_on(rebuilding.commit(event))?.map_err(|error| CliError::of(&error, Exit::Failed))?;
    if !rebuilt.unusable.is_empty() {
        let what = if rebuilt.unusable.len() == 1 {
            "1 object is".to_owned()
        } else {
            format!("{} objects are", rebuilt.unusable.len())
        };
        let finding = Diagnostic::warning(Code("BK919"), format!("{what} not in the rebuilt catalog"))
            .help("what lies beside them is left alone too; look at each, and restore it from a copy of the store where there is one");
        context.ui.findings(&[finding], &[], &Sources::new());
    }
    context.ui.note("the catalog is there again; `bkup plan` compares it with the policies and the world");
    Ok(if rebuilt.is_whole() { Exit::Success } else { Exit::PartlyApplied })
}

/// Reads a URL, or the variable that holds one.
fn named(context: &Context, text: &str) -> Result<Connection, CliError> {
    let variable = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let text = match variable {
        Some(name) => EnvText::Variable(name.to_owned()),
        None => EnvText::Literal(text.to_owned()),
    };
    catalog_of(&context.env_lookup(), &text)
}

fn failed(error: &RebuildError) -> CliError {
    let exit = match error {
        RebuildError::Store(_) => Exit::Failed,
        RebuildError::UnknownStore(_) => Exit::Usage,
        RebuildError::Catalog(CatalogError::NotEmpty { .. }) => Exit::Refused,
        RebuildError::Catalog(_) => Exit::Failed,
        _ => Exit::Refused,
    };
    CliError::of(error, exit)
}

fn question(rebuilt: &Rebuilt) -> String {
    format!(
        "Make this catalog of {} backups? The old one must be gone for good: two catalogs of one store prune each other's backups.",
        rebuilt.backups
    )
}

fn event(wiring: &Wiring, rebuilt: &Rebuilt, at: crate::domain::Instant) -> AuditEvent {
    AuditEvent {
        at,
        actor: wiring.actor().to_owned(),
        run: None,
        event: "catalog rebuilt".to_owned(),
        subject: rebuilt.lineage.clone(),
        facts: json!({
            "serial": rebuilt.serial, "state_at": rebuilt.state_at, "backups": rebuilt.backups,
            "stores": rebuilt.stores.iter().map(|store| &store.store_id).collect::<Vec<_>>(),
            "left_out": rebuilt.left_out, "unusable": rebuilt.unusable.len(), "replaced": rebuilt.replaced.len(),
        }),
    }
}

fn migrate(context: &mut Context) -> Result<Exit, CliError> {
    let session = Session::open(context)?;
    let catalog = session.catalog()?;
    let lineage = format!("{:016x}", Context::random()?);
    let made = context
        .block_on(async move { Writer::with(catalog.options()).create(&lineage, None).await })?
        .map_err(|error| CliError::of(&error, Exit::Failed))?;
    let ui = &context.ui;
    if ui.is_json() {
        let json = json!({
            "format_version": "1.0", "from_version": made.from_version, "version": made.version, "lineage": made.lineage,
        });
        ui.print(&format!("{json}\n"));
        return Ok(Exit::Success);
    }
    ui.print(&match made.from_version {
        Some(from) if from == made.version => format!("The catalog is of version {} already.\n", made.version),
        Some(from) => format!("Migrated the catalog from version {from} to {}.\n", made.version),
        None => format!("Made the catalog, version {}.\n", made.version),
    });
    Ok(Exit::Success)
}
