//! The decision over one partition: rules, then `max_age`, then floors and what holds a backup. Pure; a million points
//! take well under a second and memory linear in them.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::tenure::apply_clock;
use super::{Bucket, DropReason, KeepReason, Point, Tier, Verdict};
use crate::domain::{Guards, Instant, Period, Pick, RetentionRule};

/// What every partition keeps whatever its rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floors {
    /// How many of the newest eligible backups; 0 counts as 1.
    pub min_keep: u32,
}

impl From<&Guards> for Floors {
    fn from(guards: &Guards) -> Self {
        Self { min_keep: guards.min_keep }
    }
}

/// Decides over the points of one partition; the verdicts stand in the order of the points. [`super::decide_in`] does so
/// for backups of a tenant, which may be gone.
pub fn decide(points: &[Point<'_>], rule: &RetentionRule, floors: Floors, now: Instant) -> Vec<Verdict> {
    judge(points, rule, floors, None, now)
}

/// The same; `ended` is when the tenant was offboarded. A clock that begins after now has not begun.
pub(super) fn judge(
    points: &[Point<'_>],
    rule: &RetentionRule,
    floors: Floors,
    ended: Option<Instant>,
    now: Instant,
) -> Vec<Verdict> {
    // The instants are copied beside the indices: a sort that looks each up in a million points waits for memory.
    let eligible = points.iter().enumerate().filter(|(_, point)| point.is_eligible(now));
    let mut order: Vec<(Instant, usize)> = eligible.map(|(index, point)| (point.at, index)).collect();
    order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| points[b.1].id.cmp(points[a.1].id)));
    let newest_first: Vec<usize> = order.into_iter().map(|(_, index)| index).collect();

    let mut reasons: Vec<Vec<KeepReason>> = vec![Vec::new(); points.len()];
    match ended.filter(|ended| *ended <= now) {
        None => apply_rule(points, rule, now, &newest_first, &mut reasons),
        Some(ended) => apply_clock(points, rule, ended, now, &newest_first, &mut reasons),
    }

    // Age goes after the rules, so that a backup that is too old keeps its bucket from the next one: with a larger
    // `max_age` the next one would not be kept either.
    let too_old = |point: &Point<'_>| rule.max_age.is_some_and(|age| age.after(point.at) <= now);
    for (point, reasons) in points.iter().zip(&mut reasons) {
        if too_old(point) {
            reasons.clear();
        }
    }

    let min_keep = floors.min_keep.max(1);
    for index in newest_first.iter().take(min_keep as usize) {
        give(&mut reasons[*index], KeepReason::MinKeep(min_keep));
    }
    if let Some(index) = newest_first.iter().find(|index| points[**index].verified) {
        give(&mut reasons[*index], KeepReason::NewestVerified);
    }
    if let Some(index) = newest_first.iter().find(|index| points[**index].drilled_at.is_some()) {
        give(&mut reasons[*index], KeepReason::NewestDrilled);
    }

    let verdict = |(point, mut reasons): (&Point<'_>, Vec<KeepReason>)| {
        reasons.extend(holds(point, now));
        let dropped = if !reasons.is_empty() {
            None
        } else if point.tombstoned_at.is_some() {
            Some(DropReason::Tombstoned)
        } else if too_old(point) {
            Some(DropReason::TooOld)
        } else {
            Some(DropReason::RetentionOver)
        };
        let release_at = release_at(&reasons, rule.max_age.map(|age| age.after(point.at)));
        Verdict { keep: dropped.is_none(), reasons, dropped, release_at }
    };
    points.iter().zip(reasons).map(verdict).collect()
}

/// Adds a reason; most backups have one, and a million vectors of four would be most of the memory.
pub(super) fn give(reasons: &mut Vec<KeepReason>, reason: KeepReason) {
    if reasons.is_empty() {
        reasons.reserve_exact(1);
    }
    reasons.push(reason);
}

/// Returns what holds a backup whatever the rule says, tombstoned or not.
#[must_use]
pub fn holds(point: &Point<'_>, now: Instant) -> Vec<KeepReason> {
    let mut reasons = Vec::new();
    if point.protected {
        reasons.push(KeepReason::Protected);
    }
    if let Some(until) = point.pinned_until.filter(|until| now < *until) {
        reasons.push(KeepReason::BroughtBack(until));
    }
    if point.leased {
        reasons.push(KeepReason::Leased);
    }
    if let Some(until) = point.locked_until.filter(|until| now < *until) {
        reasons.push(KeepReason::Locked(until));
    }
    if point.quarantined {
        reasons.push(KeepReason::Quarantined);
    }
    if now < point.at {
        reasons.push(KeepReason::FromTheFuture);
    }
    reasons
}

