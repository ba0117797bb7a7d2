//! Suite: the catalog on a real PostgreSQL server.
//!
//! `cfg(test)` is always so here; it lets clippy take the builders for test code too, where `unwrap` is welcome.

#[cfg(test)]
mod agrees;
#[cfg(test)]
pub mod build;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod facts;
#[cfg(test)]
mod frozen;
mod questions;
#[cfg(test)]
mod schema;
#[cfg(test)]
pub mod scratch;
#[cfg(test)]
mod work;
