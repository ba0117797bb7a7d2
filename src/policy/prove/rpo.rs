//! Whether what can be lost at worst is within each recovery point objective, by the mechanism that loses least. Pure.
//!
//! Dumps lose the longest gap between the slots of all schedules that cover the scope, and how late they start and how
//! long they take. Archived WAL loses what is not archived yet, whatever the slots: `archive_timeout` and `max_lag`. That
//! is an assumption about the archiver, and is said where a promise rests on it.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Severity};
use crate::domain::{BackupType, Name, Period, PlanScope, PlanStep, PlanType, RecoveryPlanSpec};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::text::{Place, shown};

use super::view::{Part, View, suspended};
use super::witness::{self, Loss};
use super::words;

/// A promise: who makes it, where, how much may be lost.
#[derive(Clone)]
pub(super) struct Promise {
    /// `the database`, with its name.
    pub who: String,
    /// The `rpo`.
    pub place: Place,
    /// How much.
    pub rpo: Period,
}

/// What of which database a promise is about, and the schedules that cover it.
struct Scope<'a> {
    database: &'a Name,
    /// `its tenants`, for people, where it is not all of it.
    what: Option<String>,
    lines: Vec<usize>,
}

/// The strictest promise that rests on the archiver of each database.
type Resting<'a> = BTreeMap<&'a Name, Promise>;

/// Proves every objective.
pub(super) fn prove(view: &mut View<'_>, cx: &mut Context<'_>) {
    let set = view.set;
    let mut resting = Resting::new();
    for (name, thing) in &set.databases {
        if let Some(rpo) = thing.spec.objectives.and_then(|objectives| objectives.rpo) {
            let place = thing.places.get("objectives.rpo");
            let promise = Promise { who: format!("the database `{name}`"), place, rpo };
            let lines = view.covering(name, Part::Whole);
            judge(&promise, vec![Scope { database: name, what: None, lines }], view, &mut resting, cx);
        }
    }
    for (name, thing) in &set.classes {
        if let Some(rpo) = thing.spec.objectives.rpo.filter(|_| suspended(thing, view.facts).is_none()) {
            let promise = Promise { who: format!("the class `{name}`"), place: thing.places.get("rpo"), rpo };
            let mut scopes = Vec::new();
            for (database, _) in set.databases.iter().filter(|(_, database)| database.spec.tenants.is_some()) {
                scopes.extend(class_scopes(view, database, name));
            }
            judge(&promise, scopes, view, &mut resting, cx);
        }
    }
    for (name, thing) in &set.recovery_plans {
        if let Some(rpo) = thing.spec.rpo.filter(|_| suspended(thing, view.facts).is_none()) {
            let promise = Promise { who: format!("the plan `{name}`"), place: thing.places.get("rpo"), rpo };
            let mut scopes = Vec::new();
            for database in &thing.spec.databases {
                scopes.extend(plan_scopes(view, database, &thing.spec));
            }
            judge(&promise, scopes, view, &mut resting, cx);
        }
    }
    note_archivers(resting, view, cx);
}

/// Returns what has to be covered for a class in a database: each of its patterns for itself.
fn class_scopes<'a>(view: &View<'a>, database: &'a Name, class: &'a Name) -> Vec<Scope<'a>> {
    let globs = &view.set.classes[class].spec.tenants;
    let scope = |glob: &'a String| {
        let lines = view.covering(database, Part::Tenants { glob, class: Some(class) });
        let what = (globs.len() > 1).then(|| format!("its tenants `{}`", shown(glob)));
        Scope { database, what, lines }
    };
    globs.iter().map(scope).collect()
}

