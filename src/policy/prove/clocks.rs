//! Slots whose time of day a clock change skips or repeats. Only of rules that are far apart: an hourly rule that loses
//! one of its slots to a gap, or has two hours between two, is what the recovery point objectives are about. Pure.

use crate::domain::{Name, Period, When};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::text::Place;
use crate::schedule::{Anomaly, AnomalyKind, Calendar};

use super::view::View;
use super::words;

/// Slots that are closer than this are not missed one by one.
const CLOSE: Period = Period::hours(3);

/// Looks at every schedule and every drill with a calendar.
pub(super) fn prove(view: &mut View<'_>, cx: &mut Context<'_>) {
    let mut found: Vec<(&Name, &When, Place, Vec<Anomaly>)> = Vec::new();
    for line in &view.lines {
        let anomalies = look(&line.calendar, &mut view.losses);
        let key = if line.thing.places.has("when.time") { "when.time" } else { "when.cron" };
        found.push((line.name, &line.thing.spec.when, line.thing.places.get(key), anomalies));
    }
    for (name, thing) in &view.set.recovery_plans {
        if let Some(when) = thing.spec.drill.as_ref().and_then(|drill| drill.when.as_ref())
            && let Ok(calendar) = Calendar::new(when)
        {
            let anomalies = look(&calendar, &mut view.losses);
            found.push((name, when, thing.places.get("drill.when.time"), anomalies));
        }
    }
    for (name, when, place, anomalies) in found {
        say(name, when, place, &anomalies, cx);
    }
}

fn look(calendar: &Calendar, losses: &mut crate::schedule::Losses) -> Vec<Anomaly> {
    if calendar.regular_gap().is_none_or(|gap| gap < CLOSE) { Vec::new() } else { losses.anomalies(calendar) }
}

/// Says what happens, once for a schedule: where its time is skipped it is mostly repeated, too.
fn say(name: &Name, when: &When, place: Place, anomalies: &[Anomaly], cx: &mut Context<'_>) {
    let of = |kind| anomalies.iter().find(|anomaly| anomaly.kind == kind);
    let zone = &when.timezone;
    let civil = |anomaly: &Anomaly| anomaly.civil.strftime("%H:%M").to_string();
    let day = |anomaly: &Anomaly| anomaly.civil.strftime("%-d %B %Y").to_string();
    let repeated = of(AnomalyKind::Repeated).map(|anomaly| {
        let utc = |instant: crate::domain::Instant| instant.strftime("%H:%M UTC").to_string();
        let again = anomaly.again.map(utc).unwrap_or_default();
        format!(
            "clocks show {} twice on {} in {zone}, and `{name}` runs at the first, {}, and not at {again}",
            civil(anomaly),
            day(anomaly),
            utc(anomaly.slot)
        )
    });
    let help = "choose a time that clocks show once a day, as in \"04:30\", or `timezone: UTC`";
    let skipped = of(AnomalyKind::Swallowed).or_else(|| of(AnomalyKind::Merged));
    if let Some(anomaly) = skipped {
        let moved = words::moment(anomaly.slot, zone);
        let moved = moved.split(" on ").next().unwrap_or_default();
        let merged = if anomaly.kind == AnomalyKind::Merged { ", together with its next slot" } else { "" };
        let message = format!(
            "clocks skip {} on {} in {zone}, and `{name}` runs at {moved} instead{merged}",
            civil(anomaly),
            day(anomaly)
        );
        let label = "this time of day does not come every day";
        let told = cx.warning(codes::TIME_SKIPPED, place, message, label, help);
        if let Some(repeated) = repeated {
            told.and(place, repeated);
        }
    } else if let Some(message) = repeated {
        cx.warning(codes::TIME_REPEATED, place, message, "this time of day comes twice", help);
    }
}
