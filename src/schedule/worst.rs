//! What schedules can lose at worst: the longest time between the content of the newest complete backup and now, over
//! 400 years, exactly. Pure.
//!
//! # What is computed
//! A slot `s` of a line guarantees that by `s + lateness` there is a complete backup whose content is of `s` or later.
//! The loss at `t` is `t` less the newest slot that counts by then; lines that cover one scope count together. The loss
//! grows until a newer slot counts, so the worst is the longest *stretch*: from a slot to the moment at which the next
//! one counts. It is the true maximum over every stretch that ends after `from`, not a bound. The witness is the first
//! such stretch that begins at or after `from`; the one that is open at `from` is it only where none later is as long.
//!
//! # Why so few stretches need to be walked
//! A stretch is given by the slots between its slot and its end, and those by the rules and by what the zones' clocks do
//! in that time. So two parts of time that look the same to the rules and the clocks have the same stretches, and
//! only the first of each kind is walked. In the order of time, that is:
//! 1. **Calm**: between two clock changes, rules that know no dates repeat after one period: a day, a week where they
//!    name weekdays, the least common multiple of these and of `every: 36h` and the like. For each set of offsets one
//!    whole period is walked, once. `every: 7h` counts from midnight: after a change it is calm from the next one.
//! 2. **Changes**: each stretch that touches a clock change is walked, unless a change before had the same place in the
//!    period, the same offsets, and the same neighbouring changes within reach of a stretch.
//! 3. **Dates**: rules that name months or days of months have no such period, and are walked whole.
//! 4. **How long**: what lies in two neighbouring years is given by the pair of their kinds (`years`), once the changes
//!    of each zone are given by the kind of the year too; from which year on they are, is found by comparing all 400.
//!    Where every stretch is shorter than a year, the years until then and those until every pair has come are enough:
//!    some 30 to 40, as each later stretch repeats one of these, shifted by whole weeks. Where one may be longer (29
//!    February, a fifth Sunday in February), and for `every` of days, whose turns are not weeks, all 400 years are
//!    walked.
//! 5. **Until it cannot be worse**: no stretch of one line is longer than its longest on a calendar without clock
//!    changes and the spread of its zone's offsets; none of several lines is longer than the worst of each alone. Once
//!    that is reached the search ends, nearly always within the first year.
//!
//! What remains slow, and is bounded by the number of slots in 400 years: several lines of which one is `every: 36h`, or
//! the like, with a period that has no common multiple below 64 days with the others.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use jiff::tz::TimeZone;

use super::Calendar;
use super::anomaly::{self, Anomaly};
use super::calendar::Rule;
use super::gap::Gap;
use super::merge::{Late, Merge, Stretch};
use super::shifts::{Shift, Shifts};
use super::stream::Ruled;
use super::walk::{Walk, ZoneDays};
use super::years::{CYCLE_SECONDS, DAY, all_pairs_until, date_of, first_day};
use crate::domain::{Instant, Period};

/// The longest common period that is worth walking twice.
const LONGEST_PERIOD: i64 = 64 * DAY;
/// Longer lateness counts as this: two cycles of the calendar.
const LATEST: i64 = 2 * CYCLE_SECONDS;

/// A slot of one of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The number of the line.
    pub line: usize,
    /// The slot.
    pub slot: Instant,
}

/// The worst case of a set of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worst {
    /// What is lost just before the deadline: the time from the slot that counts to it.
    pub length: Period,
    /// The slot that counts until then.
    pub counts: Mark,
    /// The slot that ends it.
    pub next: Mark,
    /// When that one's backup is complete at the latest.
    pub deadline: Instant,
}

/// Returns the worst case of lines that cover one scope, each a calendar and how long after a slot its backup is
/// complete at the latest; `None` where no line has slots.
#[must_use]
pub fn worst_loss(lines: &[(&Calendar, Period)], from: Instant) -> Option<Worst> {
    Losses::new(from).worst(lines)
}

/// The worst cases seen from one instant. Remembers zones and rules: thousands of schedules have few of them.
#[derive(Debug)]
pub struct Losses {
    from: i64,
    zones: HashMap<String, Rc<Shifts>>,
    gaps: HashMap<(String, Rule), Option<Stretch>>,
}

