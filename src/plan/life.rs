//! What keeps a backup and what releases it next, read off a plan: the same reasons by which it was planned. Pure.

use std::collections::HashMap;

use super::world::View;
use super::{Request, moved};
use crate::domain::{
    Action, ActionKind, Address, Backup, BackupId, BackupLife, CatalogFacts, Desired, Held, Instant, KeptBackup,
    LifeState, Name, Observed, Orphan, OrphanGroup, Plan, RemovedBackups, RetentionRule, Scope, Section,
};
use crate::retention::{Floors, Point, Tenure, decide_in, describe};
use crate::schedule::Calendar;

use super::removed::Fates;
use super::world::schedule_address;

/// How many slots ahead a release is looked for.
const AHEAD: usize = 4096;

/// A plan with what it was made of, to ask about backups.
pub struct Lives<'a> {
    pub(super) view: View<'a>,
    pub(super) facts: &'a CatalogFacts,
    plan: &'a Plan,
    kept: HashMap<&'a BackupId, &'a KeptBackup>,
    actions: HashMap<&'a BackupId, &'a Action>,
}

impl<'a> Lives<'a> {
    /// Prepares for questions. `plan` must be of these policies, facts and this request, and not narrowed.
    #[must_use]
    pub fn new(
        desired: &'a Desired,
        observed: &'a Observed,
        facts: &'a CatalogFacts,
        request: &'a Request,
        plan: &'a Plan,
    ) -> Self {
        let pruned = plan.actions.iter().filter_map(|action| match &action.kind {
            ActionKind::Tombstone(work) | ActionKind::Purge(work) => Some((&work.backup, action)),
            _ => None,
        });
        Self {
            view: View::new(desired, observed, Some(facts), request),
            facts,
            plan,
            kept: plan.kept.iter().map(|kept| (&kept.backup, kept)).collect(),
            // A tombstone and a purge of one backup stand in this order: what comes first is told.
            actions: pruned.fold(HashMap::new(), |mut all, (id, action)| {
                all.entry(id).or_insert(action);
                all
            }),
        }
    }

    /// Returns where a backup stands, what keeps it, and what happens next.
    #[must_use]
    pub fn of(&self, backup: &Backup) -> BackupLife {
        let rule = self.rule(&backup.schedule);
        let state = self.state(backup);
        let reasons = self.reasons(backup);
        let (next, next_at) = self.next(backup, state, rule);
        BackupLife { backup: backup.clone(), state, rule: rule.map(describe), reasons, next, next_at }
    }

    fn state(&self, backup: &Backup) -> LifeState {
        match self.actions.get(&backup.id).map(|action| &action.kind) {
            Some(ActionKind::Purge(_)) => LifeState::PurgeDue,
            Some(_) => LifeState::Released,
            None if backup.tombstoned_at.is_some() => LifeState::Tombstoned,
            None if backup.quarantine.is_some() => LifeState::Quarantined,
            None => LifeState::Kept,
        }
    }

    fn reasons(&self, backup: &Backup) -> Vec<String> {
        let mut reasons = self.kept.get(&backup.id).map(|kept| kept.reasons.clone()).unwrap_or_default();
        // Only held work about this very backup begins with its id.
        let about = format!("{}: ", backup.id);
        let held = self.plan.held.iter().filter_map(|held: &Held| held.words.strip_prefix(&about));
        reasons.extend(held.map(str::to_owned));
        if let Some(why) = &backup.quarantine {
            reasons.retain(|reason| !reason.starts_with("quarantined"));
            reasons.push(format!("quarantined: {why}"));
        }
        let namers = self.facts.backups.iter().filter(|b| b.shared.as_ref() == Some(&backup.id)).count();
        if namers > 0 {
            reasons.retain(|reason| !reason.starts_with("shared archive of"));
            reasons.push(format!(
                "{namers} tenant backup{} name{} it",
                plural(namers),
                if namers == 1 { "s" } else { "" }
            ));
        }
        for address in self.protecting(backup) {
            reasons.retain(|reason| reason != "protected");
            reasons.push(format!("protected by {address}"));
        }
        reasons
    }

    /// The things that protect it: taking `protect` away from them frees nothing before that is applied.
    fn protecting(&self, backup: &Backup) -> Vec<Address> {
        let protect = |address: &Address| {
            let applied = self.facts.applied.get(address).and_then(|applied| applied.body.get("protect"));
            self.view.desired.protected.contains(address) || applied == Some(&serde_json::Value::Bool(true))
        };
        self.view.things_of(backup).into_iter().filter(protect).collect()
    }

