//! Recovery plans that people put into the catalog by hand, as policies. Pure.

use crate::domain::{BackupType, HandPlan, Name, Period};
use crate::policy::write::{Line, Part, Value, duration, label};

use super::catalog::Writer;

/// The most steps that a plan has.
const MOST_STEPS: usize = 100;

/// Writes one.
pub(super) fn plan(writer: &mut Writer, row: &HandPlan) {
    let origin = format!("row `{}` of bkup.recovery_plans", label(&row.name.replace(' ', "-")));
    let mut comments = vec![format!("from {origin}, put in by hand")];
    let mut databases: Vec<Name> = Vec::new();
    let wanted: Vec<Option<&str>> = if row.databases.is_empty() {
        vec![None]
    } else {
        row.databases.iter().map(|name| Some(name.as_str())).collect()
    };
    for name in wanted.into_iter().take(100) {
        let name = writer.database_for(name);
        if !databases.contains(&name) {
            databases.push(name);
        }
    }
    let tenants = row.plan_type == "TENANT_RECOVERY" || row.scope == "TENANT_DATA";
    let made = |kind: BackupType| databases.iter().all(|name| writer.known.made.contains_key(&(name.clone(), kind)));
    let order = if tenants {
        [BackupType::TenantData, BackupType::Database, BackupType::FullSystem]
    } else {
        [BackupType::Database, BackupType::FullSystem, BackupType::TenantData]
    };
    let restores = order.into_iter().find(|kind| made(*kind));
    let mut lines = Vec::new();
    if let Some(text) = row.description.as_ref().filter(|text| !text.trim().is_empty()) {
        lines.push(Line::new("description", Value::text(text.trim())));
    }
    let word = |text: &str, known: &[&str], other: &'static str| {
        let lower = text.to_ascii_lowercase();
        Value::word(known.iter().find(|word| **word == lower).copied().unwrap_or(other))
    };
    let types = ["full_recovery", "partial_recovery", "tenant_recovery"];
    lines.push(Line::new("type", word(&row.plan_type, &types, "full_recovery")));
    let scopes = ["all_systems", "specific_services", "tenant_data"];
    lines.push(Line::new("scope", word(&row.scope, &scopes, "all_systems")));
    if let Some(severity) = row.severity.as_deref().filter(|word| ["sev1", "sev2", "sev3", "sev4"].contains(word)) {
        lines.push(Line::new("severity", Value::word(severity)));
    }
    lines.push(Line::new("databases", Value::words(&databases)));
    if let Some(rpo) = row.rpo_minutes.filter(|minutes| *minutes > 0) {
        let rpo = Period::minutes(i64::from(rpo));
        lines.extend(promise(writer, &databases, tenants, rpo, &mut comments));
    }
    if let Some(rto) = row.rto_minutes.filter(|minutes| *minutes > 0) {
        lines.push(Line::new("rto", Value::word(Period::minutes(i64::from(rto)))));
    }
    let mut requires: Vec<&str> = Vec::new();
    for kind in &row.required {
        match BackupType::from_sql(kind) {
            Some(kind) if made(kind) && !requires.contains(&kind.word()) => requires.push(kind.word()),
            Some(kind) if made(kind) => {}
            _ => comments.push(format!("it requires {}, which no schedule makes: decide", label(kind))),
        }
    }
    if !requires.is_empty() {
        lines.push(Line::new("requires", Value::words(requires)));
    }
    if let Some(hours) = row.minimum_age_hours.filter(|hours| *hours > 0) {
        lines.push(Line::new("minimum_backup_age", Value::word(Period::hours(i64::from(hours)))));
    }
    lines.push(Line::new("steps", Value::Items(steps(row, restores, &mut comments))));
    lines.push(Line::new("approval", Value::Inline(approval(row, &mut comments))));
    lines.extend(contacts(row));
    match (row.test_days.filter(|days| (1..=3650).contains(days)), restores) {
        (Some(days), Some(_)) => {
            let every = Line::new("every", Value::word(Period::days(i64::from(days))));
            lines.push(Line::new("drill", Value::Block(vec![every, Line::new("checks", Value::words(["tables"]))])));
        }
        (Some(days), None) => {
            comments.push(format!("it is to be tested every {days} days, and there is no backup to drill: decide"));
        }
        (None, _) => {}
    }
    let name = writer.draft.add(Part::RecoveryPlans, &row.name, comments, lines);
    writer.taken.push(format!("{origin}: recovery-plan.{name}"));
}

