//! Retention rules in words for people. Pure.

use crate::domain::{Pick, RetentionRule};

/// Says what a rule keeps: `7 daily, 4 weekly, 12 monthly, 5 yearly, Asia/Seoul`. The zone is named where buckets lie on
/// its calendar.
#[must_use]
pub fn describe(rule: &RetentionRule) -> String {
    let mut words = Vec::new();
    let mut add = |part: Option<String>| words.extend(part);
    add(rule.forever.then(|| "forever".to_owned()));
    add(rule.last.filter(|count| *count > 0).map(|count| format!("last {count}")));
    add(rule.within.filter(|window| window.as_seconds() > 0).map(|window| format!("within {window}")));
    let tiers = [
        (rule.hourly, "hourly"),
        (rule.daily, "daily"),
        (rule.weekly, "weekly"),
        (rule.monthly, "monthly"),
        (rule.quarterly, "quarterly"),
        (rule.yearly, "yearly"),
    ];
    let tiers: Vec<String> = tiers
        .into_iter()
        .filter_map(|(count, word)| count.filter(|count| *count > 0).map(|count| format!("{count} {word}")))
        .collect();
    let has_tiers = !tiers.is_empty();
    tiers.into_iter().for_each(|tier| add(Some(tier)));
    add(rule.keeps_nothing().then(|| "nothing but the floors".to_owned()));
    add((has_tiers && rule.pick == Pick::Last).then(|| "the last of each".to_owned()));
    add(rule.max_age.map(|age| format!("nothing older than {age}")));
    add(has_tiers.then(|| rule.timezone.to_string()));
    rule.moves.iter().for_each(|step| add(Some(format!("{} after {}", step.to, step.after))));
    words.join(", ")
}
