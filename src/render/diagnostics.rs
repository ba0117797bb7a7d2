//! Findings to text with the source around them, and to JSON. Pure; this is the one file that knows miette.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents, ThemeCharacters, ThemeStyles,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::escape::{ascii, blot};
use super::json::pretty;
use super::style::{Style, Symbol, Tone};
use crate::diag::{Code, Diagnostic, Severity, Span};

/// The version of the findings' JSON form, `major.minor`.
pub const FINDINGS_FORMAT: &str = "1.0";

/// The texts that spans point into, by the name that the spans carry.
pub type Sources = BTreeMap<String, String>;

/// A line longer than this is not shown: a policy of one endless line must not flood the terminal.
const LONGEST_LINE: usize = 1000;

/// Of a place with more lines than this its first line is shown.
const MOST_LINES: usize = 8;

/// Writes findings for people, each with its place in the source, in the order given.
#[must_use]
pub fn diagnostics_text(findings: &[Diagnostic], sources: &Sources, style: &Style) -> String {
    // Each text is made safe once, however many findings point into it.
    let places = |finding: &Diagnostic| {
        finding
            .span
            .iter()
            .chain(finding.related.iter().map(|related| &related.span))
            .map(|s| s.file.clone())
            .collect::<Vec<_>>()
    };
    let named: BTreeSet<String> = findings.iter().flat_map(places).collect();
    let safe: Safe = named
        .into_iter()
        .filter_map(|file| sources.get(&file).map(|text| (file, text)))
        .map(|(file, text)| (file, (text.clone(), Arc::new(Lines::of(shown(text, style))))))
        .collect();
    findings.iter().map(|finding| one(finding, &safe, style)).collect::<Vec<_>>().join("\n")
}

/// Texts as they are, and as they may be shown, of the same length in bytes.
type Safe = BTreeMap<String, (String, Arc<Lines>)>;

/// A text with the begins of its lines, so that showing the last of a thousand findings takes no longer than the first.
struct Lines {
    text: String,
    begins: Vec<usize>,
}

impl Lines {
    fn of(text: String) -> Self {
        let begins = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, begins }
    }

    /// Returns the number of the line that holds a byte, from 0.
    fn line(&self, byte: usize) -> usize {
        self.begins.partition_point(|begin| *begin <= byte).saturating_sub(1)
    }

    /// Returns the byte after a line, with its end.
    fn end(&self, line: usize) -> usize {
        self.begins.get(line + 1).copied().unwrap_or(self.text.len())
    }
}

/// A text under its name, for miette.
struct Source {
    name: String,
    lines: Arc<Lines>,
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let lines = &self.lines;
        let first = lines.line(span.offset()).saturating_sub(before);
        let last = (lines.line(span.offset() + span.len().saturating_sub(1)) + after).min(lines.begins.len() - 1);
        let (begin, end) = (lines.begins[first], lines.end(last));
        let column = if before == 0 { span.offset() - begin } else { 0 };
        let begin = begin + column;
        let bytes = lines.text.as_bytes().get(begin..end).ok_or(MietteError::OutOfBounds)?;
        let of = SourceSpan::new(begin.into(), end - begin);
        let contents = MietteSpanContents::new_named(self.name.clone(), bytes, of, first, column, lines.begins.len());
        Ok(Box::new(contents))
    }
}

fn shown(source: &str, style: &Style) -> String {
    let text = blot(source);
    if style.unicode {
        return text;
    }
    text.chars().flat_map(|c| std::iter::repeat_n(if c.is_ascii() { c } else { '?' }, c.len_utf8())).collect()
}

/// Findings as `--format json` writes them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Findings<'a> {
    /// The version of this form, `major.minor`: a minor one only adds keys.
    #[schemars(regex(pattern = r"^1\.[0-9]+$"))]
    format_version: &'a str,
    /// How many errors there are.
    errors: usize,
    /// How many warnings there are.
    warnings: usize,
    /// Every finding, in the order of the files and of the places in them.
    findings: &'a [Diagnostic],
    /// Those that comments ignore.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<&'a [Diagnostic]>,
    /// The fixes that were made, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed: Option<&'a [FixMade]>,
}

/// Writes findings as JSON: `{"format_version":"1.0","findings":[...]}`.
#[must_use]
pub fn diagnostics_json(findings: &[Diagnostic]) -> String {
    written(findings, None, None)
}

/// A fix that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FixMade {
    /// The file.
    pub file: String,
    /// The line, as it was when the fix was made.
    pub line: u32,
    /// The code of the finding that it mended.
    pub code: Code,
    /// What it did, in the imperative.
    pub words: String,
}

impl FixMade {
    /// Returns the fix that a finding carries as one that was made; `None` where it carries none.
    #[must_use]
    pub fn of(finding: &Diagnostic) -> Option<Self> {
        let fix = finding.fix.as_ref()?;
        let span = &fix.edits.first()?.span;
        Some(Self { file: span.file.clone(), line: span.line, code: finding.code, words: fix.words.clone() })
    }
}

/// Writes the fixes that were made, one a line.
#[must_use]
pub fn fixes_text(made: &[FixMade], style: &Style) -> String {
    let line = |made: &FixMade| {
        let place = format!("{}:{}", style.name(&made.file), made.line);
        format!("{} {place}: {} ({})\n", style.mark(Symbol::Update), style.name(&made.words), made.code)
    };
    made.iter().map(line).collect()
}

/// Writes findings as JSON, with those that comments ignore: as [`diagnostics_json`], and `"suppressed":[...]`; where
/// fixes were asked for also `"fixed":[...]`.
#[must_use]
pub fn judged_json(findings: &[Diagnostic], suppressed: &[Diagnostic], made: Option<&[FixMade]>) -> String {
    written(findings, Some(suppressed), made)
}

