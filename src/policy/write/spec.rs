//! Things of the domain as lines of a policy, defaults left out. Pure. What the language has no words for is left to the
//! caller: each function returns what it could not say.

use crate::domain::{
    Approval, BackupType, Check, ClassSpec, Compression, DatabaseSpec, DayRule, DrillInto, DrillSpec, DrillTarget,
    Engine, EnvText, Expectation, Guards, Method, Move, Objectives, Pick, PlanStep, RecoveryPlanSpec, RestoreFrom,
    RestoreInto, RestoreStep, RetentionRule, ScheduleSpec, StoreSpec, TenantFilter, TenantSelector, Timing, When,
    ZoneName,
};
use crate::schedule::Calendar;

use super::aside::{encryption, promises};
use super::{Line, Value, variable};

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// Returns a text that may come from the environment. A literal with a password never gets here: records mask it.
pub(super) fn env_text(text: &EnvText) -> Value {
    match text {
        EnvText::Variable(name) => variable(name),
        EnvText::Literal(_) => Value::text(&text.shown()),
    }
}

/// Returns a store's lines.
pub(in crate::policy) fn store_lines(spec: &StoreSpec) -> Vec<Line> {
    let mut lines = vec![Line::new("url", Value::text(&spec.url.to_string()))];
    if let Some(region) = &spec.region {
        lines.push(Line::new("region", Value::text(region)));
    }
    if let Some(endpoint) = &spec.endpoint {
        lines.push(Line::new("endpoint", env_text(endpoint)));
    }
    if spec.path_style != spec.endpoint.is_some() {
        lines.push(Line::new("path_style", Value::word(spec.path_style)));
    }
    if let Some(class) = &spec.storage_class {
        lines.push(Line::new("storage_class", Value::text(class)));
    }
    let encryption = encryption(spec);
    if !encryption.is_empty() {
        lines.push(Line::new("encryption", Value::Block(encryption)));
    }
    lines.extend(promises(spec));
    lines
}

fn objectives(of: &Objectives) -> Vec<(&'static str, Value)> {
    let mut entries = Vec::new();
    if let Some(rpo) = of.rpo {
        entries.push(("rpo", Value::period(rpo)));
    }
    if let Some(rto) = of.rto {
        entries.push(("rto", Value::period(rto)));
    }
    if of.method != Method::default() {
        entries.push(("method", Value::word(word(&of.method))));
    }
    entries
}

/// Returns a database's lines.
pub(in crate::policy) fn database_lines(spec: &DatabaseSpec) -> Vec<Line> {
    let mut lines = vec![Line::new("url", env_text(&spec.url))];
    if let Some(of) = spec.objectives.as_ref().map(objectives).filter(|of| !of.is_empty()) {
        lines.push(Line::new("objectives", Value::Inline(of)));
    }
    match &spec.tenants {
        Some(TenantSelector::Schemas(glob)) => {
            lines.push(Line::new("tenants", Value::Inline(vec![("schemas", Value::quoted(glob))])));
        }
        Some(TenantSelector::Query(query)) => {
            lines.push(Line::new("tenants", Value::Inline(vec![("query", Value::quoted(query))])));
        }
        None => {}
    }
    if let Some(wal) = &spec.wal {
        let entries = vec![
            ("store", Value::text(wal.store.as_str())),
            ("archive_timeout", Value::word(wal.archive_timeout)),
            ("max_lag", Value::word(wal.max_lag)),
            ("window", Value::word(wal.window)),
        ];
        lines.push(Line::new("wal", Value::Inline(entries)));
    }
    if !spec.unmanaged.is_empty() {
        lines.push(Line::new("unmanaged", Value::globs(&spec.unmanaged)));
    }
    if spec.manage_settings {
        lines.push(Line::new("manage_settings", Value::word(true)));
    }
    lines
}

/// Returns a class's lines.
pub(in crate::policy) fn class_lines(spec: &ClassSpec) -> Vec<Line> {
    let mut lines =
        vec![Line::new("tenants", Value::globs(&spec.tenants)), Line::new("priority", Value::word(spec.priority))];
    lines.extend(objectives(&spec.objectives).into_iter().map(|(key, value)| Line::new(key, value)));
    lines
}

