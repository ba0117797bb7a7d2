//! One backup execution: engine to artifact to store, key objects first, manifest last. A backup exists when its
//! manifest does; whatever an attempt leaves behind without one is garbage that a later plan collects.

mod adopted;
mod configuration;
mod failure;
mod listed;
mod logical;
mod parallel;
mod source;
mod tables;

pub use adopted::adopt;
pub use configuration::Policies;
pub use failure::BackupError;
pub use logical::{Destination, Fence, Order, Taken, run};
pub use source::{Archive, Exporter, Servers, Source};
