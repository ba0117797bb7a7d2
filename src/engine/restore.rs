//! `pg_restore` from a stream: watched for wholeness as it passes, its errors told apart by entry.
//!
//! The stream is parsed on its way into the program. An archive that is cut at a block's end looks whole to
//! `pg_restore`, and a reader that fails (a wrong digest, a lost connection) must not look like an end: both end in an
//! error here, and the program is killed.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sqlx::{Connection as _, Executor as _};
use tokio::io::AsyncWriteExt;

use super::archive::{ArchiveError, ArchiveReader, Toc};
use super::failure::words_of;
use super::process::Ended;
use super::restore_errors::{EntryFailure, by_entry};
use super::sql::quote_ident;
use super::{Connection, EngineError, Input, Invocation, Output, Program, Programs};

/// How many bytes of `pg_restore`'s words are kept where errors are sorted out: all of them must be seen, and a table of
/// contents with 76,000 entries makes about 5 MiB of words.
const WORDS_KEPT: usize = 64 << 20;
/// How many where the first error ends it.
const LAST_WORDS_KEPT: usize = 256 << 10;

/// How archives are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreOptions {
    /// Objects belong to who restores.
    pub no_owner: bool,
    /// Grants are left out.
    pub no_acl: bool,
    /// Objects are dropped first.
    pub clean: bool,
    /// All or nothing: an error leaves the database as it was.
    pub single_transaction: bool,
    /// Which part of the archive.
    pub sections: Sections,
}

/// A part of an archive, in the order in which a database is made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sections {
    /// All of it.
    #[default]
    All,
    /// What comes before the rows.
    Before,
    /// The rows.
    Rows,
    /// What comes after them: indexes, constraints, triggers.
    After,
}

/// The bytes of an archive, in order; an `Err` item stops the restore and kills the program.
pub type ArchiveBytes = BoxStream<'static, std::io::Result<Bytes>>;

/// Makes the bytes of an archive out of the pieces of a dump. Their end does not say that it is whole; the dump's own end
/// does.
#[must_use]
pub fn from_channel(pieces: tokio::sync::mpsc::Receiver<Bytes>) -> ArchiveBytes {
    futures_util::stream::unfold(pieces, |mut pieces| async { pieces.recv().await.map(|piece| (Ok(piece), pieces)) })
        .boxed()
}

/// A restore to make.
pub struct RestoreRequest {
    /// The programs: their version must be that of the dump or newer.
    pub programs: Programs,
    /// The database to restore into.
    pub target: Connection,
    /// The archive.
    pub archive: ArchiveBytes,
    /// How.
    pub options: RestoreOptions,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreReport {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Entries that could not be restored because of what is not there; only [`super::restore_waiting`] and its kin
    /// let them pass.
    pub deferred: Vec<EntryFailure>,
}

/// Returns the program that restores from its stdin. Pure.
#[must_use]
pub fn restore_invocation(programs: &Programs, target: &Connection, options: RestoreOptions, stop: bool) -> Invocation {
    // A transaction ends with its first error, so whoever asks for one stops there too.
    let stop = stop || options.single_transaction;
    let mut invocation = Invocation::new(programs.path(Program::PgRestore))
        // Only then does it say which entry an error belongs to.
        .args(["--format=custom", "--no-password", "--verbose"])
        .arg(format!("--dbname={}", super::globals::keyword(target.database())))
        .envs(target.env())
        .input(Input::Pipe)
        .output(Output::Nothing)
        .keep_stderr(if stop { LAST_WORDS_KEPT } else { WORDS_KEPT });
    for (wanted, argument) in [
        (stop, "--exit-on-error"),
        (options.no_owner, "--no-owner"),
        (options.no_acl, "--no-acl"),
        (options.clean, "--clean"),
        (options.clean, "--if-exists"),
        (options.single_transaction, "--single-transaction"),
    ] {
        if wanted {
            invocation = invocation.arg(argument);
        }
    }
    match options.sections {
        Sections::All => invocation,
        Sections::Before => invocation.arg("--section=pre-data"),
        Sections::Rows => invocation.arg("--section=data"),
        Sections::After => invocation.arg("--section=post-data"),
    }
}

/// Restores an archive; any error is a failure.
///
/// # Errors
/// [`EngineError::Restore`], [`EngineError::Archive`] when the stream is not whole.
pub async fn restore(request: RestoreRequest) -> Result<RestoreReport, EngineError> {
    let (ended, toc, bytes) = run(request, true, None).await?;
    concluded(ended, &toc, bytes)
}

fn concluded(ended: Ended, toc: &Toc, bytes: u64) -> Result<RestoreReport, EngineError> {
    if !ended.status.success() {
        let words = match by_entry(&ended.stderr, toc).first() {
            Some(first) => first.to_string(),
            None => ended.failure().to_string(),
        };
        return Err(EngineError::Restore(words));
    }
    Ok(RestoreReport { entries: toc.entries.len() as u64, bytes, deferred: Vec::new() })
}

/// Restores an archive that lies in a file, with several sessions at once. The file is read through first: an archive
/// that is not whole changes nothing.
///
/// # Errors
/// As [`restore`].
pub async fn restore_file(
    programs: &Programs,
    target: &Connection,
    path: &Path,
    jobs: u32,
    options: RestoreOptions,
) -> Result<RestoreReport, EngineError> {
    let reading = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_whole(&reading)).await;
    let (toc, bytes) =
        read.map_err(|e| EngineError::io("reading the archive", std::io::Error::other(e.to_string())))??;
    let mut invocation = restore_invocation(programs, target, options, true).input(Input::Nothing);
    invocation = invocation.arg(format!("--jobs={}", jobs.max(1))).arg(path);
    let ended = invocation.spawn()?.wait().await?;
    concluded(ended, &toc, bytes)
}

