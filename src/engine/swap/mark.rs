//! What bkup writes into the comment of a schema or database that it loads beside a live one, or has put aside: a
//! sentence for people, and the facts for itself. And the names of both. Pure.

use serde::{Deserialize, Serialize};

use crate::domain::{SequenceDigest, TableDigest};

/// The longest name of PostgreSQL, in bytes.
const LONGEST: usize = 63;
/// How a mark begins.
const BEGIN: &str = "bkup: ";

/// Whether what is marked is on its way in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// It is being loaded; nobody uses it. Without the session that loads it, it is a leftover.
    Loading,
    /// It was in use, and was put aside by a swap. It stays until somebody forgets it.
    Aside,
}

/// A mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What it is.
    pub kind: MarkKind,
    /// The restore's id, 8 hexadecimal digits.
    pub id: String,
    /// The whole name that it had, or will have: names that would be too long are cut.
    pub name: String,
    /// What took its place, or is to: the id of a backup, or `undo of ID`.
    pub by: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Its own comment, which the mark stands in the place of.
    pub comment: Option<String>,
    /// What the tables that took its place held then, with plain digests and under the names they have in use.
    pub tables: Vec<TableDigest>,
    /// The sequences, likewise.
    pub sequences: Vec<SequenceDigest>,
    /// Foreign keys of others that were re-pointed and are to be validated. A restore that ends before it has done so
    /// leaves them to the next one; what is written here tells them from those that were never valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<MarkedKey>,
}

/// A foreign key, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedKey {
    /// Its table's schema.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
}

impl Mark {
    /// Makes the mark of what is being loaded as `name`; `by` is the id of the backup.
    #[must_use]
    pub fn loading(id: &str, name: &str, by: &str, at: &str) -> Self {
        Self {
            kind: MarkKind::Loading,
            id: id.to_owned(),
            name: name.to_owned(),
            by: by.to_owned(),
            at: at.to_owned(),
            comment: None,
            tables: Vec::new(),
            sequences: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Returns the comment.
    #[must_use]
    pub fn text(&self) -> String {
        let (id, name) = (&self.id, self.name.escape_debug());
        let words = match self.kind {
            MarkKind::Loading => {
                format!("is being loaded as \"{name}\"; the next restore removes it once that is over")
            }
            MarkKind::Aside => format!(
                "was \"{name}\" until {}; `bkup restore --undo {id}` swaps back, `bkup restore --forget {id}` removes this",
                self.at
            ),
        };
        let facts = serde_json::to_string(self).unwrap_or_default();
        format!("{BEGIN}{words}\n{facts}")
    }

    /// Reads a comment; `None` where it is no mark.
    #[must_use]
    pub fn read(comment: &str) -> Option<Self> {
        let (_, facts) = comment.strip_prefix(BEGIN)?.split_once('\n')?;
        serde_json::from_str(facts).ok()
    }
}

/// Returns the name of what stands beside `name`: `acme__old_1a2b3c4d`. A name that is too long is cut at a character.
#[must_use]
pub fn beside(name: &str, word: &str, id: &str) -> String {
    let tail = format!("__{word}_{id}");
    let mut end = name.len().min(LONGEST.saturating_sub(tail.len()));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", &name[..end])
}

/// Returns the id in such a name: its last word.
#[must_use]
pub fn id_of(name: &str) -> &str {
    name.rsplit('_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LONGEST, Mark, MarkKind, beside, id_of};

    proptest! {
        #[test]
        fn a_name_beside_another_fits_and_keeps_its_id(name in "\\PC{1,63}", word in "old|new") {
            let made = beside(&name, &word, "1a2b3c4d");
            let tail = format!("__{word}_1a2b3c4d");
            prop_assert!(made.len() <= LONGEST && made.ends_with(&tail));
            prop_assert_eq!(id_of(&made), "1a2b3c4d");
            prop_assert!(name.starts_with(made.strip_suffix(&tail).expect("the tail")));
        }

        #[test]
        fn a_mark_is_read_as_it_was_written(name in "\\PC{1,20}|[\"'\\\\\n%]{1,9}", comment in proptest::option::of("\\PC{0,20}|[\n{}]{0,9}")) {
            let mark = Mark {
                kind: MarkKind::Aside, id: "1a2b3c4d".to_owned(), name, by: "b".to_owned(), at: "2026-01-01T00:00:00Z".to_owned(),
                comment, tables: Vec::new(), sequences: Vec::new(), keys: Vec::new(),
            };
            prop_assert_eq!(Mark::read(&mark.text()), Some(mark));
        }
    }

    #[test]
    fn other_comments_are_no_marks() {
        for text in ["", "bkup: is nice", "bkup: \n{}", "a comment\n{}"] {
            assert_eq!(Mark::read(text), None, "{text:?}");
        }
    }
}
