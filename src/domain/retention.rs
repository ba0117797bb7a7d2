//! A retention rule as data; `retention` decides with it.

use serde::{Deserialize, Serialize};

use super::{Period, ZoneName};

/// How long the backups of a schedule are kept. Each part keeps what it keeps; a backup that any part keeps stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RetentionRule {
    /// The newest so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// One of each of so many non-empty hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<u32>,
    /// One of each of so many non-empty days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<u32>,
    /// One of each of so many non-empty ISO weeks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<u32>,
    /// One of each of so many non-empty months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u32>,
    /// One of each of so many non-empty quarters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarterly: Option<u32>,
    /// One of each of so many non-empty years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<u32>,
    /// Everything younger than this, counted from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Period>,
    /// Nothing older than this, whatever the other parts say (floors, locks and pins win over it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Period>,
    /// Everything, always.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forever: bool,
    /// Which backup of a bucket is the bucket's.
    #[serde(default)]
    pub pick: Pick,
    /// The zone on whose calendar buckets lie.
    #[serde(default)]
    pub timezone: ZoneName,
    /// Moves to colder storage classes.
    #[serde(default, rename = "move", skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
}

impl RetentionRule {
    /// Returns whether no part of the rule keeps anything.
    #[must_use]
    pub fn keeps_nothing(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.quarterly, self.yearly];
        !self.forever && self.within.is_none_or(|p| p.as_seconds() == 0) && counts.into_iter().flatten().all(|n| n == 0)
    }
}

/// Which backup of a bucket is kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// The first eligible one: membership is known when the backup is written.
    #[default]
    First,
    /// The newest eligible one, as restic and Borg do.
    Last,
}

/// One move to a colder class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// At which age.
    pub after: Period,
    /// To which storage class.
    pub to: String,
}
