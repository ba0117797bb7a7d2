//! Schedules that get in each other's way, or in their own: late starts that pass the next slot, backups that take
//! longer than the time to it, and whole backups of one database that start at the same minute. Pure.

use crate::domain::{BackupType, Engine, Instant, Name, Period};
use crate::policy::codes;
use crate::policy::decode::Context;

use super::view::View;
use super::words;

/// How many slots of each schedule are compared.
const SLOTS: usize = 64;
/// Closer schedules meet all the time and are not heavy.
const HEAVY: Period = Period::hours(6);

/// Looks at every schedule, and at the heavy ones of each database.
pub(super) fn prove(view: &mut View<'_>, cx: &mut Context<'_>) {
    for index in 0..view.lines.len() {
        alone(index, view, cx);
    }
    let databases: Vec<&Name> = view.set.databases.keys().collect();
    for database in databases {
        together(database, view, cx);
    }
}

/// Looks at one schedule.
fn alone(index: usize, view: &View<'_>, cx: &mut Context<'_>) {
    let line = &view.lines[index];
    let Some(gap) = line.calendar.regular_gap() else { return };
    let (name, spec, places) = (line.name, &line.thing.spec, &line.thing.places);
    if spec.start_within > gap {
        let message = format!(
            "a missed slot of `{name}` may start {} late, and the next one comes after {}",
            words::length(spec.start_within),
            words::length(gap)
        );
        let half = words::edit(Period::seconds(gap.as_seconds() / 2));
        let help = format!("write `start_within: {half}`, which is half the time between two slots");
        cx.warning(codes::LATE_START_OVERLAPS, places.get("start_within"), message, "later than the next slot", help)
            .and(places.get("when"), format!("a slot each {} at the closest", words::length(gap)));
    }
    let longest = spec.databases.iter().filter_map(|database| Some((view.lateness(index, database).1?, database)));
    if let Some((takes, database)) = longest.max().filter(|(takes, _)| *takes > gap) {
        let message = format!(
            "a backup of `{database}` by `{name}` takes {}, and the next one is due after {}",
            words::length(takes),
            words::length(gap)
        );
        let help =
            "let it run less often, or raise `max_parallel_jobs`: slots that come meanwhile start late or are missed";
        cx.warning(codes::LONGER_THAN_GAP, places.get("when"), message, "slots come faster than backups end", help);
    }
}

/// Finds whole backups of a database that start at the same minute.
fn together(database: &Name, view: &mut View<'_>, cx: &mut Context<'_>) {
    let heavy: Vec<usize> = view
        .covering(database, super::view::Part::Whole)
        .into_iter()
        .filter(|line| {
            let line = &view.lines[*line];
            matches!(line.thing.spec.backup, BackupType::Database | BackupType::FullSystem)
                && line.thing.spec.engine != Engine::Incremental
                && line.calendar.regular_gap().is_some_and(|gap| gap >= HEAVY)
        })
        .collect();
    if heavy.len() < 2 {
        return;
    }
    // Slots in order of time; neighbours of one minute collide. One finding for each schedule that is not the first.
    let mut slots: Vec<(Instant, usize)> = Vec::new();
    for line in &heavy {
        let calendar = view.lines[*line].calendar.clone();
        slots.extend(view.losses.slots(&calendar, view.facts.now, SLOTS).into_iter().map(|slot| (slot, *line)));
    }
    slots.sort_unstable();
    let mut told: Vec<usize> = Vec::new();
    for pair in slots.windows(2) {
        let [(slot, first), (other, second)] = *pair else { continue };
        if other.as_second() / 60 != slot.as_second() / 60 || first == second || told.contains(&second) {
            continue;
        }
        told.push(second);
        let (first, second) = (&view.lines[first], &view.lines[second]);
        let zone = &second.thing.spec.when.timezone;
        let message = format!(
            "`{}` and `{}` both begin a whole backup of `{database}` at {}, {zone}",
            first.name,
            second.name,
            words::moment(other, zone)
        );
        let help = "give one of them another time: they read the same tables and slow each other and the database down";
        cx.warning(codes::SLOTS_COLLIDE, second.thing.places.get("when"), message, "the same minute", help)
            .and(first.thing.places.get("when"), format!("`{}` begins then, too", first.name));
    }
}
