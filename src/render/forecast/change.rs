//! What a change costs, in words and a table. Pure.

use super::super::action::count64;
use super::super::moment::moment;
use super::super::style::{Style, Symbol, Tone};
use super::super::table::Table;
use super::{reach, whole_days};
use crate::domain::{ChangeForecast, ForecastReport, Instant, Period};

/// Returns the section; absent where nothing is compared.
pub(super) fn section(report: &ForecastReport, style: &Style) -> Option<String> {
    let change = report.change.as_ref()?;
    let before = report.before.as_ref().map_or("", |side| side.policies.as_str());
    let heading =
        format!("What the change costs ({} {} {})", before, style.symbol(Symbol::Arrow), report.after.policies);
    let mut out = format!("{}\n", style.heading(&style_safe(&heading, style)));
    let length = whole_days(Period::between(report.begin, report.end));
    for line in sentences(change, report.begin, &length, style) {
        out.push_str(&format!("  {line}\n"));
    }
    if !change.lines.is_empty() {
        out.push_str(&table(change, style));
        for line in &change.lines {
            let arrow = style.symbol(Symbol::Arrow);
            let after = line.rule_after.as_deref().unwrap_or("gone from the policies");
            let words = format!(
                "{}, {}: {} {arrow} {after}",
                line.schedule,
                line.scope,
                line.rule_before.as_deref().unwrap_or("nothing")
            );
            out.push_str(&format!("    {}\n", style.paint(Tone::Dim, &style_safe(&words, style))));
        }
        out.push_str(&over_time(change, style));
    }
    Some(out)
}

/// The arrow is ours and stays; everything else is escaped.
fn style_safe(words: &str, style: &Style) -> String {
    let arrow = style.symbol(Symbol::Arrow);
    words.split(arrow).map(|part| style.name(part)).collect::<Vec<_>>().join(arrow)
}

fn sentences(change: &ChangeForecast, begin: Instant, length: &str, style: &Style) -> Vec<String> {
    let there = count64(change.there, "backup");
    let be = |count: u64| if count == 1 { "is" } else { "are" };
    let mut out = Vec::new();
    if change.lost_by_change == 0 {
        out.push(format!("{} none of the {there} there now is lost because of it", style.mark(Symbol::Good)));
    }
    if change.lost_at_once > 0 {
        let bytes = if change.lost_bytes.0 > 0 { format!(" ({})", change.lost_bytes) } else { String::new() };
        let lost = change.lost_at_once;
        let words = format!("{lost} of the {there} there now {} lost because of this change{bytes}", be(lost));
        out.push(format!("{} {}", style.mark(Symbol::Prune), style.paint(Tone::Bad, &words)));
        if let (Some(oldest), Some(newest)) = (change.lost_oldest, change.lost_newest) {
            let words =
                format!("the first apply tombstones them; they are of {} to {}", moment(oldest), moment(newest));
            out.push(format!("  {words}"));
        }
    }
    let later = change.lost_by_change - change.lost_at_once;
    if later > 0 {
        let words = format!(
            "{later} {}end earlier than without the change",
            if change.lost_at_once > 0 { "more " } else { "" }
        );
        out.push(format!("{} {}", style.mark(Symbol::Prune), style.paint(Tone::Warn, &words)));
        if let Some(first) = change.first_loss.filter(|first| *first > begin) {
            out.push(format!("  the first on {}", moment(first)));
        }
    }
    match change.irreversible_after {
        Some(at) => {
            let words = format!("it cannot be undone after {}", moment(at));
            let until = "until then, take the change back and `bkup undelete` what was tombstoned";
            out.push(format!("{} {}; {until}", style.mark(Symbol::Attention), style.paint(Tone::Warn, &words)));
        }
        None if change.lost_by_change > 0 => out.push(format!("  nothing is deleted for good within {length}")),
        None => {}
    }
    if change.lost_anyway > 0 {
        let gone = change.lost_anyway;
        out.push(format!("  {gone} {} lost anyway within {length}, at the same time with or without it", be(gone)));
    }
    if change.saved_by_change > 0 {
        let words = format!("{} {} kept longer than without it", change.saved_by_change, be(change.saved_by_change));
        out.push(format!("{} {words}", style.mark(Symbol::Good)));
    }
    out
}

fn table(change: &ChangeForecast, style: &Style) -> String {
    let headings = [
        "schedule",
        "scope",
        "lost at once",
        "earlier",
        "oldest (UTC)",
        "newest (UTC)",
        "back: now",
        "end, before",
        "end, after",
    ];
    let mut table = Table::new(style, &headings);
    [2, 3, 6, 7, 8].into_iter().for_each(|column| table.right(column));
    [0, 2, 3, 4, 5].into_iter().for_each(|column| table.whole(column));
    for line in &change.lines {
        table.row(vec![
            style.name(line.schedule.as_str()),
            style.name(&scope_words(&line.scope, line.scopes)),
            line.lost_at_once.to_string(),
            (line.lost - line.lost_at_once).to_string(),
            day(line.oldest),
            day(line.newest),
            reach(line.depth_before),
            reach(line.depth_end_before),
            reach(line.depth_end_after),
        ]);
    }
    table.render(style)
}

fn over_time(change: &ChangeForecast, style: &Style) -> String {
    let mut table = Table::new(style, &["gone after", "because of the change", "anyway"]);
    (0..3).for_each(|column| table.right(column));
    for at in &change.over_time {
        let day = if at.day == 0 { "the first apply".to_owned() } else { format!("{}d", at.day) };
        table.row(vec![day, at.by_change.to_string(), at.anyway.to_string()]);
    }
    table.render(style)
}

fn day(instant: Instant) -> String {
    instant.strftime("%Y-%m-%d").to_string()
}

/// Writes a kind of scope with how many there are: `tenants of class high (40)`.
pub(super) fn scope_words(scope: &str, scopes: u64) -> String {
    if scopes > 1 { format!("{scope} ({scopes})") } else { scope.to_owned() }
}
