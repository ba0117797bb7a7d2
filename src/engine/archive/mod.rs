//! The custom format of `pg_dump`, read from a stream.

/// Why a stream is no archive that bkup reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Placeholder.
    #[error("{0}")]
    Invalid(String),
}
