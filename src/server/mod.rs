//! Facts about the protected servers: version, tenants, sizes, clock. Reads only.

mod configuration;
mod inspect;
mod signs;
mod tenants;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{Connection as _, Executor as _, Row as _};

use crate::diag::{Code, Diagnostic, Explain};
use crate::domain::{Bytes, ConfigurationSeen, Instant, ServerFacts, ServerSigns, TenantSelector};

pub use configuration::configuration;
pub use inspect::inspect;
pub use signs::Surveyed;

/// What a server said, and when by its own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The facts.
    pub facts: ServerFacts,
    /// The server's clock when it answered.
    pub clock: Instant,
    /// The room in its lock table.
    pub locks: LockBudget,
}

/// The numbers behind `out of shared memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockBudget {
    /// `max_locks_per_transaction`.
    pub per_transaction: u64,
    /// `max_connections` and `max_prepared_transactions` together.
    pub transactions: u64,
    /// Tables of the database that a dump locks.
    pub tables: u64,
    /// Sequences of the database, which dumps lock up to 17.
    pub sequences: u64,
}

/// Why a server gave no facts. No text holds a password.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nobody answers.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// User or password are wrong.
    #[error("the server refuses the login: {0}")]
    Credentials(String),
    /// There is no such database.
    #[error("the database does not exist: {0}")]
    MissingDatabase(String),
    /// The role may not read what is needed.
    #[error("the role lacks a permission: {0}")]
    Permission(String),
    /// TLS could not be agreed on.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// bkup does not serve this version.
    #[error("the server's version {0} is not one that bkup backs up (14 to 18)")]
    Version(String),
    /// The tenant query or its answer is of no use.
    #[error("tenants cannot be read: {0}")]
    Tenants(String),
    /// Anything else.
    #[error("the server failed: {0}")]
    Query(String),
}

impl Explain for ServerError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::Unreachable(_) => ("BK830", "check host, port, firewall and that the server runs"),
            Self::Credentials(_) => ("BK831", "check the user, the password and pg_hba.conf"),
            Self::MissingDatabase(_) => ("BK832", "check the database's name in the URL"),
            Self::Permission(_) => {
                ("BK833", "grant the role pg_read_all_data, or the privilege that the message names")
            }
            Self::Tls(_) => ("BK834", "check sslmode and sslrootcert"),
            Self::Version(_) => ("BK835", "upgrade the server, or bkup"),
            Self::Tenants(_) => ("BK836", "the query gives the columns slug, schema_name and, if there is one, id"),
            Self::Query(_) => ("BK837", "the server's own words say why"),
        };
        Diagnostic::error(Code(code), self.to_string()).help(help)
    }
}

/// The oldest and newest major versions that bkup backs up.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 14..=18;

