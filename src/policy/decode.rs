//! From a tree to typed values, with every wrong value found in one walk: a wrong field is a finding and an absent
//! value, and its neighbours are read all the same. Pure.

use std::collections::HashSet;
use std::rc::Rc;

use crate::diag::{Code, Diagnostic, Edit, Fix, Related};

use super::codes;
use super::text::{Entry, Kind, MOST_FINDINGS, Meaning, Node, Place, Sources, Style, shown, similar};

/// Something that can be read from a node.
pub(super) trait Decode: Sized {
    /// Reads it; `None` where a finding says why not.
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self>;
}

/// Where a read is: the texts for places, the key whose value is read, and the findings so far.
pub(super) struct Context<'a> {
    /// The texts.
    pub sources: &'a Sources,
    /// The findings so far.
    pub found: Vec<Diagnostic>,
    key: String,
    seen: HashSet<(Code, Place, String)>,
}

impl<'a> Context<'a> {
    /// Begins without findings.
    pub fn new(sources: &'a Sources) -> Self {
        Self { sources, found: Vec::new(), key: String::new(), seen: HashSet::new() }
    }

    /// Adds an error.
    pub fn error(
        &mut self,
        code: Code,
        place: Place,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Told<'_, 'a> {
        self.tell(Diagnostic::error(code, message).help(help), place, label)
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        code: Code,
        place: Place,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Told<'_, 'a> {
        self.tell(Diagnostic::warning(code, message).help(help), place, label)
    }

    /// Adds a finding at a place, once: what an alias repeats is wrong in one place only.
    pub fn tell(&mut self, finding: Diagnostic, place: Place, label: impl Into<String>) -> Told<'_, 'a> {
        let fresh =
            self.found.len() <= MOST_FINDINGS && self.seen.insert((finding.code, place, finding.message.clone()));
        if fresh && self.found.len() == MOST_FINDINGS {
            let message = "there are more mistakes than anybody reads at once, and the others are left out";
            let last = Diagnostic::error(codes::TOO_LARGE, message).help("correct the first ones");
            self.found.push(last.at(self.sources.span(place), "the first one left out"));
            return Told { cx: self, fresh: false };
        }
        if fresh {
            self.found.push(finding.at(self.sources.span(place), label));
        }
        Told { cx: self, fresh }
    }

    /// Returns the key whose value is read, for messages.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Reads the value of a key.
    pub fn field<T: Decode>(&mut self, key: &str, node: &Node) -> Option<T> {
        let outer = std::mem::replace(&mut self.key, key.to_owned());
        let value = T::decode(node, self);
        self.key = outer;
        value
    }

    /// Returns the entries of a mapping.
    pub fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => {
                self.wrong_kind(node, &format!("a mapping: {what}"), "write its keys below it, indented");
                None
            }
        }
    }

    /// Returns the items of a list.
    pub fn items<'n>(&mut self, node: &'n Node) -> Option<&'n [Rc<Node>]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            Kind::Scalar { text, style } => {
                let item = if *style == Style::Plain { shown(text) } else { format!("\"{}\"", shown(text)) };
                self.wrong_kind(node, "a list", &format!("write it in brackets: [{item}]"));
                None
            }
            _ => {
                self.wrong_kind(node, "a list", "write it in brackets, or one `- ` line for each entry");
                None
            }
        }
    }

    /// Returns the text of a scalar, as it was written, whatever it looks like. `${NAME}` is refused.
    pub fn written<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.kind {
            Kind::Scalar { text, .. } if has_variable(text) => {
                let message = format!("`{}` is not a field that is read from the environment", self.key);
                let help = "write the value itself; only url, endpoint and identity fields take \"${NAME}\"";
                self.error(codes::NO_VARIABLE_HERE, node.place, message, "this stays a text with a dollar sign", help);
                None
            }
            Kind::Scalar { text, .. } => Some(text),
            Kind::Map(entries) if is_bare_braces(node, entries, self.sources) => {
                let inside =
                    self.sources.text(node.place.file).get(node.place.begin..node.place.end).unwrap_or_default();
                let message = format!("`{}` has braces without quotes, and YAML reads them as a mapping", self.key);
                self.error(
                    codes::BARE_BRACES,
                    node.place,
                    message,
                    "a mapping to YAML",
                    format!("put the whole value in quotes: \"{}\"", shown(inside)),
                );
                None
            }
            _ => {
                self.wrong_kind(node, what, &format!("write {what}"));
                None
            }
        }
    }

    /// Returns the text of a scalar that no reader of YAML takes for a number, true or false. `${NAME}` is refused.
    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = self.written(node, what)?;
        if let Some(meaning) = node.meaning() {
            let meaning = if meaning == Meaning::Number { "a number" } else { "true or false" };
            let message =
                format!("`{}` is a text, and `{}` without quotes is {meaning} to YAML", self.key, shown(text));
            let quoted = format!("\"{text}\"");
            self.error(codes::QUOTE_IT, node.place, message, "not a text", format!("quote it: {quoted}"))
                .fix("quote the value", &[(node.place, &quoted)]);
            return None;
        }
        Some(text)
    }

    /// Adds the finding that a node is of another kind than wanted.
    pub fn wrong_kind(&mut self, node: &Node, wanted: &str, help: &str) {
        if matches!(node.kind, Kind::Broken) {
            return;
        }
        let key = if self.key.is_empty() { "the file".to_owned() } else { format!("`{}`", self.key) };
        if matches!(node.kind, Kind::Null) {
            self.error(
                codes::NO_VALUE,
                node.place,
                format!("{key} stands without a value"),
                format!("wanted: {wanted}"),
                "give it a value, or remove the key",
            );
        } else {
            let message = format!("{key} wants {wanted}, and this is {}", node.described());
            self.error(codes::WRONG_KIND, node.place, message, format!("this is {}", node.described()), help);
        }
    }

    /// Adds the finding that a value is not one that its key can have.
    pub fn bad_value(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.error(codes::BAD_VALUE, place, message, "this value", help);
    }

    /// Adds the finding that a key is not known.
    pub fn unknown(&mut self, entry: &Entry, what: &str, known: &[&str]) {
        let key = shown(&entry.key);
        let guess = similar(&entry.key, known.iter().copied());
        let help = match guess {
            Some(guess) => format!("did you mean `{guess}`?"),
            None if known.is_empty() => "remove it".to_owned(),
            None => format!("keys here: {}", known.join(", ")),
        };
        self.error(codes::UNKNOWN_KEY, entry.place, format!("`{key}` is not a key of {what}"), "unknown key", help);
    }

    /// Adds the finding that a needed key is missing.
    pub fn missing(&mut self, place: Place, key: &str, what: &str) {
        self.error(
            codes::MISSING_KEY,
            place,
            format!("{what} needs `{key}`, and it is missing"),
            format!("`{key}` is missing here"),
            format!("add `{key}:`"),
        );
    }
}

