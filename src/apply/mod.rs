//! Executes a plan: claims, effects, retries, report. It decides nothing: what is done, under which names, in which
//! order stands in the plan. Every effect is intended in the catalog before and confirmed after, so that a run killed
//! anywhere is finished by the next one.

mod adopt;
mod backups;
mod batch;
mod claims;
mod drills;
mod ensure;
mod erase;
mod failure;
mod finish;
mod group;
mod health;
mod progress;
mod prune;
mod queue;
mod recheck;
mod record;
mod run;
mod runtime;
mod since;
mod stop;
mod together;
mod undelete;

pub use erase::{ErasureEnd, erase};
pub use failure::ApplyError;
pub use run::apply;
pub use runtime::{Runtime, StoreHandle};
pub use since::{Looking, Lookout};
pub use undelete::{Undeleted, undelete};
