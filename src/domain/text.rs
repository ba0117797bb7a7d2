//! Texts that may come from the environment, and must not leak when they do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A policy value that may be `${NAME}`. It is kept as written: what the variable holds is looked up where it is
/// used and never stored here, so a policy, a plan or a log cannot contain it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EnvText {
    /// The text itself.
    Literal(String),
    /// The name of the environment variable that holds it.
    Variable(String),
}

impl EnvText {
    /// Returns the variable's name where the text comes from one.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        if let Self::Variable(name) = self { Some(name) } else { None }
    }

    /// Returns what people may see: `${NAME}`, or the literal with any password in a URL masked.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Variable(name) => format!("${{{name}}}"),
            Self::Literal(text) => mask_password(text),
        }
    }
}

/// Replaces the password of `scheme://user:password@host` and of `password=...` by `***`.
fn mask_password(text: &str) -> String {
    let mut shown = text.to_owned();
    if let Some(begin) = shown.find("://").map(|i| i + 3) {
        let authority_end = shown[begin..].find(['/', '?']).map_or(shown.len(), |i| begin + i);
        if let Some(at) = shown[begin..authority_end].rfind('@').map(|i| begin + i)
            && let Some(colon) = shown[begin..at].find(':').map(|i| begin + i)
        {
            shown.replace_range(colon + 1..at, "***");
        }
    }
    let mut masked = String::with_capacity(shown.len());
    let mut rest = shown.as_str();
    while let Some(begin) = rest.find("password=").map(|i| i + "password=".len()) {
        let end = rest[begin..].find(['&', ' ']).map_or(rest.len(), |i| begin + i);
        masked.push_str(&rest[..begin]);
        masked.push_str("***");
        rest = &rest[end..];
    }
    masked.push_str(rest);
    masked
}

impl fmt::Debug for EnvText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

impl fmt::Display for EnvText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for EnvText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

impl<'de> Deserialize<'de> for EnvText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = text.strip_prefix("${").and_then(|t| t.strip_suffix('}'));
        Ok(name.map_or_else(|| Self::Literal(text.clone()), |name| Self::Variable(name.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::EnvText;

    #[test]
    fn a_literal_url_never_shows_its_password() {
        for (text, shown) in [
            ("postgres://u:geheim@h/db", "postgres://u:***@h/db"),
            ("postgres://u:p@ss@h/db", "postgres://u:***@h/db"),
            ("postgres://h/db?user=u&password=geheim&x=1", "postgres://h/db?user=u&password=***&x=1"),
            ("host=h password=geheim user=u", "host=h password=*** user=u"),
            ("postgres://u@h/db", "postgres://u@h/db"),
        ] {
            let literal = EnvText::Literal(text.to_owned());
            assert_eq!(literal.shown(), shown);
            assert!(!format!("{literal:?}").contains("geheim"));
        }
    }
}
