//! What each store was found to be, and the keys its content digests are keyed with.

use std::fmt;

use sqlx::Row;
use sqlx::types::Json;
use zeroize::Zeroizing;

use super::claims::Lease;
use super::failure::CatalogError;
use super::stamp::{Cells, Stamp};
use super::state::{Reader, json};
use super::writer::{Writer, fence};
use crate::domain::{Instant, Name};

/// A store as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRecord {
    /// Its name in the policies.
    pub store: Name,
    /// Its place, without secrets.
    pub url: String,
    /// Its identity, from its marker.
    pub store_id: String,
    /// What it was found to be able to do.
    pub capabilities: serde_json::Value,
    /// When that was found out.
    pub probed_at: Instant,
}

/// The key that the content digests of a database in a store are keyed with: it makes them comparable between backups
/// and tells nothing of the content to whoever lacks it.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestKey {
    /// What manifests call it.
    pub id: String,
    /// The key.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Reader {
    /// Returns what a store was found to be, if it was ever looked at.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn capabilities(&self, store: &Name) -> Result<Option<StoreRecord>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query("SELECT url, store_id, capabilities, probed_at FROM bkup.stores WHERE store = $1")
            .bind(store.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        row.map(|row| {
            Ok(StoreRecord {
                store: store.clone(),
                url: row.text("url")?,
                store_id: row.text("store_id")?,
                capabilities: json(&row, "capabilities")?.unwrap_or_default(),
                probed_at: row.at("probed_at")?,
            })
        })
        .transpose()
    }

    /// Returns the digest key of a database in a store, if there is one yet.
    ///
    /// # Errors
    /// As every question: unreachable, refused. Roles that plan need no right to it.
    pub async fn digest_key(&self, store: &Name, database: &Name) -> Result<Option<DigestKey>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query("SELECT key_id, key FROM bkup.digest_keys WHERE store = $1 AND database = $2")
            .bind(store.as_str())
            .bind(database.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        row.map(|row| Ok(DigestKey { id: row.text("key_id")?, key: Zeroizing::new(row.try_get("key")?) })).transpose()
    }
}

impl Writer {
    /// Records what a store was found to be.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; [`CatalogError::Conflict`] where the catalog knows the store under another id: its
    /// folder or bucket was exchanged, and the recorded backups are not in it.
    pub async fn store_learnt(&self, lease: &Lease, record: &StoreRecord) -> Result<(), CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let written = sqlx::query(
            "INSERT INTO bkup.stores AS s (store, url, store_id, capabilities, probed_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (store) DO UPDATE SET url = excluded.url, capabilities = excluded.capabilities, \
                 probed_at = excluded.probed_at, updated_at = now(), store_id = excluded.store_id \
             WHERE s.store_id = excluded.store_id \
                OR NOT EXISTS (SELECT FROM bkup.executions e WHERE e.store = s.store AND e.store_id = s.store_id \
                               AND e.status = 'COMPLETED' AND NOT e.deleted)",
        )
        .bind(record.store.as_str())
        .bind(&record.url)
        .bind(&record.store_id)
        .bind(Json(&record.capabilities))
        .bind(Stamp(record.probed_at))
        .execute(&mut *transaction)
        .await?;
        if written.rows_affected() == 0 {
            let reason = format!("store {} has another id than the one its backups were written to", record.store);
            return Err(CatalogError::Conflict { reason });
        }
        self.seal(transaction).await
    }

    /// Keeps a digest key where there is none yet, and returns the one that counts: of two runners that bring one at
    /// once, both go on with the first one's.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn keep_digest_key(
        &self,
        store: &Name,
        database: &Name,
        offered: &DigestKey,
    ) -> Result<DigestKey, CatalogError> {
        let mut connection = self.session().connection().await?;
        sqlx::query(
            "INSERT INTO bkup.digest_keys (store, database, key_id, key) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (store, database) DO NOTHING",
        )
        .bind(store.as_str())
        .bind(database.as_str())
        .bind(&offered.id)
        .bind(offered.key.as_slice())
        .execute(&mut *connection)
        .await?;
        drop(connection);
        self.reader().digest_key(store, database).await?.ok_or(CatalogError::Absent)
    }
}
