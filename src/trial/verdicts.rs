//! What a plan decides over the backups of the history, against what a test expects: kept or not, and by which rule.
//! Pure.

use crate::diag::Diagnostic;
use crate::domain::{ActionKind, Backup, Plan, TrialDifference, TrialFailure, TrialThing};
use crate::policy::text::Sources;

use super::codes;
use super::facts::word;
use super::raw::{self, Expect};
use super::read::is_meant;
use super::value::At;
use super::world::World;

/// How many backups of one expectation are shown.
const MOST_SHOWN: usize = 3;

/// Judges verdicts.
pub(super) fn judge(world: &World, plan: &Plan, expect: &Expect, sources: &Sources) -> Vec<TrialFailure> {
    let verdicts = expect.verdicts.iter().flat_map(|list| &list.value);
    verdicts.filter_map(|verdict| one(world, plan, verdict, sources)).collect()
}

fn one(world: &World, plan: &Plan, verdict: &At<raw::Verdict>, sources: &Sources) -> Option<TrialFailure> {
    let raw = &verdict.value;
    let meant: Vec<&Backup> = world.backups().filter(|backup| is_meant(backup, raw)).collect();
    let wrong: Vec<(&Backup, Fate)> =
        meant.iter().map(|backup| (*backup, fate(plan, backup))).filter(|(_, fate)| !fate.meets(raw)).collect();
    let keep = raw.keep?;
    let (message, label) = match wrong.first() {
        None if meant.is_empty() => ("there is no such backup in what the catalog shows".to_owned(), "expected"),
        None => return None,
        Some((_, Fate::Kept(_))) if keep => ("this backup stays, but not by all of this".to_owned(), "by this"),
        Some((_, Fate::Kept(_))) => ("this backup stays".to_owned(), "expected to go"),
        Some((_, Fate::Dropped(_))) => ("this backup goes".to_owned(), "expected to stay"),
        Some((_, Fate::Open(_))) => ("nothing is decided over this backup".to_owned(), "expected otherwise"),
    };
    let span = sources.span(if label == "by this" { verdict.places.get("by") } else { verdict.place });
    let instead = wrong.iter().take(MOST_SHOWN).map(|(backup, fate)| fate.shown(backup, raw)).collect();
    Some(TrialFailure { finding: Diagnostic::error(codes::OTHER_VERDICT, message).at(span, label), instead })
}

/// What becomes of a backup.
enum Fate {
    /// It stays, for these reasons.
    Kept(Vec<String>),
    /// It goes, for this one.
    Dropped(String),
    /// Neither: its deletion is held, or nobody could look.
    Open(String),
}

fn fate(plan: &Plan, backup: &Backup) -> Fate {
    let deleted = plan.actions.iter().find(|action| match &action.kind {
        ActionKind::Tombstone(work) | ActionKind::Purge(work) => work.backup == backup.id,
        _ => false,
    });
    if let Some(action) = deleted {
        return Fate::Dropped(action.reason.words.clone());
    }
    if backup.tombstoned_at.is_some() {
        return Fate::Dropped("it is tombstoned already".to_owned());
    }
    if let Some(kept) = plan.kept.iter().find(|kept| kept.backup == backup.id) {
        return Fate::Kept(kept.reasons.clone());
    }
    let mark = format!("{}: ", backup.id);
    let held = plan.held.iter().find_map(|held| Some((held, held.words.strip_prefix(&mark)?)));
    match held {
        Some((held, words)) => Fate::Open(format!("held, {}: {words}", word(&held.reason))),
        None => Fate::Open("the plan does not speak of it".to_owned()),
    }
}

impl Fate {
    fn meets(&self, raw: &raw::Verdict) -> bool {
        match (self, raw.keep) {
            (_, None) => true,
            (Self::Kept(reasons), Some(true)) => missing(reasons, raw).is_empty(),
            (Self::Dropped(_), Some(false)) => true,
            _ => false,
        }
    }

