//! `pg_dump` as a stream of bytes whose content is digested as it passes.
//!
//! One thread reads the program's stdout and hands every piece to two bounded channels: to the caller, and to a thread
//! that parses the archive and digests its rows. Neither can run away from the other, and nothing is kept but the table
//! of contents. Always a pipe, never a file as stdout: from 16 on, `pg_dump -Fc` into a seekable stdout appends its
//! table of contents as garbage.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::contents::Contents;
use super::globals::keyword;
use super::process::{Ended, Process};
use super::sql::{exact_pattern, table_pattern};
use super::tables::TableName;
use super::task::{self, Task};
use super::{Connection, EngineError, Invocation, Output, Program, Programs, RowKey};
use crate::domain::{SequenceDigest, TableDigest};

/// How much is read at once.
const PIECE: usize = 256 * 1024;
/// How much at least makes it worth to read again at once.
const WORTH: usize = 64 * 1024;
/// How long the pipe fills otherwise: less than it takes any source to fill it.
const FILLS: Duration = Duration::from_millis(1);
/// How many pieces each channel holds.
pub(super) const PIECES: usize = 16;
/// How many pieces are remembered, to be filled again.
const HANDED: usize = PIECES + 2;
/// How many schemas go into one pattern where they are few, or too many for an argument each: `pg_dump` asks the server
/// for each pattern by itself, and regular expressions have a limit of their own.
const SCHEMAS_AT_ONCE: usize = 40;
/// How many are few. The server looks one name up in its index, but matches alternatives against every schema that it
/// has: of 10,000 the same names took thirteen times as long together as one by one, of 200 half as long.
const FEW: usize = 256;
/// How many bytes of arguments go one by one: all that a program is given is at most 2 MiB, and one argument 128 KiB.
const ARGUMENTS: usize = 1024 * 1024;
/// What an argument takes besides a name: the option, quotes, its end, and where it is.
const ARGUMENT: usize = 32;

/// What is dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DumpScope {
    /// The whole database.
    Database,
    /// One schema, by its exact name.
    Schema(String),
    /// These schemas, by their exact names. One that is not there is not missed: the caller must look.
    Schemas(Vec<String>),
    /// All but these schemas, by their exact names: the shared archive.
    AllBut(Vec<String>),
    /// Tables by policy globs `schema.table`.
    Tables(Vec<String>),
    /// Tables by their exact names.
    Named(Vec<TableName>),
    /// What tables may need and are not: schemas, extensions, types, functions.
    Prelude,
    /// The whole database without rows.
    Definitions,
    /// The rows of these tables alone, but not the values of these sequences of theirs.
    RowsOf {
        /// The tables.
        tables: Vec<TableName>,
        /// The sequences, whose values are dumped elsewhere.
        sequences: Vec<TableName>,
    },
    /// The rows of the whole database but for these tables: sequences' values and large objects, too.
    RowsBut(Vec<TableName>),
}

/// A dump to make.
#[derive(Debug, Clone)]
pub struct DumpRequest {
    /// The programs: their version must be the server's or newer.
    pub programs: Programs,
    /// The database.
    pub connection: Connection,
    /// What of it.
    pub scope: DumpScope,
    /// The exported snapshot to see; absent: pg_dump takes its own.
    pub snapshot: Option<String>,
    /// How long a lock is waited for.
    pub lock_wait: Duration,
    /// The key of the row digests.
    pub row_key: RowKey,
    /// The database's encoding, as the snapshot says it.
    pub encoding: String,
}

impl DumpRequest {
    /// Returns the program with its arguments. Pure.
    #[must_use]
    pub fn invocation(&self) -> Invocation {
        // Bytes of no declared encoding can only be passed through; all others become UTF-8, as for the digests of the
        // other side.
        let encoding = if self.encoding == "SQL_ASCII" { "SQL_ASCII" } else { "UTF8" };
        let mut invocation = Invocation::new(self.programs.path(Program::PgDump))
            .args(["--format=custom", "--compress=0", "--no-password"])
            .arg(format!("--encoding={encoding}"))
            .arg(format!("--lock-wait-timeout={}", self.lock_wait.as_millis()))
            .arg(format!("--dbname={}", keyword(self.connection.database())))
            .envs(self.connection.env())
            .output(Output::Stream);
        if let Some(snapshot) = &self.snapshot {
            invocation = invocation.arg(format!("--snapshot={snapshot}"));
        }
        match &self.scope {
            DumpScope::Database => invocation,
            DumpScope::Schema(schema) => {
                invocation.arg("--strict-names").arg(format!("--schema={}", exact_pattern(schema)))
            }
            DumpScope::Schemas(schemas) => invocation.args(patterns("--schema", schemas)),
            DumpScope::AllBut(schemas) => invocation.args(patterns("--exclude-schema", schemas)),
            DumpScope::Tables(globs) => invocation
                .arg("--strict-names")
                .args(globs.iter().map(|glob| format!("--table={}", table_pattern(glob)))),
            DumpScope::Named(names) => {
                invocation.arg("--strict-names").args(names.iter().map(|name| format!("--table={}", name.quoted())))
            }
            DumpScope::Prelude => invocation.args(["--section=pre-data", "-B", "--exclude-table=*.*"]),
            DumpScope::Definitions => invocation.args(["--section=pre-data", "--section=post-data"]),
            DumpScope::RowsOf { tables, sequences } => invocation
                .args(["--section=data", "--strict-names"])
                .args(tables.iter().map(|name| format!("--table={}", name.quoted())))
                .args(sequences.iter().map(|name| format!("--exclude-table-data={}", name.quoted()))),
            DumpScope::RowsBut(names) => invocation
                .arg("--section=data")
                .args(names.iter().map(|name| format!("--exclude-table-data={}", name.quoted()))),
        }
    }
}