/// The finding that was just added.
pub(super) struct Told<'c, 'a> {
    cx: &'c mut Context<'a>,
    fresh: bool,
}

impl Told<'_, '_> {
    /// Adds a second place that explains it.
    pub fn and(self, place: Place, words: impl Into<String>) -> Self {
        let span = self.cx.sources.span(place);
        if let Some(finding) = self.cx.found.last_mut().filter(|_| self.fresh) {
            finding.related.push(Related { span, words: words.into() });
        }
        self
    }

    /// Adds a safe way to mend it: each place with the text that takes its place.
    pub fn fix(self, words: impl Into<String>, edits: &[(Place, &str)]) -> Self {
        let sources = self.cx.sources;
        if let Some(finding) = self.cx.found.last_mut().filter(|_| self.fresh) {
            let edits = edits.iter().map(|(place, text)| Edit { span: sources.span(*place), text: (*text).to_owned() });
            finding.fix = Some(Fix { words: words.into(), edits: edits.collect() });
        }
        self
    }
}

/// Returns whether a text contains something of the form `${NAME}`.
pub(super) fn has_variable(text: &str) -> bool {
    text.match_indices("${").any(|(at, _)| text[at + 2..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

/// Returns whether a mapping is what YAML makes of `{NAME}`.
fn is_bare_braces(node: &Node, entries: &[Entry], sources: &Sources) -> bool {
    let braces = sources.text(node.place.file).as_bytes().get(node.place.begin) == Some(&b'{');
    braces && !entries.is_empty() && entries.iter().all(|entry| matches!(entry.value.kind, Kind::Null))
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let items = cx.items(node)?;
        let values: Vec<T> = items.iter().filter_map(|item| T::decode(item, cx)).collect();
        (values.len() == items.len()).then_some(values)
    }
}

impl Decode for bool {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.written(node, "true or false")?;
        match (text, node.meaning()) {
            ("true", Some(_)) => return Some(true),
            ("false", Some(_)) => return Some(false),
            _ => {}
        }
        let help = match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => "write true, in small letters and without quotes",
            "false" | "no" | "off" => "write false, in small letters and without quotes",
            _ => "write true or false",
        };
        cx.error(
            codes::NOT_A_NUMBER,
            node.place,
            format!("`{}` is true or false, and this is neither", cx.key()),
            "not true or false",
            help,
        );
        None
    }
}

impl Decode for u32 {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.written(node, "a whole number")?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let key = cx.key().to_owned();
        let (message, help) = if digits && node.meaning().is_none() {
            (format!("`{key}` is a number, and in quotes this is a text"), format!("remove the quotes: {text}"))
        } else if digits && text.len() > 1 && text.starts_with('0') {
            let plain = text.trim_start_matches('0');
            let plain = if plain.is_empty() { "0" } else { plain };
            let message = format!("`{text}` has a leading zero, and some readers of YAML take it for an octal number");
            (message, format!("write {plain}"))
        } else if digits {
            match text.parse() {
                Ok(number) => return Some(number),
                Err(_) => {
                    (format!("{text} is too large for `{key}`"), format!("the largest number here is {}", Self::MAX))
                }
            }
        } else {
            (
                format!("`{key}` is a whole number, and `{}` is none", shown(text)),
                "write digits only, as in 7".to_owned(),
            )
        };
        cx.error(codes::NOT_A_NUMBER, node.place, message, "not a whole number", help);
        None
    }
}
