//! What an archive holds, gathered while it streams: tables with their digests, sequences, schemas, roles, and signs of
//! changes that happened between the snapshot and the locks. Pure. The same for one home of a stream that is split.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::archive::{ArchiveError, ArchiveReader, Entry, Event, Home, Homes, Packing, Toc};
use super::digest::TableHasher;
use super::dump::{DumpScope, DumpSummary};
use super::sql::{Token, quote_ident, quote_qualified, tokens};
use super::tables::TableName;
use super::{EngineError, RowKey};
use crate::domain::{SequenceDigest, TableDigest};

/// The gatherer.
#[derive(Debug)]
pub struct Contents {
    reader: ArchiveReader,
    gathered: Gathered,
}

/// What is gathered of the data, block by block.
#[derive(Debug)]
pub(super) struct Gathered {
    key: RowKey,
    toc: Option<Arc<Toc>>,
    current: Option<(TableDigest, TableHasher)>,
    /// The tables whose blocks have ended.
    pub tables: Vec<TableDigest>,
    /// The large objects that passed.
    pub objects: u64,
}

impl Contents {
    /// Begins.
    #[must_use]
    pub fn new(key: RowKey) -> Self {
        Self { reader: ArchiveReader::new(), gathered: Gathered::new(key, None) }
    }

    /// Takes the next bytes of the archive, cut anywhere.
    ///
    /// # Errors
    /// [`EngineError::Archive`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        let gathered = &mut self.gathered;
        self.reader.feed(bytes, &mut |event| gathered.take(event)).map_err(EngineError::Archive)
    }

    /// Ends it: the archive must be whole and hold what was asked for and nothing else.
    ///
    /// # Errors
    /// [`EngineError::Archive`], [`EngineError::WrongContent`].
    pub fn finish(self, scope: &DumpScope) -> Result<DumpSummary, EngineError> {
        let toc = self.reader.finish()?;
        check_scope(&toc, scope)?;
        let others = !matches!(scope, DumpScope::Schema(_));
        let mut summary = summarize(toc.entries.iter(), others);
        summary.notes.extend(toc.entries.iter().filter_map(lost_definition));
        // Rows alone come without definitions: whoever asks for them leaves extensions' tables to the rest.
        let rows_alone = matches!(scope, DumpScope::RowsOf { .. } | DumpScope::RowsBut(_));
        digested(toc.entries.iter(), rows_alone, self.gathered.tables, self.gathered.objects, &mut summary);
        Ok(summary)
    }
}

/// Adds what was digested to a summary.
fn digested<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    rows_alone: bool,
    tables: Vec<TableDigest>,
    objects: u64,
    summary: &mut DumpSummary,
) {
    // The rows of an extension's own tables are loaded beside those that the extension brings itself, so that what
    // is there after a restore is not what passed here.
    let created: BTreeSet<(String, String)> =
        entries.filter(|e| e.kind() == "TABLE").map(|e| (e.schema(), e.tag())).collect();
    for table in tables {
        if rows_alone || created.contains(&(table.schema.clone(), table.table.clone())) {
            summary.tables.push(table);
        } else {
            let name = quote_qualified(&table.schema, &table.table);
            summary.notes.push(format!("{name} belongs to an extension: its rows are inside, not digested"));
        }
    }
    summary.large_objects = objects;
    if objects > 0 {
        summary.notes.push(format!("{objects} large objects are inside, not digested"));
    }
}

/// Returns what is inside a home of a split archive, whose data was gathered. A definition that was lost is an error
/// here: unlike an archive of everything, this one can be made again for the home alone.
///
/// # Errors
/// [`EngineError::Changed`].
pub(super) fn summary_of_home(
    homes: &Homes,
    home: Home,
    tables: Vec<TableDigest>,
    objects: u64,
) -> Result<DumpSummary, EngineError> {
    if let Some(words) = homes.entries(home).find_map(lost_definition) {
        return Err(EngineError::Changed(words));
    }
    let mut summary = summarize(homes.entries(home), !matches!(home, Home::Tenant(_)));
    digested(homes.entries(home), false, tables, objects, &mut summary);
    Ok(summary)
}

