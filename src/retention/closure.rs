//! Closure: what a kept backup needs is kept, and deletion goes leaf first. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::holds;
use super::{DropReason, KeepReason, Point, Verdict};
use crate::domain::{BackupId, Instant};

/// A backup, what it needs, and whether it holds what it needs.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    /// The backup.
    pub id: &'a BackupId,
    /// What it cannot be restored without: the backup it builds on, the shared and bridge archives it names.
    pub needs: Vec<&'a BackupId>,
    /// Whether it is kept, or tombstoned and not purged, or being written.
    pub holds: bool,
}

/// What the links say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure<'a> {
    /// Each backup that is needed, directly or through others, by one that holds; with the smallest id of those that
    /// need it directly.
    pub needed: BTreeMap<&'a BackupId, &'a BackupId>,
    /// Needs that no link stands for, with who has them: these backups are not restorable. Ordered.
    pub missing: Vec<(&'a BackupId, &'a BackupId)>,
}

/// Follows the needs of every backup that holds.
#[must_use]
pub fn closure<'a>(links: &[Link<'a>]) -> Closure<'a> {
    let places = places(links);
    let mut closure = Closure { needed: BTreeMap::new(), missing: Vec::new() };
    let mut live: Vec<bool> = links.iter().map(|link| link.holds).collect();
    let mut open: Vec<usize> = (0..links.len()).filter(|index| live[*index]).collect();
    while let Some(index) = open.pop() {
        let link = &links[index];
        for need in &link.needs {
            closure.needed.entry(need).and_modify(|by| *by = link.id.min(by)).or_insert(link.id);
            match places.get(need) {
                None => closure.missing.push((link.id, need)),
                Some(places) => {
                    for place in places {
                        if !std::mem::replace(&mut live[*place], true) {
                            open.push(*place);
                        }
                    }
                }
            }
        }
    }
    closure.missing.sort_unstable();
    closure.missing.dedup();
    closure
}

/// Decides over shared and bridge archives: they have no buckets and no floors, and live exactly as long as a backup
/// that holds names them. `needed` is [`Closure::needed`] of every link of the database, in-progress ones included: an
/// archive whose tenant backups are still being written has no other protection.
pub fn shared_verdicts(shared: &[Point<'_>], needed: &BTreeMap<&BackupId, &BackupId>, now: Instant) -> Vec<Verdict> {
    let verdict = |point: &Point<'_>| {
        let mut reasons = holds(point, now);
        let release_at = match (needed.get(point.id), reasons.as_slice()) {
            (None, [KeepReason::Locked(until)]) => Some(*until),
            _ => None,
        };
        reasons.extend(needed.get(point.id).map(|by| KeepReason::NeededBy((*by).clone())));
        let dropped = match (reasons.is_empty(), point.tombstoned_at) {
            (false, _) => None,
            (true, Some(_)) => Some(DropReason::Tombstoned),
            (true, None) => Some(DropReason::RetentionOver),
        };
        Verdict { keep: dropped.is_none(), reasons, dropped, release_at }
    };
    shared.iter().map(verdict).collect()
}

/// Returns the indices of the links in an order that deletes whatever needs a backup before the backup itself; equals
/// by id. Links in a cycle, which no honest catalog has, and what those need come last.
#[must_use]
pub fn leaf_first(links: &[Link<'_>]) -> Vec<usize> {
    let places = places(links);
    let needs = |index: usize| links[index].needs.iter().filter_map(|need| places.get(*need)).flatten().copied();
    let mut dependents = vec![0_usize; links.len()];
    for index in 0..links.len() {
        needs(index).for_each(|place| dependents[place] += 1);
    }
    let mut leaves: BTreeSet<(&BackupId, usize)> =
        (0..links.len()).filter(|index| dependents[*index] == 0).map(|index| (links[index].id, index)).collect();
    let mut order = Vec::with_capacity(links.len());
    let mut placed = vec![false; links.len()];
    while let Some((_, index)) = leaves.pop_first() {
        order.push(index);
        placed[index] = true;
        for place in needs(index) {
            dependents[place] -= 1;
            if dependents[place] == 0 {
                leaves.insert((links[place].id, place));
            }
        }
    }
    let mut rest: Vec<usize> = (0..links.len()).filter(|index| !placed[*index]).collect();
    rest.sort_unstable_by_key(|index| links[*index].id);
    order.extend(rest);
    order
}

/// Returns where each id stands; should a catalog list one twice, both count.
fn places<'a>(links: &[Link<'a>]) -> BTreeMap<&'a BackupId, Vec<usize>> {
    let mut places: BTreeMap<&BackupId, Vec<usize>> = BTreeMap::new();
    for (index, link) in links.iter().enumerate() {
        places.entry(link.id).or_default().push(index);
    }
    places
}
