//! Suite: apply.
