//! What was recorded of each backup's objects, summed up as it is read: a few numbers for each of a million backups, for
//! comparison with what a store lists. Reads only.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::drift::RECORDS_SINCE;
use super::failure::CatalogError;
use super::stamp::{Cells, Place};
use super::state::{COLUMNS, HAS_RENAMES, garbage_from};
use super::texts::Texts;
use crate::domain::{Backup, BackupId, Garbage, Name, Tally};

/// What was recorded of the objects of every backup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordedObjects {
    /// Of each backup of the state, in the same order; `None` where nothing was recorded.
    pub backups: Vec<Option<RecordedBackup>>,
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
struct Part<'r> {
    #[serde(borrow)]
    key: Cow<'r, str>,
    size: u64,
}

/// The columns of a backup's objects, in the order in which [`recorded_backup`] reads them.
const OBJECTS: [&str; 5] = ["attempt", "manifest_key", "manifest_size", "parts", "keys"];
/// Where they are behind those of a backup, and behind its id and its store alone.
const BEHIND_A_BACKUP: [Place; 5] = Place::all(COLUMNS.len(), OBJECTS);
const BEHIND_TWO: [Place; 5] = Place::all(2, OBJECTS);

/// Returns the columns of a backup's objects, as a query names them.
pub(super) fn columns(version: i64) -> String {
    let size = if version < RECORDS_SINCE { "NULL::bigint AS manifest_size" } else { "manifest_size" };
    format!("attempt, manifest_key, {size}, parts, coalesce(cardinality(recipients), 0)::bigint AS keys")
}

/// Reads what was recorded of a backup's objects, from a row that has these columns behind those of a backup; `None` where
/// nothing was.
pub(super) fn beside(backup: &Backup, row: &PgRow, texts: &mut Texts) -> Result<Option<RecordedBackup>, CatalogError> {
    recorded_backup(&backup.id, &backup.store, row, BEHIND_A_BACKUP, texts)
}

/// Reads what was recorded of some backups.
pub(super) async fn recorded_of(
    connection: &mut PgConnection,
    version: i64,
    backups: &[&BackupId],
) -> Result<Vec<(BackupId, RecordedBackup)>, CatalogError> {
    let sql = format!(
        "SELECT backup_id, store, {} FROM bkup.executions \
         WHERE status = 'COMPLETED' AND NOT deleted AND backup_id = ANY($1)",
        columns(version)
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(backups.iter().map(|id| id.as_str()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let mut texts = Texts::default();
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = BackupId::from_text(row.text("backup_id")?);
        let store = texts.name(row, "store")?;
        let recorded = recorded_backup(&id, &store, row, BEHIND_TWO, &mut texts)?;
        all.extend(recorded.map(|recorded| (id, recorded)));
    }
    Ok(all)
}

fn recorded_backup(
    id: &BackupId,
    store: &Name,
    row: &PgRow,
    [attempt, manifest_key, manifest_size, parts, keys]: [Place; 5],
    texts: &mut Texts,
) -> Result<Option<RecordedBackup>, CatalogError> {
    let Some(key) = row.try_get::<Option<&str>, _>(manifest_key)? else { return Ok(None) };
    let manifest_size: Option<i64> = row.try_get(manifest_size)?;
    let mut backup = RecordedBackup {
        store: store.clone(),
        attempt: row.count(attempt)?,
        manifest: ManifestPlace::of(id, key, texts),
        manifest_size: manifest_size.and_then(|size| u64::try_from(size).ok()),
        data: Tally::default(),
        keys: row.count(keys)?,
    };
    if let Some(Json(parts)) = row.try_get::<Option<Json<Vec<Part<'_>>>>, _>(parts)?
        && !parts.is_empty()
    {
        let own = format!("{}a-{}/", key.strip_suffix(MANIFEST).unwrap_or_default(), backup.attempt);
        // One in an earlier backup's folder is counted there.
        for part in parts.iter().filter(|part| part.key.starts_with(&own)) {
            backup.data.add(&part.key, part.size);
        }
    }
    Ok(Some(backup))
}

/// Reads which attempts are at work, and whose leftovers are collected and are not.
pub(super) async fn attempts(
    connection: &mut PgConnection,
    version: i64,
    objects: &mut RecordedObjects,
) -> Result<(), CatalogError> {
    let rows = sqlx::query(
        "SELECT backup_id, attempt FROM bkup.executions WHERE attempt IS NOT NULL AND backup_id IS NOT NULL \
         AND collected_at IS NULL AND status IN ('RUNNING', 'FAILED', 'CANCELED')",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        objects.attempts.insert((BackupId::from_text(row.text("backup_id")?), row.count("attempt")?));
    }
    if version >= HAS_RENAMES {
        objects.collected = collected(connection).await?;
    }
    Ok(())
}

/// Reads which attempts' leftovers were collected.
async fn collected(connection: &mut PgConnection) -> Result<HashMap<(BackupId, u64), Garbage>, CatalogError> {
    let rows = sqlx::query(
        "SELECT store, backup_id, coalesce(filed_under, database) AS database, scope, attempt, \
                collected_at AS abandoned_at \
         FROM bkup.executions WHERE collected_at IS NOT NULL AND status IN ('FAILED', 'CANCELED') \
           AND attempt IS NOT NULL AND backup_id IS NOT NULL AND scope IS NOT NULL AND store IS NOT NULL",
    )
    .fetch_all(connection)
    .await?;
    let keyed = |garbage: Garbage| ((garbage.backup.clone(), garbage.attempt), garbage);
    rows.iter().map(|row| Ok(keyed(garbage_from(row)?))).collect()
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
