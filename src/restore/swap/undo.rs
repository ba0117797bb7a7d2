//! A swap taken back: once more a swap, of what was put aside for what is in use. Nothing is removed by it, so it can be
//! taken back itself. And what was put aside removed, by its id, when somebody says so.

use super::{InUse, Incoming, SwapError, Terms, changes, check_orphans, perform};
use crate::domain::{Swapped, TableChange, TableDigest};
use crate::engine::Connection;
use crate::engine::sql::{quote_ident, quote_qualified};
use crate::engine::swap::{self, MarkKind, Marked, Patience};
use crate::restore::RestoreError;

/// A swap, looked at before it is taken back.
#[derive(Debug, Clone)]
pub struct Undo {
    /// What was put aside.
    pub aside: Marked,
    /// What is in use.
    pub in_use: InUse,
    /// The tables that were written to since the swap; these writes are what is discarded.
    pub changes: Vec<TableChange>,
}

/// Returns what swaps have put aside in a database, the newest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn swaps(live: &Connection) -> Result<Vec<Marked>, RestoreError> {
    let mut found = swap::marked(live).await?;
    found.retain(|found| found.mark.kind == MarkKind::Aside);
    Ok(found)
}

/// Looks at a swap before it is taken back. `id` is that of the swap to come.
///
/// # Errors
/// [`SwapError`].
pub async fn look_back(live: &Connection, aside: Marked, id: &str) -> Result<Undo, RestoreError> {
    let name = &aside.mark.name;
    let Some(review) = swap::review(live, name).await? else {
        let (from, to) = (quote_ident(&aside.schema), quote_ident(name));
        let reasons =
            vec![format!("it is not there any more: ALTER SCHEMA {from} RENAME TO {to} brings the old one back")];
        return Err(SwapError::Refused { name: to, reasons }.into());
    };
    if !review.refusals.is_empty() {
        return Err(SwapError::Refused { name: quote_ident(name), reasons: review.refusals }.into());
    }
    let in_use = InUse::of(name, review, id, aside.schema.clone());
    let changes = changes(live, &aside.mark.tables, &in_use.filled()).await?;
    Ok(Undo { aside, in_use, changes })
}

/// Takes a swap back.
///
/// # Errors
/// [`SwapError`]; nothing was changed then.
pub async fn undo(
    live: &Connection,
    undo: &Undo,
    terms: &Terms,
    stop: impl Fn() -> bool,
) -> Result<Swapped, RestoreError> {
    check_orphans(live, &undo.in_use, terms).await?;
    let mark = &undo.aside.mark;
    // Nobody writes to it, so what it holds now is what it will hold when it is in use again.
    let (tables, mut sequences) = swap::content(live, &undo.aside.schema).await?;
    let named = |table: TableDigest| TableDigest { schema: mark.name.clone(), ..table };
    let tables: Vec<TableDigest> = tables.into_iter().map(named).collect();
    sequences.iter_mut().for_each(|sequence| sequence.schema.clone_from(&mark.name));
    let by = format!("undo of {}", mark.id);
    let incoming = Incoming { comment: mark.comment.as_deref(), tables: &tables, sequences: &sequences, by };
    perform(live, &undo.in_use, &incoming, undo.changes.clone(), terms, stop).await
}

/// Checks that nobody uses what a swap has put aside.
///
/// # Errors
/// [`SwapError::InUse`].
pub async fn check_forget(live: &Connection, aside: &Marked) -> Result<(), RestoreError> {
    let Some(review) = swap::review(live, &aside.schema).await? else { return Ok(()) };
    let keys = review
        .keys
        .iter()
        .map(|key| format!("foreign key {} of {}", quote_ident(&key.name), quote_qualified(&key.schema, &key.table)));
    let views = review.views.iter().map(|view| format!("view {}", quote_qualified(&view.schema, &view.name)));
    let what: Vec<String> = keys.chain(views).chain(review.refusals).collect();
    if what.is_empty() { Ok(()) } else { Err(SwapError::InUse { name: quote_ident(&aside.schema), what }.into()) }
}

/// Removes what was found.
///
/// # Errors
/// When the locks are not to be had, or the database refuses.
pub async fn remove(live: &Connection, aside: &Marked, patience: &Patience) -> Result<(), RestoreError> {
    Ok(swap::drop_schema(live, &aside.schema, patience).await?)
}
