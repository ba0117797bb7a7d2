//! What can go wrong with the PostgreSQL programs and servers, with codes and what to do. Messages hold no secrets:
//! they are made of program names, exit codes, server messages and masked connection texts only.

use crate::diag::{Code, Diagnostic, Explain};

/// Any failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No program that fits was found.
    #[error("no {program} of PostgreSQL {needed} or newer was found ({looked})")]
    ProgramMissing {
        /// The program.
        program: String,
        /// The major version that is needed.
        needed: u32,
        /// Where it was looked for, and what was there.
        looked: String,
    },
    /// A program could not be started.
    #[error("{program} could not be started: {reason}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// A program ended badly.
    #[error("{program} {how}{}", said(.stderr))]
    Program {
        /// The program.
        program: String,
        /// `exited with code 1`, `was killed by signal 9`.
        how: String,
        /// The last lines it wrote to stderr.
        stderr: String,
    },
    /// Reading from or writing to a program or file failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The stream is no archive that bkup reads, or is not whole.
    #[error("the archive is not usable: {0}")]
    Archive(#[from] super::archive::ArchiveError),
    /// The archive holds other things than were asked for.
    #[error("the dump does not hold what was asked for: {0}")]
    WrongContent(String),
    /// Something changed on the server between the instant and the locks, so that the dump may not hold what was there.
    #[error("it was changed while the dump began: {0}")]
    Changed(String),
    /// The server has too few locks for the dump.
    #[error("the server's table of locks is too small for the dump: {0}")]
    Locks(String),
    /// A glob means no table.
    #[error("no table matches {glob:?}: {why}")]
    NoSuchTable {
        /// The glob.
        glob: String,
        /// What there is instead.
        why: String,
    },
    /// The connection text cannot be read.
    #[error("the connection string {0}")]
    Connection(String),
    /// The exported snapshot is gone.
    #[error("the exported snapshot was lost: {0}")]
    SnapshotLost(String),
    /// A restore failed.
    #[error("the restore failed: {0}")]
    Restore(String),
    /// A scratch server failed.
    #[error("the scratch server {0}")]
    Scratch(String),
    /// The server refused a statement.
    #[error("{what}: {reason}")]
    Server {
        /// What was being done.
        what: String,
        /// The server's or driver's words.
        reason: String,
    },
}

fn said(stderr: &str) -> String {
    if stderr.trim().is_empty() { String::new() } else { format!(": {}", stderr.trim()) }
}

impl EngineError {
    /// Wraps an I/O error with what was being done.
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// Wraps a database error with what was being done. The driver's texts hold no passwords.
    pub(crate) fn server(what: impl Into<String>, error: &sqlx::Error) -> Self {
        Self::Server { what: what.into(), reason: words_of(error) }
    }
}

/// Returns a database error in one line.
pub(crate) fn words_of(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default();
            format!("{}{code}", database.message())
        }
        other => other.to_string(),
    }
}

impl Explain for EngineError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::ProgramMissing { needed, .. } => (
                "BK840",
                format!(
                    "install the client programs (apt-get install postgresql-client-{needed}), or point --pg-bin or \
                     BKUP_PG_BIN at the folder that holds them"
                ),
            ),
            Self::Start { .. } => {
                ("BK841", "check that the file is there, is executable and is of this machine's kind".to_owned())
            }
            Self::Program { .. } => ("BK842", "the program's own words say why; nothing of it was kept".to_owned()),
            Self::Io { .. } => ("BK842", "check the disk and the permissions of the path".to_owned()),
            Self::Archive(_) => ("BK843", "take the backup again; a stream that is not whole is never kept".to_owned()),
            Self::WrongContent(_) => {
                ("BK844", "a schema may have been renamed or dropped meanwhile; plan and apply again".to_owned())
            }
            Self::Changed(_) => (
                "BK930",
                "nothing of it was kept; it is taken again alone, or by the next apply once the migration is over".to_owned(),
            ),
            Self::Locks(_) => (
                "BK931",
                "raise max_locks_per_transaction and restart the server: each dump locks every table of its schemas, and \
                 up to 17 every sequence"
                    .to_owned(),
            ),
            Self::NoSuchTable { .. } => (
                "BK936",
                "nothing was backed up; write the glob as `schema.table`, with `*` and `?` where any character may stand, \
                 in the case that the database has"
                    .to_owned(),
            ),
            Self::Connection(_) => (
                "BK845",
                "write postgres://user@host:5432/database, or libpq keywords such as host=... dbname=...".to_owned(),
            ),
            Self::SnapshotLost(_) => (
                "BK846",
                "all dumps of this run are of no use; check idle_in_transaction_session_timeout, poolers and the \
                 server's log, and apply again"
                    .to_owned(),
            ),
            Self::Restore(_) => (
                "BK847",
                "what was loaded is taken away again, and nothing in use was changed; mend what the message names, and run \
                 it again"
                    .to_owned(),
            ),
            Self::Scratch(_) => {
                ("BK848", "its folder must be short, absent before, and on a disk with room".to_owned())
            }
            Self::Server { .. } => ("BK849", "the server's own words say why".to_owned()),
        };
        Diagnostic::error(Code(code), self.to_string()).help(help)
    }
}
