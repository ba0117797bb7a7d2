//! From a tree to typed values, with every wrong value found in one walk: a wrong field is a finding and an absent
//! value, and its neighbours are read all the same. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Edit, Fix, Related, Severity};

use super::codes;
use super::text::{Entry, Kind, MOST_FINDINGS, Meaning, Node, Place, Sources, Style, shown, similar, surely};

/// Something that can be read from a node.
pub(crate) trait Decode: Sized {
    /// Reads it; `None` where a finding says why not.
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self>;
}

/// Where a read is: the texts for places, the key whose value is read, and the findings so far.
pub(crate) struct Context<'a> {
    /// The texts.
    pub sources: &'a Sources,
    /// The findings so far.
    pub found: Vec<Diagnostic>,
    key: String,
    /// How many warnings, and how many errors.
    said: [usize; 2],
    seen: HashSet<(Code, Place, String)>,
}

impl<'a> Context<'a> {
    /// Begins without findings.
    pub fn new(sources: &'a Sources) -> Self {
        Self { sources, found: Vec::new(), key: String::new(), said: [0; 2], seen: HashSet::new() }
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
        // Each severity has room of its own: warnings, as many as they are, hide no error and are none.
        let is_error = finding.severity == Severity::Error;
        let said = self.said[usize::from(is_error)];
        let fresh = said <= MOST_FINDINGS && self.seen.insert((finding.code, place, finding.message.clone()));
        self.said[usize::from(is_error)] += usize::from(fresh);
        if fresh && said == MOST_FINDINGS {
            let last = if is_error {
                let message = "there are more mistakes than anybody reads at once, and the others are left out";
                Diagnostic::error(codes::TOO_LARGE, message).help("correct the first ones")
            } else {
                let message = "there are more warnings than anybody reads at once, and the others are left out";
                Diagnostic::warning(codes::TOO_LARGE, message).help("mend what the first ones are about")
            };
            self.found.push(last.at(self.sources.span(place), "the first one left out"));
            return Told { cx: self, fresh: false };
        }
        if fresh {
            self.found.push(finding.at(self.sources.span(place), label));
        }
        Told { cx: self, fresh }
    }

