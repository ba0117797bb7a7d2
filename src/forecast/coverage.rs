//! What could have been lost at each moment, from the backups that were complete by then; and how many missed slots in
//! a row it takes to lose too much. Pure, exact, by enumeration.

use super::record::Covered;
use crate::domain::{Instant, MissForecast, Name, Period};

/// The worst there was, and how often it was too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Worst {
    /// The longest time that would have been lost; absent where there never was a backup.
    pub loss: Option<Period>,
    /// Of when the newest backup was then.
    pub begin: Option<Instant>,
    /// When that was.
    pub end: Option<Instant>,
    /// When the limit was passed first.
    pub violated_at: Option<Instant>,
    /// How often it was passed anew.
    pub violations: u64,
}

/// Returns the worst loss from `begin` to `end`, over backups in any order. Without any backup before `begin`, the time
/// until the first one is lost as a whole: what was written then is nowhere.
pub(super) fn worst(covered: &[Covered], begin: Instant, end: Instant, limit: Period) -> Worst {
    let mut by_completion: Vec<Covered> = covered.iter().copied().filter(|(_, done)| *done <= end).collect();
    by_completion.sort_unstable_by_key(|(consistent, done)| (*done, *consistent));
    let mut worst = Worst::default();
    if by_completion.is_empty() {
        return Worst { violated_at: Some(begin), violations: 1, ..worst };
    }
    let mut newest: Option<Instant> = None;
    let mut look = |newest: Option<Instant>, until: Instant| {
        let from = newest.unwrap_or(begin);
        let loss = Period::between(from, until);
        if worst.loss.is_none_or(|known| loss > known) {
            worst = Worst { loss: Some(loss), begin: newest, end: Some(until), ..worst };
        }
        if loss > limit {
            worst.violated_at = worst.violated_at.or(Some(limit.after(from).max(begin)));
            worst.violations += 1;
        }
    };
    for (consistent, done) in by_completion {
        if newest.is_none_or(|newest| consistent > newest) {
            if done > begin {
                look(newest, done);
            }
            newest = Some(consistent);
        }
    }
    look(newest, end);
    worst
}

/// The runs of one schedule that cover a scope.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    /// The schedule.
    pub schedule: Name,
    /// Its slots, each with when its backup is of and complete; ascending.
    pub runs: Vec<Covered>,
}

/// Returns for each schedule, and for all of them together, how many slots missed in a row break the limit, if every
/// other run comes in time. `before` is when the newest backup before the first slot is of.
pub(super) fn misses(schedules: &[Runs], before: Instant, end: Instant, limit: Period) -> Vec<MissForecast> {
    let mut rows = Vec::new();
    for (index, schedule) in schedules.iter().enumerate() {
        let others = schedules.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other);
        let others = Others::of(others, limit);
        rows.push(MissForecast {
            schedule: Some(schedule.schedule.clone()),
            ..fewest(&schedule.runs, &others, before, end, limit)
        });
    }
    if schedules.len() > 1 {
        let all = Others::of(schedules.iter(), limit).runs;
        rows.push(fewest(&all, &Others::of([].into_iter(), limit), before, end, limit));
    }
    rows
}

/// Returns the smallest number of consecutive `runs` without which the limit is passed. More misses never lose less, so
/// that it is found by doubling and halving.
fn fewest(runs: &[Covered], others: &Others, before: Instant, end: Instant, limit: Period) -> MissForecast {
    let breaks = |count: usize| {
        (0..=runs.len().checked_sub(count)?).find_map(|first| {
            let earlier = if first == 0 { before } else { runs[first - 1].0 };
            let until = runs.get(first + count).map_or(end, |run| run.1);
            others.passed(earlier, until, limit).map(|at| (first, at))
        })
    };
    let none = MissForecast { schedule: None, slots: None, first_missed: None, broken_at: None };
    let (mut kept, mut broken) = (0, 1);
    while breaks(broken).is_none() {
        if broken >= runs.len() {
            return none;
        }
        kept = broken;
        broken = (broken * 2).min(runs.len());
    }
    while kept + 1 < broken {
        let middle = kept.midpoint(broken);
        if breaks(middle).is_some() { broken = middle } else { kept = middle }
    }
    let Some((first, at)) = breaks(broken) else { return none };
    MissForecast {
        slots: Some(broken as u64),
        first_missed: runs.get(first).map(|run| run.0),
        broken_at: Some(at),
        ..none
    }
}

/// What covers a scope beside the runs that are missed, ready to be asked.
struct Others {
    /// Ascending by both instants: a backup that is complete after a newer one adds nothing.
    runs: Vec<Covered>,
    /// For each of them, the first from there on after which the limit is passed before the next.
    passed_from: Vec<Option<usize>>,
}

