//! Schedules that people put into the catalog by hand, as policies. Pure.

use crate::domain::{BackupType, CivilTime, DayRule, Frequency, HandSchedule, Instant, Period, Timing, When, ZoneName};
use crate::policy::globs;
use crate::policy::write::{Line, Part, Value, label, when_value};
use crate::schedule::Calendar;

use super::Circumstances;
use super::catalog::{Writer, longer, worst};
use super::pause;

/// Writes one.
pub(super) fn schedule(writer: &mut Writer, row: &HandSchedule, told: &Circumstances) {
    let origin = format!("row `{}` of bkup.schedules", label(&row.name.replace(' ', "-")));
    let mut comments = vec![format!("from {origin}, put in by hand")];
    let when = match rule(row, told, &mut comments) {
        Ok(when) => when,
        Err(why) => return writer.left.push(format!("{origin}: {why}")),
    };
    let kind = match row.backup_type.as_str() {
        "TENANT_DATA" => BackupType::TenantData,
        "DATABASE" => BackupType::Database,
        "FULL_SYSTEM" => BackupType::FullSystem,
        "CONFIGURATION" => BackupType::Configuration,
        other => {
            let why = format!("{} does not say of what: write it by hand, with its paths", label(other));
            return writer.left.push(format!("{origin}: {why}"));
        }
    };
    let wanted: Vec<Option<&str>> = if row.databases.is_empty() {
        vec![None]
    } else {
        row.databases.iter().map(|name| Some(name.as_str())).collect()
    };
    let mut databases = Vec::new();
    for name in wanted.into_iter().take(100) {
        let name = writer.database_for(name);
        if !databases.contains(&name) {
            databases.push(name);
        }
    }
    let has_tenants = databases.iter().all(|name| writer.known.databases.get(name) == Some(&true));
    let kind = if kind == BackupType::TenantData && !has_tenants {
        comments
            .push("it says TENANT_DATA, and the database has no `tenants`: this takes the database; decide".to_owned());
        BackupType::Database
    } else {
        kind
    };
    let mut lines =
        vec![Line::new("databases", Value::words(&databases)), Line::new("backup", Value::word(kind.word()))];
    if kind == BackupType::TenantData && row.target_scope == "SPECIFIC_TENANTS" {
        let good = |slug: &&String| !slug.trim().is_empty() && !slug.contains('$') && globs::rejection(slug).is_none();
        let slugs: Vec<&String> = row.slugs.iter().filter(good).collect();
        if slugs.len() < row.tenant_ids.max(row.slugs.len()) || slugs.is_empty() {
            let named = row.tenant_ids.max(row.slugs.len());
            comments.push(match (named, slugs.len()) {
                (0, _) => "it is for specific tenants and names none, so this takes all: decide".to_owned(),
                (_, 0) => {
                    format!("it names {named} tenants by ids that the catalog does not know, so this takes all: decide")
                }
                (_, known) => format!("it names {named} tenants, and the catalog knows the slugs of {known}: decide"),
            });
        }
        if !slugs.is_empty() {
            lines.push(Line::new("tenants", Value::globs(slugs)));
        }
    }
    lines.push(Line::new("when", when_value(&when)));
    lines.push(retention(row, &when, told.now));
    lines.push(Line::new("store", Value::text(writer.store_for(row.store.as_deref()).as_str())));
    if row.format == "UNCOMPRESSED" {
        lines.push(Line::new("compression", Value::word("none")));
    }
    if (2..=64).contains(&row.parallel) {
        lines.push(Line::new("max_parallel_jobs", Value::word(row.parallel)));
    }
    if !row.enabled {
        lines.push(pause(told.now, "switched off in the catalog"));
    }
    if row.emails > 0 {
        comments.push(format!(
            "it tells {} by mail of failures: a channel and alerts do that",
            if row.emails == 1 { "1 address".to_owned() } else { format!("{} addresses", row.emails) }
        ));
    }
    if let Ok(calendar) = Calendar::new(&when) {
        let bound = worst(&calendar, calendar.default_start_within(), told.now);
        let bound = bound.filter(|_| row.target_scope != "SPECIFIC_TENANTS");
        for database in &databases {
            writer.known.note(database, kind, bound);
        }
    }
    let name = writer.draft.add(Part::Schedules, &row.name, comments, lines);
    writer.taken.push(format!("{origin}: schedule.{name}"));
}

