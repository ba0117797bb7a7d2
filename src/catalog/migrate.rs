//! Makes and migrates the schema. All of it is one transaction under one advisory lock: a maker that is killed leaves
//! nothing, and two at once do it once.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Acquire, PgConnection, Row};

use super::failure::CatalogError;
use super::stamp::Stamp;
use super::writer::Writer;
use crate::domain::Instant;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Any constant of our own: every bkup that migrates a catalog takes this lock in its database.
pub(super) const LOCK: i64 = 0x626b_7570_6361_7461;

/// Returns the version a catalog has after this binary has migrated it.
#[must_use]
pub fn newest_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// What making or migrating the catalog did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its version before; absent where there was none.
    pub from_version: Option<i64>,
    /// Its version now.
    pub version: i64,
    /// Its identity.
    pub lineage: String,
    /// How executions refer to `tnnt.tenants`.
    pub tenants: TenantLink,
}

/// How `executions.backup_tenant_id` refers to `tnnt.tenants(id)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantLink {
    /// The database has no such table.
    NoTable,
    /// Deleting a tenant clears the reference; the tenant stays by value.
    SetNull,
    /// Deleting a tenant deletes its executions.
    Cascade,
    /// It could not be made; executions keep the tenant by value alone.
    NotPossible(String),
}

impl Writer {
    /// Makes the catalog, or migrates it. `lineage` (random, from the caller) and `simulated` (the first value of its
    /// clock) are used where there is none yet; an existing catalog keeps its own.
    ///
    /// # Errors
    /// [`CatalogError::Newer`], [`CatalogError::Foreign`], [`CatalogError::Migration`], and
    /// [`CatalogError::Conflict`] where a simulated catalog is asked for and a real one is there.
    pub async fn create(&self, lineage: &str, simulated: Option<Instant>) -> Result<Created, CatalogError> {
        let mut transaction = self.session().begin().await?;
        sqlx::query("SET LOCAL lock_timeout = '60s'").execute(&mut *transaction).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
        let from_version = presence(&mut transaction).await?.version()?;
        sqlx::query("SET LOCAL statement_timeout = '30min'").execute(&mut *transaction).await?;
        migrate(&mut transaction).await?;
        sqlx::query(
            "INSERT INTO bkup.meta (lineage, simulated, clock) VALUES ($1, $2::timestamptz IS NOT NULL, $2) \
             ON CONFLICT (one) DO NOTHING",
        )
        .bind(lineage)
        .bind(Stamp::maybe(simulated))
        .execute(&mut *transaction)
        .await?;
        let row = sqlx::query("SELECT lineage, simulated FROM bkup.meta").fetch_one(&mut *transaction).await?;
        if simulated.is_some() && !row.try_get::<bool, _>("simulated")? {
            let reason = "it is a real catalog, and a simulated one was asked for".to_owned();
            return Err(CatalogError::Conflict { reason });
        }
        let tenants = link_tenants(&mut transaction, None).await?;
        transaction.commit().await?;
        Ok(Created { from_version, version: newest_version(), lineage: row.try_get("lineage")?, tenants })
    }

    /// Sets what deleting a tenant from `tnnt.tenants` does to its executions: keep them, or (`cascade`) delete them.
    ///
    /// # Errors
    /// As every statement; a link that cannot be made is [`TenantLink::NotPossible`].
    pub async fn set_tenant_link(&self, cascade: bool) -> Result<TenantLink, CatalogError> {
        let mut transaction = self.session().begin().await?;
        let link = link_tenants(&mut transaction, Some(cascade)).await?;
        transaction.commit().await?;
        Ok(link)
    }
}

/// What stands under the name `bkup`.
pub(super) enum Presence {
    /// No such schema, or an empty one that waits for bkup.
    Absent,
    /// Someone else's tables.
    Foreign(i64),
    /// A catalog of this version.
    Version(i64),
}

impl Presence {
    /// Returns the version of a catalog this binary can work with; `None` where there is none.
    pub(super) fn version(&self) -> Result<Option<i64>, CatalogError> {
        match self {
            Self::Absent => Ok(None),
            Self::Foreign(tables) => Err(CatalogError::Foreign { tables: *tables }),
            Self::Version(found) if *found > newest_version() => {
                Err(CatalogError::Newer { found: *found, known: newest_version() })
            }
            Self::Version(found) => Ok(Some(*found)),
        }
    }
}

