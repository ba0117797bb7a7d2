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
    /// The ids of what it depends on; some may be of other archives.
    pub needs: Vec<i32>,
    /// Whether it has to come last: it changes or hinders what is made after it, or needs what may come with others.
    pub held: bool,
}

/// What an entry may wait for, when the server says that something does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Awaited {
    /// Whatever lies in a schema that is not there.
    pub absent: bool,
    /// Whatever lies in these schemas.
    pub schemas: BTreeSet<String>,
    /// These objects, as [`EntryFailure::object`] words them: they wait themselves.
    pub objects: BTreeSet<String>,
}

impl EntryFailure {
    /// Returns what it makes as the server's messages name it: `schema.name`, a function without its arguments, which
    /// the server names by what it was called with.
    #[must_use]
    pub fn object(&self) -> String {
        format!("{}.{}", self.schema, called(&self.name))
    }

    /// Whether rows that it refers to are not there, and may lie in a table of another archive.
    fn lacks_rows(&self) -> bool {
        self.held && self.kind == "FK CONSTRAINT" && self.reason.contains(" violates foreign key constraint ")
    }

    /// Whether it fills a materialized view out of another one, which another archive fills and has not yet.
    #[must_use]
    pub fn is_too_early(&self) -> bool {
        self.held && self.kind == "MATERIALIZED VIEW DATA" && self.reason.contains(" has not been populated")
    }
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
                needs: entry.map_or_else(Vec::new, |entry| entry.needs().collect()),
                held: entry.is_some_and(super::archive::Entry::comes_last),
            });
        }
    }
    failures
}

/// Splits failures into those that wait for something, by their words or since they depend on one that does, and the
/// others.
pub(super) fn sort_out(
    failures: Vec<EntryFailure>,
    waits: impl Fn(&str) -> bool,
) -> (Vec<EntryFailure>, Vec<EntryFailure>) {
    let mut passed: BTreeSet<i32> = BTreeSet::new();
    let (mut deferred, mut fatal) = (Vec::new(), Vec::new());
    // In the archive's order, which is the order of the words: what an entry depends on has been judged before it.
    for failure in failures {
        if passed.contains(&failure.id) {
            // What comes after the statement that failed, such as setting the owner, fails with it.
            continue;
        }
        let depends = failure.needs.iter().any(|id| passed.contains(id));
        if failure.id != 0 && (depends || waits(&failure.reason) || failure.lacks_rows() || failure.is_too_early()) {
            passed.insert(failure.id);
            deferred.push(failure);
        } else {
            fatal.push(failure);
        }
    }
    (deferred, fatal)
}

impl Awaited {
    /// Whether these words say that something of it does not exist. `schemas` are those that are there.
    pub(super) fn is_named(&self, reason: &str, schemas: &BTreeSet<String>) -> bool {
        let Some(missing) = Missing::in_words(reason) else { return false };
        (self.absent && missing.is_of_none(schemas))
            || missing.may_be_of(&self.schemas)
            || missing.object().is_some_and(|object| self.objects.contains(object))
    }
}

/// What of one archive could not be restored in the end.
#[derive(Debug, Clone, Copy)]
pub struct LeftOver<'a> {
    /// Its entries.
    pub entries: &'a [EntryFailure],
    /// The schemas that a tenant is known to be tied to; absent where the archive is what tenants have in common.
    pub tied: Option<&'a [String]>,
}

