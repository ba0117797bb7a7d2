//! Throw-away servers.

use std::path::{Path, PathBuf};

use super::{Connection, EngineError, Programs};
use crate::domain::Instant;

/// How a scratch server is made.
#[derive(Debug, Clone)]
pub struct ScratchOptions {
    /// The programs; their version is the server's.
    pub programs: Programs,
    /// Its folder: absent yet, its parent present, at most 80 bytes long, readable for the unprivileged user.
    pub folder: PathBuf,
    /// Further settings for `postgres -c`.
    pub settings: Vec<(String, String)>,
    /// A data folder made by `initdb` to copy instead of running it.
    pub template: Option<PathBuf>,
}

/// A running throw-away server. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Makes and starts one, and waits until it answers.
    ///
    /// # Errors
    /// [`EngineError::Scratch`].
    pub async fn start(_options: ScratchOptions) -> Result<Self, EngineError> {
        unimplemented!()
    }

    /// Returns how a database of it is reached, as superuser.
    #[must_use]
    pub fn connection(&self, _database: &str) -> Connection {
        unimplemented!()
    }

    /// Returns its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops it and removes its folder, and waits for both.
    ///
    /// # Errors
    /// [`EngineError::Scratch`].
    pub async fn stop(self) -> Result<(), EngineError> {
        unimplemented!()
    }

    /// Leaves it running for inspection until `until`, when [`sweep`] takes it. Returns its folder.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn keep(self, _until: Instant) -> Result<PathBuf, EngineError> {
        unimplemented!()
    }
}

/// Stops a kept server and removes its folder.
///
/// # Errors
/// [`EngineError::Scratch`] when the folder is not that of a scratch server.
pub async fn remove(_folder: &Path) -> Result<(), EngineError> {
    unimplemented!()
}

/// Removes the kept servers below `parent` whose time is over; returns their folders.
///
/// # Errors
/// [`EngineError::Io`].
pub async fn sweep(_parent: &Path, _now: Instant) -> Result<Vec<PathBuf>, EngineError> {
    unimplemented!()
}

/// Returns the bytes that are free for this user where `path` is.
///
/// # Errors
/// [`EngineError::Io`].
pub fn free_bytes(_path: &Path) -> Result<u64, EngineError> {
    unimplemented!()
}