/// Returns arguments whose patterns match exactly these names. Several in one are alternatives of quoted names, since
/// outside of quotes `|` keeps its meaning in these patterns.
fn patterns(option: &str, schemas: &[String]) -> impl Iterator<Item = String> {
    let bytes: usize = schemas.iter().map(|schema| schema.len() + ARGUMENT).sum();
    let are_many = schemas.len() > FEW && bytes <= ARGUMENTS;
    schemas.chunks(if are_many { 1 } else { SCHEMAS_AT_ONCE }).map(move |some| {
        let names: Vec<String> = some.iter().map(|schema| exact_pattern(schema)).collect();
        format!("{option}={}", names.join("|"))
    })
}

/// What was inside a dump that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DumpSummary {
    /// Schemas whose definitions are inside, sorted.
    pub schemas: Vec<String>,
    /// Tables with data, in archive order.
    pub tables: Vec<TableDigest>,
    /// Sequences with values, in archive order.
    pub sequences: Vec<SequenceDigest>,
    /// Extensions that the archive creates, sorted.
    pub extensions: Vec<String>,
    /// Roles named by owners, grants and row policies, sorted.
    pub roles: Vec<String>,
    /// Large objects.
    pub large_objects: u64,
    /// `pg_dump`'s version line.
    pub dump_version: String,
    /// Entries of the table of contents.
    pub entries: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// What a person should know: large objects, silent changes seen, data that is not digested.
    pub notes: Vec<String>,
}

/// A running dump: its bytes, then what was inside.
#[derive(Debug)]
pub struct Dump {
    /// The archive's bytes, in order. The end of the channel does **not** say that the dump is whole: [`Dump::finish`]
    /// does. What was written from the channel is to be thrown away when `finish` fails.
    pub chunks: mpsc::Receiver<Bytes>,
    reader: Task<Result<(Ended, u64), EngineError>>,
    parser: JoinHandle<Result<Contents, EngineError>>,
    pid: Option<u32>,
    line: String,
    scope: DumpScope,
}

/// Starts a dump. To be called inside the runtime.
///
/// # Errors
/// [`EngineError::Start`].
pub fn dump(request: &DumpRequest) -> Result<Dump, EngineError> {
    let process = request.invocation().spawn()?;
    let pid = process.id();
    let (to_caller, chunks) = mpsc::channel::<Bytes>(PIECES);
    let (to_parser, mut pieces) = mpsc::channel::<Bytes>(PIECES);
    let reader = task::spawn(read(process, to_parser, Some(to_caller)));
    let row_key = request.row_key.clone();
    let parser = tokio::task::spawn_blocking(move || {
        let mut contents = Contents::new(row_key);
        while let Some(piece) = pieces.blocking_recv() {
            contents.feed(&piece)?;
        }
        Ok(contents)
    });
    Ok(Dump { chunks, reader, parser, pid, line: request.programs.line.clone(), scope: request.scope.clone() })
}

/// Reads a program's stdout to its end, hands every piece to the takers, and waits for the program. Returns how it
/// ended and how many bytes came.
pub(super) async fn read(
    mut process: Process,
    to_parser: mpsc::Sender<Bytes>,
    to_caller: Option<mpsc::Sender<Bytes>>,
) -> Result<(Ended, u64), EngineError> {
    let failed = |error| EngineError::io("reading pg_dump", error);
    let stdout = process.take_stream().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
    // Should this task be aborted, the program is killed with it, which ends the thread.
    let reading = tokio::task::spawn_blocking(move || hand_on(stdout, &to_parser, to_caller.as_ref()));
    let read = reading.await.unwrap_or_else(|error| Err(io::Error::other(error.to_string())));
    let total = read.map_err(failed)?;
    Ok((process.wait().await?, total))
}

fn hand_on(
    mut stdout: PipeReader,
    to_parser: &mpsc::Sender<Bytes>,
    to_caller: Option<&mpsc::Sender<Bytes>>,
) -> io::Result<u64> {
    let mut total = 0_u64;
    // Pieces that were handed out. The first that nobody holds any more is filled again: memory that is given back and
    // taken anew costs as much as what is done with it.
    let mut handed: VecDeque<Bytes> = VecDeque::new();
    loop {
        let again = handed.pop_front_if(|piece| piece.is_unique()).and_then(|piece| piece.try_into_mut().ok());
        let mut buffer = again.unwrap_or_default();
        // What it held is written over; of a new one, or one that was cut, the rest is zeroed once.
        buffer.resize(PIECE, 0);
        let filled = fill(&mut stdout, &mut buffer)?;
        if filled == 0 {
            return Ok(total);
        }
        buffer.truncate(filled);
        total += filled as u64;
        let piece = buffer.freeze();
        handed.push_back(piece.clone());
        if handed.len() > HANDED {
            handed.pop_front();
        }
        let wanted = to_parser.blocking_send(piece.clone()).is_ok();
        // A parser that stopped has an error to tell, which `finish` asks for: the dump is of no use by then.
        if !wanted || to_caller.is_some_and(|caller| caller.blocking_send(piece).is_err()) {
            return Ok(total);
        }
    }
}

