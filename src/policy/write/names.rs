//! Names for things whose own names are no policy names. Pure.

use std::collections::HashMap;

use crate::domain::Name;
use crate::policy::check::masked;

/// The longest name that leaves room for a number at its end.
const MOST: usize = 56;

/// Returns the nearest policy name of a text: `Daily Full Backup` is `daily-full-backup`; `other` where nothing of it
/// can stand in a name.
pub(in crate::policy) fn name_of(text: &str, other: &str) -> String {
    let mut out = String::new();
    for c in masked(text).chars().flat_map(char::to_lowercase) {
        if out.len() >= MOST {
            break;
        }
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    let out = out.trim_end_matches('-');
    match out.chars().next() {
        None => other.to_owned(),
        Some(first) if first.is_ascii_digit() => format!("{other}-{out}"),
        Some(_) => out.to_owned(),
    }
}

/// Names that are taken.
#[derive(Debug, Default)]
pub(in crate::policy) struct Names {
    taken: HashMap<String, usize>,
}

impl Names {
    /// Marks a name as taken.
    pub fn take(&mut self, name: &Name) {
        self.taken.insert(name.as_str().to_owned(), 1);
    }

    /// Returns a name near the wanted one that nobody has, and takes it.
    pub fn give(&mut self, wanted: &str, other: &str) -> Name {
        let base = name_of(wanted, other);
        let mut candidate = base.clone();
        loop {
            if !self.taken.contains_key(&candidate)
                && let Ok(name) = candidate.parse::<Name>()
            {
                self.take(&name);
                return name;
            }
            let count = self.taken.entry(base.clone()).or_insert(1);
            *count += 1;
            candidate = format!("{base}-{count}");
        }
    }
}