/// Returns what has to be covered for a plan in a database. A plan for tenants that names the schedules it restores from
/// is about their tenants; one that names none is about every class, or about all tenants.
fn plan_scopes<'a>(view: &View<'a>, database: &'a Name, plan: &RecoveryPlanSpec) -> Vec<Scope<'a>> {
    let tenants = plan.plan_type == PlanType::TenantRecovery || plan.scope == PlanScope::TenantData;
    if !tenants {
        return vec![Scope { database, what: None, lines: view.covering(database, Part::Whole) }];
    }
    let named = |line: usize| {
        plan.steps.iter().any(|step| match step {
            PlanStep::Restore(restore) => restore.schedule.as_ref() == Some(view.lines[line].name),
            _ => false,
        })
    };
    let mut lines = view.covering(database, Part::Tenants { glob: "*", class: None });
    let of_named: Vec<usize> = view.of(database).iter().copied().filter(|line| named(*line)).collect();
    if of_named.iter().any(|line| view.lines[*line].thing.spec.backup == BackupType::TenantData) {
        lines.extend(of_named);
        lines.sort_unstable();
        lines.dedup();
    } else if view.set.classes.values().any(|class| class.spec.tenants.iter().any(|glob| glob == "*")) {
        return view.set.classes.keys().flat_map(|class| class_scopes(view, database, class)).collect();
    }
    vec![Scope { database, what: Some("its tenants".to_owned()), lines }]
}

/// Says whether a promise can be kept for all of its scopes: the worst of them counts.
fn judge<'a>(
    promise: &Promise,
    scopes: Vec<Scope<'a>>,
    view: &mut View<'a>,
    resting: &mut Resting<'a>,
    cx: &mut Context<'_>,
) {
    let mut worst: Option<(Loss, &Name)> = None;
    let mut paused = None;
    for Scope { database, what, lines } in &scopes {
        let Some(loss) = Loss::least(view, database, lines.clone(), false) else {
            return witness::uncovered(promise, database, what.as_deref(), view, cx);
        };
        let active = view.active(database, lines);
        let kept = |loss: &Loss| loss.length() <= promise.rpo;
        match Loss::least(view, database, active, true).filter(kept) {
            Some(Loss::Wal(_)) => {
                let strictest = resting.entry(database).or_insert_with(|| promise.clone());
                if promise.rpo < strictest.rpo {
                    *strictest = promise.clone();
                }
            }
            Some(Loss::Dumps(_)) => {}
            None if kept(&loss) => {
                let any = || view.suspension(database, view.of(database));
                paused = paused.or_else(|| view.suspension(database, lines)).or_else(any);
            }
            None => {}
        }
        if worst.as_ref().is_none_or(|(worst, _)| loss.length() > worst.length()) {
            worst = Some((loss, database));
        }
    }
    match worst {
        Some((loss, database)) if loss.length() > promise.rpo => {
            witness::impossible(promise, &loss, database, view, cx)
        }
        _ => {
            if let Some(place) = paused {
                let Promise { who, rpo, .. } = promise;
                let message = format!(
                    "{who} can lose more than its `rpo` of {} while something is suspended",
                    words::length(*rpo)
                );
                let help = "what is suspended makes no backups: let it end soon, or raise the `rpo` until then";
                cx.warning(codes::RPO_SUSPENDED, promise.place, message, "not kept meanwhile", help)
                    .and(place, "suspended");
            }
        }
    }
}

/// Notes once for each database what rests on its archiver.
fn note_archivers(resting: Resting<'_>, view: &View<'_>, cx: &mut Context<'_>) {
    for (name, Promise { who, place, rpo }) in resting {
        let thing = &view.set.databases[name];
        let Some(wal) = &thing.spec.wal else { continue };
        let message =
            format!("the `rpo` of {who}, {}, rests on the WAL of `{name}` being archived in time", words::length(rpo));
        let label = format!(
            "{} until a segment ends, and {} to archive it",
            words::length(wal.archive_timeout),
            words::length(wal.max_lag)
        );
        let help =
            "these files cannot prove it: set `alerts.thresholds.wal_lag`, and watch that it never passes `max_lag`";
        let finding = Diagnostic::new(codes::RPO_ASSUMES_ARCHIVER, Severity::Note, message).help(help);
        cx.tell(finding, thing.places.get("wal"), label).and(place, "promised here");
    }
}