fn read_whole(path: &Path) -> Result<(Arc<Toc>, u64), EngineError> {
    let io = |e| EngineError::io(format!("reading {}", path.display()), e);
    let mut file = std::fs::File::open(path).map_err(io)?;
    let mut reader = ArchiveReader::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut buffer).map_err(io)?;
        if count == 0 {
            return Ok((reader.finish()?, bytes));
        }
        reader.feed(&buffer[..count], &mut |_| Ok::<(), ArchiveError>(()))?;
        bytes += count as u64;
    }
}

/// Tells the errors of a restore that went through apart.
pub(super) fn told_apart(ended: Ended, toc: &Toc) -> Result<Vec<EntryFailure>, EngineError> {
    if ended.stderr.len() >= WORDS_KEPT {
        return Err(EngineError::Restore("there are more errors than can be told apart".to_owned()));
    }
    let failures = by_entry(&ended.stderr, toc);
    // Exit code 1 with the count of ignored errors is how it ends when it went through; anything else broke off.
    let ignored = ended.stderr.lines().rev().find_map(|line| line.split("errors ignored on restore: ").nth(1));
    let ignored: Option<usize> = ignored.and_then(|count| count.trim().parse().ok());
    if ended.status.code() != Some(1) || ignored != Some(failures.len()) {
        return Err(EngineError::Restore(ended.failure().to_string()));
    }
    Ok(failures)
}

/// What of an archive of one schema may fail where the rest of its database is not there.
const MAY_FAIL_ALONE: [&str; 8] =
    ["ACL", "DEFAULT ACL", "FK CONSTRAINT", "POLICY", "RULE", "TRIGGER", "VIEW", "MATERIALIZED VIEW"];

/// What of an archive of single tables may fail beside that where the rest of the database is not there.
const MAY_FAIL_OF_TABLES: [&str; 3] = ["INDEX ATTACH", "SEQUENCE OWNED BY", "TABLE ATTACH"];

/// Restores the archive of single tables into a database where what they refer to may not be: as [`restore_alone`], and
/// a partition need not find what it is a partition of.
///
/// # Errors
/// As [`restore`], for all other entries.
pub async fn restore_tables(request: RestoreRequest) -> Result<RestoreReport, EngineError> {
    let may_fail = |kind: &str| MAY_FAIL_ALONE.contains(&kind) || MAY_FAIL_OF_TABLES.contains(&kind);
    alone(request, may_fail).await
}

/// Restores as much of an archive as can be; what cannot is reported. For what something else may need and nobody asked
/// for by itself.
///
/// # Errors
/// [`EngineError::Restore`] when the program broke off, [`EngineError::Archive`] when the stream is not whole.
pub async fn restore_loose(request: RestoreRequest) -> Result<RestoreReport, EngineError> {
    alone(request, |_| true).await
}

/// Restores the archive of one schema into a database where what it refers to may not be: what ties tables to others
/// may fail, and is reported; tables and their rows may not.
///
/// # Errors
/// As [`restore`], for all other entries.
pub async fn restore_alone(request: RestoreRequest) -> Result<RestoreReport, EngineError> {
    alone(request, |kind| MAY_FAIL_ALONE.contains(&kind)).await
}

async fn alone(request: RestoreRequest, may_fail: impl Fn(&str) -> bool) -> Result<RestoreReport, EngineError> {
    let (ended, toc, bytes) = run(request, false, None).await?;
    let mut report = RestoreReport { entries: toc.entries.len() as u64, bytes, deferred: Vec::new() };
    if ended.status.success() {
        return Ok(report);
    }
    let failures = told_apart(ended, &toc)?;
    if let Some(fatal) = failures.iter().find(|failure| !may_fail(&failure.kind)) {
        return Err(EngineError::Restore(fatal.to_string()));
    }
    report.deferred = failures;
    Ok(report)
}

