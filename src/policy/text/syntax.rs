//! Words for what the YAML parser refuses. Pure.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use crate::diag::{Diagnostic, Edit, Fix};
use crate::policy::codes;

use super::yaml::MAX_DEPTH;
use super::{Place, Sources, shown};

/// Says what is wrong, where, and what to write instead.
pub(super) fn explain(sources: &Sources, file: usize, error: &ScanError) -> Diagnostic {
    let text = sources.text(file);
    let begin = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let width = text.get(begin..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    let span = sources.span(Place { file, begin, end: begin + width });
    if let Some(variable) = bare_variable(sources.line_at(file, begin)) {
        let seen = shown(variable);
        return Diagnostic::error(
            codes::BARE_BRACES,
            format!("`{seen}` is not in quotes, and YAML reads its braces as a mapping"),
        )
        .at(span, "YAML gives up here")
        .help(format!("write \"{seen}\", with quotes"))
        .fixed(quote_variable(sources, file, begin, variable));
    }
    if let Some(tab) = leading_tab(sources.line_at(file, begin)) {
        let begin = sources.line_begin(file, begin) + tab;
        let span = sources.span(Place { file, begin, end: begin + 1 });
        return Diagnostic::error(codes::TAB, "a tab stands where YAML wants spaces")
            .at(span, "this tab")
            .help("indent with spaces")
            .fixed(expand_tabs(sources, file));
    }
    use ErrorKind as K;
    let (code, message, help) = match error.kind() {
        K::TabNotAllowed
        | K::TabInBlockIndentation
        | K::TabInIndentation
        | K::TabAtBlockScalarStart
        | K::TabInPlainScalar => {
            (codes::TAB, "a tab stands where YAML wants spaces".to_owned(), "indent with spaces".to_owned())
        }
        K::RecursionLimitExceeded => (
            codes::TOO_LARGE,
            "the file is nested too deeply".to_owned(),
            format!("a policy nests at most {MAX_DEPTH} deep"),
        ),
        K::UnclosedQuotedScalar => yaml("a quote is opened and never closed", "close the quote"),
        K::UnexpectedEofFlowSequence | K::UnexpectedEofFlowMapping | K::UnexpectedEofImplicitFlowMapping => {
            yaml("a bracket or brace is opened and never closed", "close it with `]` or `}`")
        }
        K::UnclosedFlowCollection { open } => {
            let message = format!("`{open}` is opened and never closed");
            yaml(&message, "close it")
        }
        K::MismatchedFlowCollectionEnd { open, close } => {
            let message = format!("`{open}` is closed by `{close}`");
            yaml(&message, "use the bracket that belongs to it")
        }
        K::MisplacedFlowCollectionEnd => {
            yaml("a bracket is closed that was never opened", "remove it, or quote the text")
        }
        K::ExpectedFlowMappingSeparator | K::ExpectedFlowSequenceSeparator => {
            yaml("a comma or the closing bracket is missing", "separate the entries by commas and close the bracket")
        }
        K::MappingValueNotAllowed | K::InvalidColonPlacement => yaml(
            "a colon stands where no key can be",
            "a text that contains `: ` needs quotes; a mapping begins on a line of its own",
        ),
        K::SimpleKeyExpected | K::ExpectedBlockMappingKey | K::InvalidSimpleKey => {
            yaml("a key with a colon is expected here", "write `key: value`, indented like its neighbours")
        }
        K::InvalidIndentation
        | K::InvalidFlowScalarIndent
        | K::InvalidQuotedScalarIndent
        | K::InvalidBlockScalarIndent => {
            yaml("the indentation does not fit", "indent the line like its neighbours, with spaces")
        }
        K::UnexpectedCharacter { character } => {
            let message = format!("no value can begin with `{}`", character.escape_default());
            yaml(&message, "put the text in quotes")
        }
        K::UnknownQuotedScalarEscape => yaml(
            "there is no such escape in a double-quoted text",
            "write `\\\\` for a backslash, or use single quotes",
        ),
        K::BomInsideDocument => yaml("a byte-order mark stands inside the file", "remove it"),
        other => {
            let message = format!("this is not YAML: {other}");
            yaml(&message, "compare the line with its neighbours: indentation, colons, quotes and brackets")
        }
    };
    Diagnostic::error(code, message).at(span, "YAML gives up here").help(help)
}

/// Returns the edit that quotes a variable, where it is all of its value.
fn quote_variable(sources: &Sources, file: usize, at: usize, variable: &str) -> Option<Fix> {
    let (line, first) = (sources.line_at(file, at), sources.line_begin(file, at));
    let begin = line.find(variable)?;
    let (before, after) = (line[..begin].trim_end(), line[begin + variable.len()..].trim_start());
    let alone = before.ends_with([':', '[', ',', '-']) && (after.is_empty() || after.starts_with([',', '}', ']', '#']));
    let begin = first + begin;
    let span = sources.span(Place { file, begin, end: begin + variable.len() });
    alone.then(|| Fix {
        words: "quote the variable".to_owned(),
        edits: vec![Edit { span, text: format!("\"{variable}\"") }],
    })
}

/// Returns the edits that indent with spaces a file that is indented with tabs alone: two for each, so that what stood
/// inside something stays inside it. Where both are mixed only people know which lines stand inside which.
fn expand_tabs(sources: &Sources, file: usize) -> Option<Fix> {
    let text = sources.text(file);
    let mut edits = Vec::new();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if !line.trim().is_empty() && indent > 0 {
            if line[..indent].contains(' ') {
                return None;
            }
            let span = sources.span(Place { file, begin, end: begin + indent });
            edits.push(Edit { span, text: "  ".repeat(indent) });
        }
        begin += line.len();
    }
    Some(Fix { words: "indent with spaces".to_owned(), edits })
}

fn yaml(message: &str, help: &str) -> (crate::diag::Code, String, String) {
    (codes::NOT_YAML, message.to_owned(), help.to_owned())
}

/// Returns where a line's indentation has a tab.
fn leading_tab(line: &str) -> Option<usize> {
    let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
    line[..indentation].find('\t')
}

/// Returns the first `${NAME}` of a line that stands outside quotes.
fn bare_variable(line: &str) -> Option<&str> {
    let mut quote = None;
    for (index, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if line[..index].ends_with([' ', '\t']) || index == 0 => return None,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), close) if open == close => quote = None,
            (None, '$') if line[index..].starts_with("${") => {
                let rest = &line[index..];
                return rest.find('}').map(|end| &rest[..=end]);
            }
            _ => {}
        }
    }
    None
}