impl Gathered {
    /// Begins; the table of contents may also come as an event.
    pub const fn new(key: RowKey, toc: Option<Arc<Toc>>) -> Self {
        Self { key, toc, current: None, tables: Vec::new(), objects: 0 }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// When data is not what its entry says.
    pub fn take(&mut self, event: Event<'_>) -> Result<(), ArchiveError> {
        match event {
            Event::Toc(toc) => {
                if toc.header.packing() != Packing::None {
                    return Err(ArchiveError::Header("that its data is compressed"));
                }
                self.toc = Some(toc);
            }
            Event::BlockBegin { id, large_objects: false } => {
                let toc = self.toc.clone();
                let Some(entry) = toc.as_ref().and_then(|toc| toc.entry(id)) else { return Ok(()) };
                let copy = entry.copy.as_deref().map(String::from_utf8_lossy);
                let columns = copy.as_deref().and_then(copied_columns);
                let columns =
                    columns.ok_or_else(|| ArchiveError::NoCopy(quote_qualified(&entry.schema(), &entry.tag())))?;
                let table = TableDigest {
                    schema: entry.schema(),
                    table: entry.tag(),
                    columns,
                    rows: 0,
                    bytes: 0,
                    digest: String::new(),
                };
                self.current = Some((table, TableHasher::new(&self.key)));
            }
            Event::Data(bytes) => {
                if let Some((table, hasher)) = &mut self.current {
                    hasher.feed(bytes, true).map_err(|reason| rows_error(table, reason))?;
                }
            }
            Event::BlockEnd { .. } => {
                if let Some((mut table, hasher)) = self.current.take() {
                    let rows = hasher.finish(true).map_err(|reason| rows_error(&table, reason))?;
                    (table.rows, table.bytes, table.digest) = (rows.count, rows.bytes, rows.digest.to_string());
                    self.tables.push(table);
                }
            }
            Event::ObjectBegin { .. } => self.objects += 1,
            Event::BlockBegin { large_objects: true, .. } | Event::Piece { .. } | Event::ObjectEnd => {}
        }
        Ok(())
    }
}

fn rows_error(table: &TableDigest, reason: super::digest::RowError) -> ArchiveError {
    ArchiveError::Rows { table: quote_qualified(&table.schema, &table.table), reason }
}

/// Reads the columns of `COPY s.t (a, "b") FROM stdin;`; a table without columns has no list.
fn copied_columns(copy: &str) -> Option<Vec<String>> {
    let tokens = tokens(copy);
    if !tokens.first()?.is("copy") {
        return None;
    }
    let Some(open) = tokens.iter().position(|token| *token == Token::Sign('(')) else { return Some(Vec::new()) };
    let close = tokens.iter().position(|token| *token == Token::Sign(')'))?;
    Some(tokens.get(open + 1..close)?.iter().filter_map(|token| token.name().map(str::to_owned)).collect())
}

/// Reads `SELECT pg_catalog.setval('s.q', 42, true);`.
fn set_value(entry: &Entry) -> Option<SequenceDigest> {
    let definition = entry.definition();
    let tokens = tokens(&definition);
    let literal = tokens.iter().position(|token| matches!(token, Token::Literal(_)))?;
    let mut rest = tokens.get(literal + 1..)?.iter().filter(|token| **token != Token::Sign(','));
    let mut number = String::new();
    let is_called = loop {
        match rest.next()? {
            Token::Sign('-') => number.push('-'),
            Token::Word(word) if word.bytes().all(|b| b.is_ascii_digit()) => number.push_str(word),
            Token::Word(word) => break word == "true",
            _ => return None,
        }
    };
    Some(SequenceDigest { schema: entry.schema(), sequence: entry.tag(), last_value: number.parse().ok()?, is_called })
}

/// Returns the roles that a GRANT, REVOKE, ALTER DEFAULT PRIVILEGES or CREATE POLICY names.
fn named_roles(definition: &str) -> Vec<String> {
    let tokens = tokens(definition);
    let mut roles = Vec::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        index += 1;
        let for_role = token.is("role") && index >= 2 && tokens[index - 2].is("for");
        if !(token.is("to") || token.is("from") || for_role) {
            continue;
        }
        while let Some(name) = tokens.get(index).and_then(Token::name) {
            if !matches!(&tokens[index], Token::Word(word) if word.eq_ignore_ascii_case("public")) {
                roles.push(name.to_owned());
            }
            index += 1;
            if tokens.get(index) != Some(&Token::Sign(',')) {
                break;
            }
            index += 1;
        }
    }
    roles
}

