//! Absolute floors: what must be left of a scope whatever deletes the rest. A percentage means nothing for seven backups.
//! Time meets a floor by keeping one more; a change that would break one is refused. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::guards::in_force;
use super::world::{Eligible, View};
use crate::domain::{
    ActionKind, ApprovalStatus, Backup, BackupId, GuardRefusal, Instant, Name, Period, Plan, RecoveryPlanSpec, Scope,
    Verification,
};

/// Finds what no rule keeps any longer and an approved recovery plan needs: where nothing that stays reaches back as far
/// as its `minimum_backup_age`, the newest backup that does. `dropped` says what the rules drop of a group.
pub fn needed_by_plans<'a>(
    view: &View<'a>,
    dropped: impl Fn(&Name, Option<&Name>, &Scope) -> Vec<&'a BackupId>,
) -> HashMap<&'a BackupId, String> {
    let mut needed = HashMap::new();
    for (name, _, age, database) in reaches(view) {
        let groups = view.groups().keys().filter(|(_, of, scope)| *of == Some(database) && **scope != Scope::Shared);
        let gone: HashSet<&BackupId> = groups.flat_map(|(schedule, of, scope)| dropped(schedule, *of, scope)).collect();
        if gone.is_empty() {
            continue;
        }
        for scope in scopes(view, database) {
            let old = reaching(view, database, scope, age);
            if old.iter().all(|backup| gone.contains(&backup.id))
                && let Some(newest) = old.iter().max_by_key(|b| (b.consistent_at, &b.id))
            {
                needed.insert(&newest.id, format!("recovery-plan.{name} must be able to go back {age}"));
            }
        }
    }
    needed
}

/// Returns what each approved plan asks of each of its databases.
fn reaches<'a>(view: &View<'a>) -> Vec<(&'a Name, &'a RecoveryPlanSpec, Period, &'a Name)> {
    approved(view)
        .filter_map(|(name, plan)| Some((name, plan, plan.minimum_backup_age?)))
        .flat_map(|(name, plan, age)| plan.databases.iter().map(move |database| (name, plan, age, database)))
        .collect()
}

fn approved<'a>(view: &View<'a>) -> impl Iterator<Item = (&'a Name, &'a RecoveryPlanSpec)> {
    view.desired.recovery_plans.iter().filter(|(_, plan)| plan.approval.status == ApprovalStatus::Approved)
}

fn scopes<'a>(view: &View<'a>, database: &Name) -> Vec<&'a Scope> {
    let of_it =
        |(_, of, scope): &&(&'a Name, Option<&'a Name>, &'a Scope)| *of == Some(database) && **scope != Scope::Shared;
    let mut all: Vec<&Scope> = view.groups().keys().filter(of_it).map(|(_, _, scope)| *scope).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn restorable<'a>(view: &View<'a>, database: &Name, scope: &Scope) -> Vec<&'a Backup> {
    let there = view.of_scope(database, scope).iter().copied();
    there.filter(|backup| view.eligible(backup) == Eligible::Yes).collect()
}

fn reaching<'a>(view: &View<'a>, database: &Name, scope: &Scope, age: Period) -> Vec<&'a Backup> {
    let old = |backup: &&Backup| age.after(backup.consistent_at) <= view.now();
    restorable(view, database, scope).into_iter().filter(old).collect()
}

/// Refuses what a backup that stays builds on.
pub fn broken_chain(base: &BackupId, child: &BackupId) -> GuardRefusal {
    GuardRefusal {
        guard: "chain".to_owned(),
        words: format!("this change deletes {base}, and {child}, which stays, builds on it"),
        help: "remove what builds on it with `backups: delete` too, or let it expire first".to_owned(),
    }
}

