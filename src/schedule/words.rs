//! Schedules in words for people. Pure.

use crate::domain::When;

/// Says when a schedule runs: `daily at 02:00 Asia/Seoul`.
#[must_use]
pub fn describe(_when: &When) -> String {
    unimplemented!()
}
