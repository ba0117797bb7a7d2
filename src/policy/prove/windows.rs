//! Whether backups reach as far back as plans and windows promise; if not, the first date that cannot be restored. Pure.

use crate::domain::{
    ApprovalStatus, BackupType, DrillTarget, Engine, Instant, Name, Period, PlanStep, PlanType, RecoveryPlanSpec,
    RestoreFrom,
};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::Thing;
use crate::policy::text::Place;

use super::reach::{Reach, reach};
use super::view::{Line, View};
use super::words;

/// Proves windows of WAL, and how far back plans can go.
pub(super) fn prove(view: &mut View<'_>, cx: &mut Context<'_>) {
    for name in view.set.databases.keys() {
        wal(name, view, cx);
    }
    for (name, thing) in &view.set.recovery_plans {
        if thing.spec.approval.status != ApprovalStatus::Archived {
            plan(name, thing, view, cx);
        }
    }
}

/// Returns how far back the backups of a schedule reach.
pub(super) fn reach_of(line: usize, view: &mut View<'_>) -> Reach {
    if let Some(known) = view.reaches.get(&line) {
        return *known;
    }
    let min_keep = view.set.guards.as_ref().map_or(2, |guards| guards.spec.min_keep);
    let Line { calendar, thing, .. } = &view.lines[line];
    let found = reach(calendar, &thing.spec.retention, min_keep, &mut view.losses, view.facts.now);
    view.reaches.insert(line, found);
    found
}

/// Returns whether one end is further than another; an absent one is furthest.
fn further(a: Option<Period>, b: Option<Period>) -> bool {
    a.is_none_or(|a| b.is_some_and(|b| a > b))
}

/// Returns the schedule whose backups surely reach furthest, and how far.
fn furthest(lines: &[usize], view: &mut View<'_>) -> Option<(usize, Reach)> {
    let mut best: Option<(usize, Reach)> = None;
    for line in lines {
        let found = reach_of(*line, view);
        if best.is_none_or(|(_, best)| further(found.least, best.least)) {
            best = Some((*line, found));
        }
    }
    best
}

fn retention_place(line: usize, view: &View<'_>) -> Place {
    view.lines[line].thing.places.get("retention")
}

/// Says since when nothing is sure to be left, seen from now.
fn first_lost(least: Period, view: &View<'_>, line: usize) -> String {
    let zone = &view.lines[line].thing.spec.when.timezone;
    let before: Instant = least.before(view.facts.now);
    words::moment(before, zone)
}

fn wal(name: &Name, view: &mut View<'_>, cx: &mut Context<'_>) {
    let thing = &view.set.databases[name];
    let Some(wal) = &thing.spec.wal else { return };
    let place = if thing.places.has("wal.window") { thing.places.get("wal.window") } else { thing.places.get("wal") };
    let bases: Vec<usize> = view
        .of(name)
        .iter()
        .copied()
        .filter(|line| {
            let spec = &view.lines[*line].thing.spec;
            spec.backup == BackupType::FullSystem && spec.engine == Engine::Physical
        })
        .collect();
    let Some((line, found)) = furthest(&bases, view) else {
        let message = format!("the WAL of `{name}` is archived, and no schedule makes base backups to start from");
        let help = format!("add a schedule for `{name}` with `backup: full_system`: WAL alone restores nothing");
        cx.error(codes::WAL_WITHOUT_BASE, thing.places.get("wal"), message, "no base to start from", help);
        return;
    };
    let schedule = view.lines[line].name;
    if let Some(least) = found.least.filter(|least| *least < wal.window) {
        let message = format!(
            "every instant of the last {} is promised, and the oldest base backup of `{name}` is at times only {} old",
            words::length(wal.window),
            words::length(least)
        );
        let label = format!("nothing before {} is sure to be restorable", first_lost(least, view, line));
        let help = format!(
            "keep the base backups of `{schedule}` longer, so that one older than the window is always there, or write `window: {}`",
            words::edit_down(least)
        );
        let _ = cx
            .error(codes::WINDOW_WITHOUT_BASE, place, message, label, help)
            .and(retention_place(line, view), format!("`{schedule}` keeps its base backups by this rule"));
    }
    let gap = view.losses.largest_gap(&view.lines[line].calendar);
    if let Some(gap) = gap.filter(|gap| gap.length() > wal.window) {
        let message = format!(
            "base backups of `{name}` come every {} at worst, which is more than the window of {}",
            words::length(gap.length()),
            words::length(wal.window)
        );
        let help = "make base backups more often: a recovery replays all WAL since the base before its target";
        let _ = cx
            .warning(codes::BASE_RARER_THAN_WINDOW, place, message, "shorter than the gap", help)
            .and(view.lines[line].thing.places.get("when"), format!("`{schedule}` runs then"));
    }
}

