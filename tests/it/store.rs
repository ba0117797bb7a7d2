//! Suite: store.
