//! The property: one archive split per tenant, restored tenant by tenant, is what `pg_dump -n` of each tenant restores to;
//! and all of it together is what was there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bkup::domain::TableDigest;
use bkup::engine::archive::{Entry, Home};
use bkup::engine::restore::{create_database, drop_database};
use bkup::engine::sql::{quote_ident, quote_literal};
use bkup::engine::{DumpScope, DumpSummary, Input, Invocation, Output, Program, comes_last};
use sqlx::{Connection as _, Executor as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::archives::{
    Archive, Split, Told, merged_differs, named, only_in_split, repeated_by_each, split, surplus, told,
};
use super::case::Case;
use super::maker::{ROLES, TABLESPACE};
use crate::engine::{dumped, request};
use crate::sim::random::Random;
use crate::world::cluster::{Cluster, Major, fresh_folder};

/// What a case came to.
#[derive(Debug)]
pub enum Outcome {
    /// It holds.
    Holds(Checked),
    /// Something does not hold: which property, and how.
    Violated(&'static str, String),
    /// The database could not be made: the generator is wrong, not the splitter.
    Broken(String),
}

/// How much was gone through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    pub cases: u64,
    pub tenants: u64,
    pub entries: u64,
    pub tables: u64,
    pub rows: u64,
    /// Entries of tenants that could be restored only when the others were there, too.
    pub mutual: u64,
}

impl Checked {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.tenants += other.tenants;
        self.entries += other.entries;
        self.tables += other.tables;
        self.rows += other.rows;
        self.mutual += other.mutual;
    }
}

/// A server of one version and a folder for archives.
pub struct Bench {
    cluster: Cluster,
    folder: PathBuf,
}

/// An archive restored and dumped again.
struct Back {
    archive: Archive,
    summary: DumpSummary,
}

