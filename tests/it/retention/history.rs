//! Random histories and rules.

use bkup::domain::{Period, Pick, RetentionRule, ZoneName};
use jiff::SignedDuration;
use proptest::prelude::*;

use super::{Row, at, id};

/// The instant at which the histories are judged.
pub const END: &str = "2026-07-01T00:00:00Z";

pub fn any_row(index: usize) -> impl Strategy<Value = Row> {
    // Half of the history is dense, so that buckets have several, and a few lie after now.
    let minutes_ago = prop_oneof![-300i64..30 * 1440, -300i64..2000 * 1440];
    let rare = || proptest::bool::weighted(0.08);
    (minutes_ago, any::<bool>(), rare(), rare(), rare(), proptest::option::weighted(0.1, -60i64..90), rare(), rare())
        .prop_map(move |(ago, verified, drilled, quarantined, protected, lock, leased, tombstoned)| {
            let now = at(END);
            let instant = now - SignedDuration::from_mins(ago);
            Row {
                id: id(&format!("b{index:03}")),
                at: instant,
                verified,
                drilled_at: drilled.then_some(now),
                quarantined,
                protected,
                locked_until: lock.map(|days| now + SignedDuration::from_hours(24 * days)),
                leased,
                tombstoned_at: tombstoned.then_some(now),
            }
        })
}

pub fn any_history() -> impl Strategy<Value = Vec<Row>> {
    (0..70usize).prop_flat_map(|count| (0..count).map(any_row).collect::<Vec<_>>())
}

pub fn any_rule() -> impl Strategy<Value = RetentionRule> {
    let count = || proptest::option::weighted(0.4, 0..9u32);
    let zones = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Pacific/Apia"];
    (
        (count(), count(), count(), count(), count(), count(), count()),
        proptest::option::weighted(0.3, 0..60i64),
        proptest::option::weighted(0.3, 1..900i64),
        proptest::bool::weighted(0.1),
        any::<bool>(),
        proptest::sample::select(zones.to_vec()),
    )
        .prop_map(
            |((last, hourly, daily, weekly, monthly, quarterly, yearly), within, max_age, forever, first, zone)| {
                RetentionRule {
                    last,
                    hourly,
                    daily,
                    weekly,
                    monthly,
                    quarterly,
                    yearly,
                    within: within.map(Period::days),
                    max_age: max_age.map(Period::days),
                    forever,
                    pick: if first { Pick::First } else { Pick::Last },
                    timezone: ZoneName::try_from(zone.to_owned()).unwrap(),
                    moves: Vec::new(),
                }
            },
        )
}