/// Says that an entry lost its definition, because its object went away between the snapshot and the locks.
fn lost_definition(entry: &Entry) -> Option<String> {
    let definition = entry.definition.as_deref().unwrap_or_default();
    let lost = match entry.kind() {
        "INDEX" | "TRIGGER" | "STATISTICS" => definition.iter().all(|byte| byte.is_ascii_whitespace() || *byte == b';'),
        "FUNCTION" | "PROCEDURE" => {
            let text = String::from_utf8_lossy(definition);
            text.lines().next().is_some_and(|line| line.ends_with("RETURNS ") || line.ends_with("RETURNS"))
        }
        _ => false,
    };
    lost.then(|| {
        format!(
            "the {} {} was dropped while the dump began; the archive's entry is empty",
            entry.kind().to_lowercase(),
            named(entry)
        )
    })
}

/// Returns what a table of contents says of an archive whose rows were not looked at.
#[must_use]
pub fn summary_of(toc: &Toc, scope: &DumpScope) -> DumpSummary {
    let mut summary = summarize(toc.entries.iter(), !matches!(scope, DumpScope::Schema(_)));
    summary.notes.extend(toc.entries.iter().filter_map(lost_definition));
    summary
}

/// Sums entries up. `others`: also the schemas that have no entry of their own, such as `public` as it is by default.
fn summarize<'a>(entries: impl Iterator<Item = &'a Entry>, others: bool) -> DumpSummary {
    let mut summary = DumpSummary::default();
    let (mut schemas, mut extensions, mut roles) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        summary.entries += 1;
        let owner = String::from_utf8_lossy(entry.owner.as_deref().unwrap_or_default());
        if !owner.is_empty() && !roles.contains(owner.as_ref()) {
            roles.insert(owner.into_owned());
        }
        match entry.kind() {
            "SCHEMA" => drop(schemas.insert(entry.tag())),
            "EXTENSION" => drop(extensions.insert(entry.tag())),
            "ACL" | "DEFAULT ACL" => roles.extend(named_roles(&entry.definition())),
            // Only what stands before the expressions, which may hold anything.
            "POLICY" => {
                let definition = entry.definition();
                let head = definition.split(" USING (").next().unwrap_or_default();
                roles.extend(named_roles(head.split(" WITH CHECK (").next().unwrap_or_default()));
            }
            "SEQUENCE SET" => match set_value(entry) {
                Some(sequence) => summary.sequences.push(sequence),
                None => summary.notes.push(format!("the value of {} was not understood", named(entry))),
            },
            _ => {}
        }
        if others && entry.schema.as_deref().is_some_and(|schema| !schema.is_empty()) {
            schemas.insert(entry.schema());
        }
    }
    (summary.schemas, summary.extensions, summary.roles) =
        (schemas.into_iter().collect(), extensions.into_iter().collect(), roles.into_iter().collect());
    summary
}

fn named(entry: &Entry) -> String {
    if entry.schema.as_deref().unwrap_or_default().is_empty() {
        quote_ident(&entry.tag())
    } else {
        quote_qualified(&entry.schema(), &entry.tag())
    }
}

