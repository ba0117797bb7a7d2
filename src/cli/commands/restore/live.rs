//! The swap of a live schema, as a command: shown, asked for, made; taken back, and forgotten.

use super::args::RestoreArgs;
use super::{beating, select};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::{Session, Wiring};
use crate::domain::{Name, Period, Swapped, TableChange, TableRestored};
use crate::engine::Connection;
use crate::engine::rows::RowsInto;
use crate::engine::sql::{quote_ident, quote_qualified};
use crate::engine::swap::{Marked, Patience, remove_leftovers};
use crate::render::{SwapOf, swap_text, swapped_json, table_words, undone_text};
use crate::restore::swap::database::{self, Held};
use crate::restore::swap::{SwapError, Terms, Undo, changes, check_forget, look_back, remove, swaps, undo};
use crate::restore::{Done, InUse, Job, Proven, RestoreError};

/// Returns a fresh id, 8 hexadecimal digits.
pub(super) fn fresh_id() -> Result<String, CliError> {
    Ok(format!("{:08x}", Context::random()? >> 32))
}

pub(super) fn patience(timeout: Period) -> Patience {
    Patience { total: std::time::Duration::from_secs(timeout.as_seconds().unsigned_abs()), ..Patience::default() }
}

fn terms(args: &RestoreArgs) -> Terms {
    Terms { patience: patience(args.lock_timeout), keep_orphans: args.keep_orphans, at: Context::clock().to_string() }
}

/// Shows what hangs on the schema in use and what it holds, asks, loads the proven copy beside it, and swaps.
pub(super) fn swap(
    context: &mut Context,
    args: &RestoreArgs,
    job: &Job,
    live: &Connection,
    (proven, in_use): (&Proven, &InUse),
) -> Result<(Done, Swapped), CliError> {
    let found = beating(context, job, async {
        let copy = job.read_copy(proven, in_use).await?;
        (job.tell)("comparing what is in use with what was proven".to_owned());
        let found = changes(live, &copy.tables, &in_use.filled()).await?;
        Ok((copy, found))
    });
    let (copy, found) = found?;
    context.ui.note(swap_text(&in_use.plan, &found, SwapOf::Backup, &context.ui.err_style).trim_end());
    let manifest = &job.backups[job.backups.len() - 1].origin.manifest;
    let question = format!(
        "{} was proven in a scratch server. Load it into {live} beside {}, and swap them?",
        manifest.backup_id, in_use.plan.name
    );
    context.ui.approve(&context.ui.err_style.name(&question), args.auto_approve)?;
    let terms = terms(args);
    beating(context, job, async {
        remove_leftovers(live, &terms.patience).await?.iter().for_each(|schema| job.tell_removed(schema));
        let beside = job.load_beside(proven, copy, live, in_use, &terms.at, &terms.patience).await?;
        let done = beside.done.clone();
        (job.tell)(format!("swapping {} and {}", in_use.plan.incoming, in_use.plan.name));
        let swapped = job.swap(live, in_use, beside, found, &terms).await?;
        Ok((done, swapped))
    })
}

/// Shows what a database in use holds, asks, loads the proven backups beside it, and swaps the two.
pub(super) fn swap_database(
    context: &mut Context,
    args: &RestoreArgs,
    job: &Job,
    server: &Connection,
    (proven, held): (&Proven, &Held),
) -> Result<(Done, Swapped), CliError> {
    let (copy, found) = beating(context, job, async {
        let copy = job.read_database(proven).await?;
        (job.tell)("comparing what is in use with what was proven".to_owned());
        let found = database::changes(server, &copy.0).await?;
        Ok((copy, found))
    })?;
    context.ui.note(swap_text(&held.plan, &found, SwapOf::Backup, &context.ui.err_style).trim_end());
    let question = format!("It was proven in a scratch server. Load it beside {server}, and swap them?");
    context.ui.approve(&context.ui.err_style.name(&question), args.auto_approve)?;
    let terms = terms(args);
    beating(context, job, job.swap_database(server, held, (copy, found), &terms, args.end_sessions))
}

