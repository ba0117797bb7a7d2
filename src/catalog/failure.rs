//! Why the catalog could not do what was asked: one typed error, its stable codes and its help. It must never carry a
//! connection string: texts come from the server's primary message alone, whose details can hold row values.

use crate::diag::{Code, Diagnostic, Explain};
use crate::domain::{ActionId, Instant};

/// What can go wrong with the catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The text is no connection string; it is not repeated, since it may hold a password.
    #[error("read the catalog's connection string: it is not a PostgreSQL URL")]
    InvalidUrl,
    /// Nobody answered, or the answer broke off.
    #[error("reach the catalog: {reason}")]
    Unreachable {
        /// Why, without secrets.
        reason: String,
    },
    /// The server refused the user.
    #[error("log in to the catalog: {reason}")]
    WrongCredentials {
        /// The server's words.
        reason: String,
    },
    /// The server has no such database.
    #[error("open the catalog's database: {reason}")]
    DatabaseMissing {
        /// The server's words.
        reason: String,
    },
    /// The role may not do this.
    #[error("use the catalog: {reason}")]
    PermissionDenied {
        /// The server's words.
        reason: String,
    },
    /// The role may not take backups away.
    #[error("delete a backup: {reason}")]
    DeletionDenied {
        /// The server's words.
        reason: String,
    },
    /// The server and this client do not agree about TLS.
    #[error("reach the catalog over TLS: {reason}")]
    Tls {
        /// Why, without secrets.
        reason: String,
    },
    /// A catalog is there, where one was to be made again.
    #[error("rebuild the catalog: one is there already, {lineage} with serial {serial}")]
    NotEmpty {
        /// Its identity.
        lineage: String,
        /// Its serial.
        serial: i64,
    },
    /// A newer bkup has migrated it.
    #[error("use the catalog: its version is {found}, this bkup knows versions up to {known}")]
    Newer {
        /// The catalog's version.
        found: i64,
        /// The newest this binary knows.
        known: i64,
    },
    /// There is no catalog where one is needed.
    #[error("use the catalog: the database has no `bkup` schema made by bkup")]
    Absent,
    /// A schema of that name is there and is not bkup's.
    #[error("make the catalog: the database has a schema `bkup` with {tables} tables that bkup did not make")]
    Foreign {
        /// How many tables it has.
        tables: i64,
    },
    /// A migration could not be applied; nothing of it stays.
    #[error("migrate the catalog: {reason}")]
    Migration {
        /// Why.
        reason: String,
    },
    /// The lease is lost: someone else holds the work, or it was released.
    #[error("write as attempt {token} of action {action}: the lease is no longer this runner's")]
    Fenced {
        /// The work.
        action: ActionId,
        /// The token that is no longer valid.
        token: u64,
    },
    /// The row is not as the caller takes it to be.
    #[error("change the catalog: {reason}")]
    Conflict {
        /// What stands against it.
        reason: String,
    },
    /// A simulated clock only goes forward.
    #[error("set the simulated clock to {wanted}: it stands at {now}")]
    ClockGoesBack {
        /// Where it stands.
        now: Instant,
        /// Where it was to go.
        wanted: Instant,
    },
    /// What was handed in does not fit the catalog's columns.
    #[error("record in the catalog: {reason}")]
    Unfit {
        /// What does not fit.
        reason: String,
    },
    /// A row holds what bkup never writes.
    #[error("read the catalog: {place} {reason}")]
    Corrupt {
        /// Which column.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refused a statement for another reason.
    #[error("ask the catalog: {reason} (SQLSTATE {state})")]
    Refused {
        /// The server's words.
        reason: String,
        /// Its code.
        state: String,
    },
}

