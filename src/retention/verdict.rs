//! What is decided over a backup, and why, in types and in words. Pure.

use std::fmt;

use super::Bucket;
use crate::domain::{BackupId, Instant, Period};

/// What is decided over one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a verdict deletes nothing until a plan says so"]
pub struct Verdict {
    /// Whether it stays.
    pub keep: bool,
    /// Every reason that keeps it; empty where it does not stay.
    pub reasons: Vec<KeepReason>,
    /// Why it does not stay.
    pub dropped: Option<DropReason>,
    /// When time alone would release it, where that can be said: windows, age limits and locks end by themselves, floors,
    /// pins and leases do not. A newer backup may release earlier what counts buckets; only a lock is a lower bound.
    pub release_at: Option<Instant>,
}

/// A reason to keep a backup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeepReason {
    /// It is among the newest so many.
    Last(u32),
    /// It is its bucket's.
    Bucket(Bucket),
    /// It is younger than `within`.
    Within {
        /// The window.
        window: Period,
        /// When it leaves the window.
        until: Instant,
    },
    /// Its tenant is gone, and it was younger than `within` then.
    WithinOffboarding {
        /// The window.
        window: Period,
        /// When the window, counted from the offboarding, ends.
        until: Instant,
    },
    /// Its tenant is gone, and it was its bucket's then.
    BucketOffboarding {
        /// The bucket.
        bucket: Bucket,
        /// When as many hours, days, weeks, months or years as the rule counts have passed since the offboarding.
        until: Instant,
    },
    /// The rule keeps everything.
    Forever,
    /// It is among the newest eligible ones that every scope keeps.
    MinKeep(u32),
    /// It is the newest verified one.
    NewestVerified,
    /// It is the newest one that a drill restored.
    NewestDrilled,
    /// It is pinned.
    Protected,
    /// Somebody brought it back, and keeps it until then.
    BroughtBack(Instant),
    /// Somebody reads it.
    Leased,
    /// The store refuses to delete it until then.
    Locked(Instant),
    /// It failed a verification or a drill: people decide.
    Quarantined,
    /// Its instant is after now: some clock is wrong.
    FromTheFuture,
    /// A backup that stays needs it.
    NeededBy(BackupId),
}

impl fmt::Display for KeepReason {
    /// Writes it as plans do: `daily 2026-11-20`, `within 30d until 2026-12-20`, `floor: min_keep 2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last(count) => write!(f, "last {count}"),
            Self::Bucket(bucket) => bucket.fmt(f),
            Self::Within { window, until } => {
                // A window of days says the day; a shorter one needs the time.
                if window.as_seconds() % 86_400 == 0 {
                    write!(f, "within {window} until {}", until.strftime("%Y-%m-%d"))
                } else {
                    write!(f, "within {window} until {until}")
                }
            }
            Self::WithinOffboarding { window, until } => {
                if window.as_seconds() % 86_400 == 0 {
                    write!(f, "within {window} of its tenant's offboarding, until {}", until.strftime("%Y-%m-%d"))
                } else {
                    write!(f, "within {window} of its tenant's offboarding, until {until}")
                }
            }
            Self::BucketOffboarding { bucket, until } => {
                let until = until.strftime("%Y-%m-%d %H:%M UTC");
                write!(f, "{bucket} when its tenant was offboarded, until {until}")
            }
            Self::Forever => f.write_str("forever"),
            Self::MinKeep(count) => write!(f, "floor: min_keep {count}"),
            Self::NewestVerified => f.write_str("floor: newest verified"),
            Self::NewestDrilled => f.write_str("floor: newest drilled"),
            Self::Protected => f.write_str("protected"),
            Self::BroughtBack(until) => {
                write!(f, "brought back and kept until {}", until.strftime("%Y-%m-%d %H:%M UTC"))
            }
            Self::Leased => f.write_str("leased"),
            Self::Locked(until) => write!(f, "locked until {until}"),
            Self::Quarantined => f.write_str("quarantined: never deleted by itself"),
            Self::FromTheFuture => f.write_str("its instant is after now: check the clocks"),
            Self::NeededBy(id) => write!(f, "needed by {id}"),
        }
    }
}

/// A reason to drop a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// No rule keeps it any longer.
    RetentionOver,
    /// It is older than `max_age` allows.
    TooOld,
    /// It was tombstoned before and stays so.
    Tombstoned,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RetentionOver => "no rule keeps it any longer",
            Self::TooOld => "older than max_age",
            Self::Tombstoned => "tombstoned",
        })
    }
}
