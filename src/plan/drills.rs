//! Which drills are due, and which backups each of them restores. A drill that a backup of this very plan makes
//! possible is in the plan after that backup, by its planned id.

use std::collections::{BTreeMap, BTreeSet};

use super::backups::PlannedBackup;
use super::world::{Eligible, View};
use crate::domain::{
    Action, ActionClass, ActionId, ActionKind, Address, ApprovalStatus, BackupId, BackupType, Check, Digest,
    DrillBackup, DrillInto, DrillRecord, DrillSpec, DrillTarget, DrillWork, Held, HeldReason, Instant, Name, Plan,
    PlanStep, PlanType, Precondition, Reason, ReasonCode, RecoveryPlanSpec, RestoreInto, Scope, Section, digest_of,
};
use crate::schedule::Calendar;

/// A drill of this plan: its action, and the backups it will have restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDrill {
    /// The action that runs it.
    pub action: ActionId,
    /// The backups it restores.
    pub backups: BTreeSet<BackupId>,
}

/// A backup that could be drilled: one that is there, or one that this plan takes.
#[derive(Clone)]
struct Candidate {
    at: Instant,
    part: DrillBackup,
    shared: Option<BackupId>,
    action: Option<ActionId>,
    schedule: Name,
}

/// Plans the drills that are due.
pub fn plan(view: &View<'_>, planned: &[PlannedBackup], draft: &mut Plan) -> Vec<PlannedDrill> {
    let mut drills = Vec::new();
    if !view.wants("drills") && view.request.requested_drills.is_empty() {
        return drills;
    }
    for (name, spec) in &view.desired.recovery_plans {
        let address = Address::of(Section::RecoveryPlan, name.clone());
        let Some(drill) = &spec.drill else { continue };
        let asked = view.request.requested_drills.contains(name);
        let approved = matches!(spec.approval.status, ApprovalStatus::Approved | ApprovalStatus::PendingApproval);
        if !view.in_target(&address) || !(approved || asked) || (!asked && !view.request.requested_drills.is_empty()) {
            continue;
        }
        let record = view.catalog.and_then(|catalog| catalog.drills.get(name));
        if !asked && !is_due(drill, record, view.now()) {
            continue;
        }
        if let Some(words) = view.pause([&address]) {
            let (work, reason) = ("drill".to_owned(), HeldReason::Suspended);
            draft.held.push(Held { address, database: None, scope: None, work, reason, words });
            continue;
        }
        if let Some(planned) = plan_one(view, name, spec, drill, &address, record, planned, draft) {
            drills.push(planned);
        }
    }
    drills
}