/// Returns the line of an RPO that can hold, with the one that was asked for beside it.
fn promise(
    writer: &Writer,
    databases: &[Name],
    tenants: bool,
    asked: Period,
    comments: &mut Vec<String>,
) -> Option<Line> {
    let kinds = [BackupType::Database, BackupType::FullSystem, BackupType::TenantData];
    let kinds = if tenants { &kinds[..] } else { &kinds[..2] };
    let bound = |name: &Name| {
        kinds.iter().filter_map(|kind| writer.known.made.get(&(name.clone(), *kind)).copied().flatten()).min()
    };
    let bounds: Option<Vec<Period>> = databases.iter().map(bound).collect();
    match bounds.and_then(|bounds| bounds.into_iter().max()) {
        None => {
            comments
                .push(format!("it asks for an RPO of {asked}, and nothing makes its backups by a calendar: decide"));
            None
        }
        Some(bound) if asked < bound => Some(Line::new("rpo", Value::period(bound)).above(format!(
            "the row says {asked}, which its schedules cannot keep: {} is what they give; decide",
            duration(bound)
        ))),
        Some(_) => Some(Line::new("rpo", Value::period(asked))),
    }
}

fn steps(row: &HandPlan, restores: Option<BackupType>, comments: &mut Vec<String>) -> Vec<Vec<Line>> {
    let mut steps = Vec::new();
    let mut restored = false;
    for text in row.steps.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).take(MOST_STEPS) {
        steps.push(vec![Line::new("manual", Value::text(text))]);
        let lower = text.to_ascii_lowercase();
        if !restored && (lower.contains("restore") || lower.contains("recover")) {
            restored = true;
            steps.extend(proof(restores));
        }
    }
    if !restored {
        steps.extend(proof(restores));
    }
    if steps.is_empty() {
        steps.push(vec![Line::new("manual", Value::text("Decide what is done, in which order"))]);
    }
    if restores.is_some() {
        comments.push("the steps `restore` and `check` are added: they are what a drill can prove".to_owned());
    }
    steps
}

fn proof(kind: Option<BackupType>) -> Vec<Vec<Line>> {
    let Some(kind) = kind else { return Vec::new() };
    let mut entries = vec![("backup", Value::word(kind.word())), ("from", Value::word("latest"))];
    if kind == BackupType::TenantData {
        entries.push(("tenants", Value::word("ask")));
    }
    entries.push(("into", Value::word("scratch")));
    vec![vec![Line::new("restore", Value::Inline(entries))], vec![Line::new("check", Value::words(["tables"]))]]
}

fn approval(row: &HandPlan, comments: &mut Vec<String>) -> Vec<(&'static str, Value)> {
    let by = row.approved_by.as_ref().map(|by| by.trim()).filter(|by| !by.is_empty());
    match (row.status.as_str(), by) {
        ("APPROVED", Some(by)) => {
            let mut entries = vec![("status", Value::word("approved")), ("by", Value::text(by))];
            let date = |text: &&String| text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            if let Some(on) = row.approved_on.as_ref().filter(date) {
                entries.push(("at", Value::quoted(on)));
            }
            entries
        }
        ("APPROVED", None) => {
            comments.push("it was approved, and by nobody who is named: decide who approves it".to_owned());
            vec![("status", Value::word("pending_approval"))]
        }
        ("PENDING_APPROVAL", _) => vec![("status", Value::word("pending_approval"))],
        ("ARCHIVED", _) => vec![("status", Value::word("archived"))],
        _ => vec![("status", Value::word("draft"))],
    }
}

fn contacts(row: &HandPlan) -> Option<Line> {
    let filled = |text: &&String| !text.trim().is_empty();
    let mut entries = Vec::new();
    if let Some(primary) = row.primary_contact.as_ref().filter(filled) {
        entries.push(("primary", Value::text(primary.trim())));
    }
    let next: Vec<Value> = row.escalation.iter().filter(filled).take(20).map(|text| Value::text(text.trim())).collect();
    if !next.is_empty() {
        entries.push(("escalation", Value::List(next)));
    }
    (!entries.is_empty()).then(|| Line::new("contacts", Value::Inline(entries)))
}
