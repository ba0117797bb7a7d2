//! Whether what schedules can lose at worst is within each recovery point objective; if not, the witness. Pure.

use crate::domain::{BackupType, Name, Period, PlanScope, PlanStep, PlanType, RecoveryPlanSpec};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::text::Place;
use crate::schedule::Worst;

use super::view::{Part, View};
use super::words;

/// A promise: who makes it, where, how much may be lost.
struct Promise {
    /// `the database`, with its name.
    who: String,
    place: Place,
    rpo: Period,
}

/// What of which database a promise is about, and the schedules that cover it.
struct Scope<'a> {
    database: &'a Name,
    /// `its tenants`, for people, where it is not all of it.
    what: Option<String>,
    lines: Vec<usize>,
}

/// Proves every objective.
pub(super) fn prove(view: &mut View<'_>, cx: &mut Context<'_>) {
    let set = view.set;
    for (name, thing) in &set.databases {
        if let Some(rpo) = thing.spec.objectives.and_then(|objectives| objectives.rpo) {
            let place = thing.places.get("objectives.rpo");
            let promise = Promise { who: format!("the database `{name}`"), place, rpo };
            let lines = view.covering(name, Part::Whole);
            judge(&promise, vec![Scope { database: name, what: None, lines }], view, cx);
        }
    }
    for (name, thing) in &set.classes {
        if let Some(rpo) = thing.spec.objectives.rpo {
            let promise = Promise { who: format!("the class `{name}`"), place: thing.places.get("rpo"), rpo };
            let mut scopes = Vec::new();
            for (database, _) in set.databases.iter().filter(|(_, database)| database.spec.tenants.is_some()) {
                scopes.extend(class_scopes(view, database, name));
            }
            judge(&promise, scopes, view, cx);
        }
    }
    for (name, thing) in &set.recovery_plans {
        if let Some(rpo) = thing.spec.rpo {
            let promise = Promise { who: format!("the plan `{name}`"), place: thing.places.get("rpo"), rpo };
            let mut scopes = Vec::new();
            for database in &thing.spec.databases {
                scopes.extend(plan_scopes(view, database, &thing.spec));
            }
            judge(&promise, scopes, view, cx);
        }
    }
}

/// Returns what has to be covered for a class in a database: each of its patterns for itself.
fn class_scopes<'a>(view: &View<'a>, database: &'a Name, class: &'a Name) -> Vec<Scope<'a>> {
    let globs = &view.set.classes[class].spec.tenants;
    let scope = |glob: &'a String| {
        let lines = view.covering(database, Part::Tenants { glob, class: Some(class) });
        let what = (globs.len() > 1).then(|| format!("its tenants `{glob}`"));
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
fn judge<'a>(promise: &Promise, scopes: Vec<Scope<'a>>, view: &mut View<'a>, cx: &mut Context<'_>) {
    let mut worst: Option<(Worst, &Name)> = None;
    for Scope { database, what, lines } in scopes {
        match view.worst(database, lines) {
            Some(found) if worst.is_none_or(|(worst, _)| found.length > worst.length) => {
                worst = Some((found, database))
            }
            Some(_) => {}
            None => return uncovered(promise, database, what.as_deref(), view, cx),
        }
    }
    let Some((worst, database)) = worst.filter(|(worst, _)| worst.length > promise.rpo) else { return };
    let Promise { who, place, rpo } = promise;
    let message = format!("{who} can lose {}, and its `rpo` is {}", words::length(worst.length), words::length(*rpo));
    let words = witness(&worst, database, view);
    let help = help(&worst, database, *rpo, view);
    let when = view.lines[worst.next.line].thing.places.get("when");
    cx.error(codes::RPO_IMPOSSIBLE, *place, message, "promised here", help).and(when, words);
}

/// Says that nothing covers a scope.
fn uncovered(promise: &Promise, database: &Name, what: Option<&str>, view: &View<'_>, cx: &mut Context<'_>) {
    let Promise { who, place, rpo } = promise;
    let what = what.map_or_else(String::new, |what| format!("{what} in "));
    let message = format!("{who} has an `rpo`, and no schedule makes backups of all of {what}`{database}`");
    let partial = !view.of(database).is_empty();
    let help = match fitting(*rpo, Period::default()) {
        Some(every) => {
            format!("add a schedule for `{database}` with `backup: database` and `when: {{ every: {every} }}`")
        }
        None => format!("add a schedule with `backup: database` for `{database}`"),
    };
    let help =
        if partial { format!("{help}: those that are there take only a part of it, or fire on request") } else { help };
    let place_of = view.set.databases[database].place;
    cx.error(codes::RPO_UNCOVERED, *place, message, "promised here", help).and(place_of, "this database");
}

/// Says which time it is in which nothing newer counts, and what comes on top.
fn witness(worst: &Worst, database: &Name, view: &View<'_>) -> String {
    let (first, next) = (&view.lines[worst.counts.line], &view.lines[worst.next.line]);
    let zone = &next.thing.spec.when.timezone;
    let gap = words::length(Period::between(worst.counts.slot, worst.next.slot));
    let span = if worst.counts.line == worst.next.line {
        format!("{gap} between {}, {zone}", words::span(worst.counts.slot, worst.next.slot, zone))
    } else {
        let (begin, end) = (words::moment(worst.counts.slot, zone), words::moment(worst.next.slot, zone));
        format!("{gap} between `{}` at {begin} and `{}` at {end}, {zone}", first.name, next.name)
    };
    let (late, takes) = view.lateness(worst.next.line, database);
    let late = if late == Period::default() {
        String::new()
    } else {
        format!(", then {} of `start_within`", words::length(late))
    };
    let takes = match takes {
        Some(takes) => format!(", then {} that the backup takes", words::length(takes)),
        None => "; how long the backup takes is not measured and counts as 0".to_owned(),
    };
    format!("{span}{late}{takes}")
}

/// Says what to write: the smallest objective that holds, or a schedule that meets this one.
fn help(worst: &Worst, database: &Name, rpo: Period, view: &View<'_>) -> String {
    let smallest = words::edit(worst.length);
    let (_, takes) = view.lateness(worst.next.line, database);
    match fitting(rpo, takes.unwrap_or_default()) {
        Some(every) => {
            format!(
                "write `rpo: {smallest}`, or let `{}` run with `when: {{ every: {every} }}`",
                view.lines[worst.next.line].name
            )
        }
        None => format!("write `rpo: {smallest}`: no schedule of dumps meets this one"),
    }
}

/// Returns the rarest `every` whose gap, default `start_within` and duration together are within an objective.
fn fitting(rpo: Period, takes: Period) -> Option<Period> {
    const MINUTES: [i64; 13] = [720, 480, 360, 240, 180, 120, 60, 30, 20, 15, 10, 5, 1];
    let fits = |minutes: &i64| {
        let late = (minutes * 30).min(3600);
        (minutes * 60).saturating_add(late).saturating_add(takes.as_seconds()) <= rpo.as_seconds()
    };
    MINUTES.into_iter().find(fits).map(Period::minutes)
}
