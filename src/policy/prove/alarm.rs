//! An alarm about the age of the newest backup that would ring although every backup is made in time. Pure.

use crate::domain::{Name, Period};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::schedule::{Calendar, Worst};

use super::view::{Part, View};
use super::words;

/// Compares `backup_delay` with the oldest that the newest whole backup of a database gets when nothing is late.
pub(super) fn prove(view: &mut View<'_>, cx: &mut Context<'_>) {
    let Some(alerts) = &view.set.alerts else { return };
    let Some(delay) = alerts.spec.thresholds.backup_delay else { return };
    let mut worst: Option<(Worst, &Name, usize)> = None;
    for database in view.set.databases.keys() {
        let lines = view.active(database, &view.covering(database, Part::Whole));
        let takes: Vec<Period> =
            lines.iter().map(|line| view.lateness(*line, database).1.unwrap_or_default()).collect();
        let on_time: Vec<(&Calendar, Period)> =
            lines.iter().map(|line| &view.lines[*line].calendar).zip(takes).collect();
        if let Some(found) = view.losses.worst(&on_time)
            && worst.is_none_or(|(worst, ..)| found.length > worst.length)
        {
            worst = Some((found, database, lines[found.next.line]));
        }
    }
    let Some((worst, database, line)) = worst.filter(|(worst, ..)| worst.length > delay) else { return };
    let line = &view.lines[line];
    let zone = &line.thing.spec.when.timezone;
    let message = format!(
        "the newest backup of `{database}` gets {} old although nothing is late, and the alarm rings at {}",
        words::length(worst.length),
        words::length(delay)
    );
    let span = words::span(worst.counts.slot, worst.next.slot, zone);
    let help = format!(
        "write `backup_delay: {}` or more, so that a late start is no alarm either",
        words::edit(Period::seconds(
            worst.length.as_seconds().saturating_add(line.thing.spec.start_within.as_seconds())
        ))
    );
    cx.warning(codes::ALARM_WHEN_HEALTHY, alerts.places.get("thresholds.backup_delay"), message, "rings here", help)
        .and(line.thing.places.get("when"), format!("no backup is due between {span}, {zone}"));
}
