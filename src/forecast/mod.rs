//! Runs the planner over time: what a policy will keep, cost and guarantee. Pure: the instants it visits are parameters.
//!
//! The way of a forecast: tenants with one future become one (`population`), the world is cut into parts that have
//! nothing to do with each other (`parts`), each part is planned and done from instant to instant (`run`, on a
//! [`World`]), what happens is written down (`record`), and the answers are read off that (`objectives`, `storage`,
//! `change`). The planner is the one of `plan` and `apply`; nothing here decides what is backed up or deleted.

mod change;
mod coverage;
mod drilled;
mod failure;
mod faults;
mod objectives;
mod parts;
mod placeholders;
mod population;
mod record;
mod run;
mod served;
mod simulation;
mod sizes;
mod storage;
mod world;

use std::collections::BTreeMap;

pub use failure::{ForecastError, LONGEST};
pub use faults::{Faults, InvalidFaults};
pub use placeholders::placeholders;
pub use population::Counts;
pub use record::Life;
pub use simulation::{Lives, forecast, lives};
pub use sizes::{Growth, InvalidGrowth};
pub use world::{Amount, World};

use crate::domain::{Bytes, CatalogFacts, Desired, Instant, Name, Period, Prices};

/// What is asked of a forecast.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The policies in question, and where they come from.
    pub after: (&'a Desired, String),
    /// What they are compared with.
    pub before: Option<(&'a Desired, String)>,
    /// From what world it starts.
    pub start: Start<'a>,
    /// The first instant.
    pub begin: Instant,
    /// How far ahead.
    pub length: Period,
    /// What goes wrong.
    pub faults: Faults,
    /// The seed of chance.
    pub seed: u64,
    /// How much larger backups become.
    pub growth: Growth,
    /// What stores charge.
    pub prices: Option<Prices>,
    /// The sizes of databases that somebody has seen.
    pub databases: BTreeMap<Name, Bytes>,
    /// How many tenants the placeholders stand for; absent where the tenants are those of a live database.
    pub counts: Option<Counts>,
    /// Applies run at these distances and only then; absent: whenever anything can change.
    pub step: Option<Period>,
    /// bkup's version.
    pub tool_version: String,
    /// The newest catalog version this program knows.
    pub catalog_version: i64,
}

/// From what world a forecast starts.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// What the catalog holds.
    Catalog(&'a CatalogFacts),
    /// As if the policies that are compared with, or else those in question, had run for so long before.
    AsIf(Period),
    /// Nothing was done yet.
    Nothing,
}
