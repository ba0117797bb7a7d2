//! Calendar and cron rules to slots, in both directions, with the daylight-saving rules written down. Pure: the
//! instant is always a parameter.
//!
//! # The rules
//! - A rule lies on the civil calendar and clock of its zone. A civil time becomes the **first instant at which the
//!   zone's clocks show that time or a later one**. Hence a time that the spring gap swallows runs at the end of the
//!   gap, one that autumn repeats runs once, at the first, and a day that a zone skips (Apia, 30 December 2011) runs
//!   at the begin of the next one. The mapping is monotone, so slots are strictly increasing; civil times that fall on
//!   one instant are one slot.
//! - `hourly` is civil too: on the day that repeats an hour there are two hours between two slots. `every: 1h` is not.
//! - `every` shorter than a day counts real time from each midnight of the zone (its first one, where it comes twice).
//!   Slots restart at each midnight, so the last gap of a day is shorter where the period does not divide that day:
//!   `every: 7h` runs at 0, 7, 14 and 21 o'clock, then at midnight.
//! - `every` of a day and longer counts civil time from 1 January 1970, a Thursday: `every: 2d` runs at each second
//!   civil midnight, `every: 36h` at midnight and noon in turn, always clock time whatever the offset.
//! - Days: none given is every day (hourly, daily), Monday (weekly), the first (monthly, quarterly, yearly). Quarters
//!   begin in January, April, July and October, and so do their slots; yearly ones are in January.
//! - Cron has five fields; with both day fields given either matches.

mod anomaly;
mod calendar;
mod civil;
mod cron;
mod days;
mod gap;
mod merge;
mod rejection;
mod shifts;
mod stream;
#[cfg(test)]
mod tests;
mod walk;
mod words;
mod worst;
mod years;

pub use anomaly::{Anomaly, AnomalyKind, anomalies};
pub use calendar::{Calendar, Slots};
pub use gap::Gap;
pub use rejection::ScheduleError;
pub use walk::{Walk, ZoneDays};
pub use words::describe;
pub use worst::{Losses, Mark, Worst, worst_loss};
