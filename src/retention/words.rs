//! Retention rules in words for people. Pure.

use crate::domain::RetentionRule;

/// Says what a rule keeps: `7 daily, 4 weekly, 12 monthly, 5 yearly, Asia/Seoul`.
#[must_use]
pub fn describe(_rule: &RetentionRule) -> String {
    unimplemented!()
}
