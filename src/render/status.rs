//! How every scope stands against its objective, as tables for people and as JSON. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::action::{count, count64};
use super::json::pretty;
use super::moment::{age, moment, moment_cell};
use super::style::{Style, Symbol, Tone};
use super::table::Table;
use crate::domain::{Bytes, Instant, Name, ObjectiveRow, Period, Scope};

/// The version of the status' JSON form, `major.minor`.
pub const STATUS_FORMAT: &str = "1.0";

const BREACHED: &str = "! breached";
const NO_BACKUP: &str = "! no backup";

/// Returns whether any objective is breached: exit 8.
#[must_use]
pub fn is_breached(rows: &[ObjectiveRow]) -> bool {
    rows.iter().any(|row| row.breached == Some(true))
}

/// Writes the status for people: a verdict, then each database's classes with their scopes, breached ones first.
#[must_use]
pub fn status_text(rows: &[ObjectiveRow], as_of: Instant, style: &Style) -> String {
    let breached = rows.iter().filter(|row| row.breached == Some(true)).count();
    let objectives = rows.iter().filter(|row| row.breached.is_some()).count();
    let mut out = match (breached, objectives) {
        (0, 0) => format!("{} Nothing has an objective.\n", style.mark(Symbol::Attention)),
        (0, n) => {
            let words =
                if n == 1 { "The one objective is met.".to_owned() } else { format!("All {n} objectives are met.") };
            format!("{} {}\n", style.mark(Symbol::Good), style.paint(Tone::Good, &words))
        }
        (n, all) => {
            let words = format!("{n} of {} breached.", count(all, "objective"));
            format!("{} {}\n", style.mark(Symbol::Attention), style.paint(Tone::Bad, &words))
        }
    };
    out.push_str(&format!("{}\n", style.paint(Tone::Dim, &format!("as of {}", moment(as_of)))));
    for group in groups(rows) {
        out.push_str(&format!("\n{}\n", group_line(&group, style)));
        let tenants = group.rows.iter().all(|row| row.scope.tenant().is_some());
        let first = if tenants { "tenant" } else { "scope" };
        let headings = [first, "newest (UTC)", "age", "rpo", "verified", "drilled", "backups", "state"];
        let mut table = Table::new(style, &headings);
        (1..headings.len()).for_each(|column| table.whole(column));
        table.right(6);
        let mut members = group.rows.clone();
        members.sort_by_key(|row| (row.breached != Some(true), &row.scope));
        for row in members {
            table.row(vec![
                row.scope
                    .tenant()
                    .filter(|_| tenants)
                    .map_or_else(|| style.name(&row.scope.to_string()), |t| style.name(t)),
                row.consistent_at.map_or_else(|| "none".to_owned(), moment_cell),
                row.age.map_or_else(|| "-".to_owned(), age),
                row.rpo.map_or_else(|| "-".to_owned(), age),
                since(row.verified_at, as_of),
                since(row.drilled_at, as_of),
                row.backups.to_string(),
                state(row).to_owned(),
            ]);
        }
        table.paint(BREACHED, Tone::Bad);
        table.paint(NO_BACKUP, Tone::Bad);
        out.push_str(&table.render(style));
    }
    out
}

/// Writes the status as JSON: `{"format_version":"1.0","as_of":...,"classes":[...],"objectives":[...]}`.
#[must_use]
pub fn status_json(rows: &[ObjectiveRow], as_of: Instant) -> String {
    #[derive(Serialize)]
    struct Class<'a> {
        database: &'a Name,
        class: Option<&'a Name>,
        scopes: usize,
        breached: usize,
        oldest_seconds: Option<i64>,
        bytes: Bytes,
    }
    #[derive(Serialize)]
    struct Status<'a> {
        format_version: &'static str,
        as_of: Instant,
        breached: usize,
        classes: Vec<Class<'a>>,
        objectives: &'a [ObjectiveRow],
    }
    let classes = groups(rows)
        .into_iter()
        .map(|group| Class {
            database: group.database,
            class: group.class,
            scopes: group.rows.len(),
            breached: group.breached(),
            oldest_seconds: group.oldest().map(Period::as_seconds),
            bytes: group.rows.iter().map(|row| row.bytes).sum(),
        })
        .collect();
    let breached = rows.iter().filter(|row| row.breached == Some(true)).count();
    pretty(&Status { format_version: STATUS_FORMAT, as_of, breached, classes, objectives: rows })
}

