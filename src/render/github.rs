//! Findings as GitHub's workflow commands: annotations at the lines of a pull request. Pure.
//!
//! A log line that begins with `::` is an order to the runner, so what comes from a policy, a file's name or a database
//! must not begin a line of its own, end a property early, or end the command.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::diagnostics::{Sources, findings_summary};
use super::escape::escape;
use super::place::{region, relative};
use crate::diag::{Diagnostic, Severity};

/// GitHub shows ten annotations of a level for each step and drops the rest without a word.
const MOST_ANNOTATIONS: usize = 10;

/// Writes the ten worst findings as annotations, errors first, then one line that counts all of them. Paths are named
/// from `folder`, the root of the checkout.
#[must_use]
pub fn diagnostics_github(findings: &[Diagnostic], sources: &Sources, folder: &str) -> String {
    let mut out = annotations(findings, sources, folder);
    out.push_str(&findings_summary(findings));
    let left = findings.len().saturating_sub(MOST_ANNOTATIONS);
    if left > 0 {
        let _ = write!(out, "; {left} of them without an annotation: run `bkup validate` to see all");
    }
    out.push('\n');
    out
}

/// Writes the ten worst findings as annotations, errors first, and nothing else.
#[must_use]
pub fn annotations(findings: &[Diagnostic], sources: &Sources, folder: &str) -> String {
    let mut worst: Vec<&Diagnostic> = findings.iter().collect();
    // The sort is stable: within a level the order of the files stays.
    worst.sort_by_key(|finding| Reverse(rank(finding.severity)));
    worst.iter().take(MOST_ANNOTATIONS).map(|finding| annotation(finding, sources, folder)).collect()
}

/// Writes the commands that make the runner hide a secret in everything that follows, a line of it each. Lines of fewer
/// than four characters are left: hiding them would tell them, in every word that they are part of.
#[must_use]
pub fn mask(secret: &str) -> String {
    let lines = secret.split(['\n', '\r']).map(str::trim).filter(|line| line.chars().count() >= 4);
    // Exactly as it is: what is written otherwise is not what the runner would find in the log.
    lines.map(|line| format!("::add-mask::{}\n", line.replace('%', "%25"))).collect()
}

/// Writes one output of a step in the form that a value cannot leave: between two lines of a word that it does not
/// hold. `random` makes that word; whoever could know it could end the value and set other outputs.
#[must_use]
pub fn heredoc(name: &str, value: &str, random: u64) -> String {
    let mut word = format!("bkup_{random:016x}");
    while value.contains(&word) {
        word.push('_');
    }
    format!("{name}<<{word}\n{value}\n{word}\n")
}

const fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 2,
        Severity::Warning => 1,
        Severity::Note => 0,
    }
}

fn annotation(finding: &Diagnostic, sources: &Sources, folder: &str) -> String {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let mut properties = Vec::new();
    if let Some(span) = &finding.span {
        properties.push(format!("file={}", property(relative(&span.file, folder))));
        properties.push(format!("line={}", span.line));
        match region(span, sources) {
            // Columns are for one line only: with two, GitHub refuses them.
            Some(region) if region.end_line != region.begin_line => {
                properties.push(format!("endLine={}", region.end_line));
            }
            Some(region) => {
                properties.push(format!("col={}", region.begin_column));
                properties.push(format!("endLine={}", region.end_line));
                properties.push(format!("endColumn={}", region.end_column));
            }
            None => properties.push(format!("col={}", span.column)),
        }
    }
    properties.push(format!("title={}", property(finding.code.0)));
    let mut message = finding.message.clone();
    for related in &finding.related {
        let place = format!("{}:{}", relative(&related.span.file, folder), related.span.line);
        let _ = write!(message, "\n{place}: {}", related.words);
    }
    if let Some(help) = &finding.help {
        let _ = write!(message, "\nhelp: {help}");
    }
    format!("::{level} {}::{}\n", properties.join(","), data(&message))
}

