//! World: run.
