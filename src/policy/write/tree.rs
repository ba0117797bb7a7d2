//! What is written, as a tree: keys with values and the comments beside them. Pure.

use crate::domain::Period;

use super::{comment, scalar};

/// A key, its value, and what is said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct Line {
    comments: Vec<String>,
    key: &'static str,
    value: Value,
    note: Option<String>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum Value {
    /// A text, quoted where it has to be.
    Text(String),
    /// A text that always gets quotes: cron expressions, globs, times of day.
    Quoted(String),
    /// A word that is known to need no quotes: numbers, durations, words of the language.
    Word(String),
    /// A list in brackets.
    List(Vec<Value>),
    /// A mapping in braces.
    Inline(Vec<(&'static str, Value)>),
    /// A mapping with a line for each key.
    Block(Vec<Line>),
    /// A list of mappings, each beginning with `- `.
    Items(Vec<Vec<Line>>),
}

/// Returns a reference to an environment variable.
pub(in crate::policy) fn variable(name: &str) -> Value {
    Value::Quoted(format!("${{{name}}}"))
}

/// Returns a duration in one unit where that reads better: `25h` rather than `1d1h`.
pub(in crate::policy) fn duration(period: Period) -> String {
    let seconds = period.as_seconds();
    let hours = seconds % 86_400 != 0 && seconds % 3600 == 0 && seconds < 14 * 86_400;
    if hours { format!("{}h", seconds / 3600) } else { period.to_string() }
}

impl Value {
    /// Returns a text of unknown origin.
    pub fn text(text: &str) -> Self {
        Self::Text(scalar::tame(text))
    }

    /// Returns a text that always gets quotes.
    pub fn quoted(text: &str) -> Self {
        Self::Quoted(scalar::tame(text))
    }

    /// Returns a word, number or duration.
    pub fn word(word: impl std::fmt::Display) -> Self {
        Self::Word(word.to_string())
    }

    /// Returns a duration, in hours where that reads better.
    pub fn period(period: Period) -> Self {
        Self::Word(duration(period))
    }

    /// Returns a list of texts that always get quotes.
    pub fn globs<T: AsRef<str>>(globs: impl IntoIterator<Item = T>) -> Self {
        Self::List(globs.into_iter().map(|glob| Self::quoted(glob.as_ref())).collect())
    }

    /// Returns a list of words and names; a name can be `null`, and then needs quotes.
    pub fn words<T: std::fmt::Display>(words: impl IntoIterator<Item = T>) -> Self {
        Self::List(words.into_iter().map(|word| Self::Text(word.to_string())).collect())
    }

    fn flow(&self) -> String {
        match self {
            Self::Text(text) => scalar::text(text),
            Self::Quoted(text) => scalar::quoted(text),
            Self::Word(word) => word.clone(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::flow).collect::<Vec<_>>().join(", ")),
            Self::Inline(entries) => match entries.as_slice() {
                [] => "{}".to_owned(),
                entries => {
                    let all: Vec<String> =
                        entries.iter().map(|(key, value)| format!("{key}: {}", value.flow())).collect();
                    format!("{{ {} }}", all.join(", "))
                }
            },
            Self::Block(lines) => {
                let entries = lines.iter().map(|line| (line.key, line.value.clone())).collect();
                Self::Inline(entries).flow()
            }
            Self::Items(items) => {
                let items = items.iter().map(|lines| Self::Block(lines.clone())).collect();
                Self::List(items).flow()
            }
        }
    }
}

impl Line {
    /// Makes a line.
    pub const fn new(key: &'static str, value: Value) -> Self {
        Self { comments: Vec::new(), key, value, note: None }
    }

    /// Puts a comment above it.
    #[must_use]
    pub fn above(mut self, comment: impl Into<String>) -> Self {
        self.comments.push(comment.into());
        self
    }

    /// Puts a short comment behind it; a long one goes above.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Self {
        let note = note.into();
        if note.chars().count() > 60 { self.above(note) } else { Self { note: Some(note), ..self } }
    }

    /// Writes it.
    pub fn write(&self, out: &mut String, indent: usize) {
        for comment in &self.comments {
            comment::write(out, indent, comment);
        }
        out.extend(std::iter::repeat_n(' ', indent));
        self.write_rest(out, indent);
    }

    fn write_rest(&self, out: &mut String, indent: usize) {
        out.push_str(self.key);
        out.push(':');
        match &self.value {
            Value::Block(lines) if !lines.is_empty() => {
                self.end(out);
                for line in lines {
                    line.write(out, indent + 2);
                }
            }
            Value::Items(items) if !items.is_empty() => {
                self.end(out);
                for lines in items {
                    write_item(out, indent + 2, lines);
                }
            }
            value => {
                out.push(' ');
                out.push_str(&value.flow());
                self.end(out);
            }
        }
    }

    fn end(&self, out: &mut String) {
        if let Some(note) = &self.note {
            out.push_str(" # ");
            out.push_str(&comment::harmless(note));
        }
        out.push('\n');
    }
}

fn write_item(out: &mut String, indent: usize, lines: &[Line]) {
    for (index, line) in lines.iter().enumerate() {
        if index == 0 {
            for comment in &line.comments {
                comment::write(out, indent, comment);
            }
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str("- ");
            line.write_rest(out, indent + 2);
        } else {
            line.write(out, indent + 2);
        }
    }
}
