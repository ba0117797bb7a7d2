//! Which runs come late and which never come. Pure: chance is a function of the seed, the schedule and the slot, so the
//! same question has the same answer, whatever else is simulated beside it.

use std::str::FromStr;

use crate::domain::{Instant, Period, sha256};

/// What can happen to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// Every run comes so much later.
    Late(Period),
    /// So many of ten thousand runs never come.
    Drop(u32),
    /// No run comes in this time.
    Outage { begin: Instant, end: Instant },
    /// Scheduled workflows of GitHub.
    GithubActions,
}

/// What happens to runs, all of it together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    faults: Vec<Fault>,
    text: String,
}

/// A text that is no [`Faults`]; carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no profile of faults")]
pub struct InvalidFaults(pub String);

/// GitHub promises no punctuality. Its documentation says that scheduled runs are delayed in times of high load, that the
/// start of every hour is such a time, and that runs are dropped when the load is high enough; it gives no numbers.
/// These are assumptions, on the bad side of what people reported of 2025 and 2026: at the full hour 15 minutes to 2
/// hours late and 3 % dropped, at other minutes 5 minutes to 1 hour late and 1 % dropped, and 2 % of all runs 2 to 12
/// hours late.
const GITHUB_FULL_HOUR: Chances = Chances { earliest: 15, latest: 120, dropped: 300 };
const GITHUB_OTHERWISE: Chances = Chances { earliest: 5, latest: 60, dropped: 100 };
const GITHUB_BAD_DAY: Chances = Chances { earliest: 120, latest: 720, dropped: 0 };
/// How many of ten thousand runs have a bad day.
const GITHUB_BAD_DAYS: u64 = 200;

/// Minutes of delay, and how many of ten thousand runs are dropped.
struct Chances {
    earliest: i64,
    latest: i64,
    dropped: u32,
}

impl Faults {
    /// Returns whether every run comes in time.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.faults.is_empty()
    }

    /// Returns when the run of a slot comes; `None` where it never does.
    #[must_use]
    pub fn run_of(&self, schedule: &str, slot: Instant, seed: u64) -> Option<Instant> {
        let mut run = slot;
        for (index, fault) in self.faults.iter().enumerate() {
            match fault {
                Fault::Late(by) => run = by.after(run),
                Fault::Drop(share) => {
                    if draw(seed, index, "drop", schedule, slot, 10_000) < u64::from(*share) {
                        return None;
                    }
                }
                Fault::Outage { .. } => {}
                Fault::GithubActions => {
                    let on_the_hour = slot.as_second().rem_euclid(3600) == 0;
                    let chances = if on_the_hour { GITHUB_FULL_HOUR } else { GITHUB_OTHERWISE };
                    if draw(seed, index, "drop", schedule, slot, 10_000) < u64::from(chances.dropped) {
                        return None;
                    }
                    let bad = draw(seed, index, "bad day", schedule, slot, 10_000) < GITHUB_BAD_DAYS;
                    let chances = if bad { GITHUB_BAD_DAY } else { chances };
                    let span = chances.latest.abs_diff(chances.earliest) * 60 + 1;
                    let seconds = draw(seed, index, "late", schedule, slot, span);
                    run = Period::seconds(chances.earliest * 60 + i64::try_from(seconds).unwrap_or(0)).after(run);
                }
            }
        }
        // An outage hits whatever would run in it, however late that is.
        let out = self
            .faults
            .iter()
            .any(|fault| matches!(fault, Fault::Outage { begin, end } if (*begin..*end).contains(&run)));
        (!out).then_some(run)
    }
}

/// Draws a number below `below`: repeatable, and independent of every other draw.
fn draw(seed: u64, fault: usize, what: &str, schedule: &str, slot: Instant, below: u64) -> u64 {
    let text = format!("{seed}/{fault}/{what}/{schedule}/{}", slot.as_second());
    let digest = sha256(text.as_bytes());
    let head = digest.bytes().iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    head % below.max(1)
}

