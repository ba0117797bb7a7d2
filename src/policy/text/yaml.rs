//! Reads one YAML document into a tree. Pure. The only module that knows the YAML library; it takes the events of the
//! parser below serde-saphyr, because a typed read stops at the first wrong value of a file and resolves `1.10` to a
//! float before anyone can object.
//!
//! Aliases share their node, so an alias bomb costs nothing to read; what it would cost to walk is counted in
//! [`Node::weight`] and refused before anyone walks it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span as Marks};

use crate::diag::Diagnostic;
use crate::policy::codes;

use super::node::{Entry, Kind, Node, Style, shown};
use super::{Place, Sources, syntax};

/// How large a file may be.
const MAX_BYTES: usize = 4 << 20;
/// How deep a policy may nest; the language itself needs eight.
pub(super) const MAX_DEPTH: usize = 40;
/// How many nodes a file may stand for once its aliases are followed.
const MAX_NODES: usize = 200_000;

/// After so many findings a file is not read on.
pub(crate) const MOST_FINDINGS: usize = 1000;

/// Reads a file into a tree. `None` where it is no YAML at all; findings say why.
pub(crate) fn parse(sources: &Sources, file: usize, found: &mut Vec<Diagnostic>) -> Option<Arc<Node>> {
    let text = sources.text(file);
    let whole = Place { file, begin: 0, end: 0 };
    if text.len() > MAX_BYTES {
        found.push(
            Diagnostic::error(
                codes::TOO_LARGE,
                format!("the file has {} bytes, more than a policy file may", text.len()),
            )
            .at(sources.span(whole), "this file")
            .help(format!("split it: a policy file may have {} MiB", MAX_BYTES >> 20)),
        );
        return None;
    }
    let before = found.len();
    let mut options = Options::default();
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    options.emit_unresolved_aliases = true;
    options.set_emit_comments(false);
    let mut builder = Builder {
        sources,
        file,
        found,
        open: Vec::new(),
        anchors: HashMap::new(),
        documents: 0,
        root: None,
        merged: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, marks)) => {
                if !builder.take(event, &marks) {
                    return None;
                }
            }
            Err(error) => {
                let finding = syntax::explain(sources, file, &error);
                builder.found.push(finding);
                return None;
            }
        }
    }
    let root = builder.root.take();
    if root.is_none() && found.len() == before {
        found.push(
            Diagnostic::error(codes::NO_MAPPING, "the file is empty")
                .at(sources.span(whole), "nothing here")
                .help("begin it with `version: 1`, or delete it"),
        );
    }
    root
}

struct Builder<'a> {
    sources: &'a Sources,
    file: usize,
    found: &'a mut Vec<Diagnostic>,
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
    documents: usize,
    root: Option<Arc<Node>>,
    /// How many entries merge keys have brought: each is a copy, so they are what a bomb would be made of.
    merged: usize,
}

/// A list or mapping that has begun and not ended.
struct Open {
    anchor: usize,
    begin: usize,
    content: Content,
}

enum Content {
    List(Vec<Arc<Node>>),
    Map { entries: Vec<Entry>, seen: HashMap<String, Place>, merged: Vec<(Place, Arc<Node>)>, key: Option<Key> },
}

/// A key that waits for its value; the text is absent where the key is none.
struct Key {
    text: Option<String>,
    plain: bool,
    place: Place,
}

