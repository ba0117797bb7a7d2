//! Which backups are kept, and why: buckets, verdicts, floors, closure. Pure: `now` is a parameter, and nothing here
//! deletes anything.
//!
//! # The rules
//! - The points given to [`decide`] are one partition ([`partition`]): one database, scope, backup type and schedule.
//!   A backup's instant is its consistency point. The order of the points never matters.
//! - **Eligible** points take buckets and count for floors: neither quarantined, nor tombstoned, nor after `now`.
//!   Failed, partial and running executions are no points at all.
//! - Each tier has typed bucket keys in the rule's zone and a map of its own; it keeps one backup ([`Pick`]) of each of
//!   the newest N buckets that have an eligible one. Tiers, `last`, `within` and `forever` are an OR, and a backup
//!   carries every reason.
//! - `max_age` drops what any of these keeps. A backup that is too old still is its bucket's pick until it is
//!   tombstoned, so that raising `max_age` never drops another one.
//! - Floors win over everything: the newest `min_keep` eligible backups (0 counts as 1), the newest verified eligible
//!   one, and the newest eligible one that a drill restored.
//! - Pins, locks and leases hold a backup whatever else is said; a **quarantined** one is never deleted by itself, takes
//!   no bucket, evicts nothing, and is no floor. A backup that is not restorable as it stands is to be given as
//!   quarantined.
//! - A **tombstoned** backup is on its way out: no bucket, no floor, and no rule brings it back, only `undelete`. Its
//!   verdict keeps it where something must stop its purge: a pin, a lock, a lease, a quarantine.
//! - A point **after `now`** (clocks that disagree) is kept, and counts for nothing: it must not push out a real one.
//! - Of a tenant that was **offboarded** what the rule kept then is kept as long again as the rule says, counted from
//!   that instant ([`Tenure`]); floors hold on after it.
//! - Ages are half-open: `within: 30d` keeps while `now < instant + 30d`; at that instant time releases it.
//!
//! [`Pick`]: crate::domain::Pick

mod bucket;
mod change;
mod closure;
mod coming;
mod decide;
mod partition;
mod point;
mod purge;
mod tenure;
mod verdict;
mod words;

pub use bucket::{Bucket, Tier};
pub use change::caused_by_change;
pub use closure::{Closure, Link, closure, leaf_first, shared_verdicts};
pub use coming::{Terms, stands_between};
pub use decide::{Floors, decide, holds};
pub use partition::{Partition, partition};
pub use point::Point;
pub use purge::{PurgeState, purge_state};
pub use tenure::{Tenure, decide_in};
pub use verdict::{DropReason, KeepReason, Verdict};
pub use words::describe;
