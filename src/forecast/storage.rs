//! Reads sides off records: lines, storage, requests, cost. Pure; whole numbers.

use std::collections::BTreeMap;

use super::population::Population;
use super::record::{Record, rule_of};
use super::sizes::Sizes;
use super::world::World;
use crate::domain::{Bytes, Cost, ForecastLine, ForecastSide, Instant, Milestone, Prices, Requests, SizeSource};

/// The days whose totals are told.
const MILESTONES: [u64; 3] = [30, 90, 365];
/// How many days a record has at most; a longer forecast looks at fewer of them.
const MOST_DAYS: u64 = 800;
const DAY: i64 = 86_400;
/// A month is a twelfth of 365.25 days, as price lists have it.
const MONTH: u128 = 2_629_800;
const GIB: u128 = 1 << 30;

/// Returns the days of a record: each so many days after the begin, the milestones, and the end.
pub(super) fn days(begin: Instant, end: Instant) -> Vec<Instant> {
    let length = (end.as_second() - begin.as_second()).max(0);
    let whole = (length / DAY).unsigned_abs();
    let step = whole.div_ceil(MOST_DAYS).max(1);
    let mut offsets: Vec<u64> = (0..=whole).step_by(usize::try_from(step).unwrap_or(1)).collect();
    offsets.extend(MILESTONES.iter().filter(|day| **day <= whole));
    let at = |day: u64| {
        let seconds = i64::try_from(day).unwrap_or(0) * DAY;
        begin.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(end)
    };
    let mut days: Vec<Instant> = offsets.into_iter().map(at).chain([end]).collect();
    days.sort_unstable();
    days.dedup();
    days
}

/// Returns the days whose totals are told, as indices.
pub(super) fn milestones(days: &[Instant]) -> Vec<usize> {
    let Some(begin) = days.first() else { return Vec::new() };
    let of = |day: &Instant| days_between(*begin, *day);
    let mut found: Vec<usize> =
        MILESTONES.iter().filter_map(|wanted| days.iter().position(|day| of(day) == Some(*wanted))).collect();
    found.extend(days.len().checked_sub(1));
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns how many whole days lie between, where they are whole.
fn days_between(begin: Instant, day: Instant) -> Option<u64> {
    let seconds = day.as_second() - begin.as_second();
    (seconds % DAY == 0).then(|| (seconds / DAY).unsigned_abs())
}

/// One side, when it has run.
pub(super) struct Reading<'a> {
    pub policies: String,
    /// The world at the begin.
    pub world: &'a World,
    pub record: &'a Record,
    pub population: &'a Population,
    pub sizes: &'a Sizes,
    pub prices: Option<&'a Prices>,
    pub refusals: Vec<String>,
}