impl Builder<'_> {
    fn place(&self, marks: &Marks) -> Place {
        let range = marks.byte_range().unwrap_or(0..0);
        Place { file: self.file, begin: range.start, end: range.end }
    }

    fn error(&mut self, code: crate::diag::Code, message: &str, place: Place, label: &str, help: &str) {
        let span = self.sources.span(place);
        self.found.push(Diagnostic::error(code, message).at(span, label).help(help));
    }

    /// Takes one event; false where reading must stop.
    fn take(&mut self, event: Event<'_>, marks: &Marks) -> bool {
        let place = self.place(marks);
        if self.found.len() >= MOST_FINDINGS {
            self.too_large("the file has more mistakes than anybody reads at once", place, "correct the first ones");
            return false;
        }
        if event.tag().is_some() {
            let tag = marks.tag_span().map_or(place, |tag| self.place(&tag));
            self.error(
                codes::NO_TAGS,
                "the policy language has no YAML tags",
                tag,
                "this tag",
                "remove it; for a text, write quotes instead",
            );
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.error(
                        codes::SECOND_DOCUMENT,
                        "the file holds a second YAML document",
                        place,
                        "it begins here",
                        "remove the `---` line, or move what follows into a file of its own",
                    );
                    return false;
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let node = if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Node { kind: Kind::Null, place, weight: 1 }
                } else {
                    let style = if plain { Style::Plain } else { Style::Quoted };
                    Node { kind: Kind::Scalar { text: text.into_owned(), style }, place, weight: 1 }
                };
                return self.put(Arc::new(node), anchor);
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { anchor, begin: place.begin, content: Content::List(Vec::new()) });
            }
            Event::MappingStart(_, anchor, _) => {
                let content = Content::Map { entries: Vec::new(), seen: HashMap::new(), merged: Vec::new(), key: None };
                self.open.push(Open { anchor, begin: place.begin, content });
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(place.end),
            Event::Alias(id) => match self.anchors.get(&id) {
                Some(node) => {
                    let node = Arc::clone(node);
                    return self.put(node, 0);
                }
                None => {
                    self.error(
                        codes::BAD_ALIAS,
                        "an alias stands inside the thing it names",
                        place,
                        "it would contain itself",
                        "write the value out",
                    );
                    return self.put(Arc::new(Node { kind: Kind::Broken, place, weight: 1 }), 0);
                }
            },
            Event::UnresolvedAlias(name) => {
                let message = format!("there is no anchor `&{}` before this alias in the file", shown(&name));
                self.error(codes::BAD_ALIAS, &message, place, "this alias", "anchors belong to one file and come before their aliases; a text that begins with `*` needs quotes");
                return self.put(Arc::new(Node { kind: Kind::Broken, place, weight: 1 }), 0);
            }
            _ => {}
        }
        true
    }

    fn close(&mut self, end: usize) -> bool {
        let Some(open) = self.open.pop() else { return true };
        // A block collection ends where the next thing begins: without the white space between, the place is its own.
        let begin = open.begin;
        let text = self.sources.text(self.file);
        let end = text.get(begin..end).map_or(end, |inside| begin + inside.trim_end().len());
        let place = Place { file: self.file, begin, end };
        let (kind, weight) = match open.content {
            Content::List(items) => {
                let weight = items.iter().map(|item| item.weight).sum::<usize>();
                (Kind::List(items), weight)
            }
            Content::Map { mut entries, merged, .. } => {
                let mut names: HashSet<String> = HashSet::new();
                if !merged.is_empty() {
                    names.extend(entries.iter().map(|entry| entry.key.clone()));
                }
                for (place, node) in merged {
                    if !self.merge(&mut entries, &mut names, place, &node) {
                        return false;
                    }
                }
                let weight = entries.iter().map(|entry| entry.value.weight).sum::<usize>();
                (Kind::Map(entries), weight)
            }
        };
        self.put(Arc::new(Node { kind, place, weight: weight.saturating_add(1) }), open.anchor)
    }

    /// Adds what a merge key brings; what is written out wins, then what is merged first. False where reading must
    /// stop.
    fn merge(&mut self, entries: &mut Vec<Entry>, names: &mut HashSet<String>, place: Place, node: &Node) -> bool {
        match &node.kind {
            Kind::Map(from) => {
                self.merged += from.len();
                if self.merged > MAX_NODES {
                    self.too_large("the file grows too large when its merge keys are followed", place, "merge less");
                    return false;
                }
                for entry in from {
                    if names.insert(entry.key.clone()) {
                        entries.push(entry.clone());
                    }
                }
            }
            Kind::Broken => {}
            Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::Map(_))) => {
                for item in items {
                    if !self.merge(entries, names, place, item) {
                        return false;
                    }
                }
            }
            _ => self.error(
                codes::BAD_ALIAS,
                "`<<` merges mappings, and this is none",
                place,
                "this merge key",
                "give it an alias of a mapping, as in `<<: *defaults`",
            ),
        }
        true
    }

    fn too_large(&mut self, message: &str, place: Place, help: &str) {
        self.error(codes::TOO_LARGE, message, place, "here it is too much", help);
    }

    /// Puts a finished node where it belongs; false where the file has grown too large.
    fn put(&mut self, node: Arc<Node>, anchor: usize) -> bool {
        if node.weight > MAX_NODES {
            let message = "the file grows too large when its aliases are followed";
            self.too_large(message, node.place, "write fewer aliases of aliases");
            return false;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return true;
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { key: key @ None, .. } => {
                let (text, plain) = match &node.kind {
                    Kind::Scalar { text, style } => (Some(text.clone()), *style == Style::Plain),
                    _ => (None, false),
                };
                *key = Some(Key { text, plain, place: node.place });
            }
            Content::Map { entries, seen, merged, key } => {
                let Some(Key { text, plain, place }) = key.take() else { return true };
                match text {
                    Some(text) if plain && text == "<<" => merged.push((place, node)),
                    Some(text) => match seen.get(&text) {
                        Some(first) => {
                            let first = self.sources.span(*first);
                            let finding = Diagnostic::error(
                                codes::DUPLICATE_KEY,
                                format!("the key `{}` stands twice in one mapping", shown(&text)),
                            )
                            .at(self.sources.span(place), "the second one")
                            .related(first, "the first one")
                            .help("remove one of them, or rename it");
                            self.found.push(finding);
                        }
                        None => {
                            seen.insert(text.clone(), place);
                            entries.push(Entry { key: text, place, value: node });
                        }
                    },
                    None => {
                        let (message, help) =
                            ("this key is not a text", "write a word before the colon; a text in braces needs quotes");
                        self.error(codes::NO_TAGS, message, place, "here", help);
                    }
                }
            }
        }
        true
    }
}
