//! The difference between two texts, as `diff -u` writes it, and what became of files that were formatted. Pure.

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::escape::blot;
use super::json::pretty;
use super::style::{Style, Tone};
use crate::diag::Diagnostic;

/// The version of the JSON form of what was formatted, `major.minor`.
pub const FORMATTED_FORMAT: &str = "1.0";

/// What became of a file that was to be formatted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormattedFile {
    /// Its name.
    pub file: String,
    /// What became of it.
    pub state: FormattedState,
    /// What would change, as a unified diff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FormattedState {
    /// It was in the one layout already.
    Unchanged,
    /// It was written anew.
    Formatted,
    /// It would be written anew.
    Differs,
    /// It was left alone; a finding says why.
    Refused,
}

/// Writes what became of files as JSON.
#[must_use]
pub fn formatted_json(files: &[FormattedFile], findings: &[Diagnostic]) -> String {
    pretty(&serde_json::json!({ "format_version": FORMATTED_FORMAT, "files": files, "findings": findings }))
}

/// Lines shown around each change.
const AROUND: usize = 3;

/// Writes what changes from one text of a file to another as a unified diff; empty where nothing does.
#[must_use]
pub fn difference_text(file: &str, before: &str, after: &str, style: &Style) -> String {
    let diff = TextDiff::from_lines(before, after);
    let hunks = diff.grouped_ops(AROUND);
    if hunks.is_empty() {
        return String::new();
    }
    let name = style.name(file);
    let mut out = style.heading(&format!("--- {name}\n+++ {name}, formatted")) + "\n";
    for hunk in hunks {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let range =
            |begin: usize, end: usize| format!("{},{}", if begin == end { begin } else { begin + 1 }, end - begin);
        let old = range(first.old_range().start, last.old_range().end);
        let new = range(first.new_range().start, last.new_range().end);
        out.push_str(&style.paint(Tone::Dim, &format!("@@ -{old} +{new} @@")));
        out.push('\n');
        for change in hunk.iter().flat_map(|op| diff.iter_changes(op)) {
            let (sign, tone) = match change.tag() {
                ChangeTag::Delete => ('-', Some(Tone::Bad)),
                ChangeTag::Insert => ('+', Some(Tone::Good)),
                ChangeTag::Equal => (' ', None),
            };
            // A byte-order mark and a carriage return are what changes in some lines: they are shown.
            let line = change.value().trim_end_matches('\n').replace('\r', "\\r").replace('\u{feff}', "\\u{feff}");
            let line = format!("{sign}{}", blot(&line));
            out.push_str(&tone.map_or_else(|| line.clone(), |tone| style.paint(tone, &line)));
            out.push('\n');
            if change.missing_newline() {
                out.push_str("\\ no line end at the end of the file\n");
            }
        }
    }
    out
}
