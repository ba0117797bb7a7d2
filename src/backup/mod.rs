//! One backup execution: engine to artifact to store, key objects first, manifest last. A backup exists when its
//! manifest does; whatever an attempt leaves behind without one is garbage that a later plan collects.

mod adopted;
mod configuration;
mod failure;
mod files;
mod logical;
mod source;

pub use adopted::adopt;
pub use configuration::Policies;
pub use failure::BackupError;
pub use files::{FINDING, Machine, findings};
pub use logical::{Destination, Fence, Order, Taken, run};
pub use source::{Archive, Exporter, Servers, Source};