/// How rows get in, as reports and plans have it.
pub(super) const fn rows_word(how: Option<RowsInto>) -> &'static str {
    match how {
        None => "compare",
        Some(RowsInto::Merge) => "merge",
        Some(RowsInto::Update) => "update",
        Some(RowsInto::Replace) => "replace",
    }
}

/// Stages one table's rows beside the live table, shows what differs, asks, and brings them in as was asked.
pub(super) fn table(
    context: &mut Context,
    args: &RestoreArgs,
    job: &Job,
    live: &Connection,
    name: (&str, &str),
    (proven, id): (&Proven, &str),
) -> Result<TableRestored, CliError> {
    let terms = terms(args);
    let how = args.rows();
    let staged = beating(context, job, async {
        remove_leftovers(live, &terms.patience).await?.iter().for_each(|schema| job.tell_removed(schema));
        job.stage_table(proven, live, name, how, (id, &terms.at), &terms.patience).await
    })?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let found = staged.differ;
    let mut table = TableRestored {
        table: quote_qualified(name.0, name.1),
        how: rows_word(how).to_owned(),
        missing: count(found.missing),
        different: count(found.different),
        extra: count(found.extra),
        same: count(found.same),
        inserted: 0,
        updated: 0,
        deleted: 0,
    };
    context.ui.note(&context.ui.err_style.name(&table_words(&table)));
    let question = format!("{} these rows of {live} now?", if args.replace { "Replace" } else { "Merge" });
    let approved = how.map(|_| context.ui.approve(&context.ui.err_style.name(&question), args.auto_approve));
    let (Some(how), Some(Ok(()))) = (how, &approved) else {
        beating(context, job, job.unstage(live, staged, &terms.patience))?;
        return approved.unwrap_or(Ok(())).map(|()| table);
    };
    let changed = beating(context, job, job.bring_in(live, staged, how, &terms.patience))?;
    (table.inserted, table.updated, table.deleted) = (changed.inserted, changed.updated, changed.deleted);
    Ok(table)
}

/// The live databases that may hold what was put aside: the one that is named, or all.
fn databases(session: &Session, named: Option<&Name>) -> Result<Vec<Connection>, CliError> {
    let names = session.base.databases.keys().filter(|name| named.is_none_or(|named| named == *name));
    let found: Vec<Connection> =
        names.map(|name| select::server(session, Some(name.as_str()))).collect::<Result<_, _>>()?;
    match named {
        Some(name) if found.is_empty() => Err(CliError::usage(
            format!("there is no database {name}"),
            "`bkup validate` shows the policies' databases",
        )),
        _ => Ok(found),
    }
}

/// What a swap has put aside, and where.
enum Aside {
    Schema(Marked),
    Database(Marked),
}

impl Aside {
    const fn marked(&self) -> &Marked {
        match self {
            Self::Schema(marked) | Self::Database(marked) => marked,
        }
    }
}

/// Finds what a swap has put aside: the newest of all databases, or the one with the id.
async fn find(databases: Vec<Connection>, id: Option<&str>) -> Result<(Connection, Aside), RestoreError> {
    let mut all: Vec<(Connection, Aside)> = Vec::new();
    let mut places = Vec::new();
    for live in databases {
        places.push(live.to_string());
        all.extend(database::put_aside(&live).await?.into_iter().map(|found| (live.clone(), Aside::Database(found))));
        // The database itself may be gone, and what was put aside be all there is.
        if let Ok(found) = swaps(&live).await {
            all.extend(found.into_iter().map(|found| (live.clone(), Aside::Schema(found))));
        }
    }
    let others = all
        .iter()
        .map(|(_, aside)| format!("{} of {}", aside.marked().mark.id, quote_ident(&aside.marked().mark.name)));
    let others: Vec<String> = others.collect();
    let fits = all.into_iter().filter(|(_, aside)| id.is_none_or(|id| aside.marked().mark.id == id));
    fits.max_by(|(_, a), (_, b)| a.marked().mark.at.cmp(&b.marked().mark.at)).ok_or_else(|| {
        let wanted = id.unwrap_or("to take back").to_owned();
        SwapError::NotFound { wanted, place: places.join(", "), others }.into()
    })
}

