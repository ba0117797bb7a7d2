//! Policies as the rows people read: frequencies, times and days of schedules; minutes, steps and approvals of
//! recovery plans. Pure. What a column cannot say is left out of it; the whole thing stands in `policy`.

use serde::Serialize;
use serde_json::Value;

use super::failure::CatalogError;
use crate::domain::{
    DayRule, Frequency, Instant, Name, PlanStep, RecoveryPlanSpec, RetentionRule, ScheduleSpec, TenantFilter, Timing,
};

/// Returns the word a unit variant is serialized as.
pub(super) fn word_of<T: Serialize>(variant: &T) -> Result<String, CatalogError> {
    match serde_json::to_value(variant) {
        Ok(Value::String(word)) => Ok(word),
        _ => Err(CatalogError::unfit("an enumeration that is no word")),
    }
}

/// Returns how many days back a rule reaches at most; absent where it keeps forever or only counts backups.
pub(super) fn retention_days(rule: &RetentionRule) -> Option<i32> {
    if rule.forever {
        return None;
    }
    let reach = [
        rule.hourly.map(|n| u64::from(n).div_ceil(24)),
        rule.daily.map(u64::from),
        rule.weekly.map(|n| u64::from(n) * 7),
        rule.monthly.map(|n| u64::from(n) * 31),
        rule.quarterly.map(|n| u64::from(n) * 92),
        rule.yearly.map(|n| u64::from(n) * 366),
        rule.within.map(|p| p.as_seconds().unsigned_abs().div_ceil(86_400)),
    ];
    let bound = rule.max_age.map_or(u64::MAX, |p| p.as_seconds().unsigned_abs().div_ceil(86_400));
    reach.into_iter().flatten().max().and_then(|days| i32::try_from(days.min(bound)).ok())
}

/// A schedule's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScheduleColumns {
    pub(super) backup_type: String,
    pub(super) target_scope: &'static str,
    pub(super) databases: Vec<String>,
    pub(super) frequency: &'static str,
    pub(super) time: Option<String>,
    pub(super) days: Option<Vec<i32>>,
    pub(super) timezone: String,
    pub(super) format: &'static str,
    pub(super) retention_days: Option<i32>,
    pub(super) parallel: i32,
    pub(super) rule: String,
    pub(super) slugs: Option<Vec<String>>,
    pub(super) classes: Option<Vec<String>>,
    pub(super) tables: Option<Vec<String>>,
    pub(super) engine: String,
    pub(super) store: String,
    pub(super) start_within: String,
}

fn texts(names: &[Name]) -> Vec<String> {
    names.iter().map(Name::to_string).collect()
}

impl ScheduleColumns {
    pub(super) fn of(spec: &ScheduleSpec) -> Result<Self, CatalogError> {
        let (slugs, classes) = match &spec.tenants {
            TenantFilter::All => (None, None),
            TenantFilter::Slugs(globs) => (Some(globs.clone()), None),
            TenantFilter::Classes(classes) => (None, Some(texts(classes))),
        };
        let tenant_data = spec.backup == crate::domain::BackupType::TenantData;
        let target_scope = match (tenant_data, &spec.tenants) {
            (true, TenantFilter::All) => "ALL_TENANTS",
            (true, _) => "SPECIFIC_TENANTS",
            (false, _) => "SYSTEM_ONLY",
        };
        let (frequency, time, days, rule) = timing(&spec.when.timing)?;
        Ok(Self {
            backup_type: spec.backup.sql(),
            target_scope,
            databases: texts(&spec.databases),
            frequency,
            time,
            days,
            timezone: spec.when.timezone.to_string(),
            format: if spec.compression == crate::domain::Compression::None { "UNCOMPRESSED" } else { "COMPRESSED" },
            retention_days: retention_days(&spec.retention),
            parallel: i32::try_from(spec.max_parallel_jobs.max(1)).unwrap_or(i32::MAX),
            rule,
            slugs,
            classes,
            tables: (!spec.tables.is_empty()).then(|| spec.tables.clone()),
            engine: word_of(&spec.engine)?,
            store: spec.store.to_string(),
            start_within: spec.start_within.to_string(),
        })
    }
}