impl Losses {
    /// Begins at an instant.
    #[must_use]
    pub fn new(from: Instant) -> Self {
        // Where a cycle from now passes the end of the calendar there is nothing to say of its years.
        let last = Instant::MAX.as_second() - CYCLE_SECONDS - 800 * DAY;
        let from = from.as_second() - i64::from(from.subsec_nanosecond() < 0);
        Self { from: from.min(last), zones: HashMap::new(), gaps: HashMap::new() }
    }

    /// Returns the worst case of lines that cover one scope, each a calendar and how long after a slot its backup is
    /// complete at the latest; `None` where no line has slots.
    pub fn worst(&mut self, lines: &[(&Calendar, Period)]) -> Option<Worst> {
        self.worst_by(lines, false)
    }

    /// As [`Self::worst`]; `completely` walks every slot of 400 years instead, which tests hold it against.
    pub(super) fn worst_by(&mut self, lines: &[(&Calendar, Period)], completely: bool) -> Option<Worst> {
        let mut bound = i64::MAX;
        let mut used: Vec<(usize, &Calendar, i64, Rc<Shifts>)> = Vec::new();
        let mut known: HashMap<(String, &Rule), usize> = HashMap::new();
        for (index, (calendar, lateness)) in lines.iter().enumerate() {
            let lateness = lateness.as_seconds().min(LATEST);
            let Some(gap) = self.gap(calendar) else { continue };
            // Of two equal rules only the one that is done earlier says anything.
            match known.entry((zone_key(calendar), calendar.rule())) {
                Entry::Occupied(entry) => {
                    let earlier = &mut used[*entry.get()];
                    if earlier.2 <= lateness {
                        continue;
                    }
                    (earlier.0, earlier.2) = (index, lateness);
                }
                Entry::Vacant(entry) => {
                    entry.insert(used.len());
                    used.push((index, calendar, lateness, self.shifts(calendar)));
                }
            }
            bound = bound.min(gap.length() + lateness);
        }
        let common = used.iter().map(|line| line.2).min()?;
        let found = if let ([(_, calendar, ..)], false) = (used.as_slice(), completely) {
            self.gap(calendar)?
        } else {
            let late = |(_, calendar, lateness, shifts): &(usize, &Calendar, i64, Rc<Shifts>)| {
                (calendar.rule().clone(), lateness - common, Rc::clone(shifts))
            };
            let owned: Vec<(Rule, i64, Rc<Shifts>)> = used.iter().map(late).collect();
            let late: Vec<Late<'_>> = owned
                .iter()
                .map(|(rule, lateness, shifts)| Late { ruled: Ruled { rule, shifts }, lateness: *lateness })
                .collect();
            let search = Search::new(&late, self.from, bound - common);
            if completely { search.without_argument().run()? } else { search.run()? }
        };
        let mark = |line: usize, slot| Some(Mark { line: used[line].0, slot: Instant::from_second(slot).ok()? });
        Some(Worst {
            length: Period::seconds(found.length() + common),
            counts: mark(found.begin_line, found.begin)?,
            next: mark(found.end_line, found.end)?,
            deadline: Instant::from_second(found.deadline + common).ok()?,
        })
    }

    /// Returns the longest gap between two slots; `None` where there are no slots.
    pub fn largest_gap(&mut self, calendar: &Calendar) -> Option<Gap> {
        let gap = self.gap(calendar)?;
        Some(Gap { begin: Instant::from_second(gap.begin).ok()?, end: Instant::from_second(gap.end).ok()? })
    }

    fn gap(&mut self, calendar: &Calendar) -> Option<Stretch> {
        if calendar.is_never() {
            return None;
        }
        let key = (zone_key(calendar), calendar.rule().clone());
        if let Some(known) = self.gaps.get(&key) {
            return *known;
        }
        let shifts = self.shifts(calendar);
        let lines = [Late { ruled: Ruled { rule: calendar.rule(), shifts: &shifts }, lateness: 0 }];
        let bound = longest_plain(calendar.rule())? + if crosses(calendar.rule()) { shifts.spread } else { 0 };
        let found = Search::new(&lines, self.from, bound).run();
        self.gaps.insert(key, found);
        found
    }

    /// Returns the first slots after an instant, at most so many.
    pub fn slots(&mut self, calendar: &Calendar, after: Instant, most: usize) -> Vec<Instant> {
        let shifts = self.shifts(calendar);
        let slots = Ruled { rule: calendar.rule(), shifts: &shifts }.after(after.as_second());
        slots.take(most).filter_map(|slot| Instant::from_second(slot).ok()).collect()
    }

