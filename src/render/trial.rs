//! Results of policy tests to text, JSON and the JUnit XML that pipelines read. Pure.

use super::diagnostics::{Sources, diagnostics_text};
use super::escape::{escape, json_safe};
use super::style::{Style, Symbol, Tone};
use crate::domain::{TRIAL_FORMAT, TrialDifference, TrialFailure, TrialOutcome, TrialReport, TrialThing};

/// Writes results for people: a line for each test, and for a failed one what was expected and what there is instead.
#[must_use]
pub fn trial_text(report: &TrialReport, sources: &Sources, style: &Style) -> String {
    let mut out = String::new();
    let several = report.tests.windows(2).any(|pair| pair[0].span.file != pair[1].span.file);
    let mut file = None;
    for test in &report.tests {
        if several && file != Some(&test.span.file) {
            let gap = if file.is_some() { "\n" } else { "" };
            out.push_str(&format!("{gap}{}\n", style.heading(&style.name(&test.span.file))));
            file = Some(&test.span.file);
        }
        let symbol = if test.passed() { Symbol::Good } else { Symbol::Bad };
        out.push_str(&format!("{} {}\n", style.mark(symbol), style.name(&test.name)));
        for failure in &test.failures {
            let finding = diagnostics_text(std::slice::from_ref(&failure.finding), sources, style);
            out.push_str(&indented(&finding));
            out.push_str(&instead(failure, style));
            out.push('\n');
        }
    }
    out.push_str(&format!("{}\n", summary(report, style)));
    out
}

fn summary(report: &TrialReport, style: &Style) -> String {
    match report.counts() {
        (passed, 0) => style.paint(Tone::Good, &format!("{passed} passed")),
        (passed, failed) => format!("{passed} passed, {}", style.paint(Tone::Bad, &format!("{failed} failed"))),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect()
}

/// Writes what there is instead, the differing keys as a diff.
fn instead(failure: &TrialFailure, style: &Style) -> String {
    if failure.instead.is_empty() {
        return String::new();
    }
    let mut out = format!("    {}\n", style.paint(Tone::Note, "there is:"));
    for thing in &failure.instead {
        out.push_str(&format!("      {}\n", style.name(&thing.words)));
        for difference in &thing.differs {
            let minus = format!("- {}: {}", difference.key, style.name(&difference.expected));
            out.push_str(&format!("        {}\n", style.paint(Tone::Bad, &minus)));
            if let Some(found) = &difference.found {
                let plus = format!("+ {}: {}", difference.key, style.name(found));
                out.push_str(&format!("        {}\n", style.paint(Tone::Good, &plus)));
            }
        }
    }
    out
}

/// Writes results as JSON: `{"format_version":"1.0","passed":1,"failed":0,"tests":[...]}`.
#[must_use]
pub fn trial_json(report: &TrialReport) -> String {
    let (passed, failed) = report.counts();
    let test = |test: &TrialOutcome| {
        serde_json::json!({
            "name": test.name,
            "span": test.span,
            "passed": test.passed(),
            "failures": test.failures,
        })
    };
    let value = serde_json::json!({
        "format_version": TRIAL_FORMAT,
        "passed": passed,
        "failed": failed,
        "tests": report.tests.iter().map(test).collect::<Vec<_>>(),
    });
    json_safe(&format!("{value:#}\n"))
}

/// Writes results as JUnit XML: a suite for each file, a case for each test.
#[must_use]
pub fn trial_junit(report: &TrialReport) -> String {
    let (passed, failed) = report.counts();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str(&format!(
        "<testsuites name=\"bkup test\" tests=\"{}\" failures=\"{failed}\" errors=\"0\">\n",
        passed + failed
    ));
    for tests in report.tests.chunk_by(|a, b| a.span.file == b.span.file) {
        let file = tests.first().map(|test| xml(&test.span.file)).unwrap_or_default();
        let failed = tests.iter().filter(|test| !test.passed()).count();
        out.push_str(&format!(
            "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\">\n",
            tests.len()
        ));
        for test in tests {
            out.push_str(&format!(
                "    <testcase classname=\"{file}\" name=\"{}\" file=\"{file}\" line=\"{}\"",
                xml(&test.name),
                test.span.line
            ));
            if test.passed() {
                out.push_str("/>\n");
                continue;
            }
            out.push_str(">\n");
            for failure in &test.failures {
                out.push_str(&format!(
                    "      <failure type=\"{}\" message=\"{}\">{}</failure>\n",
                    failure.finding.code,
                    xml(&failure.finding.message),
                    xml(&plain(failure))
                ));
            }
            out.push_str("    </testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Writes a failure on plain lines, without the source around it.
fn plain(failure: &TrialFailure) -> String {
    let finding = &failure.finding;
    let mut lines = Vec::new();
    if let Some(span) = &finding.span {
        let label = finding.label.as_deref().map(|label| format!(": {}", escape(label))).unwrap_or_default();
        lines.push(format!("{}:{}:{}{label}", escape(&span.file), span.line, span.column));
    }
    let differs = |difference: &TrialDifference| {
        let found = difference.found.as_ref().map(|found| format!("  + {}: {}", difference.key, escape(found)));
        std::iter::once(format!("  - {}: {}", difference.key, escape(&difference.expected)))
            .chain(found)
            .collect::<Vec<_>>()
    };
    for TrialThing { words, differs: all } in &failure.instead {
        lines.push(escape(words));
        lines.extend(all.iter().flat_map(differs));
    }
    lines.join("\n")
}

/// Returns a text as it may stand in XML, in attributes too. What XML has no way to write, as control characters, is
/// written out first.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push_str(&escape(&c.to_string())),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::xml;

    #[test]
    fn a_text_can_stand_in_xml_whatever_is_in_it() {
        assert_eq!(xml("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;");
        assert_eq!(xml("]]>\u{1b}[2J\0\nx"), "]]&gt;\\u{1b}[2J\\u{0}&#10;x");
        assert_eq!(xml("müllers 김치"), "müllers 김치");
    }
}
