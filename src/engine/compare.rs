//! A restored database against the digests recorded when it was dumped.

use super::{Connection, EngineError, RowKey};
use crate::domain::{SequenceDigest, TableComparison, TableDigest};

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Tables that were compared.
    pub tables: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Tables that differ.
    pub differences: Vec<TableComparison>,
    /// Sequences that differ.
    pub sequences: Vec<SequenceDifference>,
}

impl Comparison {
    /// Returns whether nothing differs.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty() && self.sequences.is_empty()
    }
}

/// A sequence whose value is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceDifference {
    /// What was recorded.
    pub recorded: SequenceDigest,
    /// What is there; absent where the sequence is missing.
    pub restored: Option<SequenceDigest>,
}

/// Compares.
///
/// # Errors
/// [`EngineError::Server`] when the database cannot be read; a missing table is a difference, not an error.
pub async fn compare(
    _connection: &Connection,
    _tables: &[TableDigest],
    _sequences: &[SequenceDigest],
    _key: &RowKey,
) -> Result<Comparison, EngineError> {
    unimplemented!()
}