/// Returns the kinds of backups that a plan needs: those it requires and restores, else those of its type.
fn kinds(spec: &RecoveryPlanSpec) -> Vec<BackupType> {
    let mut kinds = spec.requires.clone();
    for step in &spec.steps {
        if let PlanStep::Restore(restore) = step {
            kinds.extend(restore.backup);
        }
    }
    if kinds.is_empty() {
        let tenants = spec.plan_type == PlanType::TenantRecovery;
        kinds.push(if tenants { BackupType::TenantData } else { BackupType::Database });
    }
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn plan(name: &Name, thing: &Thing<RecoveryPlanSpec>, view: &mut View<'_>, cx: &mut Context<'_>) {
    let spec = &thing.spec;
    let drilled = spec.drill.as_ref().is_some_and(|drill| matches!(drill.target, DrillTarget::Ago(_)));
    let goes_back = drilled || spec.minimum_backup_age.is_some();
    for database in spec.databases.iter().filter(|_| goes_back) {
        for kind in kinds(spec) {
            let of_kind = |line: &usize| view.lines[*line].thing.spec.backup == kind;
            let lines: Vec<usize> = view.of(database).iter().copied().filter(of_kind).collect();
            let Some((line, found)) = furthest(&lines, view) else { continue };
            let least = found.least;
            if let Some((age, least)) = spec.minimum_backup_age.zip(least).filter(|(age, least)| least < age) {
                let place = thing.places.get("minimum_backup_age");
                let what = format!("the `{}` backups of `{database}`", kind.word());
                too_shallow(&format!("the plan `{name}`"), "go back", place, age, least, &what, line, view, cx);
            }
            if let Some(drill) = &spec.drill
                && let DrillTarget::Ago(age) = drill.target
                && let Some(least) = least.filter(|least| *least < age)
            {
                let place = thing.places.get("drill.target.ago");
                let what = format!("the `{}` backups of `{database}`", kind.word());
                too_shallow(&format!("the drill of `{name}`"), "restore", place, age, least, &what, line, view, cx);
            }
        }
    }
    for (index, step) in spec.steps.iter().enumerate() {
        if let PlanStep::Restore(restore) = step
            && let RestoreFrom::At(instant) = restore.from
        {
            let kinds = restore.backup.map_or_else(|| kinds(spec), |kind| vec![kind]);
            let place = thing.places.get(&format!("steps[{index}].restore.from"));
            fixed_instant(instant, &kinds, spec, place, view, cx);
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one sentence, each used once")]
fn too_shallow(
    who: &str,
    verb: &str,
    place: Place,
    age: Period,
    least: Period,
    what: &str,
    line: usize,
    view: &View<'_>,
    cx: &mut Context<'_>,
) {
    let schedule = view.lines[line].name;
    let message =
        format!("{who} must {verb} {}, and {what} surely reach back {} only", words::length(age), words::length(least));
    let label = format!("nothing before {} is sure to be there", first_lost(least, view, line));
    let help = format!(
        "let the rule of `{schedule}` keep more, as in `within: {}`, or write {} here",
        words::edit(Period::seconds(age.as_seconds().saturating_add(view.regular_gap(line)))),
        words::edit_down(least)
    );
    let _ = cx
        .error(codes::TOO_SHALLOW, place, message, label, help)
        .and(retention_place(line, view), format!("`{schedule}` keeps its backups by this rule"));
}

/// Refuses a step that restores as of an instant of which nothing can be left, or that is yet to come.
fn fixed_instant(
    instant: Instant,
    kinds: &[BackupType],
    spec: &RecoveryPlanSpec,
    place: Place,
    view: &mut View<'_>,
    cx: &mut Context<'_>,
) {
    let now = view.facts.now;
    if instant > now {
        let message = "the step restores as of an instant that is yet to come";
        cx.error(codes::OUTSIDE_EVERY_WINDOW, place, message, "in the future", "write `from: latest`, or `from: ask`");
        return;
    }
    let age = Period::between(instant, now);
    let mut deepest: Option<Period> = Some(Period::default());
    for database in &spec.databases {
        let lines: Vec<usize> = view
            .of(database)
            .iter()
            .copied()
            .filter(|line| kinds.contains(&view.lines[*line].thing.spec.backup))
            .collect();
        for line in lines {
            let most = reach_of(line, view).most;
            if further(most, deepest) {
                deepest = most;
            }
        }
    }
    if let Some(most) = deepest.filter(|most| *most < age) {
        let message = format!(
            "the step restores as of {} ago, and no rule keeps a backup longer than {}",
            words::length(age),
            words::length(most)
        );
        let help = "write `from: ask`, which asks when the plan runs, or `from: latest`";
        cx.error(codes::OUTSIDE_EVERY_WINDOW, place, message, "outside every window", help);
    }
}