type TimingColumns = (&'static str, Option<String>, Option<Vec<i32>>, String);

fn timing(timing: &Timing) -> Result<TimingColumns, CatalogError> {
    Ok(match timing {
        Timing::Calendar { frequency, time, days } => {
            let word = match frequency {
                Frequency::Hourly => "HOURLY",
                Frequency::Daily => "DAILY",
                Frequency::Weekly => "WEEKLY",
                Frequency::Monthly => "MONTHLY",
                Frequency::Quarterly => "QUARTERLY",
                Frequency::Yearly => "YEARLY",
            };
            let numbers: Option<Vec<i32>> = days
                .iter()
                .map(|day| match day {
                    DayRule::Weekday(n) | DayRule::MonthDay(n) => Some(i32::from(*n)),
                    DayRule::NthWeekday { .. } | DayRule::LastDay => None,
                })
                .collect();
            let shown: Vec<String> = days.iter().map(day_word).collect();
            let rule = [word.to_ascii_lowercase(), shown.join(","), time.to_string()];
            let rule = rule.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
            (word, Some(time.to_string()), numbers.filter(|n| !n.is_empty()), rule)
        }
        Timing::Cron { expression } => ("CRON", None, None, format!("cron {expression}")),
        Timing::Every { period } => ("EVERY", None, None, format!("every {period}")),
        Timing::OnChange => ("ON_CHANGE", None, None, "on change".to_owned()),
        Timing::OnRequest => ("ON_REQUEST", None, None, "on request".to_owned()),
    })
}

fn day_word(day: &DayRule) -> String {
    let weekday =
        |n: i8| ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][usize::from(n.unsigned_abs().clamp(1, 7)) - 1];
    match day {
        DayRule::Weekday(n) => weekday(*n).to_owned(),
        DayRule::NthWeekday { weekday: n, nth } => format!("{}#{nth}", weekday(*n)),
        DayRule::MonthDay(n) => n.to_string(),
        DayRule::LastDay => "last".to_owned(),
    }
}

/// A recovery plan's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlanColumns {
    pub(super) plan_type: String,
    pub(super) scope: String,
    pub(super) rto: Option<i32>,
    pub(super) rpo: Option<i32>,
    pub(super) steps: Value,
    pub(super) automated: Value,
    pub(super) manual: Value,
    pub(super) requires: Option<Vec<String>>,
    pub(super) minimum_age: Option<i32>,
    pub(super) test_days: Option<i32>,
    pub(super) status: String,
    pub(super) approved_at: Option<Instant>,
    pub(super) databases: Vec<String>,
    pub(super) severity: Option<String>,
}

impl PlanColumns {
    pub(super) fn of(spec: &RecoveryPlanSpec) -> Result<Self, CatalogError> {
        let units = |seconds: i64, unit: i64| i32::try_from((seconds + unit - 1) / unit).unwrap_or(i32::MAX);
        let numbered = |wanted: &dyn Fn(&PlanStep) -> bool| -> Result<Value, CatalogError> {
            let steps = spec.steps.iter().enumerate().filter(|(_, step)| wanted(step));
            let steps = steps.map(|(index, step)| {
                let description = match step {
                    PlanStep::Manual(words) => words.clone(),
                    PlanStep::Run { command, .. } => format!("run {}", command.join(" ")),
                    PlanStep::Restore(_) => "restore".to_owned(),
                    PlanStep::Check(checks) => format!("{} checks", checks.len()),
                };
                let step = serde_json::to_value(step).map_err(CatalogError::unfit)?;
                Ok(serde_json::json!({"step": index + 1, "description": description, "policy": step}))
            });
            steps.collect::<Result<Vec<_>, CatalogError>>().map(Value::Array)
        };
        let manual = |step: &PlanStep| matches!(step, PlanStep::Manual(_));
        let approved_at = spec.approval.at.as_deref().and_then(|text| {
            let midnight = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
            text.parse::<Instant>().ok().or_else(|| midnight().map(|zoned| zoned.timestamp()))
        });
        let drilled_every = spec.drill.as_ref().and_then(|drill| drill.every);
        Ok(Self {
            plan_type: word_of(&spec.plan_type)?.to_ascii_uppercase(),
            scope: word_of(&spec.scope)?.to_ascii_uppercase(),
            rto: spec.rto.map(|p| units(p.as_seconds(), 60)),
            rpo: spec.rpo.map(|p| units(p.as_seconds(), 60)),
            steps: numbered(&|_| true)?,
            automated: numbered(&|step| !manual(step))?,
            manual: numbered(&manual)?,
            requires: (!spec.requires.is_empty()).then(|| spec.requires.iter().map(|kind| kind.sql()).collect()),
            minimum_age: spec.minimum_backup_age.map(|p| units(p.as_seconds(), 3600)),
            test_days: drilled_every.map(|p| units(p.as_seconds(), 86_400).max(1)),
            status: word_of(&spec.approval.status)?.to_ascii_uppercase(),
            approved_at,
            databases: texts(&spec.databases),
            severity: spec.severity.as_ref().map(word_of).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::retention_days;
    use crate::domain::{Period, RetentionRule};

    #[test]
    fn the_reach_of_a_rule_is_its_farthest_tier_within_its_bound() {
        let tiers = RetentionRule { daily: Some(7), monthly: Some(12), ..RetentionRule::default() };
        assert_eq!(retention_days(&tiers), Some(372));
        assert_eq!(retention_days(&RetentionRule { max_age: Some(Period::days(90)), ..tiers.clone() }), Some(90));
        assert_eq!(retention_days(&RetentionRule { forever: true, ..tiers }), None);
        assert_eq!(retention_days(&RetentionRule { last: Some(3), ..RetentionRule::default() }), None);
    }
}
