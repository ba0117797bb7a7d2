//! Suite: engine.
