//! What is tombstoned and purged. Verdicts count the backups that this plan takes as if they were there, so that a
//! second plan finds nothing new; a deletion that only holds with one of them comes after it, falls with it, and says of
//! when it must be: what is applied behind midnight fills another day.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::backups::PlannedBackup;
use super::drills::PlannedDrill;
use super::floors;
use super::guards::in_force;
use super::removed::Fates;
use super::world::{Eligible, GroupKey, View, schedule_address};
use crate::domain::{
    Action, ActionClass, ActionId, ActionKind, Address, Backup, BackupId, Between, Bytes, Garbage, Guards, Held,
    HeldReason, Instant, KeptBackup, Name, Plan, Precondition, PruneWork, Reason, ReasonCode, RemovedBackups,
    RetentionRule, Scope, Section,
};
use crate::retention::{
    DropReason, Floors, KeepReason, Point, PurgeState, Tenure, Terms, Verdict, holds, purge_state, stands_between,
};

/// Plans tombstones, purges and the collection of what attempts left behind. Returns every deletion that a change of
/// the policies causes, also those that cannot be done in this plan: the guard judges the change, not its timing.
pub fn plan(view: &View<'_>, planned: &[PlannedBackup], drills: &[PlannedDrill], draft: &mut Plan) -> Vec<BackupId> {
    let Some(catalog) = view.catalog else { return Vec::new() };
    let guards = in_force(view);
    let before = guards_before(view);
    let mut coming: HashMap<GroupKey<'_>, Vec<&PlannedBackup>> = HashMap::new();
    for backup in planned {
        let work = &backup.work;
        coming.entry((&work.schedule, work.database.as_ref(), &work.scope)).or_default().push(backup);
    }
    let drilled: HashMap<&BackupId, ActionId> =
        drills.iter().flat_map(|d| d.backups.iter().map(|id| (id, d.action))).collect();
    let mut namers: HashMap<&BackupId, usize> = HashMap::new();
    // Neighbours mostly name the same.
    for run in view.backups().chunk_by(|a, b| a.shared == b.shared) {
        if let Some(shared) = run.first().and_then(|backup| backup.shared.as_ref()) {
            *namers.entry(shared).or_default() += run.len();
        }
    }
    let fates = Fates::of(view);
    let mut prune = Prune {
        view,
        guards: &guards,
        before: &before,
        planned,
        coming,
        drilled: &drilled,
        draft,
        namers,
        purged: HashSet::new(),
        caused: Vec::new(),
        children: children(view, &fates),
        fates,
        needed: HashMap::new(),
    };
    prune.needed = floors::needed_by_plans(view, |schedule, database, scope| prune.dropped(schedule, database, scope));
    let mut schedules: BTreeMap<(&Name, Option<&Name>), Vec<&Scope>> = BTreeMap::new();
    for (schedule, database, scope) in view.groups().keys() {
        schedules.entry((schedule, *database)).or_default().push(scope);
    }
    for ((schedule, database), scopes) in schedules {
        if !view.in_target(&schedule_address(schedule)) {
            continue;
        }
        for scope in scopes.iter().filter(|scope| ***scope != Scope::Shared) {
            prune.group(schedule, database, scope);
        }
        if scopes.contains(&&Scope::Shared) && view.wants("retention") {
            prune.shared(schedule, database);
        }
    }
    if view.wants("retention") {
        let seen = view.observed.signs.stores.values().map(|signs| &signs.objects);
        // The catalog and the listing are not of one instant: what was collected in between is in both.
        let late = seen.flat_map(|objects| &objects.late).filter(|late| {
            !catalog.garbage.iter().any(|other| (&other.backup, other.attempt) == (&late.backup, late.attempt))
        });
        for garbage in catalog.garbage.iter().chain(late) {
            prune.garbage(garbage);
        }
    }
    prune.caused
}

/// The guards as they were applied: a floor that a change lowers is a change that deletes.
fn guards_before(view: &View<'_>) -> Guards {
    let applied = view.catalog.and_then(|catalog| catalog.applied.get(&Address::once(Section::Guards)));
    applied
        .filter(|applied| applied.archived_at.is_none())
        .and_then(|applied| serde_json::from_value(applied.body.clone()).ok())
        .unwrap_or_default()
}