    /// Returns whether it is still worth looking for what was meant: not after hundreds of findings, since each search
    /// goes through all names.
    pub fn guesses(&self) -> bool {
        self.found.len() < MOST_FINDINGS / 4
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
    pub fn items<'n>(&mut self, node: &'n Node) -> Option<&'n [Arc<Node>]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            Kind::Scalar { text, style } => {
                let item = if *style == Style::Plain { shown(text) } else { format!("\"{}\"", shown(text)) };
                let sources = self.sources;
                let written = sources.text(node.place.file).get(node.place.begin..node.place.end).unwrap_or_default();
                // A comma or bracket of a text without quotes would mean something else inside brackets.
                let whole = *style == Style::Quoted && written.starts_with(['"', '\''])
                    || !text.contains(|c: char| ",[]{}:#&*!|>%@`\"'".contains(c));
                let fix = format!("[{written}]");
                let told = self.wrong_kind(node, "a list", &format!("write it in brackets: [{item}]"));
                if whole && !written.is_empty() && !written.contains('\n') {
                    told.fix("put brackets around it", &[(node.place, &fix)]);
                }
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
                let sources = self.sources;
                let inside = sources.text(node.place.file).get(node.place.begin..node.place.end).unwrap_or_default();
                let message = format!("`{}` has braces without quotes, and YAML reads them as a mapping", self.key);
                let quoted = format!("\"{inside}\"");
                let plain = !inside.contains(|c: char| c.is_control() || matches!(c, '"' | '\\' | '#'));
                let told = self.error(
                    codes::BARE_BRACES,
                    node.place,
                    message,
                    "a mapping to YAML",
                    format!("put the whole value in quotes: \"{}\"", shown(inside)),
                );
                if plain {
                    told.fix("quote the value", &[(node.place, &quoted)]);
                }
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
            self.error(codes::QUOTE_IT, node.place, message, "not a text", format!("quote it: \"{}\"", shown(text)))
                .fix("quote the value", &[(node.place, &quoted)]);
            return None;
        }
        Some(text)
    }

    /// Adds the finding that a node is of another kind than wanted.
    pub fn wrong_kind(&mut self, node: &Node, wanted: &str, help: &str) -> Told<'_, 'a> {
        if matches!(node.kind, Kind::Broken) {
            return Told { cx: self, fresh: false };
        }
        let key = if self.key.is_empty() { "the file".to_owned() } else { format!("`{}`", self.key) };
        if matches!(node.kind, Kind::Null) {
            self.error(
                codes::NO_VALUE,
                node.place,
                format!("{key} stands without a value"),
                format!("wanted: {wanted}"),
                "give it a value, or remove the key",
            )
        } else {
            let message = format!("{key} wants {wanted}, and this is {}", node.described());
            self.error(codes::WRONG_KIND, node.place, message, format!("this is {}", node.described()), help)
        }
    }

    /// Adds the finding that a value is not one that its key can have.
    pub fn bad_value(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) -> Told<'_, 'a> {
        self.error(codes::BAD_VALUE, place, message, "this value", help)
    }

    /// Adds the finding that one of the keys of a mapping is not known.
    pub fn unknown(&mut self, entry: &Entry, all: &[Entry], what: &str, known: &[&str]) {
        let key = shown(&entry.key);
        let guess = self.guesses().then(|| similar(&entry.key, known.iter().copied())).flatten();
        let help = match guess {
            Some(guess) => format!("did you mean `{guess}`?"),
            None if known.is_empty() => "remove it".to_owned(),
            None => format!("keys here: {}", known.join(", ")),
        };
        // What is not even similar is not compared again.
        let sure = guess
            .and_then(|_| surely(&entry.key, known.iter().copied()))
            .filter(|sure| !all.iter().any(|other| other.key == *sure));
        let message = format!("`{key}` is not a key of {what}");
        let told = self.error(codes::UNKNOWN_KEY, entry.place, message, "unknown key", help);
        if let Some(sure) = sure {
            told.fix(format!("rename the key to `{sure}`"), &[(entry.place, sure)]);
        }
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
pub(crate) struct Told<'c, 'a> {
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

    /// Returns whether a place begins in the first column.
    pub fn begins_line(&self, place: Place) -> bool {
        self.cx.sources.line_begin(place.file, place.begin) == place.begin
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
pub(crate) fn has_variable(text: &str) -> bool {
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
        let meant = help.strip_prefix("write ").and_then(|help| help.split_once(',')).map(|(word, _)| word);
        let message = format!("`{}` is true or false, and this is neither", cx.key());
        let told = cx.error(codes::NOT_A_NUMBER, node.place, message, "not true or false", help);
        if let Some(meant) = meant {
            told.fix(format!("write {meant}"), &[(node.place, meant)]);
        }
        None
    }
}

impl Decode for u32 {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.written(node, "a whole number")?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let key = cx.key().to_owned();
        let plain = text.trim_start_matches('0');
        let plain = if plain.is_empty() { "0" } else { plain };
        let mut fix = None;
        let (message, help) = if digits && node.meaning().is_none() {
            fix = Some("remove the quotes");
            (
                format!("`{key}` is a number, and in quotes this is a text"),
                format!("remove the quotes: {}", shown(text)),
            )
        } else if digits && text.len() > 1 && text.starts_with('0') {
            fix = Some("remove the leading zero");
            let message =
                format!("`{}` has a leading zero, and some readers of YAML take it for an octal number", shown(text));
            (message, format!("write {}", shown(plain)))
        } else if digits {
            match text.parse() {
                Ok(number) => return Some(number),
                Err(_) => (
                    format!("{} is too large for `{key}`", shown(text)),
                    format!("the largest number here is {}", Self::MAX),
                ),
            }
        } else {
            (
                format!("`{key}` is a whole number, and `{}` is none", shown(text)),
                "write digits only, as in 7".to_owned(),
            )
        };
        let told = cx.error(codes::NOT_A_NUMBER, node.place, message, "not a whole number", help);
        // Zero is a number that nobody writes with two digits: what was meant is asked.
        if let Some(words) = fix.filter(|_| plain.parse::<Self>().is_ok_and(|number| number > 0 || text == "0")) {
            told.fix(words, &[(node.place, plain)]);
        }
        None
    }
}