type Failures = BTreeMap<i32, String>;
type Violation = (&'static str, String);

impl Bench {
    /// Starts one.
    pub async fn start(major: Major) -> Self {
        let settings = [("allow_in_place_tablespaces", "on"), ("max_locks_per_transaction", "256")];
        let cluster = Cluster::start_with(major, &settings).await;
        for role in ROLES.iter().filter(|role| **role != "PUBLIC") {
            cluster.exec("postgres", &format!("CREATE ROLE {}", quote_ident(role))).await;
        }
        cluster.exec("postgres", &format!("CREATE TABLESPACE {} LOCATION ''", quote_ident(TABLESPACE))).await;
        let folder = fresh_folder("e");
        std::fs::create_dir(&folder).expect("a folder for archives");
        Self { cluster, folder }
    }

    /// Checks a case. The databases that it needs are gone afterwards.
    pub async fn check(&self, case: &Case, seed: u64) -> Outcome {
        let outcome = match self.make(case).await {
            Err(words) => Outcome::Broken(words),
            Ok(()) => match self.holds(case, seed).await {
                Ok(checked) => Outcome::Holds(checked),
                Err((property, words)) => Outcome::Violated(property, words),
            },
        };
        for database in ["source", "context", "split", "alone", "together", "original"] {
            drop_database(&self.cluster.connection("postgres"), database).await.expect("drops");
        }
        outcome
    }

    async fn make(&self, case: &Case) -> Result<(), String> {
        create_database(&self.cluster.connection("postgres"), "source").await.expect("creates");
        let mut session = self.cluster.connection("source").connect().await.expect("connects");
        for piece in &case.pieces {
            if let Err(error) = session.execute(sqlx::AssertSqlSafe(piece.sql.clone())).await {
                return Err(format!("{}: {error}\n{}", piece.label, piece.sql));
            }
        }
        session.close().await.expect("closes");
        Ok(())
    }

    async fn holds(&self, case: &Case, seed: u64) -> Result<Checked, Violation> {
        let (original, summary) = self.dump("source", DumpScope::Database).await?;
        let mut random = Random::new(seed);
        let pieces = split(&original.bytes, &case.tenants, &mut random).map_err(|words| ("splits", words))?;
        if let Some(words) = merged_differs(&original, &pieces) {
            return Err(("what was split merges into the original", words));
        }
        let mut checked = Checked {
            cases: 1,
            tenants: case.tenants.len() as u64,
            entries: original.toc.entries.len() as u64,
            tables: summary.tables.len() as u64,
            rows: summary.tables.iter().map(|table| table.rows).sum(),
            mutual: 0,
        };
        create_database(&self.cluster.connection("postgres"), "context").await.expect("creates");
        if let Some(shared) = pieces.archives.get(&Home::Shared) {
            let failures = self.restore("context", shared, None).await;
            if let Some(words) = first(shared, &failures) {
                return Err(("shared is restored into an empty database", words));
            }
        }
        for (place, schema) in case.tenants.iter().enumerate() {
            let Some(archive) = pieces.archives.get(&Home::Tenant(place)) else { continue };
            self.tenant(schema, archive, pieces.archives.get(&Home::Shared)).await?;
        }
        checked.mutual = self.together(&original, &summary, &pieces).await?;
        Ok(checked)
    }

    /// One tenant's archive against that of `pg_dump -n`, as they are and restored beside what is shared.
    async fn tenant(&self, schema: &str, archive: &Archive, shared: Option<&Archive>) -> Result<(), Violation> {
        let scope = || DumpScope::Schema(schema.to_owned());
        let (alone, summary) = self.dump("source", scope()).await?;
        let (ours, theirs) = (archive.told(Told::Whole), alone.told(Told::Whole));
        let of_all: BTreeSet<String> = shared
            .into_iter()
            .flat_map(Archive::own)
            .filter(|entry| repeated_by_each(entry))
            .map(|entry| told(entry, Told::Whole))
            .collect();
        if let Some(words) = surplus(&theirs, &ours).iter().find(|words| !of_all.contains(*words)) {
            return Err(("what pg_dump -n has is in the tenant's archive", format!("{schema:?}: {words}")));
        }
        let excused: BTreeSet<String> =
            archive.own().filter(|entry| only_in_split(entry)).map(|entry| told(entry, Told::Whole)).collect();
        if let Some(words) = surplus(&ours, &theirs).iter().find(|words| !excused.contains(*words)) {
            return Err(("what the tenant's archive has is in that of pg_dump -n", format!("{schema:?}: {words}")));
        }
        if archive.data() != alone.data() {
            return Err(("the rows are those of pg_dump -n", format!("{schema:?}")));
        }

        let (split, split_failures) = self.back("split", archive, scope()).await?;
        let (alone_back, alone_failures) = self.back("alone", &alone, scope()).await?;
        let told_of = |archive: &Archive, failures: &Failures| -> BTreeSet<String> {
            let entries = failures.keys().filter_map(|id| archive.toc.entry(*id));
            entries.filter(|entry| !only_in_split(entry)).map(|entry| told(entry, Told::Whole)).collect()
        };
        let (ours, theirs) = (told_of(archive, &split_failures), told_of(&alone, &alone_failures));
        if let Some(words) = ours.difference(&theirs).next() {
            let said = first(archive, &split_failures).unwrap_or_default();
            return Err(("what fails also fails from pg_dump -n", format!("{schema:?}: {words}\n{said}")));
        }
        let (split_told, alone_told) = (split.archive.told(Told::Restored), alone_back.archive.told(Told::Restored));
        let lost = surplus(&alone_told, &split_told);
        if let Some(words) = lost.first().filter(|_| ours == theirs) {
            let instead = instead(words, &split_told);
            let words = format!("{schema:?}: lost: {words}\n    {instead}");
            return Err(("nothing is restored otherwise than from pg_dump -n", words));
        }
        // What that one fails at it may not have, or have under a name that the server gave.
        let given = |words: &&String| ["INDEX", "CONSTRAINT", "COMMENT"].iter().any(|kind| words.starts_with(kind));
        let absent = |words: &&String| counterpart(words, &split_told).is_none();
        if let Some(words) = lost.iter().filter(|words| !given(words)).find(absent) {
            return Err(("nothing is restored otherwise than from pg_dump -n", format!("{schema:?}: lost: {words}")));
        }
        // Where pg_dump's own archive fails at more (an extension in the schema, a partition of a foreign parent), what it
        // does not bring back is measured by the source. What it does is not: the server may word a definition, or order
        // the columns of a child, otherwise once it was restored.
        let source = alone.told(Told::Restored);
        let more: Vec<String> = surplus(&split_told, &alone_told);
        let measured = |words: &&String| ours == theirs || !source.contains_key(*words);
        if let Some(words) = more.iter().find(measured) {
            let instead = instead(words, &alone_told);
            let words = format!("{schema:?}: more: {words}\n    {instead}");
            return Err(("nothing is restored otherwise than from pg_dump -n", words));
        }
        // Where both fail alike, both have the same rows; else what the split archive has is what the source has. A
        // table whose columns come back in another order has another digest; one that failed is among the failures.
        let measure = if ours == theirs { &alone_back.summary } else { &summary };
        let failing = || split_failures.keys().filter_map(|id| archive.toc.entry(*id));
        let without_rows = |table: &TableDigest| {
            let of_it = |entry: &Entry| entry.schema() == table.schema && entry.tag() == table.table;
            failing().any(|entry| entry.kind() == "TABLE DATA" && of_it(entry))
        };
        for table in &split.summary.tables {
            let same = |other: &&TableDigest| (&other.schema, &other.table) == (&table.schema, &table.table);
            let failed = table.rows == 0 && without_rows(table);
            match measure.tables.iter().find(same) {
                Some(other) if other == table || other.columns != table.columns || failed => {}
                other => {
                    let words = format!("{table:?}, not {other:?}");
                    return Err(("rows are restored as from pg_dump -n", words));
                }
            }
        }
        if ours == theirs {
            let sequences = |back: &Back| -> BTreeSet<String> {
                back.summary.sequences.iter().map(|sequence| format!("{sequence:?}")).collect()
            };
            if split.summary.tables.len() != alone_back.summary.tables.len()
                || sequences(&split) != sequences(&alone_back)
            {
                return Err(("rows are restored as from pg_dump -n", format!("{schema:?}: tables or sequences")));
            }
            // In any order: among equals, pg_dump sorts by what differs between two databases.
            let (ours, theirs) = (self.text(&split.archive).await?, self.text(&alone_back.archive).await?);
            let sorted = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort_unstable();
                lines
            };
            let (ours, theirs) = (sorted(&ours), sorted(&theirs));
            if ours != theirs {
                let pair = ours.iter().zip(&theirs).find(|(one, other)| one != other);
                return Err(("the schema's text is that of pg_dump -n", format!("{schema:?}: {pair:?}")));
            }
        }
        Ok(())
    }

    /// All archives together: shared, tenants, bridge, and again what needed something that came later.
    async fn together(&self, original: &Archive, summary: &DumpSummary, pieces: &Split) -> Result<u64, Violation> {
        self.copy_of_context("together").await;
        let mut open: BTreeMap<Home, Failures> = BTreeMap::new();
        // What changes or hinders what is made after it comes when nothing more is made.
        let mut last: BTreeMap<Home, Failures> = BTreeMap::new();
        for (home, archive) in pieces.archives.iter().filter(|(home, _)| **home != Home::Shared) {
            let held = comes_last(&archive.toc);
            let all = archive.toc.entries.iter().map(|entry| (entry.id, String::new()));
            let (lasting, some): (Failures, Failures) = all.partition(|(id, _)| held.contains(id));
            last.insert(*home, lasting);
            let failures = self.restore("together", archive, Some(&some)).await;
            open.insert(*home, failures);
        }
        let left = |open: &BTreeMap<Home, Failures>| open.values().map(BTreeMap::len).sum::<usize>();
        let first_round = open.clone();
        let mutual = left(&open) as u64;
        loop {
            let before = left(&open);
            for (home, failures) in open.iter_mut().filter(|(_, failures)| !failures.is_empty()) {
                *failures = self.restore("together", &pieces.archives[home], Some(failures)).await;
            }
            if left(&open) == 0 || left(&open) == before {
                break;
            }
        }
        for (home, lasting) in last.iter().filter(|(_, lasting)| !lasting.is_empty()) {
            let failures = self.restore("together", &pieces.archives[home], Some(lasting)).await;
            open.entry(*home).or_default().extend(failures);
        }
        let (together, found) = self.dump("together", DumpScope::Database).await?;
        let (ours, source) = (together.told(Told::Restored), original.told(Told::Restored));
        let rows = |summary: &DumpSummary| -> BTreeSet<String> {
            let tables = summary.tables.iter().map(|table| format!("{table:?}"));
            tables.chain(summary.sequences.iter().map(|sequence| format!("{sequence:?}"))).collect()
        };
        if left(&open) == 0 && ours == source && rows(&found) == rows(summary) {
            return Ok(mutual);
        }
        // What pg_dump itself does not bring back is no fault of the splitter.
        create_database(&self.cluster.connection("postgres"), "original").await.expect("creates");
        let upstream = self.restore("original", original, None).await;
        for (home, failures) in &open {
            if let Some((id, words)) = failures.iter().find(|(id, _)| !upstream.contains_key(id)) {
                let entry = pieces.archives[home].toc.entry(*id).map(named);
                let at_first = first_round.get(home).and_then(|failures| failures.get(id));
                let words = format!("{home:?}: {entry:?}: {words}\n    at first: {at_first:?}");
                return Err(("all archives together bring everything back", words));
            }
        }
        let (again, found_again) = self.dump("original", DumpScope::Database).await?;
        let measure = again.told(Told::Restored);
        for (way, words) in [("lost", surplus(&measure, &ours)), ("more", surplus(&ours, &measure))] {
            if let Some(words) = words.first() {
                return Err(("all archives together are what was there", format!("{way}: {words}")));
            }
        }
        if rows(&found) != rows(&found_again) {
            let odd: Vec<String> = rows(&found).symmetric_difference(&rows(&found_again)).take(2).cloned().collect();
            return Err(("all archives together have the rows that were there", odd.join("\n")));
        }
        Ok(mutual)
    }

    async fn copy_of_context(&self, name: &str) {
        let server = self.cluster.connection("postgres");
        drop_database(&server, name).await.expect("drops");
        let sql = format!("CREATE DATABASE {} TEMPLATE context STRATEGY file_copy", quote_ident(name));
        self.cluster.exec("postgres", &sql).await;
    }

    async fn back(&self, name: &str, archive: &Archive, scope: DumpScope) -> Result<(Back, Failures), Violation> {
        self.copy_of_context(name).await;
        let failures = self.restore(name, archive, None).await;
        let (archive, summary) = self.dump(name, scope).await?;
        Ok((Back { archive, summary }, failures))
    }

    async fn dump(&self, database: &str, scope: DumpScope) -> Result<(Archive, DumpSummary), Violation> {
        let dumped = dumped(&request(&self.cluster, database, scope)).await;
        let (bytes, summary) = dumped.map_err(|e| ("it is dumped", format!("{database}: {e}")))?;
        let archive = Archive::read(bytes.concat()).map_err(|e| ("it is read", format!("{database}: {e}")))?;
        Ok((archive, summary))
    }

    /// Restores all of an archive or some entries, and returns what failed.
    async fn restore(&self, database: &str, archive: &Archive, some: Option<&Failures>) -> Failures {
        let (path, list) = (self.folder.join("archive"), self.folder.join("list"));
        std::fs::write(&path, &archive.bytes).expect("writes");
        let connection = self.cluster.connection(database);
        let mut invocation = Invocation::new(self.cluster.programs.path(Program::PgRestore))
            .args(["--format=custom", "--no-password", "--verbose"])
            .arg(format!("--dbname={database}"))
            .envs(connection.env())
            .output(Output::Nothing)
            .keep_stderr(64 << 20);
        if let Some(some) = some {
            // In the archive's order: pg_restore takes that of the list.
            let ids = archive.toc.entries.iter().map(|entry| entry.id).filter(|id| some.contains_key(id));
            let lines: String = ids.map(|id| format!("{id};\n")).collect();
            std::fs::write(&list, lines).expect("writes");
            invocation = invocation.arg("--use-list").arg(&list);
        }
        let ended = invocation.arg(&path).spawn().expect("starts").wait().await.expect("ends");
        let (mut failures, mut id) = (Failures::new(), 0);
        let mut lines = ended.stderr.lines();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("pg_restore: from TOC entry ") {
                id = rest.split(';').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            } else if let Some(words) = line.strip_prefix("pg_restore: error: ") {
                let command: Vec<&str> = std::iter::once(words).chain(lines.clone().take(4)).collect();
                failures.entry(id).or_insert_with(|| command.join("\n"));
            }
        }
        let code = ended.status.code();
        assert!(code == Some(i32::from(!failures.is_empty())), "pg_restore ends with {code:?}: {}", ended.failure());
        failures
    }

    /// Returns an archive's definitions as the text that pg_dump would have written.
    async fn text(&self, archive: &Archive) -> Result<String, Violation> {
        let mut process = Invocation::new(self.cluster.programs.path(Program::PgRestore))
            .args(["--schema-only", "--restrict-key=equal", "--file=-"])
            .input(Input::Pipe)
            .spawn()
            .expect("starts");
        let (mut stdin, mut stdout) = (process.take_stdin().expect("a pipe"), process.take_stdout().expect("a pipe"));
        let write = async {
            // It stops reading when it has seen the definitions.
            let _enough = stdin.write_all(&archive.bytes).await;
            drop(stdin);
        };
        let mut text = Vec::new();
        let (_, read) = futures_util::join!(write, stdout.read_to_end(&mut text));
        read.expect("reads");
        let ended = process.wait().await.expect("ends");
        let text = String::from_utf8_lossy(&text).into_owned();
        if ended.status.success() { Ok(text) } else { Err(("it is text", ended.failure().to_string())) }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

/// Returns an entry's text of another side that has the name of this one.
fn counterpart<'a>(words: &str, among: &'a BTreeMap<String, i64>) -> Option<&'a str> {
    among.keys().map(String::as_str).find(|other| other.lines().next() == words.lines().next())
}

/// Says what another side has under the name of an entry's text.
fn instead(words: &str, among: &BTreeMap<String, i64>) -> String {
    format!("the other side has: {}", counterpart(words, among).unwrap_or("nothing of this name"))
}

/// Returns the first failure in words.
fn first(archive: &Archive, failures: &Failures) -> Option<String> {
    let (id, words) = failures.iter().next()?;
    let name = archive.toc.entry(*id).map_or_else(|| quote_literal("?"), named);
    Some(format!("{name}: {words}"))
}
