//! One exported snapshot, under which all dumps of a run see the same instant.

use sqlx::postgres::PgConnection;

use super::{Connection, EngineError};
use crate::domain::{Instant, Lsn};

/// An exported snapshot, alive as long as the value: dropping it ends the transaction on the server.
#[derive(Debug)]
pub struct Snapshot {
    connection: PgConnection,
    facts: SnapshotFacts,
}

/// What the server said when the snapshot was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// Its name, for `--snapshot`.
    pub id: String,
    /// Everything committed before this instant is inside: the begin of the exporting transaction, by the server's clock.
    pub consistent_at: Instant,
    /// The server's clock just after the export.
    pub server_clock: Instant,
    /// The log's position at the export.
    pub lsn: Option<Lsn>,
    /// The cluster's system identifier, where it may be read.
    pub system_identifier: Option<String>,
    /// `server_version`.
    pub server_version: String,
    /// `server_version_num`.
    pub version_num: u32,
    /// The database's own name.
    pub datname: String,
    /// The database's encoding.
    pub encoding: String,
}

impl Snapshot {
    /// Exports a snapshot.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub async fn export(_connection: &Connection) -> Result<Self, EngineError> {
        unimplemented!()
    }

    /// Returns what the server said.
    #[must_use]
    pub const fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    /// Asks whether it is still held. To be asked after the last dump too.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    pub async fn check(&mut self) -> Result<(), EngineError> {
        unimplemented!()
    }

    /// Returns which schemas' objects refer to objects of which other schemas, as of the snapshot; system schemas are
    /// left out.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    pub async fn references(&mut self) -> Result<Vec<(String, String)>, EngineError> {
        unimplemented!()
    }

    /// Ends it, after a last [`Snapshot::check`].
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    pub async fn close(mut self) -> Result<(), EngineError> {
        self.check().await?;
        let _ = &mut self.connection;
        unimplemented!()
    }
}
