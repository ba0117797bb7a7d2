//! What was recorded of each backup's objects, summed up as it is read: a few numbers for each of a million backups, for
//! comparison with what a store lists. Reads only.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt;
use serde::Deserialize;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::drift::RECORDS_SINCE;
use super::failure::CatalogError;
use super::stamp::{Cells, Place};
use super::texts::Texts;
use crate::domain::{BackupId, Garbage, Name, Tally};

/// What was recorded of the objects of every backup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordedObjects {
    /// Every completed and not yet purged backup, in no order.
    pub backups: Vec<(BackupId, RecordedBackup)>,
    /// Attempts that are at work, or whose leftovers are still to be collected.
    pub attempts: HashSet<(BackupId, u64)>,
    /// Attempts whose leftovers were collected. A runner that was frozen with a request under way writes once more.
    pub collected: HashMap<(BackupId, u64), Garbage>,
}

/// What was recorded of one backup's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedBackup {
    /// In which store.
    pub store: Name,
    /// The attempt that made it.
    pub attempt: u64,
    /// Where its manifest lies.
    pub manifest: ManifestPlace,
    /// Its manifest's size, where that was recorded.
    pub manifest_size: Option<u64>,
    /// The data objects in its own folder.
    pub data: Tally,
    /// How many key objects it has.
    pub keys: u64,
}

/// The key of a backup's manifest. Nearly always only the folder of its scope, which all of the scope's backups share, and
/// whose text is held once; the rest is the backup's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestPlace {
    begin: Arc<str>,
    by_id: bool,
}

const MANIFEST: &str = "manifest.json";

impl ManifestPlace {
    /// Takes a key as it was recorded.
    pub(super) fn of(id: &BackupId, key: &str, texts: &mut Texts) -> Self {
        let scope = key.strip_suffix(MANIFEST).and_then(|folder| folder.strip_suffix('/')?.strip_suffix(id.as_str()));
        match scope.filter(|scope| scope.ends_with('/')) {
            Some(scope) => Self { begin: texts.shared(scope), by_id: true },
            None => Self { begin: key.into(), by_id: false },
        }
    }

    /// Returns the key; `id` is that of the backup.
    #[must_use]
    pub fn key(&self, id: &BackupId) -> String {
        let begin = &self.begin;
        if self.by_id { format!("{begin}{}/{MANIFEST}", id.as_str()) } else { begin.to_string() }
    }

    /// Returns the folder of the backup, with a slash at the end; empty where the key is none of bkup's.
    #[must_use]
    pub fn folder(&self, id: &BackupId) -> String {
        self.key(id).strip_suffix(MANIFEST).unwrap_or_default().to_owned()
    }

    /// Returns whether a key is that of the manifest.
    #[must_use]
    pub fn is(&self, id: &BackupId, key: &str) -> bool {
        if self.by_id { self.rest(id, key) == Some(MANIFEST) } else { key == &*self.begin }
    }

    /// Returns whether an object lies in the folder of the backup.
    #[must_use]
    pub fn holds(&self, id: &BackupId, key: &str) -> bool {
        self.rest(id, key).is_some()
    }

    /// Returns what of an object's key comes behind the folder of the backup.
    fn rest<'k>(&self, id: &BackupId, key: &'k str) -> Option<&'k str> {
        if self.by_id {
            return key.strip_prefix(&*self.begin)?.strip_prefix(id.as_str())?.strip_prefix('/');
        }
        key.strip_prefix(self.begin.strip_suffix(MANIFEST).filter(|folder| !folder.is_empty())?)
    }
}

/// Of a part, what says which object it is.
#[derive(Deserialize)]
struct Part {
    key: String,
    size: u64,
}

const PLACES: [Place; 7] =
    Place::all(["backup_id", "attempt", "store", "manifest_key", "manifest_size", "parts", "keys"]);

/// Reads what was recorded of some backups, or of all.
pub(super) async fn recorded(
    connection: &mut PgConnection,
    version: i64,
    only: Option<&[&BackupId]>,
) -> Result<Vec<(BackupId, RecordedBackup)>, CatalogError> {
    let size = if version < RECORDS_SINCE { "NULL::bigint" } else { "manifest_size" };
    let sql = format!(
        "SELECT backup_id, attempt, store, manifest_key, {size} AS manifest_size, \
                parts, coalesce(cardinality(recipients), 0)::bigint AS keys \
         FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted AND backup_id IS NOT NULL \
           AND manifest_key IS NOT NULL AND ($1::text[] IS NULL OR backup_id = ANY($1))"
    );
    let mut rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(only.map(|ids| ids.iter().map(|id| id.as_str()).collect::<Vec<_>>()))
        .fetch(connection);
    let mut backups = Vec::new();
    let mut texts = Texts::default();
    let [id, attempt, store, manifest_key, manifest_size, parts, keys] = PLACES;
    while let Some(row) = rows.try_next().await? {
        let manifest_size: Option<i64> = row.try_get(manifest_size)?;
        let id = BackupId::from(row.try_get::<&str, _>(id)?);
        let key: &str = row.try_get(manifest_key)?;
        let mut backup = RecordedBackup {
            store: texts.name(&row, store)?,
            attempt: row.count(attempt)?,
            manifest: ManifestPlace::of(&id, key, &mut texts),
            manifest_size: manifest_size.and_then(|size| u64::try_from(size).ok()),
            data: Tally::default(),
            keys: row.count(keys)?,
        };
        if let Some(Json(parts)) = row.try_get::<Option<Json<Vec<Part>>>, _>(parts)? {
            let own = format!("{}a-{}/", key.strip_suffix(MANIFEST).unwrap_or_default(), backup.attempt);
            // One in an earlier backup's folder is counted there.
            for part in parts.iter().filter(|part| part.key.starts_with(&own)) {
                backup.data.add(&part.key, part.size);
            }
        }
        backups.push((id, backup));
    }
    Ok(backups)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ManifestPlace, Texts};
    use crate::domain::BackupId;

    proptest! {
        #[test]
        fn a_manifest_key_comes_back_and_tells_what_lies_beside_it(
            key in "[a/]{0,6}(b|20260101T000000Z-x)?/?(manifest.json)?", id in "b|20260101T000000Z-x|", other in "[a/]{0,6}b?/?(manifest.json)?"
        ) {
            let id = BackupId::from_text(id);
            let place = ManifestPlace::of(&id, &key, &mut Texts::default());
            prop_assert_eq!(&place.key(&id), &key);
            let folder = key.strip_suffix("manifest.json").unwrap_or_default();
            prop_assert_eq!(place.folder(&id), folder);
            for other in [&other, &key, &format!("{key}x"), &format!("{folder}a-1/x")] {
                prop_assert_eq!(place.is(&id, other), *other == key);
                prop_assert_eq!(place.holds(&id, other), !folder.is_empty() && other.starts_with(folder));
            }
        }
    }
}
