//! Whether retention rules fit the schedules that use them, the locks and storage classes of their stores, and their own
//! moves. Pure.

use std::collections::BTreeMap;

use crate::domain::{LockHold, Name, Period, RetentionRule};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::text::Place;

use super::reach::shortest_life;
use super::view::View;
use super::windows::reach_of;
use super::words;

/// Proves every rule in use.
pub(super) fn prove(view: &mut View<'_>, cx: &mut Context<'_>) {
    for line in 0..view.lines.len() {
        keeps_between_slots(line, view, cx);
    }
    locks(view, cx);
    fees(view, cx);
    moves(view, cx);
    frozen(view, cx);
}

/// Refuses a rule that keeps nothing from some time after each slot until the next one: only floors would.
fn keeps_between_slots(line: usize, view: &mut View<'_>, cx: &mut Context<'_>) {
    let thing = view.lines[line].thing;
    let rule = &thing.spec.retention;
    let counts = [rule.last, rule.hourly, rule.daily, rule.weekly, rule.monthly, rule.quarterly, rule.yearly];
    let by_count = counts.into_iter().flatten().any(|count| count > 0) || rule.forever;
    let key = match (rule.max_age, rule.within) {
        (Some(age), _) if by_count => ("max_age", age),
        (None, Some(within)) if !by_count => ("within", within),
        (Some(age), Some(within)) => {
            if age < within {
                ("max_age", age)
            } else {
                ("within", within)
            }
        }
        (Some(age), None) => ("max_age", age),
        (None, _) => return,
    };
    let Some(gap) = view.losses.largest_gap(&view.lines[line].calendar) else { return };
    let (word, kept) = key;
    if kept > gap.length() {
        return;
    }
    let name = view.lines[line].name;
    let message = format!(
        "`{word}: {kept}` is no longer than the {} between two slots of `{name}`: at times only the floors keep a backup",
        words::length(gap.length())
    );
    let zone = &thing.spec.when.timezone;
    let help = format!(
        "write `{word}: {}` or more, or keep by count, as in `last: 3`",
        words::edit(Period::seconds(gap.length().as_seconds() * 2))
    );
    let _ = cx
        .error(
            codes::NOTHING_BETWEEN_SLOTS,
            thing.places.get("retention"),
            message,
            "too short for this schedule",
            help,
        )
        .and(thing.places.get("when"), words::span(gap.begin, gap.end, zone));
}

/// Returns what the schedules of each store say, as (store, line).
fn by_store<'a>(view: &View<'a>) -> BTreeMap<&'a Name, Vec<usize>> {
    let mut lines: BTreeMap<&Name, Vec<usize>> = BTreeMap::new();
    for (index, line) in view.lines.iter().enumerate() {
        lines.entry(&line.thing.spec.store).or_default().push(index);
    }
    lines
}

/// Warns of locks that outlast what they lock: a deletion would fail, so it waits and is paid for.
fn locks(view: &mut View<'_>, cx: &mut Context<'_>) {
    for (store, lines) in by_store(view) {
        let Some(thing) = view.set.stores.get(store) else { continue };
        let Some(lock) = &thing.spec.object_lock else { continue };
        for line in lines {
            let found = reach_of(line, view);
            let name = view.lines[line].name;
            let retention = view.lines[line].thing.places.get("retention");
            let (key, message, label, help, kept) = match (lock.hold, found.most) {
                (LockHold::For(hold), Some(most)) if most < hold => (
                    "object_lock.for",
                    format!(
                        "the lock holds {}, and the rule of `{name}` lets go of every backup after {}",
                        words::length(hold),
                        words::length(most)
                    ),
                    "longer than the rule",
                    "write `until: retention`, or a shorter lock: until it ends nothing can be deleted",
                    "kept by this rule",
                ),
                (LockHold::Retention, None) => (
                    "object_lock.until",
                    format!("the rule of `{name}` keeps for good, so its locks would never end"),
                    "without end",
                    "write `for:` with a period, or give the rule an end",
                    "kept for good",
                ),
                _ => continue,
            };
            let place = thing.places.get(key);
            let _ = cx.warning(codes::LOCK_OUTLASTS, place, message, label, help).and(retention, kept);
            break;
        }
    }
}