    /// Returns the next slot of each kind whose time of day a clock change swallows, repeats, or lays on another.
    pub fn anomalies(&mut self, calendar: &Calendar) -> Vec<Anomaly> {
        let shifts = self.shifts(calendar);
        anomaly::next_of_each(calendar.rule(), &shifts, self.from)
    }

    /// Returns a calendar to step along.
    pub fn walk(&mut self, calendar: &Calendar) -> Walk {
        Walk { rule: calendar.rule().clone(), shifts: self.shifts(calendar) }
    }

    /// Returns the days of a zone.
    pub fn days_of(&mut self, zone: &TimeZone) -> ZoneDays {
        ZoneDays { shifts: self.shifts_of(zone) }
    }

    /// Returns the changes of a calendar's zone.
    fn shifts(&mut self, calendar: &Calendar) -> Rc<Shifts> {
        self.shifts_of(calendar.clocks().zone())
    }

    fn shifts_of(&mut self, zone: &TimeZone) -> Rc<Shifts> {
        let from = self.from;
        Rc::clone(self.zones.entry(name_of(zone)).or_insert_with(|| Rc::new(Shifts::new(zone, from))))
    }
}

fn zone_key(calendar: &Calendar) -> String {
    name_of(calendar.clocks().zone())
}

/// Zones come from their names only, so a name is enough to tell them apart.
fn name_of(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or_default().to_owned()
}

/// Returns whether clock changes can make a rule's gaps longer: `every: 7h` counts real time.
const fn crosses(rule: &Rule) -> bool {
    !matches!(rule, Rule::Elapsed(_))
}

/// Returns the longest gap on a calendar without clock changes, in seconds.
fn longest_plain(rule: &Rule) -> Option<i64> {
    match rule {
        Rule::Never => None,
        Rule::Elapsed(period) | Rule::Counted(period) => Some(*period),
        Rule::Civil { days, minutes } => {
            let within = minutes.windows(2).map(|pair| i64::from(pair[1] - pair[0])).max().unwrap_or(0);
            let across = 1440 + i64::from(*minutes.first()?) - i64::from(*minutes.last()?);
            Some(within.max(across + 1440 * (days.distances()?.largest - 1)) * 60)
        }
    }
}

/// Returns after how many seconds a rule repeats while clocks are left alone; `None` where it names dates.
fn period_of(rule: &Rule) -> Option<i64> {
    match rule {
        Rule::Never | Rule::Elapsed(_) => Some(DAY),
        Rule::Counted(period) => Some(*period),
        Rule::Civil { days, .. } => days.weekdays().map(|weekdays| if weekdays == 0b111_1111 { DAY } else { 7 * DAY }),
    }
}

const fn least_common(a: i64, b: i64) -> i64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

/// Returns the second by which everything that lies in two neighbouring years has come once.
pub(super) fn until_all_pairs(from: i64, zones: &[&Shifts]) -> i64 {
    let year = date_of(from.div_euclid(DAY) + 2).map_or(0, |date| i64::from(date.year())) + 1;
    let regular = zones.iter().map(|zone| zone.regular_from).fold(year, i64::max);
    (first_day(all_pairs_until(regular)) + 2) * DAY
}

/// One search.
struct Search<'a> {
    lines: &'a [Late<'a>],
    from: i64,
    /// No stretch is longer.
    bound: i64,
    horizon: i64,
    period: Option<i64>,
    /// So long after a change it is not calm.
    disturbed: i64,
    zones: Vec<&'a Shifts>,
    /// Every change from `from` to the horizon, with the number of its zone.
    changes: Vec<(Shift, usize)>,
}