/// Adds the reasons that the rule's parts give to eligible points.
pub(super) fn apply_rule(
    points: &[Point<'_>],
    rule: &RetentionRule,
    now: Instant,
    newest_first: &[usize],
    reasons: &mut [Vec<KeepReason>],
) {
    let last = rule.last.unwrap_or(0);
    for index in newest_first.iter().take(last as usize) {
        give(&mut reasons[*index], KeepReason::Last(last));
    }
    for index in newest_first.iter().take(if rule.forever { usize::MAX } else { 0 }) {
        give(&mut reasons[*index], KeepReason::Forever);
    }
    if let Some(window) = rule.within {
        for index in newest_first {
            let until = window.after(points[*index].at);
            if until <= now {
                break;
            }
            give(&mut reasons[*index], KeepReason::Within { window, until });
        }
    }
    for (bucket, index) in picks(points, rule, newest_first) {
        give(&mut reasons[index], KeepReason::Bucket(bucket));
    }
}

/// The buckets of one tier, newest first, while they are being filled.
struct TierPicks {
    tier: Tier,
    wanted: usize,
    places: HashMap<Bucket, usize>,
    picks: Vec<(Bucket, usize)>,
    /// The instant of the newest point that found the tier full.
    full_since: Option<Instant>,
}

impl TierPicks {
    fn take(&mut self, bucket: Bucket, index: usize, at: Instant, pick: Pick) {
        // Neighbours mostly share a bucket. They need not: where midnight comes twice, a day can come back.
        let place = match self.picks.last() {
            Some((newest, _)) if *newest == bucket => Some(self.picks.len() - 1),
            _ => self.places.get(&bucket).copied(),
        };
        match (place, pick) {
            (Some(place), Pick::First) => self.picks[place].1 = index,
            (Some(_), Pick::Last) => {}
            (None, _) if self.picks.len() < self.wanted => {
                self.places.insert(bucket, self.picks.len());
                self.picks.push((bucket, index));
            }
            (None, _) => self.full_since = self.full_since.or(Some(at)),
        }
    }

    /// Returns whether no point so old can be in a bucket of this tier: clocks go back by a day at most.
    fn is_done(&self, at: Instant) -> bool {
        self.full_since.is_some_and(|full| Period::days(2).after(at) < full)
    }
}

/// Returns each tier's buckets with the point that is the bucket's.
fn picks(points: &[Point<'_>], rule: &RetentionRule, newest_first: &[usize]) -> Vec<(Bucket, usize)> {
    let counts = [rule.hourly, rule.daily, rule.weekly, rule.monthly, rule.quarterly, rule.yearly];
    let mut tiers: Vec<TierPicks> = Tier::ALL
        .into_iter()
        .zip(counts)
        .filter_map(|(tier, count)| {
            let wanted = count.filter(|count| *count > 0)? as usize;
            let most = wanted.min(newest_first.len());
            let (places, picks) = (HashMap::with_capacity(most), Vec::with_capacity(most));
            Some(TierPicks { tier, wanted, places, picks, full_since: None })
        })
        .collect();
    let zone: TimeZone = rule.timezone.zone();
    for index in newest_first {
        let at = points[*index].at;
        let offset = zone.to_offset(at);
        let civil = offset.to_datetime(at);
        let mut all_done = true;
        for tier in tiers.iter_mut().filter(|tier| !tier.is_done(at)) {
            all_done = false;
            tier.take(tier.tier.civil_bucket(civil, offset), *index, at, rule.pick);
        }
        if all_done {
            break;
        }
    }
    tiers.into_iter().flat_map(|tier| tier.picks).collect()
}

/// Returns when time alone releases a backup that has these reasons; `too_old_at` is when `max_age` ends them.
fn release_at(reasons: &[KeepReason], too_old_at: Option<Instant>) -> Option<Instant> {
    let mut rule_ends: Option<Instant> = None;
    let mut lock_ends = None;
    let mut counted = false;
    for reason in reasons {
        match reason {
            KeepReason::Within { until, .. }
            | KeepReason::WithinOffboarding { until, .. }
            | KeepReason::BucketOffboarding { until, .. } => rule_ends = rule_ends.max(Some(*until)),
            KeepReason::Locked(until) | KeepReason::BroughtBack(until) => lock_ends = lock_ends.max(Some(*until)),
            KeepReason::Last(_) | KeepReason::Bucket(_) | KeepReason::Forever => counted = true,
            KeepReason::MinKeep(_)
            | KeepReason::NewestVerified
            | KeepReason::NewestDrilled
            | KeepReason::Protected
            | KeepReason::Leased
            | KeepReason::Quarantined
            | KeepReason::FromTheFuture
            | KeepReason::NeededBy(_) => return None,
        }
    }
    let rule_ends = match (counted, rule_ends, too_old_at) {
        (true, _, None) => return None,
        (true, _, Some(age)) => Some(age),
        (false, Some(window), Some(age)) => Some(window.min(age)),
        (false, window, _) => window,
    };
    rule_ends.max(lock_ends)
}
