//! Who gets what, as a table and as JSON. Pure.

use super::escape::json_safe;
use super::moment::age;
use super::style::{Style, Symbol, Tone};
use super::table::Table;
use crate::domain::{COVERAGE_FORMAT, CoveringSchedule, DatabaseCoverage, TenantCoverage};

/// Writes the table of each database: tenant, class, schedules, retention, worst-case loss.
#[must_use]
pub fn coverage_text(databases: &[DatabaseCoverage], style: &Style) -> String {
    if databases.is_empty() {
        return "no database of the policies has tenants\n".to_owned();
    }
    databases.iter().map(|database| one(database, style)).collect::<Vec<_>>().join("\n")
}

fn one(database: &DatabaseCoverage, style: &Style) -> String {
    let address = format!("database.{}", database.database);
    if let Some(reason) = &database.unknown {
        let mark = style.mark(Symbol::Attention);
        let words = format!("its tenants are not known: {}", style.name(reason));
        return format!("{mark} {}: {words}\n", style.heading(&address));
    }
    if database.tenants.is_empty() {
        return format!("{}: no tenant lives in it\n", style.heading(&address));
    }
    let count = match database.tenants.len() {
        1 => "1 tenant".to_owned(),
        n => format!("{n} tenants"),
    };
    let mut table = Table::new(style, &["tenant", "class", "schedules", "retention", "worst rpo", "rpo"]);
    table.whole(0);
    for tenant in &database.tenants {
        table.row(cells(tenant, style));
    }
    let mut all = database.tenants.iter().flat_map(|tenant| &tenant.schedules);
    let whole = all.any(|covering| !covering.own);
    let mut notes = String::new();
    if whole {
        notes.push_str("  whole: a backup of the whole database, which holds the tenant too\n");
    }
    notes.push_str("  worst rpo: what may be lost when every run succeeds and none starts later than start_within\n");
    format!("{}: {count}\n{}{}", style.heading(&address), table.render(style), style.paint(Tone::Dim, &notes))
}

fn cells(tenant: &TenantCoverage, style: &Style) -> Vec<String> {
    let none = || "none".to_owned();
    let schedule = |covering: &CoveringSchedule| {
        // The tenant cannot be brought back alone from a dump of the whole database as fast as from its own.
        let marks: Vec<&str> = [
            (!covering.own).then_some("whole"),
            covering.on_request.then_some("on request"),
            covering.not_served.is_some().then_some("not made yet"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
        format!("{}{marks}", covering.schedule)
    };
    let lines = |words: Vec<String>| if words.is_empty() { none() } else { words.join("\n") };
    let over = |loss| tenant.rpo.is_some_and(|rpo| loss > rpo);
    let worst = tenant.worst.as_ref().map(|worst| {
        let mark = if over(worst.loss) { format!(" {}", style.symbol(Symbol::Attention)) } else { String::new() };
        format!("{}{mark}", age(worst.loss))
    });
    vec![
        style.name(&tenant.tenant),
        tenant.class.as_ref().map_or_else(none, ToString::to_string),
        lines(tenant.schedules.iter().map(schedule).collect()),
        lines(tenant.schedules.iter().map(|covering| style.name(&covering.retention)).collect()),
        worst.unwrap_or_else(none),
        tenant.rpo.map_or_else(|| "-".to_owned(), age),
    ]
}

/// Writes the table as JSON: `{"format_version":"1.0","databases":[...]}`.
#[must_use]
pub fn coverage_json(databases: &[DatabaseCoverage]) -> String {
    let value = serde_json::json!({ "format_version": COVERAGE_FORMAT, "databases": databases });
    json_safe(&format!("{value:#}\n"))
}
