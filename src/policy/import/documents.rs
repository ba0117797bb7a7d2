//! YAML of other programs: several documents in one text, code blocks in Markdown, and looking into trees whose shape
//! nobody promises. Pure. The one YAML module reads each document by itself.

use std::sync::Arc;

use crate::policy::text::{self, Kind, Node, Sources};
use crate::policy::write::harmless;

/// One document, or why it could not be read.
pub(super) struct Document {
    /// The line it begins at, from 1.
    pub line: usize,
    /// Its tree, with the text it was read from.
    pub tree: Result<(Arc<Node>, Sources), String>,
}

/// After so many documents the rest is not read.
const MOST_DOCUMENTS: usize = 10_000;

/// Reads every document of a YAML text; `---` at the begin of a line separates them, whatever stands around it.
pub(super) fn documents(text: &str) -> Vec<Document> {
    let mut all = Vec::new();
    let mut begin = 0;
    let mut first_line = 1;
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let separates = line.starts_with("---") && line[3..].chars().next().is_none_or(char::is_whitespace);
        if separates {
            push(&mut all, &text[begin..offset], first_line);
            // What follows on the same line belongs to the document: `--- {}` or a comment.
            begin = offset + 3;
            first_line = index + 1;
        }
        offset += line.len();
    }
    push(&mut all, &text[begin..], first_line);
    all
}

/// Reads the YAML code blocks of a Markdown text.
pub(super) fn blocks(text: &str) -> Vec<Document> {
    let mut all = Vec::new();
    let mut open: Option<(&str, bool, usize, usize)> = None;
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let trimmed = line.trim();
        match open {
            Some((fence, yaml, begin, first_line)) => {
                if trimmed.starts_with(fence) && trimmed.trim_start_matches(&fence[..1]).is_empty() {
                    if yaml {
                        for mut document in documents(&text[begin..offset]) {
                            document.line += first_line - 1;
                            all.push(document);
                        }
                    }
                    open = None;
                }
            }
            None => {
                let fence = ["```", "~~~"].into_iter().find(|fence| trimmed.starts_with(fence));
                if let Some(fence) = fence {
                    let word = trimmed.trim_start_matches(&fence[..1]).trim().to_ascii_lowercase();
                    let yaml = ["yaml", "yml"].contains(&word.split(' ').next().unwrap_or_default());
                    open = Some((fence, yaml, offset + line.len(), index + 2));
                }
            }
        }
        offset += line.len();
    }
    if let Some((_, true, begin, first_line)) = open {
        for mut document in documents(&text[begin..]) {
            document.line += first_line - 1;
            all.push(document);
        }
    }
    all
}

fn push(all: &mut Vec<Document>, text: &str, line: usize) {
    let says_something = text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    if !says_something {
        return;
    }
    if all.len() >= MOST_DOCUMENTS {
        if all.len() == MOST_DOCUMENTS {
            let tree = Err(format!("there are more than {MOST_DOCUMENTS} documents; the rest was not read"));
            all.push(Document { line, tree });
        }
        return;
    }
    let mut sources = Sources::default();
    // A document's end marker is no content.
    let text: String = text.split_inclusive('\n').filter(|line| line.trim_end() != "...").collect();
    let file = sources.add("document", text);
    let mut found = Vec::new();
    let tree = match text::parse(&sources, file, &mut found) {
        Some(tree) => Ok((tree, sources)),
        None => {
            let why = found.first().map_or_else(
                || "it is not YAML".to_owned(),
                |finding| {
                    let at = finding.span.as_ref().map_or(0, |span| span.line as usize);
                    format!("it is not YAML that can be read: {} (line {})", harmless(&finding.message), line + at - 1)
                },
            );
            Err(why)
        }
    };
    all.push(Document { line, tree });
}

/// Returns the value of a key.
pub(super) fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.kind {
        Kind::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &*entry.value),
        _ => None,
    }
}

/// Returns the value at the end of a path of keys.
pub(super) fn at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, key| get(node, key))
}

/// Returns a scalar's text.
pub(super) fn scalar(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// Returns a list's items, or none.
pub(super) fn items(node: Option<&Node>) -> &[Arc<Node>] {
    match node.map(|node| &node.kind) {
        Some(Kind::List(items)) => items,
        _ => &[],
    }
}

/// Returns a mapping's entries, or none.
pub(super) fn entries(node: Option<&Node>) -> &[text::Entry] {
    match node.map(|node| &node.kind) {
        Some(Kind::Map(entries)) => entries,
        _ => &[],
    }
}

/// Returns the texts of a list of scalars; a scalar alone is a list of one.
pub(super) fn texts(node: Option<&Node>) -> Vec<String> {
    match node.map(|node| &node.kind) {
        Some(Kind::Scalar { text, .. }) => vec![text.clone()],
        _ => items(node).iter().filter_map(|item| scalar(item).map(str::to_owned)).collect(),
    }
}

/// Returns the line a node stands on, from 1, within its document.
pub(super) fn line_of(node: &Node, sources: &Sources) -> usize {
    sources.span(node.place).line as usize
}
