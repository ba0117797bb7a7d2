//! Facts about the protected servers: version, tenants, sizes, clock. Reads only.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use crate::diag::{Code, Diagnostic, Explain};
use crate::domain::{Instant, ServerFacts, TenantSelector};

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

/// Reads the facts, in a read-only transaction. `limit` bounds connecting and each statement.
///
/// # Errors
/// [`ServerError`].
pub async fn read(
    _options: &PgConnectOptions,
    _tenants: Option<&TenantSelector>,
    _limit: Duration,
) -> Result<Reading, ServerError> {
    unimplemented!()
}
