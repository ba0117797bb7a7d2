//! What becomes of backups that other scripts left: which schedule each belongs to, under which name it is taken over,
//! and which are left alone, with the reason. Pure. Nothing of what was found is ever deleted.

use std::collections::BTreeMap;

use super::coverage::backup_id;
use super::guards::in_force;
use super::world::{Eligible, View, schedule_address};
use super::{Request, seal};
use crate::domain::{
    Action, ActionClass, ActionKind, Backup, BackupId, BackupMethod, BackupType, BackupWork, CatalogState, Desired,
    Engine, FoundBackup, Instant, LeftAlone, Name, Observation, Observed, Plan, Precondition, Reason, ReasonCode,
    ScheduleSpec, Scope,
};
use crate::retention::{Floors, Point, decide};

/// What somebody says of an adoption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The database that the backups are of.
    pub database: Name,
    /// Schedules whose backups these become; where none fits a kind, the only one of the policies that does.
    pub schedules: Vec<Name>,
    /// What was found and is whole, with what it is of.
    pub found: Vec<(Scope, FoundBackup)>,
}

/// A plan that adopts, and what it leaves alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptionPlan {
    /// The plan.
    pub plan: Plan,
    /// What is not adopted, and why.
    pub left_alone: Vec<LeftAlone>,
    /// What was adopted before.
    pub already: Vec<(String, BackupId)>,
}

/// Plans an adoption.
///
/// # Errors
/// In words, where a schedule cannot be told: nothing is adopted then.
pub fn adoption(
    desired: &Desired,
    observed: &Observed,
    request: &Request,
    adoption: &Adoption,
) -> Result<AdoptionPlan, String> {
    let Observation::Known(CatalogState::Present(catalog)) = &observed.catalog else {
        return Err("there is no catalog yet: run `bkup apply` first, which makes it and the stores".to_owned());
    };
    let view = View::new(desired, observed, Some(catalog.as_ref()), request);
    let mut result = AdoptionPlan {
        plan: super::blank(desired, request, Some(catalog.as_ref())),
        left_alone: Vec::new(),
        already: Vec::new(),
    };
    result.plan.rules = super::rules(&view);
    let mut taken: BTreeMap<BackupId, String> = BTreeMap::new();
    let mut wanted: Vec<(Scope, &FoundBackup, &Name, &ScheduleSpec, BackupId)> = Vec::new();
    for (scope, found) in &adoption.found {
        let kind = if scope.tenant().is_some() { BackupType::TenantData } else { BackupType::Database };
        let (name, spec) = schedule(&view, adoption, kind)?;
        let scope = known_as(&view, &adoption.database, scope);
        let (_, id) = backup_id(name, Some(&adoption.database), &scope, found.at);
        if view.backup(&id).is_some() {
            result.already.push((found.key.clone(), id));
        } else if let Some(other) = taken.get(&id) {
            let why = format!("{other} is of the same time, and is adopted");
            result.left_alone.push(LeftAlone { key: found.key.clone(), why });
        } else {
            taken.insert(id.clone(), found.key.clone());
            wanted.push((scope, found, name, spec, id));
        }
    }
    for (scope, found, name, spec, id) in &wanted {
        let group: Vec<&Backup> = view.group(name, Some(&adoption.database), scope).to_vec();
        let coming = wanted.iter().filter(|(s, _, n, ..)| s == scope && n == name);
        let mut points: Vec<Point<'_>> = group
            .iter()
            .map(|b| Point { quarantined: view.eligible(b) != Eligible::Yes, ..Point::of(b, false) })
            .collect();
        points.extend(coming.map(|(_, found, _, _, id)| Point { verified: true, ..Point::new(id, found.at) }));
        let floors = Floors { min_keep: in_force(&view).min_keep };
        let kept = decide(&points, &spec.retention, floors, view.now());
        let keeps = points.iter().zip(&kept).any(|(point, verdict)| point.id == id && verdict.keep);
        if keeps {
            result.plan.actions.push(action(&view, &adoption.database, scope, found, name, spec));
        } else {
            let why = format!("the retention of schedule.{name} keeps none of its time; it stays where it is");
            result.left_alone.push(LeftAlone { key: found.key.clone(), why });
        }
    }
    result.plan = seal(result.plan);
    result.left_alone.sort();
    Ok(result)
}