impl Others {
    fn of<'a>(schedules: impl Iterator<Item = &'a Runs>, limit: Period) -> Self {
        let mut runs: Vec<Covered> = schedules.flat_map(|schedule| schedule.runs.iter().copied()).collect();
        runs.sort_unstable_by_key(|(consistent, done)| (*done, *consistent));
        let mut newest = Instant::MIN;
        runs.retain(|(consistent, _)| {
            let adds = *consistent > newest;
            newest = newest.max(*consistent);
            adds
        });
        let mut passed_from = vec![None; runs.len()];
        for index in (0..runs.len().saturating_sub(1)).rev() {
            let passes = Period::between(runs[index].0, runs[index + 1].1) > limit;
            passed_from[index] = if passes { Some(index) } else { passed_from[index + 1] };
        }
        Self { runs, passed_from }
    }

    /// Returns when the limit is passed between `earlier`, of which the newest backup is, and `until`, when the next one
    /// is complete.
    fn passed(&self, earlier: Instant, until: Instant, limit: Period) -> Option<Instant> {
        let begin = self.runs.partition_point(|(consistent, _)| *consistent <= earlier);
        let end = self.runs.partition_point(|(_, done)| *done < until);
        let too_long = |from: Instant, to: Instant| (Period::between(from, to) > limit).then(|| limit.after(from));
        if begin >= end {
            return too_long(earlier, until);
        }
        too_long(earlier, self.runs[begin].1)
            .or_else(|| self.passed_from[begin].filter(|at| at + 1 < end).map(|at| limit.after(self.runs[at].0)))
            .or_else(|| too_long(self.runs[end - 1].0, until))
    }
}

#[cfg(test)]
mod tests {
    use super::{Runs, misses, worst};
    use crate::domain::{Instant, Period};

    fn hour(hour: i64) -> Instant {
        Instant::from_second(hour * 3600).unwrap()
    }

    fn runs(name: &str, hours: impl Iterator<Item = i64>) -> Runs {
        Runs { schedule: name.parse().unwrap(), runs: hours.map(|h| (hour(h), hour(h))).collect() }
    }

    #[test]
    fn a_backup_that_takes_long_is_of_no_use_before_it_is_complete() {
        let covered = [(hour(0), hour(0)), (hour(24), hour(27)), (hour(48), hour(49))];
        let worst = worst(&covered, hour(1), hour(60), Period::hours(26));
        assert_eq!((worst.loss, worst.begin, worst.end), (Some(Period::hours(27)), Some(hour(0)), Some(hour(27))));
        assert_eq!((worst.violated_at, worst.violations), (Some(hour(26)), 1));
    }

    #[test]
    fn the_time_before_the_first_backup_and_after_the_last_counts() {
        assert_eq!(worst(&[], hour(0), hour(9), Period::hours(1)).violated_at, Some(hour(0)));
        let one = worst(&[(hour(5), hour(5))], hour(0), hour(20), Period::hours(30));
        assert_eq!((one.loss, one.violations), (Some(Period::hours(15)), 0));
    }

    #[test]
    fn one_missed_night_breaks_what_allows_for_a_day_and_three_hours() {
        let nightly = runs("nightly", (0..20).map(|day| day * 24 + 2));
        let rows = misses(&[nightly], hour(-22), hour(480), Period::hours(27));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].slots, rows[0].first_missed, rows[0].broken_at), (Some(1), Some(hour(2)), Some(hour(5))));
    }

    #[test]
    fn what_else_covers_a_scope_is_counted_on() {
        let nightly = runs("nightly", (0..20).map(|day| day * 24 + 2));
        let six_hourly = runs("often", (0..80).map(|turn| turn * 6));
        let rows = misses(&[nightly, six_hourly], hour(-4), hour(480), Period::hours(8));
        assert_eq!(rows[0].slots, None, "six-hourly runs keep eight hours by themselves");
        // Two missed in a row leave 18 hours at worst, less what a nightly run in between saves.
        assert_eq!(rows[1].slots, Some(1));
        assert_eq!(rows[2].slots, Some(1));
        let wide = misses(&[runs("often", (0..80).map(|turn| turn * 6))], hour(-6), hour(480), Period::hours(20));
        assert_eq!(wide[0].slots, Some(3));
    }

    proptest::proptest! {
        #[test]
        fn the_fewest_misses_are_those_that_trying_every_one_finds(
            gaps in proptest::collection::vec(1_i64..30, 4..14), other in proptest::collection::vec(1_i64..40, 0..6),
            limit in 10_i64..60,
        ) {
            let at = |gaps: &[i64]| gaps.iter().scan(0, |sum, gap| { *sum += gap; Some(*sum) }).collect::<Vec<i64>>();
            let (mine, others) = (at(&gaps), at(&other));
            let end = mine.iter().chain(&others).max().unwrap() + 5;
            let found = misses(
                &[runs("mine", mine.iter().copied()), runs("others", others.iter().copied())],
                hour(0), hour(end), Period::hours(limit),
            )[0].slots;
            let mut tried = None;
            for count in 1..=mine.len() {
                let broken = (0..=mine.len() - count).any(|first| {
                    let left = mine.iter().enumerate().filter(|(i, _)| !(first..first + count).contains(i));
                    let mut covered: Vec<_> = left.map(|(_, h)| *h).chain(others.iter().copied()).chain([0]).collect();
                    covered.sort_unstable();
                    covered.push(end);
                    // Only the stretch that the misses touch: elsewhere the limit may be passed without any.
                    let low = if first == 0 { 0 } else { mine[first - 1] };
                    let high = mine.get(first + count).copied().unwrap_or(end);
                    covered.windows(2).any(|pair| pair[0] >= low && pair[1] <= high && pair[1] - pair[0] > limit)
                });
                if broken {
                    tried = Some(count as u64);
                    break;
                }
            }
            proptest::prop_assert_eq!(found, tried);
        }
    }
}
