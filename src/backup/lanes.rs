//! The archives of one pass on their way to the store: gathered in memory while they are small, streamed when they are
//! not, and never many open at once.
//!
//! Memory is bounded by [`GATHER`] for what is gathered and on its way, and [`LIVE`] streams of
//! [`crate::artifact::PACK_MEMORY`] each. Blocks of one archive need not be contiguous; where that leaves more half
//! archives than fit, the largest is streamed, and when no stream is free, set aside: what came of it is dropped and the
//! next pass of the same instant takes it again. No file is written: a customer's rows do not lie on a disk in clear.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::BackupError;
use super::logical::{proof, prove};
use crate::artifact::{ArtifactError, PackRequest, PipeWriter, SMALL, Sent, pack, pack_whole, pipe, read_back_sent};
use crate::domain::DataPart;
use crate::engine::archive::Home;
use crate::engine::{DumpSummary, EngineError};
use crate::store::ReadStore;

/// How many bytes wait in memory, gathered or on their way to the store.
const GATHER: usize = 96 * 1024 * 1024;
/// An archive larger than this is streamed.
const LARGE: usize = 8 * 1024 * 1024;
/// How many archives are streamed at once; what is shared may be one more.
const LIVE: usize = 2;
/// How many archives are packed and uploaded at once while they are small: each mostly waits for the store, which may be
/// far away.
const UPLOADS: usize = 32;
/// For how many of these a larger one stands, whose packing takes memory and a thread.
const LARGER: u32 = 4;

/// Makes a part's request.
pub(super) type Request<'a> = dyn Fn(Home) -> Option<PackRequest> + Send + Sync + 'a;
/// Returns whether a home's work was taken from this run.
pub(super) type Gone<'a> = dyn Fn(Home) -> bool + Send + Sync + 'a;

/// How one archive ended.
#[derive(Debug)]
pub(super) enum LaneEnd {
    /// It is in the store and was read back.
    Whole(DataPart, Box<DumpSummary>),
    /// It is not.
    Failed(BackupError),
    /// There was no room for it in this pass.
    SetAside,
    /// Nobody wants it any more.
    Gone,
}

enum State {
    Gathering {
        held: Vec<Bytes>,
        size: usize,
        permit: Option<OwnedSemaphorePermit>,
    },
    Streaming(PipeWriter),
    /// Its part is on its way.
    Leaving,
    Over(LaneEnd),
}

struct Lane {
    state: State,
    inside: Option<Box<DumpSummary>>,
}

/// The archives of one pass.
pub(super) struct Lanes<'a> {
    request: &'a Request<'a>,
    gone: &'a Gone<'a>,
    store: Arc<dyn ReadStore>,
    lanes: BTreeMap<Home, Lane>,
    memory: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    tasks: JoinSet<(Home, Result<DataPart, BackupError>)>,
    /// Homes of which something may be in the store.
    pub touched: Vec<Home>,
}

impl<'a> Lanes<'a> {
    /// Begins.
    pub fn new(request: &'a Request<'a>, gone: &'a Gone<'a>, store: Arc<dyn ReadStore>) -> Self {
        Self {
            request,
            gone,
            store,
            lanes: BTreeMap::new(),
            memory: Arc::new(Semaphore::new(GATHER)),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            tasks: JoinSet::new(),
            touched: Vec::new(),
        }
    }

    /// Returns how many archives are being streamed.
    fn live(&self) -> usize {
        self.lanes.values().filter(|lane| matches!(lane.state, State::Streaming(_))).count()
    }

    /// Returns how many tasks end by themselves: those whose archive has all come, or is not wanted any more.
    fn ending(&self) -> usize {
        self.tasks.len().saturating_sub(self.live())
    }

    fn lane(&mut self, home: Home) -> &mut Lane {
        self.lanes.entry(home).or_insert_with(|| Lane {
            state: State::Gathering { held: Vec::new(), size: 0, permit: None },
            inside: None,
        })
    }

    /// Takes bytes of an archive.
    ///
    /// # Errors
    /// When the store does not answer any more: the pass is of no use then.
    pub async fn take(&mut self, home: Home, bytes: Bytes) -> Result<(), BackupError> {
        if (self.gone)(home) && !matches!(self.lane(home).state, State::Over(_)) {
            self.end_with(home, LaneEnd::Gone);
        }
        match &self.lane(home).state {
            State::Over(_) | State::Leaving => return Ok(()),
            State::Streaming(writer) => {
                if writer.send(bytes).await.is_err() {
                    // Whoever reads the pipe has failed; its task says why.
                    self.lane(home).state = State::Leaving;
                    self.collect(false).await?;
                }
                return Ok(());
            }
            State::Gathering { .. } => {}
        }
        let Some(room) = self.room(home, bytes.len()).await? else {
            // While room was made this very lane began to stream, or was set aside.
            return Box::pin(self.take(home, bytes)).await;
        };
        let mut large = false;
        if let State::Gathering { held, size, permit } = &mut self.lane(home).state {
            *size += bytes.len();
            held.push(bytes);
            match permit {
                Some(permit) => permit.merge(room),
                None => *permit = Some(room),
            }
            large = *size > LARGE;
        }
        if large && self.may_stream(home) {
            self.stream(home).await?;
        }
        Ok(())
    }

    fn may_stream(&self, home: Home) -> bool {
        let live = self.live();
        live < LIVE || (home == Home::Shared && live <= LIVE)
    }