/// Returns the schedule that backups of a kind become.
fn schedule<'a>(
    view: &View<'a>,
    adoption: &Adoption,
    kind: BackupType,
) -> Result<(&'a Name, &'a ScheduleSpec), String> {
    let fits = |spec: &ScheduleSpec| {
        spec.backup == kind && spec.tables.is_empty() && spec.databases.contains(&adoption.database)
    };
    let all: Vec<(&Name, &ScheduleSpec)> = view.desired.schedules.iter().filter(|(_, spec)| fits(spec)).collect();
    let named: Vec<(&Name, &ScheduleSpec)> =
        all.iter().copied().filter(|(name, _)| adoption.schedules.contains(name)).collect();
    let choice = if named.is_empty() { &all } else { &named };
    let word = kind.word();
    let (name, spec) = match choice.as_slice() {
        [only] => *only,
        [] => {
            return Err(format!(
                "no schedule makes `{word}` backups of database.{}, and a backup without one has no retention",
                adoption.database
            ));
        }
        many => {
            let names: Vec<String> = many.iter().map(|(name, _)| name.to_string()).collect();
            return Err(format!(
                "several schedules make `{word}` backups of database.{}: {}",
                adoption.database,
                names.join(", ")
            ));
        }
    };
    let address = schedule_address(name);
    let applied = view.catalog.and_then(|catalog| catalog.applied.get(&address));
    let document = view.desired.documents.get(&address).map(|document| document.digest);
    if applied.filter(|a| a.archived_at.is_none()).map(|a| a.digest) != document {
        return Err(format!("schedule.{name} is not applied as the policies have it: run `bkup apply` first"));
    }
    Ok((name, spec))
}

/// Returns a tenant under its slug, where its id or its schema was in the path.
fn known_as(view: &View<'_>, database: &Name, scope: &Scope) -> Scope {
    let Some(text) = scope.tenant() else { return scope.clone() };
    let tenants = || view.tenants(database).iter().map(|(tenant, _)| tenant);
    let same = tenants().find(|tenant| tenant.slug == text);
    let other = || tenants().find(|tenant| tenant.id.as_deref() == Some(text) || tenant.schema == text);
    same.or_else(other).map_or_else(|| scope.clone(), |tenant| Scope::Tenant(tenant.slug.clone()))
}

fn action(
    view: &View<'_>,
    database: &Name,
    scope: &Scope,
    found: &FoundBackup,
    name: &Name,
    spec: &ScheduleSpec,
) -> Action {
    let (id, backup) = backup_id(name, Some(database), scope, found.at);
    let tenant = scope.tenant().and_then(|slug| {
        view.tenants(database).iter().map(|(tenant, _)| tenant).find(|tenant| tenant.slug == slug).cloned()
    });
    let location = view.desired.documents.get(&schedule_address(name)).map(|document| document.location.clone());
    Action {
        id,
        address: schedule_address(name),
        class: ActionClass::Due,
        kind: ActionKind::BackUp(BackupWork {
            schedule: name.clone(),
            database: Some(database.clone()),
            scope: scope.clone(),
            tenant,
            slot: whole_second(found.at),
            start_before: None,
            backup,
            backup_type: spec.backup,
            engine: Engine::Logical,
            method: BackupMethod::Manual,
            store: spec.store.clone(),
            shared: None,
            leave_out: Vec::new(),
            priority: 0,
            compression: spec.compression,
            retention: spec.retention.clone(),
            parallel: 1,
            protect: false,
            configuration: None,
            asked_for: None,
            tables: Vec::new(),
            csv: false,
            jobs: None,
            files: None,
            found: Some(Box::new(found.clone())),
        }),
        reason: Reason {
            code: ReasonCode::Requested,
            words: format!("found as {}, {} and whole", found.key, found.form.words()),
            location,
        },
        preconditions: vec![Precondition::SlotFree],
        after: Vec::new(),
        bytes: Some(found.size),
    }
}

fn whole_second(instant: Instant) -> Instant {
    Instant::from_second(instant.as_second()).unwrap_or(instant)
}