fn retention(row: &HandSchedule, when: &When, now: Instant) -> Line {
    let asked = row.retention_days.filter(|days| (1..=36_500).contains(days));
    if let Some(days) = asked
        && let Some(kept) = longer(Period::days(i64::from(days)), when, now)
    {
        let line = Line::new("retention", Value::Inline(vec![("within", Value::word(kept))]));
        return line.above(format!("the row says {days} days, shorter than the time between two of these: decide"));
    }
    match asked {
        Some(days) => Line::new("retention", Value::Inline(vec![("within", Value::word(format!("{days}d")))])),
        None => Line::new("retention", Value::Inline(vec![("daily", Value::word(7)), ("weekly", Value::word(4))]))
            .note("the row does not say how long: decide"),
    }
}

fn rule(row: &HandSchedule, told: &Circumstances, comments: &mut Vec<String>) -> Result<When, String> {
    let timezone = ZoneName::try_from(row.timezone.clone()).unwrap_or_else(|_| {
        comments.push(format!("its zone `{}` is none that bkup knows: decide", label(&row.timezone)));
        told.timezone.clone().unwrap_or_default()
    });
    let when = When { timing: timing(row)?, timezone };
    Calendar::new(&when).map_err(|error| format!("its rule is none that bkup runs by: {error}"))?;
    Ok(when)
}

fn timing(row: &HandSchedule) -> Result<Timing, String> {
    let frequency = match row.frequency.as_str() {
        "HOURLY" => Frequency::Hourly,
        "DAILY" => Frequency::Daily,
        "WEEKLY" => Frequency::Weekly,
        "MONTHLY" => Frequency::Monthly,
        "QUARTERLY" => Frequency::Quarterly,
        "YEARLY" => Frequency::Yearly,
        "ON_REQUEST" => return Ok(Timing::OnRequest),
        "CRON" => {
            let rule = row.rule.as_deref().unwrap_or_default();
            let expression =
                rule.strip_prefix("cron ").unwrap_or(rule).split_whitespace().collect::<Vec<_>>().join(" ");
            let known = |b: u8| b.is_ascii_alphanumeric() || b" */,-#@".contains(&b);
            if expression.is_empty() || expression.len() > 200 || !expression.bytes().all(known) {
                return Err("it says CRON, and its rule is no cron expression".to_owned());
            }
            return Ok(Timing::Cron { expression });
        }
        "EVERY" => {
            let rule = row.rule.as_deref().unwrap_or_default();
            let period = rule.strip_prefix("every ").unwrap_or(rule).parse::<Period>();
            let period = period.map_err(|_| "it says EVERY, and its rule is no duration".to_owned())?;
            return Ok(Timing::Every { period });
        }
        other => return Err(format!("{} is no calendar; write it by hand", label(other))),
    };
    let time = row.time.clone().map(CivilTime::try_from).transpose().unwrap_or_default().unwrap_or_default();
    let days = row.days.iter().map(|day| i8::try_from(*day).map_err(|_| "a day of it is no day".to_owned()));
    let days = days.collect::<Result<Vec<i8>, String>>()?;
    let rules = days
        .into_iter()
        .filter(|_| !matches!(frequency, Frequency::Daily | Frequency::Hourly))
        .map(|day| match frequency {
            Frequency::Weekly if (1..=7).contains(&day) => Ok(DayRule::Weekday(day)),
            // Some count a week from Sunday as 0.
            Frequency::Weekly if day == 0 => Ok(DayRule::Weekday(7)),
            Frequency::Weekly => Err("a day of it is none of a week".to_owned()),
            _ if (1..=31).contains(&day) => Ok(DayRule::MonthDay(day)),
            _ => Err("a day of it is none of a month".to_owned()),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut rules: Vec<DayRule> = rules;
    rules.sort_unstable();
    rules.dedup();
    Ok(Timing::Calendar { frequency, time, days: rules })
}
