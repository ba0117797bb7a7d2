//! Verdicts that count backups which are still to be taken. They are reckoned as of now, and are taken later: behind
//! midnight the newest of yesterday stays the newest of yesterday. Here stands of when they must be for a verdict to
//! stand. Pure.

use super::bucket::before;
use super::tenure::count;
use super::{Floors, Point, Tenure, Tier, Verdict, decide_in};
use crate::domain::{Between, Instant, Period, RetentionRule};

/// What a partition is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Its rule.
    pub rule: &'a RetentionRule,
    /// What it keeps whatever the rule says.
    pub floors: Floors,
    /// Whether its tenant is there.
    pub tenure: Tenure,
    /// The instant of the decision.
    pub now: Instant,
}

impl Terms<'_> {
    /// Decides over the points of one partition.
    #[must_use]
    pub fn decide(&self, points: &[Point<'_>]) -> Vec<Verdict> {
        decide_in(points, self.rule, self.floors, self.tenure, self.now)
    }
}

/// How far behind `now` a backup that is still to be taken may be, by a clock that is behind.
const BEHIND: Period = Period::days(1);

/// Returns for each point before `coming` that is dropped now of when the ones from there on, which stand at now, must be
/// for it to be dropped. Within one bucket of every tier it does not matter when they are; in the next one, or the one
/// before, they push out others. One step each way is enough: behind it they meet no other backup.
#[must_use]
pub fn stands_between(points: &[Point<'_>], coming: usize, terms: Terms<'_>) -> Vec<Between> {
    let now = terms.now;
    let kept_with = |at: Instant| {
        let mut points = points.to_vec();
        points.iter_mut().skip(coming).for_each(|point| point.at = at);
        let verdicts = Terms { now: now.max(at), ..terms }.decide(&points);
        verdicts.into_iter().take(coming).map(|verdict| verdict.keep).collect::<Vec<bool>>()
    };
    let mut all = vec![Between::default(); coming];
    let zone = terms.rule.timezone.zone();
    let there = points.iter().take(coming).filter(|point| point.is_eligible(now));
    let newest = there.map(|point| point.at).max();
    for tier in Tier::ALL.into_iter().filter(|tier| count(terms.rule, *tier) > 0) {
        let Some(begin) = tier.begin(now, &zone) else { continue };
        // Alone in their bucket, they would be alone in the next one, too.
        let end = tier.end(now, &zone).filter(|_| newest.is_some_and(|newest| newest >= begin));
        if let Some(end) = end {
            for (between, _) in all.iter_mut().zip(kept_with(end)).filter(|(_, kept)| *kept) {
                between.until = Some(between.until.map_or(end, |until| until.min(end)));
            }
        }
        if let Some(earlier) = before(begin).filter(|earlier| BEHIND.after(*earlier) >= now) {
            for (between, _) in all.iter_mut().zip(kept_with(earlier)).filter(|(_, kept)| *kept) {
                between.from = between.from.max(Some(begin));
            }
        }
    }
    all
}
