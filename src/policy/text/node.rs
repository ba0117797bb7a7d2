//! A YAML tree that keeps every scalar as it was written: what a scalar means is decided by who wants it, so `1.10`
//! never becomes a number and `010` never ten by accident. Pure.

use std::sync::Arc;

use super::Place;

/// A node and where it is written; an alias is the node it stands for.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it is written.
    pub place: Place,
    /// How many nodes it stands for once its aliases are followed.
    pub weight: usize,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar.
    Scalar {
        /// Its text, escapes resolved.
        text: String,
        /// How it is written.
        style: Style,
    },
    /// A list.
    List(Vec<Arc<Node>>),
    /// Something that could not be read, of which a finding tells already.
    Broken,
    /// A mapping, without duplicate keys and with merge keys followed.
    Map(Vec<Entry>),
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes: the only one that can be a number, true or false.
    Plain,
    /// In quotes, or as a block.
    Quoted,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is written.
    pub place: Place,
    /// The value.
    pub value: Arc<Node>,
}

impl Node {
    /// Returns what it is, for people.
    pub fn described(&self) -> &'static str {
        match &self.kind {
            Kind::Null | Kind::Broken => "nothing",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Scalar { text, style: Style::Plain } => match plain_meaning(text) {
                Some(Meaning::Number) => "a number",
                Some(Meaning::Boolean) => "true or false",
                None => "a text",
            },
            Kind::Scalar { .. } => "a text",
        }
    }

    /// Returns what readers of YAML take a scalar without quotes for, where that is no text.
    pub fn meaning(&self) -> Option<Meaning> {
        match &self.kind {
            Kind::Scalar { text, style: Style::Plain } => plain_meaning(text),
            _ => None,
        }
    }
}

/// What a scalar without quotes can be other than a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A number, of any form.
    Number,
    /// True or false.
    Boolean,
}

fn plain_meaning(text: &str) -> Option<Meaning> {
    if matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
        return Some(Meaning::Boolean);
    }
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix: &str, digit: fn(char) -> bool| {
        body.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(digit))
    };
    let number = matches!(body, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
        || radix("0x", |c| c.is_ascii_hexdigit())
        || radix("0o", |c| c.is_ascii_digit())
        || (body.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && body.contains(|c: char| c.is_ascii_digit())
            && body.parse::<f64>().is_ok());
    number.then_some(Meaning::Number)
}

/// Returns the candidate a text was likely meant to be.
pub(crate) fn similar<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Comparing takes the product of both lengths, and nobody mistypes a page.
    if text.len() > 64 {
        return None;
    }
    let given = text.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&given, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count().min(text.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the one candidate that a text was surely meant to be: nearer than every other one, and wrong in so few
/// letters that nobody asks.
pub(crate) fn surely<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if text.len() > 64 {
        return None;
    }
    let given = text.to_lowercase();
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&given, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().min(text.len()) / 4)
        .collect();
    near.sort_unstable();
    match near[..] {
        [(_, only)] => Some(only),
        [(first, nearest), (second, _), ..] if first < second => Some(nearest),
        _ => None,
    }
}

/// Returns a text as it may stand in a message: cut, and without what a terminal could take for more than text.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let mut out = String::new();
    for c in text.chars().take(MOST) {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}
