//! The tenants that were seen, by slug.

use super::failure::CatalogError;
use super::stamp::{Cells, Stamp};
use super::state::Reader;
use super::writer::Writer;
use crate::domain::{Instant, Name, Tenant};

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

    /// Records tenants as gone; their backups stay.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn tenants_offboarded(&self, database: &Name, slugs: &[String], at: Instant) -> Result<(), CatalogError> {
        let mut connection = self.session().connection().await?;
        sqlx::query(
            "UPDATE bkup.tenants SET offboarded_at = $3 \
             WHERE database = $1 AND slug = ANY($2) AND offboarded_at IS NULL",
        )
        .bind(database.as_str())
        .bind(slugs)
        .bind(Stamp(at))
        .execute(&mut *connection)
        .await?;
        Ok(())
    }
}
