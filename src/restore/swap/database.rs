//! A whole database brought back while one of its name is in use: loaded under a name of its own, proven, and swapped for
//! it by name. And swapped back.

use super::super::failure::RestoreError;
use super::super::job::{Done, Job, Proven};
use super::{SwapError, Terms};
use crate::domain::{SequenceDigest, SwapPlan, Swapped, TableChange, TableDigest};
use crate::engine::Connection;
use crate::engine::restore::{database_exists, drop_database};
use crate::engine::sql::quote_ident;
use crate::engine::swap::database::{
    DatabaseExchange, DatabaseInUse, create_like, database_in_use, exchange_databases, mark_database, marked_databases,
    schemas, tables, take_over, unmarked_databases,
};
use crate::engine::swap::{self, Keeper, Mark, MarkKind, Marked, beside};

/// A database in use, looked at before a swap.
#[derive(Debug, Clone)]
pub struct Held {
    /// What it is.
    pub found: DatabaseInUse,
    /// What the swap will do.
    pub plan: SwapPlan,
}

/// What a database holds, table by table.
type Content = (Vec<TableDigest>, Vec<SequenceDigest>);

/// Digests every table of a database, plainly.
///
/// # Errors
/// When it cannot be read.
pub async fn content(database: &Connection) -> Result<Content, RestoreError> {
    let (mut tables, mut sequences) = (Vec::new(), Vec::new());
    for schema in schemas(database).await? {
        let (more, numbers) = swap::content(database, &schema).await?;
        tables.extend(more);
        sequences.extend(numbers);
    }
    Ok((tables, sequences))
}

/// Compares a database in use with what was digested plainly, by table.
///
/// # Errors
/// When it cannot be read.
pub async fn changes(database: &Connection, digested: &[TableDigest]) -> Result<Vec<TableChange>, RestoreError> {
    super::changes(database, digested, &tables(database).await?).await
}

fn held(
    found: DatabaseInUse,
    name: &str,
    id: &str,
    incoming: String,
    end_sessions: bool,
) -> Result<Held, RestoreError> {
    let mut reasons = found.refusals.clone();
    if !found.sessions.is_empty() && !end_sessions {
        reasons.push(format!(
            "{} sessions are in it ({}): stop the application, or end them with --end-sessions",
            found.sessions.len(),
            found.sessions.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
        ));
    }
    if !reasons.is_empty() {
        return Err(SwapError::Refused { name: quote_ident(name), reasons }.into());
    }
    let mut plan = SwapPlan {
        id: id.to_owned(),
        name: name.to_owned(),
        incoming,
        aside: beside(name, "old", id),
        ..SwapPlan::default()
    };
    if end_sessions {
        plan.notes.push("sessions in it are ended at the swap".to_owned());
    }
    Ok(Held { found, plan })
}

/// Looks at a database before a swap; `None` where it is not there.
///
/// # Errors
/// [`SwapError::Refused`].
pub async fn look(server: &Connection, name: &str, id: &str, end_sessions: bool) -> Result<Option<Held>, RestoreError> {
    let maintenance = server.with_database("postgres");
    let Some(found) = database_in_use(&maintenance, name).await? else { return Ok(None) };
    let held = held(found, name, id, beside(name, "new", id), end_sessions)?;
    if database_exists(&maintenance, &held.plan.aside).await? {
        let what =
            format!("database {}, so this restore was carried out before, and it", quote_ident(&held.plan.aside));
        return Err(RestoreError::TargetExists { what });
    }
    Ok(Some(held))
}

async fn perform(
    server: &Connection,
    held: &Held,
    ((tables, sequences), changes): (Content, Vec<TableChange>),
    (comment, by): (Option<&str>, String),
    terms: &Terms,
    end_sessions: bool,
) -> Result<Swapped, RestoreError> {
    let maintenance = server.with_database("postgres");
    let plan = &held.plan;
    let mark = Mark {
        kind: MarkKind::Aside,
        id: plan.id.clone(),
        name: plan.name.clone(),
        by,
        at: terms.at.clone(),
        comment: held.found.comment.clone(),
        tables,
        sequences,
        keys: Vec::new(),
    };
    let swap = DatabaseExchange {
        server: &maintenance,
        name: &plan.name,
        oid: held.found.oid,
        incoming: &plan.incoming,
        comment,
        aside: &plan.aside,
        mark: &mark,
        end_sessions,
    };
    match exchange_databases(&swap).await? {
        Some(attempts) => Ok(Swapped { plan: plan.clone(), changes, locked_ms: 0, attempts, unvalidated: Vec::new() }),
        None => {
            let holders = database_in_use(&maintenance, &plan.name).await?.map(|now| now.sessions).unwrap_or_default();
            Err(SwapError::Busy { name: quote_ident(&plan.name), attempts: 1, holders }.into())
        }
    }
}

/// Returns the ids and names of databases that are half loaded.
async fn leftovers(maintenance: &Connection, name: &str) -> Result<Vec<(String, String)>, RestoreError> {
    let marked = marked_databases(maintenance).await?.into_iter();
    let loading = marked.filter(Marked::is_loading);
    let mut found: Vec<(String, String)> = loading.map(|found| (found.mark.id, found.schema)).collect();
    let bare = unmarked_databases(maintenance, name).await?;
    found.extend(bare.into_iter().map(|database| (swap::id_of(&database).to_owned(), database)));
    Ok(found)
}

