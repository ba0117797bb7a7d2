//! Renames: what a `moved` entry carries from the old address to the new one, and what stands against it. The planner
//! looks at the catalog as it will be after them, so that a rename changes nothing but names. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Request;
use super::narrow;
use super::world::View;
use crate::domain::{
    Action, ActionClass, ActionId, ActionKind, Address, CatalogFacts, Desired, GuardRefusal, Moved, Name, Plan,
    Precondition, Reason, ReasonCode, Section,
};

/// Renames that are still to be done, and the catalog as it will be after them.
pub struct Pending<'a> {
    /// The catalog after them; the catalog itself where there are none.
    pub facts: Cow<'a, CatalogFacts>,
    moves: Vec<(Moved, u64)>,
    collisions: Vec<GuardRefusal>,
}

/// Finds the renames that are still to be done: those whose old address the catalog still knows.
#[must_use]
pub fn pending<'a>(desired: &Desired, facts: &'a CatalogFacts, request: &Request) -> Pending<'a> {
    let mut pending = Pending { facts: Cow::Borrowed(facts), moves: Vec::new(), collisions: Vec::new() };
    let changes = request.narrowing.only.as_deref().is_none_or(|only| only == "changes");
    if !changes {
        return pending;
    }
    for moved in in_order(&desired.moved) {
        let from_here = is_known(&pending.facts, &moved.from) && moved.from.section() == moved.to.section();
        if !from_here || !narrow::in_target(&request.narrowing, &moved.to) {
            continue;
        }
        if !has_history(moved.from.section()) && is_applied(&pending.facts, &moved.to) {
            // Both were applied side by side: the old one is archived like anything else that left.
            continue;
        }
        if let Some(held) = history(&pending.facts, &moved.to) {
            pending.collisions.push(collision(moved, &held));
            continue;
        }
        let backups = pending.facts.backups.iter().filter(|b| belongs(b, &moved.from)).count() as u64;
        carry(pending.facts.to_mut(), moved);
        pending.moves.push((moved.clone(), backups));
    }
    pending
}

