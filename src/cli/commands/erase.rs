//! `bkup erase tenant`: destroys the keys and the data of every backup of one tenant, after somebody consented to exactly
//! that, and names what still holds its data.

use clap::{Args, Subcommand};

use crate::apply::{self, ErasureEnd};
use crate::catalog::{CatalogError, ErasureRow, Reader};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::lives::Looked;
use crate::cli::session::{self, RunClock, Wiring};
use crate::diag::{Code, Diagnostic};
use crate::domain::{BackupId, Connections, Consent, Digest, Erasure, Name};
use crate::plan::ErasureRefusal;
use crate::render::{erased_json, erased_text, erasure_json, erasure_text};

/// Arguments of `erase`.
#[derive(Debug, Args)]
pub struct EraseArgs {
    /// What to erase.
    #[command(subcommand)]
    pub what: What,
}

/// What to erase.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Destroy the keys and the data of every backup of one tenant
    Tenant(TenantArgs),
}

/// Whom, and whether it is meant.
#[derive(Debug, Args)]
#[command(
    after_help = "Without --confirm it only shows what would go, and the digest that stands for it. Keys are destroyed \
    first, and no lock protects them: data that a store's lock holds is worth nothing from then on. Backups of whole \
    databases, shared archives and the like hold the data of others too; they are listed with the date each is released, \
    and are not touched."
)]
pub struct TenantArgs {
    /// The tenant's slug
    #[arg(value_name = "SLUG")]
    pub slug: String,
    /// Its database, where more than one knows the slug
    #[arg(long, value_name = "NAME")]
    pub database: Option<Name>,
    /// Why, for the record: the number of the request
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do it: the digest that was shown, or the first 12 digits of it
    #[arg(long, value_name = "DIGEST")]
    pub confirm: Option<String>,
}

/// Shows what would go, or erases it.
///
/// # Errors
/// Where the tenant is not known, is still there, or another thing was consented to.
pub fn run(context: &mut Context, args: &EraseArgs) -> Result<Exit, CliError> {
    let What::Tenant(args) = &args.what;
    tenant(context, args)
}

fn fails(code: &'static str, exit: Exit, words: impl Into<String>, help: impl Into<String>) -> CliError {
    CliError::Failed { finding: Box::new(Diagnostic::error(Code(code), words.into()).help(help.into())), exit }
}

/// Erases one tenant; `bkup key erase` is this too.
///
/// # Errors
/// As [`run`].
pub fn tenant(context: &mut Context, args: &TenantArgs) -> Result<Exit, CliError> {
    let looked = Looked::at(context)?;
    let database = database(context, &looked, args)?;
    let options = looked.session.catalog()?.options();
    let read = context.block_on_reading(async {
        let reader = Reader::with(options);
        let before = reader.erasure_of(Some(&database), &args.slug).await?;
        Ok((before, reader.traces_of(&database, &args.slug).await?))
    })?;
    let (before, traces) = read.map_err(|error: CatalogError| CliError::of(&error, Exit::Failed))?;
    let erasure = match looked.lives().erasure(&database, &args.slug, &traces) {
        Ok(erasure) => erasure,
        Err(ErasureRefusal::Unknown) => return Err(nobody(&args.slug)),
        Err(ErasureRefusal::Stands { words, help }) => {
            let words = format!("tenant {:?} of {database} cannot be erased: {words}", args.slug);
            return Err(fails("BK945", Exit::Refused, words, help));
        }
    };
    let Some(confirmed) = &args.confirm else {
        show(context, &erasure, before.as_ref());
        return Ok(Exit::Success);
    };
    let digest = consented(context, &looked, &erasure, before.as_ref(), confirmed.trim())?;
    if erasure.is_empty() {
        show(context, &erasure, before.as_ref());
        return Ok(Exit::Success);
    }
    let base = &looked.session.base;
    let is_meant = |name: &Name| {
        erasure.backups.iter().any(|b| b.store == *name) || erasure.traces.iter().any(|t| t.store == *name)
    };
    let stores = base.stores.iter().filter(|(name, _)| is_meant(name));
    let connections =
        Connections { stores: stores.map(|(n, s)| (n.clone(), s.clone())).collect(), ..Connections::default() };
    let catalog = looked.session.catalog()?;
    let clock = RunClock { now: looked.now(), simulated: looked.simulated() };
    let wiring = Wiring::of(context)?;
    let reason = args.reason.as_deref();
    let end = context.block_on(async {
        let events = std::sync::mpsc::channel().0;
        let wait = std::time::Duration::ZERO;
        let runtime = session::runtime(&wiring, &catalog, &connections, clock, wait, events).await?;
        Ok::<_, CliError>(apply::erase(&runtime, &erasure, digest, reason).await)
    })??;
    match end {
        ErasureEnd::Done(erased) => {
            let ui = &context.ui;
            ui.print(&if ui.is_json() { erased_json(&erased) } else { erased_text(&erased, &ui.style) });
            if erased.is_whole() {
                return Ok(Exit::Success);
            }
            let words = format!("backups of tenant {:?} can still be read: their store keeps them", args.slug);
            let help = "see above until when; run the same command again after that";
            Err(fails("BK969", Exit::PartlyApplied, words, help))
        }
        ErasureEnd::Refused(words) => {
            let words = format!("tenant {:?} of {database} was not erased: {words}", args.slug);
            Err(fails("BK945", Exit::Refused, words, "look at it again without --confirm"))
        }
        ErasureEnd::Failed(finding) => Err(CliError::Failed { finding, exit: Exit::PartlyApplied }),
    }
}

