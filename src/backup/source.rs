//! What backups are taken of: databases that can be held still at one instant. An interface, so that the executor can be
//! run without a server; the only one that ships is PostgreSQL's.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::engine::snapshot::SnapshotFacts;
use crate::engine::{
    Connection, DumpRequest, DumpScope, DumpSummary, EngineError, Program, Programs, RowKey, Search, Snapshot, dump,
    dump_globals,
};

/// How long a dump waits for a table lock before it gives up: a migration that holds one must not hold the backup,
/// and with it vacuum, for hours.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// Holds databases still.
#[async_trait]
pub trait Exporter: Send + Sync {
    /// Exports an instant of a database: all backups that are taken under it see the same.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or there is no program that can dump it.
    async fn export(&self, connection: &Connection) -> Result<Box<dyn Source>, EngineError>;
}

/// A database at one instant, held until it is closed or dropped.
#[async_trait]
pub trait Source: Send + Sync {
    /// Returns what the exporter said.
    fn facts(&self) -> &SnapshotFacts;

    /// Returns the schemas that refer to each other across tenants, as (from, to).
    fn references(&self) -> &[(String, String)];

    /// Begins an archive of a part of the database. `row_key` is what its rows are digested with.
    ///
    /// # Errors
    /// When it does not begin.
    fn dump(&self, scope: DumpScope, row_key: RowKey) -> Result<Archive, EngineError>;

    /// Returns the server's roles and their memberships, as statements.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn globals(&self) -> Result<Bytes, EngineError>;

    /// Lets go, after a last look whether the instant was held all the time.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    async fn close(self: Box<Self>) -> Result<(), EngineError>;
}

/// An archive under way. Dropping it ends it.
pub struct Archive {
    /// Its bytes, in order. That they end does not say that they are whole: `end` does.
    pub chunks: mpsc::Receiver<Bytes>,
    /// What was inside, once `chunks` is drained; an error: what came is no archive.
    pub end: BoxFuture<'static, Result<DumpSummary, EngineError>>,
}

/// PostgreSQL's servers, by their own programs.
#[derive(Debug, Clone)]
pub struct Servers {
    /// Where the programs are looked for.
    pub search: Search,
}

#[async_trait]
impl Exporter for Servers {
    async fn export(&self, connection: &Connection) -> Result<Box<dyn Source>, EngineError> {
        let mut snapshot = Snapshot::export(connection).await?;
        let facts = snapshot.facts().clone();
        let programs = self.search.find(&Program::DUMP, facts.major()).await?;
        let references = snapshot.references().await?;
        let snapshot = Mutex::new(snapshot);
        Ok(Box::new(Exported { connection: connection.clone(), programs, facts, references, snapshot }))
    }
}

/// A database under an exported snapshot.
struct Exported {
    connection: Connection,
    programs: Programs,
    facts: SnapshotFacts,
    references: Vec<(String, String)>,
    /// Never locked: a connection may be sent to another thread, and not be looked at by two.
    snapshot: Mutex<Snapshot>,
}

#[async_trait]
impl Source for Exported {
    fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    fn references(&self) -> &[(String, String)] {
        &self.references
    }

    fn dump(&self, scope: DumpScope, row_key: RowKey) -> Result<Archive, EngineError> {
        let mut dump = dump(&DumpRequest {
            programs: self.programs.clone(),
            connection: self.connection.clone(),
            scope,
            snapshot: Some(self.facts.id.clone()),
            lock_wait: LOCK_WAIT,
            row_key,
            encoding: self.facts.encoding.clone(),
        })?;
        Ok(Archive { chunks: dump.take_chunks(), end: dump.finish().boxed() })
    }

    async fn globals(&self) -> Result<Bytes, EngineError> {
        dump_globals(&self.programs, &self.connection).await
    }

    async fn close(self: Box<Self>) -> Result<(), EngineError> {
        self.snapshot.into_inner().unwrap_or_else(PoisonError::into_inner).close().await
    }
}