/// Checks the table of contents against what was asked for: a pattern that matched too much must not pass.
pub(super) fn check_scope(toc: &Toc, scope: &DumpScope) -> Result<(), EngineError> {
    let wrong = |words: String| Err(EngineError::WrongContent(words));
    let inside = |entry: &&Entry| !entry.schema.as_deref().unwrap_or_default().is_empty();
    match scope {
        DumpScope::Database => Ok(()),
        DumpScope::Schema(schema) => {
            let other =
                |e: &&Entry| (inside(e) && e.schema() != *schema) || (e.kind() == "SCHEMA" && e.tag() != *schema);
            if let Some(entry) = toc.entries.iter().find(other) {
                return wrong(format!("it holds the {} {}", entry.kind(), named(entry)));
            }
            // The schema `public` as it is by default has no entry of its own.
            let has_it = toc.entries.iter().any(|e| e.kind() == "SCHEMA" || inside(&e));
            if has_it { Ok(()) } else { wrong(format!("the schema {} is not inside", quote_ident(schema))) }
        }
        DumpScope::AllBut(schemas) => {
            let left_out: BTreeSet<&str> = schemas.iter().map(String::as_str).collect();
            let tenant = |e: &&Entry| {
                left_out.contains(e.schema().as_str()) || (e.kind() == "SCHEMA" && left_out.contains(e.tag().as_str()))
            };
            match toc.entries.iter().find(tenant) {
                Some(entry) => wrong(format!("it holds the {} {}, which was left out", entry.kind(), named(entry))),
                None => Ok(()),
            }
        }
        DumpScope::Schemas(schemas) => {
            let wanted: BTreeSet<&str> = schemas.iter().map(String::as_str).collect();
            let other = |e: &&Entry| {
                (inside(e) && !wanted.contains(e.schema().as_str()))
                    || (e.kind() == "SCHEMA" && !wanted.contains(e.tag().as_str()))
            };
            match toc.entries.iter().find(other) {
                Some(entry) => wrong(format!("it holds the {} {}", entry.kind(), named(entry))),
                None => Ok(()),
            }
        }
        DumpScope::Prelude | DumpScope::Definitions => match toc.entries.iter().find(|e| e.kind() == "TABLE DATA") {
            Some(entry) => wrong(format!("it holds the rows of {}", named(entry))),
            None => Ok(()),
        },
        DumpScope::Named(names) => {
            let there: BTreeSet<(String, String)> = toc.entries.iter().map(|e| (e.schema(), e.tag())).collect();
            if let Some(lacking) = names.iter().find(|n| !there.contains(&(n.schema.clone(), n.table.clone()))) {
                return wrong(format!("{} is not inside", lacking.quoted()));
            }
            only_rows_of(toc, names, true)
        }
        DumpScope::RowsOf { tables, .. } => {
            if let Some(other) = toc.entries.iter().find(|e| e.copy.is_none() && inside(e)) {
                return wrong(format!("it holds the {} {}", other.kind(), named(other)));
            }
            only_rows_of(toc, tables, true)
        }
        DumpScope::RowsBut(names) => only_rows_of(toc, names, false),
        DumpScope::Tables(_) => {
            let tables = toc.entries.iter().any(|e| e.kind().ends_with("TABLE") || e.kind().ends_with("VIEW"));
            if tables { Ok(()) } else { wrong("no table is inside".to_owned()) }
        }
    }
}

/// Checks that all rows are of these tables, or that none are.
fn only_rows_of(toc: &Toc, names: &[TableName], theirs: bool) -> Result<(), EngineError> {
    let names: BTreeSet<(&str, &str)> = names.iter().map(|n| (n.schema.as_str(), n.table.as_str())).collect();
    let is_wrong =
        |e: &&Entry| e.kind() == "TABLE DATA" && names.contains(&(e.schema().as_str(), e.tag().as_str())) != theirs;
    match toc.entries.iter().find(is_wrong) {
        Some(entry) => Err(EngineError::WrongContent(format!("it holds the rows of {}", named(entry)))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{copied_columns, named_roles};

    #[test]
    fn columns_come_from_the_copy_statement() {
        let columns = copied_columns("COPY \"we\"\"ird (\".t (id, \"Na)me\", \"a\"\"b\") FROM stdin;\n");
        assert_eq!(columns.expect("columns"), ["id", "Na)me", "a\"b"]);
        assert_eq!(copied_columns("COPY s.z  FROM stdin;\n").expect("none"), Vec::<String>::new());
        assert_eq!(copied_columns("INSERT INTO x"), None);
    }

    #[test]
    fn roles_are_read_from_grants_and_policies() {
        let acl = "REVOKE ALL ON TABLE s.t FROM owner;\nGRANT SELECT(a) ON TABLE s.t TO \"re ader\" WITH GRANT OPTION;\n\
                   GRANT ALL ON SCHEMA \"to\" TO PUBLIC;\nSET SESSION AUTHORIZATION x;";
        assert_eq!(named_roles(acl), ["owner", "re ader"]);
        assert_eq!(named_roles("CREATE POLICY p ON s.t FOR SELECT TO app, \"b\""), ["app", "b"]);
        let acl = "ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA s GRANT SELECT ON TABLES TO app;";
        assert_eq!(named_roles(acl), ["boss", "app"]);
    }
}
