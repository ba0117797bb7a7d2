//! The tables of a forecast: objectives, missed slots, restore points, storage. Pure.

use std::collections::BTreeMap;

use super::super::action::count64;
use super::super::moment::{age, moment, moment_cell};
use super::super::style::{Style, Symbol, Tone};
use super::super::table::Table;
use super::change::scope_words;
use super::reach;
use crate::domain::{
    Bytes, ForecastLine, ForecastReport, ForecastSide, Milestone, MissForecast, ObjectiveForecast, ObjectiveKind,
    Period,
};

const BROKEN: &str = "! broken";

/// Returns how each objective fares; absent where there is none.
pub(super) fn objectives(report: &ForecastReport, style: &Style) -> Option<String> {
    if report.objectives.is_empty() {
        return None;
    }
    let compared = report.before.is_some();
    let mut headings = vec!["objective", "database", "limit", "worst"];
    if compared {
        headings.push("worst before");
    }
    headings.extend(["at (UTC)", "state"]);
    let mut table = Table::new(style, &headings);
    (1..headings.len()).for_each(|column| table.whole(column));
    for objective in &report.objectives {
        let worst = |worst: Option<Period>| worst.map_or_else(|| "-".to_owned(), age);
        let mut cells = vec![
            style.name(&objective.address),
            style.name(objective.database.as_str()),
            limit(objective),
            worst(objective.worst),
        ];
        if compared {
            cells.push(worst(objective.worst_before));
        }
        cells.push(objective.worst_end.map_or_else(|| "-".to_owned(), moment_cell));
        cells.push(if objective.violated_at.is_some() { BROKEN.to_owned() } else { "ok".to_owned() });
        table.row(cells);
    }
    table.paint(BROKEN, Tone::Bad);
    // Below the table: in a column of it, these words would squeeze all others.
    let broken = report.objectives.iter().filter(|objective| objective.kind == ObjectiveKind::Rpo);
    let broken = broken.map(|o| format!("  {}: {}\n", style.name(&o.address), fewest(o, style))).collect::<String>();
    let broken = if broken.is_empty() { broken } else { format!("  Missed slots that break it:\n{broken}") };
    Some(format!("{}\n{}{broken}", style.heading("Objectives"), table.render(style)))
}

fn limit(objective: &ObjectiveForecast) -> String {
    match objective.kind {
        ObjectiveKind::Rpo => format!("RPO {}", age(objective.limit)),
        ObjectiveKind::History => format!("back {}", age(objective.limit)),
    }
}

fn fewest(objective: &ObjectiveForecast, style: &Style) -> String {
    let words = |row: &MissForecast| {
        let slots = row.slots?;
        Some(match &row.schedule {
            Some(schedule) => format!("{slots} of {}", style.name(schedule.as_str())),
            None => format!("{slots} of all together"),
        })
    };
    let rows: Vec<String> = objective.misses.iter().filter_map(words).collect();
    match (rows.is_empty(), objective.misses.is_empty()) {
        (true, true) if objective.violated_at.is_none() => "none, as long as WAL is archived".to_owned(),
        (true, true) => "nothing covers it".to_owned(),
        (true, false) => "no number of them".to_owned(),
        (false, _) => rows.join(", "),
    }
}

/// Returns the table of missed slots with dates; absent where nothing can be missed.
pub(super) fn misses(report: &ForecastReport, style: &Style) -> Option<String> {
    let mut table =
        Table::new(style, &["objective", "if", "misses in a row", "from slot (UTC)", "it is broken at (UTC)"]);
    [0, 2, 3, 4].into_iter().for_each(|column| table.whole(column));
    table.right(2);
    let mut any = false;
    for objective in &report.objectives {
        for row in &objective.misses {
            any = true;
            let who = row
                .schedule
                .as_ref()
                .map_or_else(|| "every schedule together".to_owned(), |name| style.name(name.as_str()));
            let cell = |instant: Option<crate::domain::Instant>| instant.map_or_else(|| "-".to_owned(), moment_cell);
            table.row(vec![
                format!("{} {}", style.name(&objective.address), limit(objective)),
                who,
                row.slots.map_or_else(|| "never".to_owned(), |slots| slots.to_string()),
                cell(row.first_missed),
                cell(row.broken_at),
            ]);
        }
    }
    any.then(|| {
        let heading = "The fewest missed slots that break an objective, if all else runs in time";
        format!("{}\n{}", style.heading(heading), table.render(style))
    })
}