/// Returns a retention rule's lines.
pub(in crate::policy) fn retention_lines(rule: &RetentionRule) -> Vec<Line> {
    let counts = [
        ("last", rule.last),
        ("hourly", rule.hourly),
        ("daily", rule.daily),
        ("weekly", rule.weekly),
        ("monthly", rule.monthly),
        ("quarterly", rule.quarterly),
        ("yearly", rule.yearly),
    ];
    let mut lines: Vec<Line> =
        counts.into_iter().filter_map(|(key, count)| count.map(|count| Line::new(key, Value::word(count)))).collect();
    if let Some(within) = rule.within {
        lines.push(Line::new("within", Value::word(within)));
    }
    if let Some(age) = rule.max_age {
        lines.push(Line::new("max_age", Value::word(age)));
    }
    if rule.forever {
        lines.push(Line::new("forever", Value::word(true)));
    }
    if rule.pick != Pick::default() {
        lines.push(Line::new("pick", Value::word(word(&rule.pick))));
    }
    if rule.timezone != ZoneName::default() {
        lines.push(Line::new("timezone", Value::text(rule.timezone.as_str())));
    }
    if !rule.moves.is_empty() {
        let one = |step: &Move| Value::Inline(vec![("after", Value::word(step.after)), ("to", Value::text(&step.to))]);
        lines.push(Line::new("move", Value::List(rule.moves.iter().map(one).collect())));
    }
    lines
}

/// Returns `when` as it is written.
pub(in crate::policy) fn when_value(when: &When) -> Value {
    let mut entries = match &when.timing {
        Timing::Calendar { frequency, time, days } => {
            let mut entries = vec![("frequency", Value::word(word(frequency)))];
            if !days.is_empty() {
                entries.push(("days", Value::List(days.iter().map(day).collect())));
            }
            entries.push(("time", Value::Quoted(time.to_string())));
            entries
        }
        Timing::Cron { expression } => vec![("cron", Value::quoted(expression))],
        Timing::Every { period } => vec![("every", Value::word(period))],
        Timing::OnChange => vec![("on", Value::word("change"))],
        Timing::OnRequest => vec![("on", Value::word("request"))],
    };
    if when.timezone != ZoneName::default() {
        entries.push(("timezone", Value::text(when.timezone.as_str())));
    }
    Value::Inline(entries)
}

fn day(day: &DayRule) -> Value {
    let weekday = |n: i8| WEEKDAYS[usize::from(n.unsigned_abs().clamp(1, 7)) - 1];
    match day {
        DayRule::Weekday(n) => Value::word(weekday(*n)),
        DayRule::NthWeekday { weekday: n, nth } => Value::quoted(&format!("{}#{nth}", weekday(*n))),
        DayRule::MonthDay(n) => Value::word(n),
        DayRule::LastDay => Value::word("last"),
    }
}