/// Drops one of them, unless it is being loaded right now.
async fn remove_leftover(maintenance: &Connection, id: &str, database: &str) -> Result<bool, RestoreError> {
    // The lock is held while it is dropped, so that two restores do not both remove it.
    let Some(keeper) = Keeper::open_if_free(maintenance, id).await? else { return Ok(false) };
    let dropped = drop_database(maintenance, database).await;
    keeper.end().await;
    Ok(dropped.map(|()| true)?)
}

impl Job {
    /// Loads all backups under a name beside the database in use, proves them, and swaps the two.
    ///
    /// # Errors
    /// [`RestoreError`]; what was loaded is dropped then, and nothing that is in use was changed.
    pub async fn swap_database(
        &self,
        server: &Connection,
        held: &Held,
        (copy, changes): (Content, Vec<TableChange>),
        terms: &Terms,
        end_sessions: bool,
    ) -> Result<(Done, Swapped), RestoreError> {
        self.refuse_sanitized()?;
        let by = self.wanted()?.origin.manifest.backup_id.clone();
        let maintenance = server.with_database("postgres");
        self.remove_leftovers(server, &held.plan.name).await;
        let keeper = self.keep(&maintenance, &held.plan.id).await?;
        // Where one of that name is there, another run of the same plan is at it: it is not this one's to drop.
        create_like(&maintenance, &held.plan.incoming, &held.plan.name).await?;
        let mark = Mark::loading(&held.plan.id, &held.plan.name, &by, &terms.at);
        let swapped = async {
            mark_database(&maintenance, &held.plan.incoming, &mark).await?;
            let done = self.fill_database(server, &held.plan.incoming).await?;
            take_over(&maintenance, &held.plan.incoming, &held.plan.name).await?;
            let comment = held.found.comment.as_deref();
            let swapped = perform(server, held, (copy, changes), (comment, by), terms, end_sessions).await?;
            Ok((done, swapped))
        };
        let swapped = swapped.await;
        if swapped.is_err() {
            // Should it have been swapped all the same, that name is no more.
            let _ = drop_database(&maintenance, &held.plan.incoming).await;
        }
        keeper.end().await;
        swapped
    }

    /// Drops what restores that are no more have left half loaded on a server: every database with their mark, and of
    /// `name` those that they had not marked yet. What cannot be dropped is told: it is in nobody's way.
    pub(in crate::restore) async fn remove_leftovers(&self, server: &Connection, name: &str) {
        let maintenance = server.with_database("postgres");
        match leftovers(&maintenance, name).await {
            Ok(found) => {
                for (id, database) in found {
                    match remove_leftover(&maintenance, &id, &database).await {
                        Ok(false) => {}
                        Ok(true) => self.tell_removed(&database),
                        Err(error) => (self.tell)(format!(
                            "{database}, which an earlier restore left half loaded, could not be removed: {error}"
                        )),
                    }
                }
            }
            Err(error) => {
                (self.tell)(format!("what earlier restores may have left half loaded was not found: {error}"))
            }
        }
    }

    /// Reads what the proven copy holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read_database(&self, proven: &Proven) -> Result<Content, RestoreError> {
        content(&proven.target).await
    }
}

/// Returns what swaps of a database have put aside, the newest first.
///
/// # Errors
/// When the server cannot be asked.
pub async fn put_aside(live: &Connection) -> Result<Vec<Marked>, RestoreError> {
    let mut found = marked_databases(&live.with_database("postgres")).await?;
    found.retain(|found| found.mark.kind == MarkKind::Aside && found.mark.name == live.database());
    Ok(found)
}

/// Looks at a swap of databases before it is taken back.
///
/// # Errors
/// [`SwapError::Refused`].
pub async fn look_back(
    live: &Connection,
    aside: &Marked,
    id: &str,
    end_sessions: bool,
) -> Result<(Held, Vec<TableChange>), RestoreError> {
    let name = live.database();
    let maintenance = live.with_database("postgres");
    let Some(found) = database_in_use(&maintenance, name).await? else {
        let (from, to) = (quote_ident(&aside.schema), quote_ident(name));
        let reasons =
            vec![format!("it is not there any more: ALTER DATABASE {from} RENAME TO {to} brings the old one back")];
        return Err(SwapError::Refused { name: to, reasons }.into());
    };
    let held = held(found, name, id, aside.schema.clone(), end_sessions)?;
    Ok((held, changes(live, &aside.mark.tables).await?))
}

/// Takes a swap of databases back.
///
/// # Errors
/// [`SwapError`]; nothing was changed then.
pub async fn undo(
    live: &Connection,
    aside: &Marked,
    (held, changes): (&Held, Vec<TableChange>),
    terms: &Terms,
    end_sessions: bool,
) -> Result<Swapped, RestoreError> {
    let returning = content(&live.with_database(&aside.schema)).await?;
    let by = format!("undo of {}", aside.mark.id);
    perform(live, held, (returning, changes), (aside.mark.comment.as_deref(), by), terms, end_sessions).await
}

/// Drops a database that was put aside. Sessions in it are ended.
///
/// # Errors
/// When the server refuses.
pub async fn remove(live: &Connection, aside: &Marked) -> Result<(), RestoreError> {
    Ok(drop_database(&live.with_database("postgres"), &aside.schema).await?)
}
