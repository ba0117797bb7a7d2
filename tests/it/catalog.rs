//! Suite: catalog.
