//! Where scratch servers are made, once there is room for what they will hold.

use std::path::PathBuf;

use super::failure::RestoreError;
use crate::domain::Bytes;
use crate::engine::scratch::free_bytes;
use crate::engine::{Program, Programs, Scratch, ScratchOptions, Search};

/// Room a scratch server needs beside the data: its own files and log.
const SCRATCH_FLOOR: u64 = 200 << 20;

/// Where scratch servers are made, and with what.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// Where PostgreSQL's programs are looked for.
    pub search: Search,
    /// The folder in which scratch servers get theirs: short, and passable for an unprivileged user.
    pub folder: PathBuf,
}

/// A scratch server to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchSpec {
    /// The oldest major version it may have.
    pub major: u32,
    /// What tells it from others: random digits.
    pub tag: String,
    /// Bytes that will be loaded, before compression.
    pub expected: Bytes,
}

impl Workshop {
    /// Starts a scratch server of the newest fitting version, once there is room for what it will hold.
    ///
    /// # Errors
    /// When the programs or the room are lacking, or it does not start.
    pub async fn start(&self, spec: &ScratchSpec) -> Result<(Scratch, Programs), RestoreError> {
        let programs = self.search.find(&Program::SERVER, spec.major).await?;
        let (needed, free) = self.room(spec.expected)?;
        if free < needed {
            return Err(RestoreError::NoRoom {
                folder: self.folder.display().to_string(),
                needed: needed.to_string(),
                free: free.to_string(),
            });
        }
        let folder = self.folder.join(format!("bkup-{}", spec.tag));
        let options = ScratchOptions { programs: programs.clone(), folder, settings: Vec::new(), template: None };
        Ok((Scratch::start(options).await?, programs))
    }

    /// Returns how much room a server for so much data needs, and how much there is.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn room(&self, expected: Bytes) -> Result<(Bytes, Bytes), RestoreError> {
        // Loaded tables with their indexes and log take about twice the dump's size.
        let needed = expected.0.saturating_mul(2).saturating_add(SCRATCH_FLOOR);
        Ok((Bytes(needed), Bytes(free_bytes(&self.folder)?)))
    }
}