/// Adds a refusal for each scope that a change would leave below a floor. Consent to delete all of a scope is consent
/// to this as well.
pub fn check(view: &View<'_>, consented: bool, draft: &mut Plan) {
    let mut going: BTreeMap<(&Name, &Scope), HashSet<&BackupId>> = BTreeMap::new();
    let mut given_up: HashSet<(&Name, &Scope)> = HashSet::new();
    for action in &draft.actions {
        if let ActionKind::Tombstone(work) = &action.kind
            && let Some(database) = &work.database
        {
            going.entry((database, &work.scope)).or_default().insert(&work.backup);
            if work.any_schedule {
                given_up.insert((database, &work.scope));
            }
        }
    }
    let mut refusals = Vec::new();
    for (place, gone) in going.iter().filter(|(place, _)| given_up.contains(*place) && !consented) {
        refusals.extend(left_over(view, draft, *place, gone));
    }
    let mut count = 0;
    for (name, plan, age, database) in reaches(view) {
        for scope in scopes(view, database).into_iter().filter(|scope| given_up.contains(&(database, *scope))) {
            let Some(gone) = going.get(&(database, scope)) else { continue };
            let old = reaching(view, database, scope, age);
            if !old.is_empty() && old.iter().all(|b| gone.contains(&b.id)) && count < MOST_NAMED {
                count += 1;
                let left = oldest_left(view, database, scope, gone);
                refusals.push(short_window(name, plan, age, database, scope, left));
            }
        }
    }
    draft.refusals.extend(refusals);
}

/// How many scopes are named one by one.
const MOST_NAMED: usize = 5;

fn oldest_left(view: &View<'_>, database: &Name, scope: &Scope, gone: &HashSet<&BackupId>) -> Option<Instant> {
    let left = restorable(view, database, scope).into_iter();
    left.filter(|b| !gone.contains(&b.id)).map(|b| b.consistent_at).min()
}

fn short_window(
    name: &Name,
    plan: &RecoveryPlanSpec,
    age: Period,
    database: &Name,
    scope: &Scope,
    left: Option<Instant>,
) -> GuardRefusal {
    let reach = left.map_or("nothing would be left".to_owned(), |at| {
        format!("the oldest that would be left is of {}", at.strftime("%Y-%m-%d %H:%M UTC"))
    });
    let who = plan.approval.by.as_ref().map(|by| format!(", approved by {by}")).unwrap_or_default();
    GuardRefusal {
        guard: "recovery_window".to_owned(),
        words: format!(
            "recovery-plan.{name}{who} must be able to go back {age} (`minimum_backup_age`) in database.{database} {scope}: {reach}"
        ),
        help: format!(
            "keep them until other backups are as old (`backups: expire`), or have recovery-plan.{name} approved with a shorter              `minimum_backup_age` first; no flag lets this pass"
        ),
    }
}

/// Says what is wrong with what a change leaves of a scope.
fn left_over(
    view: &View<'_>,
    draft: &Plan,
    (database, scope): (&Name, &Scope),
    gone: &HashSet<&BackupId>,
) -> Option<GuardRefusal> {
    let there = restorable(view, database, scope);
    let left: Vec<&&Backup> = there.iter().filter(|b| !gone.contains(&b.id)).collect();
    let coming = draft.actions.iter().filter(
        |action| matches!(&action.kind, ActionKind::BackUp(work) if work.database.as_ref() == Some(database) && &work.scope == scope),
    );
    let coming = coming.count() as u64;
    let floor = u64::from(in_force(view).min_keep.max(1)).min(there.len() as u64);
    let verified = |b: &Backup| b.verification >= Verification::Checksum;
    let words = if (left.len() as u64) + coming < floor {
        format!(
            "{} of {} restorable backups, and `guards.min_keep` is {}",
            left.len(),
            there.len(),
            in_force(view).min_keep
        )
    } else if there.iter().any(|b| verified(b)) && coming == 0 && !left.iter().any(|b| verified(b)) {
        "no verified backup".to_owned()
    } else if there.iter().any(|b| b.drilled_at.is_some()) && !left.iter().any(|b| b.drilled_at.is_some()) {
        "no backup that a drill restored".to_owned()
    } else {
        return None;
    };
    Some(GuardRefusal {
        guard: "min_keep".to_owned(),
        words: format!("this change leaves database.{database} {scope} with {words}"),
        help: format!(
            "let another schedule back it up and drill that first, or keep them (`backups: expire`); to give it up for good, \
             consent to all of it once: --allow-delete 100%@{}",
            super::guards::begin_of(draft)
        ),
    })
}
