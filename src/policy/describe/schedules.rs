//! What a schedule means. Pure.

use crate::domain::{Address, BackupType, Instant, Name, PlanStep, ScheduleSpec, Section, TenantFilter, Timing, Use};
use crate::policy::set::PolicySet;

use super::settings::Computed;
use super::{Description, retention, topic, words};

/// Describes a schedule.
pub(super) fn describe(set: &PolicySet, name: &Name, spec: &ScheduleSpec, now: Instant) -> Description {
    let summary = format!(
        "Backs up {} of {} with {}, {}, into the store {}.",
        words::kind(spec.backup),
        words::listed(&spec.databases),
        words::engine(spec.engine),
        words::when(&spec.when),
        spec.store
    );
    let by_calendar = !matches!(spec.when.timing, Timing::OnChange | Timing::OnRequest);
    let mut runs = Vec::new();
    match spec.when.timing {
        Timing::OnRequest => runs.push(format!("only when somebody asks for it: `bkup backup {name}`")),
        Timing::OnChange => runs.push("before a change of the configuration is applied".to_owned()),
        _ => {
            runs.push(words::when(&spec.when));
            runs.push(format!(
                "a missed slot still starts up to {} late; after that it is reported missed",
                spec.start_within
            ));
            runs.extend(words::largest_gap(&spec.when, now));
        }
    }
    let mut computed = vec![Computed::plain("tenants", "all")];
    computed.retain(|_| spec.backup == BackupType::TenantData);
    if by_calendar {
        let because = Some("the smaller of 1h and half the gap between two slots");
        computed.push(Computed { key: "start_within", value: spec.start_within.to_string(), because });
    }
    Description {
        summary,
        computed,
        topics: vec![
            topic("When it runs", runs),
            topic("What it covers", covers(set, spec)),
            topic("How long its backups are kept", kept(set, spec, now)),
        ],
        slots: words::next_slots(&spec.when, now),
        used_by: users(set, name),
    }
}

fn covers(set: &PolicySet, spec: &ScheduleSpec) -> Vec<String> {
    let mut lines = Vec::new();
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
            let with = if has_tenants && spec.tables.is_empty() { ", with all of its tenants" } else { "" };
            lines.push(format!("database.{database}{with}"));
        }
    }
    if !spec.tables.is_empty() {
        lines.push(format!("only the tables that match {}", words::joined(&spec.tables, "or")));
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

/// Returns the plans that restore from the schedule.
fn users(set: &PolicySet, name: &Name) -> Vec<Use> {
    let mut users = Vec::new();
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
