//! The policy language as it is written: every section with its keys, before references are followed and defaults
//! filled in. The JSON Schema is made of these types. Pure.

mod database;
mod drill;
mod file;
mod recovery;
mod retention;
mod schedule;
mod store;

pub(super) use database::{Class, Database};
pub(super) use file::{File, Item, Once};
pub(crate) use file::{Named, Version};
pub(super) use recovery::RecoveryPlan;
pub(super) use retention::{Guards, Retention};
pub(super) use schedule::{RetentionRef, Schedule, TenantsRef, When};
pub(super) use store::Store;

/// Keys that are not served yet, with those that every thing may carry.
macro_rules! not_yet {
    ($($key:literal),* $(,)?) => { &["suspend", "protect" $(, $key)*] };
}
use not_yet;
