//! What the policies say about their own change: things that are paused, renamed, or gone.

use serde::{Deserialize, Serialize};

use super::{Address, Instant};

/// A pause, which always has an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// When it ends.
    pub until: Instant,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Suspension {
    /// Returns whether the pause is on at an instant.
    #[must_use]
    pub fn is_on(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// A rename that keeps history and retention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The address before.
    pub from: Address,
    /// The address now.
    pub to: Address,
}

/// Something that left the policies on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its address before.
    pub from: Address,
    /// What becomes of its backups.
    pub backups: RemovedBackups,
}

/// What becomes of the backups of something that left the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovedBackups {
    /// They stay for good.
    Keep,
    /// They stay as long as the rule they were made under keeps them.
    Expire,
    /// They are deleted, after the grace period.
    Delete,
}

impl RemovedBackups {
    /// Every fate.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Expire, Self::Delete];

    /// Returns the word of the policy language.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Expire => "expire",
            Self::Delete => "delete",
        }
    }
}
