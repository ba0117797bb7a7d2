//! Brings a backup back: into a scratch server, a new database, or a live one that lacks it. Live is never the first
//! step: what goes there was restored to scratch and proven equal before.

mod archive;
mod bridge;
mod failure;
mod files;
mod find;
mod folder;
mod hold;
mod job;
mod original;
mod parts;
mod rows;
mod sanitize;
pub mod swap;
mod together;
mod workshop;

pub use archive::{Loaded, Opened, Origin, Proof, load, open, prove, prove_but};
pub use bridge::has_bridge;
pub use failure::RestoreError;
pub use files::{FilesProof, files_into, fill_files, prove_files, remove_files};
pub use find::{Found, Wanted, find_in_catalog, find_in_store};
pub use hold::Hold;
pub use job::{Done, Job, Proven, Tell, major_of};
pub use original::{Original, original};
pub use rows::StagedRows;
pub use swap::InUse;
pub use together::{Beside, Place, load_all, settle};
pub use workshop::{ScratchSpec, Workshop};