fn written(findings: &[Diagnostic], suppressed: Option<&[Diagnostic]>, fixed: Option<&[FixMade]>) -> String {
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    pretty(&Findings {
        format_version: FINDINGS_FORMAT,
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        findings,
        suppressed,
        fixed,
    })
}

/// Says how many findings comments ignore, with their codes: `2 findings ignored: BK402, BK604`.
#[must_use]
pub fn suppressed_summary(suppressed: &[Diagnostic]) -> String {
    let codes: BTreeSet<&str> = suppressed.iter().map(|finding| finding.code.0).collect();
    let plural = if suppressed.len() == 1 { "finding" } else { "findings" };
    format!("{} {plural} ignored: {}", suppressed.len(), codes.into_iter().collect::<Vec<_>>().join(", "))
}

/// Counts findings in words: `2 errors and 1 warning`; `no findings` where there are none.
#[must_use]
pub fn findings_summary(findings: &[Diagnostic]) -> String {
    let parts: Vec<String> = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
        .into_iter()
        .filter_map(|(severity, word)| match findings.iter().filter(|f| f.severity == severity).count() {
            0 => None,
            1 => Some(format!("1 {word}")),
            n => Some(format!("{n} {word}s")),
        })
        .collect();
    if parts.is_empty() { "no findings".to_owned() } else { parts.join(" and ") }
}

fn one(finding: &Diagnostic, sources: &Safe, style: &Style) -> String {
    let (word, tone) = match finding.severity {
        Severity::Error => ("error", Tone::Bad),
        Severity::Warning => ("warning", Tone::Warn),
        Severity::Note => ("note", Tone::Note),
    };
    let head = style.paint(tone, &format!("{word}[{}]", finding.code));
    let mut out = format!("{head}: {}\n", style.heading(&style.name(&finding.message)));
    let mut labels: Vec<(&Span, &str, bool)> = Vec::new();
    labels.extend(finding.span.iter().map(|span| (span, finding.label.as_deref().unwrap_or(""), true)));
    labels.extend(finding.related.iter().map(|related| (&related.span, related.words.as_str(), false)));
    let mut files = BTreeSet::new();
    for (span, _, _) in &labels {
        if files.insert(span.file.as_str()) {
            let here: Vec<_> = labels.iter().filter(|(s, _, _)| s.file == span.file).copied().collect();
            out.push_str(&snippet(&span.file, &here, sources, style));
        }
    }
    if let Some(help) = &finding.help {
        let mut lines = help.lines();
        out.push_str(&format!("  {} {}\n", style.paint(Tone::Note, "help:"), style.name(lines.next().unwrap_or(""))));
        lines.for_each(|line| out.push_str(&format!("        {}\n", style.name(line))));
    }
    out
}

/// Returns the lines of one file that the labels point at; the places alone where the text is not at hand.
fn snippet(file: &str, labels: &[(&Span, &str, bool)], sources: &Safe, style: &Style) -> String {
    let source = sources.get(file).filter(|(text, _)| labels.iter().all(|(span, _, _)| can_show(text, span)));
    let Some((source, text)) = source else {
        return labels
            .iter()
            .map(|(span, words, _)| {
                let words = if words.is_empty() { String::new() } else { format!(": {}", style.name(words)) };
                format!("  --> {}:{}:{}{words}\n", style.name(file), span.line, span.column)
            })
            .collect();
    };
    let last = source.trim_end_matches(['\n', '\r']).len();
    let adapted = Adapted {
        source: Source { name: style.name(file), lines: Arc::clone(text) },
        labels: labels
            .iter()
            .map(|(span, words, primary)| {
                let words = (!words.is_empty()).then(|| style.name(words));
                // A place after the last line end has no line of its own to be shown on.
                let begin = span.begin.min(last);
                let mut end = span.end.min(last).max(begin);
                let line = text.line(begin);
                if text.line(end) - line >= MOST_LINES {
                    end = text.end(line).min(end);
                }
                let at = (begin, end - begin);
                if *primary {
                    LabeledSpan::new_primary_with_span(words, at)
                } else {
                    LabeledSpan::new_with_span(words, at)
                }
            })
            .collect(),
    };
    let theme = GraphicalTheme {
        characters: if style.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() },
        styles: if style.colour { ThemeStyles::ansi() } else { ThemeStyles::none() },
    };
    let mut rendered = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(style.width).with_links(false);
    if handler.render_report(&mut rendered, &adapted).is_err() {
        return String::new();
    }
    // miette always opens with a line for the message; ours stands above, with the code in it.
    let body = rendered.trim_start_matches('\n').split_once('\n').map_or("", |(_, body)| body);
    let body = body.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
    if style.unicode { body } else { body.lines().map(|line| format!("{}\n", ascii(line))).collect() }
}

/// Returns whether a span lies in a text, on character boundaries, in a line short enough to show.
fn can_show(text: &str, span: &Span) -> bool {
    if span.begin > span.end || text.get(span.begin..span.end).is_none() {
        return false;
    }
    let begin = text[..span.begin].rfind('\n').map_or(0, |at| at + 1);
    let end = text[span.end..].find('\n').map_or(text.len(), |at| span.end + at);
    text[begin..end].lines().all(|line| line.len() <= LONGEST_LINE)
}

struct Adapted {
    source: Source,
    labels: Vec<LabeledSpan>,
}

impl fmt::Display for Adapted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("-")
    }
}

impl fmt::Debug for Adapted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adapted")
    }
}

impl std::error::Error for Adapted {}

impl miette::Diagnostic for Adapted {
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