/// Returns a schedule's lines. The retention rule is written out where it has no name.
pub(in crate::policy) fn schedule_lines(spec: &ScheduleSpec) -> Vec<Line> {
    let mut lines = Vec::new();
    if !spec.databases.is_empty() {
        lines.push(Line::new("databases", Value::words(&spec.databases)));
    }
    lines.push(Line::new("backup", Value::word(word(&spec.backup))));
    let usual = if spec.backup == BackupType::FullSystem { Engine::Physical } else { Engine::Logical };
    if spec.engine != usual {
        lines.push(Line::new("engine", Value::word(word(&spec.engine))));
    }
    match &spec.tenants {
        TenantFilter::All => {}
        TenantFilter::Classes(names) => {
            lines.push(Line::new("tenants", Value::Inline(vec![("class", Value::words(names))])));
        }
        TenantFilter::Slugs(globs) => lines.push(Line::new("tenants", Value::globs(globs))),
    }
    if !spec.tables.is_empty() {
        lines.push(Line::new("tables", Value::globs(&spec.tables)));
    }
    if spec.passwords {
        lines.push(Line::new("passwords", Value::word(true)));
    }
    for (key, globs) in [("paths", &spec.paths), ("exclude", &spec.exclude)] {
        if !globs.is_empty() {
            lines.push(Line::new(key, Value::globs(globs)));
        }
    }
    if let Some(base) = &spec.base {
        lines.push(Line::new("base", Value::text(base.as_str())));
    }
    if let Some(most) = spec.max_chain.filter(|most| *most != ScheduleSpec::MAX_CHAIN) {
        lines.push(Line::new("max_chain", Value::word(most)));
    }
    lines.push(Line::new("when", when_value(&spec.when)));
    let usual = Calendar::new(&spec.when).ok().map(|calendar| calendar.default_start_within());
    if usual != Some(spec.start_within) {
        lines.push(Line::new("start_within", Value::word(spec.start_within)));
    }
    let retention = match &spec.retention_name {
        Some(name) => Value::text(name.as_str()),
        None => Value::Block(retention_lines(&spec.retention)),
    };
    lines.push(Line::new("retention", retention));
    lines.push(Line::new("store", Value::text(spec.store.as_str())));
    if spec.compression != Compression::default() {
        lines.push(Line::new("compression", Value::word(spec.compression)));
    }
    if spec.max_parallel_jobs > 1 {
        lines.push(Line::new("max_parallel_jobs", Value::word(spec.max_parallel_jobs)));
    }
    if let Some(notify) = &spec.notify {
        let mut entries = Vec::new();
        if !notify.success.is_empty() {
            entries.push(("success", Value::words(&notify.success)));
        }
        if let Some(failure) = &notify.failure {
            entries.push(("failure", Value::words(failure)));
        }
        lines.push(Line::new("notify", Value::Inline(entries)));
    }
    lines
}

/// Returns the guards.
pub(in crate::policy) fn guards_lines(guards: &Guards) -> Vec<Line> {
    let mut lines = vec![
        Line::new("max_delete", Value::word(guards.max_delete)),
        Line::new("min_keep", Value::word(guards.min_keep)),
        Line::new("grace", Value::word(guards.grace)),
    ];
    if let Some(reason) = &guards.reason {
        lines.push(Line::new("reason", Value::text(reason)));
    }
    if let Some(until) = guards.until {
        lines.push(Line::new("until", Value::Quoted(until.to_string())));
    }
    lines
}

/// Returns a recovery plan's lines.
pub(in crate::policy) fn plan_lines(spec: &RecoveryPlanSpec) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(text) = spec.description.as_ref().filter(|text| !text.trim().is_empty()) {
        lines.push(Line::new("description", Value::text(text)));
    }
    lines.push(Line::new("type", Value::word(word(&spec.plan_type))));
    lines.push(Line::new("scope", Value::word(word(&spec.scope))));
    if let Some(severity) = &spec.severity {
        lines.push(Line::new("severity", Value::word(word(severity))));
    }
    if !spec.databases.is_empty() {
        lines.push(Line::new("databases", Value::words(&spec.databases)));
    }
    for (key, period) in [("rpo", spec.rpo), ("rto", spec.rto)] {
        if let Some(period) = period {
            lines.push(Line::new(key, Value::period(period)));
        }
    }
    if !spec.requires.is_empty() {
        lines.push(Line::new("requires", Value::words(spec.requires.iter().map(word))));
    }
    if let Some(age) = spec.minimum_backup_age {
        lines.push(Line::new("minimum_backup_age", Value::word(age)));
    }
    lines.push(Line::new("steps", Value::Items(spec.steps.iter().map(step).collect())));
    lines.push(Line::new("approval", Value::Inline(approval(&spec.approval))));
    let mut contacts = Vec::new();
    if let Some(primary) = spec.primary_contact.as_ref().filter(|text| !text.trim().is_empty()) {
        contacts.push(("primary", Value::text(primary)));
    }
    if !spec.escalation_contacts.is_empty() {
        let all = spec.escalation_contacts.iter().filter(|text| !text.trim().is_empty());
        contacts.push(("escalation", Value::List(all.map(|text| Value::text(text)).collect())));
    }
    if !contacts.is_empty() {
        lines.push(Line::new("contacts", Value::Inline(contacts)));
    }
    if let Some(of) = &spec.drill {
        lines.push(Line::new("drill", Value::Block(drill(of))));
    }
    lines
}

