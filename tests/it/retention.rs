//! Suite: retention.
