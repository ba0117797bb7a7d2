//! A look at a database that has no policies yet: what its first ones are made of. Reads only.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgRow};

use super::{ServerError, VERSIONS, answered, classify, close, open};
use crate::domain::{Bytes, Inspection, TenantTable};

// A session's TimeZone is the driver's; `log_timezone` is set by initdb to the machine's zone as well, and no client
// changes it.
const FACTS: &str = "
    SELECT current_setting('server_version_num')::int4 AS version_num,
           current_database()::text AS datname,
           pg_database_size(current_database()) AS size,
           current_setting('log_timezone') AS timezone,
           current_setting('wal_level') AS wal_level,
           current_setting('archive_mode') AS archive_mode,
           (SELECT coalesce(array_agg(extname::text ORDER BY extname), '{}') FROM pg_catalog.pg_extension
            WHERE extname <> 'plpgsql') AS extensions,
           (SELECT coalesce(array_agg(nspname::text ORDER BY nspname), '{}') FROM pg_catalog.pg_namespace
            WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'bkup')) AS schemas,
           NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                 AND NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                          AND CASE c.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
                                             ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END))
               AS reads_everything";

const TABLES: &str = "
    SELECT n.nspname::text AS schema, c.relname::text AS \"table\",
           (array_agg(a.attname::text ORDER BY array_position($1, a.attname::text))
               FILTER (WHERE a.attname::text = ANY ($1)))[1] AS slug,
           (array_agg(a.attname::text ORDER BY array_position($2, a.attname::text))
               FILTER (WHERE a.attname::text = ANY ($2)))[1] AS schema_name,
           bool_or(a.attname = 'id') AS has_id
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'bkup')
    GROUP BY n.nspname, c.relname
    HAVING bool_or(a.attname::text = ANY ($1)) AND bool_or(a.attname::text = ANY ($2))
    ORDER BY (c.relname ~ 'tenant|customer|organi') DESC, n.nspname, c.relname LIMIT 10";

/// Columns that hold a tenant's slug, the likeliest first.
const SLUGS: [&str; 6] = ["slug", "tenant_slug", "subdomain", "code", "tenant_key", "name"];
/// Columns that hold the name of a tenant's schema, the likeliest first.
const SCHEMAS: [&str; 5] = ["schema_name", "database_schema", "db_schema", "tenant_schema", "schema"];

/// Looks, in a read-only transaction. `limit` bounds connecting and each statement, and three of it
/// the whole.
///
/// # Errors
/// [`ServerError`].
pub async fn inspect(options: &PgConnectOptions, limit: Duration) -> Result<Inspection, ServerError> {
    answered(limit, look(options, limit)).await
}

async fn look(options: &PgConnectOptions, limit: Duration) -> Result<Inspection, ServerError> {
    let mut session = open(options, limit).await?;
    let row = sqlx::query(FACTS).fetch_one(&mut session).await.map_err(|e| classify(&e))?;
    let mut found = facts(&row).map_err(|e| classify(&e))?;
    let major = found.version_num / 10_000;
    if !VERSIONS.contains(&major) {
        return Err(ServerError::Version(major.to_string()));
    }
    let rows = sqlx::query(TABLES)
        .bind(SLUGS.map(str::to_owned).to_vec())
        .bind(SCHEMAS.map(str::to_owned).to_vec())
        .fetch_all(&mut session)
        .await
        .map_err(|e| classify(&e))?;
    found.tenant_tables = rows.iter().map(table).collect::<Result<_, _>>().map_err(|e| classify(&e))?;
    close(session, limit).await;
    Ok(found)
}

fn facts(row: &PgRow) -> Result<Inspection, sqlx::Error> {
    Ok(Inspection {
        version_num: u32::try_from(row.try_get::<i32, _>("version_num")?).unwrap_or(0),
        datname: row.try_get("datname")?,
        size: Bytes(u64::try_from(row.try_get::<i64, _>("size")?).unwrap_or(0)),
        timezone: row.try_get("timezone")?,
        wal_level: row.try_get("wal_level")?,
        archive_mode: row.try_get("archive_mode")?,
        extensions: row.try_get("extensions")?,
        schemas: row.try_get("schemas")?,
        tenant_tables: Vec::new(),
        reads_everything: row.try_get("reads_everything")?,
    })
}

fn table(row: &PgRow) -> Result<TenantTable, sqlx::Error> {
    Ok(TenantTable {
        schema: row.try_get("schema")?,
        table: row.try_get("table")?,
        slug: row.try_get("slug")?,
        schema_name: row.try_get("schema_name")?,
        has_id: row.try_get("has_id")?,
    })
}
