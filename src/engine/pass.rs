//! One `pg_dump` of many tenants, split as it comes: bytes of each home's archive, and what was inside when its last
//! block has passed. One thread parses, digests and splits; channels on both sides are bounded.
//!
//! What came is whole only when [`Pass::finish`] says so: the end of a home only means that its promised blocks came.
//! A pass fails as a whole, since `pg_dump` does: whose table was dropped or locked is asked of the server then
//! (`engine::meanwhile`). What one tenant's entries lack is that tenant's error alone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::archive::{Home, Homes, Portion, Publications, Splitter};
use super::contents::{Gathered, check_scope, summary_of_home};
use super::dump::{PIECES, read};
use super::process::Ended;
use super::task::{self, Task};
use super::{DumpRequest, DumpScope, DumpSummary, EngineError};
use crate::domain::TableDigest;

/// How many portions wait for the caller at most, of [`super::archive::GATHERED`] bytes and a piece each.
const PORTIONS: usize = 16;

/// A pass to make.
#[derive(Debug, Clone)]
pub struct PassRequest {
    /// The dump; its scope is of [`PassRequest::scope`].
    pub dump: DumpRequest,
    /// The tenants' schemas, by their exact names.
    pub tenants: Vec<String>,
    /// Whether what is shared is wanted too.
    pub shared: bool,
    /// Where a tenant's membership in publications goes.
    pub publications: Publications,
}

impl PassRequest {
    /// Returns what `pg_dump` is asked for: the tenants' schemas, or all but the schemas of other tenants.
    #[must_use]
    pub fn scope(tenants: &[String], leave_out: Option<&[String]>) -> DumpScope {
        match leave_out {
            None => DumpScope::Schemas(tenants.to_vec()),
            Some(leave_out) => {
                let mine: BTreeSet<&String> = tenants.iter().collect();
                DumpScope::AllBut(leave_out.iter().filter(|schema| !mine.contains(schema)).cloned().collect())
            }
        }
    }
}

/// Something of a pass.
#[derive(Debug)]
pub enum Passed {
    /// The next bytes of a home's archive.
    Bytes {
        /// The home.
        home: Home,
        /// The bytes.
        bytes: Bytes,
    },
    /// Everything of a home has come; an error: what came of it is not to be used.
    End {
        /// The home.
        home: Home,
        /// What was inside.
        inside: Result<Box<DumpSummary>, EngineError>,
    },
}

/// What is known of a pass that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PassEnd {
    /// Bytes of the stream.
    pub bytes: u64,
    /// Entries of its table of contents.
    pub entries: u64,
    /// Which homes' entries depend on entries of which others.
    pub references: BTreeSet<(Home, Home)>,
    /// `pg_dump`'s warnings.
    pub warnings: Vec<String>,
}

/// Why a pass is of no use, whatever came of it.
#[derive(Debug)]
pub struct PassFailure {
    /// What went wrong.
    pub error: EngineError,
    /// Whose data was under way.
    pub at: Option<Home>,
}

/// A running pass.
#[derive(Debug)]
pub struct Pass {
    portions: mpsc::Receiver<Passed>,
    reader: Task<Result<(Ended, u64), EngineError>>,
    splitter: JoinHandle<Split>,
}

/// What the splitting thread leaves.
#[derive(Debug)]
struct Split {
    at: Option<Home>,
    outcome: Result<Arc<Homes>, EngineError>,
    /// Whether it stopped because nobody takes the portions any more.
    unwanted: bool,
}

/// Starts a pass. To be called inside the runtime.
///
/// # Errors
/// [`EngineError::Start`].
pub fn pass(request: &PassRequest) -> Result<Pass, EngineError> {
    let process = request.dump.invocation().spawn()?;
    let (to_splitter, pieces) = mpsc::channel::<Bytes>(PIECES);
    let (to_caller, portions) = mpsc::channel(PORTIONS);
    let reader = task::spawn(read(process, to_splitter, None));
    let request = request.clone();
    let splitter = tokio::task::spawn_blocking(move || split(&request, pieces, to_caller));
    Ok(Pass { portions, reader, splitter })
}

impl Pass {
    /// Takes the channel away, to be drained elsewhere; `finish` stays here.
    #[must_use]
    pub fn take_portions(&mut self) -> mpsc::Receiver<Passed> {
        std::mem::replace(&mut self.portions, mpsc::channel(1).1)
    }

    /// Waits for the program's end. Only its `Ok` says that the archives are whole. The channel must be drained, or is
    /// here. Dropping the pass kills the program.
    ///
    /// # Errors
    /// When the program failed, the stream is not whole, or it holds other things than were asked for.
    pub async fn finish(mut self) -> Result<PassEnd, PassFailure> {
        while self.portions.recv().await.is_some() {}
        let ended = self.reader.join().await;
        let split = self.splitter.await;
        let lost = |e: tokio::task::JoinError| EngineError::io("dumping", std::io::Error::other(e.to_string()));
        let split = split.map_err(|e| PassFailure { error: lost(e), at: None })?;
        let at = split.at;
        let failed = |error| PassFailure { error, at };
        let (ended, bytes) = ended.map_err(failed)?;
        if split.unwanted {
            let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            return Err(failed(EngineError::io("handing archives on", gone)));
        }
        // A stream that is merely cut is told by the program, which knows why; anything else the parser found is the
        // cause of the program's broken pipe.
        let cut = matches!(&split.outcome, Err(EngineError::Archive(super::archive::ArchiveError::Truncated(_))));
        if cut && !ended.status.success() {
            return Err(failed(of_program(ended)));
        }
        let homes = split.outcome.map_err(failed)?;
        if !ended.status.success() {
            return Err(failed(of_program(ended)));
        }
        Ok(PassEnd {
            bytes,
            entries: homes.toc().entries.len() as u64,
            references: homes.references(),
            warnings: ended.stderr.lines().filter(|line| line.contains("warning:")).map(str::to_owned).collect(),
        })
    }
}

