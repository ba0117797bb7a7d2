//! The policy language as it is written: every section with its keys, before references are followed and defaults
//! filled in. The JSON Schema is made of these types. Pure.

mod alert;
mod database;
mod drill;
mod file;
mod mark;
mod recovery;
mod retention;
mod schedule;
mod scheduled;
mod store;
mod transition;

pub(super) use alert::{Alerts, Channel};
pub(super) use database::{Class, Database};
pub(super) use file::{File, Item, Listed, Once};
pub(crate) use file::{Named, Version};
pub(super) use mark::{Marked, Marks, Suspend};
pub(super) use recovery::RecoveryPlan;
pub(super) use retention::{Guards, Retention};
pub(super) use schedule::{RetentionRef, Schedule, TenantsRef, When};
pub(super) use store::{StorageClass, Store};
pub(super) use transition::{Move, Removal};
