//! The texts that rows share, each held once: a million backups name a few schedules and some thousand archives.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::failure::CatalogError;
use crate::domain::{BackupId, Name};

/// Texts that were read before.
#[derive(Default)]
pub(super) struct Texts {
    names: HashMap<String, Name>,
    ids: HashMap<String, BackupId>,
}

impl Texts {
    /// Reads a name that may be absent or empty.
    pub fn maybe_name(&mut self, row: &PgRow, column: &str) -> Result<Option<Name>, CatalogError> {
        let text = row.try_get::<Option<&str>, _>(column)?;
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        if let Some(known) = self.names.get(text) {
            return Ok(Some(known.clone()));
        }
        let name: Name = text.parse().map_err(|error| CatalogError::corrupt(column, error))?;
        self.names.insert(text.to_owned(), name.clone());
        Ok(Some(name))
    }

    /// Reads a name.
    pub fn name(&mut self, row: &PgRow, column: &str) -> Result<Name, CatalogError> {
        self.maybe_name(row, column)?.ok_or_else(|| CatalogError::corrupt(column, "is absent"))
    }

    /// Reads a backup's id that may be absent.
    pub fn maybe_id(&mut self, row: &PgRow, column: &str) -> Result<Option<BackupId>, CatalogError> {
        let Some(text) = row.try_get::<Option<&str>, _>(column)? else { return Ok(None) };
        if let Some(known) = self.ids.get(text) {
            return Ok(Some(known.clone()));
        }
        let id = BackupId::from_text(text.to_owned());
        self.ids.insert(text.to_owned(), id.clone());
        Ok(Some(id))
    }
}
