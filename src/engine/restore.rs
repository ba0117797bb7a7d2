//! `pg_restore` from a stream.

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{Connection, EngineError, Programs};

/// How archives are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreOptions {
    /// Objects belong to who restores.
    pub no_owner: bool,
    /// Grants are left out.
    pub no_acl: bool,
    /// Objects are dropped first.
    pub clean: bool,
    /// All or nothing: an error leaves the database as it was.
    pub single_transaction: bool,
}

/// The bytes of an archive; an `Err` item stops and kills the restore.
pub type ArchiveBytes = BoxStream<'static, std::io::Result<Bytes>>;

/// A restore to make.
pub struct RestoreRequest {
    /// The programs: their version must be that of the dump or newer.
    pub programs: Programs,
    /// The database to restore into.
    pub target: Connection,
    /// The archive.
    pub archive: ArchiveBytes,
    /// How.
    pub options: RestoreOptions,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreReport {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Entries that failed because they refer to tenants that are not there; only [`restore_shared`] lets them pass.
    pub deferred: Vec<EntryFailure>,
}

/// An entry that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFailure {
    /// Its kind: `VIEW`.
    pub kind: String,
    /// Its schema; empty where it has none.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The server's words.
    pub reason: String,
}

/// Restores an archive; any error is a failure.
///
/// # Errors
/// [`EngineError::Restore`], [`EngineError::Archive`] when the stream is not whole.
pub async fn restore(_request: RestoreRequest) -> Result<RestoreReport, EngineError> {
    unimplemented!()
}

/// Restores a shared archive: entries that refer to tenants which are not there are reported, not failures.
///
/// # Errors
/// As [`restore`], for all other entries.
pub async fn restore_shared(_request: RestoreRequest) -> Result<RestoreReport, EngineError> {
    unimplemented!()
}

/// Creates an empty database in UTF-8 from `template0`.
///
/// # Errors
/// [`EngineError::Server`], also when it exists.
pub async fn create_database(_server: &Connection, _name: &str) -> Result<(), EngineError> {
    unimplemented!()
}

/// Drops a database and ends its sessions.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn drop_database(_server: &Connection, _name: &str) -> Result<(), EngineError> {
    unimplemented!()
}

/// Returns whether a schema exists.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn schema_exists(_connection: &Connection, _schema: &str) -> Result<bool, EngineError> {
    unimplemented!()
}
