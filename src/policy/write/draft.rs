//! A policy file in the making: its sections in the order people read them, every name valid and once. Pure.

use std::collections::BTreeMap;

use crate::domain::Name;

use super::{Line, Names, comment, scalar};

/// A section of named things, in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) enum Part {
    Stores,
    Databases,
    Classes,
    Retention,
    Schedules,
    RecoveryPlans,
    Channels,
}

impl Part {
    const fn key(self) -> &'static str {
        match self {
            Self::Stores => "stores",
            Self::Databases => "databases",
            Self::Classes => "classes",
            Self::Retention => "retention",
            Self::Schedules => "schedules",
            Self::RecoveryPlans => "recovery_plans",
            Self::Channels => "channels",
        }
    }
}

/// A policy file in the making.
#[derive(Debug, Default)]
pub(in crate::policy) struct Draft {
    head: Vec<String>,
    schema: Option<String>,
    once: Vec<Line>,
    things: BTreeMap<Part, Vec<Thing>>,
    names: BTreeMap<Part, Names>,
    tail: Vec<String>,
}

#[derive(Debug)]
struct Thing {
    comments: Vec<String>,
    name: Name,
    lines: Vec<Line>,
}

impl Draft {
    /// Begins a file with comments.
    pub fn new<T: Into<String>>(head: impl IntoIterator<Item = T>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Names the JSON Schema for editors.
    #[must_use]
    pub fn with_schema(mut self, path: &str) -> Self {
        self.schema = Some(path.to_owned());
        self
    }

    /// Adds a line to the comment at the begin.
    pub fn add_head(&mut self, comment: impl Into<String>) {
        self.head.push(comment.into());
    }

    /// Marks a name as taken elsewhere.
    pub fn take(&mut self, part: Part, name: &Name) {
        self.names.entry(part).or_default().take(name);
    }

    /// Adds a thing under a name near the wanted one and returns the name it got.
    pub fn add(&mut self, part: Part, wanted: &str, comments: Vec<String>, lines: Vec<Line>) -> Name {
        let other = part.key().trim_end_matches('s').replace('_', "-");
        let name = self.names.entry(part).or_default().give(wanted, &other);
        self.things.entry(part).or_default().push(Thing { comments, name: name.clone(), lines });
        name
    }

    /// Adds a section that stands once.
    pub fn add_once(&mut self, line: Line) {
        self.once.push(line);
    }

    /// Adds a comment at the end.
    pub fn say(&mut self, comment: impl Into<String>) {
        self.tail.push(comment.into());
    }

    /// Returns whether it defines nothing.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty() && self.once.is_empty()
    }

    /// Returns the file's text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        if let Some(schema) = &self.schema {
            out.push_str(&format!("# yaml-language-server: $schema={schema}\n"));
        }
        for line in &self.head {
            comment::write(&mut out, 0, line);
        }
        out.push_str("version: 1\n");
        for line in &self.once {
            out.push('\n');
            line.write(&mut out, 0);
        }
        for (part, things) in &self.things {
            out.push_str(&format!("\n{}:\n", part.key()));
            let spaced = things.len() > 1 && things.iter().any(|thing| thing.lines.len() > 1);
            for (index, thing) in things.iter().enumerate() {
                if spaced && index > 0 {
                    out.push('\n');
                }
                for comment in &thing.comments {
                    comment::write(&mut out, 2, comment);
                }
                out.push_str(&format!("  {}:\n", scalar::text(thing.name.as_str())));
                for line in &thing.lines {
                    line.write(&mut out, 4);
                }
            }
        }
        if !self.tail.is_empty() {
            out.push('\n');
        }
        for line in &self.tail {
            comment::write(&mut out, 0, line);
        }
        out
    }
}
