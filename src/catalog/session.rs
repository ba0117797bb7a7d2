//! The connection to the catalog: opened lazily, with time limits, in UTC, and with nothing but `pg_catalog` in the
//! search path, so that no function of the application's own schemas stands in for a system one.

use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode, Postgres};
use sqlx::{Connection, Transaction};

use super::failure::CatalogError;

/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// How sessions begin. READ COMMITTED is what the claims' statements are written for, whatever the server's default.
const SETTINGS: &str = "SET search_path = pg_catalog; SET timezone = 'UTC'; SET statement_timeout = '60s'; \
     SET lock_timeout = '15s'; SET idle_in_transaction_session_timeout = '60s'; \
     SET default_transaction_isolation = 'read committed'";

/// How long one question or effect may take: three of its statements at their limits. The server's own limit on a statement
/// ends with it, where it freezes or its host is gone: nothing but a clock on this side tells.
const ANSWER: Duration = Duration::from_secs(180);

/// Bounds a question or an effect. What became of an effect is not known then, as where its connection breaks.
pub(super) async fn answered<T>(asked: impl Future<Output = Result<T, CatalogError>>) -> Result<T, CatalogError> {
    tokio::time::timeout(ANSWER, asked).await.unwrap_or_else(|_| {
        Err(CatalogError::Unreachable {
            reason: format!("it stopped answering, and {} s were waited", ANSWER.as_secs()),
        })
    })
}

/// A small pool of connections.
#[derive(Clone)]
pub(super) struct Session {
    pool: PgPool,
    options: PgConnectOptions,
}

impl Session {
    /// Prepares connections to `url`; none is made yet. Needs a tokio runtime.
    pub(super) fn open(url: &str, read_only: bool) -> Result<Self, CatalogError> {
        let options = PgConnectOptions::from_str(url).map_err(|_| CatalogError::InvalidUrl)?;
        Ok(Self::with(options, read_only))
    }

    /// Prepares connections with options that were read elsewhere.
    pub(super) fn with(options: PgConnectOptions, read_only: bool) -> Self {
        let options = options.application_name("bkup");
        let pool = PgPoolOptions::new()
            // A returned connection is free again only a moment later: with room for more, a reader that asks one
            // question after the other would log in for each. Two questions of a plan are long, and asked at once.
            .max_connections(if read_only { 2 } else { 4 })
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(SETTINGS).execute(&mut *connection).await?;
                    if read_only {
                        sqlx::raw_sql("SET default_transaction_read_only = on").execute(connection).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options.clone());
        Self { pool, options }
    }

    /// Returns a connection.
    pub(super) async fn connection(&self) -> Result<PoolConnection<Postgres>, CatalogError> {
        match self.pool.acquire().await {
            Ok(connection) => Ok(connection),
            Err(error) => Err(self.diagnose(error).await),
        }
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>, CatalogError> {
        match self.pool.begin().await {
            Ok(transaction) => Ok(transaction),
            Err(error) => Err(self.diagnose(error).await),
        }
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// The pool takes a refused connection for a server that is starting, retries, and then only says that time ran
    /// out; one attempt by hand says why.
    async fn diagnose(&self, error: sqlx::Error) -> CatalogError {
        if !matches!(error, sqlx::Error::PoolTimedOut) {
            return error.into();
        }
        match tokio::time::timeout(PATIENCE, PgConnection::connect_with(&self.options)).await {
            Ok(Err(reason)) => reason.into(),
            Ok(Ok(_)) | Err(_) => error.into(),
        }
    }
}

/// Returns what is to be said of the connection's protection, if anything: a host that is not this one, reached
/// without a verified certificate.
///
/// # Errors
/// [`CatalogError::InvalidUrl`].
pub fn transport_note(url: &str) -> Result<Option<String>, CatalogError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| CatalogError::InvalidUrl)?;
    let host = options.get_host();
    let local = options.get_socket().is_some()
        || host.starts_with('/')
        || matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]");
    let verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    Ok((!local && !verified).then(|| {
        format!("the catalog on {host:?} is reached without verifying its certificate: add sslmode=verify-full")
    }))
}

#[cfg(test)]
mod tests {
    use super::transport_note;

    #[test]
    fn a_far_catalog_without_a_verified_certificate_is_noted_and_a_local_one_is_not() {
        for (url, noted) in [
            ("postgres://u:p@db.example/c", true),
            ("postgres://u:p@db.example/c?sslmode=require", true),
            ("postgres://u:p@db.example/c?sslmode=verify-full", false),
            ("postgres://u@localhost/c", false),
            ("postgres:///c?host=/tmp/s&user=u", false),
        ] {
            let note = transport_note(url).unwrap();
            assert_eq!(note.is_some(), noted, "{url}");
            assert!(!note.unwrap_or_default().contains(":p@"));
        }
        assert!(transport_note("not a url").is_err());
    }
}
