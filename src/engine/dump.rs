//! `pg_dump` as a stream of bytes whose content is digested as it passes.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Connection, EngineError, Programs, RowKey};
use crate::domain::{SequenceDigest, TableDigest};

/// What is dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DumpScope {
    /// The whole database.
    Database,
    /// One schema, by its exact name.
    Schema(String),
    /// All but these schemas, by their exact names: the shared archive.
    AllBut(Vec<String>),
    /// Tables by policy globs `schema.table`.
    Tables(Vec<String>),
}

/// A dump to make.
#[derive(Debug, Clone)]
pub struct DumpRequest {
    /// The programs: their version must be the server's or newer.
    pub programs: Programs,
    /// The database.
    pub connection: Connection,
    /// What of it.
    pub scope: DumpScope,
    /// The exported snapshot to see; absent: pg_dump takes its own.
    pub snapshot: Option<String>,
    /// How long a lock is waited for.
    pub lock_wait: Duration,
    /// The key of the row digests.
    pub row_key: RowKey,
    /// The database's encoding, as the snapshot says it.
    pub encoding: String,
}

/// A running dump: its bytes, then what was inside.
#[derive(Debug)]
pub struct Dump {
    /// The archive's bytes, in order. The end of the channel does not say that the dump is whole.
    pub chunks: mpsc::Receiver<Bytes>,
    _private: (),
}

/// What was inside a dump that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DumpSummary {
    /// Schemas whose definitions are inside.
    pub schemas: Vec<String>,
    /// Tables with data, in archive order.
    pub tables: Vec<TableDigest>,
    /// Sequences with values.
    pub sequences: Vec<SequenceDigest>,
    /// Extensions that the archive creates.
    pub extensions: Vec<String>,
    /// Roles named by owners, grants and row policies.
    pub roles: Vec<String>,
    /// Large objects.
    pub large_objects: u64,
    /// `pg_dump`'s version line.
    pub dump_version: String,
    /// Entries of the table of contents.
    pub entries: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Starts a dump.
///
/// # Errors
/// [`EngineError::Start`].
pub fn dump(_request: DumpRequest) -> Result<Dump, EngineError> {
    unimplemented!()
}

impl Dump {
    /// Takes the channel away, to be drained elsewhere; `finish` stays here.
    #[must_use]
    pub fn take_chunks(&mut self) -> mpsc::Receiver<Bytes> {
        unimplemented!()
    }

    /// Waits for the program's end and returns what was inside. Only its `Ok` says that the bytes are a whole dump;
    /// the channel must have been drained. Dropping the dump kills the program.
    ///
    /// # Errors
    /// When the program failed, the stream is not whole, or it holds other things than were asked for.
    pub async fn finish(self) -> Result<DumpSummary, EngineError> {
        unimplemented!()
    }
}
