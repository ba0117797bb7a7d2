//! Who gets what: each tenant with its class, its schedules and what may be lost of it. Data only.

use serde::Serialize;

use super::{Instant, Name, Period, ZoneName};

/// The version of the JSON form, `major.minor`.
pub const COVERAGE_FORMAT: &str = "1.0";

/// The tenants of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseCoverage {
    /// The database.
    pub database: Name,
    /// Why its tenants are not known, where they are not: unknown is not empty.
    pub unknown: Option<String>,
    /// Its tenants by priority of their class, then by slug.
    pub tenants: Vec<TenantCoverage>,
}

/// What one tenant gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantCoverage {
    /// Its slug.
    pub tenant: String,
    /// Its class; absent where no pattern matches it.
    pub class: Option<Name>,
    /// What its class promises.
    pub rpo: Option<Period>,
    /// The schedules whose backups hold it, its own first.
    pub schedules: Vec<CoveringSchedule>,
    /// What may be lost at worst with all of them; absent where none of them runs by itself.
    pub worst: Option<WorstLoss>,
}

/// A schedule that backs a tenant up, by itself or with the whole database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CoveringSchedule {
    /// The schedule.
    pub schedule: Name,
    /// Whether the tenant has backups of its own from it.
    pub own: bool,
    /// Whether it runs only when somebody or something asks; then it guarantees nothing.
    pub on_request: bool,
    /// Why it counts for nothing, where this version of bkup does not make its backups.
    pub not_served: Option<String>,
    /// How long its backups are kept: the rule's name, or the rule in words.
    pub retention: String,
}

/// The largest loss that the schedules of a tenant allow when every run succeeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorstLoss {
    /// How much: from the slot that counts to the deadline of the next.
    pub loss: Period,
    /// The slot that counts until then.
    pub begin: Instant,
    /// The slot that ends it.
    pub end: Instant,
    /// The schedule of that one.
    pub schedule: Name,
    /// When its backup begins at the latest.
    pub deadline: Instant,
    /// The zone of its schedule.
    pub timezone: ZoneName,
}