    fn rule(&self, schedule: &Name) -> Option<&RetentionRule> {
        if schedule.is_on_demand() {
            return Some(&self.view.on_demand_rules().0);
        }
        let wanted = self.view.desired.schedules.get(schedule).map(|spec| &spec.retention);
        wanted.or_else(|| self.facts.applied.get(&schedule_address(schedule))?.retention.as_ref())
    }

    fn next(&self, backup: &Backup, state: LifeState, rule: Option<&RetentionRule>) -> (Vec<String>, Option<Instant>) {
        let say = |words: String, at| (vec![words], at);
        let grace = self.view.desired.guards.grace;
        let why = || self.actions.get(&backup.id).map(|action| action.reason.words.clone()).unwrap_or_default();
        match state {
            LifeState::PurgeDue => say(format!("the next apply purges it: {}", why()), None),
            LifeState::Released => {
                let why = why();
                say(format!("the next apply tombstones it ({why}); it can be brought back for {grace} then"), None)
            }
            LifeState::Tombstoned => match backup.purge_after.filter(|until| *until > self.view.now()) {
                Some(until) => say(
                    format!(
                        "purged after {}; until then `bkup undelete {}` brings it back",
                        day_time(until),
                        backup.id
                    ),
                    Some(until),
                ),
                None => say("purged as soon as nothing holds it any longer".to_owned(), None),
            },
            LifeState::Quarantined => say(
                "nothing deletes it by itself: look at it, then delete it by hand or drill it again".to_owned(),
                None,
            ),
            LifeState::Kept if backup.scope == Scope::Shared => {
                say("released with the last tenant backup that names it".to_owned(), None)
            }
            LifeState::Kept => self.release(backup, rule),
        }
    }

