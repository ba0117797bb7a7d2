//! What is wrong with policies that are well formed, one file per concern: references, patterns and tenants, places of
//! stores, secrets, recovery plans. Pure.

mod known;
mod recovery;
mod schedules;
mod secrets;
mod stores;
mod tenancy;

pub(super) use known::Known;
pub(super) use recovery::recovery_plans;
pub(super) use schedules::schedule;
pub use secrets::masked;
pub(super) use secrets::{refuse_secret_keys, url};
pub(super) use stores::{store, stores};
pub(super) use tenancy::{class, classes, tenants};
