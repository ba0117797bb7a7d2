//! One command, one file: its arguments and its `run`.

pub mod adopt;
pub mod apply;
pub mod backup;
pub mod completions;
pub mod demo;
pub mod drill;
pub mod explain;
pub mod fmt;
pub mod import;
pub mod init;
pub mod key;
pub mod list;
pub mod man;
pub mod narrow;
pub mod plan;
pub mod restore;
pub mod schema;
pub mod show;
pub mod simulate;
pub mod status;
pub mod test;
pub mod validate;
