//! The texts of the policy files, and places in them. Pure.

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
///
/// It keeps the tree and walks it: written out, the paths of a file can take a thousand times its size.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    tree: Node,
    whole: Place,
}

impl Places {
    /// Knows every place below a node; `whole` is the place of the thing's name.
    pub fn of(node: &Node, whole: Place) -> Self {
        Self { tree: node.clone(), whole }
    }

    /// Returns whether something is written at a path.
    pub fn has(&self, path: &str) -> bool {
        let (place, whole_path) = self.nearest(path);
        whole_path && place.is_some()
    }

    /// Returns the place of the last thing on the way of a path, and whether the way was gone to its end.
    fn nearest(&self, path: &str) -> (Option<Place>, bool) {
        self.nearest_node(path).map_or((None, false), |(node, end)| (Some(node.place), end))
    }

    /// Returns the last thing on the way of a path, and whether the way was gone to its end; `None` where not even its
    /// first step is written.
    fn nearest_node(&self, path: &str) -> Option<(&Node, bool)> {
        if path.is_empty() {
            return None;
        }
        let mut found: Option<&Node> = None;
        let mut node = &self.tree;
        for step in path.split(['.', '[']) {
            let next = match (&node.kind, step.strip_suffix(']')) {
                (Kind::List(items), Some(index)) => index.parse::<usize>().ok().and_then(|index| items.get(index)),
                (Kind::Map(entries), None) => entries.iter().find(|entry| entry.key == step).map(|entry| &entry.value),
                _ => None,
            };
            let Some(next) = next else { return found.map(|node| (node, false)) };
            node = next;
            found = Some(node);
        }
        found.map(|node| (node, true))
    }

    /// Returns the paths directly below a path with their places, in the order they are written. The empty path is the
    /// thing itself.
    pub fn below(&self, path: &str) -> Vec<(String, Place)> {
        let node = if path.is_empty() {
            Some(&self.tree)
        } else {
            self.nearest_node(path).filter(|(_, end)| *end).map(|(node, _)| node)
        };
        let mut below: Vec<(String, Place)> = match node.map(|node| &node.kind) {
            Some(Kind::List(items)) => {
                items.iter().enumerate().map(|(index, item)| (format!("{path}[{index}]"), item.place)).collect()
            }
            Some(Kind::Map(entries)) => {
                let dot = if path.is_empty() { "" } else { "." };
                entries.iter().map(|entry| (format!("{path}{dot}{}", entry.key), entry.value.place)).collect()
            }
            _ => Vec::new(),
        };
        below.sort_by_key(|(_, place)| (place.file, place.begin));
        below
    }

    /// Returns whether a place lies inside the thing: from its name to the end of its last value, or in what an alias
    /// brought from elsewhere.
    pub fn holds(&self, file_place: Place) -> bool {
        let inside = |place: &Place| {
            place.file == file_place.file
                && place.begin <= file_place.begin
                && file_place.begin < place.end.max(place.begin + 1)
        };
        let (mut end, mut found) = (self.whole.end, false);
        let mut open = vec![&self.tree];
        while let Some(node) = open.pop() {
            found |= inside(&node.place);
            if node.place.file == self.whole.file && node.place.begin >= self.whole.begin {
                end = end.max(node.place.end);
            }
            match &node.kind {
                Kind::List(items) => open.extend(items.iter().map(|item| &**item)),
                Kind::Map(entries) => open.extend(entries.iter().map(|entry| &*entry.value)),
                _ => {}
            }
        }
        found || inside(&Place { end, ..self.whole })
    }

    /// Returns the place of a path, or of the nearest thing around it.
    pub fn get(&self, path: &str) -> Place {
        self.nearest(path).0.unwrap_or(self.whole)
    }
}
