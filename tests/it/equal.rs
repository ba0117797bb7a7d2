//! Suite: what the splitter writes against `pg_dump -n`, on every version, over random databases: the tenants' archives
//! hold the same, restore to the same, and together are what was there.
//!
//! `BKUP_EQUAL_CASES=100` runs so many seeds per version, `BKUP_EQUAL_FIRST=1` begins at another one. `BKUP_EQUAL_SEED=7`
//! with `BKUP_EQUAL_MAJOR=17` runs one in `equal::one_seed`; when it fails, it is made smaller, for at most
//! `BKUP_EQUAL_SHRINK=600` seconds, and written as a fixture: mend the cause, and keep the file in
//! `tests/fixtures/equal`.

#[cfg(test)]
mod archives;
#[cfg(test)]
mod around;
#[cfg(test)]
mod builtin;
#[cfg(test)]
mod case;
#[cfg(test)]
mod check;
#[cfg(test)]
mod code;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod maker;
#[cfg(test)]
mod names;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod ties;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::case::Case;
use self::check::{Bench, Checked, Outcome};
use self::maker::Maker;
use crate::world::asked::{say, setting};
use crate::world::cluster::Major;

/// How many seeds each version runs where nobody says otherwise.
const CASES: u64 = 5;
/// How long a failing case is made smaller.
const SHRINK_SECONDS: u64 = 300;

/// Runs the seeds of a version: other ones than those of the other versions.
async fn run(major: Major) {
    let (first, count) = (setting("BKUP_EQUAL_FIRST").unwrap_or(1), setting("BKUP_EQUAL_CASES").unwrap_or(CASES));
    let (began, bench) = (Instant::now(), Bench::start(major).await);
    let mut total = Checked::default();
    let mut failed = Vec::new();
    for seed in (first..first + count).map(|seed| seed * 100 + u64::from(major.number())) {
        let words = match bench.check(&Maker::make(seed, major), seed).await {
            Outcome::Holds(checked) => {
                total.add(&checked);
                continue;
            }
            Outcome::Violated(property, words) => format!("it does not hold that {property}:\n    {words}"),
            Outcome::Broken(words) => format!("the generator is wrong: {words}"),
        };
        let words = format!(
            "seed {seed}: BKUP_EQUAL_SEED={seed} BKUP_EQUAL_MAJOR={} cargo test --test it equal::one_seed\n  {words}",
            major.number()
        );
        // Said at once: a run of many hours must not keep it to itself.
        say(&words);
        failed.push(words);
    }
    say(&format!("equal: {major:?}: {total:?} in {:.1} s", began.elapsed().as_secs_f64()));
    assert!(failed.is_empty(), "{} of {count} seeds fail:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_archive_restores_as_its_own_dump_on_15() {
    run(Major::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_archive_restores_as_its_own_dump_on_16() {
    run(Major::V16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_archive_restores_as_its_own_dump_on_17() {
    run(Major::V17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_archive_restores_as_its_own_dump_on_18() {
    run(Major::V18).await;
}

#[test]
fn a_seed_says_everything() {
    for seed in [1, 2] {
        let text = |major| Maker::make(seed, major).to_fixture();
        assert_eq!(text(Major::V18), text(Major::V18));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_once_does_not_fail_again() {
    let mut fixtures: Vec<PathBuf> =
        std::fs::read_dir("tests/fixtures/equal").unwrap().map(|f| f.unwrap().path()).collect();
    fixtures.sort();
    // What only the newest version can be is named so.
    let newest = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("-18"));
    let (of_18, others): (Vec<PathBuf>, Vec<PathBuf>) = fixtures.into_iter().partition(newest);
    holds(Major::V17, others).await;
    holds(Major::V18, of_18).await;
}

async fn holds(major: Major, fixtures: Vec<PathBuf>) {
    let bench = Bench::start(major).await;
    for path in fixtures {
        let case = Case::of_fixture(&std::fs::read_to_string(&path).unwrap());
        match bench.check(&case, 1).await {
            Outcome::Holds(_) => {}
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_seed() {
    let Some(seed) = setting("BKUP_EQUAL_SEED") else { return };
    let number = setting("BKUP_EQUAL_MAJOR").unwrap_or(17);
    let major = Major::EVERY.into_iter().find(|major| u64::from(major.number()) == number).expect("15 to 18");
    let bench = Bench::start(major).await;
    let case = Maker::make(seed, major);
    match bench.check(&case, seed).await {
        Outcome::Holds(checked) => say(&format!("equal: seed {seed}: {checked:?}")),
        Outcome::Broken(words) => panic!("{words}"),
        Outcome::Violated(property, words) => {
            let (small, words) = shrunk(&bench, case, seed, property, words).await;
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("equal-{number}-{seed}.sql"));
            std::fs::write(&path, small.to_fixture()).expect("writes");
            panic!("it does not hold that {property}:\n{words}\nThe case is in {}", path.display());
        }
    }
}

/// Takes pieces away, many at once and then few, as long as the same property is violated.
async fn shrunk(bench: &Bench, case: Case, seed: u64, property: &str, words: String) -> (Case, String) {
    let limit = Duration::from_secs(setting("BKUP_EQUAL_SHRINK").unwrap_or(SHRINK_SECONDS));
    let began = Instant::now();
    let (mut case, mut words) = (case, words);
    let mut size = case.pieces.len() / 2;
    while size > 0 {
        let mut end = case.pieces.len();
        while end > 0 && began.elapsed() < limit {
            let begin = end.saturating_sub(size);
            let less = case.without(&(begin..end).collect::<BTreeSet<usize>>());
            match bench.check(&less, seed).await {
                Outcome::Violated(again, said) if again == property => (case, words) = (less, said),
                _ => {}
            }
            end = begin.min(case.pieces.len());
        }
        size /= 2;
    }
    (case, words)
}
