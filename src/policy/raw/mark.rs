//! `suspend` and `protect`, which any thing may carry. Pure.

use crate::domain::Suspension;
use crate::policy::record::record;
use crate::policy::values::{DateOrInstant, Text};

record! {
    /// A pause, which always has an end.
    Suspend, "a suspension" {
        /// When it ends: a date, which means its begin in UTC, or an instant.
        #[schemars(example = "2026-12-01")]
        until: DateOrInstant, required;
        /// Why.
        #[schemars(example = &"migration")]
        reason: Text;
    }
}

/// What any thing may carry.
#[derive(Debug, Clone, Default)]
pub(in crate::policy) struct Marks {
    /// Its pause.
    pub suspended: Option<Suspension>,
    /// Whether nothing of it is deleted.
    pub protected: bool,
}

/// A thing that can be paused and protected.
pub(in crate::policy) trait Marked {
    /// Returns what it carries.
    fn marks(&self) -> Marks;
}

/// Says that records have the keys `suspend` and `protect`.
macro_rules! marked {
    ($($name:ty),* $(,)?) => { $(
        impl Marked for $name {
            fn marks(&self) -> Marks {
                Marks {
                    suspended: self.suspend.as_ref().and_then(Suspend::spec),
                    protected: self.protect.unwrap_or_default(),
                }
            }
        }
    )* };
}

marked!(
    super::Store,
    super::Database,
    super::Class,
    super::Retention,
    super::Schedule,
    super::RecoveryPlan,
    super::Channel
);

impl Suspend {
    fn spec(&self) -> Option<Suspension> {
        let reason = self.reason.as_ref().map(|text| text.0.clone());
        self.until.as_ref().map(|until| Suspension { until: until.instant, reason })
    }
}
