//! Verdicts that count backups which are still to be taken. They are reckoned as of now, and are taken later: behind
//! midnight the newest of yesterday stays the newest of yesterday. Here stands of when they must be for a verdict to
//! stand. Pure.

use super::bucket::before;
use super::tenure::count;
use super::{Floors, Point, Tenure, Tier, Verdict, decide_in};
use crate::domain::{Between, Instant, RetentionRule};

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

/// Returns for each point before `coming` that is dropped now of when the ones from there on, which stand at now, must be
/// for it to be dropped. Within one bucket of every tier it does not matter when they are; in the next one, or the one
/// before, they push out others. One step each way is enough: behind it they meet no other backup.
#[must_use]
pub fn stands_between(points: &[Point<'_>], coming: usize, terms: Terms<'_>) -> Vec<Between> {
    let kept_with = |at: Instant| {
        let mut points = points.to_vec();
        points.iter_mut().skip(coming).for_each(|point| point.at = at);
        let verdicts = Terms { now: terms.now.max(at), ..terms }.decide(&points);
        verdicts.into_iter().take(coming).map(|verdict| verdict.keep).collect::<Vec<bool>>()
    };
    let mut all = vec![Between::default(); coming];
    let zone = terms.rule.timezone.zone();
    for tier in Tier::ALL.into_iter().filter(|tier| count(terms.rule, *tier) > 0) {
        if let Some(end) = tier.end(terms.now, &zone) {
            for (between, _) in all.iter_mut().zip(kept_with(end)).filter(|(_, kept)| *kept) {
                between.until = Some(between.until.map_or(end, |until| until.min(end)));
            }
        }
        let begin = tier.begin(terms.now, &zone);
        if let Some((begin, earlier)) = begin.and_then(|begin| Some((begin, before(begin)?))) {
            for (between, _) in all.iter_mut().zip(kept_with(earlier)).filter(|(_, kept)| *kept) {
                between.from = between.from.max(Some(begin));
            }
        }
    }
    all
}