/// Returns a backup that builds on each backup and stays.
fn children<'a>(view: &View<'a>, fates: &Fates<'_>) -> HashMap<&'a BackupId, &'a BackupId> {
    let stays = |b: &&Backup| b.tombstoned_at.is_none() && fates.fate(b) != Some(RemovedBackups::Delete);
    let on_another = view.backups().iter().filter(|b| b.parent.is_some()).filter(stays);
    on_another.filter_map(|b| Some((b.parent.as_ref()?, &b.id))).collect()
}

struct Prune<'a, 'd> {
    view: &'a View<'a>,
    guards: &'a Guards,
    before: &'a Guards,
    planned: &'a [PlannedBackup],
    /// The backups that this plan takes, by what they will belong to.
    coming: HashMap<GroupKey<'a>, Vec<&'a PlannedBackup>>,
    /// The backups that this plan drills.
    drilled: &'d HashMap<&'a BackupId, ActionId>,
    draft: &'d mut Plan,
    /// How many backups that stay name a shared archive.
    namers: HashMap<&'a BackupId, usize>,
    purged: HashSet<&'a BackupId>,
    caused: Vec<BackupId>,
    /// A backup that builds on it and stays, for each that has one.
    children: HashMap<&'a BackupId, &'a BackupId>,
    fates: Fates<'a>,
    /// Backups that no rule keeps, and a recovery plan needs, with why.
    needed: HashMap<&'a BackupId, String>,
}

/// A group of backups and what is decided over it.
struct Judged<'a> {
    backups: Vec<&'a Backup>,
    /// Theirs, then those of the backups that this plan takes.
    points: Vec<Point<'a>>,
    verdicts: Vec<Verdict>,
    /// Without the backups that this plan takes, where there are any.
    today: Option<Vec<Verdict>>,
    /// By what was applied before, where that differs.
    before: Option<Vec<Verdict>>,
    terms: Terms<'a>,
}

/// The rules a group is judged by: the one in force, and the one that was applied before.
struct Rules<'a> {
    wanted: &'a RetentionRule,
    applied: &'a RetentionRule,
}

