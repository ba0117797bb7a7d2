//! Suite: drill.