impl CatalogError {
    /// Returns whether trying again later may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            // Serialization failures, deadlocks, lock timeouts.
            Self::Refused { state, .. } => matches!(state.as_str(), "40001" | "40P01" | "55P03"),
            _ => false,
        }
    }

    pub(super) fn corrupt(place: &str, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { place: place.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn unfit(reason: impl std::fmt::Display) -> Self {
        Self::Unfit { reason: reason.to_string() }
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let reason = error.message().to_owned();
                let state = error.code().unwrap_or_default().into_owned();
                match state.as_str() {
                    // pg_hba.conf says so where it asks for an encrypted connection, or for an unencrypted one.
                    "28000" if reason.contains("no encryption") || reason.contains("SSL o") => Self::Tls { reason },
                    "28000" | "28P01" => Self::WrongCredentials { reason },
                    "3D000" => Self::DatabaseMissing { reason },
                    "42501" if reason.contains("bkup_pruner") => Self::DeletionDenied { reason },
                    "42501" | "25006" => Self::PermissionDenied { reason },
                    "53300" | "57014" | "57P01" | "57P02" | "57P03" => Self::Unreachable { reason },
                    _ if state.starts_with("08") => Self::Unreachable { reason },
                    "23505" => Self::Conflict { reason },
                    _ => Self::Refused { reason, state },
                }
            }
            sqlx::Error::Io(error) => Self::Unreachable { reason: error.to_string() },
            sqlx::Error::Tls(error) => Self::Tls { reason: error.to_string() },
            sqlx::Error::Protocol(reason) => Self::Unreachable { reason },
            sqlx::Error::Configuration(_) => Self::InvalidUrl,
            sqlx::Error::PoolTimedOut => Self::Unreachable { reason: "no connection became free in time".to_owned() },
            sqlx::Error::ColumnDecode { index, source } => Self::corrupt(&index, source),
            other => Self::Unreachable { reason: other.to_string() },
        }
    }
}

impl Explain for CatalogError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::InvalidUrl => ("BK800", "write it as postgres://user@host:5432/database?sslmode=verify-full"),
            Self::Unreachable { .. } => {
                ("BK801", "check host, port and network, and that the server accepts connections")
            }
            Self::WrongCredentials { .. } => {
                ("BK802", "check the user and password in the catalog's connection string")
            }
            Self::DatabaseMissing { .. } => {
                ("BK803", "create the database, or name one that exists; bkup only makes its schema")
            }
            Self::PermissionDenied { .. } => (
                "BK804",
                "planning needs what bkup_planner has, applying bkup_runner, pruning bkup_pruner: `bkup init roles` prints \
                 the SQL; to make or migrate the catalog takes its owner, and CREATE on the database the first time",
            ),
            Self::DeletionDenied { .. } => (
                "BK916",
                "leave deletions to a member of bkup_pruner: `bkup apply --only retention` there, and \
                 `--only changes,backups,drills` here",
            ),
            Self::Tls { .. } => (
                "BK801",
                "see sslmode and sslrootcert in the catalog's URL: verify-full wants the server's certificate authority and \
                 its name, require wants TLS of any kind, disable wants none",
            ),
            Self::NotEmpty { .. } => (
                "BK915",
                "a catalog that is there is never written over; to rebuild beside it, name an empty database with --into",
            ),
            Self::Newer { .. } => ("BK805", "use the bkup that migrated it, or a newer one"),
            Self::Absent => ("BK806", "run `bkup apply`: its first action makes the catalog"),
            Self::Foreign { .. } => ("BK806", "use another database for the catalog, or rename that schema"),
            Self::Migration { .. } => ("BK806", "nothing was changed; see the server's log and run apply again"),
            Self::Fenced { .. } => {
                ("BK807", "another runner has taken the work over; this one's data is collected later")
            }
            Self::Conflict { .. } => ("BK808", "plan again: the catalog has changed since the plan was made"),
            Self::ClockGoesBack { .. } => ("BK808", "set BKUP_NOW to a later instant, or leave it unset"),
            Self::Unfit { .. } => {
                ("BK809", "this is a bug in bkup or a manifest that was changed by hand: please report it")
            }
            Self::Corrupt { .. } => {
                ("BK809", "the row was changed by hand: correct it, or remove it if it was put in by hand")
            }
            Self::Refused { .. } => {
                ("BK809", "see the server's log for the statement; a view or trigger of its own may stand in the way")
            }
        };
        Diagnostic::error(Code(code), format!("failed to {self}")).help(help)
    }
}

#[cfg(test)]
mod tests {
    use super::CatalogError;
    use crate::diag::Explain;

    #[test]
    fn a_connection_that_tls_stands_in_the_way_of_says_what_to_set() {
        let error = CatalogError::from(sqlx::Error::Tls("invalid peer certificate: UnknownIssuer".into()));
        let finding = error.explain();
        assert_eq!(finding.code.0, "BK801");
        assert!(finding.message.contains("UnknownIssuer") && finding.help.unwrap_or_default().contains("sslrootcert"));
    }
}
