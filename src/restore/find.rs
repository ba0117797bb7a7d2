//! Finds backups with the store alone: the manifests are the truth, the catalog is a convenience.

use std::sync::Arc;

use futures_util::StreamExt;

use super::RestoreError;
use crate::domain::{Instant, Manifest, Name, Scope};
use crate::store::{self, ReadStore};

/// Which backup is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The one with this id, or the only one whose id begins so.
    Id(String),
    /// The newest of a scope.
    Latest {
        /// The database.
        database: Name,
        /// The scope.
        scope: Scope,
        /// Not younger than this.
        not_after: Option<Instant>,
    },
}

/// A backup that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest's key.
    pub key: String,
}

/// Looks for a backup by one listing. Manifests of other scopes are not read.
///
/// # Errors
/// When the store cannot be read, nothing fits, or an id's beginning fits more than one backup.
pub async fn find_in_store(store: &Arc<dyn ReadStore>, wanted: &Wanted) -> Result<Found, RestoreError> {
    let mut best: Option<Found> = None;
    let mut also = Vec::new();
    let mut entries = store::manifests(Arc::clone(store));
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        let fits = match wanted {
            Wanted::Id(id) => entry.id.as_str().starts_with(id.as_str()),
            Wanted::Latest { database, scope, .. } => {
                entry.database == store::layout::encode(database.as_str())
                    && entry.scope.as_ref().is_none_or(|s| s == scope)
            }
        };
        if !fits {
            continue;
        }
        let manifest = store::read_manifest(store.as_ref(), &entry.key).await?;
        let found = Found { manifest, key: entry.key };
        match wanted {
            Wanted::Id(id) if found.manifest.backup_id == *id => return Ok(found),
            Wanted::Id(_) => {
                also.push(found.manifest.backup_id.clone());
                best = Some(found);
            }
            Wanted::Latest { scope, not_after, .. } => {
                let at = instant(&found.manifest);
                let young = not_after.is_some_and(|limit| at.is_none_or(|at| at > limit));
                let better = best.as_ref().is_none_or(|best| at > instant(&best.manifest));
                if found.manifest.scope.scope == scope.to_string() && !young && better {
                    best = Some(found);
                }
            }
        }
    }
    if also.len() > 1 {
        also.sort_unstable();
        return Err(RestoreError::NotServed(format!("more than one backup begins so: {}", also.join(", "))));
    }
    let words = match wanted {
        Wanted::Id(id) => id.clone(),
        Wanted::Latest { database, scope, .. } => format!("of database {database}, {scope}"),
    };
    best.ok_or_else(|| RestoreError::NotFound { wanted: words, place: store.place().to_owned() })
}

/// The instant the content is of.
fn instant(manifest: &Manifest) -> Option<Instant> {
    manifest.consistent_at.parse().ok()
}