/// A drill's `every` counts from its last attempt, whether that passed or not; a plan that was never drilled is due.
fn is_due(drill: &DrillSpec, record: Option<&DrillRecord>, now: Instant) -> bool {
    let Some(record) = record else { return true };
    if let Some(every) = drill.every {
        return every.after(record.at) <= now;
    }
    let slot = drill.when.as_ref().and_then(|when| Calendar::new(when).ok()?.last_at_or_before(now));
    slot.is_some_and(|slot| record.at < slot)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one decision, each used once")]
fn plan_one(
    view: &View<'_>,
    name: &Name,
    spec: &RecoveryPlanSpec,
    drill: &DrillSpec,
    address: &Address,
    record: Option<&DrillRecord>,
    planned: &[PlannedBackup],
    draft: &mut Plan,
) -> Option<PlannedDrill> {
    let mut hold = |reason, words: String| {
        draft.held.push(Held {
            address: address.clone(),
            database: None,
            scope: None,
            work: "drill".to_owned(),
            reason,
            words,
        });
    };
    if let Some(words) = not_served(spec, drill) {
        hold(HeldReason::NotServed, words.to_owned());
        return None;
    }
    let attempt = record.map_or(0, |record| record.attempts);
    let chosen = match choose(view, name, spec, drill, attempt, planned) {
        Ok(chosen) => chosen,
        Err(words) => {
            hold(HeldReason::NoEligibleBackup, words);
            return None;
        }
    };
    for part in &chosen {
        let store = &part.part.store;
        if let Err(why) = view.store(store) {
            hold(HeldReason::StoreUnreachable, format!("store.{store} could not be read: {why}"));
            return None;
        }
        let encrypted = view.desired.stores.get(store).is_some_and(|store| store.encryption.is_some());
        if encrypted && !view.request.identities.contains(store) {
            let words =
                format!("the private key of store.{store} is not at hand; set `encryption.identity` and its variable");
            hold(HeldReason::NoIdentity, words);
            return None;
        }
    }
    if !view.is_applied(address) {
        hold(
            HeldReason::Narrowed,
            "its policy is not applied yet, and this plan was narrowed to leave that out".to_owned(),
        );
        return None;
    }
    let document = view.desired.documents.get(address)?;
    let action = ActionId::of("drill", None, None, address, Some(&attempt.to_string()));
    let after: BTreeSet<ActionId> = chosen.iter().filter_map(|c| c.action).collect();
    let backups: Vec<DrillBackup> = chosen.into_iter().map(|c| c.part).collect();
    let ids = backups.iter().map(|b| b.backup.clone()).collect();
    let words = match record {
        None => "the plan was never drilled".to_owned(),
        Some(record) => {
            format!("its time has come; the last attempt was at {}", record.at.strftime("%Y-%m-%d %H:%M UTC"))
        }
    };
    draft.actions.push(Action {
        id: action,
        address: address.clone(),
        class: ActionClass::Due,
        kind: ActionKind::Drill(DrillWork {
            plan: name.clone(),
            plan_digest: document.digest,
            drill: format!("{name}-{attempt:06}-{}", action.digest().short()),
            backups,
            attempt,
            checks: drill.checks.clone(),
            rpo: spec.rpo,
            rto: spec.rto,
        }),
        reason: Reason { code: ReasonCode::DrillDue, words, location: Some(document.location.clone()) },
        preconditions: vec![Precondition::DrillAttempts(attempt)],
        after: after.into_iter().collect(),
        bytes: None,
    });
    Some(PlannedDrill { action, backups: ids })
}

/// Says what of a drill this version does not do.
fn not_served(spec: &RecoveryPlanSpec, drill: &DrillSpec) -> Option<&'static str> {
    let restores = || {
        spec.steps.iter().filter_map(|step| match step {
            PlanStep::Restore(restore) if restore.into != RestoreInto::Live => Some(restore),
            _ => None,
        })
    };
    let served = |kind: BackupType| matches!(kind, BackupType::Database | BackupType::TenantData | BackupType::Files);
    if drill.into != DrillInto::Scratch {
        Some("drills on a server of your own are not run by this version of bkup yet")
    } else if drill.checks.contains(&Check::Amcheck) {
        Some("`amcheck` is not run by this version of bkup yet")
    } else if restores().any(|restore| restore.backup.is_some_and(|kind| !served(kind))) {
        Some("restores of clusters and configurations are not drilled by this version of bkup yet")
    } else if restores().any(|restore| !restore.tables.is_empty()) {
        Some("restores of single tables are not drilled by this version of bkup yet")
    } else {
        None
    }
}

/// Returns what a plan's drill restores in each of its databases: kinds of backups, and of which schedule where it says so.
#[must_use]
pub fn wanted(spec: &RecoveryPlanSpec) -> Vec<(BackupType, Option<&Name>)> {
    let mut wanted: Vec<(BackupType, Option<&Name>)> = Vec::new();
    for step in &spec.steps {
        if let PlanStep::Restore(step) = step
            && let Some(backup) = step.backup
            && !wanted.contains(&(backup, step.schedule.as_ref()))
        {
            wanted.push((backup, step.schedule.as_ref()));
        }
    }
    if wanted.is_empty() {
        let by_type =
            if spec.plan_type == PlanType::TenantRecovery { BackupType::TenantData } else { BackupType::Database };
        wanted.push((by_type, None));
    }
    wanted
}

/// Chooses the backups of a drill, in the order in which they are restored.
fn choose(
    view: &View<'_>,
    name: &Name,
    spec: &RecoveryPlanSpec,
    drill: &DrillSpec,
    attempt: u64,
    planned: &[PlannedBackup],
) -> Result<Vec<Candidate>, String> {
    let latest = match drill.target {
        DrillTarget::Ago(age) => age.before(view.now()),
        DrillTarget::Latest | DrillTarget::RandomInstant => Instant::MAX,
    };
    let wanted = wanted(spec);
    let mut chosen: Vec<Candidate> = Vec::new();
    // Files belong to no database; they come first, as the smaller part of what an application needs.
    let (files, of_databases): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(kind, _)| *kind == BackupType::Files);
    let places = files.iter().map(|of| (None, of));
    let databases = spec.databases.iter().flat_map(|database| of_databases.iter().map(move |of| (Some(database), of)));
    for (database, (backup_type, schedule)) in places.chain(databases) {
        let all = candidates(view, planned, database, *backup_type, *schedule, latest);
        let newest = newest_by_scope(all);
        if newest.is_empty() {
            return Err(match (database, schedule) {
                (Some(database), _) => {
                    format!("database.{database} has no {} backup that could be restored", backup_type.word())
                }
                (None, Some(schedule)) => format!("schedule.{schedule} has no backup that could be restored"),
                (None, None) => "there is no backup of files that could be restored".to_owned(),
            });
        }
        let sample = match database {
            Some(_) => sample(newest, name, attempt, drill.sample_tenants),
            None => newest,
        };
        for candidate in sample {
            if let Some(shared) = &candidate.shared
                && !chosen.iter().any(|c| &c.part.backup == shared)
            {
                chosen.push(shared_candidate(view, planned, shared, &candidate)?);
            }
            chosen.push(candidate);
        }
    }
    Ok(chosen)
}