impl<'a> Prune<'a, '_> {
    /// Returns the rules of a schedule: the policies' own, else the recorded one of a schedule that is gone.
    fn rules(&self, schedule: &Name) -> Option<Rules<'a>> {
        if schedule.is_on_demand() {
            let (wanted, applied) = self.view.on_demand_rules();
            return Some(Rules { wanted, applied });
        }
        let address = schedule_address(schedule);
        let applied = self.view.catalog?.applied.get(&address).and_then(|applied| applied.retention.as_ref());
        let wanted = self.view.desired.schedules.get(schedule).map(|spec| &spec.retention);
        let wanted = if self.view.is_applied(&address) { wanted.or(applied) } else { applied };
        wanted.map(|wanted| Rules { wanted, applied: applied.unwrap_or(wanted) })
    }

    /// Returns the backups that this plan takes for a group.
    fn coming(&self, schedule: &Name, database: Option<&Name>, scope: &Scope) -> Vec<&'a PlannedBackup> {
        self.coming.get(&(schedule, database, scope)).cloned().unwrap_or_default()
    }

    fn judge(&self, schedule: &Name, database: Option<&Name>, scope: &Scope) -> Option<Judged<'a>> {
        let view = self.view;
        let rules = self.rules(schedule)?;
        let backups: Vec<&'a Backup> = view.group(schedule, database, scope).to_vec();
        let coming = self.coming(schedule, database, scope);
        let now = view.now();
        let mut points: Vec<Point<'a>> = backups.iter().map(|b| point(view, b, self.drilled)).collect();
        points.extend(coming.iter().map(|p| Point {
            verified: true,
            drilled_at: self.drilled.contains_key(&p.work.backup).then_some(now),
            ..Point::new(&p.work.backup, now)
        }));
        let floors = Floors { min_keep: self.guards.min_keep };
        let terms = Terms { rule: rules.wanted, floors, tenure: view.tenure(database, scope), now };
        let verdicts = terms.decide(&points);
        // Most groups are judged once: nothing comes, and the rule is the one that was applied.
        let today = (!coming.is_empty()).then(|| terms.decide(&points[..backups.len()]));
        let same = rules.wanted == rules.applied && self.guards.min_keep == self.before.min_keep;
        let floors_before = Floors { min_keep: self.before.min_keep };
        let before = (!same).then(|| Terms { rule: rules.applied, floors: floors_before, ..terms }.decide(&points));
        Some(Judged { backups, points, verdicts, today, before, terms })
    }

    /// Returns what the rules alone drop of a group.
    fn dropped(&self, schedule: &Name, database: Option<&Name>, scope: &Scope) -> Vec<&'a BackupId> {
        let Some(judged) = self.judge(schedule, database, scope) else { return Vec::new() };
        let dropped = judged.backups.iter().zip(&judged.verdicts).filter(|(b, verdict)| {
            b.tombstoned_at.is_none() && !verdict.keep && self.fates.fate(b) != Some(RemovedBackups::Keep)
        });
        dropped.map(|(backup, _)| &backup.id).collect()
    }

    fn group(&mut self, schedule: &Name, database: Option<&Name>, scope: &Scope) {
        let view = self.view;
        let Some(judged) = self.judge(schedule, database, scope) else { return };
        let coming = self.coming(schedule, database, scope);
        let drilled = self.drilled;
        let Judged { backups, points, verdicts, today, before, terms } = judged;
        let today = today.as_ref().unwrap_or(&verdicts);
        let before = before.as_ref().unwrap_or(&verdicts);
        // Asked for by the first one that waits: mostly none does.
        let mut stands: Option<Vec<Between>> = None;
        for (index, backup) in backups.iter().enumerate() {
            if backup.tombstoned_at.is_some() {
                if view.wants("retention") {
                    self.purge_when_over(backup, false);
                }
                continue;
            }
            let verdict = &verdicts[index];
            let fate = self.fates.fate(backup);
            if fate == Some(RemovedBackups::Delete) {
                self.given_up(backup, &points[index]);
                continue;
            }
            if fate == Some(RemovedBackups::Keep) {
                self.kept_because(backup, "for good: what it belongs to was removed with `backups: keep`".to_owned());
                continue;
            }
            if verdict.keep {
                let reasons = || verdict.reasons.iter().map(ToString::to_string).collect();
                self.kept(backup, reasons, verdict.release_at);
                continue;
            }
            if let Some(words) = self.needed.get(&backup.id).cloned() {
                self.kept_because(backup, words);
                continue;
            }
            let caused_by_change = before[index].keep || self.fates.before(backup) == Some(RemovedBackups::Keep);
            if caused_by_change {
                self.caused.push(backup.id.clone());
            }
            if !view.wants("retention") {
                continue;
            }
            let mut after: BTreeSet<ActionId> = BTreeSet::new();
            let mut newest = Between::default();
            if today[index].keep {
                newest = stands.get_or_insert_with(|| stands_between(&points, backups.len(), terms))[index];
                after.extend(coming.iter().map(|p| p.action));
                after.extend(coming.iter().filter_map(|p| drilled.get(&p.work.backup)));
                after.extend(backups.iter().filter_map(|b| drilled.get(&b.id)));
            }
            // Without the drills of this plan the floor of the newest drilled one might still hold an older one.
            after.extend(backups.iter().filter_map(|b| drilled.get(&b.id)));
            self.tombstone(backup, verdict.dropped, caused_by_change, newest, after);
        }
    }

    /// A backup of something that was removed with `backups: delete`: no rule and no floor keeps it, only what holds
    /// every backup does. The guards judge what is left of its scope.
    fn given_up(&mut self, backup: &'a Backup, point: &Point<'a>) {
        let held = holds(point, self.view.now());
        if !held.is_empty() {
            let words: Vec<String> = held.iter().map(ToString::to_string).collect();
            return self.hold(
                backup,
                held_reason(&held),
                &format!("not deleted with its policy: {}", words.join(", ")),
            );
        }
        self.caused.push(backup.id.clone());
        if self.view.wants("retention") {
            self.tombstone(backup, None, true, Between::default(), BTreeSet::new());
        }
    }

    fn kept_because(&mut self, backup: &Backup, reason: String) {
        self.kept(backup, || vec![reason], None);
    }

    fn kept(&mut self, backup: &Backup, reasons: impl FnOnce() -> Vec<String>, until: Option<Instant>) {
        if self.view.request.with_kept {
            self.draft.kept.push(KeptBackup { backup: backup.id.clone(), reasons: reasons(), until });
        }
    }

    /// A shared archive lives exactly as long as a backup that is there, or comes with this plan, names it.
    fn shared(&mut self, schedule: &Name, database: Option<&Name>) {
        let view = self.view;
        let coming: HashSet<&BackupId> = self.planned.iter().filter_map(|p| p.work.shared.as_ref()).collect();
        let named: HashSet<&BackupId> =
            self.namers.iter().filter(|(_, left)| **left > 0).map(|(id, _)| *id).chain(coming).collect();
        let backups: Vec<&'a Backup> = view.group(schedule, database, &Scope::Shared).to_vec();
        for backup in backups {
            if backup.tombstoned_at.is_some() {
                if named.contains(&backup.id) {
                    self.hold(backup, HeldReason::Needed, "a tenant backup still names it");
                } else {
                    self.purge_when_over(backup, true);
                }
                continue;
            }
            let pinned = view.protects(backup)
                || backup.quarantine.is_some()
                || view.is_missing(&backup.id)
                || view.is_leased(&backup.id);
            if named.contains(&backup.id) || pinned {
                self.kept(backup, || vec!["shared archive of kept tenant backups".to_owned()], None);
                continue;
            }
            // Its last tenant backup may go in this very plan: then it follows that purge.
            let mut after = self.purges_of_namers(&backup.id);
            // What looks like garbage may turn out to be a backup that names it: its runner died behind the manifest.
            let catalog = view.catalog.into_iter().flat_map(|catalog| &catalog.garbage);
            let near = catalog.filter(|g| g.store == backup.store && g.database == backup.database);
            after.extend(near.filter(|g| self.collects(g)).map(garbage_id));
            self.tombstone(backup, Some(DropReason::RetentionOver), false, Between::default(), after);
        }
    }

    /// Returns the purges of this plan that a shared archive must wait for.
    fn purges_of_namers(&self, shared: &BackupId) -> BTreeSet<ActionId> {
        let names = |work: &PruneWork| self.view.backup(&work.backup).and_then(|b| b.shared.as_ref()) == Some(shared);
        let purges = self.draft.actions.iter().filter(|a| matches!(&a.kind, ActionKind::Purge(work) if names(work)));
        purges.map(|a| a.id).collect()
    }

    fn tombstone(
        &mut self,
        backup: &'a Backup,
        dropped: Option<DropReason>,
        caused_by_change: bool,
        newest: Between,
        after: BTreeSet<ActionId>,
    ) {
        if !self.reachable(backup) || self.is_paused(backup) || self.is_doubted(backup) {
            return;
        }
        let given_up = self.fates.fate(backup) == Some(RemovedBackups::Delete) && backup.scope != Scope::Shared;
        if let Some(child) = self.children.get(&backup.id).copied() {
            if given_up {
                self.draft.refusals.push(floors::broken_chain(&backup.id, child));
            }
            return self.hold(backup, HeldReason::Needed, &format!("{child} builds on it"));
        }
        let purge_after = self.guards.grace.after(self.view.now());
        let mut work = work_of(backup, caused_by_change, Some(purge_after));
        work.min_keep = if backup.scope == Scope::Shared { 0 } else { self.guards.min_keep.max(1) };
        work.any_schedule = given_up;
        work.newest = newest;
        let (code, words) = match dropped {
            Some(DropReason::TooOld) => (ReasonCode::TooOld, "it is older than `max_age` allows"),
            _ if given_up => (ReasonCode::PolicyRemoved, "what it belongs to was removed with `backups: delete`"),
            _ if backup.scope == Scope::Shared => (ReasonCode::RetentionOver, "no tenant backup names it any longer"),
            _ if caused_by_change => (ReasonCode::PolicyChanged, "the changed retention no longer keeps it"),
            _ if self.view.tenure(backup.database.as_ref(), &backup.scope) != Tenure::Lives => {
                (ReasonCode::RetentionOver, "its tenant was offboarded, and no rule keeps it any longer since")
            }
            _ => (ReasonCode::RetentionOver, "no rule keeps it any longer"),
        };
        let class = if caused_by_change { ActionClass::Change } else { ActionClass::Due };
        let id = self.push(
            "tombstone",
            backup,
            ActionKind::Tombstone(work),
            class,
            code,
            words,
            Precondition::Prunable,
            after,
        );
        if self.guards.grace.as_seconds() == 0 {
            let mut work = work_of(backup, caused_by_change, None);
            work.mark += 1;
            let after = BTreeSet::from([id]);
            self.push(
                "purge",
                backup,
                ActionKind::Purge(work),
                class,
                ReasonCode::GraceOver,
                "there is no grace period",
                Precondition::Purgeable,
                after,
            );
            self.is_purged(backup);
        }
    }

    /// Counts a backup as gone after this plan.
    fn is_purged(&mut self, backup: &'a Backup) {
        if self.purged.insert(&backup.id)
            && let Some(left) = backup.shared.as_ref().and_then(|shared| self.namers.get_mut(shared))
        {
            *left -= 1;
        }
    }

    fn purge_when_over(&mut self, backup: &'a Backup, shared: bool) {
        let point = point(self.view, backup, &HashMap::new());
        let now = self.view.now();
        let state = match purge_state(&point, self.guards.grace, now) {
            // What has begun is finished whatever came since: half of it is gone, and nothing brings it back.
            PurgeState::Held(_) | PurgeState::InGrace { .. } if backup.purging => match point.locked_until {
                Some(until) if now < until => PurgeState::Held(vec![KeepReason::Locked(until)]),
                _ => PurgeState::Due,
            },
            // A grace period that was shortened since does not take back what the tombstone promised.
            PurgeState::Held(_) | PurgeState::Due
                if !backup.purging && backup.purge_after.is_some_and(|until| until > now) =>
            {
                PurgeState::InGrace { until: backup.purge_after.unwrap_or(now) }
            }
            state => state,
        };
        match state {
            PurgeState::NotTombstoned => {}
            PurgeState::InGrace { until } => {
                let words = || vec![format!("tombstoned; purged after {}", until.strftime("%Y-%m-%d %H:%M UTC"))];
                self.kept(backup, words, Some(until));
            }
            PurgeState::Held(reasons) => {
                let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                self.hold(backup, held_reason(&reasons), &words.join(", "));
            }
            PurgeState::Due => {
                if !self.reachable(backup) || self.is_paused(backup) || self.is_doubted(backup) {
                    return;
                }
                let words = match (backup.purging, shared) {
                    (true, _) => "its purge has begun, and is finished whatever came since",
                    (false, true) => "its grace period is over and nothing names it",
                    (false, false) => "its grace period is over",
                };
                let kind = ActionKind::Purge(work_of(backup, false, None));
                let none = BTreeSet::new();
                self.push(
                    "purge",
                    backup,
                    kind,
                    ActionClass::Due,
                    ReasonCode::GraceOver,
                    words,
                    Precondition::Purgeable,
                    none,
                );
                self.is_purged(backup);
            }
        }
    }

    /// Returns whether this plan collects what an attempt left.
    fn collects(&self, garbage: &Garbage) -> bool {
        self.view.store(&garbage.store).is_ok() && self.view.in_target(&store_address(&garbage.store))
    }

    fn garbage(&mut self, garbage: &'a Garbage) {
        if !self.collects(garbage) {
            return;
        }
        self.draft.actions.push(Action {
            id: garbage_id(garbage),
            address: store_address(&garbage.store),
            class: ActionClass::Due,
            kind: ActionKind::CollectGarbage {
                store: garbage.store.clone(),
                database: garbage.database.clone(),
                scope: garbage.scope.clone(),
                backup: garbage.backup.clone(),
                attempt: garbage.attempt,
            },
            reason: Reason {
                code: ReasonCode::Abandoned,
                words: "an attempt that did not finish left it".to_owned(),
                location: None,
            },
            preconditions: Vec::new(),
            after: Vec::new(),
            bytes: None,
        });
    }

    /// What people changed in the catalog by hand decides no deletion.
    fn is_doubted(&mut self, backup: &Backup) -> bool {
        let doubt = self.view.doubt(backup);
        if let Some(words) = doubt {
            self.hold(backup, HeldReason::RowEdited, words);
        }
        doubt.is_some()
    }

    fn reachable(&mut self, backup: &Backup) -> bool {
        match self.view.store(&backup.store) {
            Ok(_) => true,
            Err(why) => {
                let words = format!("store.{} could not be read: {why}", backup.store);
                self.hold(backup, HeldReason::StoreUnreachable, &words);
                false
            }
        }
    }

    /// Returns whether the policies pause what the backup belongs to; then nothing of it is deleted either.
    fn is_paused(&mut self, backup: &Backup) -> bool {
        let Some(words) = self.view.pause(&self.view.things_of(backup)) else { return false };
        self.hold(backup, HeldReason::Suspended, &words);
        true
    }

    fn hold(&mut self, backup: &Backup, reason: HeldReason, words: &str) {
        self.draft.held.push(Held {
            address: schedule_address(&backup.schedule),
            database: backup.database.clone(),
            scope: Some(backup.scope.clone()),
            work: "prune".to_owned(),
            reason,
            words: format!("{}: {words}", backup.id),
        });
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one action, each used once")]
    fn push(
        &mut self,
        word: &str,
        backup: &Backup,
        kind: ActionKind,
        class: ActionClass,
        code: ReasonCode,
        words: &str,
        precondition: Precondition,
        after: BTreeSet<ActionId>,
    ) -> ActionId {
        let address = schedule_address(&backup.schedule);
        let mark = match &kind {
            ActionKind::Tombstone(work) | ActionKind::Purge(work) => work.mark,
            _ => 0,
        };
        let slot = format!("{}/{mark}", backup.id);
        let id =
            ActionId::of(word, backup.database.as_ref().map(Name::as_str), Some(&backup.scope), &address, Some(&slot));
        let location = self.view.desired.documents.get(&address).map(|d| d.location.clone());
        self.draft.actions.push(Action {
            id,
            address,
            class,
            kind,
            reason: Reason { code, words: words.to_owned(), location },
            preconditions: vec![precondition],
            after: after.into_iter().collect(),
            bytes: Some(backup.size).filter(|b| *b > Bytes(0)),
        });
        id
    }
}

