//! Closure: what a kept backup needs is kept, and deletion goes leaf first. Pure.

use std::collections::BTreeMap;

use super::{Point, Verdict};
use crate::domain::{BackupId, Instant};

/// A backup, what it needs, and whether it holds what it needs.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    /// The backup.
    pub id: &'a BackupId,
    /// What it cannot be restored without: the backup it builds on, the shared and bridge archives it names.
    pub needs: Vec<&'a BackupId>,
    /// Whether it is kept, or tombstoned and not purged, or being written.
    pub holds: bool,
}

/// What the links say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure<'a> {
    /// Each backup that is needed, directly or through others, by one that holds; with the smallest id of those that
    /// need it directly.
    pub needed: BTreeMap<&'a BackupId, &'a BackupId>,
    /// Needs that no link stands for, with who has them: these backups are not restorable. Ordered.
    pub missing: Vec<(&'a BackupId, &'a BackupId)>,
}

/// Follows the needs of every backup that holds.
#[must_use]
pub fn closure<'a>(_links: &[Link<'a>]) -> Closure<'a> {
    unimplemented!()
}

/// Decides over shared and bridge archives: they have no buckets and no floors, and live exactly as long as a backup
/// that holds names them. `needed` is [`Closure::needed`] of every link of the database, in-progress ones included.
pub fn shared_verdicts(_shared: &[Point<'_>], _needed: &BTreeMap<&BackupId, &BackupId>, _now: Instant) -> Vec<Verdict> {
    unimplemented!()
}

/// Returns the indices of the links in an order that deletes whatever needs a backup before the backup itself; equals
/// by id. Links in a cycle, which no honest catalog has, come last.
#[must_use]
pub fn leaf_first(_links: &[Link<'_>]) -> Vec<usize> {
    unimplemented!()
}
