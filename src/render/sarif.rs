//! Findings as SARIF 2.1.0, for code scanning: one run, with the rules that found something. Pure.
//!
//! Texts stand as they are. The standard doubles braces in messages, but programs that read logs only look for
//! placeholders where there are arguments, and would show `{{ within: 30d }}` to people.

use std::collections::BTreeMap;

use serde::Serialize;

use super::diagnostics::Sources;
use super::json::pretty;
use super::place::{region, relative, uri};
use crate::diag::{Code, Diagnostic, Edit, Fix, Severity, Span};
use crate::domain::digest_of;

/// What a log says about the program that wrote it.
#[derive(Debug, Clone, Copy)]
pub struct SarifTool<'a> {
    /// The version, by Semantic Versioning.
    pub version: &'a str,
    /// Where people read about it, if there is such a place.
    pub about: Option<&'a str>,
    /// Codes with their meaning in one line.
    pub rules: &'a [(Code, &'a str)],
}

/// The name of the folder that paths are relative to.
const ROOT: &str = "SRCROOT";

/// The key of the fingerprint; a new way to make it gets a new number.
const FINGERPRINT: &str = "bkupFinding/v1";

/// Writes findings as a SARIF log. Paths are named from `folder`, the root of the checkout.
#[must_use]
pub fn diagnostics_sarif(findings: &[Diagnostic], sources: &Sources, folder: &str, tool: SarifTool<'_>) -> String {
    let rules = rules(findings, tool.rules);
    let places = Places { sources, folder };
    let mut seen = BTreeMap::new();
    let results = findings.iter().map(|finding| places.result(finding, &rules, &mut seen)).collect();
    pretty(&Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "bkup",
                    version: tool.version,
                    semantic_version: tool.version,
                    information_uri: tool.about,
                    rules,
                },
            },
            invocations: [Invocation { execution_successful: true }],
            original_uri_base_ids: BTreeMap::from([(
                ROOT,
                Base { description: text("the folder that bkup ran in: the root of the checkout") },
            )]),
            column_kind: "unicodeCodePoints",
            results,
        }],
    })
}

/// Returns the rules that found something, sorted, each with the worst level that it was found at.
fn rules(findings: &[Diagnostic], meanings: &[(Code, &str)]) -> Vec<Rule> {
    let mut worst: BTreeMap<Code, Severity> = BTreeMap::new();
    for finding in findings {
        let severity = worst.entry(finding.code).or_insert(finding.severity);
        // `Severity` is ordered from the worst on.
        *severity = (*severity).min(finding.severity);
    }
    let rule = |(code, severity): (Code, Severity)| {
        let meaning = meanings.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning);
        Rule {
            id: code.0,
            short_description: meaning.map(text),
            help: text(&format!("`bkup explain {code}` says why it matters and shows an example with its mending.")),
            default_configuration: Configuration { level: level(severity) },
        }
    };
    worst.into_iter().map(rule).collect()
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn text(words: &str) -> Message {
    // A name from outside must not become a link that a reader of the log would show.
    Message { text: words.replace("](", "] (") }
}

/// What places are seen from.
struct Places<'a> {
    sources: &'a Sources,
    folder: &'a str,
}

impl Places<'_> {
    fn result(&self, finding: &Diagnostic, rules: &[Rule], seen: &mut BTreeMap<String, usize>) -> Outcome {
        let mut words = finding.message.clone();
        if let Some(help) = &finding.help {
            words.push_str(". Help: ");
            words.push_str(help);
        }
        let related = finding.related.iter().enumerate();
        Outcome {
            rule_id: finding.code.0,
            rule_index: rules.iter().position(|rule| rule.id == finding.code.0),
            level: level(finding.severity),
            message: text(&words),
            locations: finding
                .span
                .iter()
                .map(|span| self.location(None, span, finding.label.as_deref().unwrap_or("")))
                .collect(),
            related_locations: related
                .map(|(index, related)| self.location(Some(index + 1), &related.span, &related.words))
                .collect(),
            fixes: finding.fix.iter().filter_map(|fix| self.fix(fix)).collect(),
            partial_fingerprints: BTreeMap::from([(FINGERPRINT, self.fingerprint(finding, seen))]),
        }
    }

    /// Returns what tells a finding from others and stays when lines above it come or go: neither line nor column is
    /// part of it. Equal findings of one file are numbered.
    fn fingerprint(&self, finding: &Diagnostic, seen: &mut BTreeMap<String, usize>) -> String {
        let file = finding.span.as_ref().map_or("", |span| relative(&span.file, self.folder));
        let digest = digest_of(&(finding.code, file, &finding.message, &finding.label)).to_string();
        let count = seen.entry(digest.clone()).or_default();
        *count += 1;
        format!("{digest}:{count}")
    }

    fn artifact(&self, file: &str) -> Artifact {
        let path = relative(file, self.folder);
        Artifact { uri: uri(path), uri_base_id: (!path.starts_with('/')).then_some(ROOT) }
    }

    fn area(&self, span: &Span) -> Area {
        match region(span, self.sources) {
            Some(region) => Area {
                start_line: region.begin_line,
                start_column: region.begin_column,
                end_line: Some(region.end_line),
                end_column: Some(region.end_column),
            },
            None => Area { start_line: span.line, start_column: span.column, end_line: None, end_column: None },
        }
    }

    fn location(&self, id: Option<usize>, span: &Span, words: &str) -> Location {
        Location {
            id,
            physical_location: Physical { artifact_location: self.artifact(&span.file), region: self.area(span) },
            message: (!words.is_empty()).then(|| text(words)),
        }
    }

    /// Returns a fix; `None` where one of its places has no end that is known: half a fix is none.
    fn fix(&self, fix: &Fix) -> Option<Mending> {
        let mut files: BTreeMap<&str, Vec<Replacement>> = BTreeMap::new();
        for Edit { span, text } in &fix.edits {
            let deleted_region = self.area(span);
            deleted_region.end_line?;
            // Not a message: this text goes into a file as it is.
            let inserted_content = Message { text: text.clone() };
            files.entry(&span.file).or_default().push(Replacement { deleted_region, inserted_content });
        }
        let change = |(file, replacements)| Change { artifact_location: self.artifact(file), replacements };
        let artifact_changes: Vec<Change> = files.into_iter().map(change).collect();
        (!artifact_changes.is_empty()).then(|| Mending { description: text(&fix.words), artifact_changes })
    }
}

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    invocations: [Invocation; 1],
    original_uri_base_ids: BTreeMap<&'static str, Base>,
    column_kind: &'static str,
    results: Vec<Outcome>,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'static str,
    version: &'a str,
    semantic_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    information_uri: Option<&'a str>,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    short_description: Option<Message>,
    help: Message,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
}

#[derive(Serialize)]
struct Base {
    description: Message,
}

#[derive(Serialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    rule_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_index: Option<usize>,
    level: &'static str,
    message: Message,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<Mending>,
    partial_fingerprints: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    physical_location: Physical,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Area,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_base_id: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Area {
    start_line: u32,
    start_column: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_column: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mending {
    description: Message,
    artifact_changes: Vec<Change>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    artifact_location: Artifact,
    replacements: Vec<Replacement>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement {
    deleted_region: Area,
    inserted_content: Message,
}
