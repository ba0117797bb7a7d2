//! What a change costs: the backups that are there at the begin, under the old policies and under the new. Pure.

use std::collections::{BTreeMap, HashMap};

use super::population::Population;
use super::record::{Life, LineKey, Record, line_of, rule_of};
use super::sizes::stream_of;
use super::world::World;
use crate::domain::{Backup, BackupId, Bytes, ChangeForecast, Instant, LossAt, LossLine, LostBackup, Period, Scope};

/// How many backups are named.
const MOST_NAMED: usize = 1000;

/// One of the two sides, when it has run.
pub(super) struct Side<'a> {
    /// What was written down.
    pub record: &'a Record,
    /// The world at the begin, before anything was done.
    pub world: &'a World,
}

/// How a backup that is there at the begin ends on both sides.
struct Fate<'a> {
    backup: &'a Backup,
    old: Life,
    new: Life,
    weight: u64,
    bytes: u64,
}

impl Fate<'_> {
    /// Out of use under the new policies before it would be under the old.
    fn is_lost(&self) -> bool {
        let Some(at) = self.new.tombstoned_at else { return false };
        self.old.tombstoned_at.is_none_or(|old| at < old)
    }

    fn is_saved(&self) -> bool {
        let Some(at) = self.old.tombstoned_at else { return false };
        self.new.tombstoned_at.is_none_or(|new| at < new)
    }
}

