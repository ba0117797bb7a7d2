//! Suite: secrets.
