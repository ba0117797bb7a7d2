//! `pg_restore`'s words, told apart by entry of the archive. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::archive::Toc;

/// An entry that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFailure {
    /// Its id inside the archive; 0 where the program did not say.
    pub id: i32,
    /// Its kind: `VIEW`.
    pub kind: String,
    /// Its schema; empty where it has none.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The server's words.
    pub reason: String,
}

impl fmt::Display for EntryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.id != 0 {
            write!(f, "{} ", self.kind)?;
            if !self.schema.is_empty() {
                write!(f, "{}.", super::sql::quote_ident(&self.schema))?;
            }
            write!(f, "{}: ", super::sql::quote_ident(&self.name))?;
        }
        f.write_str(&self.reason)
    }
}

/// Reads the program's words:
/// ```text
/// pg_restore: from TOC entry 219; 1259 16392 VIEW v postgres
/// pg_restore: error: could not execute query: ERROR:  relation "t.x" does not exist
/// LINE 2: ...
/// Command was: CREATE VIEW ...
/// ```
/// The entry's line may be followed by several errors. A message goes on over lines when a name holds line ends; it ends
/// where the server's next field or the program's next message begins.
pub(super) fn by_entry(words: &str, toc: &Toc) -> Vec<EntryFailure> {
    const NEXT: [&str; 7] = ["LINE ", "DETAIL:", "HINT:", "CONTEXT:", "QUERY:", "Command was: ", "pg_restore: "];
    let mut failures: Vec<EntryFailure> = Vec::new();
    let mut id = 0;
    let mut within = false;
    for line in words.lines() {
        within &= !NEXT.iter().any(|next| line.starts_with(next));
        if within && let Some(failure) = failures.last_mut() {
            failure.reason.push('\n');
            failure.reason.push_str(line);
            continue;
        }
        if let Some(rest) = line.strip_prefix("pg_restore: from TOC entry ") {
            id = rest.split(';').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        } else if let Some(reason) = line.strip_prefix("pg_restore: error: ") {
            within = true;
            let entry = toc.entry(id);
            failures.push(EntryFailure {
                id: entry.map_or(0, |entry| entry.id),
                kind: entry.map_or_else(String::new, |entry| entry.kind().to_owned()),
                schema: entry.map_or_else(String::new, super::archive::Entry::schema),
                name: entry.map_or_else(String::new, super::archive::Entry::tag),
                reason: reason.to_owned(),
            });
        }
    }
    failures
}

/// Splits failures into those that come from schemas which are not there, and the others.
pub(super) fn sort_out(
    failures: Vec<EntryFailure>,
    toc: &Toc,
    schemas: &BTreeSet<String>,
) -> (Vec<EntryFailure>, Vec<EntryFailure>) {
    let mut passed: BTreeSet<i32> = BTreeSet::new();
    let (mut deferred, mut fatal) = (Vec::new(), Vec::new());
    // In the archive's order, which is the order of the words: what an entry depends on has been judged before it.
    for failure in failures {
        if passed.contains(&failure.id) {
            // What comes after the statement that failed, such as setting the owner, fails with it.
            continue;
        }
        let depends = toc.entry(failure.id).is_some_and(|entry| entry.needs().any(|id| passed.contains(&id)));
        if failure.id != 0 && (depends || names_absent_schema(&failure.reason, schemas)) {
            passed.insert(failure.id);
            deferred.push(failure);
        } else {
            fatal.push(failure);
        }
    }
    (deferred, fatal)
}

/// Whether the words say that something does not exist, and its schema is none of these: `relation "t.x" does not
/// exist`, `schema "t" does not exist`, `function t.f(integer) does not exist`, `type "t.x" does not exist`.
fn names_absent_schema(reason: &str, schemas: &BTreeSet<String>) -> bool {
    let Some(head) = reason.strip_suffix(" does not exist") else { return false };
    let Some((_, object)) = head.split_once("ERROR:  ") else { return false };
    let known = |schema: &str| schemas.contains(schema);
    if let Some(schema) = object.strip_prefix("schema \"").and_then(|rest| rest.strip_suffix('"')) {
        return !known(schema);
    }
    let Some((_, name)) = object.split_once(' ') else { return false };
    let name = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(name);
    // The server writes names into its messages without quotes inside, so a dot may be part of a name: no way of
    // cutting the name in two may give a schema that is there.
    let mut cuts = name.match_indices('.').map(|(at, _)| &name[..at]).peekable();
    cuts.peek().is_some() && cuts.all(|schema| !known(schema.trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::names_absent_schema;

    #[test]
    fn only_absent_schemas_excuse_a_failure() {
        let schemas: BTreeSet<String> = ["public", "pg_catalog", "a.b"].map(str::to_owned).into();
        for (reason, excused) in [
            (r#"could not execute query: ERROR:  relation "tenant_a.t" does not exist"#, true),
            (r#"could not execute query: ERROR:  schema "tenant_a" does not exist"#, true),
            (r"could not execute query: ERROR:  function tenant_a.f(integer) does not exist", true),
            (r#"could not execute query: ERROR:  type "tenant-a.mood" does not exist"#, true),
            (r#"could not execute query: ERROR:  relation "public.t" does not exist"#, false),
            (r#"could not execute query: ERROR:  relation "a.b.t" does not exist"#, false),
            (r#"could not execute query: ERROR:  schema "public" does not exist"#, false),
            (r#"could not execute query: ERROR:  role "app" does not exist"#, false),
            (r#"could not execute query: ERROR:  relation "tenant_a.t" already exists"#, false),
        ] {
            assert_eq!(names_absent_schema(reason, &schemas), excused, "{reason}");
        }
    }
}