const FACTS: &str = "
    SELECT pg_catalog.current_setting('server_version_num')::int4 AS version_num,
           pg_catalog.current_database()::text AS datname,
           pg_catalog.pg_database_size(pg_catalog.current_database()) AS size,
           (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8 AS clock,
           pg_catalog.current_setting('max_locks_per_transaction')::int8 AS per_transaction,
           pg_catalog.current_setting('max_connections')::int8
               + pg_catalog.current_setting('max_prepared_transactions')::int8 AS transactions,
           (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') AS tables,
           (SELECT count(*) FROM pg_catalog.pg_class WHERE relkind = 'S') AS sequences";

/// Begins a session with a read-only transaction. `limit` bounds connecting and each statement.
async fn open(options: &PgConnectOptions, limit: Duration) -> Result<PgConnection, ServerError> {
    let connecting = tokio::time::timeout(limit, PgConnection::connect_with(options)).await;
    let mut session = match connecting {
        Err(_) => return Err(ServerError::Unreachable(format!("no answer within {} s", limit.as_secs()))),
        Ok(Err(error)) => return Err(classify(&error)),
        Ok(Ok(session)) => session,
    };
    let begin = format!(
        "BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = {}; SET LOCAL search_path = pg_catalog, public;",
        limit.as_millis()
    );
    session.execute(sqlx::AssertSqlSafe(begin)).await.map_err(|e| classify(&e))?;
    Ok(session)
}

/// Reads the facts, in a read-only transaction. `limit` bounds connecting and each statement, and three of it
/// the whole.
///
/// # Errors
/// [`ServerError`].
pub async fn read(
    options: &PgConnectOptions,
    tenants: Option<&TenantSelector>,
    limit: Duration,
) -> Result<Reading, ServerError> {
    read_with_signs(options, tenants, None, limit).await.map(|(reading, _)| reading)
}

/// Reads the facts, and beside them what tells drift: each part of that is known or not by itself. Without `seen`, nothing
/// but the facts. Facts and signs each take three of `limit` at most.
///
/// # Errors
/// [`ServerError`], where the facts cannot be read.
pub async fn read_with_signs(
    options: &PgConnectOptions,
    tenants: Option<&TenantSelector>,
    seen: Option<&Surveyed>,
    limit: Duration,
) -> Result<(Reading, Option<ServerSigns>), ServerError> {
    let reading = async {
        let mut session = open(options, limit).await?;
        let reading = read_facts(&mut session, tenants).await?;
        Ok((session, reading))
    };
    let (mut session, reading) = answered(limit, reading).await?;
    let signs = match seen {
        Some(seen) => {
            let signs = async { Ok(signs::read(&mut session, options.get_username(), seen).await) };
            Some(answered(limit, signs).await.unwrap_or_else(|silent| signs::unknown(&silent)))
        }
        None => None,
    };
    close(session, limit).await;
    Ok((reading, signs))
}

/// How many of its limits a look at a server takes at most.
const LIMITS: u32 = 3;

/// Bounds a look at a server. Its own limit on a statement ends with it, where it freezes or its host is gone: nothing but
/// a clock on this side tells.
async fn answered<T>(limit: Duration, look: impl Future<Output = Result<T, ServerError>>) -> Result<T, ServerError> {
    let whole = limit * LIMITS;
    tokio::time::timeout(whole, look).await.unwrap_or_else(|_| {
        Err(ServerError::Unreachable(format!("it stopped answering, and {} s were waited", whole.as_secs())))
    })
}

/// Ends a session, with a word to the server where that is possible.
async fn close(session: PgConnection, limit: Duration) {
    let _closed = tokio::time::timeout(limit, session.close()).await;
}

async fn read_facts(session: &mut PgConnection, tenants: Option<&TenantSelector>) -> Result<Reading, ServerError> {
    let row = sqlx::query(FACTS).fetch_one(&mut *session).await.map_err(|e| classify(&e))?;
    let mut reading = facts(&row).map_err(|e| classify(&e))?;
    let major = reading.facts.version_num / 10_000;
    if !VERSIONS.contains(&major) {
        return Err(ServerError::Version(major.to_string()));
    }
    if let Some(selector) = tenants {
        match tenants::discover(session, selector).await? {
            Ok(found) => reading.facts.tenants = Some(found),
            // A server that answers and does not tell its tenants is no less reachable for everything else.
            Err(why) => reading.facts.tenants_unread = Some(why.to_string()),
        }
    }
    Ok(reading)
}

fn facts(row: &PgRow) -> Result<Reading, sqlx::Error> {
    let number = |name: &str| Ok::<u64, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(name)?).unwrap_or(0));
    Ok(Reading {
        facts: ServerFacts {
            version_num: u32::try_from(row.try_get::<i32, _>("version_num")?).unwrap_or(0),
            datname: row.try_get("datname")?,
            size: Bytes(number("size")?),
            tenants: None,
            tenants_unread: None,
            configuration: ConfigurationSeen::NotAsked,
        },
        clock: Instant::from_microsecond(row.try_get("clock")?).map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
        locks: LockBudget {
            per_transaction: number("per_transaction")?,
            transactions: number("transactions")?,
            tables: number("tables")?,
            sequences: number("sequences")?,
        },
    })
}

/// Sorts the driver's errors. Its texts hold server messages and system errors, never the connection string.
fn classify(error: &sqlx::Error) -> ServerError {
    match error {
        sqlx::Error::Database(database) => {
            let words = database.message().to_owned();
            match database.code().as_deref().unwrap_or_default() {
                "28P01" | "28000" => ServerError::Credentials(words),
                "3D000" => ServerError::MissingDatabase(words),
                "42501" => ServerError::Permission(words),
                code if code.starts_with("08") || code.starts_with("57P") || code == "53300" => {
                    ServerError::Unreachable(words)
                }
                _ => ServerError::Query(words),
            }
        }
        sqlx::Error::Io(io) => ServerError::Unreachable(io.to_string()),
        sqlx::Error::Tls(tls) => ServerError::Tls(tls.to_string()),
        other => ServerError::Query(other.to_string()),
    }
}