impl FromStr for Faults {
    type Err = InvalidFaults;

    /// Reads `none`, `github-actions`, `late:30m`, `drop:2%`, `outage:3d@2026-03-01`, and several of them with commas.
    fn from_str(text: &str) -> Result<Self, InvalidFaults> {
        let invalid = || InvalidFaults(text.to_owned());
        let mut faults = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| *part != "none") {
            faults.push(match part.split_once(':') {
                None if part == "github-actions" => Fault::GithubActions,
                Some(("late", by)) => Fault::Late(by.parse().map_err(|_| invalid())?),
                Some(("drop", share)) => Fault::Drop(hundredths(share).ok_or_else(invalid)?),
                Some(("outage", rest)) => {
                    let (length, begin) = rest.split_once('@').ok_or_else(invalid)?;
                    let begin = instant(begin).ok_or_else(invalid)?;
                    let length: Period = length.parse().map_err(|_| invalid())?;
                    Fault::Outage { begin, end: length.after(begin) }
                }
                _ => return Err(invalid()),
            });
        }
        let text = if faults.is_empty() { "none".to_owned() } else { text.trim().to_owned() };
        Ok(Self { faults, text })
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.text.is_empty() { "none" } else { &self.text })
    }
}

fn hundredths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.strip_suffix('%')?.split_once('.').unwrap_or((text.strip_suffix('%')?, "0"));
    let digits = |s: &str| !s.is_empty() && s.len() <= 3 && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 2 {
        return None;
    }
    let share = whole.parse::<u32>().ok()? * 100 + format!("{fraction:0<2}").parse::<u32>().ok()?;
    (share <= 10_000).then_some(share)
}

/// Reads an instant, or a date, which is its first instant in UTC.
fn instant(text: &str) -> Option<Instant> {
    let date = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    text.parse().ok().or_else(|| date().map(|zoned| zoned.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::Faults;
    use crate::domain::Instant;

    fn slot(hour: i64) -> Instant {
        Instant::from_second(1_790_000_000 - 1_790_000_000 % 3600 + hour * 3600).unwrap()
    }

    #[test]
    fn a_profile_is_read_and_shown_as_it_was_written() {
        for text in ["none", "github-actions", "late:30m", "drop:2%", "drop:0.25%,late:10m", "outage:3d@2026-03-01"] {
            assert_eq!(text.parse::<Faults>().unwrap().to_string(), text);
        }
        for text in ["", "drop", "drop:120%", "drop:1.234%", "late:soon", "outage:3d", "outage:3d@spring", "gremlins"] {
            assert!(text.parse::<Faults>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn chance_is_repeatable_and_of_the_size_that_was_asked_for() {
        let drops: Faults = "drop:2%".parse().unwrap();
        let dropped = |seed| (0..20_000).filter(|hour| drops.run_of("nightly", slot(*hour), seed).is_none()).count();
        assert_eq!(dropped(1), dropped(1));
        assert!((300..=500).contains(&dropped(1)), "{} of 20,000", dropped(1));
        let which = |seed| (0..500).map(|hour| drops.run_of("nightly", slot(hour), seed).is_none()).collect::<Vec<_>>();
        assert_ne!(which(1), which(2));
    }

    #[test]
    fn an_outage_takes_what_would_run_in_it_also_what_is_late() {
        let faults: Faults = format!("late:2h,outage:3h@{}", slot(10)).parse().unwrap();
        let comes: Vec<bool> = (6..14).map(|hour| faults.run_of("nightly", slot(hour), 0).is_some()).collect();
        assert_eq!(comes, [true, true, false, false, false, true, true, true]);
    }

    #[test]
    fn github_is_late_within_its_bounds() {
        let faults: Faults = "github-actions".parse().unwrap();
        for hour in 0..2_000 {
            if let Some(run) = faults.run_of("nightly", slot(hour), 7) {
                let late = run.as_second() - slot(hour).as_second();
                assert!((900..=43_200).contains(&late), "{late}");
            }
        }
    }
}
