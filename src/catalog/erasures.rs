//! The erasure of a tenant, as the catalog sees it: the intent before the first key goes, each step after it, and the
//! evidence at the end. From the intent on nobody reads the tenant's backups any more.

use sqlx::Row;
use sqlx::types::Json;

use super::claims::Lease;
use super::failure::CatalogError;
use super::stamp::{Cells, Stamp, plain};
use super::state::Reader;
use super::writer::{Writer, fence};
use crate::domain::{BackupId, Digest, Erased, Erasure, Instant, Name, RunId, Trace};

/// Who asks for an erasure, and why.
#[derive(Debug, Clone, Copy)]
pub struct ErasureAsked<'a> {
    /// What is consented to.
    pub erasure: &'a Erasure,
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
    /// The run.
    pub run: &'a RunId,
    /// When.
    pub at: Instant,
}

/// A backup that is being erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasing {
    /// The backup.
    pub backup: BackupId,
    /// The ordinal of the mark that is left in the store.
    pub mark: u32,
    /// Whether an earlier try destroyed its keys.
    pub keys_destroyed: bool,
}

/// What became of the intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasureBegun {
    /// It is recorded; these are still to be erased.
    Go(Vec<Erasing>),
    /// Something stands against it, which the look before did not see.
    Refused(String),
}

/// An erasure that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureRow {
    /// What was consented to.
    pub digest: String,
    /// The tenant's database.
    pub database: String,
    /// The tenant.
    pub slug: String,
    /// Who asked.
    pub by: String,
    /// When it was begun.
    pub begun_at: Instant,
    /// When it was done.
    pub completed_at: Option<Instant>,
}

fn row_of(row: &sqlx::postgres::PgRow) -> Result<ErasureRow, CatalogError> {
    Ok(ErasureRow {
        digest: row.text("digest")?,
        database: row.text("database")?,
        slug: row.text("slug")?,
        by: row.text("asked_by")?,
        begun_at: row.at("begun_at")?,
        completed_at: row.maybe_at("completed_at")?,
    })
}

impl Reader {
    /// Returns the newest erasure of a tenant; of any database where none is named.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn erasure_of(&self, database: Option<&Name>, slug: &str) -> Result<Option<ErasureRow>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query(
            "SELECT digest, database, slug, asked_by, begun_at, completed_at FROM bkup.erasures \
             WHERE slug = $1 AND ($2::text IS NULL OR database = $2) ORDER BY begun_at DESC LIMIT 1",
        )
        .bind(slug)
        .bind(database.map(Name::as_str))
        .fetch_optional(&mut *connection)
        .await?;
        row.as_ref().map(row_of).transpose()
    }

    /// Returns the erasure that took a backup, by the backup's id or the begin of it.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn erasure_that_took(&self, backup: &str) -> Result<Option<(BackupId, ErasureRow)>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query(
            "SELECT b.backup_id, e.digest, e.database, e.slug, e.asked_by, e.begun_at, e.completed_at \
             FROM bkup.erased_backups b JOIN bkup.erasures e ON e.digest = b.erasure \
             WHERE starts_with(b.backup_id, $1) ORDER BY b.backup_id LIMIT 1",
        )
        .bind(backup)
        .fetch_optional(&mut *connection)
        .await?;
        row.map(|row| Ok((BackupId::from_text(row.text("backup_id")?), row_of(&row)?))).transpose()
    }
}

impl Reader {
    /// Returns where a tenant had backups since an erasure of it was last completed: deleted ones and such as were never
    /// finished too.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn traces_of(&self, database: &Name, slug: &str) -> Result<Vec<Trace>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query(
            "SELECT DISTINCT store, coalesce(filed_under, database) AS filed_under FROM ( \
                 SELECT store, filed_under, database, coalesce(started_at, created_at) AS began FROM bkup.executions \
                 WHERE database = $1 AND scope = $2 \
                 UNION ALL \
                 SELECT store, filed_under, database, coalesce(started_at, created_at) FROM bkup.executions_archive \
                 WHERE database = $1 AND scope = $2) had \
             WHERE store IS NOT NULL AND began > coalesce( \
                 (SELECT max(completed_at) FROM bkup.erasures WHERE database = $1 AND slug = $3), '-infinity') \
             ORDER BY 1, 2",
        )
        .bind(database.as_str())
        .bind(format!("tenant={slug}"))
        .bind(slug)
        .fetch_all(&mut *connection)
        .await?;
        let name = |row: &sqlx::postgres::PgRow, column: &'static str| {
            Name::try_from(row.text(column)?).map_err(|_| CatalogError::corrupt(column, "is no name"))
        };
        rows.iter()
            .map(|row| Ok(Trace { store: name(row, "store")?, filed_under: name(row, "filed_under")? }))
            .collect()
    }

    /// Returns the backups that an erasure is about.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn erasure_backups(&self, digest: &str) -> Result<Vec<BackupId>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let ids: Vec<String> =
            sqlx::query_scalar("SELECT backup_id FROM bkup.erased_backups WHERE erasure = $1 ORDER BY backup_id")
                .bind(digest)
                .fetch_all(&mut *connection)
                .await?;
        Ok(ids.into_iter().map(BackupId::from_text).collect())
    }
}

