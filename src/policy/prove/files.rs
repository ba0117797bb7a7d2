//! Whether what a recovery plan promises of files can be kept: they belong to no database, and each schedule takes files
//! of its own, so that each has to keep the promise by itself. Pure.

use crate::domain::{BackupType, Period, PlanStep, RecoveryPlanSpec};
use crate::policy::codes;
use crate::policy::decode::Context;

use super::view::{View, suspended};
use super::words;

/// Proves the `rpo` of every plan that restores files.
pub(super) fn prove(view: &mut View<'_>, cx: &mut Context<'_>) {
    let set = view.set;
    for (name, thing) in &set.recovery_plans {
        let Some(rpo) = thing.spec.rpo.filter(|_| suspended(thing, view.facts).is_none()) else { continue };
        let place = thing.places.get("rpo");
        for wanted in restored(&thing.spec) {
            let of_it = |line: &usize| {
                let line = &view.lines[*line];
                line.thing.spec.backup == BackupType::Files && wanted.is_none_or(|wanted| wanted == line.name)
            };
            let lines: Vec<usize> = (0..view.lines.len()).filter(of_it).collect();
            if lines.is_empty() {
                let what = wanted.map_or_else(|| "files".to_owned(), |wanted| format!("the files of `{wanted}`"));
                let message =
                    format!("the plan `{name}` has an `rpo`, and no schedule backs up {what} by the calendar");
                let help = "give a schedule with `backup: files` a `when` that comes by itself, or remove the `rpo`";
                cx.error(codes::RPO_UNCOVERED, place, message, "promised here", help);
            }
            for line in lines {
                let (late, schedule) = (view.lines[line].thing.spec.start_within, view.lines[line].name);
                let Some(worst) = view.losses.worst(&[(&view.lines[line].calendar, late)]) else { continue };
                if worst.length <= rpo {
                    continue;
                }
                let message = format!(
                    "the plan `{name}` can lose {} of the files of `{schedule}`, and its `rpo` is {}",
                    words::length(worst.length),
                    words::length(rpo)
                );
                let zone = &view.lines[line].thing.spec.when.timezone;
                let gap = format!(
                    "{} between {}, {zone}, then {} of `start_within`",
                    words::length(Period::between(worst.counts.slot, worst.next.slot)),
                    words::span(worst.counts.slot, worst.next.slot, zone),
                    words::length(late)
                );
                let help = format!("write `rpo: {}`, or let the schedule come more often", words::edit(worst.length));
                cx.error(codes::RPO_IMPOSSIBLE, place, message, "promised here", help)
                    .and(view.lines[line].thing.places.get("when"), gap);
            }
        }
    }
}

/// Returns the schedules whose files a plan restores; `None` stands for all of them.
fn restored(plan: &RecoveryPlanSpec) -> Vec<Option<&crate::domain::Name>> {
    let mut all = Vec::new();
    for step in &plan.steps {
        if let PlanStep::Restore(restore) = step
            && restore.backup == Some(BackupType::Files)
            && !all.contains(&restore.schedule.as_ref())
        {
            all.push(restore.schedule.as_ref());
        }
    }
    all
}