fn store_address(name: &Name) -> Address {
    Address::of(Section::Store, name.clone())
}

/// Returns the identity of collecting what an attempt left.
fn garbage_id(garbage: &Garbage) -> ActionId {
    let slot = format!("{}/{}", garbage.backup, garbage.attempt);
    let database = garbage.database.as_ref().map(Name::as_str);
    ActionId::of("collect_garbage", database, Some(&garbage.scope), &store_address(&garbage.store), Some(&slot))
}

fn work_of(backup: &Backup, caused_by_change: bool, purge_after: Option<Instant>) -> PruneWork {
    PruneWork {
        backup: backup.id.clone(),
        database: backup.database.clone(),
        filed_under: backup.filed_under.clone(),
        scope: backup.scope.clone(),
        store: backup.store.clone(),
        consistent_at: backup.consistent_at,
        mark: backup.marks,
        caused_by_change,
        purge_after,
        min_keep: 0,
        any_schedule: false,
        newest: Between::default(),
    }
}

fn held_reason(reasons: &[KeepReason]) -> HeldReason {
    match reasons.first() {
        Some(KeepReason::Leased) => HeldReason::Leased,
        Some(KeepReason::Locked(_)) => HeldReason::Locked,
        Some(KeepReason::Quarantined) => HeldReason::Quarantined,
        _ => HeldReason::Protected,
    }
}

/// A backup as retention sees it: what cannot be restored as it stands counts as quarantined, and a backup that this
/// plan drills as drilled now.
fn point<'a>(view: &View<'_>, backup: &'a Backup, drilled: &HashMap<&BackupId, ActionId>) -> Point<'a> {
    let leased = view.is_leased(&backup.id);
    let mut point = Point::of(backup, leased);
    point.protected = view.protects(backup);
    point.quarantined |= matches!(view.eligible(backup), Eligible::Quarantined | Eligible::Missing);
    if drilled.contains_key(&backup.id) {
        point.drilled_at = Some(view.now());
    }
    point
}
