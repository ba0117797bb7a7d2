//! Finds backups, through the catalog or with the store alone: the manifests are the truth, the catalog is a
//! convenience that also knows which backups are not to be trusted.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt;

use super::RestoreError;
use crate::domain::{Backup, BackupId, Instant, Manifest, Name, Scope};
use crate::store::history::{
    History, has_data, is_hidden, is_of_the_object, is_untouched, look, of_data, oldest_manifest,
};
use crate::store::{self, ObjectVersion, ReadStore, layout};

/// Which backup is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The one with this id, or the only one whose id begins so.
    Id(String),
    /// The newest of a scope.
    Latest {
        /// The database; absent for files.
        database: Option<Name>,
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

/// Looks for a backup by one listing. Manifests of other scopes are not read. In a bucket that keeps versions, each is
/// judged by what was written first; those that somebody deleted are looked at, too: all of the scope where the newest is
/// wanted, and where an id is wanted that nothing has.
///
/// # Errors
/// When the store cannot be read, nothing fits, or an id's beginning fits more than one backup.
pub async fn find_in_store(store: &Arc<dyn ReadStore>, wanted: &Wanted) -> Result<Found, RestoreError> {
    let mut choice = Choice { wanted, best: None, also: Vec::new(), others: BTreeSet::new() };
    let mut replaced = match wanted {
        Wanted::Latest { database, scope, .. } => {
            replaced(store, &layout::scope_folder(layout::BACKUPS, database.as_ref(), scope), |_| true).await?
        }
        Wanted::Id(_) => History::new(),
    };
    let mut entries = store::manifests(Arc::clone(store));
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        if !choice.fits(&entry.database, entry.scope.as_ref(), &entry.id) {
            continue;
        }
        let key = entry.key;
        let manifest = match replaced.remove(&key) {
            Some(versions) => oldest(store, &key, &versions).await?,
            None => match store::read_manifest(store.as_ref(), &key).await {
                // Of an id no versions were looked at yet.
                Err(error) if is_of_the_object(&error) => match look(store, &key, |found| found == key).await {
                    Ok(mut found) => oldest(store, &key, &found.remove(&key).unwrap_or_default()).await?,
                    Err(_) => return Err(error.into()),
                },
                read => read?,
            },
        };
        if choice.take(Found { manifest, key }) {
            return choice.made(store.place());
        }
    }
    if let (Wanted::Id(id), None) = (wanted, &choice.best) {
        let fits = |parsed: &layout::ManifestKey| parsed.id.as_str().starts_with(id.as_str());
        replaced = self::replaced(store, layout::BACKUPS, fits).await?;
    }
    // What the listing did not show is hidden behind a mark of deletion. Of some of these the data is gone, too.
    let is_whole =
        async |manifest: &Manifest| Ok::<_, RestoreError>(has_data(&of_data(store, manifest).await?, manifest));
    for (key, versions) in replaced {
        let Some(parsed) = layout::parse_manifest(&key) else { continue };
        if choice.fits(&parsed.database, parsed.scope.as_ref(), &parsed.id)
            && let Some((manifest, _)) = oldest_manifest(store, &versions, is_whole).await?
            && choice.take(Found { manifest, key })
        {
            break;
        }
    }
    choice.made(store.place())
}

/// Returns the versions of the manifests below a prefix that somebody wrote over or deleted; none where nobody can see them.
async fn replaced(
    store: &Arc<dyn ReadStore>,
    prefix: &str,
    fits: impl Fn(&layout::ManifestKey) -> bool,
) -> Result<History, RestoreError> {
    match look(store, prefix, |key| layout::parse_manifest(key).is_some_and(|parsed| fits(&parsed))).await {
        Ok(mut history) => {
            history.retain(|_, versions| !is_untouched(versions));
            Ok(history)
        }
        Err(error) if is_hidden(&error) => Ok(History::new()),
        Err(error) => Err(error.into()),
    }
}

/// Reads the manifest that was written first; where no version is one, the words are those of what stands there now.
async fn oldest(store: &Arc<dyn ReadStore>, key: &str, versions: &[ObjectVersion]) -> Result<Manifest, RestoreError> {
    match oldest_manifest(store, versions, async |_: &Manifest| Ok::<_, RestoreError>(true)).await? {
        Some((manifest, _)) => Ok(manifest),
        None => Ok(store::read_manifest(store.as_ref(), key).await?),
    }
}

/// The choice among what a store has.
struct Choice<'a> {
    wanted: &'a Wanted,
    best: Option<Found>,
    also: Vec<String>,
    others: BTreeSet<Scope>,
}

