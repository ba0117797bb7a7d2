//! What a simulation writes down as it goes: what was taken, how each backup ended, and the state of each day. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::population::Population;
use super::sizes::{Sizes, Stream, stream_of};
use super::world::World;
use crate::domain::{
    ActionKind, Backup, BackupId, Desired, Held, HeldReason, Instant, Move, Name, Period, Plan, Requests,
    RetentionRule, Scope, Section,
};
use crate::retention::describe;

/// The part size of uploads, and how many objects a page of a listing shows.
const PART: u64 = 16 << 20;
const PAGE: u64 = 1000;

/// How a backup fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// When it was taken; absent where it was there before.
    pub taken_at: Option<Instant>,
    /// When it was tombstoned.
    pub tombstoned_at: Option<Instant>,
    /// When it was purged.
    pub purged_at: Option<Instant>,
}

/// A schedule, a database, and the kind of scope in words.
pub(super) type LineKey = (Name, Option<Name>, String);

/// One line, day by day.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pub points: Vec<u64>,
    pub grace: Vec<u64>,
    pub depth: Vec<Option<Period>>,
    pub bytes: Vec<u64>,
    pub kept_by: BTreeMap<usize, BTreeMap<String, u64>>,
    /// The streams that were seen in it.
    pub streams: BTreeSet<Stream>,
}

/// When a backup's content is of, and when it was complete.
pub(super) type Covered = (Instant, Instant);

/// Everything that was written down.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub days: Vec<Instant>,
    pub lines: BTreeMap<LineKey, Line>,
    pub lives: HashMap<BackupId, Life>,
    /// What a stored backup and all it stands for come to.
    pub bytes: HashMap<BackupId, u64>,
    pub covered: BTreeMap<Stream, Vec<Covered>>,
    pub bytes_by_class: BTreeMap<String, Vec<u64>>,
    pub backups_by_class: BTreeMap<String, Vec<u64>>,
    /// Requests on each day.
    pub requests: Vec<Requests>,
    pub taken: u64,
    pub missed: u64,
    pub drills: u64,
    /// Slots of which a backup was taken.
    pub slots: BTreeSet<(Name, Instant)>,
    pub held: BTreeSet<String>,
    /// The scope's line, looked up once.
    names: HashMap<Stream, LineKey>,
}

impl Record {
    /// Begins a record over these days; `day` is written when a simulation says what a day looks like.
    pub fn new(days: &[Instant], population: &Population) -> Self {
        Self {
            days: days.to_vec(),
            requests: vec![Requests::default(); days.len()],
            bytes: population.bytes.clone(),
            ..Self::default()
        }
    }

    /// Notes what a plan does, before it is done.
    pub fn note(&mut self, plan: &Plan, world: &World, population: &Population, sizes: &Sizes, day: usize) {
        let now = world.now();
        let mut requests = Requests::default();
        for action in &plan.actions {
            match &action.kind {
                ActionKind::BackUp(work) => {
                    let weight = population.weight(work.database.as_ref(), &work.scope);
                    let (amount, total) = sizes.amount(work, now, weight);
                    let stream = (work.schedule.clone(), work.database.clone(), work.scope.clone());
                    self.covered.entry(stream).or_default().push((now, amount.duration.after(now)));
                    self.bytes.insert(work.backup.clone(), total);
                    self.slots.insert((work.schedule.clone(), work.slot));
                    self.lives.entry(work.backup.clone()).or_default().taken_at = Some(now);
                    if work.scope != Scope::Shared {
                        self.taken += weight;
                    }
                    let store = world.desired.stores.get(&work.store);
                    let keys = store.and_then(|s| s.encryption.as_ref()).map_or(0, |e| e.recipients.len() as u64);
                    let parts = amount.size.0.div_ceil(PART).max(1);
                    // A multipart upload is begun and completed, too; then the key objects and the manifest.
                    requests.put += weight * (parts + if parts > 1 { 2 } else { 0 } + keys + 1);
                    // The data is read back once, and the manifest's key is looked at before.
                    requests.get += weight * 2;
                }
                ActionKind::Tombstone(work) => {
                    self.lives.entry(work.backup.clone()).or_default().tombstoned_at = Some(now);
                    requests.put += population.weight(work.database.as_ref(), &work.scope);
                }
                ActionKind::Purge(work) => {
                    let life = self.lives.entry(work.backup.clone()).or_default();
                    life.purged_at = Some(now);
                    life.tombstoned_at = life.tombstoned_at.or(Some(now));
                    let weight = population.weight(work.database.as_ref(), &work.scope);
                    requests.put += weight;
                    // Manifest, data, key, marks.
                    requests.delete += weight * 4;
                }
                ActionKind::Drill(work) => {
                    self.drills += 1;
                    requests.get += work.backups.len() as u64 * 3;
                }
                _ => {}
            }
        }
        requests.list = if plan.actions.is_empty() { 0 } else { (world.backups().len() as u64).div_ceil(PAGE).max(1) };
        for held in plan.held.iter().filter(|held| is_news(held)) {
            let scope = held.scope.as_ref().map_or(String::new(), |scope| format!(" {scope}"));
            self.held.insert(format!("{}{scope}: {}", held.address, held.words));
        }
        if let Some(sum) = self.requests.get_mut(day) {
            sum.put += requests.put;
            sum.get += requests.get;
            sum.list += requests.list;
            sum.delete += requests.delete;
        }
    }