/// Restores a directory-format archive. Who owned what and who was granted what is left out: its roles are not known.
///
/// # Errors
/// [`EngineError::Restore`].
pub async fn restore_directory(programs: &Programs, target: &Connection, folder: &Path) -> Result<(), EngineError> {
    let invocation = Invocation::new(programs.path(Program::PgRestore))
        .args(["--format=directory", "--no-password", "--exit-on-error", "--no-owner", "--no-acl"])
        .arg(format!("--dbname={}", super::globals::keyword(target.database())))
        .arg(folder)
        .envs(target.env())
        .output(Output::Nothing);
    let ended = invocation.spawn()?.wait().await?;
    if ended.status.success() { Ok(()) } else { Err(EngineError::Restore(ended.failure().to_string())) }
}

/// Runs plain SQL in one transaction. It must have been looked through before: `psql` runs commands of its own.
///
/// # Errors
/// [`EngineError::Restore`].
pub async fn restore_sql(programs: &Programs, target: &Connection, mut sql: ArchiveBytes) -> Result<(), EngineError> {
    let invocation = Invocation::new(programs.path(Program::Psql))
        .args(["--no-psqlrc", "--quiet", "--no-password", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-"])
        .arg(format!("--dbname={}", super::globals::keyword(target.database())))
        .envs(target.env())
        .input(Input::Pipe)
        .output(Output::Nothing);
    let mut process = invocation.spawn()?;
    let mut stdin = process
        .take_stdin()
        .ok_or_else(|| EngineError::io("writing to psql", std::io::ErrorKind::BrokenPipe.into()))?;
    let mut refused = false;
    while let Some(piece) = sql.next().await {
        // An error here drops the handle and kills the program, so that the transaction is never committed.
        let piece = piece.map_err(|e| EngineError::io("reading the SQL", e))?;
        if stdin.write_all(&piece).await.is_err() {
            refused = true;
            break;
        }
    }
    refused |= stdin.shutdown().await.is_err();
    drop(stdin);
    let ended = process.wait().await?;
    if ended.status.success() && !refused { Ok(()) } else { Err(EngineError::Restore(ended.failure().to_string())) }
}

/// Which entries are restored, as far as not all are.
pub(super) struct Chosen<'a> {
    /// A file that is written for the program and removed.
    pub list: &'a Path,
    /// Chooses them, in their order; absent: all.
    pub ids: &'a (dyn Fn(&Toc) -> Option<Vec<i32>> + Sync),
    /// The archive was seen to its end before, so that the program may stop reading where it needs no more: indexes and
    /// constraints need no row of a large one.
    pub known_whole: bool,
}

/// Runs the program over an archive, to its end or its first error.
pub(super) async fn run(
    request: RestoreRequest,
    stop: bool,
    some: Option<Chosen<'_>>,
) -> Result<(Ended, Arc<Toc>, u64), EngineError> {
    let list = some.as_ref().map(|some| some.list);
    let done = run_with_list(request, stop, some.as_ref()).await;
    match list.map(std::fs::remove_file) {
        Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound && done.is_ok() => {
            Err(EngineError::io("removing a list of entries", error))
        }
        _ => done,
    }
}

async fn run_with_list(
    request: RestoreRequest,
    stop: bool,
    some: Option<&Chosen<'_>>,
) -> Result<(Ended, Arc<Toc>, u64), EngineError> {
    let RestoreRequest { programs, target, mut archive, options } = request;
    let mut invocation = restore_invocation(&programs, &target, options, stop);
    let mut reader = ArchiveReader::new();
    let mut bytes = 0;
    let mut head = Vec::new();
    if let Some(some) = some {
        // The program wants to know before it begins; the table of contents stands at the archive's begin.
        while reader.so_far().is_none()
            && let Some(piece) = archive.next().await
        {
            let piece = piece.map_err(|e| EngineError::io("reading the archive", e))?;
            reader.feed(&piece, &mut |_| Ok::<(), ArchiveError>(()))?;
            head.push(piece);
        }
        if let Some(ids) = reader.so_far().and_then(|toc| (some.ids)(&toc)) {
            let lines: String = ids.iter().map(|id| format!("{id};\n")).collect();
            let io = |e| EngineError::io(format!("writing {}", some.list.display()), e);
            std::fs::write(some.list, lines).map_err(io)?;
            invocation = invocation.arg("--use-list").arg(some.list);
        }
    }
    let mut process = invocation.spawn()?;
    let mut stdin = process
        .take_stdin()
        .ok_or_else(|| EngineError::io("writing to pg_restore", std::io::ErrorKind::BrokenPipe.into()))?;
    let mut refused = false;
    for piece in head {
        bytes += piece.len() as u64;
        refused = refused || stdin.write_all(&piece).await.is_err();
    }
    // After an error of the program the rest is not needed: what it says is the reason, not the broken pipe.
    while !refused && let Some(piece) = archive.next().await {
        let piece = piece.map_err(|e| EngineError::io("reading the archive", e))?;
        reader.feed(&piece, &mut |_| Ok::<(), ArchiveError>(()))?;
        bytes += piece.len() as u64;
        refused = stdin.write_all(&piece).await.is_err();
    }
    let toc = if refused {
        reader.so_far()
    } else {
        // Checked before the program may see the end: an error here drops the handle and kills it.
        reader.finish().map(Some)?
    };
    if stdin.shutdown().await.is_err() {
        refused = true;
    }
    drop(stdin);
    let ended = process.wait().await?;
    let known_whole = some.is_some_and(|some| some.known_whole);
    match toc {
        Some(toc) if known_whole || !(refused && ended.status.success()) => Ok((ended, toc, bytes)),
        _ => Err(EngineError::Restore(ended.failure().to_string())),
    }
}

/// Returns the names of the schemas of a database.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn schemas_of(target: &Connection) -> Result<BTreeSet<String>, EngineError> {
    let mut session = target.connect().await?;
    let names = sqlx::query_scalar("SELECT nspname::text FROM pg_catalog.pg_namespace").fetch_all(&mut session).await;
    let names: Vec<String> = names.map_err(|e| EngineError::server("reading the schemas", &e))?;
    let _closed = session.close().await;
    Ok(names.into_iter().collect())
}