/// Fills a piece, or as much of it as there is before the end. A pipe gives what is there, at times a single row; to be
/// woken for each costs both sides more than what is done with it.
fn fill(stdout: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match stdout.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                if count < WORTH && filled < piece.len() {
                    std::thread::sleep(FILLS);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Dump {
    /// Returns the program's id, for logs.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Takes the channel away, to be drained elsewhere; `finish` stays here.
    #[must_use]
    pub fn take_chunks(&mut self) -> mpsc::Receiver<Bytes> {
        std::mem::replace(&mut self.chunks, mpsc::channel(1).1)
    }

    /// Waits for the program's end and returns what was inside. Only its `Ok` says that the bytes are a whole dump;
    /// the channel must have been drained, or is drained here. Dropping the dump kills the program.
    ///
    /// # Errors
    /// When the program failed, the stream is not whole, or it holds other things than were asked for.
    pub async fn finish(mut self) -> Result<DumpSummary, EngineError> {
        while self.chunks.recv().await.is_some() {}
        let ended = self.reader.join().await;
        let parsed = self.parser.await;
        let lost = |e: tokio::task::JoinError| EngineError::io("dumping", std::io::Error::other(e.to_string()));
        let (ended, bytes) = ended?;
        // A parser that gave up is the cause of the program's broken pipe. A stream that is merely cut is found below,
        // after the program has said why.
        let contents = parsed.map_err(lost)??;
        let ended = ended.success()?;
        let mut summary = contents.finish(&self.scope)?;
        summary.bytes = bytes;
        summary.dump_version.clone_from(&self.line);
        summary.notes.extend(ended.stderr.lines().filter(|line| line.contains("warning:")).map(str::to_owned));
        Ok(summary)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::{ARGUMENTS, FEW, exact_pattern, fill, patterns};

    /// A pipe that gives a few bytes at a time, and is disturbed before each.
    struct Drops {
        left: usize,
        disturbed: bool,
        end: Option<io::ErrorKind>,
    }

    impl Read for Drops {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.disturbed = !self.disturbed;
            if self.disturbed {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = buffer.len().min(self.left).min(7);
            if let Some(end) = self.end.filter(|_| count == 0) {
                return Err(end.into());
            }
            buffer[..count].fill(b'x');
            self.left -= count;
            Ok(count)
        }
    }

    #[test]
    fn drops_become_whole_pieces_and_the_last_one_what_is_left() {
        let mut drops = Drops { left: 45, disturbed: false, end: None };
        let mut filled = || {
            let mut piece = [b'.'; 20];
            let count = fill(&mut drops, &mut piece).unwrap();
            (count, String::from_utf8_lossy(&piece).trim_end_matches('.').len())
        };
        assert_eq!([filled(), filled(), filled(), filled()], [(20, 20), (20, 20), (5, 5), (0, 0)]);
    }

    #[test]
    fn a_pipe_that_breaks_is_not_one_that_ends() {
        let mut drops = Drops { left: 10, disturbed: false, end: Some(io::ErrorKind::ConnectionReset) };
        assert_eq!(fill(&mut drops, &mut [0; 20]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn many_schemas_are_named_one_by_one_and_few_together() {
        let named =
            |count: usize, length: usize| -> Vec<String> { (0..count).map(|n| format!("{n:0length$}")).collect() };
        let args = |schemas: &[String]| -> Vec<String> { patterns("-n", schemas).collect() };
        assert_eq!(args(&named(3, 1)), [r#"-n="0"|"1"|"2""#]);
        assert_eq!(args(&named(FEW, 9)).len(), FEW.div_ceil(super::SCHEMAS_AT_ONCE));
        let many = named(FEW + 1, 9);
        let one_by_one: Vec<String> = many.iter().map(|name| format!("-n={}", exact_pattern(name))).collect();
        assert_eq!(args(&many), one_by_one);
        // What would be more arguments than a program takes goes together again.
        for length in [5, 8, 20, 63] {
            for many in [ARGUMENTS / (length + super::ARGUMENT), ARGUMENTS / (length + super::ARGUMENT) + 1, 31_000] {
                let args: Vec<String> = patterns("--exclude-schema", &named(many, length)).collect();
                let bytes: usize = args.iter().map(|arg| arg.len() + 1 + size_of::<usize>()).sum();
                assert!(bytes <= 2 * ARGUMENTS, "{} arguments of {bytes} bytes for {many} of {length}", args.len());
            }
        }
    }
}