/// The setting's name is in the server's hint in every language.
fn of_program(ended: Ended) -> EngineError {
    match ended.failure() {
        EngineError::Program { stderr, .. } if stderr.contains("max_locks_per_transaction") => {
            EngineError::Locks(stderr.lines().find(|line| line.contains("ERROR")).unwrap_or(&stderr).trim().to_owned())
        }
        error => error,
    }
}

/// Why the splitting thread stops.
enum Stop {
    Error(EngineError),
    /// Nobody takes the portions any more.
    Unwanted,
}

impl From<super::archive::ArchiveError> for Stop {
    fn from(error: super::archive::ArchiveError) -> Self {
        Self::Error(error.into())
    }
}

fn split(request: &PassRequest, mut pieces: mpsc::Receiver<Bytes>, to_caller: mpsc::Sender<Passed>) -> Split {
    let mut splitter = Splitter::new(request.tenants.clone(), request.publications);
    let mut digests = Digests {
        request,
        to_caller,
        homes: None,
        gathered: Gathered::new(request.dump.row_key.clone(), None),
        tables: HashMap::new(),
        objects: HashMap::new(),
        bytes: HashMap::new(),
    };
    while let Some(piece) = pieces.blocking_recv() {
        match splitter.feed(&piece, &mut |portion| digests.take(portion)) {
            Ok(()) => {}
            Err(Stop::Unwanted) => {
                let gone = EngineError::io("splitting", std::io::ErrorKind::BrokenPipe.into());
                return Split { at: splitter.at(), outcome: Err(gone), unwanted: true };
            }
            Err(Stop::Error(error)) => return Split { at: splitter.at(), outcome: Err(error), unwanted: false },
        }
    }
    let at = splitter.at();
    Split { at, outcome: splitter.finish().map_err(EngineError::Archive), unwanted: false }
}

/// Digests what passes and hands it on.
struct Digests<'a> {
    request: &'a PassRequest,
    to_caller: mpsc::Sender<Passed>,
    homes: Option<Arc<Homes>>,
    gathered: Gathered,
    tables: HashMap<Home, Vec<TableDigest>>,
    objects: HashMap<Home, u64>,
    bytes: HashMap<Home, u64>,
}

impl Digests<'_> {
    fn wanted(&self, home: Home) -> bool {
        self.request.shared || matches!(home, Home::Tenant(_))
    }

    fn send(&self, passed: Passed) -> Result<(), Stop> {
        self.to_caller.blocking_send(passed).map_err(|_| Stop::Unwanted)
    }

    fn take(&mut self, portion: Portion<'_>) -> Result<(), Stop> {
        match portion {
            Portion::Begin(homes) => {
                check_scope(homes.toc(), &self.request.dump.scope).map_err(Stop::Error)?;
                self.gathered = Gathered::new(self.request.dump.row_key.clone(), Some(Arc::clone(homes.toc())));
                self.homes = Some(Arc::clone(homes));
                let there: BTreeSet<Home> = homes.homes().collect();
                for (place, schema) in self.request.tenants.iter().enumerate() {
                    let home = Home::Tenant(place);
                    if !there.contains(&home) {
                        let words = format!("the schema {} is not inside", super::sql::quote_ident(schema));
                        self.send(Passed::End { home, inside: Err(EngineError::WrongContent(words)) })?;
                    }
                }
                Ok(())
            }
            Portion::Seen { home, event } => {
                if !self.wanted(home) {
                    return Ok(());
                }
                let before = (self.gathered.tables.len(), self.gathered.objects);
                self.gathered.take(event)?;
                if self.gathered.tables.len() > before.0 {
                    self.tables.entry(home).or_default().append(&mut self.gathered.tables);
                }
                if self.gathered.objects > before.1 {
                    *self.objects.entry(home).or_default() += self.gathered.objects - before.1;
                }
                Ok(())
            }
            Portion::Bytes { home, bytes } => {
                if !self.wanted(home) {
                    return Ok(());
                }
                *self.bytes.entry(home).or_default() += bytes.len() as u64;
                self.send(Passed::Bytes { home, bytes })
            }
            Portion::End { home } => {
                let Some(homes) = &self.homes else { return Ok(()) };
                if !self.wanted(home) {
                    return Ok(());
                }
                let tables = self.tables.remove(&home).unwrap_or_default();
                let objects = self.objects.remove(&home).unwrap_or_default();
                let inside = summary_of_home(homes, home, tables, objects).map(|mut summary| {
                    summary.bytes = self.bytes.remove(&home).unwrap_or_default();
                    summary.dump_version.clone_from(&self.request.dump.programs.line);
                    Box::new(summary)
                });
                self.send(Passed::End { home, inside })
            }
        }
    }
}
