//! Brings a backup back: into a scratch server, a new database, or a live one that lacks it. Live is never the first
//! step: what goes there was restored to scratch and proven equal before.

mod archive;
mod failure;
mod find;
mod target;

pub use archive::{Loaded, Opened, Origin, load, open, prove};
pub use failure::RestoreError;
pub use find::{Found, Wanted, find_in_store};
pub use target::{LiveReport, ScratchSpec, Workshop, into_live_tenant, into_new_database, into_scratch, major_of};