impl<'a> Search<'a> {
    fn new(lines: &'a [Late<'a>], from: i64, bound: i64) -> Self {
        let mut zones: Vec<&Shifts> = Vec::new();
        for line in lines {
            if !zones.iter().any(|zone| std::ptr::eq(*zone, line.ruled.shifts)) {
                zones.push(line.ruled.shifts);
            }
        }
        let rules = || lines.iter().map(|line| line.ruled.rule);
        let period = rules()
            .map(period_of)
            .try_fold(1, |all, period| period.map(|period| least_common(all, period)).filter(|p| *p <= LONGEST_PERIOD));
        let turning = rules().any(|rule| matches!(rule, Rule::Counted(_)));
        let mut horizon = from + CYCLE_SECONDS;
        if bound < 360 * DAY && !turning {
            horizon = horizon.min(until_all_pairs(from, &zones));
        }
        let elapsed = rules().any(|rule| matches!(rule, Rule::Elapsed(_)));
        let largest = zones.iter().map(|zone| zone.largest).max().unwrap_or(0);
        let disturbed = largest + if elapsed { DAY } else { 0 };
        let mut changes: Vec<(Shift, usize)> = Vec::new();
        if period.is_some() {
            for (index, zone) in zones.iter().enumerate() {
                changes.extend(zone.between(from, horizon).iter().map(|shift| (*shift, index)));
            }
            changes.sort_by_key(|(shift, zone)| (shift.at, *zone));
        }
        Self { lines, from, bound, horizon, period, disturbed, zones, changes }
    }

    /// Gives up all that makes it short.
    fn without_argument(mut self) -> Self {
        (self.bound, self.horizon, self.period) = (i64::MAX, self.from + CYCLE_SECONDS, None);
        self.changes.clear();
        self
    }

    fn run(&self) -> Option<Stretch> {
        let mut longest = Longest { from: self.from, bound: self.bound, open: None, later: None };
        let mut seen: HashSet<Vec<i64>> = HashSet::new();
        let mut covered: Vec<Vec<i64>> = Vec::new();
        for window in 0..=self.changes.len() {
            let begin = if window == 0 { self.from } else { self.changes[window - 1].0.at };
            let stop = self.changes.get(window).map_or(self.horizon, |(shift, _)| shift.at);
            // Of changes at one instant, the last one's window is that of all.
            if stop == begin || window > 0 && !seen.insert(self.looks(window - 1)) {
                continue;
            }
            let offsets: Vec<i64> = self.zones.iter().map(|zone| zone.offset_at(begin)).collect();
            let known = covered.contains(&offsets);
            let calm = begin + self.disturbed;
            let enough = self.period.map(|period| if known { calm } else { calm + period });
            // From just before the change: the stretch that it falls into is walked whole.
            for stretch in Merge::at(self.lines, if window == 0 { begin } else { begin - 1 })? {
                if enough.is_some_and(|enough| stretch.begin >= enough) {
                    if !known {
                        covered.push(offsets);
                    }
                    break;
                }
                if window < self.changes.len() && stretch.deadline >= stop {
                    break;
                }
                if longest.take(stretch) {
                    return longest.found();
                }
                if stretch.deadline >= stop {
                    break;
                }
            }
        }
        longest.found()
    }

    /// Returns what the rules and clocks look like around a change, as far as any stretch in its window can reach.
    fn looks(&self, change: usize) -> Vec<i64> {
        let at = self.changes[change].0.at;
        let period = self.period.unwrap_or(DAY);
        let begin = at - self.bound - self.disturbed;
        let end = at + self.disturbed + period + self.bound;
        let mut looks = vec![at.rem_euclid(period)];
        looks.extend(self.zones.iter().map(|zone| zone.offset_at(at)));
        let near = |(shift, zone): &(Shift, usize)| [shift.at - at, shift.before, shift.after, *zone as i64];
        let before = self.changes[..change].iter().rev().take_while(|(shift, _)| shift.at >= begin);
        let after = self.changes[change..].iter().take_while(|(shift, _)| shift.at <= end);
        looks.extend(before.flat_map(near));
        looks.extend(after.flat_map(near));
        // Changes before the first instant that is looked at reach into it, too.
        if begin < self.from {
            looks.push(begin);
        }
        looks
    }
}

/// The longest stretches so far.
struct Longest {
    from: i64,
    bound: i64,
    open: Option<Stretch>,
    later: Option<Stretch>,
}

impl Longest {
    /// Takes one in; returns whether no later one can be longer.
    fn take(&mut self, stretch: Stretch) -> bool {
        let best = if stretch.begin < self.from { &mut self.open } else { &mut self.later };
        if best.is_none_or(|best| stretch.length() > best.length()) {
            *best = Some(stretch);
        }
        stretch.begin >= self.from && stretch.length() >= self.bound
    }

    fn found(&self) -> Option<Stretch> {
        match (self.open, self.later) {
            (Some(open), Some(later)) if open.length() > later.length() => Some(open),
            (open, later) => later.or(open),
        }
    }
}