impl Writer {
    /// Records that a tenant is being erased, before the first key goes. The rows are looked at again under their locks:
    /// a backup that came since, a reader, a pin or a tenant that is back stand against it. To begin again what was begun
    /// goes on with what is left.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; as every statement.
    pub async fn begin_erasure(&self, lease: &Lease, asked: &ErasureAsked<'_>) -> Result<ErasureBegun, CatalogError> {
        let erasure = asked.erasure;
        let scope = format!("tenant={}", erasure.slug);
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let refused = |words: String| Ok(ErasureBegun::Refused(words));
        let there = sqlx::query(
            "SELECT offboarded_at IS NULL AS lives FROM bkup.tenants WHERE database = $1 AND slug = $2 FOR UPDATE",
        )
        .bind(erasure.database.as_str())
        .bind(&erasure.slug)
        .fetch_optional(&mut *transaction)
        .await?;
        if erasure.offboarded_at.is_some()
            && let Some(row) = there
            && row.flag("lives")?
        {
            return refused("the tenant was seen again since".to_owned());
        }
        let rows = sqlx::query(
            "SELECT e.backup_id, e.marks + CASE WHEN e.tombstoned_at IS NULL THEN 1 ELSE 0 END AS mark, e.protected, \
                    (SELECT b.keys_destroyed_at IS NOT NULL FROM bkup.erased_backups b WHERE b.backup_id = e.backup_id) \
                        AS keys_destroyed \
             FROM bkup.executions e WHERE e.database = $1 AND e.scope = $2 AND e.status = 'COMPLETED' AND NOT e.deleted \
             ORDER BY e.backup_id FOR UPDATE OF e",
        )
        .bind(erasure.database.as_str())
        .bind(&scope)
        .fetch_all(&mut *transaction)
        .await?;
        let mut erasing = Vec::with_capacity(rows.len());
        for row in &rows {
            let backup = BackupId::from_text(row.text("backup_id")?);
            if row.flag("protected")? {
                return refused(format!("backup {backup} is protected"));
            }
            if !erasure.backups.iter().any(|condemned| condemned.backup == backup) {
                return refused(format!("backup {backup} was made since"));
            }
            let keys_destroyed = row.try_get::<Option<bool>, _>("keys_destroyed")?.unwrap_or(false);
            let mark = u32::try_from(row.count("mark")?).map_err(|_| CatalogError::corrupt("marks", "is too large"))?;
            erasing.push(Erasing { backup, mark, keys_destroyed });
        }
        let ids: Vec<&str> = erasing.iter().map(|erasing| erasing.backup.as_str()).collect();
        // A statement of its own: the one above may have waited for a reader whose row it was too early to see.
        let read: Option<bool> = sqlx::query_scalar(
            "SELECT true FROM bkup.restores WHERE lease_until > clock_timestamp() AND backups && $1 LIMIT 1",
        )
        .bind(&ids)
        .fetch_optional(&mut *transaction)
        .await?;
        if read.is_some() {
            return refused("a restore or a drill reads one of its backups".to_owned());
        }
        sqlx::query(
            "INSERT INTO bkup.erasures (digest, database, slug, reason, asked_by, run, begun_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (digest) DO NOTHING",
        )
        .bind(erasure.digest.to_string())
        .bind(erasure.database.as_str())
        .bind(&erasure.slug)
        .bind(asked.reason.map(plain))
        .bind(plain(asked.by))
        .bind(asked.run.as_str())
        .bind(Stamp(asked.at))
        .execute(&mut *transaction)
        .await?;
        let stores: Vec<&str> = erasing
            .iter()
            .map(|one| {
                let condemned = erasure.backups.iter().find(|condemned| condemned.backup == one.backup);
                condemned.map_or("", |condemned| condemned.store.as_str())
            })
            .collect();
        sqlx::query(
            "INSERT INTO bkup.erased_backups (backup_id, erasure, store) \
             SELECT id, $3, store FROM unnest($1::text[], $2::text[]) AS t (id, store) ON CONFLICT (backup_id) DO NOTHING",
        )
        .bind(&ids)
        .bind(&stores)
        .bind(erasure.digest.to_string())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "UPDATE bkup.executions SET marks = marks + CASE WHEN tombstoned_at IS NULL THEN 1 ELSE 0 END, \
                 tombstoned_at = coalesce(tombstoned_at, $2), purge_after = least(coalesce(purge_after, $2), $2), \
                 expires_at = least(coalesce(purge_after, $2), $2), purge_begun_at = coalesce(purge_begun_at, $2), \
                 pinned_until = NULL, updated_at = now() \
             WHERE backup_id = ANY($1) AND status = 'COMPLETED' AND NOT deleted",
        )
        .bind(&ids)
        .bind(Stamp(asked.at))
        .execute(&mut *transaction)
        .await?;
        self.seal(transaction).await?;
        Ok(ErasureBegun::Go(erasing))
    }

    /// Records that the keys of backups are destroyed: what is left of them is not to be read by anybody.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; as every statement.
    pub async fn keys_destroyed(&self, lease: &Lease, backups: &[BackupId], at: Instant) -> Result<(), CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let ids: Vec<&str> = backups.iter().map(BackupId::as_str).collect();
        sqlx::query(
            "UPDATE bkup.erased_backups SET keys_destroyed_at = coalesce(keys_destroyed_at, $2) WHERE backup_id = ANY($1)",
        )
        .bind(&ids)
        .bind(Stamp(at))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Records the end of an erasure with its evidence, and takes what tells of the tenant, but for its slug, out of the
    /// catalog's rows. The slug stays: it is what the evidence is about, and what its objects' keys were called.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; as every statement.
    pub async fn end_erasure(&self, lease: &Lease, digest: &Digest, erased: &Erased) -> Result<(), CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let (database, slug) = (erased.erasure.database.as_str(), erased.erasure.slug.as_str());
        let archive: bool = sqlx::query_scalar("SELECT has_table_privilege('bkup.executions_archive', 'UPDATE')")
            .fetch_one(&mut *transaction)
            .await?;
        if archive {
            sqlx::query(
                "UPDATE bkup.executions_archive SET tenant_schema = NULL, tenant_id = NULL, backup_tenant_id = NULL, \
                     notes = NULL, error_message = NULL WHERE database = $1 AND tenant_slug = $2",
            )
            .bind(database)
            .bind(slug)
            .execute(&mut *transaction)
            .await?;
        }
        for statement in [
            "UPDATE bkup.executions SET tenant_schema = NULL, tenant_id = NULL, backup_tenant_id = NULL, notes = NULL, \
                 error_message = NULL, updated_at = now() WHERE database = $1 AND tenant_slug = $2",
            "UPDATE bkup.tenants SET tenant_id = NULL, schema_name = '' \
                 WHERE database = $1 AND slug = $2 AND offboarded_at IS NOT NULL",
        ] {
            sqlx::query(statement).bind(database).bind(slug).execute(&mut *transaction).await?;
        }
        sqlx::query(
            "UPDATE bkup.erased_backups SET deleted_at = coalesce(deleted_at, $2) WHERE erasure = $1 \
             AND EXISTS (SELECT FROM bkup.executions e WHERE e.backup_id = erased_backups.backup_id AND e.deleted)",
        )
        .bind(digest.to_string())
        .bind(Stamp(erased.at))
        .execute(&mut *transaction)
        .await?;
        let evidence = serde_json::to_value(erased).unwrap_or_default();
        sqlx::query(
            "UPDATE bkup.erasures SET completed_at = greatest(completed_at, $2), evidence = $3 WHERE digest = $1",
        )
        .bind(digest.to_string())
        .bind(Stamp::maybe(erased.is_whole().then_some(erased.at)))
        .bind(Json(evidence))
        .execute(&mut *transaction)
        .await?;
        self.seal(transaction).await
    }
}