impl Reading<'_> {
    /// Reads everything.
    pub fn side(self) -> ForecastSide {
        let record = self.record;
        let count = record.days.len();
        let whole =
            |values: &Vec<u64>| (0..count).map(|day| values.get(day).copied().unwrap_or(0)).collect::<Vec<u64>>();
        let told = milestones(&record.days);
        let all: Vec<Milestone> = self.milestones();
        let peak = all.iter().max_by_key(|m| (m.total(), m.restore_points + m.in_grace, std::cmp::Reverse(m.day)));
        let Some(peak) = peak.cloned() else { return self.empty() };
        ForecastSide {
            lines: self.lines(&told),
            days: record.days.clone(),
            bytes_by_class: record
                .bytes_by_class
                .iter()
                .map(|(class, bytes)| (class.clone(), whole(bytes).into_iter().map(Bytes).collect()))
                .collect(),
            backups_by_class: record.backups_by_class.iter().map(|(class, n)| (class.clone(), whole(n))).collect(),
            milestones: told.iter().filter_map(|day| all.get(*day).cloned()).collect(),
            peak,
            taken: record.taken,
            missed: record.missed,
            drills: record.drills,
            held: record.held.iter().cloned().collect(),
            policies: self.policies,
            refusals: self.refusals,
        }
    }

    /// There is always a day, the first; a side without any is none.
    fn empty(self) -> ForecastSide {
        let begin = self.world.now();
        let peak = Milestone {
            day: 0,
            at: begin,
            restore_points: 0,
            in_grace: 0,
            bytes: BTreeMap::new(),
            requests: Requests::default(),
            cost: None,
        };
        ForecastSide {
            policies: self.policies,
            lines: Vec::new(),
            days: Vec::new(),
            bytes_by_class: BTreeMap::new(),
            backups_by_class: BTreeMap::new(),
            milestones: Vec::new(),
            peak,
            taken: 0,
            missed: 0,
            drills: 0,
            held: Vec::new(),
            refusals: self.refusals,
        }
    }

    fn lines(&self, told: &[usize]) -> Vec<ForecastLine> {
        let record = self.record;
        let count = record.days.len();
        let lines = record.lines.iter().map(|((schedule, database, scope), line)| {
            let whole =
                |values: &[u64]| (0..count).map(|day| values.get(day).copied().unwrap_or(0)).collect::<Vec<u64>>();
            let kept = |day: usize| line.kept_by.get(&day).cloned().unwrap_or_default();
            let sources = line.streams.iter().map(|stream| self.sizes.source(stream));
            let mut scopes: Vec<_> = line.streams.iter().map(|(_, _, scope)| scope).collect();
            scopes.sort_unstable();
            scopes.dedup();
            let archives = scope == "shared archives";
            ForecastLine {
                schedule: schedule.clone(),
                database: database.clone(),
                scope: scope.clone(),
                scopes: scopes.iter().map(|scope| self.population.weight(database.as_ref(), scope)).sum(),
                rule: if archives {
                    "as long as a tenant backup names them".to_owned()
                } else {
                    rule_of(schedule, self.world).unwrap_or_else(|| "none".to_owned())
                },
                sizes: sources.max().unwrap_or(SizeSource::Unknown),
                restore_points: whole(&line.points),
                in_grace: whole(&line.grace),
                depth: (0..count).map(|day| line.depth.get(day).copied().flatten()).collect(),
                bytes: whole(&line.bytes).into_iter().map(Bytes).collect(),
                kept_by: count.checked_sub(1).map(kept).unwrap_or_default(),
                kept_by_at: told.iter().map(|day| kept(*day)).collect(),
            }
        });
        lines.collect()
    }

    /// The totals of every day, with requests and cost summed up to it.
    fn milestones(&self) -> Vec<Milestone> {
        let record = self.record;
        let Some(begin) = record.days.first().copied() else { return Vec::new() };
        let mut requests = Requests::default();
        // In billionths of the currency, times seconds and bytes.
        let mut storage: u128 = 0;
        let mut all = Vec::new();
        for (day, at) in record.days.iter().copied().enumerate() {
            if let Some(more) = record.requests.get(day) {
                requests.put += more.put;
                requests.get += more.get;
                requests.list += more.list;
                requests.delete += more.delete;
            }
            let sum = |of: fn(&super::record::Line) -> &Vec<u64>| -> u64 {
                // Shared archives are storage, and no restore points by themselves.
                let lines = record.lines.iter().filter(|((_, _, scope), _)| scope != "shared archives");
                lines.map(|(_, line)| of(line).get(day).copied().unwrap_or(0)).sum()
            };
            let bytes_of = |day: usize| {
                record.bytes_by_class.iter().map(move |(class, b)| (class, b.get(day).copied().unwrap_or(0)))
            };
            if let (Some(prices), Some(before)) = (self.prices, day.checked_sub(1)) {
                let seconds = u128::from(record.days[before].as_second().abs_diff(at.as_second()));
                for (class, bytes) in bytes_of(before) {
                    let price = u128::from(prices.storage.get(class).copied().unwrap_or(0));
                    storage = storage.saturating_add(u128::from(bytes) * seconds * price);
                }
            }
            all.push(Milestone {
                day: u64::try_from((at.as_second() - begin.as_second()) / DAY).unwrap_or(0),
                at,
                restore_points: sum(|line| &line.points),
                in_grace: sum(|line| &line.grace),
                bytes: bytes_of(day).map(|(class, bytes)| (class.clone(), Bytes(bytes))).collect(),
                requests,
                cost: self.prices.map(|prices| cost(prices, storage, requests)),
            });
        }
        all
    }
}

fn cost(prices: &Prices, storage: u128, requests: Requests) -> Cost {
    let kinds = [("put", requests.put), ("get", requests.get), ("list", requests.list), ("delete", requests.delete)];
    let billionths: u128 = kinds
        .into_iter()
        .map(|(kind, count)| u128::from(prices.requests.get(kind).copied().unwrap_or(0)) * u128::from(count) / 1000)
        .sum();
    Cost {
        currency: prices.currency.clone(),
        storage_micros: u64::try_from(storage / GIB / MONTH / 1000).unwrap_or(u64::MAX),
        requests_micros: u64::try_from(billionths / 1000).unwrap_or(u64::MAX),
    }
}
