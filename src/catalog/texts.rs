//! The texts that rows share, each held once: a million backups name a few schedules and some thousand archives.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::failure::CatalogError;
use super::stamp::Column;
use crate::domain::{BackupId, Name};

/// Texts that were read before.
#[derive(Default)]
pub(super) struct Texts {
    names: HashMap<String, Name>,
    ids: HashMap<String, BackupId>,
    others: HashSet<Arc<str>>,
}

impl Texts {
    /// Reads a name that may be absent or empty.
    pub fn maybe_name(&mut self, row: &PgRow, column: impl Column) -> Result<Option<Name>, CatalogError> {
        let text = row.try_get::<Option<&str>, _>(column)?;
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        if let Some(known) = self.names.get(text) {
            return Ok(Some(known.clone()));
        }
        let name: Name = text.parse().map_err(|error| CatalogError::corrupt(column.name(), error))?;
        self.names.insert(text.to_owned(), name.clone());
        Ok(Some(name))
    }

    /// Reads a name.
    pub fn name(&mut self, row: &PgRow, column: impl Column) -> Result<Name, CatalogError> {
        self.maybe_name(row, column)?.ok_or_else(|| CatalogError::corrupt(column.name(), "is absent"))
    }

    /// Reads a backup's id that may be absent.
    pub fn maybe_id(&mut self, row: &PgRow, column: impl Column) -> Result<Option<BackupId>, CatalogError> {
        let Some(text) = row.try_get::<Option<&str>, _>(column)? else { return Ok(None) };
        if let Some(known) = self.ids.get(text) {
            return Ok(Some(known.clone()));
        }
        let id = BackupId::from(text);
        self.ids.insert(text.to_owned(), id.clone());
        Ok(Some(id))
    }

    /// Returns a text of any kind.
    pub fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.others.get(text) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = text.into();
        self.others.insert(Arc::clone(&shared));
        shared
    }
}