/// Looks for the schema by the system tables: a role without any right on it must hear `permission denied`, not
/// `absent`, which would look like a first run.
pub(super) async fn presence(connection: &mut PgConnection) -> Result<Presence, CatalogError> {
    let row = sqlx::query(
        "SELECT count(*) FILTER (WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')) AS tables, \
                count(*) FILTER (WHERE c.relname = '_migrations') AS migrations \
         FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid WHERE n.nspname = 'bkup'",
    )
    .fetch_one(&mut *connection)
    .await?;
    let tables: i64 = row.try_get("tables")?;
    if row.try_get::<i64, _>("migrations")? == 0 {
        return Ok(if tables == 0 { Presence::Absent } else { Presence::Foreign(tables) });
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM bkup._migrations").fetch_one(connection).await?;
    Ok(version.map_or(Presence::Foreign(tables), Presence::Version))
}

pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), CatalogError> {
    // `CREATE SCHEMA IF NOT EXISTS` asks for CREATE on the database even where the schema is there.
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'bkup')")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        sqlx::query("CREATE SCHEMA bkup").execute(&mut *connection).await?;
    }
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.dangerous_set_table_name("bkup._migrations");
    // The transaction's advisory lock stands in for sqlx's, which a failure would leave held by the session.
    migrator.set_locking(false);
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => match CatalogError::from(error) {
            CatalogError::Refused { reason, .. } | CatalogError::Conflict { reason } => {
                CatalogError::Migration { reason }
            }
            other => other,
        },
        other => CatalogError::Migration { reason: other.to_string() },
    })
}

/// Makes the reference to `tnnt.tenants`. `cascade` is what a person asked for; without it an existing link stays as
/// it is and a new one keeps the executions.
pub(super) async fn link_tenants(
    connection: &mut PgConnection,
    cascade: Option<bool>,
) -> Result<TenantLink, CatalogError> {
    let row = sqlx::query(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                        WHERE n.nspname = 'tnnt' AND c.relname = 'tenants' AND c.relkind IN ('r', 'p')) AS there, \
                (SELECT confdeltype::text FROM pg_constraint WHERE conname = 'executions_tenant' \
                   AND conrelid = 'bkup.executions'::regclass) AS rule",
    )
    .fetch_one(&mut *connection)
    .await?;
    let rule: Option<String> = row.try_get("rule")?;
    let now = match rule.as_deref() {
        Some("c") => Some(true),
        Some(_) => Some(false),
        None => None,
    };
    if !row.try_get::<bool, _>("there")? {
        return Ok(TenantLink::NoTable);
    }
    let wanted = cascade.or(now).unwrap_or(false);
    if now != Some(wanted) {
        let mut savepoint = connection.begin().await?;
        if let Err(error) = relink(&mut savepoint, wanted).await {
            savepoint.rollback().await?;
            return match error {
                CatalogError::Unreachable { .. } => Err(error),
                other => Ok(TenantLink::NotPossible(other.to_string())),
            };
        }
        savepoint.commit().await?;
    }
    Ok(if wanted { TenantLink::Cascade } else { TenantLink::SetNull })
}

async fn relink(connection: &mut PgConnection, cascade: bool) -> Result<(), CatalogError> {
    sqlx::query("ALTER TABLE bkup.executions DROP CONSTRAINT IF EXISTS executions_tenant")
        .execute(&mut *connection)
        .await?;
    // NOT VALID: executions of tenants that are gone already must not stand in the way.
    sqlx::query(if cascade {
        "ALTER TABLE bkup.executions ADD CONSTRAINT executions_tenant FOREIGN KEY (backup_tenant_id) \
         REFERENCES tnnt.tenants (id) ON DELETE CASCADE NOT VALID"
    } else {
        "ALTER TABLE bkup.executions ADD CONSTRAINT executions_tenant FOREIGN KEY (backup_tenant_id) \
         REFERENCES tnnt.tenants (id) ON DELETE SET NULL NOT VALID"
    })
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE bkup.meta SET tenant_fk = $1")
        .bind(if cascade { "cascade" } else { "set_null" })
        .execute(connection)
        .await?;
    Ok(())
}
