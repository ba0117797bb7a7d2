//! The PostgreSQL programs: found, started, watched, reaped; dump streams, restores and scratch servers.
//!
//! The order of a logical backup: [`Connection::parse`], [`Snapshot::export`], [`Search::find`] for the server's
//! version, [`dump`](dump::dump) once per scope on the snapshot's id, [`Dump::finish`] for what was inside, and the
//! snapshot checked and closed at the end. Nothing here knows of stores, artifacts, plans or the catalog.

pub mod archive;
pub mod compare;
pub mod connection;
mod contents;
mod csv;
pub mod digest;
pub mod dump;
pub mod failure;
pub mod files;
pub mod git;
pub mod globals;
pub mod invocation;
pub mod kept_globals;
mod lanes;
mod listing;
pub mod meanwhile;
pub mod pass;
mod passfile;
pub mod process;
pub mod programs;
pub mod restore;
mod restore_errors;
pub mod rows;
pub mod scratch;
pub mod snapshot;
pub mod sql;
pub mod swap;
pub mod tables;
mod task;
pub mod user;
mod waiting;

pub use compare::{Comparison, SequenceDifference, compare};
pub use connection::Connection;
pub use contents::summary_of;
pub use csv::{CsvRows, csv_rows};
pub use digest::RowKey;
pub use dump::{Dump, DumpRequest, DumpScope, DumpSummary, dump};
pub use failure::EngineError;
pub use globals::{create_roles, dump_globals, dump_globals_with_passwords, role_names, without_secret_settings};
pub use invocation::{Input, Invocation, Output};
pub use kept_globals::KeptGlobals;
pub use listing::{Listing, list_archive};
pub use pass::{Pass, PassEnd, PassFailure, PassRequest, Passed, pass};
pub use process::Process;
pub use programs::{Program, Programs, Said, Search};
pub use restore::{
    ArchiveBytes, RestoreOptions, RestoreReport, RestoreRequest, Sections, restore, restore_alone, restore_directory,
    restore_file, restore_loose, restore_sql, restore_tables,
};
pub use restore_errors::{Awaited, EntryFailure, LeftOver, for_want_of_others};
pub use scratch::{Scratch, ScratchOptions};
pub use snapshot::Snapshot;
pub use user::User;
pub use waiting::{comes_last, lasting, restore_deferred, restore_shared, restore_waiting};
