//! What a recovery plan means. Pure.

use crate::domain::{
    ApprovalStatus, Check, DrillInto, DrillSpec, DrillTarget, Expectation, Instant, PlanStep, PlanType,
    RecoveryPlanSpec, RestoreFrom, RestoreInto, RestoreStep,
};
use crate::policy::set::PolicySet;

use super::settings::Computed;
use super::{Description, topic, words};

/// Describes a plan.
pub(super) fn describe(_set: &PolicySet, spec: &RecoveryPlanSpec, now: Instant) -> Description {
    let kind = match spec.plan_type {
        PlanType::FullRecovery => "A plan for full recovery",
        PlanType::PartialRecovery => "A plan for partial recovery",
        PlanType::TenantRecovery => "A plan for the recovery of tenants",
    };
    let description = spec.description.as_ref().map(|text| format!(" {}.", text.trim_end_matches('.')));
    let of = if spec.databases.is_empty() { "files".to_owned() } else { words::listed(&spec.databases) };
    let summary = format!("{kind} of {of}.{}", description.unwrap_or_default());
    let steps = spec.steps.iter().enumerate().map(|(index, step)| format!("{}. {}", index + 1, step_words(step)));
    let mut computed = vec![Computed::plain("approval.status", "draft")];
    if spec.approval.by.is_none() && spec.approval.at.is_none() {
        computed.push(Computed::plain("approval", "{ status: draft }"));
    }
    if spec.drill.is_some() {
        computed.push(Computed::plain("drill.checks", "[tables]"));
    }
    Description {
        summary,
        computed,
        topics: vec![
            topic("What it asks for", asks(spec)),
            topic("What is done", steps.collect()),
            topic("Who", people(spec)),
            topic("How it is proven", proof(spec)),
        ],
        slots: spec
            .drill
            .as_ref()
            .and_then(|drill| drill.when.as_ref())
            .map(|when| words::next_slots(when, now))
            .unwrap_or_default(),
        ..Description::default()
    }
}

fn asks(spec: &RecoveryPlanSpec) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(spec.rpo.map(|rpo| format!("RPO: at most the last {rpo} of changes may be lost")));
    lines.extend(spec.rto.map(|rto| format!("RTO: the whole of it takes at most {rto}")));
    if !spec.requires.is_empty() {
        let kinds: Vec<&str> = spec.requires.iter().map(|kind| kind.word()).collect();
        lines.push(format!("backups of the kind {} of its databases exist", words::listed(&kinds)));
    }
    lines.extend(spec.minimum_backup_age.map(|age| format!("a restore can go back {age}")));
    lines
}

fn step_words(step: &PlanStep) -> String {
    match step {
        PlanStep::Manual(text) => format!("by hand: {text}"),
        PlanStep::Run { command, timeout } => {
            let limit = timeout.map(|limit| format!(", for at most {limit}")).unwrap_or_default();
            format!("runs {}{limit}", command.join(" "))
        }
        PlanStep::Restore(restore) => restore_words(restore),
        PlanStep::Check(checks) => {
            let checks: Vec<String> = checks.iter().map(check_words).collect();
            format!("checks that {}", words::listed(&checks))
        }
    }
}

