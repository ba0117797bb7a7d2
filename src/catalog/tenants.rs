//! The tenants that were seen, by slug; when each was taken for gone, and when it came back.

use sqlx::PgConnection;

use super::claims::Lease;
use super::failure::CatalogError;
use super::marks::MarkOutcome;
use super::stamp::{Cells, Stamp};
use super::state::Reader;
use super::writer::{Writer, fence};
use crate::domain::{Instant, Name, Tenant, TenantRecord, TenantWork};

/// A tenant as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTenant {
    /// The tenant when it was last seen.
    pub tenant: Tenant,
    /// Its class then.
    pub class: Option<Name>,
    /// When it was first seen.
    pub first_seen_at: Instant,
    /// When it was last seen.
    pub last_seen_at: Instant,
    /// When it was taken for gone.
    pub offboarded_at: Option<Instant>,
}

impl Reader {
    /// Returns every tenant of a database that was ever seen, by slug.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn tenants(&self, database: &Name) -> Result<Vec<KnownTenant>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query(
            "SELECT slug, schema_name, tenant_id, class, first_seen_at, last_seen_at, offboarded_at \
             FROM bkup.tenants WHERE database = $1 ORDER BY slug COLLATE \"C\"",
        )
        .bind(database.as_str())
        .fetch_all(&mut *connection)
        .await?;
        rows.iter()
            .map(|row| {
                let (slug, schema) = (row.text("slug")?, row.text("schema_name")?);
                Ok(KnownTenant {
                    tenant: Tenant { slug, schema, id: row.maybe_text("tenant_id")? },
                    class: row.maybe_parsed("class")?,
                    first_seen_at: row.at("first_seen_at")?,
                    last_seen_at: row.at("last_seen_at")?,
                    offboarded_at: row.maybe_at("offboarded_at")?,
                })
            })
            .collect()
    }
}

impl Writer {
    /// Records the tenants of a database as seen, all in one statement. One that was taken for gone is back. Nothing is
    /// taken for gone here: a short inventory may be a mistake.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn tenants_seen(
        &self,
        database: &Name,
        tenants: &[(Tenant, Option<Name>)],
        at: Instant,
    ) -> Result<(), CatalogError> {
        let slugs: Vec<&str> = tenants.iter().map(|(tenant, _)| tenant.slug.as_str()).collect();
        let schemas: Vec<&str> = tenants.iter().map(|(tenant, _)| tenant.schema.as_str()).collect();
        let ids: Vec<Option<&str>> = tenants.iter().map(|(tenant, _)| tenant.id.as_deref()).collect();
        let classes: Vec<Option<&str>> = tenants.iter().map(|(_, class)| class.as_ref().map(Name::as_str)).collect();
        let mut connection = self.session().connection().await?;
        sqlx::query(
            "INSERT INTO bkup.tenants AS t \
                 (database, slug, schema_name, tenant_id, class, first_seen_at, last_seen_at) \
             SELECT DISTINCT ON (slug) $1, slug, schema_name, tenant_id, class, $6, $6 \
             FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS s (slug, schema_name, tenant_id, class) \
             ORDER BY slug \
             ON CONFLICT (database, slug) DO UPDATE SET schema_name = excluded.schema_name, \
                 tenant_id = excluded.tenant_id, class = excluded.class, offboarded_at = NULL, \
                 last_seen_at = greatest(t.last_seen_at, excluded.last_seen_at)",
        )
        .bind(database.as_str())
        .bind(slugs)
        .bind(schemas)
        .bind(ids)
        .bind(classes)
        .bind(Stamp(at))
        .execute(&mut *connection)
        .await?;
        Ok(())
    }

    /// Records a tenant as gone, by one that discovered it so; its backups stay, and the clock of its offboarding begins at
    /// `at`. One that somebody saw since the plan was made is not gone.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; what stands against it is an outcome.
    pub async fn offboard(&self, lease: &Lease, work: &TenantWork, at: Instant) -> Result<MarkOutcome, CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let row = sqlx::query(
            "SELECT last_seen_at > $3 AS seen, offboarded_at IS NOT NULL AS gone FROM bkup.tenants \
             WHERE database = $1 AND slug = $2 FOR UPDATE",
        )
        .bind(work.database.as_str())
        .bind(&work.slug)
        .bind(Stamp(work.last_seen_at))
        .fetch_optional(&mut *transaction)
        .await?;
        match row {
            None => return Ok(MarkOutcome::Refused("the catalog knows no such tenant".to_owned())),
            Some(row) if row.flag("gone")? => return Ok(MarkOutcome::AlreadyDone),
            Some(row) if row.flag("seen")? => {
                return Ok(MarkOutcome::Refused("it was seen again since the plan was made".to_owned()));
            }
            Some(_) => {}
        }
        sqlx::query("UPDATE bkup.tenants SET offboarded_at = $3 WHERE database = $1 AND slug = $2")
            .bind(work.database.as_str())
            .bind(&work.slug)
            .bind(Stamp(at))
            .execute(&mut *transaction)
            .await?;
        self.seal(transaction).await?;
        Ok(MarkOutcome::Done)
    }

    /// Records that a tenant which was taken for gone is there: the clock of its offboarding stops.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; what stands against it is an outcome.
    pub async fn onboard(&self, lease: &Lease, work: &TenantWork, at: Instant) -> Result<MarkOutcome, CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let back = sqlx::query(
            "UPDATE bkup.tenants SET offboarded_at = NULL, schema_name = $3, last_seen_at = greatest(last_seen_at, $4) \
             WHERE database = $1 AND slug = $2 AND offboarded_at IS NOT NULL",
        )
        .bind(work.database.as_str())
        .bind(&work.slug)
        .bind(&work.schema)
        .bind(Stamp(at))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if back == 0 {
            return Ok(MarkOutcome::AlreadyDone);
        }
        self.seal(transaction).await?;
        Ok(MarkOutcome::Done)
    }
}

/// Reads every tenant that was ever seen.
pub(super) async fn records(connection: &mut PgConnection) -> Result<Vec<TenantRecord>, CatalogError> {
    let rows = sqlx::query(
        "SELECT database, slug, schema_name, last_seen_at, offboarded_at FROM bkup.tenants \
         ORDER BY database COLLATE \"C\", slug COLLATE \"C\"",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(TenantRecord {
                database: row.parsed("database")?,
                slug: row.text("slug")?,
                schema: row.text("schema_name")?,
                last_seen_at: row.at("last_seen_at")?,
                offboarded_at: row.maybe_at("offboarded_at")?,
            })
        })
        .collect()
}