fn approval(of: &Approval) -> Vec<(&'static str, Value)> {
    let mut entries = vec![("status", Value::word(word(&of.status)))];
    if let Some(by) = &of.by {
        entries.push(("by", Value::text(by)));
    }
    if let Some(at) = &of.at {
        entries.push(("at", Value::quoted(at)));
    }
    entries
}

fn step(step: &PlanStep) -> Vec<Line> {
    match step {
        PlanStep::Manual(words) => vec![Line::new("manual", Value::text(words))],
        PlanStep::Run { command, timeout } => {
            let words = command.iter().map(|text| Value::quoted(text)).collect();
            let mut lines = vec![Line::new("run", Value::List(words))];
            if let Some(timeout) = timeout {
                lines.push(Line::new("timeout", Value::word(timeout)));
            }
            lines
        }
        PlanStep::Restore(restore) => vec![Line::new("restore", Value::Inline(restoring(restore)))],
        PlanStep::Check(all) => vec![Line::new("check", checks(all))],
    }
}

fn restoring(step: &RestoreStep) -> Vec<(&'static str, Value)> {
    let mut entries = Vec::new();
    if let Some(kind) = step.backup {
        entries.push(("backup", Value::word(word(&kind))));
    }
    if let Some(schedule) = &step.schedule {
        entries.push(("schedule", Value::text(schedule.as_str())));
    }
    if let Some(store) = &step.store {
        entries.push(("store", Value::text(store.as_str())));
    }
    match &step.from {
        RestoreFrom::Latest => entries.push(("from", Value::word("latest"))),
        RestoreFrom::Ask => entries.push(("from", Value::word("ask"))),
        RestoreFrom::At(instant) => {
            entries.push(("from", Value::Inline(vec![("at", Value::Quoted(instant.to_string()))])));
        }
    }
    if !step.tables.is_empty() {
        entries.push(("tables", Value::globs(&step.tables)));
    }
    if !step.tenants.is_empty() {
        entries.push(("tenants", Value::globs(&step.tenants)));
    } else if step.backup == Some(BackupType::TenantData) {
        entries.push(("tenants", Value::word("ask")));
    }
    let into = match &step.into {
        RestoreInto::Scratch => Value::word("scratch"),
        RestoreInto::Live => Value::word("live"),
        RestoreInto::New(name) => Value::Inline(vec![("new", Value::text(name))]),
        RestoreInto::Folder(path) => Value::Inline(vec![("folder", Value::text(path))]),
    };
    entries.push(("into", into));
    entries
}

fn checks(all: &[Check]) -> Value {
    Value::List(
        all.iter()
            .map(|check| match check {
                Check::TablesEqual => Value::word("tables"),
                Check::Amcheck => Value::word("amcheck"),
                Check::Sql { query, expect: Expectation::True } => Value::quoted(query),
                Check::Sql { query, expect: Expectation::Compare { operator, value } } => Value::Inline(vec![
                    ("sql", Value::quoted(query)),
                    ("expect", Value::quoted(&format!("{operator} {value}"))),
                ]),
            })
            .collect(),
    )
}

fn drill(of: &DrillSpec) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(every) = of.every {
        lines.push(Line::new("every", Value::word(every)));
    }
    if let Some(rule) = &of.when {
        lines.push(Line::new("when", when_value(rule)));
    }
    match of.target {
        DrillTarget::Latest => {}
        DrillTarget::RandomInstant => lines.push(Line::new("target", Value::word("random_instant"))),
        DrillTarget::Ago(period) => {
            lines.push(Line::new("target", Value::Inline(vec![("ago", Value::word(period))])));
        }
    }
    if let DrillInto::Server(url) = &of.into {
        lines.push(Line::new("into", Value::Inline(vec![("server", env_text(url))])));
    }
    lines.push(Line::new("sample_tenants", Value::word(of.sample_tenants)));
    lines.push(Line::new("checks", checks(&of.checks)));
    lines
}