fn candidates(
    view: &View<'_>,
    planned: &[PlannedBackup],
    database: Option<&Name>,
    backup_type: BackupType,
    schedule: Option<&Name>,
    latest: Instant,
) -> Vec<Candidate> {
    // Some tables are no database: only a step that names their schedule means them.
    let whole = |scope: &Scope| schedule.is_some() || !matches!(scope, Scope::Tables(_));
    let there = view.backups().iter().filter(|b| {
        b.database.as_ref() == database
            && b.backup_type == backup_type
            && b.scope != Scope::Shared
            && whole(&b.scope)
            && schedule.is_none_or(|s| s == &b.schedule)
            && view.eligible(b) == Eligible::Yes
            && b.consistent_at <= latest
    });
    let there = there.map(|b| Candidate {
        at: b.consistent_at,
        part: DrillBackup {
            backup: b.id.clone(),
            database: database.cloned(),
            filed_under: b.filed_under.clone(),
            scope: b.scope.clone(),
            store: b.store.clone(),
        },
        shared: b.shared.clone(),
        action: None,
        schedule: b.schedule.clone(),
    });
    let to_come = planned.iter().filter(|p| {
        p.work.database.as_ref() == database
            && p.work.backup_type == backup_type
            && p.work.scope != Scope::Shared
            && whole(&p.work.scope)
            && schedule.is_none_or(|s| s == &p.work.schedule)
            && view.now() <= latest
    });
    let to_come = to_come.map(|p| Candidate {
        at: view.now(),
        part: DrillBackup {
            backup: p.work.backup.clone(),
            database: database.cloned(),
            filed_under: None,
            scope: p.work.scope.clone(),
            store: p.work.store.clone(),
        },
        shared: p.work.shared.clone(),
        action: Some(p.action),
        schedule: p.work.schedule.clone(),
    });
    there.chain(to_come).collect()
}

fn newest_by_scope(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut newest: BTreeMap<Scope, Candidate> = BTreeMap::new();
    for candidate in candidates {
        let better = newest.get(&candidate.part.scope).is_none_or(|known| {
            (candidate.at, &candidate.schedule, &candidate.part.backup)
                > (known.at, &known.schedule, &known.part.backup)
        });
        if better {
            newest.insert(candidate.part.scope.clone(), candidate);
        }
    }
    newest.into_values().collect()
}

/// Returns a scope's draw in an attempt of a plan: the smallest ones are its sample.
#[must_use]
pub fn draw(plan: &Name, attempt: u64, scope: &Scope) -> Digest {
    digest_of(&(plan.as_str(), attempt, scope.to_string()))
}

/// Draws the sample: by a hash of plan, attempt and scope, so that each attempt proves others and a plan is repeatable.
fn sample(mut candidates: Vec<Candidate>, plan: &Name, attempt: u64, size: u32) -> Vec<Candidate> {
    candidates.sort_by_cached_key(|c| draw(plan, attempt, &c.part.scope));
    candidates.truncate(usize::try_from(size).unwrap_or(usize::MAX).max(1));
    candidates.sort_by(|a, b| a.part.scope.cmp(&b.part.scope));
    candidates
}

fn shared_candidate(
    view: &View<'_>,
    planned: &[PlannedBackup],
    shared: &BackupId,
    of: &Candidate,
) -> Result<Candidate, String> {
    let part = DrillBackup {
        backup: shared.clone(),
        database: of.part.database.clone(),
        filed_under: view.backup(shared).and_then(|backup| backup.filed_under.clone()),
        scope: Scope::Shared,
        store: of.part.store.clone(),
    };
    if let Some(p) = planned.iter().find(|p| &p.work.backup == shared) {
        let schedule = p.work.schedule.clone();
        return Ok(Candidate { at: view.now(), part, shared: None, action: Some(p.action), schedule });
    }
    let backup = view.backup(shared).ok_or_else(|| format!("the shared archive {shared} is not in the catalog"))?;
    Ok(Candidate { at: backup.consistent_at, part, shared: None, action: None, schedule: backup.schedule.clone() })
}
