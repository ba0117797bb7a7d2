//! Suite: demo.
