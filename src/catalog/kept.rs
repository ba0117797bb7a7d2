//! What goes into every store beside policies and manifests, so that a lost catalog can be made again. Reads only.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::failure::CatalogError;
use super::stamp::Cells;
use super::state::{Reader, json};
use crate::domain::{AppliedBy, BackupId, Kept, Offboarded, Quarantined, StoreSeen};

impl Reader {
    /// Reads what the catalog knows beyond policies and manifests, as of one snapshot.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt; [`CatalogError::Absent`] without a catalog.
    pub async fn kept(&self) -> Result<Kept, CatalogError> {
        let mut transaction = self.session().begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *transaction).await?;
        let meta = sqlx::query("SELECT audit_rows, audit_head, tenant_fk FROM bkup.meta")
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or(CatalogError::Absent)?;
        let kept = Kept {
            stores: stores(&mut transaction).await?,
            approvals: approvals(&mut transaction).await?.into_iter().collect(),
            quarantined: quarantined(&mut transaction).await?,
            offboarded: offboarded(&mut transaction).await?,
            tenant_fk: meta.maybe_text("tenant_fk")?,
            audit_rows: meta.count("audit_rows")?,
            audit_head: meta.maybe_text("audit_head")?,
        };
        transaction.commit().await?;
        Ok(kept)
    }
}

async fn stores(connection: &mut PgConnection) -> Result<Vec<StoreSeen>, CatalogError> {
    let rows = sqlx::query("SELECT store, url, store_id, capabilities, probed_at FROM bkup.stores ORDER BY store")
        .fetch_all(connection)
        .await?;
    let seen = |row: &PgRow| {
        Ok(StoreSeen {
            store: row.parsed("store")?,
            url: row.text("url")?,
            store_id: row.text("store_id")?,
            capabilities: json(row, "capabilities")?.unwrap_or_default(),
            probed_at: row.at("probed_at")?,
        })
    };
    rows.iter().map(seen).collect()
}

async fn approvals(connection: &mut PgConnection) -> Result<Vec<(crate::domain::Address, AppliedBy)>, CatalogError> {
    let rows = sqlx::query(
        "SELECT address, applied_at, applied_by, run, commit, source_file, source_line FROM bkup.policies \
         ORDER BY address",
    )
    .fetch_all(connection)
    .await?;
    let approval = |row: &PgRow| {
        let line: Option<i32> = row.try_get("source_line")?;
        let by = AppliedBy {
            at: row.at("applied_at")?,
            by: row.maybe_text("applied_by")?,
            run: row.maybe_text("run")?,
            commit: row.maybe_text("commit")?,
            file: row.maybe_text("source_file")?,
            line: line.and_then(|line| u32::try_from(line).ok()),
        };
        Ok((row.parsed("address")?, by))
    };
    rows.iter().map(approval).collect()
}

async fn quarantined(connection: &mut PgConnection) -> Result<Vec<Quarantined>, CatalogError> {
    let rows = sqlx::query(
        "SELECT backup_id, quarantine, quarantined_at FROM bkup.executions WHERE status = 'COMPLETED' \
         AND NOT deleted AND backup_id IS NOT NULL AND quarantine IS NOT NULL ORDER BY backup_id",
    )
    .fetch_all(connection)
    .await?;
    let one = |row: &PgRow| {
        Ok(Quarantined {
            backup: BackupId::from_text(row.text("backup_id")?),
            reason: row.text("quarantine")?,
            at: row.maybe_at("quarantined_at")?,
        })
    };
    rows.iter().map(one).collect()
}

async fn offboarded(connection: &mut PgConnection) -> Result<Vec<Offboarded>, CatalogError> {
    let rows = sqlx::query(
        "SELECT database, slug, schema_name, tenant_id, class, first_seen_at, last_seen_at, offboarded_at \
         FROM bkup.tenants WHERE offboarded_at IS NOT NULL ORDER BY database, slug",
    )
    .fetch_all(connection)
    .await?;
    let one = |row: &PgRow| {
        Ok(Offboarded {
            database: row.parsed("database")?,
            slug: row.text("slug")?,
            schema: row.text("schema_name")?,
            id: row.maybe_text("tenant_id")?,
            class: row.maybe_parsed("class")?,
            first_seen_at: row.at("first_seen_at")?,
            last_seen_at: row.at("last_seen_at")?,
            at: row.at("offboarded_at")?,
        })
    };
    rows.iter().map(one).collect()
}