    /// Waits for room in memory. `None`: to make it, this lane has changed itself.
    async fn room(&mut self, home: Home, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, BackupError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(GATHER as u32);
        loop {
            if let Ok(room) = Arc::clone(&self.memory).try_acquire_many_owned(bytes) {
                return Ok(Some(room));
            }
            if self.ending() > 0 {
                self.collect(true).await?;
                continue;
            }
            let size = |lane: &Lane| if let State::Gathering { size, .. } = &lane.state { *size } else { 0 };
            // What is shared always has a stream: it is never set aside.
            let largest = self.lanes.iter().max_by_key(|(_, lane)| size(lane)).map(|(home, _)| *home);
            let Some(largest) = largest else { return Ok(None) };
            if self.may_stream(largest) {
                self.stream(largest).await?;
            } else {
                self.end_with(largest, LaneEnd::SetAside);
            }
            if largest == home {
                return Ok(None);
            }
        }
    }

    fn end_with(&mut self, home: Home, end: LaneEnd) {
        // A stream whose writer is dropped fails: nothing of it becomes visible.
        self.lane(home).state = State::Over(end);
    }

    /// Begins to stream what was gathered.
    async fn stream(&mut self, home: Home) -> Result<(), BackupError> {
        let Some(request) = (self.request)(home) else {
            self.end_with(home, LaneEnd::Gone);
            return Ok(());
        };
        let (writer, reader) = pipe(4);
        let store = Arc::clone(&self.store);
        self.touched.push(home);
        self.tasks.spawn(async move { (home, proven(store, pack(request, reader).await).await) });
        let held = match std::mem::replace(&mut self.lane(home).state, State::Leaving) {
            State::Gathering { held, .. } => held,
            _ => Vec::new(),
        };
        for piece in held {
            if writer.send(piece).await.is_err() {
                return self.collect(false).await;
            }
        }
        self.lane(home).state = State::Streaming(writer);
        Ok(())
    }

    /// Ends an archive: everything of it has come.
    ///
    /// # Errors
    /// As [`Lanes::take`].
    pub async fn end(&mut self, home: Home, inside: Result<Box<DumpSummary>, EngineError>) -> Result<(), BackupError> {
        let inside = match inside {
            Ok(inside) => inside,
            Err(error) => {
                self.end_with(home, LaneEnd::Failed(error.into()));
                return Ok(());
            }
        };
        let (store, uploads) = (Arc::clone(&self.store), Arc::clone(&self.uploads));
        let lane = self.lane(home);
        lane.inside = Some(inside);
        match std::mem::replace(&mut lane.state, State::Leaving) {
            State::Streaming(writer) => {
                // A reader that is gone says why in its task.
                let _ = writer.finish().await;
            }
            State::Gathering { held, permit, size } => {
                let Some(request) = (self.request)(home) else {
                    self.end_with(home, LaneEnd::Gone);
                    return Ok(());
                };
                self.touched.push(home);
                let slots = if size <= SMALL { 1 } else { LARGER };
                self.tasks.spawn(async move {
                    let _slots = uploads.acquire_many_owned(slots).await;
                    let part = proven_sent(store, pack_whole(request, held).await).await;
                    drop(permit);
                    (home, part)
                });
            }
            other => self.lane(home).state = other,
        }
        self.collect(false).await
    }

    /// Takes what tasks have ended with; waits for one, where told to.
    async fn collect(&mut self, wait: bool) -> Result<(), BackupError> {
        let mut next = if wait { self.tasks.join_next().await } else { self.tasks.try_join_next() };
        while let Some(joined) = next {
            if let Ok((home, part)) = joined {
                self.settle(home, part)?;
            }
            next = self.tasks.try_join_next();
        }
        Ok(())
    }

    fn settle(&mut self, home: Home, part: Result<DataPart, BackupError>) -> Result<(), BackupError> {
        let lane = self.lane(home);
        if matches!(lane.state, State::Over(_)) {
            return Ok(());
        }
        let end = match (part, lane.inside.take()) {
            (Ok(part), Some(inside)) => LaneEnd::Whole(part, inside),
            (Ok(_), None) => LaneEnd::Failed(BackupError::Interrupted),
            (Err(error), _) => {
                // The store was asked for a long while: what others of the pass would ask it now, it answers no better.
                if error.is_transient() {
                    return Err(error);
                }
                LaneEnd::Failed(error)
            }
        };
        self.lane(home).state = State::Over(end);
        Ok(())
    }

    /// Waits for all that is on its way, and returns how each archive ended. One that never came to its end is failed.
    ///
    /// # Errors
    /// As [`Lanes::take`].
    pub async fn finish(mut self) -> Result<BTreeMap<Home, LaneEnd>, BackupError> {
        let streaming: Vec<Home> = self.lanes.iter().filter(|(_, lane)| is_open(lane)).map(|(home, _)| *home).collect();
        for home in streaming {
            self.end_with(home, LaneEnd::Failed(BackupError::Interrupted));
        }
        while !self.tasks.is_empty() {
            self.collect(true).await?;
        }
        let ends = self.lanes.into_iter().map(|(home, lane)| match lane.state {
            State::Over(end) => (home, end),
            _ => (home, LaneEnd::Failed(BackupError::Interrupted)),
        });
        Ok(ends.collect())
    }
}

/// Reads a part back that was written.
async fn proven(store: Arc<dyn ReadStore>, packed: Result<DataPart, ArtifactError>) -> Result<DataPart, BackupError> {
    let part = packed?;
    prove(store, &part).await?;
    Ok(part)
}

/// The same of what is still at hand.
async fn proven_sent(store: Arc<dyn ReadStore>, sent: Result<Sent, ArtifactError>) -> Result<DataPart, BackupError> {
    let sent = sent?;
    proof(&sent.part, || read_back_sent(Arc::clone(&store), &sent)).await?;
    Ok(sent.part)
}

const fn is_open(lane: &Lane) -> bool {
    matches!(lane.state, State::Gathering { .. } | State::Streaming(_))
}
