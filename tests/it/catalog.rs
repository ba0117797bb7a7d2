//! Suite: the catalog on a real PostgreSQL server.

mod build;
mod chain;
mod facts;
mod schema;
pub mod scratch;
mod work;
