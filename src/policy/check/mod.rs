//! What is wrong with policies that are well formed, one file per concern: references, patterns and tenants, places of
//! stores, secrets, recovery plans. Pure.

mod alerts;
mod known;
mod recovery;
mod schedules;
mod secrets;
mod stores;
mod tenancy;
mod transitions;

pub(super) use alerts::{alerts, databases};
pub(super) use known::Known;
pub(super) use recovery::recovery_plans;
pub(super) use schedules::{bases, on_demand, passwords, schedule};
pub use secrets::masked;
pub(super) use secrets::{refuse_password, refuse_secret_keys, url};
pub(super) use stores::{encryption, store, stores};
pub(super) use tenancy::{class, classes, tenants};
pub(super) use transitions::transitions;
