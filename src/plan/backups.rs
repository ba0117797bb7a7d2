//! Which backups are due: the newest slot of each schedule and scope, what nobody ran in time, and the shared archives
//! that tenant backups need.

use std::collections::BTreeSet;

use super::coverage::{Target, backup_id, covered};
use super::world::{Eligible, View, schedule_address};
use super::{configuration, on_demand};
use crate::domain::{
    Action, ActionClass, ActionId, ActionKind, Address, AskedFor, BackupId, BackupMethod, BackupType, BackupWork,
    Bytes, CanceledSlot, ConfigurationWork, FilesWork, Held, HeldReason, Instant, Name, OnDemand, Plan, Precondition,
    Reason, ReasonCode, ResolvedTenants, ScheduleSpec, Scope, Section, Tenant, Timing, Wanted,
};
use crate::schedule::Calendar;

/// How many missed slots one action records at most; the rest is as surely missed and adds nothing.
const MOST_MISSED: usize = 1000;
/// How much of a database a program of its own is worth: each reads the whole system catalog first.
const WORTH_A_PROGRAM: u64 = 256 << 20;

/// A backup that this plan takes, as later parts of the planner count on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedBackup {
    /// The action that takes it.
    pub action: ActionId,
    /// The work.
    pub work: BackupWork,
}

/// Plans the backups that are due and records the slots that were missed.
pub fn plan(view: &View<'_>, draft: &mut Plan) -> Vec<PlannedBackup> {
    let mut planned = Vec::new();
    if !view.wants("backups") {
        return planned;
    }
    if let Some(asked) = &view.request.on_demand {
        on_demand::plan(view, asked, draft, &mut planned);
        return in_order(planned);
    }
    for (name, spec) in &view.desired.schedules {
        let address = schedule_address(name);
        if !view.in_target(&address) {
            continue;
        }
        // A rule that the calendar refuses never gets past validation; such a schedule has no slots here.
        let Ok(calendar) = Calendar::new(&spec.when) else { continue };
        if let Some(words) = not_served(view, spec) {
            draft.held.push(Held {
                address,
                database: None,
                scope: None,
                work: "back_up".to_owned(),
                reason: HeldReason::NotServed,
                words: words.to_owned(),
            });
            continue;
        }
        for database in of(spec) {
            let run = Run { view, name, spec, address: &address, calendar: &calendar, database, asked: None };
            run.plan(draft, &mut planned);
        }
    }
    in_order(planned)
}

fn in_order(mut planned: Vec<PlannedBackup>) -> Vec<PlannedBackup> {
    planned.sort_by(|a, b| {
        let key = |p: &PlannedBackup| (p.work.slot, p.work.schedule.clone(), p.work.database.clone());
        let rank = |p: &PlannedBackup| (p.work.scope != Scope::Shared, p.work.priority, p.work.scope.clone());
        key(a).cmp(&key(b)).then_with(|| rank(a).cmp(&rank(b)))
    });
    planned
}

/// Says what of a schedule this version does not do. A slot of it is held, not missed: nobody could have run it.
fn not_served(view: &View<'_>, spec: &ScheduleSpec) -> Option<&'static str> {
    let thawed = view.desired.stores.get(&spec.store).is_none_or(crate::domain::StoreSpec::reads_at_once);
    let frozen = "its store's class must be thawed before it can be read, and backups are read back when they are made";
    spec.not_served().or((!thawed).then_some(frozen))
}

/// Returns the databases of a schedule; files have none, and are planned once.
fn of(spec: &ScheduleSpec) -> Vec<Option<&Name>> {
    if spec.backup == BackupType::Files { vec![None] } else { spec.databases.iter().map(Some).collect() }
}

/// One schedule with one of its databases, or with none.
pub(super) struct Run<'a> {
    pub view: &'a View<'a>,
    pub name: &'a Name,
    pub spec: &'a ScheduleSpec,
    pub address: &'a Address,
    pub calendar: &'a Calendar,
    pub database: Option<&'a Name>,
    /// What somebody asked for, where that is not the schedule itself.
    pub asked: Option<&'a OnDemand>,
}

