//! bkup: PostgreSQL backup and disaster recovery from policies in git.
//!
//! The library holds every layer of the house; `docs/architecture.md` says what each module is for and what it
//! may import, and `tests/it/architecture.rs` checks it. The binary only hands its arguments to [`cli`].

pub mod apply;
pub mod artifact;
pub mod backup;
pub mod catalog;
pub mod cli;
pub mod crypto;
pub mod diag;
pub mod domain;
pub mod drill;
pub mod engine;
pub mod forecast;
pub mod notify;
pub mod observe;
pub mod plan;
pub mod policy;
pub mod rebuild;
pub mod render;
pub mod restore;
pub mod retention;
pub mod schedule;
pub mod server;
pub mod store;
pub mod trial;
