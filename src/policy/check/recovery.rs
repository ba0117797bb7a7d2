//! Recovery plans: what they name, the order of their steps, and whether anything makes the backups they need. Pure.

use std::collections::BTreeSet;

use crate::domain::{BackupType, Name, PlanStep, RecoveryPlanSpec, RestoreInto, RestoreStep, Section};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::{PolicySet, Thing};
use crate::policy::text::{Place, Places};

use super::Known;
use super::tenancy::refuse_bad_globs;

/// Looks at every recovery plan.
pub(in crate::policy) fn recovery_plans(set: &PolicySet, known: &Known, cx: &mut Context<'_>) {
    let made: Made<'_> = set
        .schedules
        .values()
        .flat_map(|thing| thing.spec.databases.iter().map(|database| (thing.spec.backup, database)))
        .collect();
    for Thing { spec, places, .. } in set.recovery_plans.values() {
        if places.has("databases") {
            known.databases(Some(&spec.databases), places, "a recovery plan", cx);
        }
        for (index, kind) in spec.requires.iter().enumerate() {
            nothing_makes(set, &made, spec, *kind, places.get(&format!("requires[{index}]")), cx);
        }
        for (index, step) in spec.steps.iter().enumerate() {
            if let PlanStep::Restore(restore) = step {
                restored(set, &made, spec, restore, &format!("steps[{index}].restore"), places, known, cx);
            }
        }
        order(spec, places, cx);
    }
}

/// Which backups schedules make of which databases.
type Made<'a> = BTreeSet<(BackupType, &'a Name)>;

/// Looks at what a restore step names.
#[expect(clippy::too_many_arguments, reason = "what is known of the set, of the plan and of the step")]
fn restored(
    set: &PolicySet,
    made: &Made<'_>,
    spec: &RecoveryPlanSpec,
    restore: &RestoreStep,
    path: &str,
    places: &Places,
    known: &Known,
    cx: &mut Context<'_>,
) {
    if let Some(store) = &restore.store {
        known.refer(Section::Store, store, places.get(&format!("{path}.store")), cx);
    }
    refuse_bad_globs(&restore.tenants, &format!("{path}.tenants"), places, cx);
    let kind = restore.backup.map(|kind| (kind, places.get(&format!("{path}.backup"))));
    if let Some(name) = &restore.schedule {
        let place = places.get(&format!("{path}.schedule"));
        known.refer(Section::Schedule, name, place, cx);
        if let Some((kind, at)) = kind
            && let Some(schedule) = set.schedules.get(name)
            && schedule.spec.backup != kind
        {
            let message = format!(
                "the step restores `{}`, and the schedule `{name}` makes `{}`",
                kind.word(),
                schedule.spec.backup.word()
            );
            cx.error(codes::CONFLICT, at, message, "not what the schedule makes", "name one that fits the other")
                .and(place, "this schedule");
        }
    } else if let Some((kind, at)) = kind {
        nothing_makes(set, made, spec, kind, at, cx);
    }
}

/// Refuses a plan that needs backups no schedule makes.
fn nothing_makes(
    set: &PolicySet,
    made: &Made<'_>,
    spec: &RecoveryPlanSpec,
    kind: BackupType,
    place: Place,
    cx: &mut Context<'_>,
) {
    if kind == BackupType::Files {
        if !set.schedules.values().any(|thing| thing.spec.backup == kind) {
            let message = "the plan needs `files` backups, and no schedule makes them";
            let help = "add a schedule with `backup: files` and `paths`, or take it out of the plan";
            cx.error(codes::NOTHING_MAKES_IT, place, message, "nothing makes them", help);
        }
        return;
    }
    // A database or a schedule that could not be read has its own finding.
    let Some(database) =
        spec.databases.iter().find(|name| set.databases.contains_key(*name) && !made.contains(&(kind, *name)))
    else {
        return;
    };
    let message = format!("the plan needs `{}` backups of `{database}`, and no schedule makes them", kind.word());
    let help = format!("add a schedule with `backup: {}` for `{database}`, or take it out of the plan", kind.word());
    cx.error(codes::NOTHING_MAKES_IT, place, message, "nothing makes them", help);
}

/// Looks at the order of the steps: live data is written over only with what was proven elsewhere.
fn order(spec: &RecoveryPlanSpec, places: &Places, cx: &mut Context<'_>) {
    let mut restored: Vec<&RestoreStep> = Vec::new();
    let mut proven = 0;
    for (index, step) in spec.steps.iter().enumerate() {
        let at = |key: &str| places.get(&format!("steps[{index}].{key}"));
        match step {
            PlanStep::Restore(restore) => {
                if restored.is_empty() && restore.backup.is_none() && restore.schedule.is_none() {
                    let message = "the first restore of a plan does not say what it restores";
                    let help =
                        "add `backup: database`, `backup: tenant_data` or `schedule:`; later steps use what was proven";
                    cx.error(codes::MISSING_KEY, at("restore"), message, "restores what?", help);
                }
                if restore.into != RestoreInto::Live {
                    restored.push(restore);
                    continue;
                }
                if !restored[..proven].iter().any(|earlier| proves(earlier, restore)) {
                    let message = "this step restores over live data before the same was proven elsewhere";
                    let help = if restored.iter().any(|earlier| proves(earlier, restore)) {
                        "add a step `- check: [tables]` between the restore into scratch and this one"
                    } else {
                        "restore the same `into: scratch` first, and add a step `- check: [tables]`"
                    };
                    cx.error(codes::LIVE_BEFORE_PROVEN, at("restore.into"), message, "not proven yet", help);
                }
            }
            PlanStep::Check(_) => {
                if restored.is_empty() {
                    let message = "this step checks what was restored, and nothing was";
                    cx.error(
                        codes::NOTHING_TO_CHECK,
                        at("check"),
                        message,
                        "nothing to look at",
                        "put it after a `restore` step that does not go `into: live`",
                    );
                }
                proven = restored.len();
            }
            PlanStep::Manual(_) | PlanStep::Run { .. } => {}
        }
    }
    if spec.drill.is_some() && restored.is_empty() && !spec.steps.is_empty() {
        let message = "the plan is drilled, and none of its steps restores anything aside from live data";
        cx.error(
            codes::NOTHING_TO_DRILL,
            places.get("drill"),
            message,
            "nothing to prove",
            "add a `restore` step `into: scratch`, or remove the drill",
        );
    }
}

/// Returns whether an earlier restore proves what a later one uses: the same, or the later one says nothing else.
fn proves(earlier: &RestoreStep, later: &RestoreStep) -> bool {
    (later.backup.is_none() || later.backup == earlier.backup)
        && (later.schedule.is_none() || later.schedule == earlier.schedule)
        && (later.store.is_none() || later.store == earlier.store)
}
