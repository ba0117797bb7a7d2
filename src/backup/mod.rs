//! One backup execution: engine to artifact to store, key objects first, manifest last. A backup exists when its
//! manifest does; whatever an attempt leaves behind without one is garbage that a later plan collects. Tenants of one slot
//! are taken many at a time, out of one dump.

mod adopted;
mod configuration;
mod failure;
mod files;
mod lanes;
mod listed;
mod logical;
mod many;
mod outline;
mod parallel;
mod source;
mod tables;

pub use adopted::adopt;
pub use configuration::Policies;
pub use failure::BackupError;
pub use files::{FINDING, Machine, findings};
pub use logical::{Destination, Fence, Order, Taken, run};
pub use many::{Member, MemberEnd, Settle, run_many};
pub use source::{Archive, Exporter, Passing, Servers, Source};
