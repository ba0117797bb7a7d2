//! What a schedule means. Pure.

use crate::domain::{
    Address, BackupType, Engine, Instant, Name, PlanStep, ScheduleSpec, Section, TenantFilter, Timing, Use,
};
use crate::policy::set::PolicySet;

use super::settings::Computed;
use super::{Description, retention, topic, words};

/// Describes a schedule.
pub(super) fn describe(set: &PolicySet, name: &Name, spec: &ScheduleSpec, now: Instant) -> Description {
    let summary = format!("Backs up {}, {}, into the store {}.", what(spec), words::when(&spec.when), spec.store);
    let by_calendar = !matches!(spec.when.timing, Timing::OnChange | Timing::OnRequest);
    let mut runs = Vec::new();
    match spec.when.timing {
        Timing::OnRequest => runs.push(format!("only when somebody asks for it: `bkup backup {name}`")),
        Timing::OnChange => {
            runs.push("when the configuration differs from that of the newest backup, in the next apply".to_owned());
            runs.push("what counts: roles, settings, extensions, access rules, and these policies".to_owned());
        }
        _ => {
            runs.push(words::when(&spec.when));
            runs.push(format!(
                "a missed slot still starts up to {} late; after that it is reported missed",
                spec.start_within
            ));
            runs.extend(words::largest_gap(&spec.when, spec.start_within, now));
        }
    }
    let mut computed = vec![Computed::plain("tenants", "all")];
    computed.retain(|_| spec.backup == BackupType::TenantData);
    if by_calendar {
        let because = Some("the smaller of 1h and half the gap between two slots");
        computed.push(Computed { key: "start_within", value: spec.start_within.to_string(), because });
    }
    if matches!(spec.backup, BackupType::FullSystem | BackupType::Database | BackupType::TenantData) {
        let because = Some("physical for full_system, else logical");
        let engine = if spec.engine == Engine::Physical { "physical" } else { "logical" };
        computed.push(Computed { key: "engine", value: engine.to_owned(), because });
    }
    let missing = spec.not_served().map(str::to_owned);
    Description {
        summary,
        computed,
        topics: vec![
            topic("Not done yet", missing.into_iter().collect()),
            topic("When it runs", runs),
            topic("What it covers", covers(set, spec)),
            topic("How long its backups are kept", kept(set, spec, now)),
            topic("Who hears of its runs", told(set, spec)),
        ],
        slots: words::next_slots(&spec.when, now),
        used_by: users(set, name),
    }
}

/// Says what is backed up, and how.
fn what(spec: &ScheduleSpec) -> String {
    let databases = words::listed(&spec.databases);
    let engine = words::engine(spec.engine);
    match spec.backup {
        BackupType::FullSystem => format!("the whole server of {databases} by {engine}"),
        BackupType::Database if spec.tables.is_empty() => format!("the whole of {databases} with {engine}"),
        BackupType::Database => format!("tables of {databases} with {engine}"),
        BackupType::TenantData => format!("the tenants of {databases}, each by itself, with {engine}"),
        BackupType::Files => "files".to_owned(),
        BackupType::Configuration => format!("roles, settings, extensions and policies of {databases}"),
    }
}

/// Says who is told of successes and failures.
fn told(set: &PolicySet, spec: &ScheduleSpec) -> Vec<String> {
    let channels = |names: &[Name]| match names {
        [] => "nobody".to_owned(),
        names => words::addresses("channel", &names.iter().collect::<Vec<_>>()),
    };
    let critical = set.alerts.as_ref().map(|thing| thing.spec.routes.critical.as_slice()).unwrap_or_default();
    let success = spec.notify.as_ref().map(|notify| notify.success.as_slice()).unwrap_or_default();
    let failure = spec.notify.as_ref().and_then(|notify| notify.failure.as_deref());
    if spec.notify.is_none() && critical.is_empty() {
        return Vec::new();
    }
    let because = if failure.is_none() { ", where critical alerts go" } else { "" };
    vec![
        format!("of failures: {}{because}", channels(failure.unwrap_or(critical))),
        format!("of successes: {}", channels(success)),
    ]
}

fn covers(set: &PolicySet, spec: &ScheduleSpec) -> Vec<String> {
    let mut lines = Vec::new();
    if !spec.paths.is_empty() {
        lines.push(format!("the files that match {}", words::joined(&spec.paths, "or")));
    }
    if !spec.exclude.is_empty() {
        lines.push(format!("but not those that match {}", words::joined(&spec.exclude, "or")));
    }
    if spec.backup == BackupType::TenantData {
        lines.push(format!("{}, a backup for each", words::tenants(&spec.tenants)));
        if let TenantFilter::Classes(classes) = &spec.tenants {
            for class in classes {
                if let Some(thing) = set.classes.get(class) {
                    lines.push(format!("class.{class}: slugs that match {}", words::joined(&thing.spec.tenants, "or")));
                }
            }
        }
    } else {
        for database in &spec.databases {
            let has_tenants = set.databases.get(database).is_some_and(|thing| thing.spec.tenants.is_some());
            let holds = matches!(spec.backup, BackupType::FullSystem | BackupType::Database) && spec.tables.is_empty();
            let with = if has_tenants && holds { ", with all of its tenants" } else { "" };
            lines.push(format!("database.{database}{with}"));
        }
    }
    if !spec.tables.is_empty() {
        lines.push(format!("only the tables that match {}", words::joined(&spec.tables, "or")));
    }
    if let Some(base) = &spec.base {
        let chain = spec.max_chain.map(|most| format!(", at most {most} on one base")).unwrap_or_default();
        lines.push(format!("what changed since the backup before, on the bases of schedule.{base}{chain}"));
    }
    lines
}

fn kept(set: &PolicySet, spec: &ScheduleSpec, now: Instant) -> Vec<String> {
    let rule = crate::retention::describe(&spec.retention);
    let mut lines = vec![match &spec.retention_name {
        Some(name) => format!("retention.{name}: {rule}"),
        None => format!("a rule of its own: {rule}"),
    }];
    lines.extend(retention::steady(set, spec, now));
    lines
}

/// Returns what builds on the schedule's backups, and the plans that restore them.
fn users(set: &PolicySet, name: &Name) -> Vec<Use> {
    let mut users = Vec::new();
    for (other, _) in set.schedules.iter().filter(|(_, thing)| thing.spec.base.as_ref() == Some(name)) {
        let address = Address::of(Section::Schedule, other.clone());
        users.push(Use { address, words: "builds on its backups".to_owned() });
    }
    for (plan, thing) in &set.recovery_plans {
        for (index, step) in thing.spec.steps.iter().enumerate() {
            if let PlanStep::Restore(restore) = step
                && restore.schedule.as_ref() == Some(name)
            {
                let address = Address::of(Section::RecoveryPlan, plan.clone());
                users.push(Use { address, words: format!("step {} restores from it", index + 1) });
            }
        }
    }
    users
}