/// Returns restore points line by line, with those before the change.
pub(super) fn points(report: &ForecastReport, style: &Style) -> String {
    let after = &report.after;
    let mut out = format!("{}\n", style.heading("Restore points of one scope"));
    let columns: Vec<(String, usize)> = columns(after);
    let mut headings: Vec<String> = vec!["schedule".to_owned(), "scope".to_owned()];
    headings.extend(columns.iter().map(|(heading, _)| heading.clone()));
    headings.extend(["reaches back".to_owned(), "kept by, at the end".to_owned()]);
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(style, &headings);
    table.whole(0);
    (2..3 + columns.len()).for_each(|column| {
        table.right(column);
        table.whole(column);
    });
    let old: BTreeMap<_, &ForecastLine> =
        report.before.iter().flat_map(|side| &side.lines).map(|line| (key(line), line)).collect();
    let mut seen = Vec::new();
    for line in after.lines.iter().filter(|line| line.scope != "shared archives") {
        seen.push(key(line));
        table.row(row(Some(line), old.get(&key(line)).copied(), &columns, report.before.is_some(), style));
    }
    for (key, line) in old.iter().filter(|(_, line)| line.scope != "shared archives") {
        if !seen.contains(key) {
            table.row(row(None, Some(line), &columns, true, style));
        }
    }
    if after.lines.is_empty() && old.is_empty() {
        return out + "  none: no schedule takes a backup\n";
    }
    out.push_str(&table.render(style));
    let taken = format!("{} taken, {} run", count64(after.taken, "backup"), count64(after.drills, "drill"));
    out.push_str(&format!("  {}\n", style.paint(Tone::Dim, &taken)));
    out
}

fn key(line: &ForecastLine) -> (String, String, String) {
    let database = line.database.as_ref().map_or_else(String::new, ToString::to_string);
    (line.schedule.to_string(), database, line.scope.clone())
}

/// The columns: now, the milestones, and the end, by index of the day.
fn columns(side: &ForecastSide) -> Vec<(String, usize)> {
    let mut columns = vec![("now".to_owned(), 0)];
    for milestone in &side.milestones {
        if let Some(index) = side.days.iter().position(|day| *day == milestone.at) {
            columns.push((format!("{}d", milestone.day), index));
        }
    }
    columns
}

fn row(
    new: Option<&ForecastLine>,
    old: Option<&ForecastLine>,
    columns: &[(String, usize)],
    compared: bool,
    style: &Style,
) -> Vec<String> {
    let Some(line) = new.or(old) else { return Vec::new() };
    let database = line.database.as_ref().map_or_else(String::new, |database| format!(" of {database}"));
    let mut cells =
        vec![style.name(line.schedule.as_str()), style.name(&(scope_words(&line.scope, line.scopes) + &database))];
    let pair = |new: String, old: String| {
        if compared && new != old { format!("{old} {} {new}", style.symbol(Symbol::Arrow)) } else { new }
    };
    for (_, day) in columns {
        let at = |line: Option<&ForecastLine>| {
            let points = line.and_then(|line| Some((line.restore_points.get(*day)?, line.scopes)));
            points.map_or_else(|| "0".to_owned(), |(points, scopes)| each(*points, scopes))
        };
        cells.push(pair(at(new), at(old)));
    }
    let depth = |line: Option<&ForecastLine>| reach(line.and_then(|line| line.depth.last().copied().flatten()));
    cells.push(pair(depth(new), depth(old)));
    let kept = new.map(|line| {
        let words =
            order(&line.kept_by).into_iter().map(|(rule, count)| format!("{} {rule}", each(*count, line.scopes)));
        words.collect::<Vec<_>>().join(", ")
    });
    cells.push(kept.unwrap_or_else(|| "gone from the policies".to_owned()));
    cells
}