/// Returns, for each archive, the ids of the entries that cannot be without a schema that is not there: whose failure
/// names it, or names what is left out for that reason, or that depend on such an entry, and foreign keys to rows that may
/// lie in one. `schemas` are those that are there. What is not returned failed for a reason of its own.
#[must_use]
pub fn for_want_of_others(left: &[LeftOver<'_>], schemas: &BTreeSet<String>) -> Vec<BTreeSet<i32>> {
    let mut found: Vec<BTreeSet<i32>> = vec![BTreeSet::new(); left.len()];
    let mut objects: BTreeSet<String> = BTreeSet::new();
    loop {
        let before = objects.len() + found.iter().map(BTreeSet::len).sum::<usize>();
        for (archive, ids) in left.iter().zip(&mut found) {
            for entry in archive.entries {
                let missing = Missing::in_words(&entry.reason);
                let is_absent = missing.as_ref().is_some_and(|missing| {
                    let tied = archive.tied.is_none_or(|tied| missing.may_be_of(&tied.iter().cloned().collect()));
                    (tied && missing.is_of_none(schemas)) || missing.object().is_some_and(|of| objects.contains(of))
                });
                let lacks_rows = entry.lacks_rows()
                    && archive.tied.is_none_or(|tied| tied.iter().any(|schema| !schemas.contains(schema)));
                if is_absent || lacks_rows || entry.needs.iter().any(|id| ids.contains(id)) {
                    ids.insert(entry.id);
                    objects.insert(entry.object());
                }
            }
        }
        if objects.len() + found.iter().map(BTreeSet::len).sum::<usize>() == before {
            return found;
        }
    }
}

/// What the server says does not exist: `relation "t.x" does not exist`, `schema "t" does not exist`, `function
/// t.f(integer) does not exist`, `type "t.x" does not exist`.
enum Missing<'a> {
    Schema(&'a str),
    /// Without quotes and arguments.
    Object(&'a str),
}

impl<'a> Missing<'a> {
    fn in_words(reason: &'a str) -> Option<Self> {
        let head = reason.strip_suffix(" does not exist")?;
        let (_, object) = head.split_once("ERROR:  ")?;
        if let Some(schema) = object.strip_prefix("schema \"").and_then(|rest| rest.strip_suffix('"')) {
            return Some(Self::Schema(schema));
        }
        let (_, name) = object.split_once(' ')?;
        let name = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(name);
        Some(Self::Object(called(name)))
    }

    const fn object(&self) -> Option<&'a str> {
        match self {
            Self::Schema(_) => None,
            Self::Object(object) => Some(object),
        }
    }

    /// The schemas it may be in. The server writes names into its messages without quotes inside, so a dot may be part
    /// of a name, and each way of cutting it in two is one.
    fn schemas(&self) -> Vec<&'a str> {
        match self {
            Self::Schema(schema) => vec![schema],
            Self::Object(name) => name.match_indices('.').map(|(at, _)| name[..at].trim_matches('"')).collect(),
        }
    }

    /// Whether it has a schema, and no way of reading it gives one of these.
    fn is_of_none(&self, schemas: &BTreeSet<String>) -> bool {
        let cuts = self.schemas();
        !cuts.is_empty() && cuts.iter().all(|schema| !schemas.contains(*schema))
    }

    /// Whether some way of reading it gives one of these schemas.
    fn may_be_of(&self, schemas: &BTreeSet<String>) -> bool {
        self.schemas().iter().any(|schema| schemas.contains(*schema))
    }
}

/// Takes the arguments off a function's name.
fn called(name: &str) -> &str {
    if name.ends_with(')') { name.split_once('(').map_or(name, |(called, _)| called) } else { name }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Awaited, EntryFailure, LeftOver, for_want_of_others};

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn failure(id: i32, schema: &str, name: &str, reason: &str, needs: &[i32]) -> EntryFailure {
        let reason = format!("could not execute query: ERROR:  {reason}");
        let (kind, schema, name) = ("VIEW".to_owned(), schema.to_owned(), name.to_owned());
        EntryFailure { id, kind, schema, name, reason, needs: needs.to_vec(), held: false }
    }

    #[test]
    fn only_absent_schemas_excuse_a_failure() {
        let schemas = names(&["public", "pg_catalog", "a.b"]);
        let awaited = Awaited { absent: true, ..Awaited::default() };
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
            assert_eq!(awaited.is_named(reason, &schemas), excused, "{reason}");
        }
    }

    #[test]
    fn an_entry_waits_for_its_own_schemas_and_objects_and_no_others() {
        let awaited = Awaited { absent: false, schemas: names(&["tenant_b"]), objects: names(&["tenant_c.f"]) };
        for (reason, waits) in [
            (r#"relation "tenant_b.t" does not exist"#, true),
            (r#"schema "tenant_b" does not exist"#, true),
            (r"function tenant_c.f(integer, text) does not exist", true),
            (r"function tenant_c.g(integer) does not exist", false),
            (r#"relation "tenant_d.t" does not exist"#, false),
            (r#"insert or update on table "x" violates foreign key constraint "y""#, false),
        ] {
            let reason = format!("could not execute query: ERROR:  {reason}");
            assert_eq!(awaited.is_named(&reason, &names(&[])), waits, "{reason}");
        }
    }

    #[test]
    fn what_is_left_out_excuses_what_stands_on_it_in_any_archive_and_nothing_else() {
        let a = [
            failure(1, "tenant_a", "v", r#"relation "tenant_b.w" does not exist"#, &[]),
            failure(2, "tenant_a", "COMMENT", r#"something else"#, &[1]),
            failure(3, "tenant_a", "x", r#"relation "tenant_d.t" does not exist"#, &[]),
            failure(4, "tenant_a", "y", r#"relation "tenant_b.gone" does not exist"#, &[2, 9]),
            failure(5, "tenant_a", "z", r#"relation "tenant_b.gone" does not exist"#, &[9]),
        ];
        let b = [failure(9, "tenant_b", "w", r#"relation "tenant_c.t" does not exist"#, &[])];
        let tied = ["tenant_b".to_owned(), "tenant_c".to_owned()];
        let left = [
            LeftOver { entries: &a, tied: Some(&tied) },
            LeftOver { entries: &b, tied: Some(&tied) },
            LeftOver { entries: &a[2..3], tied: None },
        ];
        let found = for_want_of_others(&left, &names(&["public", "tenant_a", "tenant_b"]));
        // The tenant is not known to be tied to `tenant_d`; and the ids of another archive are not its own.
        assert_eq!(found, [BTreeSet::from([1, 2, 4]), BTreeSet::from([9]), BTreeSet::from([3])]);
    }
}