/// Orders renames so that one which leads on comes after the one that leads there.
fn in_order(moved: &[Moved]) -> Vec<&Moved> {
    let mut left: Vec<&Moved> = moved.iter().collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let next = left.iter().position(|m| left.iter().all(|other| other.to != m.from)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

fn collision(moved: &Moved, held: &str) -> GuardRefusal {
    let Moved { from, to } = moved;
    GuardRefusal {
        guard: "moved".to_owned(),
        words: format!("{from} cannot be renamed to {to}: {to} has {held} of its own"),
        help: format!(
            "rename {from} to something that was never used, or remove this `moved` entry: then both keep what they have, \
             and {from} becomes an orphan that goes by its recorded retention"
        ),
    }
}

/// Returns whether backups, progress or drills stand under names of this section.
const fn has_history(section: Section) -> bool {
    matches!(section, Section::Schedule | Section::Database | Section::Store | Section::RecoveryPlan)
}

fn is_applied(facts: &CatalogFacts, address: &Address) -> bool {
    facts.applied.get(address).is_some_and(|applied| applied.archived_at.is_none())
}

fn is_known(facts: &CatalogFacts, address: &Address) -> bool {
    facts.applied.contains_key(address) || history(facts, address).is_some()
}

fn belongs(backup: &crate::domain::Backup, address: &Address) -> bool {
    let Some(name) = address.name() else { return false };
    match address.section() {
        Section::Schedule => &backup.schedule == name,
        Section::Database => backup.database.as_ref() == Some(name),
        Section::Store => &backup.store == name,
        _ => false,
    }
}

/// Says what stands under an address, in words; absent where nothing does.
fn history(facts: &CatalogFacts, address: &Address) -> Option<String> {
    let name = address.name()?;
    let backups = facts.backups.iter().filter(|backup| belongs(backup, address)).count();
    if backups > 0 {
        return Some(format!("{backups} backup{}", if backups == 1 { "" } else { "s" }));
    }
    match address.section() {
        Section::RecoveryPlan => {
            let attempts = facts.drills.get(name)?.attempts;
            Some(format!("{attempts} drill{}", if attempts == 1 { "" } else { "s" }))
        }
        Section::Store => facts.stores.contains_key(name).then(|| "a place".to_owned()),
        _ => None,
    }
}

/// Carries everything that stands under the old address over to the new one. Doing it again changes nothing.
pub fn carry(facts: &mut CatalogFacts, moved: &Moved) {
    if let Some(applied) = facts.applied.remove(&moved.from) {
        facts.applied.insert(moved.to.clone(), applied);
    }
    if let Some(fate) = facts.removals.remove(&moved.from) {
        facts.removals.insert(moved.to.clone(), fate);
    }
    let (Some(from), Some(to)) = (moved.from.name(), moved.to.name()) else { return };
    match moved.from.section() {
        Section::Schedule => {
            facts.backups.iter_mut().filter(|b| &b.schedule == from).for_each(|b| b.schedule = to.clone());
            facts.progress.iter_mut().filter(|p| &p.schedule == from).for_each(|p| p.schedule = to.clone());
            settle_once(facts);
        }
        Section::Database => {
            for backup in facts.backups.iter_mut().filter(|b| b.database.as_ref() == Some(from)) {
                // The keys in the store stay as they are, whatever the database is called.
                let filed = backup.filed_under.take().unwrap_or_else(|| from.clone());
                backup.filed_under = Some(filed).filter(|filed| filed != to);
                backup.database = Some(to.clone());
            }
            // As the catalog does: what was remembered under the new name is not of this database.
            facts.tenants.retain(|record| &record.database != to);
            facts.tenants.iter_mut().filter(|r| &r.database == from).for_each(|r| r.database = to.clone());
            let of_it = |p: &&mut crate::domain::Progress| p.database.as_ref() == Some(from);
            facts.progress.iter_mut().filter(of_it).for_each(|p| p.database = Some(to.clone()));
            settle_once(facts);
        }
        Section::Store => {
            facts.backups.iter_mut().filter(|b| &b.store == from).for_each(|b| b.store = to.clone());
            facts.garbage.iter_mut().filter(|g| &g.store == from).for_each(|g| g.store = to.clone());
            if let Some(id) = facts.stores.remove(from) {
                facts.stores.insert(to.clone(), id);
            }
        }
        Section::RecoveryPlan => {
            if let Some(record) = facts.drills.remove(from) {
                facts.drills.insert(to.clone(), record);
            }
        }
        _ => {}
    }
}

/// Where the new name had settled slots too, the later instant counts: no slot is judged twice.
fn settle_once(facts: &mut CatalogFacts) {
    let mut settled = BTreeMap::new();
    for p in facts.progress.drain(..) {
        let at = settled.entry((p.schedule, p.database)).or_insert(p.settled);
        *at = p.settled.max(*at);
    }
    let progress = |((schedule, database), settled)| crate::domain::Progress { schedule, database, settled };
    facts.progress = settled.into_iter().map(progress).collect();
}

impl Pending<'_> {
    /// Plans the renames, before anything that counts on the new names.
    pub(super) fn plan(&self, view: &View<'_>, draft: &mut Plan) {
        draft.refusals.extend(self.collisions.iter().cloned());
        let mut after = Vec::new();
        for (moved, backups) in &self.moves {
            let id = ActionId::of("move", None, None, &moved.to, Some(&moved.from.to_string()));
            let location = view.desired.documents.get(&moved.to).map(|document| document.location.clone());
            let words = match backups {
                0 => format!("it was {}", moved.from),
                1 => format!("it was {}; its backup goes along", moved.from),
                n => format!("it was {}; its {n} backups go along", moved.from),
            };
            draft.actions.push(Action {
                id,
                address: moved.to.clone(),
                class: ActionClass::Change,
                kind: ActionKind::Move { from: moved.from.clone(), backups: *backups },
                reason: Reason { code: ReasonCode::Renamed, words, location },
                preconditions: vec![Precondition::HistoryAt(moved.from.clone())],
                after: after.clone(),
                bytes: None,
            });
            after.push(id);
        }
    }

    /// Lets everything that works under a new name wait for its rename: done before, it would begin a second history.
    pub(super) fn put_first(&self, draft: &mut Plan) {
        if self.moves.is_empty() {
            return;
        }
        let renamed: BTreeMap<&Address, ActionId> = self
            .moves
            .iter()
            .map(|(m, _)| (&m.to, ActionId::of("move", None, None, &m.to, Some(&m.from.to_string()))))
            .collect();
        for action in draft.actions.iter_mut().filter(|a| !matches!(a.kind, ActionKind::Move { .. })) {
            let waits: BTreeSet<ActionId> =
                touched(action).iter().filter_map(|address| renamed.get(address).copied()).collect();
            action.after.extend(waits);
        }
    }
}

/// Returns the addresses under whose names an action works.
fn touched(action: &Action) -> Vec<Address> {
    let mut all = vec![action.address.clone()];
    let mut add = |section, name: Option<&Name>| all.extend(name.map(|name| Address::of(section, name.clone())));
    match &action.kind {
        ActionKind::BackUp(work) => {
            add(Section::Schedule, Some(&work.schedule));
            add(Section::Database, work.database.as_ref());
            add(Section::Store, Some(&work.store));
        }
        ActionKind::RecordMissed { schedule, database, .. } => {
            add(Section::Schedule, Some(schedule));
            add(Section::Database, database.as_ref());
        }
        ActionKind::Drill(work) => {
            add(Section::RecoveryPlan, Some(&work.plan));
            for part in &work.backups {
                add(Section::Database, part.database.as_ref());
                add(Section::Store, Some(&part.store));
            }
        }
        ActionKind::Tombstone(work) | ActionKind::Purge(work) => {
            add(Section::Database, work.database.as_ref());
            add(Section::Store, Some(&work.store));
        }
        ActionKind::Quarantine { store, .. }
        | ActionKind::AbortUploads { store, .. }
        | ActionKind::CollectGarbage { store, .. }
        | ActionKind::EnsureStore { store, .. } => add(Section::Store, Some(store)),
        ActionKind::EnsureCatalog { .. }
        | ActionKind::ApplyDocument { .. }
        | ActionKind::Move { .. }
        | ActionKind::Release { .. } => {}
        ActionKind::Offboard(work) | ActionKind::Onboard(work) => add(Section::Database, Some(&work.database)),
    }
    all
}

/// Returns the renames of a plan, in the order in which they are done.
pub fn planned(plan: &Plan) -> impl Iterator<Item = Moved> + '_ {
    plan.actions.iter().filter_map(|action| match &action.kind {
        ActionKind::Move { from, .. } => Some(Moved { from: from.clone(), to: action.address.clone() }),
        _ => None,
    })
}