/// Returns the section of a plan: one line for each class, and every breached scope by name.
pub(super) fn objectives(rows: &[ObjectiveRow], style: &Style) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let mut out = format!("{}\n", style.heading("Objectives as they stand"));
    for group in groups(rows) {
        let mark = match group.breached() {
            0 if group.objectives() == 0 => " ".to_owned(),
            0 => style.mark(Symbol::Good),
            _ => style.mark(Symbol::Attention),
        };
        out.push_str(&format!("  {mark} {}\n", group_line(&group, style)));
        for row in group.rows.iter().filter(|row| row.breached == Some(true)) {
            let rpo = row.rpo.map_or_else(String::new, |rpo| format!(", RPO {}", age(rpo)));
            let seen = row.age.map_or_else(|| "no backup".to_owned(), |a| format!("newest backup is {} old", age(a)));
            let words = style.paint(Tone::Warn, &format!("{}: {seen}{rpo}", style.name(&row.scope.to_string())));
            out.push_str(&format!("      {words}\n"));
        }
    }
    Some(out)
}

struct Group<'a> {
    database: &'a Name,
    class: Option<&'a Name>,
    rows: Vec<&'a ObjectiveRow>,
}

impl Group<'_> {
    fn breached(&self) -> usize {
        self.rows.iter().filter(|row| row.breached == Some(true)).count()
    }

    fn objectives(&self) -> usize {
        self.rows.iter().filter(|row| row.breached.is_some()).count()
    }

    fn oldest(&self) -> Option<Period> {
        self.rows.iter().filter_map(|row| row.age).max()
    }
}

/// Groups rows by database and class; what has no class comes first: the database as a whole.
fn groups(rows: &[ObjectiveRow]) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<(&Name, bool, Option<&Name>), Vec<&ObjectiveRow>> = BTreeMap::new();
    for row in rows {
        let classless_tenant = row.class.is_none() && matches!(row.scope, Scope::Tenant(_));
        groups.entry((&row.database, classless_tenant, row.class.as_ref())).or_default().push(row);
    }
    groups.into_iter().map(|((database, _, class), rows)| Group { database, class, rows }).collect()
}

fn group_line(group: &Group<'_>, style: &Style) -> String {
    let name = match group.class {
        Some(class) => format!("{}, class {class}", group.database),
        None if group.rows.iter().all(|row| matches!(row.scope, Scope::Tenant(_))) => {
            format!("{}, no class", group.database)
        }
        None => group.database.to_string(),
    };
    let mut facts = vec![count(group.rows.len(), "scope")];
    let breached = group.breached();
    facts.push(match (breached, group.objectives()) {
        (0, 0) => "no objective".to_owned(),
        (0, _) => "none breached".to_owned(),
        (n, _) => style.paint(Tone::Bad, &format!("{n} breached")),
    });
    facts.extend(group.oldest().map(|oldest| format!("oldest {}", age(oldest))));
    let rpos: std::collections::BTreeSet<Period> = group.rows.iter().filter_map(|row| row.rpo).collect();
    if let (Some(rpo), 1) = (rpos.first(), rpos.len()) {
        facts.push(format!("RPO {}", age(*rpo)));
    }
    facts.push(count64(group.rows.iter().map(|row| row.backups).sum(), "backup"));
    facts.push(group.rows.iter().map(|row| row.bytes).sum::<Bytes>().to_string());
    format!("{}  {}", style.heading(&name), facts.join(style.dot()))
}

fn since(instant: Option<Instant>, as_of: Instant) -> String {
    instant.map_or_else(|| "never".to_owned(), |then| format!("{} ago", age(Period::between(then, as_of))))
}

const fn state(row: &ObjectiveRow) -> &'static str {
    match (row.breached, row.newest.is_some()) {
        (Some(true), true) => BREACHED,
        (Some(true), false) => NO_BACKUP,
        (Some(false), _) => "ok",
        (None, _) => "no objective",
    }
}