/// Writes text as the data of a command.
fn data(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            '\\' | '\t' => out.push(c),
            // A log is read in terminals, too.
            c => out.push_str(&escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out
}

/// Writes text as the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{data, diagnostics_github, heredoc, mask, property};
    use crate::diag::{Code, Diagnostic, Severity, Span};
    use crate::render::Sources;

    /// Reads a line as the runner does: the level, the properties, the message.
    fn read(line: &str) -> (String, Vec<(String, String)>, String) {
        let (head, message) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
        let (level, properties) = head.split_once(' ').unwrap();
        let decode = |text: &str| {
            let text = text.replace("%0D", "\r").replace("%0A", "\n").replace("%3A", ":").replace("%2C", ",");
            text.replace("%25", "%")
        };
        let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.to_owned(), decode(value))).unwrap();
        (level.to_owned(), properties.split(',').map(pair).collect(), decode(message))
    }

    fn finding(severity: Severity, file: &str, message: &str, help: &str) -> Diagnostic {
        let span = Span { file: file.to_owned(), begin: 0, end: 1, line: 3, column: 5 };
        Diagnostic::new(Code("BK110"), severity, message).at(span, "here").help(help)
    }

    #[test]
    fn what_would_steer_the_runner_is_encoded() {
        assert_eq!(data("100%\r\n::set-env name=A::b"), "100%25%0D%0A::set-env name=A::b");
        assert_eq!(property("a,line=9::b%3A"), "a%2Cline=9%3A%3Ab%253A");
        assert_eq!(data("a\u{1b}[2J\u{2028}\\n\t"), "a\\u{1b}[2J\\u{2028}\\n\t");
    }

    #[test]
    fn the_ten_worst_are_annotated_and_all_are_counted() {
        let of = |severity, n: usize| (0..n).map(move |i| finding(severity, "a", &format!("{i}"), "h"));
        let mut findings: Vec<Diagnostic> = of(Severity::Note, 1).chain(of(Severity::Warning, 9)).collect();
        findings.extend(of(Severity::Error, 4));
        let text = diagnostics_github(&findings, &Sources::new(), "/nowhere");
        let levels: Vec<String> = text.lines().filter(|line| line.starts_with("::")).map(|line| read(line).0).collect();
        assert_eq!(levels, [vec!["error"; 4], vec!["warning"; 6]].concat());
        assert_eq!(
            text.lines().last(),
            Some("4 errors and 9 warnings and 1 note; 4 of them without an annotation: run `bkup validate` to see all")
        );
        assert_eq!(diagnostics_github(&[], &Sources::new(), "/nowhere"), "no findings\n");
    }

    #[test]
    fn columns_are_left_out_of_a_place_of_several_lines() {
        let sources = Sources::from([("/r/a".to_owned(), "ab\ncd\n".to_owned())]);
        let span = |end| Span { file: "/r/a".to_owned(), begin: 0, end, line: 1, column: 1 };
        let line = |end| {
            let finding = Diagnostic::error(Code("BK110"), "m").at(span(end), "here");
            diagnostics_github(&[finding], &sources, "/r")
        };
        assert!(line(2).starts_with("::error file=a,line=1,col=1,endLine=1,endColumn=3,title=BK110::m\n"));
        assert!(line(4).starts_with("::error file=a,line=1,endLine=2,title=BK110::m\n"));
    }

    #[test]
    fn a_secret_is_hidden_line_by_line_as_it_is() {
        assert_eq!(mask("p%40ss\u{1b}word"), "::add-mask::p%2540ss\u{1b}word\n");
        assert_eq!(mask("AGE-SECRET\r\n\n ab\nsecond"), "::add-mask::AGE-SECRET\n::add-mask::second\n");
        assert_eq!(mask(""), "");
    }

    #[test]
    fn a_value_cannot_end_its_own_output() {
        assert_eq!(heredoc("digest", "abc", 1), "digest<<bkup_0000000000000001\nabc\nbkup_0000000000000001\n");
        let hostile = "x\nbkup_0000000000000001\ndigest=forged";
        let text = heredoc("digest", hostile, 1);
        assert_eq!(text, format!("digest<<bkup_0000000000000001_\n{hostile}\nbkup_0000000000000001_\n"));
    }

    proptest! {
        #[test]
        fn nothing_in_a_finding_makes_another_command_or_property(
            file in "[ -~\\n\\r%:,\u{85}\u{2028}ä]{1,20}",
            message in "([ -~\\n\\r%\u{85}\u{2028}ä]|::|##\\[|%0A){0,20}",
            help in "([ -~\\n\\r]|::error::|\\n::stop-commands::x){0,6}",
        ) {
            let text = diagnostics_github(&[finding(Severity::Warning, &file, &message, &help)], &Sources::new(), "/nowhere");
            prop_assert_eq!(text.split(['\n', '\r']).filter(|line| !line.is_empty()).count(), 2, "{}", text);
            let (level, properties, said) = read(text.lines().next().unwrap());
            prop_assert_eq!(level, "warning");
            let shown = |text: &str| text.replace('\u{85}', "\\u{85}").replace('\u{2028}', "\\u{2028}");
            let value = |text: &str| text.to_owned();
            let expected = [
                ("file".to_owned(), shown(&file)),
                ("line".to_owned(), value("3")),
                ("col".to_owned(), value("5")),
                ("title".to_owned(), value("BK110")),
            ];
            prop_assert_eq!(properties, expected);
            prop_assert_eq!(said, shown(&format!("{message}\nhelp: {help}")));
        }
    }
}