    /// Writes down what the world looks like on a day. Tenants have the class that `naming` gives them; `plan` is what the planner says then; its reasons are counted.
    pub fn day(&mut self, day: usize, world: &World, naming: &Desired, population: &Population, plan: Option<&Plan>) {
        let Some(at) = self.days.get(day).copied() else { return };
        let classes = Classes::of(world);
        let mut oldest: HashMap<(&LineKey, &Stream), Instant> = HashMap::new();
        let streams: Vec<Stream> = world.backups().iter().map(stream_of).collect();
        for stream in &streams {
            if !self.names.contains_key(stream) {
                let name = line_of(stream, naming);
                self.lines.entry(name.clone()).or_default().streams.insert(stream.clone());
                self.names.insert(stream.clone(), name);
            }
        }
        let mut touched: BTreeSet<&LineKey> = BTreeSet::new();
        for (backup, stream) in world.backups().iter().zip(&streams) {
            let Some(name) = self.names.get(stream) else { continue };
            let Some(line) = self.lines.get_mut(name) else { continue };
            touched.insert(name);
            let weight = population.weight(backup.database.as_ref(), &backup.scope);
            let bytes = self.bytes.get(&backup.id).copied().unwrap_or(backup.size.0);
            let live = backup.tombstoned_at.is_none() && backup.quarantine.is_none();
            add(if live { &mut line.points } else { &mut line.grace }, day, weight);
            add(&mut line.bytes, day, bytes);
            if live {
                let known = oldest.entry((name, stream)).or_insert(backup.consistent_at);
                *known = backup.consistent_at.min(*known);
            }
            let class = classes.of_backup(backup, at);
            add(self.bytes_by_class.entry(class.to_owned()).or_default(), day, bytes);
            add(self.backups_by_class.entry(class.to_owned()).or_default(), day, weight);
        }
        let depths: Vec<(LineKey, Period)> =
            oldest.into_iter().map(|((name, _), oldest)| (name.clone(), Period::between(oldest, at))).collect();
        for (name, depth) in depths {
            let Some(line) = self.lines.get_mut(&name) else { continue };
            line.depth.resize(line.depth.len().max(day + 1), None);
            let known = &mut line.depth[day];
            *known = Some(known.map_or(depth, |known| known.min(depth)));
        }
        if let Some(plan) = plan {
            self.reasons(day, world, population, plan);
        }
    }

    fn reasons(&mut self, day: usize, world: &World, population: &Population, plan: &Plan) {
        let by_id: HashMap<&BackupId, &Backup> = world.backups().iter().map(|backup| (&backup.id, backup)).collect();
        for kept in &plan.kept {
            let Some(backup) = by_id.get(&kept.backup).filter(|backup| backup.tombstoned_at.is_none()) else {
                continue;
            };
            let Some(line) = self.names.get(&stream_of(backup)).and_then(|name| self.lines.get_mut(name)) else {
                continue;
            };
            let weight = population.weight(backup.database.as_ref(), &backup.scope);
            let words: BTreeSet<&str> = kept.reasons.iter().map(|reason| rule_word(reason)).collect();
            for word in words {
                *line.kept_by.entry(day).or_default().entry(word.to_owned()).or_default() += weight;
            }
        }
    }
}

