//! The texts of the policy files, and places in them. Pure.

use std::collections::BTreeMap;

use crate::diag::Span;

use super::node::{Kind, Node};

/// A range of bytes in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The index of the file.
    pub file: usize,
    /// The first byte.
    pub begin: usize,
    /// The byte after the last.
    pub end: usize,
}

/// The texts of all files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    files: Vec<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    name: String,
    text: String,
    /// The first byte of each line.
    lines: Vec<usize>,
}

impl Sources {
    /// Takes in a file and returns its index.
    pub fn add(&mut self, name: &str, text: String) -> usize {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        self.files.push(Source { name: name.to_owned(), text, lines });
        self.files.len() - 1
    }

    /// Returns how many files there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Returns the text of a file.
    pub fn text(&self, file: usize) -> &str {
        &self.files[file].text
    }

    /// Returns the first byte of the line that holds a byte.
    pub fn line_begin(&self, file: usize, byte: usize) -> usize {
        let source = &self.files[file];
        source.lines[source.lines.partition_point(|begin| *begin <= byte).saturating_sub(1)]
    }

    /// Returns the text of the line that holds a byte, without its end.
    pub fn line_at(&self, file: usize, byte: usize) -> &str {
        let source = &self.files[file];
        let index = source.lines.partition_point(|begin| *begin <= byte).saturating_sub(1);
        let end = source.lines.get(index + 1).copied().unwrap_or(source.text.len());
        source.text.get(source.lines[index]..end).unwrap_or_default().trim_end_matches(['\n', '\r'])
    }

    /// Returns a place with its line and column.
    pub fn span(&self, place: Place) -> Span {
        let source = &self.files[place.file];
        let begin = floor(&source.text, place.begin);
        let end = floor(&source.text, place.end).max(begin);
        let index = source.lines.partition_point(|line| *line <= begin).saturating_sub(1);
        // Counting bytes that begin a character is what the machine does fast: a line can have megabytes.
        let before = &source.text.as_bytes()[source.lines[index]..begin];
        let column = before.iter().filter(|byte| (**byte & 0xc0) != 0x80).count() + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { file: source.name.clone(), begin, end, line: number(index + 1), column: number(column) }
    }
}

/// Returns the last boundary of a character at or before a byte.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// The places inside one thing, by path: `encryption.recipients[0]`. The empty path is the thing's name.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    paths: BTreeMap<String, Place>,
    whole: Place,
}

impl Places {
    /// Notes every place below a node; `whole` is the place of the thing's name.
    pub fn of(node: &Node, whole: Place) -> Self {
        let mut places = Self { paths: BTreeMap::new(), whole };
        places.walk(node, "");
        places
    }

    fn walk(&mut self, node: &Node, path: &str) {
        match &node.kind {
            Kind::Map(entries) => {
                for entry in entries {
                    let below = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                    self.walk(&entry.value, &below);
                    self.paths.insert(below, entry.value.place);
                }
            }
            Kind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let below = format!("{path}[{index}]");
                    self.walk(item, &below);
                    self.paths.insert(below, item.place);
                }
            }
            Kind::Null | Kind::Broken | Kind::Scalar { .. } => {}
        }
    }

    /// Returns whether something is written at a path.
    pub fn has(&self, path: &str) -> bool {
        self.paths.contains_key(path)
    }

    /// Returns the place of a path, or of the nearest thing around it.
    pub fn get(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.paths.get(path) {
                return *place;
            }
            match path.rfind(['.', '[']) {
                Some(cut) => path = &path[..cut],
                None => return self.whole,
            }
        }
    }
}
