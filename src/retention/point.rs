//! A backup as retention sees it. Small and borrowed: a million of them is a normal amount. Pure.

use crate::domain::{Backup, BackupId, Instant, Verification};

/// A completed backup, reduced to what decides over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point<'a> {
    /// Its id: orders backups of one instant, and nothing else.
    pub id: &'a BackupId,
    /// The instant its content is of, never when an object was written.
    pub at: Instant,
    /// Whether at least its ciphertext was read back and agreed.
    pub verified: bool,
    /// When a drill last restored it.
    pub drilled_at: Option<Instant>,
    /// Whether a verification or a drill of it failed, or it is not restorable as it stands.
    pub quarantined: bool,
    /// Whether it is pinned.
    pub protected: bool,
    /// Until when somebody who brought it back keeps it.
    pub pinned_until: Option<Instant>,
    /// Until when the store refuses to delete it.
    pub locked_until: Option<Instant>,
    /// Whether a restore, drill, verification or copy reads it.
    pub leased: bool,
    /// When it was tombstoned.
    pub tombstoned_at: Option<Instant>,
}

impl<'a> Point<'a> {
    /// Makes a plain point: not verified, nothing holds it.
    #[must_use]
    pub const fn new(id: &'a BackupId, at: Instant) -> Self {
        Self {
            id,
            at,
            verified: false,
            drilled_at: None,
            quarantined: false,
            protected: false,
            pinned_until: None,
            locked_until: None,
            leased: false,
            tombstoned_at: None,
        }
    }

    /// Makes the point of a backup; `leased` says whether somebody reads it.
    #[must_use]
    pub fn of(backup: &'a Backup, leased: bool) -> Self {
        Self {
            id: &backup.id,
            at: backup.consistent_at,
            verified: backup.verification >= Verification::Checksum,
            drilled_at: backup.drilled_at,
            quarantined: backup.quarantine.is_some(),
            protected: backup.protected,
            pinned_until: backup.pinned_until,
            locked_until: backup.locked_until,
            leased,
            tombstoned_at: backup.tombstoned_at,
        }
    }

    /// Returns whether it takes buckets and counts for floors at `now`.
    #[must_use]
    pub fn is_eligible(&self, now: Instant) -> bool {
        !self.quarantined && self.tombstoned_at.is_none() && self.at <= now
    }
}
