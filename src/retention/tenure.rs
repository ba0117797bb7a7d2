//! The clock of a tenant that is gone: its backups are kept as long as the rule says, counted from when it was offboarded,
//! since nothing new pushes them out and nobody can make another one. Pure.
//!
//! - What the rule keeps at that instant is what the clock is about; what it had dropped by then does not come back.
//! - `within: 30d` ends 30 days after the offboarding, however old the backup was then.
//! - A bucket of `daily: 7` ends 7 calendar days after it, one of `yearly: 5` five calendar years, in the rule's zone.
//!   A count that nothing newer uses up would else keep it for ever.
//! - `last` and `forever` name no length: they keep until people act. So do floors, locks and pins.
//! - `max_age` stays counted from the backup itself: it is a duty to erase, and offboarding is no reason to be late.

use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};

use super::decide::{apply_rule, give, judge};
use super::{Floors, KeepReason, Point, Tier, Verdict};
use crate::domain::{Instant, RetentionRule};

/// Whether the tenant that a partition's backups are of is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Tenure {
    /// It is, or the backups are of no tenant.
    #[default]
    Lives,
    /// It was offboarded then.
    Ended(Instant),
    /// It was offboarded then, and whether it came back could not be seen.
    Unsure(Instant),
}

/// Decides over the points of one partition, by the rule while its tenant lives and by the clock of its offboarding
/// afterwards. Where it cannot be seen whether the tenant came back, what either of them keeps stays.
pub fn decide_in(
    points: &[Point<'_>],
    rule: &RetentionRule,
    floors: Floors,
    tenure: Tenure,
    now: Instant,
) -> Vec<Verdict> {
    match tenure {
        Tenure::Lives => judge(points, rule, floors, None, now),
        Tenure::Ended(at) => judge(points, rule, floors, Some(at), now),
        Tenure::Unsure(at) => {
            let ended = judge(points, rule, floors, Some(at), now);
            let lives = judge(points, rule, floors, None, now);
            let either = |(ended, lives): (Verdict, Verdict)| if ended.keep || !lives.keep { ended } else { lives };
            ended.into_iter().zip(lives).map(either).collect()
        }
    }
}

/// Adds the reasons that the rule gives to eligible points of a tenant that was offboarded at `ended`, not after `now`.
pub(super) fn apply_clock(
    points: &[Point<'_>],
    rule: &RetentionRule,
    ended: Instant,
    now: Instant,
    newest_first: &[usize],
    reasons: &mut [Vec<KeepReason>],
) {
    let mut then: Vec<Vec<KeepReason>> = vec![Vec::new(); points.len()];
    apply_rule(points, rule, ended, newest_first, &mut then);
    let zone = rule.timezone.zone();
    for index in newest_first {
        // A backup that was under way when its tenant went is counted from itself.
        let begin = ended.max(points[*index].at);
        for reason in std::mem::take(&mut then[*index]) {
            let reason = match reason {
                KeepReason::Within { window, .. } => {
                    KeepReason::WithinOffboarding { window, until: window.after(begin) }
                }
                KeepReason::Bucket(bucket) => {
                    let tier = bucket.tier();
                    let until = reach(tier, count(rule, tier), begin, &zone);
                    KeepReason::BucketOffboarding { bucket, until }
                }
                other => other,
            };
            let over = match &reason {
                KeepReason::WithinOffboarding { until, .. } | KeepReason::BucketOffboarding { until, .. } => {
                    *until <= now
                }
                _ => false,
            };
            if !over {
                give(&mut reasons[*index], reason);
            }
        }
    }
}

/// Returns how many buckets of a tier a rule keeps.
pub(super) const fn count(rule: &RetentionRule, tier: Tier) -> u32 {
    let count = match tier {
        Tier::Hourly => rule.hourly,
        Tier::Daily => rule.daily,
        Tier::Weekly => rule.weekly,
        Tier::Monthly => rule.monthly,
        Tier::Quarterly => rule.quarterly,
        Tier::Yearly => rule.yearly,
    };
    match count {
        Some(count) => count,
        None => 0,
    }
}

/// Returns the instant so many calendar units after `begin`; the last instant there is where the calendar ends before.
fn reach(tier: Tier, count: u32, begin: Instant, zone: &TimeZone) -> Instant {
    let count = i64::from(count);
    let span = || -> Result<Span, jiff::Error> {
        match tier {
            Tier::Hourly => 0.hours().try_hours(count),
            Tier::Daily => 0.days().try_days(count),
            Tier::Weekly => 0.weeks().try_weeks(count),
            Tier::Monthly => 0.months().try_months(count),
            Tier::Quarterly => 0.months().try_months(count.saturating_mul(3)),
            Tier::Yearly => 0.years().try_years(count),
        }
    };
    let end = span().and_then(|span| begin.to_zoned(zone.clone()).checked_add(span));
    end.map_or(Instant::MAX, |zoned| zoned.timestamp())
}