fn nobody(slug: &str) -> CliError {
    fails(
        "BK944",
        Exit::Failed,
        format!("nobody knows a tenant {slug:?}: there is no backup of it, and it was never seen"),
        "a slug is written exactly as `bkup list` shows it behind `tenant=`",
    )
}

fn database(context: &Context, looked: &Looked, args: &TenantArgs) -> Result<Name, CliError> {
    let all = looked.lives().databases_of(&args.slug);
    match (&args.database, all.as_slice()) {
        (Some(name), _) if all.contains(name) => Ok(name.clone()),
        (None, [one]) => Ok(one.clone()),
        (_, []) | (Some(_), _) => Err(nobody(&args.slug)),
        (None, many) => {
            let names: Vec<&str> = many.iter().map(Name::as_str).collect();
            let slug = context.ui.err_style.name(&args.slug);
            Err(CliError::usage(
                format!("{} databases know a tenant {slug}", many.len()),
                format!("say which with --database: {}", names.join(", ")),
            ))
        }
    }
}

fn show(context: &Context, erasure: &Erasure, before: Option<&ErasureRow>) {
    let ui = &context.ui;
    let done = before.filter(|row| row.completed_at.is_some() && erasure.is_empty());
    let done = done.and_then(|row| Some((row.completed_at?, row.by.as_str())));
    ui.print(&if ui.is_json() { erasure_json(erasure, done) } else { erasure_text(erasure, done, &ui.style) });
}

/// Returns the digest of what was consented to: this erasure's, or that of an earlier try which was cut short and was about
/// every backup that is left.
fn consented(
    context: &mut Context,
    looked: &Looked,
    erasure: &Erasure,
    before: Option<&ErasureRow>,
    confirmed: &str,
) -> Result<Digest, CliError> {
    let long_enough = confirmed.len() >= Consent::SHORTEST;
    if long_enough && erasure.digest.to_string().starts_with(confirmed) {
        return Ok(erasure.digest);
    }
    if let Some(row) = before.filter(|row| long_enough && row.digest.starts_with(confirmed)) {
        let options = looked.session.catalog()?.options();
        let of_it = context.block_on_reading(async { Reader::with(options).erasure_backups(&row.digest).await })?;
        let of_it: Vec<BackupId> = of_it.map_err(|error| CliError::of(&error, Exit::Failed))?;
        if erasure.backups.iter().all(|left| of_it.contains(&left.backup))
            && let Ok(digest) = row.digest.parse()
        {
            return Ok(digest);
        }
    }
    Err(fails(
        "BK968",
        Exit::Refused,
        format!("what is confirmed, {confirmed:?}, is not what would be erased now: {}", erasure.digest),
        "look at it again without --confirm, and confirm the digest that is shown",
    ))
}
