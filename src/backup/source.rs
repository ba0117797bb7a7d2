//! What backups are taken of: databases that can be held still at one instant. An interface, so that the executor can be
//! run without a server; the only one that ships is PostgreSQL's.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, OnceCell, mpsc};

use crate::engine::archive::Publications;
use crate::engine::meanwhile::LockRoom;
use crate::engine::snapshot::SnapshotFacts;
use crate::engine::{
    Connection, DumpRequest, DumpScope, DumpSummary, EngineError, KeptGlobals, PassEnd, PassFailure, PassRequest,
    Passed, Program, Programs, RowKey, Search, Snapshot, dump, pass,
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

    /// Returns the schemas that refer to each other across tenants, as (from, to). Asked of the server once.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    async fn references(&self) -> Result<&[(String, String)], EngineError>;

    /// Begins an archive of a part of the database. `row_key` is what its rows are digested with.
    ///
    /// # Errors
    /// When it does not begin.
    fn dump(&self, scope: DumpScope, row_key: RowKey) -> Result<Archive, EngineError>;

    /// Begins one archive of many tenants, split as it comes. `leave_out`, where what is shared is wanted too: the
    /// schemas of all tenants, also of those that are not.
    ///
    /// # Errors
    /// When it does not begin.
    fn pass(&self, tenants: &[String], leave_out: Option<&[String]>, row_key: RowKey) -> Result<Passing, EngineError>;

    /// Returns how much of the server's table of locks dumps may take.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    async fn room(&self) -> Result<LockRoom, EngineError>;

    /// Returns the schemas that may be why a pass failed: changed since the instant, locked, or not to be read.
    ///
    /// # Errors
    /// When the server cannot be asked.
    async fn suspects(&self) -> Result<BTreeSet<String>, EngineError>;

    /// Returns the tables, as (schema, name), that were emptied or rewritten since the instant: a dump sees no rows of
    /// theirs and says nothing.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    async fn rewritten(&self) -> Result<BTreeSet<(String, String)>, EngineError>;

    /// Returns the server's roles and their memberships, as statements.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn globals(&self) -> Result<Bytes, EngineError>;

    /// Returns how its server is reached and with which programs, for what is read beside the instant; absent where
    /// there is no server.
    fn server(&self) -> Option<(&Connection, &Programs)> {
        None
    }

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

/// Many archives under way, out of one stream. Dropping it ends it.
pub struct Passing {
    /// Their bytes, and the end of each.
    pub portions: mpsc::Receiver<Passed>,
    /// Whether what came is whole, once `portions` is drained.
    pub end: BoxFuture<'static, Result<PassEnd, PassFailure>>,
}

/// PostgreSQL's servers, by their own programs.
#[derive(Debug, Clone)]
pub struct Servers {
    search: Search,
    globals: KeptGlobals,
}

impl Servers {
    /// Returns them; their programs are looked for there.
    #[must_use]
    pub fn new(search: Search) -> Self {
        Self { search, globals: KeptGlobals::default() }
    }
}

#[async_trait]
impl Exporter for Servers {
    async fn export(&self, connection: &Connection) -> Result<Box<dyn Source>, EngineError> {
        let snapshot = Snapshot::export(connection).await?;
        let facts = snapshot.facts().clone();
        let programs = self.search.find(&Program::DUMP, facts.major()).await?;
        let (references, snapshot) = (OnceCell::new(), Mutex::new(snapshot));
        let (connection, globals) = (connection.clone(), self.globals.clone());
        Ok(Box::new(Exported { connection, programs, facts, references, snapshot, globals }))
    }
}

impl Exported {
    fn request(&self, scope: DumpScope, row_key: RowKey) -> DumpRequest {
        DumpRequest {
            programs: self.programs.clone(),
            connection: self.connection.clone(),
            scope,
            snapshot: Some(self.facts.id.clone()),
            lock_wait: LOCK_WAIT,
            row_key,
            encoding: self.facts.encoding.clone(),
        }
    }
}

/// A database under an exported snapshot.
struct Exported {
    connection: Connection,
    programs: Programs,
    facts: SnapshotFacts,
    references: OnceCell<Vec<(String, String)>>,
    snapshot: Mutex<Snapshot>,
    globals: KeptGlobals,
}

#[async_trait]
impl Source for Exported {
    fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    async fn references(&self) -> Result<&[(String, String)], EngineError> {
        let ask = async || self.snapshot.lock().await.references().await;
        self.references.get_or_try_init(ask).await.map(Vec::as_slice)
    }

    fn dump(&self, scope: DumpScope, row_key: RowKey) -> Result<Archive, EngineError> {
        let mut dump = dump(&self.request(scope, row_key))?;
        Ok(Archive { chunks: dump.take_chunks(), end: dump.finish().boxed() })
    }

    fn pass(&self, tenants: &[String], leave_out: Option<&[String]>, row_key: RowKey) -> Result<Passing, EngineError> {
        let mut pass = pass(&PassRequest {
            dump: self.request(PassRequest::scope(tenants, leave_out), row_key),
            tenants: tenants.to_vec(),
            shared: leave_out.is_some(),
            publications: Publications::WithTenant,
        })?;
        Ok(Passing { portions: pass.take_portions(), end: pass.finish().boxed() })
    }

    async fn room(&self) -> Result<LockRoom, EngineError> {
        self.snapshot.lock().await.room().await
    }

    async fn suspects(&self) -> Result<BTreeSet<String>, EngineError> {
        self.snapshot.lock().await.suspects(&self.connection).await
    }

    async fn rewritten(&self) -> Result<BTreeSet<(String, String)>, EngineError> {
        self.snapshot.lock().await.rewritten().await
    }

    fn server(&self) -> Option<(&Connection, &Programs)> {
        Some((&self.connection, &self.programs))
    }

    async fn globals(&self) -> Result<Bytes, EngineError> {
        let shared = self.snapshot.lock().await.shared().await;
        self.globals.of(&self.programs, &self.connection, shared.as_ref()).await
    }

    async fn close(self: Box<Self>) -> Result<(), EngineError> {
        self.snapshot.into_inner().close().await
    }
}