    /// Says when a kept backup is released: by time alone, or by the backups that are to come.
    fn release(&self, backup: &Backup, rule: Option<&RetentionRule>) -> (Vec<String>, Option<Instant>) {
        let never = |words: &str| (vec![words.to_owned()], None);
        if !self.protecting(backup).is_empty() || backup.protected {
            return never("not before `protect` is taken away, and that is applied");
        }
        if Fates::of(&self.view).fate(backup) == Some(RemovedBackups::Keep) {
            return never("not before its `removed` entry says something else than `keep`");
        }
        if let Some(until) = backup.pinned_until.filter(|until| *until > self.view.now()) {
            let words = format!(
                "its pin ends at {}, and the rules decide again; `bkup undelete {} --for 0s` ends it now",
                day_time(until),
                backup.id
            );
            return (vec![words], Some(until));
        }
        let Some(rule) = rule else { return never("no rule is recorded for it: nothing releases it") };
        let min_keep = self.view.desired.guards.min_keep;
        let group = self.view.group(&backup.schedule, backup.database.as_ref(), &backup.scope);
        let mut points: Vec<Point<'_>> = group.iter().map(|b| Point::of(b, false)).collect();
        let Some(index) = group.iter().position(|b| b.id == backup.id) else { return never("") };
        let now = self.view.now();
        let tenure = self.view.tenure(backup.database.as_ref(), &backup.scope);
        let kept_at = |points: &[Point<'_>], now: Instant| {
            let verdict = &decide_in(points, rule, Floors { min_keep }, tenure, now)[index];
            (verdict.keep, verdict.reasons.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        // Nothing new comes of a tenant that is gone.
        let slots = if tenure == Tenure::Lives { self.slots(backup) } else { Vec::new() };
        let id = BackupId::from_text("to come".to_owned());
        points.extend(slots.iter().map(|slot| Point { verified: true, ..Point::new(&id, *slot) }));
        let there = group.len();
        // More backups and more time never bring back what was dropped: the first drop is found by halving.
        let (mut kept, mut gone) = (0, slots.len() + 1);
        while gone - kept > 1 {
            let middle = usize::midpoint(kept, gone);
            let at = slots[middle - 1];
            if kept_at(&points[..there + middle], at).0 { kept = middle } else { gone = middle }
        }
        if let Some(at) = slots.get(gone.wrapping_sub(1)).filter(|_| gone <= slots.len()) {
            let last = if kept == 0 { now } else { slots[kept - 1] };
            let (_, reasons) = kept_at(&points[..there + kept], last);
            let words = format!(
                "released about {}, when {} ends, if every slot of {} is run until then",
                day_time(*at),
                if reasons.is_empty() { "what keeps it".to_owned() } else { format!("`{}`", reasons.join("`, `")) },
                schedule_address(&backup.schedule)
            );
            return (vec![words], Some(*at));
        }
        let until = self.kept.get(&backup.id).and_then(|kept| kept.until);
        match until {
            Some(until) => (vec![format!("released by time alone at {}", day_time(until))], Some(until)),
            None if tenure != Tenure::Lives => never(&format!(
                "not by time alone: its tenant is gone and a floor or a count keeps it; `bkup erase {}` deletes all of it",
                backup.scope.tenant().unwrap_or_default()
            )),
            None => never(if slots.is_empty() {
                "not by time alone: it is counted, or a floor keeps it, and no backups are added"
            } else {
                "not within the next years as things stand: a floor or a count keeps it until people act"
            }),
        }
    }

    /// The slots to come of a backup's schedule.
    fn slots(&self, backup: &Backup) -> Vec<Instant> {
        let spec = self.view.desired.schedules.get(&backup.schedule);
        let covers = |spec: &&crate::domain::ScheduleSpec| {
            backup.database.as_ref().is_none_or(|database| spec.databases.contains(database))
        };
        let Some(calendar) = spec.filter(covers).and_then(|spec| Calendar::new(&spec.when).ok()) else {
            return Vec::new();
        };
        let next = |at: &Instant| calendar.next_after(*at);
        std::iter::successors(calendar.next_after(self.view.now()), next).take(AHEAD).collect()
    }

    /// Returns the backups of what is gone: from the policies by schedule, else by database, else by store; and those of
    /// tenants that were offboarded.
    #[must_use]
    pub fn orphans(&self) -> Vec<OrphanGroup> {
        let desired = self.view.desired;
        let mut groups: Vec<OrphanGroup> = Vec::new();
        let mut sorted: Vec<&Backup> = self.facts.backups.iter().collect();
        sorted.sort_by(|a, b| (b.consistent_at, &a.database, &a.scope).cmp(&(a.consistent_at, &b.database, &b.scope)));
        for backup in sorted {
            let database = backup.database.clone().map(|name| Address::of(Section::Database, name));
            let store = Address::of(Section::Store, backup.store.clone());
            let things = [Some(schedule_address(&backup.schedule)), database, Some(store)];
            let defined = |address: &Address| match (address.section(), address.name()) {
                (Section::Schedule, Some(name)) => name.is_on_demand() || desired.schedules.contains_key(name),
                (Section::Database, Some(name)) => desired.databases.contains_key(name),
                (_, Some(name)) => desired.stores.contains_key(name),
                _ => true,
            };
            let undefined = things.into_iter().flatten().find(|address| !defined(address));
            let (gone, tenant, since) = match (undefined, self.offboarding(backup)) {
                (Some(gone), _) => {
                    let since = self.facts.applied.get(&gone).and_then(|applied| applied.archived_at);
                    (gone, None, since)
                }
                (None, Some((database, slug, at))) => {
                    (Address::of(Section::Database, database.clone()), Some(slug.to_owned()), Some(at))
                }
                (None, None) => continue,
            };
            let orphan = self.orphan(backup);
            let place = (&gone, &tenant);
            match groups.iter_mut().find(|group| (&group.address, &group.tenant) == place) {
                Some(group) => group.backups.push(orphan),
                None => {
                    let one_rule = gone.section() == Section::Schedule || tenant.is_some();
                    let rule = self.rule(&backup.schedule).filter(|_| one_rule);
                    groups.push(OrphanGroup {
                        archived_at: since,
                        tenant,
                        fate: Fates::of(&self.view).fate(backup),
                        rule: rule.map(describe),
                        backups: vec![orphan],
                        address: gone,
                    });
                }
            }
        }
        groups.sort_by(|a, b| (&a.address, &a.tenant).cmp(&(&b.address, &b.tenant)));
        groups
    }

    /// Returns the tenant of a backup and when it was offboarded, where it was.
    fn offboarding<'b>(&self, backup: &'b Backup) -> Option<(&'b Name, &'b str, Instant)> {
        match self.view.tenure(backup.database.as_ref(), &backup.scope) {
            Tenure::Lives => None,
            Tenure::Ended(at) | Tenure::Unsure(at) => Some((backup.database.as_ref()?, backup.scope.tenant()?, at)),
        }
    }

    fn orphan(&self, backup: &Backup) -> Orphan {
        let until = self.kept.get(&backup.id).and_then(|kept| kept.until);
        Orphan {
            id: backup.id.clone(),
            database: backup.database.clone(),
            scope: backup.scope.clone(),
            store: backup.store.clone(),
            consistent_at: backup.consistent_at,
            size: backup.size,
            state: self.state(backup),
            reasons: self.reasons(backup),
            until: until.or(backup.purge_after),
        }
    }
}

/// Returns the catalog as it is after the renames that a plan of these policies does.
#[must_use]
pub fn after_renames(desired: &Desired, facts: &CatalogFacts, request: &Request) -> CatalogFacts {
    moved::pending(desired, facts, request).facts.into_owned()
}

fn day_time(at: Instant) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
