//! Suite: disaster.