impl Run<'_> {
    pub(super) fn plan(&self, draft: &mut Plan, planned: &mut Vec<PlannedBackup>) {
        let requested = self.asked.is_some() || self.view.request.requested.contains(self.name);
        let now = self.view.now();
        if self.spec.when.timing == Timing::OnChange && !requested {
            if self.view.request.requested.is_empty() {
                self.plan_change(draft, planned);
            }
            return;
        }
        let slot = if requested { Some(whole_second(now)) } else { self.calendar.last_at_or_before(now) };
        let Some(slot) = slot else { return };
        if self.view.request.requested.is_empty() || requested {
            if let Some(words) = self.view.pause(&self.things()) {
                return self.hold(draft, None, HeldReason::Suspended, words);
            }
            self.plan_slot(slot, requested, draft, planned);
        }
    }

    /// Plans the backup of a configuration that differs from the newest one of it.
    fn plan_change(&self, draft: &mut Plan, planned: &mut Vec<PlannedBackup>) {
        if let Some(words) = self.view.pause(&self.things()) {
            return self.hold(draft, None, HeldReason::Suspended, words);
        }
        let Some(database) = self.database else { return };
        let change = match configuration::change(self.view, self.name, self.spec, database) {
            Ok(Some(change)) => change,
            Ok(None) => return,
            Err((reason, words)) => return self.hold(draft, Some(Scope::Configuration), reason, words),
        };
        if let Err((reason, words)) = self.ready() {
            return self.hold(draft, Some(Scope::Configuration), reason, words);
        }
        let target = Target { scope: Scope::Configuration, tenant: None, priority: 0 };
        let (code, words) = match change.since {
            Some(at) => {
                let words = format!("the configuration differs from that of {}", at.strftime("%Y-%m-%d %H:%M UTC"));
                (ReasonCode::ConfigurationChanged, words)
            }
            None => (ReasonCode::FirstBackup, "it has no backup yet".to_owned()),
        };
        self.push_as(change.ids, change.slot, &target, (code, words, None), None, draft, planned);
    }

    /// Returns why a backup cannot be taken although it is due.
    fn ready(&self) -> Result<(), (HeldReason, String)> {
        if let Err(why) = self.view.store(&self.spec.store) {
            let words = format!("store.{} could not be read: {why}", self.spec.store);
            return Err((HeldReason::StoreUnreachable, words));
        }
        // What is asked for by what it is of needs no schedule, and the things that it is of all the same.
        let things = self.things();
        let needed = if self.asked.is_some() { &things[1..] } else { &things[..1] };
        if let Some(missing) = needed.iter().find(|address| !self.view.is_applied(address)) {
            if self.asked.is_some() {
                let words = format!("{missing} is not applied as the policies have it: run `bkup apply` first");
                return Err((HeldReason::Narrowed, words));
            }
            let words = "its policy is not applied yet, and this plan was narrowed to leave that out";
            return Err((HeldReason::Narrowed, words.to_owned()));
        }
        Ok(())
    }

    /// Everything whose pause pauses this run.
    fn things(&self) -> Vec<Address> {
        let mut things = vec![self.address.clone(), Address::of(Section::Store, self.spec.store.clone())];
        things.extend(self.database.map(|database| Address::of(Section::Database, database.clone())));
        things
    }

    fn hold(&self, draft: &mut Plan, scope: Option<Scope>, reason: HeldReason, words: impl Into<String>) {
        draft.held.push(Held {
            address: self.address.clone(),
            database: self.database.cloned(),
            scope,
            work: "back_up".to_owned(),
            reason,
            words: words.into(),
        });
    }

    fn plan_slot(&self, slot: Instant, requested: bool, draft: &mut Plan, planned: &mut Vec<PlannedBackup>) {
        if let Some(Err((reason, words))) = self.database.map(|database| self.view.server(database)) {
            return self.hold(draft, None, reason, words);
        }
        if self.spec.backup == BackupType::TenantData
            && let Some(ResolvedTenants::Unknown(why)) =
                self.database.and_then(|database| self.view.desired.tenants.get(database))
        {
            let words = format!("its tenants are not known: {why}");
            return self.hold(draft, None, HeldReason::DatabaseUnreachable, words);
        }
        let targets = self.awake(self.targets(), draft);
        let settled = self.settled();
        let deadline = self.spec.start_within.after(slot);
        let mut due = Vec::new();
        for target in &targets {
            if self.holds(&target.scope, slot) {
                continue;
            }
            if !requested && let Some(canceled) = self.canceled(&target.scope, slot) {
                let words = format!(
                    "slot {} was {canceled}; the next slot is taken as usual, and `bkup backup {}` takes one now",
                    slot.strftime("%Y-%m-%d %H:%M UTC"),
                    self.name,
                );
                self.hold(draft, Some(target.scope.clone()), HeldReason::Canceled, words);
                continue;
            }
            if requested {
                due.push((target, ReasonCode::Requested, None));
            } else if settled.is_none_or(|settled| slot > settled) && self.view.now() <= deadline {
                due.push((target, ReasonCode::SlotDue, Some(deadline)));
            } else if !self.has_eligible(&target.scope) {
                due.push((target, ReasonCode::FirstBackup, None));
            }
        }
        // A name that was used before, by a schedule that was renamed since, has done this slot: its backup has the id.
        due.retain(|(target, ..)| self.view.backup(&self.id(&target.scope, slot).1).is_none());
        if !requested {
            let waiting: BTreeSet<&Scope> = due.iter().map(|(target, ..)| &target.scope).collect();
            self.record_missed(slot, &targets, &waiting, draft);
        }
        if due.is_empty() {
            return;
        }
        if let Err((reason, words)) = self.ready() {
            return self.hold(draft, None, reason, words);
        }
        let begin = planned.len();
        let shared = (self.spec.backup == BackupType::TenantData).then(|| self.shared(slot, draft, planned, &due));
        for (target, code, start_before) in due {
            self.push(slot, target, code, start_before, shared.as_ref(), draft, planned);
        }
        debug_assert!(planned.len() > begin, "due work became actions");
    }

    /// The scopes the schedule covers in the database, by priority.
    fn targets(&self) -> Vec<Target<'_>> {
        if !self.spec.tables.is_empty() {
            let scope = match self.asked.map(|asked| &asked.what) {
                Some(Wanted::Tables(globs)) => OnDemand::tables_scope(globs),
                _ => Scope::Tables(self.name.clone()),
            };
            return vec![Target { scope, tenant: None, priority: 0 }];
        }
        match self.database {
            Some(database) => covered(self.view.desired, self.spec, database),
            None => vec![Target { scope: Scope::Files(self.name.clone()), tenant: None, priority: 0 }],
        }
    }

    fn tenants(&self) -> &[(Tenant, Option<Name>)] {
        self.database.map_or(&[], |database| self.view.tenants(database))
    }

    /// Leaves out the tenants whose class is paused, each class held once.
    fn awake<'t>(&self, targets: Vec<Target<'t>>, draft: &mut Plan) -> Vec<Target<'t>> {
        if self.view.desired.suspended.is_empty() {
            return targets;
        }
        let mut paused: BTreeSet<&Name> = BTreeSet::new();
        let class_of = |tenant: &Tenant| {
            let tenants = self.tenants();
            let at = tenants.binary_search_by(|(other, _)| other.slug.cmp(&tenant.slug)).ok()?;
            tenants[at].1.as_ref()
        };
        let mut awake = Vec::with_capacity(targets.len());
        for target in targets {
            let class = target.tenant.and_then(class_of);
            let words = class.and_then(|class| self.view.pause(&[Address::of(Section::Class, class.clone())]));
            match (class, words) {
                (Some(class), Some(words)) => {
                    if paused.insert(class) {
                        self.hold(draft, None, HeldReason::Suspended, words);
                    }
                }
                _ => awake.push(target),
            }
        }
        awake
    }

    /// Returns by whom a slot of a scope was canceled. It is not taken again by itself: whoever canceled it would see it
    /// begin again within minutes. Canceling what tenants share cancels them, who cannot be without it.
    fn canceled(&self, scope: &Scope, slot: Instant) -> Option<&str> {
        let of_scope = |other: &Scope| other == scope || (*other == Scope::Shared && scope.tenant().is_some());
        let own = |c: &&CanceledSlot| &c.schedule == self.name && c.database.as_ref() == self.database;
        let all = self.view.catalog.map_or(&[][..], |facts| &facts.canceled);
        all.iter().filter(own).find(|c| c.slot == slot && of_scope(&c.scope)).map(|c| c.words.as_str())
    }

    fn settled(&self) -> Option<Instant> {
        let progress = &self.view.catalog?.progress;
        progress.iter().find(|p| &p.schedule == self.name && p.database.as_ref() == self.database).map(|p| p.settled)
    }

    fn has_eligible(&self, scope: &Scope) -> bool {
        let group = self.view.group(self.name, self.database, scope);
        group.iter().rev().any(|backup| self.view.eligible(backup) == Eligible::Yes)
    }

    /// Records slots whose time to start is over and that no backup holds, back to the newest slot of which any backup
    /// was taken: what lies before was looked at by the plan that took it. Scopes that are due now are not missed.
    fn record_missed(&self, newest: Instant, targets: &[Target<'_>], due: &BTreeSet<&Scope>, draft: &mut Plan) {
        let Some(catalog) = self.view.catalog else { return };
        let Some(applied) = catalog.applied.get(self.address).filter(|applied| applied.archived_at.is_none()) else {
            return;
        };
        let since = self.settled().map_or(applied.since, |settled| settled.max(applied.since));
        let since = self.view.paused_until(&self.things()).map_or(since, |paused| since.max(paused));
        let mut slots = Vec::new();
        let mut scopes = 0;
        let mut at = Some(newest).filter(|slot| *slot > since);
        while let Some(slot) = at.filter(|_| slots.len() < MOST_MISSED) {
            let covered = targets.iter().filter(|t| self.holds(&t.scope, slot)).count();
            // What is due now is due for the newest slot alone: an older one nobody ran is missed all the same, but for
            // scopes that came later than it.
            let excused = |t: &&Target<'_>| {
                due.contains(&t.scope) && (slot == newest || covered > 0 && !self.is_older(&t.scope, slot))
            };
            let uncovered = targets.iter().filter(|t| !self.holds(&t.scope, slot) && !excused(t)).count();
            if self.spec.start_within.after(slot) < self.view.now() && uncovered > 0 {
                slots.push(slot);
                scopes = scopes.max(uncovered as u64);
            }
            if covered > 0 {
                break;
            }
            at = slot
                .checked_sub(jiff::SignedDuration::from_secs(1))
                .ok()
                .and_then(|before| self.calendar.last_at_or_before(before))
                .filter(|slot| *slot > since);
        }
        let Some(last) = slots.first().copied() else { return };
        slots.reverse();
        let words = format!(
            "{} slot{} passed without a backup within {}",
            slots.len(),
            if slots.len() == 1 { "" } else { "s" },
            self.spec.start_within
        );
        draft.actions.push(Action {
            id: ActionId::of(
                "record_missed",
                self.database.map(Name::as_str),
                None,
                self.address,
                Some(&last.to_string()),
            ),
            address: self.address.clone(),
            class: ActionClass::Due,
            kind: ActionKind::RecordMissed {
                schedule: self.name.clone(),
                database: self.database.cloned(),
                slots,
                scopes,
            },
            reason: Reason { code: ReasonCode::SlotMissed, words, location: self.location() },
            preconditions: Vec::new(),
            after: Vec::new(),
            bytes: None,
        });
    }

    /// Returns whether a scope has a backup of a slot. What is asked for is mostly of late: the newest are looked at first.
    fn holds(&self, scope: &Scope, slot: Instant) -> bool {
        self.view.group(self.name, self.database, scope).iter().rev().any(|backup| backup.slot == slot)
    }

    fn is_protected(&self) -> bool {
        let retention = self.spec.retention_name.clone().map(|name| Address::of(Section::Retention, name));
        self.things().iter().chain(&retention).any(|address| self.view.desired.protected.contains(address))
    }

    /// Returns whether a scope had a backup before a slot.
    fn is_older(&self, scope: &Scope, slot: Instant) -> bool {
        self.view.group(self.name, self.database, scope).iter().any(|backup| backup.slot < slot)
    }

    fn location(&self) -> Option<crate::domain::SourceLocation> {
        self.view.desired.documents.get(self.address).map(|document| document.location.clone())
    }

    /// Returns how large a backup of a scope will likely be: as the newest one of it.
    fn expected(&self, scope: &Scope) -> Option<Bytes> {
        let group = self.view.group(self.name, self.database, scope);
        group.iter().max_by_key(|backup| backup.consistent_at).map(|backup| backup.size)
    }

    /// Returns how many programs read a whole database at once; a single one where more would have too little to do.
    fn jobs(&self, scope: &Scope) -> Option<u32> {
        if *scope != Scope::Database || self.spec.databases.len() != 1 {
            return None;
        }
        let worth = self
            .database
            .and_then(|database| self.view.server(database).ok())
            .map_or(1, |facts| facts.size.0 / WORTH_A_PROGRAM + 1);
        let worth = u32::try_from(worth).unwrap_or(u32::MAX);
        let jobs = match self.asked.and_then(|asked| asked.jobs) {
            Some(jobs) => jobs,
            None => self.spec.max_parallel_jobs.min(worth),
        };
        (jobs > 1).then_some(jobs)
    }

    fn id(&self, scope: &Scope, slot: Instant) -> (ActionId, BackupId) {
        backup_id(self.name, self.database, scope, slot)
    }

    /// Returns the shared archive of the slot, planned here unless an earlier run took it.
    fn shared(
        &self,
        slot: Instant,
        draft: &mut Plan,
        planned: &mut Vec<PlannedBackup>,
        due: &[(&Target<'_>, ReasonCode, Option<Instant>)],
    ) -> BackupId {
        let (_, mut id) = self.id(&Scope::Shared, slot);
        // By the slot, not by the id: an archive that was taken before a rename has another one. One that lies under
        // another database name is of no use, since tenant backups name it within their own.
        let at_slot = self.view.group(self.name, self.database, &Scope::Shared).iter().find(|b| b.slot == slot);
        let there = at_slot.or(self.view.backup(&id).as_ref()).map(|shared| match self.view.eligible(shared) {
            Eligible::Yes if shared.key_database() != self.database => Eligible::Missing,
            eligible => eligible,
        });
        if let Some(shared) = at_slot {
            id = shared.id.clone();
        }
        let mut slot = slot;
        if there.is_some_and(|there| there != Eligible::Yes) {
            // The slot's own archive is of no use and holds its name for good: another one is taken beside it.
            slot = whole_second(self.view.now());
            id = self.id(&Scope::Shared, slot).1;
        }
        if there != Some(Eligible::Yes) {
            let start_before = due.iter().map(|(_, _, before)| *before).max().flatten();
            let start_before = if due.iter().any(|(_, _, before)| before.is_none()) { None } else { start_before };
            let target = Target { scope: Scope::Shared, tenant: None, priority: 0 };
            self.push(slot, &target, ReasonCode::NeededBy, start_before, None, draft, planned);
        }
        id
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one action; a struct for them would only be taken apart again"
    )]
    fn push(
        &self,
        slot: Instant,
        target: &Target<'_>,
        code: ReasonCode,
        start_before: Option<Instant>,
        shared: Option<&BackupId>,
        draft: &mut Plan,
        planned: &mut Vec<PlannedBackup>,
    ) {
        let words = match code {
            ReasonCode::FirstBackup => "it has no backup yet; its newest slot is run at once".to_owned(),
            ReasonCode::NeededBy => "tenant backups of this slot need it".to_owned(),
            ReasonCode::Requested => "it was asked for".to_owned(),
            _ => "its slot has come".to_owned(),
        };
        let ids = self.id(&target.scope, slot);
        self.push_as(ids, slot, target, (code, words, start_before), shared, draft, planned);
    }

    #[expect(clippy::too_many_arguments, reason = "as of `push`, with the ids that it makes of them")]
    fn push_as(
        &self,
        (action, backup): (ActionId, BackupId),
        slot: Instant,
        target: &Target<'_>,
        (code, words, start_before): (ReasonCode, String, Option<Instant>),
        shared: Option<&BackupId>,
        draft: &mut Plan,
        planned: &mut Vec<PlannedBackup>,
    ) {
        let leave_out = if target.scope == Scope::Shared {
            // The schema of a tenant that is gone and has left it behind goes in: else nothing would back it up at all.
            let schemas: BTreeSet<String> = self.tenants().iter().map(|(tenant, _)| tenant.schema.clone()).collect();
            schemas.into_iter().collect()
        } else {
            Vec::new()
        };
        let asked = self.asked.is_some() || self.view.request.requested.contains(self.name);
        let method = if asked { BackupMethod::Manual } else { BackupMethod::Scheduled };
        let work =
            BackupWork {
                schedule: self.name.clone(),
                database: self.database.cloned(),
                scope: target.scope.clone(),
                tenant: target.tenant.cloned(),
                slot,
                start_before,
                backup,
                backup_type: self.spec.backup,
                engine: self.spec.engine,
                method,
                store: self.spec.store.clone(),
                shared: shared.cloned(),
                leave_out,
                priority: target.priority,
                compression: self.spec.compression,
                retention: self.spec.retention.clone(),
                parallel: self.spec.max_parallel_jobs,
                protect: self.is_protected(),
                configuration: (target.scope == Scope::Configuration).then(|| ConfigurationWork {
                    digest: self
                        .database
                        .and_then(|database| configuration::digest(self.view, self.spec, database).ok().flatten()),
                    passwords: self.spec.passwords,
                }),
                asked_for: self.view.request.asked_for.clone().filter(|_| method == BackupMethod::Manual).map(
                    |asked| AskedFor { tables: self.asked.map_or(Vec::new(), |_| self.spec.tables.clone()), ..asked },
                ),
                tables: self.spec.tables.clone(),
                csv: self.asked.is_some_and(|asked| asked.csv),
                jobs: self.jobs(&target.scope),
                files: matches!(target.scope, Scope::Files(_))
                    .then(|| FilesWork { paths: self.spec.paths.clone(), exclude: self.spec.exclude.clone() }),
                found: None,
            };
        let after = shared
            .and_then(|id| planned.iter().find(|p| &p.work.backup == id))
            .map(|p| vec![p.action])
            .unwrap_or_default();
        draft.actions.push(Action {
            id: action,
            address: self.address.clone(),
            class: ActionClass::Due,
            kind: ActionKind::BackUp(work.clone()),
            reason: Reason { code, words, location: self.location() },
            preconditions: vec![Precondition::SlotFree],
            after,
            bytes: self.expected(&target.scope),
        });
        planned.push(PlannedBackup { action, work });
    }
}

/// Cuts an instant to the second: slots, ids and keys carry no fractions.
fn whole_second(instant: Instant) -> Instant {
    Instant::from_second(instant.as_second()).unwrap_or(instant)
}