    fn shown(&self, backup: &Backup, raw: &raw::Verdict) -> TrialThing {
        let mut words = format!("schedule: {}", backup.schedule);
        if let Some(database) = &backup.database {
            words.push_str(&format!(", database: {database}"));
        }
        words.push_str(&format!(", scope: {}, slot: {}", backup.scope, backup.slot));
        let keep = |expected: bool, found: &str| TrialDifference {
            key: "keep".to_owned(),
            expected: expected.to_string(),
            found: Some(found.to_owned()),
        };
        let differs = match self {
            Self::Kept(reasons) if raw.keep == Some(true) => {
                let expected = missing(reasons, raw).join(" and ");
                vec![TrialDifference { key: "by".to_owned(), expected, found: Some(reasons.join("; ")) }]
            }
            Self::Kept(reasons) => vec![keep(false, &format!("true, by {}", reasons.join("; ")))],
            Self::Dropped(why) => vec![keep(true, &format!("false, because {why}"))],
            Self::Open(why) => vec![keep(raw.keep == Some(true), why)],
        };
        TrialThing { words, differs }
    }
}

/// Returns the words of `by` that none of the reasons is of.
fn missing(reasons: &[String], raw: &raw::Verdict) -> Vec<&'static str> {
    let wanted = raw.by.clone().map(crate::policy::values::OneOrMany::list).unwrap_or_default();
    let has = |word: &str| reasons.iter().any(|reason| keeper(reason) == Some(word));
    wanted.into_iter().map(|keeper| keeper.0).filter(|word| !has(word)).collect()
}

/// Returns the word of a test file for a reason of a plan.
fn keeper(reason: &str) -> Option<&'static str> {
    const BEGINS: [(&str, &str); 16] = [
        ("last ", "last"),
        ("hourly ", "hourly"),
        ("daily ", "daily"),
        ("weekly ", "weekly"),
        ("monthly ", "monthly"),
        ("quarterly ", "quarterly"),
        ("yearly ", "yearly"),
        ("within ", "within"),
        ("forever", "forever"),
        ("floor: min_keep", "min_keep"),
        ("floor: newest verified", "newest_verified"),
        ("floor: newest drilled", "newest_drilled"),
        ("protected", "protected"),
        ("locked until", "locked"),
        ("quarantined", "quarantined"),
        ("shared archive", "shared"),
    ];
    BEGINS.iter().find(|(begin, _)| reason.starts_with(begin)).map(|(_, word)| *word)
}

#[cfg(test)]
mod tests {
    use super::keeper;
    use crate::domain::{BackupId, Period};
    use crate::retention::{KeepReason, Tier};

    #[test]
    fn every_reason_of_retention_that_a_history_can_have_has_a_word() {
        let at = "2026-11-20T02:00:00Z".parse().unwrap();
        let zone = jiff::tz::TimeZone::UTC;
        let tiers = Tier::ALL.into_iter().map(|tier| KeepReason::Bucket(tier.bucket(at, &zone)));
        let others = [
            KeepReason::Last(3),
            KeepReason::Within { window: Period::days(30), until: at },
            KeepReason::Forever,
            KeepReason::MinKeep(2),
            KeepReason::NewestVerified,
            KeepReason::NewestDrilled,
            KeepReason::Protected,
            KeepReason::Locked(at),
            KeepReason::Quarantined,
        ];
        let words: Vec<&str> = tiers.chain(others).map(|reason| keeper(&reason.to_string()).unwrap()).collect();
        assert_eq!(
            words,
            [
                "hourly",
                "daily",
                "weekly",
                "monthly",
                "quarterly",
                "yearly",
                "last",
                "within",
                "forever",
                "min_keep",
                "newest_verified",
                "newest_drilled",
                "protected",
                "locked",
                "quarantined"
            ]
        );
        assert_eq!(keeper(&KeepReason::NeededBy(BackupId::from_text("x".to_owned())).to_string()), None);
    }
}