fn restore_words(restore: &RestoreStep) -> String {
    let what = match (restore.backup, &restore.schedule) {
        (Some(kind), _) => format!("a {} backup", kind.word()),
        (None, Some(_)) => "a backup".to_owned(),
        (None, None) => "the backup that was proven before".to_owned(),
    };
    let schedule = restore.schedule.as_ref().map(|name| format!(" of schedule.{name}")).unwrap_or_default();
    let store = restore.store.as_ref().map(|name| format!(" from store.{name}")).unwrap_or_default();
    let which = match restore.from {
        RestoreFrom::Latest if restore.backup.is_some() || restore.schedule.is_some() => ", the newest one".to_owned(),
        RestoreFrom::Latest => String::new(),
        RestoreFrom::Ask => ", asked for when the plan runs".to_owned(),
        RestoreFrom::At(at) => format!(", the newest not after {}", at.strftime("%Y-%m-%d %H:%M UTC")),
    };
    let tenants = if restore.tenants.is_empty() {
        String::new()
    } else {
        format!(", the tenants that match {}", words::joined(&restore.tenants, "or"))
    };
    let tables = if restore.tables.is_empty() {
        String::new()
    } else {
        format!(", the tables that match {}", words::joined(&restore.tables, "or"))
    };
    let into = match &restore.into {
        RestoreInto::Scratch => "into a throw-away server".to_owned(),
        RestoreInto::New(name) => format!("into the new database {name}"),
        RestoreInto::Live => "over live data".to_owned(),
        RestoreInto::Folder(folder) => format!("into the folder {folder}"),
    };
    format!("restores {what}{schedule}{store}{which}{tenants}{tables}, {into}")
}

fn check_words(check: &Check) -> String {
    match check {
        Check::TablesEqual => "the tables hold what the backup recorded".to_owned(),
        Check::Sql { query, expect: Expectation::True } => format!("`{query}` is true"),
        Check::Sql { query, expect: Expectation::Compare { operator, value } } => {
            format!("`{query}` is {operator} {value}")
        }
        Check::Amcheck => "pg_amcheck finds nothing".to_owned(),
    }
}

fn people(spec: &RecoveryPlanSpec) -> Vec<String> {
    let approval = &spec.approval;
    let by = approval.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let at = approval.at.as_ref().map(|at| format!(" on {at}")).unwrap_or_default();
    let mut lines = vec![match approval.status {
        ApprovalStatus::Draft => "a draft: it is not drilled, and recovered only with --force".to_owned(),
        ApprovalStatus::PendingApproval => {
            "waits for approval: it is drilled, and recovered only with --force".to_owned()
        }
        ApprovalStatus::Approved => format!("approved{by}{at}"),
        ApprovalStatus::Archived => "archived: it is neither drilled nor recovered".to_owned(),
    }];
    match &spec.primary_contact {
        Some(contact) => lines.push(format!("call first: {contact}")),
        None => lines.push("nobody is named to be called".to_owned()),
    }
    if !spec.escalation_contacts.is_empty() {
        lines.push(format!("then: {}", spec.escalation_contacts.join(", ")));
    }
    lines
}

fn proof(spec: &RecoveryPlanSpec) -> Vec<String> {
    let Some(drill) = &spec.drill else { return vec!["it has no drill, so nothing proves it".to_owned()] };
    let mut lines = vec![due(drill)];
    if matches!(spec.approval.status, ApprovalStatus::Draft | ApprovalStatus::Archived) {
        lines.push("not before it waits for approval: drafts and archived plans are not drilled".to_owned());
    }
    let which = match drill.target {
        DrillTarget::Latest => "the newest backups".to_owned(),
        DrillTarget::RandomInstant => "backups of an instant drawn by lot".to_owned(),
        DrillTarget::Ago(age) => format!("the newest backups that are at least {age} old"),
    };
    let into = match &drill.into {
        DrillInto::Scratch => "a throw-away server".to_owned(),
        DrillInto::Server(url) => format!("the server at {}", url.shown()),
    };
    lines.push(format!(
        "restores {which}, of {} where it restores tenants, into {into}",
        words::counted(usize::try_from(drill.sample_tenants).unwrap_or(usize::MAX), "tenant")
    ));
    let checks: Vec<String> = drill.checks.iter().map(check_words).collect();
    lines.push(format!("checks that {}", words::listed(&checks)));
    lines
}

fn due(drill: &DrillSpec) -> String {
    match (&drill.when, drill.every) {
        (Some(when), _) => format!("due {}", words::when(when)),
        (None, Some(every)) => {
            format!(
                "due {every} after its last attempt, and at once where there was none; `bkup status` knows the last"
            )
        }
        (None, None) => "it does not say when".to_owned(),
    }
}
