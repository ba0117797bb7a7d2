//! Partitions: which backups are measured against each other. Pure.

use std::collections::BTreeMap;

use crate::domain::{Backup, BackupType, Name, Scope};

/// Backups of one partition share buckets and floors; those of two never touch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition<'a> {
    /// The database; absent for files.
    pub database: Option<&'a Name>,
    /// The scope.
    pub scope: &'a Scope,
    /// The kind of backup.
    pub backup_type: BackupType,
    /// The schedule, whose retention rule it is.
    pub schedule: &'a Name,
}

impl<'a> Partition<'a> {
    /// Returns the partition of a backup.
    #[must_use]
    pub const fn of(backup: &'a Backup) -> Self {
        Self {
            database: backup.database.as_ref(),
            scope: &backup.scope,
            backup_type: backup.backup_type,
            schedule: &backup.schedule,
        }
    }
}

/// Divides backups by partition, in the order they have.
#[must_use]
pub fn partition(backups: &[Backup]) -> BTreeMap<Partition<'_>, Vec<&Backup>> {
    let mut partitions: BTreeMap<Partition<'_>, Vec<&Backup>> = BTreeMap::new();
    for backup in backups {
        partitions.entry(Partition::of(backup)).or_default().push(backup);
    }
    partitions
}
