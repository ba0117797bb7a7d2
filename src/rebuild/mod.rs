//! Makes a lost catalog again from the stores alone: the newest state that an apply has left there, every manifest, the
//! marks, the evidence, the newest reports, and the digest keys where a private key is at hand. It only reads stores, and
//! writes the catalog in one transaction that somebody approves.
//!
//! What cannot be understood is reported and left alone; what cannot be *reached* ends the rebuild, because a listing
//! with a hole must never be taken for the whole.

mod evidence;
mod failure;
mod keys;
mod manifests;
mod marks;
mod run;
mod sound;
mod survey;

pub use failure::RebuildError;
pub use run::rebuild;
pub use survey::{OpenStore, Sources, Survey, survey};
