//! Proves that a backup can be restored, and writes the evidence.
