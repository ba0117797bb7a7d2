//! Suite: the whole reconciler in memory, from a seed: random policies, faults, several runners, years of days, and what
//! must hold after every step.
//!
//! `BKUP_SIM_SEEDS=10000` runs so many seeds, `BKUP_SIM_FIRST=1` begins at another one, and `BKUP_SIM_SEED=7` runs one
//! and shows what happened. A seed that fails goes into `tests/fixtures/sim/seeds.txt` and is run ever after.

#[cfg(test)]
mod auditor;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod effects;
#[cfg(test)]
pub mod ledger;
#[cfg(test)]
mod line;
#[cfg(test)]
mod policies;
#[cfg(test)]
pub mod random;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod story;
#[cfg(test)]
mod weather;
#[cfg(test)]
mod world;

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use self::story::{Failure, Summary, run};
use crate::world::asked::{say, setting};

/// How many seeds the suite runs where nobody says otherwise.
const SEEDS: u64 = 300;

/// Runs seeds side by side and returns what they came to; the first failures come with how to see them again.
fn run_all(seeds: &[u64]) -> Result<Summary, String> {
    let next = AtomicU64::new(0);
    let (total, failed) = (Mutex::new(Summary::default()), Mutex::new(Vec::<Failure>::new()));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    match run(*seed) {
                        Ok(one) => {
                            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                            total.days += one.days;
                            total.applies += one.applies;
                            total.backups += one.backups;
                            total.deletions += one.deletions;
                            total.faults += one.faults;
                        }
                        Err(failure) => {
                            // Said at once: a run of many hours must not keep it to itself.
                            let words = told(&failure);
                            let _unheard = std::io::stderr().write_all(words.as_bytes());
                            failed.lock().unwrap_or_else(PoisonError::into_inner).push(*failure);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() {
        return Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
    let told: Vec<String> = failed.iter().take(20).map(told).collect();
    Err(format!("{} of {} seeds fail:\n{}", failed.len(), seeds.len(), told.join("\n")))
}

fn told(failure: &Failure) -> String {
    let seed = failure.seed;
    let more: String = failure.violations.iter().take(4).map(|words| format!("    {words}\n")).collect();
    format!("  seed {seed}: BKUP_SIM_SEED={seed} cargo test --test it sim::one_seed\n{more}")
}

#[test]
fn one_seed() {
    let seed = setting("BKUP_SIM_SEED").unwrap_or(1);
    match run(seed) {
        Ok(summary) => say(&format!("sim: seed {seed}: {summary}")),
        Err(failure) => panic!("{}\n{}", failure.log.join("\n"), told(&failure)),
    }
}

#[test]
fn a_seed_says_everything() {
    for seed in [2, 3] {
        let (once, again) = (run(seed).map_err(|f| f.violations), run(seed).map_err(|f| f.violations));
        assert_eq!(once, again);
    }
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    let kept = include_str!("../fixtures/sim/seeds.txt");
    let numbers = kept.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let seeds: Vec<u64> = numbers.filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()).collect();
    run_all(&seeds).unwrap_or_else(|words| panic!("{words}"));
}

#[test]
fn an_apply_that_dies_anywhere_is_finished_by_the_next() {
    say(&format!("sim: {} points at which an apply can die", crash::enumerate()));
}

#[test]
fn what_must_hold_holds_whatever_fails() {
    let (first, count) = (setting("BKUP_SIM_FIRST").unwrap_or(1), setting("BKUP_SIM_SEEDS").unwrap_or(SEEDS));
    let seeds: Vec<u64> = (first..first + count).collect();
    let summary = run_all(&seeds).unwrap_or_else(|words| panic!("{words}"));
    say(&format!("sim: {count} seeds: {summary}"));
}
