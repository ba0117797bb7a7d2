//! What policy things mean, as text and as JSON. Pure.

use serde_json::json;

use super::escape::json_safe;
use super::moment::moment;
use super::style::{Style, Tone};
use super::wrap::hanging;
use crate::diag::Severity;
use crate::domain::{Explanation, Setting};

/// The version of the JSON form, `major.minor`.
pub const EXPLANATION_FORMAT: &str = "1.0";

/// Sentences are not wider than this, however wide the terminal is.
const WIDEST: usize = 100;

/// Writes what things mean, one after the other.
#[must_use]
pub fn explanations_text(explanations: &[Explanation], style: &Style) -> String {
    explanations.iter().map(|explanation| one(explanation, style)).collect::<Vec<_>>().join("\n")
}

/// Writes what things mean as JSON: `{"format_version":"1.0","explanations":[...]}`.
#[must_use]
pub fn explanations_json(explanations: &[Explanation]) -> String {
    json_safe(&format!("{:#}\n", json!({ "format_version": EXPLANATION_FORMAT, "explanations": explanations })))
}

fn one(explanation: &Explanation, style: &Style) -> String {
    let width = style.width.min(WIDEST);
    let place = explanation.location.as_ref().map_or_else(
        || "no file says it".to_owned(),
        |location| format!("{}:{}", style.name(&location.file), location.line),
    );
    let mut out = style.heading(&explanation.address.to_string());
    out.push_str(&format!("  {}\n", style.paint(Tone::Dim, &place)));
    hanging("  ", &style.name(&explanation.summary), width, &mut out);
    if !explanation.settings.is_empty() {
        heading("What it says", style, &mut out);
        settings(&explanation.settings, style, &mut out);
    }
    for topic in &explanation.topics {
        heading(&topic.title, style, &mut out);
        for line in &topic.lines {
            let numbered = line.split_once(". ").filter(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()));
            match numbered {
                Some((number, words)) => hanging(&format!("  {number}. "), &style.name(words), width, &mut out),
                None => hanging("  - ", &style.name(line), width, &mut out),
            }
        }
    }
    if !explanation.slots.is_empty() {
        heading("Next slots", style, &mut out);
        let widest = explanation.slots.iter().map(|slot| slot.local.chars().count()).max().unwrap_or(0);
        for slot in &explanation.slots {
            let (local, utc) = (style.name(&slot.local), moment(slot.at));
            if slot.local == utc {
                out.push_str(&format!("  {local}\n"));
            } else {
                out.push_str(&format!("  {local:<widest$}  {}\n", style.paint(Tone::Dim, &utc)));
            }
        }
    }
    if !explanation.used_by.is_empty() {
        heading("What refers to it", style, &mut out);
        for user in &explanation.used_by {
            hanging("  - ", &style.name(&format!("{}: {}", user.address, user.words)), width, &mut out);
        }
    }
    if !explanation.findings.is_empty() {
        heading("What validate finds", style, &mut out);
        for finding in &explanation.findings {
            let (word, tone) = match finding.severity {
                Severity::Error => ("error", Tone::Bad),
                Severity::Warning => ("warning", Tone::Warn),
                Severity::Note => ("note", Tone::Note),
            };
            let line = finding.span.as_ref().map(|span| format!(" (line {})", span.line)).unwrap_or_default();
            let mut text = String::new();
            hanging(
                "  ",
                &format!("{word}[{}]: {}{line}", finding.code, style.name(&finding.message)),
                width,
                &mut text,
            );
            let head = format!("{word}[{}]", finding.code);
            out.push_str(&text.replacen(&head, &style.paint(tone, &head), 1));
        }
    }
    out
}

fn heading(title: &str, style: &Style, out: &mut String) {
    out.push_str(&format!("\n{}\n", style.heading(title)));
}

/// Writes the keys as lines of YAML, with a comment beside each that nobody wrote.
fn settings(settings: &[Setting], style: &Style, out: &mut String) {
    let lines: Vec<(Vec<String>, Option<String>)> = settings.iter().map(|setting| lines_of(setting, style)).collect();
    let column = lines
        .iter()
        .filter(|(_, comment)| comment.is_some())
        .filter_map(|(lines, _)| lines.last())
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0);
    for (lines, comment) in lines {
        let last = lines.len().saturating_sub(1);
        for (index, line) in lines.iter().enumerate() {
            match &comment {
                Some(comment) if index == last => {
                    out.push_str(&format!("  {line:<column$}  {}\n", style.paint(Tone::Dim, comment)));
                }
                _ => out.push_str(&format!("  {line}\n")),
            }
        }
    }
}

fn lines_of(setting: &Setting, style: &Style) -> (Vec<String>, Option<String>) {
    let indent = "  ".repeat(setting.key.matches('.').count());
    let name = style.name(setting.key.rsplit('.').next().unwrap_or(&setting.key));
    let mut lines = match &setting.value {
        None => vec![format!("{indent}{name}:")],
        Some(value) if value.contains('\n') => {
            let below = value.lines().map(|line| format!("{indent}  {}", verbatim(line, style)));
            std::iter::once(format!("{indent}{name}:")).chain(below).collect()
        }
        Some(value) => vec![format!("{indent}{name}: {}", verbatim(value, style))],
    };
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    let comment = setting.default.then(|| match &setting.because {
        Some(because) => format!("# default: {because}"),
        None => "# default".to_owned(),
    });
    (lines, comment)
}

/// Returns a value as it stands in the file; backslashes are part of its quoting there.
fn verbatim(value: &str, style: &Style) -> String {
    value.split('\\').map(|part| style.name(part)).collect::<Vec<_>>().join("\\")
}
