//! The evidence of a drill as text. Pure.

use super::action::count;
use super::moment::{age, elapsed};
use super::style::{Style, Symbol, Tone};
use crate::domain::{Bytes, CheckResult, Evidence, Period};

/// Phases shorter than this say nothing about how long a recovery takes; the JSON has them all.
const SHORTEST_SHOWN_MS: u64 = 50;

/// Writes what a drill proved: verdict, objectives, phases and every check.
#[must_use]
pub fn evidence_text(evidence: &Evidence, style: &Style) -> String {
    let passed = evidence.status == "passed";
    let (symbol, tone) = if passed { (Symbol::Good, Tone::Good) } else { (Symbol::Bad, Tone::Bad) };
    let head = format!("Drill of {} {}", style.name(&evidence.plan), style.name(&evidence.status));
    let mut out = format!("{} {}\n", style.mark(symbol), style.paint(tone, &head));
    let clock = if evidence.simulated { ", simulated clock" } else { "" };
    let facts = [
        style.name(&evidence.drill_id),
        format!("{}{clock}", style.name(&evidence.drill_timestamp)),
        format!("{} fetched", Bytes(evidence.bytes_fetched)),
        format!("PostgreSQL {}", style.name(&evidence.server_version)),
    ];
    out.push_str(&format!("  {}\n", facts.join(style.dot())));
    out.push_str(&objective(
        "backup age",
        evidence.backup_age_minutes,
        "RPO",
        evidence.rpo_minutes,
        evidence.rpo_compliant,
        style,
    ));
    out.push_str(&objective(
        "restore time",
        evidence.restore_duration_minutes,
        "RTO",
        evidence.rto_minutes,
        evidence.rto_compliant,
        style,
    ));
    if let Some(failure) = &evidence.failure {
        out.push_str(&format!("  {} {}\n", style.mark(Symbol::Bad), style.name(failure)));
    }
    for check in &evidence.checks {
        out.push_str(&check_lines(check, style));
    }
    if !evidence.left_out.is_empty() {
        let objects = count(evidence.left_out.len(), "object");
        out.push_str(&format!("  {} {objects} left out, for want of other tenants:\n", style.mark(Symbol::Attention)));
        for entry in &evidence.left_out {
            out.push_str(&format!("      {}\n", style.name(entry)));
        }
    }
    let names = |list: &[String]| list.iter().map(|name| style.name(name)).collect::<Vec<_>>().join(", ");
    if !evidence.tenants.is_empty() {
        out.push_str(&format!("  tenants: {}\n", names(&evidence.tenants)));
    }
    out.push_str(&format!("  backups: {}\n", names(&evidence.backups)));
    for phase in evidence.phases.iter().filter(|phase| phase.milliseconds >= SHORTEST_SHOWN_MS) {
        let subject = style.name(&phase.subject);
        out.push_str(&format!("  {:>9}  {} {subject}\n", elapsed(phase.milliseconds), style.name(&phase.phase)));
    }
    out
}

fn objective(
    what: &str,
    minutes: u64,
    objective: &str,
    limit: Option<u64>,
    met: Option<bool>,
    style: &Style,
) -> String {
    let span = |minutes: u64| age(Period::minutes(i64::try_from(minutes).unwrap_or(i64::MAX)));
    let verdict = match (limit, met) {
        (Some(limit), Some(true)) => format!("within {objective} {}", span(limit)),
        (Some(limit), Some(false)) => style.paint(Tone::Bad, &format!("! over {objective} {}", span(limit))),
        _ => format!("no {objective}"),
    };
    format!("  {what}: {} ({verdict})\n", span(minutes))
}

fn check_lines(check: &CheckResult, style: &Style) -> String {
    let symbol = if check.passed { Symbol::Good } else { Symbol::Bad };
    let tenant = check.tenant.as_ref().map_or_else(String::new, |tenant| format!(" for tenant {}", style.name(tenant)));
    let mut out = format!("  {} {}{tenant}", style.mark(symbol), style.name(&check.check));
    if check.passed {
        out.push_str(&format!(": {}\n", style.name(&check.observed)));
    } else {
        out.push_str(&format!(": expected {}, saw {}\n", style.name(&check.expected), style.name(&check.observed)));
    }
    for table in &check.differences {
        let restored = table.restored_rows.map_or_else(|| "missing".to_owned(), |rows| format!("{rows} rows restored"));
        out.push_str(&format!(
            "      {}: {} rows recorded, {restored}\n",
            style.name(&table.table),
            table.recorded_rows
        ));
    }
    out
}
