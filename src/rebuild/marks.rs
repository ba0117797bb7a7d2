//! The marks of a store, backup by backup: the newest one says whether the backup is tombstoned, back, or purged.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use serde::Deserialize;

use super::failure::{RebuildError, is_unusable};
use super::manifests::database_of;
use super::survey::{PARALLEL, read, unusable_of};
use crate::catalog::{LastMark, Marked, Rebuilding};
use crate::domain::{Instant, Name, Unusable};
use crate::store::layout::{self, ManifestKey, MarkKind};
use crate::store::{self, ReadStore};

const BATCH: usize = 500;

/// The newest mark of a backup, as its key says it.
struct Newest {
    whose: ManifestKey,
    number: u32,
    kind: MarkKind,
    key: String,
    modified: Option<Instant>,
}

/// What is needed of a mark.
#[derive(Deserialize)]
struct Mark {
    at: Instant,
    #[serde(default)]
    purge_after: Option<Instant>,
}

/// Reads one store's marks.
pub(super) async fn read_store(
    rebuilding: &mut Rebuilding,
    unusable: &mut Vec<Unusable>,
    name: &Name,
    store: &Arc<dyn ReadStore>,
    now: Instant,
) -> Result<(), RebuildError> {
    let mut listing = store::list(Arc::clone(store), layout::MARKS);
    let mut newest: Option<Newest> = None;
    let mut batch: Vec<Newest> = Vec::new();
    loop {
        let facts = listing.try_next().await?;
        let ended = facts.is_none();
        if let Some(facts) = facts {
            let parsed = layout::parse_object(layout::MARKS, &facts.key)
                .and_then(|(whose, rest)| layout::parse_mark(rest).map(|(number, kind)| (whose, number, kind)));
            let Some((whose, number, kind)) = parsed else { continue };
            let mark = Newest { whose, number, kind, key: facts.key, modified: facts.modified };
            match &mut newest {
                // A listing is by bytes: 10 comes before 9.
                Some(there) if there.whose == mark.whose => {
                    if mark.number >= there.number {
                        *there = mark;
                    }
                    continue;
                }
                _ => batch.extend(newest.replace(mark)),
            }
        } else {
            batch.extend(newest.take());
        }
        if batch.len() >= BATCH || (ended && !batch.is_empty()) {
            let marks = resolve(unusable, name, store, now, std::mem::take(&mut batch)).await?;
            rebuilding.marks(&marks).await?;
        }
        if ended {
            return Ok(());
        }
    }
}

/// Reads the tombstones' own words; of the rest the key says enough.
async fn resolve(
    unusable: &mut Vec<Unusable>,
    name: &Name,
    store: &Arc<dyn ReadStore>,
    now: Instant,
    batch: Vec<Newest>,
) -> Result<Vec<Marked>, RebuildError> {
    let reading = futures_util::stream::iter(batch).map(|newest| async move {
        let read = match newest.kind {
            MarkKind::Tombstone => Some(read::<Mark>(store, &newest.key, "1.0").await),
            MarkKind::Undelete | MarkKind::Purge => None,
        };
        (newest, read)
    });
    let mut reading = std::pin::pin!(reading.buffer_unordered(PARALLEL));
    let mut marks = Vec::new();
    while let Some((newest, read)) = reading.next().await {
        let last = match (newest.kind, read) {
            (MarkKind::Tombstone, Some(Ok(mark))) => LastMark::Tombstone { at: mark.at, purge_after: mark.purge_after },
            (_, Some(Err(error))) if !is_unusable(&error) => return Err(error.into()),
            (_, Some(Err(error))) => {
                // Without its tombstone a backup is only kept longer: the next plan decides about it again.
                unusable.push(unusable_of(name, &newest.key, &error));
                continue;
            }
            (MarkKind::Purge, _) => LastMark::Purge { at: newest.modified.unwrap_or(now) },
            (MarkKind::Undelete | MarkKind::Tombstone, _) => LastMark::Undelete,
        };
        let (Some(database), Some(scope)) = (database_of(&newest.whose.database), newest.whose.scope) else {
            let why = "its scope's name is shortened in the key, and no manifest says it".to_owned();
            unusable.push(Unusable { store: name.clone(), key: newest.key, why });
            continue;
        };
        marks.push(Marked {
            backup: newest.whose.id,
            database,
            scope,
            store: name.clone(),
            number: newest.number,
            last,
        });
    }
    Ok(marks)
}