/// The shortest time that a storage class charges for, in days. Source: Amazon S3's price list.
fn charged_days(class: &str) -> Option<i64> {
    match class {
        "standard_ia" | "onezone_ia" => Some(30),
        "glacier_ir" | "glacier" => Some(90),
        "deep_archive" => Some(180),
        _ => None,
    }
}

/// Warns of backups that are deleted before the time is over that their class charges for anyway.
fn fees(view: &mut View<'_>, cx: &mut Context<'_>) {
    for (store, lines) in by_store(view) {
        let Some(thing) = view.set.stores.get(store) else { continue };
        let Some((class, days)) = thing.spec.storage_class.as_deref().and_then(|c| Some((c, charged_days(c)?))) else {
            continue;
        };
        for line in lines {
            let place = thing.places.get("storage_class");
            if fee(line, class, days, Period::default(), place, view, cx) {
                break;
            }
        }
    }
}

/// Warns of one class and schedule; returns whether it did.
fn fee(
    line: usize,
    class: &str,
    days: i64,
    after: Period,
    place: Place,
    view: &mut View<'_>,
    cx: &mut Context<'_>,
) -> bool {
    let rule = &view.lines[line].thing.spec.retention;
    let Some(life) = shortest_life(&view.lines[line].calendar, rule, &mut view.losses, view.facts.now) else {
        return false;
    };
    let charged = Period::seconds(after.as_seconds().saturating_add(Period::days(days).as_seconds()));
    // What never gets as far as a move is not charged for there.
    if life >= charged || life < after {
        return false;
    }
    let name = view.lines[line].name;
    let message = format!(
        "`{class}` charges for {days} days, and the rule of `{name}` lets go of backups after {}",
        words::length(Period::seconds(life.as_seconds() - after.as_seconds()))
    );
    let help = format!("use `standard` for what lives less than {days} days, or keep it that long");
    let _ = cx
        .warning(codes::CLASS_CHARGES_LONGER, place, message, "paid for after it is gone", help)
        .and(view.lines[line].thing.places.get("retention"), "kept by this rule");
    true
}

/// Looks at moves to colder classes: in the order of age, reached at all, and worth it.
fn moves(view: &mut View<'_>, cx: &mut Context<'_>) {
    let set = view.set;
    for (name, thing) in &set.retentions {
        let rule: &RetentionRule = &thing.spec;
        for (index, step) in rule.moves.iter().enumerate() {
            let place = thing.places.get(&format!("move[{index}].after"));
            if let Some(before) = index.checked_sub(1).map(|before| &rule.moves[before])
                && before.after >= step.after
            {
                let message =
                    format!("`{}` comes after {}, and the move before it after {}", step.to, step.after, before.after);
                let help = "write moves in the order of age, each later than the one before";
                cx.warning(codes::MOVE_NEVER_HAPPENS, place, message, "never happens", help);
                continue;
            }
            let lines: Vec<usize> = (0..view.lines.len())
                .filter(|line| view.lines[*line].thing.spec.retention_name.as_ref() == Some(name))
                .collect();
            let mut reached = lines.is_empty();
            for line in &lines {
                reached |= reach_of(*line, view).most.is_none_or(|most| most > step.after);
            }
            if !reached {
                let message = format!("no backup under `{name}` becomes {} old", words::length(step.after));
                let help = "move earlier, keep longer, or remove the move";
                cx.warning(codes::MOVE_NEVER_HAPPENS, place, message, "never happens", help);
                continue;
            }
            let to = thing.places.get(&format!("move[{index}].to"));
            if let Some(days) = charged_days(&step.to) {
                let _ = lines.iter().any(|line| fee(*line, &step.to, days, step.after, to, view, cx));
            }
        }
    }
}

/// Warns of backups that are written to where they cannot be read from: a restore waits hours for them.
fn frozen(view: &View<'_>, cx: &mut Context<'_>) {
    for (store, lines) in by_store(view) {
        let Some(thing) = view.set.stores.get(store) else { continue };
        if thing.spec.reads_at_once() {
            continue;
        }
        let class = thing.spec.storage_class.as_deref().unwrap_or_default();
        let message =
            format!("backups in `{class}` have to be thawed for hours before they can be verified or restored");
        let help = "write to `standard` or `glacier_ir`, and use `move` in the retention rule for what is old";
        let _ = cx
            .warning(codes::CLASS_FROZEN, thing.places.get("storage_class"), message, "cannot be read at once", help)
            .and(view.lines[lines[0]].thing.places.get("store"), "written to by this schedule");
    }
}