/// Returns the rule's word in a reason: `daily 2026-11-20` is daily's.
fn rule_word(reason: &str) -> &str {
    let word = reason.split([' ', ':']).next().unwrap_or(reason);
    if word == "shared" { "needed" } else { word }
}

/// What waits for its grace, a floor or a need is no news: it is how things are.
fn is_news(held: &Held) -> bool {
    !matches!(held.reason, HeldReason::Grace | HeldReason::Floor | HeldReason::Needed | HeldReason::Leased)
        && ["back_up", "drill", "prune"].contains(&held.work.as_str())
}

fn add(values: &mut Vec<u64>, day: usize, amount: u64) {
    if values.len() <= day {
        values.resize(day + 1, 0);
    }
    values[day] = values[day].saturating_add(amount);
}

/// Returns the line a stream belongs to.
pub(super) fn line_of(stream: &Stream, desired: &Desired) -> LineKey {
    let (schedule, database, scope) = stream;
    let words = match scope {
        Scope::Tenant(slug) => match database.as_ref().and_then(|database| class_of(desired, database, slug)) {
            Some(Some(class)) => format!("tenants of class {class}"),
            Some(None) => "tenants without a class".to_owned(),
            None => "tenants that are gone".to_owned(),
        },
        Scope::Shared => "shared archives".to_owned(),
        other => other.to_string(),
    };
    (schedule.clone(), database.clone(), words)
}

/// Returns a tenant's class, where there is such a tenant.
fn class_of<'a>(desired: &'a Desired, database: &Name, slug: &str) -> Option<Option<&'a Name>> {
    let mut tenants = super::population::tenants(desired);
    tenants.find(|(of, tenant, _)| *of == database && tenant.slug == slug).map(|(_, _, class)| class)
}

/// The storage class of each store, and the moves of each schedule.
struct Classes<'a> {
    stores: BTreeMap<&'a Name, &'a str>,
    moves: BTreeMap<&'a Name, &'a [Move]>,
}

impl<'a> Classes<'a> {
    fn of(world: &'a World) -> Self {
        let stores = world.desired.stores.iter();
        let stores = stores.map(|(name, spec)| (name, spec.storage_class.as_deref().unwrap_or("standard")));
        let applied = world.facts().into_iter().flat_map(|facts| &facts.applied);
        let recorded =
            applied.filter_map(|(address, a)| Some((address.name()?, a.retention.as_ref()?.moves.as_slice())));
        let mut moves: BTreeMap<&Name, &[Move]> = recorded.collect();
        moves.extend(world.desired.schedules.iter().map(|(name, spec)| (name, spec.retention.moves.as_slice())));
        Self { stores: stores.collect(), moves }
    }

    /// Moves count from the day on which they are due: tiering happens in time.
    fn of_backup(&self, backup: &Backup, at: Instant) -> &'a str {
        let moves = self.moves.get(&backup.schedule).copied().unwrap_or_default();
        let due = moves.iter().filter(|step| step.after.after(backup.consistent_at) <= at);
        let newest = due.max_by_key(|step| step.after).map(|step| step.to.as_str());
        newest.or_else(|| self.stores.get(&backup.store).copied()).unwrap_or("standard")
    }
}

/// Returns the rule of a schedule in words: the policies' own, else what is recorded of a schedule that is gone.
pub(super) fn rule_of(schedule: &Name, world: &World) -> Option<String> {
    let wanted = world.desired.schedules.get(schedule).map(|spec| &spec.retention);
    let recorded = || -> Option<&RetentionRule> {
        let applied = world.facts()?.applied.iter();
        let mut found =
            applied.filter(|(address, _)| address.section() == Section::Schedule && address.name() == Some(schedule));
        found.next().and_then(|(_, applied)| applied.retention.as_ref())
    };
    wanted.or_else(recorded).map(describe)
}
