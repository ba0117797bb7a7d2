//! What files are backed up of, where others have a database: the machine itself, which cannot be held still.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;

use crate::backup::{Archive, Passing, Source};
use crate::domain::Instant;
use crate::engine::meanwhile::LockRoom;
use crate::engine::snapshot::SnapshotFacts;
use crate::engine::{DumpScope, EngineError, RowKey};

/// The machine. There is nothing to dump in it.
#[derive(Debug)]
pub struct Machine(SnapshotFacts);

impl Machine {
    /// Returns it as of an instant.
    #[must_use]
    pub const fn at(now: Instant) -> Self {
        Self(SnapshotFacts {
            id: String::new(),
            consistent_at: now,
            server_clock: now,
            lsn: None,
            system_identifier: None,
            server_version: String::new(),
            version_num: 0,
            datname: String::new(),
            encoding: String::new(),
        })
    }
}

fn no_server() -> EngineError {
    EngineError::io("dumping files", std::io::Error::from(std::io::ErrorKind::Unsupported))
}

#[async_trait]
impl Source for Machine {
    fn facts(&self) -> &SnapshotFacts {
        &self.0
    }

    async fn references(&self) -> Result<&[(String, String)], EngineError> {
        Ok(&[])
    }

    fn dump(&self, _scope: DumpScope, _row_key: RowKey) -> Result<Archive, EngineError> {
        Err(no_server())
    }

    fn pass(
        &self,
        _tenants: &[String],
        _leave_out: Option<&[String]>,
        _row_key: RowKey,
    ) -> Result<Passing, EngineError> {
        Err(no_server())
    }

    async fn room(&self) -> Result<LockRoom, EngineError> {
        Err(no_server())
    }

    async fn suspects(&self) -> Result<BTreeSet<String>, EngineError> {
        Ok(BTreeSet::new())
    }

    async fn rewritten(&self) -> Result<BTreeSet<(String, String)>, EngineError> {
        Ok(BTreeSet::new())
    }

    async fn globals(&self) -> Result<Bytes, EngineError> {
        Err(no_server())
    }

    async fn close(self: Box<Self>) -> Result<(), EngineError> {
        Ok(())
    }
}