enum Looked {
    Schema(Box<Undo>),
    Database { aside: Box<Marked>, held: Box<Held>, changes: Vec<TableChange> },
}

/// Takes a swap back.
pub(super) fn take_back(context: &mut Context, args: &RestoreArgs, wanted: &str) -> Result<Exit, CliError> {
    context.ui.require_approval(args.auto_approve)?;
    let session = Session::open(context)?;
    let wanted = Some(wanted).filter(|id| !id.is_empty());
    let found = databases(&session, args.database.as_ref())?;
    let id = fresh_id()?;
    let looked = context.block_on_reading(async {
        let (live, aside) = find(found, wanted).await?;
        let looked = match aside {
            Aside::Schema(aside) => Looked::Schema(Box::new(look_back(&live, aside, &id).await?)),
            Aside::Database(aside) => {
                let (held, changes) = database::look_back(&live, &aside, &id, args.end_sessions).await?;
                Looked::Database { aside: Box::new(aside), held: Box::new(held), changes }
            }
        };
        Ok::<_, RestoreError>((live, looked))
    })?;
    let (live, looked) = looked.map_err(|error| super::failure(&error))?;
    let (plan, changes) = match &looked {
        Looked::Schema(undo) => (&undo.in_use.plan, &undo.changes),
        Looked::Database { held, changes, .. } => (&held.plan, changes),
    };
    context.ui.note(swap_text(plan, changes, SwapOf::Undo, &context.ui.err_style).trim_end());
    let question = format!("Swap {} back into {live}?", plan.name);
    context.ui.approve(&context.ui.err_style.name(&question), args.auto_approve)?;
    let stop = Wiring::of(context)?.stop();
    let terms = terms(args);
    let done = context.block_on(async {
        match &looked {
            Looked::Schema(looked) => undo(&live, looked, &terms, || *stop.borrow()).await,
            Looked::Database { aside, held, changes } => {
                database::undo(&live, aside, (held, changes.clone()), &terms, args.end_sessions).await
            }
        }
    })?;
    let swapped = done.map_err(|error| super::failure(&error))?;
    let ui = &context.ui;
    ui.print(&if ui.is_json() { swapped_json(&swapped) } else { undone_text(&swapped, &ui.style) });
    Ok(if swapped.unvalidated.is_empty() { Exit::Success } else { Exit::PartlyApplied })
}

/// Removes what a swap has put aside.
pub(super) fn remove_aside(context: &mut Context, args: &RestoreArgs, id: &str) -> Result<Exit, CliError> {
    context.ui.require_approval(args.auto_approve)?;
    let session = Session::open(context)?;
    let found = databases(&session, args.database.as_ref())?;
    let looked = context.block_on_reading(async {
        let (live, aside) = find(found, Some(id)).await?;
        if let Aside::Schema(aside) = &aside {
            check_forget(&live, aside).await?;
        }
        Ok::<_, RestoreError>((live, aside))
    })?;
    let (live, aside) = looked.map_err(|error| super::failure(&error))?;
    let marked = aside.marked();
    let question = format!(
        "Remove {} from {live}, which was {} until {}? It cannot be brought back, except from a backup.",
        marked.schema, marked.mark.name, marked.mark.at
    );
    context.ui.approve(&context.ui.err_style.name(&question), args.auto_approve)?;
    let removed = context.block_on(async {
        match &aside {
            Aside::Schema(aside) => remove(&live, aside, &patience(args.lock_timeout)).await,
            Aside::Database(aside) => database::remove(&live, aside).await,
        }
    })?;
    removed.map_err(|error| super::failure(&error))?;
    context.ui.note(&context.ui.err_style.name(&format!("removed {}", marked.schema)));
    Ok(Exit::Success)
}