/// Compares both sides. `days` are the milestones, as days after the begin with their instants.
pub(super) fn compare(
    before: &Side<'_>,
    after: &Side<'_>,
    population: &Population,
    days: &[(u64, Instant)],
) -> ChangeForecast {
    let none: HashMap<BackupId, Life> = HashMap::new();
    let life = |side: &Side<'_>, id: &BackupId| side.record.lives.get(id).or_else(|| none.get(id)).copied();
    // A shared archive is no restore point; it goes with the last backup that names it.
    let there = after.world.backups().iter().filter(|b| b.tombstoned_at.is_none() && b.scope != Scope::Shared);
    let fates: Vec<Fate<'_>> = there
        .map(|backup| Fate {
            backup,
            old: life(before, &backup.id).unwrap_or_default(),
            new: life(after, &backup.id).unwrap_or_default(),
            weight: population.weight(backup.database.as_ref(), &backup.scope),
            bytes: population
                .bytes
                .get(&backup.id)
                .copied()
                .or(after.record.bytes.get(&backup.id).copied())
                .unwrap_or(0),
        })
        .collect();
    let lost: Vec<&Fate<'_>> = fates.iter().filter(|fate| fate.is_lost()).collect();
    let begin = after.world.now();
    let at_once: Vec<&Fate<'_>> =
        lost.iter().copied().filter(|fate| fate.new.tombstoned_at.is_some_and(|at| at <= begin)).collect();
    let count = |fates: &[&Fate<'_>]| fates.iter().map(|fate| fate.weight).sum::<u64>();
    let bytes = |fates: &[&Fate<'_>]| Bytes(fates.iter().map(|fate| fate.bytes).sum());
    let over_time = days.iter().map(|(day, at)| {
        let gone = |life: Life| life.tombstoned_at.is_some_and(|gone| gone <= *at);
        let of = |old: bool| fates.iter().filter(|f| gone(f.new) && gone(f.old) == old).map(|f| f.weight).sum();
        LossAt { day: *day, by_change: of(false), anyway: of(true) }
    });
    let ends_anyway = |fate: &&&Fate<'_>| fate.old.tombstoned_at.is_some() && fate.new.tombstoned_at.is_some();
    ChangeForecast {
        there: fates.iter().map(|fate| fate.weight).sum(),
        lost_at_once: count(&at_once),
        lost_by_change: count(&lost),
        lost_bytes: bytes(&at_once),
        lost_oldest: at_once.iter().map(|fate| fate.backup.consistent_at).min(),
        lost_newest: at_once.iter().map(|fate| fate.backup.consistent_at).max(),
        lost_anyway: {
            let all: Vec<&Fate<'_>> = fates.iter().collect();
            all.iter().filter(ends_anyway).filter(|fate| !fate.is_lost()).map(|fate| fate.weight).sum()
        },
        saved_by_change: fates.iter().filter(|fate| fate.is_saved()).map(|fate| fate.weight).sum(),
        first_loss: lost.iter().filter_map(|fate| fate.new.tombstoned_at).min(),
        irreversible_after: lost
            .iter()
            .filter(|fate| fate.new.purged_at.is_some_and(|at| fate.old.purged_at.is_none_or(|old| at < old)))
            .filter_map(|fate| fate.new.purged_at)
            .min(),
        over_time: over_time.collect(),
        lines: lines(before, after, population, &lost),
        backups: named(&lost),
    }
}

fn lines(before: &Side<'_>, after: &Side<'_>, population: &Population, lost: &[&Fate<'_>]) -> Vec<LossLine> {
    let mut by_line: BTreeMap<LineKey, Vec<&Fate<'_>>> = BTreeMap::new();
    for fate in lost {
        // Named as before the change: that is where people know it from.
        let key = line_of(&stream_of(fate.backup), &before.world.desired);
        by_line.entry(key).or_default().push(fate);
    }
    let depth = |record: &Record, key: &LineKey, last: bool| {
        let line = record.lines.get(key)?;
        let day = if last { record.days.len().checked_sub(1)? } else { 0 };
        line.depth.get(day).copied().flatten()
    };
    let rows = by_line.into_iter().filter_map(|(key, fates)| {
        let mut scopes: Vec<&Scope> = fates.iter().map(|fate| &fate.backup.scope).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Some(LossLine {
            schedule: key.0.clone(),
            database: key.1.clone(),
            scope: key.2.clone(),
            scopes: scopes.iter().map(|scope| population.weight(key.1.as_ref(), scope)).sum(),
            rule_before: rule_of(&key.0, before.world),
            rule_after: after
                .world
                .desired
                .schedules
                .contains_key(&key.0)
                .then(|| rule_of(&key.0, after.world))
                .flatten(),
            lost_at_once: fates
                .iter()
                .filter(|f| f.new.tombstoned_at.is_some_and(|at| at <= after.world.now()))
                .map(|f| f.weight)
                .sum(),
            lost: fates.iter().map(|fate| fate.weight).sum(),
            bytes: Bytes(fates.iter().map(|fate| fate.bytes).sum()),
            oldest: fates.iter().map(|fate| fate.backup.consistent_at).min()?,
            newest: fates.iter().map(|fate| fate.backup.consistent_at).max()?,
            depth_before: oldest_of(before.world, &fates),
            depth_end_before: depth(before.record, &key, true),
            depth_end_after: depth(after.record, &key, true),
        })
    });
    rows.collect()
}

/// How far back every scope that loses something can be restored at the begin, by the same schedule.
fn oldest_of(world: &World, fates: &[&Fate<'_>]) -> Option<Period> {
    let mut oldest: BTreeMap<&Scope, Instant> = BTreeMap::new();
    let first = fates.first()?;
    for fate in fates {
        oldest.entry(&fate.backup.scope).or_insert(Instant::MAX);
    }
    let same = |b: &&Backup| b.schedule == first.backup.schedule && b.database == first.backup.database;
    for backup in world.backups().iter().filter(same).filter(|b| b.tombstoned_at.is_none()) {
        if let Some(known) = oldest.get_mut(&backup.scope) {
            *known = backup.consistent_at.min(*known);
        }
    }
    oldest.values().max().map(|youngest| Period::between(*youngest, world.now()))
}

fn named(lost: &[&Fate<'_>]) -> Vec<LostBackup> {
    let mut lost: Vec<&&Fate<'_>> = lost.iter().collect();
    lost.sort_by_key(|fate| (fate.backup.consistent_at, &fate.backup.id));
    let named = lost.into_iter().take(MOST_NAMED).filter_map(|fate| {
        Some(LostBackup {
            backup: fate.backup.id.to_string(),
            scope: fate.backup.scope.to_string(),
            stands_for: fate.weight,
            consistent_at: fate.backup.consistent_at,
            tombstoned_at: fate.new.tombstoned_at?,
            purged_at: fate.new.purged_at,
            otherwise: fate.old.tombstoned_at,
        })
    });
    named.collect()
}