impl Choice<'_> {
    fn fits(&mut self, database: &str, scope: Option<&Scope>, id: &BackupId) -> bool {
        match self.wanted {
            Wanted::Id(wanted) => id.as_str().starts_with(wanted.as_str()),
            Wanted::Latest { database: wanted, scope: of, .. } => {
                let segment = wanted.as_ref().map_or_else(|| "_".to_owned(), |name| layout::encode(name.as_str()));
                let of_it = database == segment;
                self.others.extend(scope.filter(|_| of_it).cloned());
                of_it && scope.is_none_or(|scope| scope == of)
            }
        }
    }

    /// Takes a backup in where it is better than what was found so far. `true`: no other can be.
    fn take(&mut self, found: Found) -> bool {
        match self.wanted {
            Wanted::Id(id) if found.manifest.backup_id == *id => {
                self.also.clear();
                self.best = Some(found);
                return true;
            }
            Wanted::Id(_) => {
                self.also.push(found.manifest.backup_id.clone());
                self.best = Some(found);
            }
            Wanted::Latest { scope, not_after, .. } => {
                let at = instant(&found.manifest);
                let young = not_after.is_some_and(|limit| at.is_none_or(|at| at > limit));
                let better = self.best.as_ref().is_none_or(|best| at > instant(&best.manifest));
                if found.manifest.scope.scope == scope.to_string() && !young && better {
                    self.best = Some(found);
                }
            }
        }
        false
    }

    fn made(self, place: &str) -> Result<Found, RestoreError> {
        if self.also.len() > 1 {
            return Err(ambiguous(self.wanted, self.also));
        }
        self.best.ok_or_else(|| not_found(self.wanted, place, self.others))
    }
}

/// Looks for a backup among those of the catalog. By its id any is found; as the newest only one that is neither
/// tombstoned nor quarantined. Returns with it the quarantined ones that are newer.
///
/// # Errors
/// When nothing fits, or an id's beginning fits more than one backup.
pub fn find_in_catalog<'a>(
    backups: impl Iterator<Item = &'a Backup>,
    wanted: &Wanted,
) -> Result<(&'a Backup, Vec<&'a Backup>), RestoreError> {
    let mut others = BTreeSet::new();
    match wanted {
        Wanted::Id(id) => {
            let fits: Vec<&Backup> = backups.filter(|backup| backup.id.as_str().starts_with(id.as_str())).collect();
            match fits.as_slice() {
                [] => Err(not_found(wanted, "the catalog", others)),
                [one] => Ok((one, Vec::new())),
                many => match many.iter().find(|backup| backup.id.as_str() == id) {
                    Some(one) => Ok((one, Vec::new())),
                    None => Err(ambiguous(wanted, many.iter().map(|backup| backup.id.to_string()).collect())),
                },
            }
        }
        Wanted::Latest { database, scope, not_after } => {
            let mut fits: Vec<&Backup> = Vec::new();
            for backup in backups.filter(|backup| backup.database == *database) {
                if backup.tombstoned_at.is_some() || not_after.is_some_and(|limit| backup.consistent_at > limit) {
                    continue;
                }
                if backup.quarantine.is_none() {
                    others.insert(backup.scope.clone());
                }
                if backup.scope == *scope {
                    fits.push(backup);
                }
            }
            fits.sort_by(|a, b| (b.consistent_at, &b.id).cmp(&(a.consistent_at, &a.id)));
            let eligible = fits.iter().position(|backup| backup.quarantine.is_none());
            let at = eligible.ok_or_else(|| not_found(wanted, "the catalog", others))?;
            Ok((fits[at], fits[..at].to_vec()))
        }
    }
}

/// How many of many are named.
const NAMED: usize = 10;

fn not_found(wanted: &Wanted, place: &str, others: BTreeSet<Scope>) -> RestoreError {
    let (words, others) = match wanted {
        Wanted::Id(id) => (id.clone(), Vec::new()),
        Wanted::Latest { database, scope, .. } => {
            let of = database.as_ref().map_or_else(String::new, |database| format!(" of database {database}"));
            (format!("of {}{of}", words(scope)), some(others.iter().map(words).collect()))
        }
    };
    RestoreError::NotFound { wanted: words, place: place.to_owned(), others }
}

fn ambiguous(wanted: &Wanted, mut candidates: Vec<String>) -> RestoreError {
    candidates.sort_unstable();
    let Wanted::Id(id) = wanted else { return RestoreError::Ambiguous { wanted: String::new(), candidates } };
    RestoreError::Ambiguous { wanted: id.clone(), candidates: some(candidates) }
}

fn words(scope: &Scope) -> String {
    match scope {
        Scope::Tenant(slug) => format!("tenant {slug:?}"),
        Scope::Database => "the whole".to_owned(),
        Scope::Files(schedule) => format!("the files of schedule.{schedule}"),
        other => other.to_string(),
    }
}

fn some(mut names: Vec<String>) -> Vec<String> {
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names
}

/// Returns the instant the content is of.
fn instant(manifest: &Manifest) -> Option<Instant> {
    manifest.consistent_at.parse().ok()
}
