//! A tenant brought back into a live database that has its schema: proven in scratch before, renamed there, loaded beside
//! the one in use, compared again, and swapped. What was in use stays, under a name that says what it is.

pub mod database;
mod failure;
mod load;
mod undo;

pub use failure::SwapError;
pub use load::{Beside, Copy};
pub use undo::{Undo, check_forget, look_back, remove, swaps, undo};

use std::collections::BTreeSet;

use super::failure::RestoreError;
use super::job::Job;
use crate::domain::{SequenceDigest, SwapPlan, Swapped, TableChange, TableDigest};
use crate::engine::restore::schema_exists;
use crate::engine::sql::{quote_ident, quote_qualified};
use crate::engine::swap::{
    self, Exchange, Exchanged, Mark, MarkKind, OutsideKey, Patience, Review, beside, exchange, validate_outside,
};
use crate::engine::{Connection, RowKey, compare};

/// A schema in use, looked at before a swap.
#[derive(Debug, Clone)]
pub struct InUse {
    /// What hangs on it.
    pub review: Review,
    /// What the swap will do.
    pub plan: SwapPlan,
}

/// What there was to say of a table, a view, a key.
fn words(review: &Review) -> (Vec<String>, Vec<String>, Vec<String>) {
    let keys = review.keys.iter().map(|key| {
        format!(
            "{} of {} to {}",
            quote_ident(&key.name),
            quote_qualified(&key.schema, &key.table),
            quote_ident(&key.target)
        )
    });
    let views = review.views.iter().map(|view| quote_qualified(&view.schema, &view.name));
    let publications = review.publications.iter().map(|published| {
        let what = published.table.as_deref().map_or_else(|| "the schema".to_owned(), quote_ident);
        format!("{what} in {}", quote_ident(&published.publication))
    });
    (keys.collect(), views.collect(), publications.collect())
}

impl InUse {
    pub(super) fn of(schema: &str, review: Review, id: &str, incoming: String) -> Self {
        let (keys, views, publications) = words(&review);
        let plan = SwapPlan {
            id: id.to_owned(),
            name: schema.to_owned(),
            incoming,
            aside: beside(schema, "old", id),
            keys,
            views,
            publications,
            mentions: review.mentions.clone(),
            notes: review.notes.clone(),
        };
        Self { review, plan }
    }

    /// Returns its tables that hold rows, as schema and name.
    #[must_use]
    pub fn filled(&self) -> Vec<(String, String)> {
        self.review.filled.iter().map(|table| (self.plan.name.clone(), table.clone())).collect()
    }

    /// Looks at a schema; `None` where it does not exist. `id` is what the names of the swap are made of.
    ///
    /// # Errors
    /// [`SwapError::Refused`], or when the database cannot be asked.
    pub async fn look(live: &Connection, schema: &str, id: &str) -> Result<Option<Self>, RestoreError> {
        let Some(review) = swap::review(live, schema).await? else { return Ok(None) };
        if !review.refusals.is_empty() {
            return Err(SwapError::Refused { name: quote_ident(schema), reasons: review.refusals }.into());
        }
        let found = Self::of(schema, review, id, beside(schema, "new", id));
        if schema_exists(live, &found.plan.aside).await? {
            let what =
                format!("schema {}, so this restore was carried out before, and it", quote_ident(&found.plan.aside));
            return Err(RestoreError::TargetExists { what });
        }
        Ok(Some(found))
    }
}

/// Compares what is in use with what was digested plainly, by table. `in_use` are the tables that hold rows, as schema and
/// name.
///
/// # Errors
/// When the database cannot be read.
pub async fn changes(
    live: &Connection,
    tables: &[TableDigest],
    in_use: &[(String, String)],
) -> Result<Vec<TableChange>, RestoreError> {
    let compared = compare(live, tables, &[], &RowKey::none()).await?;
    let mut changes: Vec<TableChange> = compared
        .differences
        .into_iter()
        .map(|found| TableChange { table: found.table, now: found.restored_rows, then: Some(found.recorded_rows) })
        .collect();
    let known: BTreeSet<(&str, &str)> = tables.iter().map(|t| (t.schema.as_str(), t.table.as_str())).collect();
    let added = in_use.iter().filter(|(schema, table)| !known.contains(&(schema.as_str(), table.as_str())));
    changes.extend(added.map(|(schema, table)| TableChange {
        table: quote_qualified(schema, table),
        now: None,
        then: None,
    }));
    Ok(changes)
}

