//! The application whose data the demo protects: twelve tenants, a schema each, and tables they share. Its rows are
//! made in SQL and are the same on every machine.

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use crate::domain::Instant;
use crate::engine::sql::{quote_ident, quote_literal};
use crate::engine::{Connection, EngineError};

const SHARED: &str = include_str!("shared.sql");
const TENANT: &str = include_str!("tenant.sql");
const DAY: &str = include_str!("day.sql");

/// Slug, name and plan of each tenant. The slugs' beginnings decide their classes.
const TENANTS: [(&str, &str, &str); 12] = [
    ("enterprise-acme", "Acme Corporation", "enterprise"),
    ("enterprise-globex", "Globex", "enterprise"),
    ("premium-initech", "Initech", "premium"),
    ("standard-contoso", "Contoso", "standard"),
    ("standard-fabrikam", "Fabrikam", "standard"),
    ("standard-northwind", "Northwind Traders", "standard"),
    ("standard-tailspin", "Tailspin Toys", "standard"),
    ("corner-bakery", "Corner Bakery", "starter"),
    ("kimchi-house", "김치 하우스", "starter"),
    ("lantern-books", "Lantern Books", "starter"),
    ("müllers-radladen", "Müllers Radladen", "starter"),
    ("river-yoga", "River Yoga", "starter"),
];

/// The tenant that has an accident.
pub(super) const UNLUCKY: &str = "enterprise-acme";

/// The tables of every tenant.
const TABLES: [&str; 4] = ["customers", "notes", "orders", "products"];

/// How many there are of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Tenants.
    pub tenants: usize,
    /// Rows of all their tables.
    pub rows: i64,
}

/// What a table holds: two tables with equal facts hold the same rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableFacts {
    /// Its name.
    pub table: &'static str,
    /// How many rows.
    pub rows: i64,
    /// MD5 over all of them, in order.
    pub md5: String,
}

/// Returns the schema of a tenant.
pub(super) fn schema(slug: &str) -> String {
    format!("tenant_{slug}")
}

/// Makes the application in an empty database.
pub(super) async fn create(database: &Connection) -> Result<Size, EngineError> {
    let mut session = database.connect().await?;
    run(&mut session, SHARED.to_owned()).await?;
    let mut rows = 0;
    for (number, (slug, name, plan)) in (1_i64..).zip(TENANTS) {
        let number = number.to_string();
        let tenant = TENANT.replace("{s}", &quote_ident(&schema(slug))).replace("{n}", &number);
        let words = [slug, name, plan].map(quote_literal).join(", ");
        run(&mut session, format!("INSERT INTO public.tenants VALUES ({words}, '2025-06-01 08:00+00'); {tenant}"))
            .await?;
        rows += facts_with(&mut session, slug).await?.iter().map(|facts| facts.rows).sum::<i64>();
    }
    run(&mut session, "ANALYZE".to_owned()).await?;
    close(session).await;
    Ok(Size { tenants: TENANTS.len(), rows })
}

/// Lets every tenant do a day of business before `at`.
pub(super) async fn live_a_day(database: &Connection, at: Instant) -> Result<(), EngineError> {
    let mut session = database.connect().await?;
    run(&mut session, DAY.replace("{at}", &quote_literal(&at.to_string()))).await?;
    close(session).await;
    Ok(())
}

/// Drops a tenant's schema, as somebody will one day.
pub(super) async fn drop_tenant(database: &Connection, slug: &str) -> Result<(), EngineError> {
    let mut session = database.connect().await?;
    run(&mut session, drop_statement(slug)).await?;
    close(session).await;
    Ok(())
}

/// Returns the statement that drops a tenant's schema.
pub(super) fn drop_statement(slug: &str) -> String {
    format!("DROP SCHEMA {} CASCADE", quote_ident(&schema(slug)))
}

/// Looks at what a tenant's tables hold; empty where the schema is not there.
pub(super) async fn facts(database: &Connection, slug: &str) -> Result<Vec<TableFacts>, EngineError> {
    let mut session = database.connect().await?;
    let facts = facts_with(&mut session, slug).await?;
    close(session).await;
    Ok(facts)
}

async fn facts_with(session: &mut PgConnection, slug: &str) -> Result<Vec<TableFacts>, EngineError> {
    let failed = |error: &sqlx::Error| EngineError::server("looking at a tenant's tables", error);
    let mut all = Vec::new();
    for table in TABLES {
        let name = format!("{}.{}", quote_ident(&schema(slug)), quote_ident(table));
        let there = sqlx::query("SELECT to_regclass($1) IS NOT NULL").bind(&name).fetch_one(&mut *session).await;
        if !there.and_then(|row| row.try_get::<bool, _>(0)).map_err(|e| failed(&e))? {
            continue;
        }
        let text = format!(
            "SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\"), '')) FROM {name} t"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_one(&mut *session).await.map_err(|e| failed(&e))?;
        let rows = row.try_get(0).map_err(|e| failed(&e))?;
        let md5 = row.try_get(1).map_err(|e| failed(&e))?;
        all.push(TableFacts { table, rows, md5 });
    }
    Ok(all)
}

/// Makes a database.
pub(super) async fn create_database(server: &Connection, name: &str) -> Result<(), EngineError> {
    let mut session = server.connect().await?;
    run(&mut session, format!("CREATE DATABASE {}", quote_ident(name))).await?;
    close(session).await;
    Ok(())
}

async fn run(session: &mut PgConnection, sql: String) -> Result<(), EngineError> {
    let done = session.execute(sqlx::AssertSqlSafe(sql)).await;
    done.map(drop).map_err(|error| EngineError::server("making the demo's application", &error))
}

async fn close(session: PgConnection) {
    // The work is done and committed; the server notices a session that ended without a word, too.
    let _ = session.close().await;
}
