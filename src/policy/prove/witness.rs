//! What is lost at worst, by which mechanism, and how that is said: the time in which nothing newer counts, what comes
//! on top, and the edit that would mend it. Pure.

use crate::domain::{Name, Period};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::schedule::Worst;

use super::rpo::Promise;
use super::view::View;
use super::words;

/// What is lost at worst.
pub(super) enum Loss {
    /// By dumps; the marks are indices into the lines of the view.
    Dumps(Worst),
    /// By archived WAL.
    Wal(Period),
}

impl Loss {
    /// Returns what the mechanism that loses least can lose; `None` where there is none.
    pub fn least<'a>(view: &mut View<'a>, database: &'a Name, lines: Vec<usize>, active: bool) -> Option<Self> {
        let dumps = view.worst(database, lines);
        match (view.wal(database, active), dumps) {
            (Some(wal), Some(worst)) if worst.length <= wal => Some(Self::Dumps(worst)),
            (Some(wal), _) => Some(Self::Wal(wal)),
            (None, worst) => worst.map(Self::Dumps),
        }
    }

    /// Returns how much.
    pub const fn length(&self) -> Period {
        match self {
            Self::Dumps(worst) => worst.length,
            Self::Wal(length) => *length,
        }
    }
}

/// Says that a promise cannot be kept.
pub(super) fn impossible(promise: &Promise, loss: &Loss, database: &Name, view: &View<'_>, cx: &mut Context<'_>) {
    let Promise { who, place, rpo } = promise;
    let message = format!("{who} can lose {}, and its `rpo` is {}", words::length(loss.length()), words::length(*rpo));
    match loss {
        Loss::Dumps(worst) => {
            let when = view.lines[worst.next.line].thing.places.get("when");
            cx.error(codes::RPO_IMPOSSIBLE, *place, message, "promised here", help(worst, database, *rpo, view))
                .and(when, gap(worst, database, view));
        }
        Loss::Wal(length) => {
            let thing = &view.set.databases[database];
            let (timeout, lag) =
                thing.spec.wal.as_ref().map(|wal| (wal.archive_timeout, wal.max_lag)).unwrap_or_default();
            let help = format!("write `rpo: {}`, or a smaller `archive_timeout` or `max_lag`", words::edit(*length));
            let words =
                format!("{} of `archive_timeout`, then {} of `max_lag`", words::length(timeout), words::length(lag));
            cx.error(codes::RPO_IMPOSSIBLE, *place, message, "promised here", help).and(thing.places.get("wal"), words);
        }
    }
}

/// Says that nothing covers a scope.
pub(super) fn uncovered(promise: &Promise, database: &Name, what: Option<&str>, view: &View<'_>, cx: &mut Context<'_>) {
    let Promise { who, place, rpo } = promise;
    let what = what.map_or_else(String::new, |what| format!("{what} in "));
    let message = format!("{who} has an `rpo`, and no schedule makes backups of all of {what}`{database}`");
    let thing = &view.set.databases[database];
    let mut help = match fitting(*rpo, Period::default()) {
        Some(when) => {
            format!("add a schedule for `{database}` with `backup: database` and `when: {when}`")
        }
        None => format!("add a schedule for `{database}` with `backup: database`, and `wal` to the database"),
    };
    if thing.spec.wal.is_some() {
        help = format!(
            "add a schedule for `{database}` with `backup: full_system` and `engine: physical`: \
             its WAL brings nothing back without a base to replay it on"
        );
    } else if view.set.schedules.values().any(|schedule| schedule.spec.databases.contains(database)) {
        help = format!("{help}: those that are there take only a part of it, or wait for a request or a change");
    }
    cx.error(codes::RPO_UNCOVERED, *place, message, "promised here", help).and(thing.place, "this database");
}

/// Says which time it is in which nothing newer counts, and what comes on top.
pub(super) fn gap(worst: &Worst, database: &Name, view: &View<'_>) -> String {
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
    let late = match late {
        late if late == Period::default() => String::new(),
        late => format!(", then {} of `start_within`", words::length(late)),
    };
    let takes = match takes {
        Some(takes) => format!(", then {} that the backup takes", words::length(takes)),
        None => "; no duration is measured, and it counts as 0".to_owned(),
    };
    format!("{span}{late}{takes}")
}

/// Says what to write: the smallest objective that holds, or a schedule that meets this one.
fn help(worst: &Worst, database: &Name, rpo: Period, view: &View<'_>) -> String {
    let smallest = words::edit(worst.length);
    let (_, takes) = view.lateness(worst.next.line, database);
    let Some(when) = fitting(rpo, takes.unwrap_or_default()) else {
        return format!("write `rpo: {smallest}`; only archived WAL (`wal` of the database) loses less");
    };
    let line = &view.lines[worst.next.line];
    let without = if line.thing.places.has("start_within") { " and without `start_within`" } else { "" };
    format!("write `rpo: {smallest}`, or let `{}` run with `when: {when}`{without}", line.name)
}

/// Returns the rarest rule in UTC whose gap, default `start_within` and duration together are within an objective.
fn fitting(rpo: Period, takes: Period) -> Option<String> {
    const RARE: [(i64, &str); 3] = [
        (31 * 1440, "{ frequency: monthly, time: \"04:30\" }"),
        (7 * 1440, "{ frequency: weekly, time: \"04:30\" }"),
        (1440, "{ frequency: daily, time: \"04:30\" }"),
    ];
    const OFTEN: [i64; 13] = [720, 480, 360, 240, 180, 120, 60, 30, 20, 15, 10, 5, 1];
    let fits = |minutes: i64| {
        let late = (minutes * 30).min(3600);
        (minutes * 60).saturating_add(late).saturating_add(takes.as_seconds()) <= rpo.as_seconds()
    };
    let rare = RARE.iter().find(|(minutes, _)| fits(*minutes)).map(|(_, when)| (*when).to_owned());
    let every = |minutes| format!("{{ every: {} }}", words::edit(Period::minutes(minutes)));
    rare.or_else(|| OFTEN.into_iter().find(|minutes| fits(*minutes)).map(every))
}

#[cfg(test)]
mod tests {
    use super::fitting;
    use crate::domain::Period;

    #[test]
    fn the_schedule_that_is_proposed_is_the_rarest_that_fits() {
        let hour = Period::hours(1);
        let fits = |rpo: &str, takes| fitting(rpo.parse().unwrap(), takes).unwrap_or_default();
        assert_eq!(fits("1h", Period::default()), "{ every: 30m }");
        assert_eq!(fits("25h", Period::default()), "{ frequency: daily, time: \"04:30\" }");
        assert_eq!(fits("25h", hour), "{ every: 12h }");
        assert_eq!(fits("10d", hour), "{ frequency: weekly, time: \"04:30\" }");
        assert_eq!(fits("1m", Period::default()), "");
    }
}