/// Writes a number for one of several scopes: `7` where each has as many, `7.4` on average where they differ.
fn each(count: u64, scopes: u64) -> String {
    let scopes = scopes.max(1);
    if count.is_multiple_of(scopes) {
        return (count / scopes).to_string();
    }
    let tenths = (count.saturating_mul(10) + scopes / 2) / scopes;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Rules from fine to coarse, as people think of them.
fn order(kept: &BTreeMap<String, u64>) -> Vec<(&String, &u64)> {
    const ORDER: [&str; 10] =
        ["last", "within", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly", "forever", "floor"];
    let mut rules: Vec<_> = kept.iter().collect();
    rules.sort_by_key(|(rule, _)| ORDER.iter().position(|known| known == rule).unwrap_or(ORDER.len()));
    rules
}

/// Returns storage and requests at the milestones.
pub(super) fn storage(report: &ForecastReport, style: &Style) -> String {
    let after = &report.after;
    let known = after.bytes_by_class.values().flatten().any(|bytes| bytes.0 > 0);
    let before = report.before.as_ref();
    let costs = after.milestones.iter().any(|milestone| milestone.cost.is_some());
    let mut headings = vec!["after", "backups", "in grace"];
    let classes: Vec<&String> = after.backups_by_class.keys().collect();
    if known {
        headings.push("stored");
        headings.push("by storage class");
    }
    headings.extend(["requests: put", "get", "delete"]);
    if costs {
        headings.push("cost so far");
    }
    let mut table = Table::new(style, &headings);
    (0..headings.len()).filter(|column| !known || *column != 4).for_each(|column| table.right(column));
    for (index, milestone) in after.milestones.iter().enumerate() {
        let old = before.and_then(|side| side.milestones.get(index));
        table.row(storage_row(milestone, old, known, costs, style));
    }
    let mut out = format!("{}\n{}", style.heading("Storage"), table.render(style));
    let peak = if known {
        format!("peak {} on day {} ({})", after.peak.total(), after.peak.day, moment(after.peak.at))
    } else {
        let stored = after.peak.restore_points + after.peak.in_grace;
        format!(
            "peak {} on day {} ({}); bytes are not known",
            count64(stored, "backup"),
            after.peak.day,
            moment(after.peak.at)
        )
    };
    out.push_str(&format!("  {}\n", style.paint(Tone::Dim, &peak)));
    if !known && classes.len() > 1 {
        let words: Vec<String> = after
            .backups_by_class
            .iter()
            .map(|(class, n)| format!("{} in {}", count64(n.last().copied().unwrap_or(0), "backup"), style.name(class)))
            .collect();
        out.push_str(&format!("  {}\n", style.paint(Tone::Dim, &format!("at the end: {}", words.join(", ")))));
    }
    out
}

fn storage_row(milestone: &Milestone, old: Option<&Milestone>, known: bool, costs: bool, style: &Style) -> Vec<String> {
    let pair = |of: &dyn Fn(&Milestone) -> String| {
        let new = of(milestone);
        match old.map(of) {
            Some(old) if old != new => format!("{old} {} {new}", style.symbol(Symbol::Arrow)),
            _ => new,
        }
    };
    let mut cells =
        vec![format!("{}d", milestone.day), pair(&|m| m.restore_points.to_string()), pair(&|m| m.in_grace.to_string())];
    if known {
        cells.push(pair(&|m| m.total().to_string()));
        let classes = milestone.bytes.iter().filter(|(_, bytes)| **bytes > Bytes(0));
        let words: Vec<String> = classes.map(|(class, bytes)| format!("{bytes} {}", style.name(class))).collect();
        cells.push(words.join(", "));
    }
    cells.push(pair(&|m| m.requests.put.to_string()));
    cells.push(pair(&|m| m.requests.get.to_string()));
    cells.push(pair(&|m| m.requests.delete.to_string()));
    if costs {
        cells.push(pair(&|m| m.cost.as_ref().map_or_else(|| "-".to_owned(), cost)));
    }
    cells
}

/// Writes a cost to the cent: `12.34 USD`.
pub(super) fn cost(cost: &crate::domain::Cost) -> String {
    let cents = (cost.storage_micros.saturating_add(cost.requests_micros) + 5_000) / 10_000;
    format!("{}.{:02} {}", cents / 100, cents % 100, super::super::escape::escape(&cost.currency))
}