/// Creates an empty database in UTF-8 from `template0`.
///
/// # Errors
/// [`EngineError::Server`], also when it exists.
pub async fn create_database(server: &Connection, name: &str) -> Result<(), EngineError> {
    let statement = format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", quote_ident(name));
    execute(server, &format!("creating the database {}", quote_ident(name)), statement).await
}

/// Drops a database and ends its sessions.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn drop_database(server: &Connection, name: &str) -> Result<(), EngineError> {
    let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_ident(name));
    execute(server, &format!("dropping the database {}", quote_ident(name)), statement).await
}

/// Runs a statement that is made of quoted names.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn run_statement(server: &Connection, what: &str, statement: String) -> Result<(), EngineError> {
    execute(server, what, statement).await
}

async fn execute(server: &Connection, what: &str, statement: String) -> Result<(), EngineError> {
    let mut session = server.connect().await?;
    let done = session.execute(sqlx::AssertSqlSafe(statement)).await;
    done.map_err(|e| EngineError::Server { what: what.to_owned(), reason: words_of(&e) })?;
    let _closed = session.close().await;
    Ok(())
}

/// Returns whether a database of this name exists on the server.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn database_exists(server: &Connection, name: &str) -> Result<bool, EngineError> {
    exists(server, "SELECT FROM pg_catalog.pg_database WHERE datname::text = $1", name).await
}

/// Returns a server's major version.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn server_major(connection: &Connection) -> Result<u32, EngineError> {
    let failed = |e: &sqlx::Error| EngineError::server("asking for the server's version", e);
    let mut session = connection.connect().await?;
    let query = "SELECT pg_catalog.current_setting('server_version_num')::int4 / 10000";
    let major: i32 = sqlx::query_scalar(query).fetch_one(&mut session).await.map_err(|e| failed(&e))?;
    let _closed = session.close().await;
    Ok(u32::try_from(major).unwrap_or(0))
}

/// Returns a server's data folder, where the server is on this machine and says it; it may not be readable.
///
/// # Errors
/// [`EngineError::Server`], when the server cannot be reached.
pub async fn data_folder(connection: &Connection) -> Result<Option<PathBuf>, EngineError> {
    if !connection.host().starts_with('/') && !["localhost", "127.0.0.1", "::1"].contains(&connection.host()) {
        return Ok(None);
    }
    let mut session = connection.connect().await?;
    // Only those who may read all settings are told.
    let told = sqlx::query_scalar::<_, String>("SHOW data_directory").fetch_one(&mut session).await;
    let _closed = session.close().await;
    Ok(told.ok().map(PathBuf::from))
}

/// Returns whether a schema exists: the precondition of restoring a tenant beside others.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn schema_exists(connection: &Connection, schema: &str) -> Result<bool, EngineError> {
    exists(connection, "SELECT FROM pg_catalog.pg_namespace WHERE nspname::text = $1", schema).await
}

async fn exists(connection: &Connection, query: &'static str, name: &str) -> Result<bool, EngineError> {
    let mut session = connection.connect().await?;
    let row = sqlx::query(query).bind(name).fetch_optional(&mut session).await;
    let found = row.map_err(|e| EngineError::server(format!("looking for {}", quote_ident(name)), &e))?.is_some();
    let _closed = session.close().await;
    Ok(found)
}
