//! Suite: restore.