/// What a swap is made with.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How long locks are waited for.
    pub patience: Patience,
    /// Whether rows of others may be left that refer to nothing.
    pub keep_orphans: bool,
    /// When it is, RFC 3339 in UTC.
    pub at: String,
}

/// What comes in: its comment and content, under the names it will have.
pub(super) struct Incoming<'a> {
    pub comment: Option<&'a str>,
    pub tables: &'a [TableDigest],
    pub sequences: &'a [SequenceDigest],
    /// A backup's id, or `undo of ID`.
    pub by: String,
}

/// Refuses rows of others that would refer to nothing; returns what to say of those that are left.
pub(super) async fn check_orphans(live: &Connection, in_use: &InUse, terms: &Terms) -> Result<(), RestoreError> {
    let mut lost = Vec::new();
    for key in in_use.review.keys.iter().filter(|key| key.validated) {
        let rows = swap::orphans(live, key, &in_use.plan.incoming).await?;
        if rows > 0 {
            lost.push(format!("{rows} by {} of {}", quote_ident(&key.name), quote_qualified(&key.schema, &key.table)));
        }
    }
    if lost.is_empty() || terms.keep_orphans { Ok(()) } else { Err(SwapError::Orphans { keys: lost }.into()) }
}

/// Makes the swap, and validates the foreign keys of others.
pub(super) async fn perform(
    live: &Connection,
    in_use: &InUse,
    incoming: &Incoming<'_>,
    changes: Vec<TableChange>,
    terms: &Terms,
    stop: impl Fn() -> bool,
) -> Result<Swapped, RestoreError> {
    let plan = &in_use.plan;
    let mark = Mark {
        kind: MarkKind::Aside,
        id: plan.id.clone(),
        name: plan.name.clone(),
        by: incoming.by.clone(),
        at: terms.at.clone(),
        comment: swap::own_comment(live, &plan.name).await?,
        tables: incoming.tables.to_vec(),
        sequences: incoming.sequences.to_vec(),
        keys: in_use.review.keys.iter().filter(|key| key.validated).map(OutsideKey::marked).collect(),
    };
    let swap = Exchange {
        live,
        schema: &plan.name,
        review: &in_use.review,
        incoming: &plan.incoming,
        comment: incoming.comment,
        aside: &plan.aside,
        mark: &mark,
    };
    let name = quote_ident(&plan.name);
    match exchange(&swap, &terms.patience, &stop).await? {
        Exchanged::Changed => Err(SwapError::Changed { name }.into()),
        Exchanged::Busy { .. } if stop() => Err(RestoreError::Interrupted),
        Exchanged::Busy { attempts, holders } => Err(SwapError::Busy { name, attempts, holders }.into()),
        Exchanged::Done { locked, attempts } => {
            // The swap stands, whatever comes of this: what cannot be validated now is said, and can be later.
            let unvalidated = match validate_outside(live, &in_use.review.keys).await {
                Ok(failed) => failed.into_iter().map(|(key, why)| format!("{key}: {why}")).collect(),
                Err(error) => vec![error.to_string()],
            };
            let locked_ms = u64::try_from(locked.as_millis()).unwrap_or(u64::MAX);
            Ok(Swapped { plan: plan.clone(), changes, locked_ms, attempts, unvalidated })
        }
    }
}

impl Job {
    /// Swaps what was loaded beside for what is in use. What was loaded is removed again where that fails.
    ///
    /// # Errors
    /// [`SwapError`]; nothing that is in use was changed then.
    pub async fn swap(
        &self,
        live: &Connection,
        in_use: &InUse,
        loaded: Beside,
        changes: Vec<TableChange>,
        terms: &Terms,
    ) -> Result<Swapped, RestoreError> {
        let by = self.wanted()?.origin.manifest.backup_id.clone();
        let swapped = async {
            check_orphans(live, in_use, terms).await?;
            let incoming = Incoming {
                comment: loaded.comment.as_deref(),
                tables: &loaded.tables,
                sequences: &loaded.sequences,
                by,
            };
            perform(live, in_use, &incoming, changes, terms, || *self.stop.borrow()).await
        };
        let swapped = swapped.await;
        if swapped.is_err() {
            // Why it failed matters more. Should it have been swapped all the same, that name is no more.
            let _ = swap::drop_schema(live, &in_use.plan.incoming, &terms.patience).await;
        }
        loaded.keeper.end().await;
        swapped
    }
}
