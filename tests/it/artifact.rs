//! Suite: artifact.
