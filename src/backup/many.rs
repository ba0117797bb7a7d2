//! Many backups out of one pass: what tenants of one database share and the tenants themselves, from one instant.
//!
//! Each keeps what a backup alone has: its attempt, its key before its data, its data read back before its manifest, its
//! manifest last and only under a lease that is still held. A pass is cut by the server's table of locks. It succeeds or
//! fails as a whole: no manifest is written before `pg_dump` has exited with 0. When it fails, the server is asked whose
//! schemas are in the way; these are left to be taken apart, at an instant of their own, and the others go on at this
//! one. An attempt that may have left an object in the store is never written to again.

mod early;
mod recover;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::Semaphore;
use tokio::time::Instant as Monotonic;

use early::Early;

use super::lanes::{LaneEnd, Lanes};
use super::logical::{self, Destination, Order, Taken, already, conclude, lap, prove, seal_keys};
use super::outline::Written;
use super::source::Source;
use super::{BackupError, Passing};
use crate::crypto::DataKey;
use crate::domain::{DataPart, Instant, KeyObject, PartKind, PhaseTiming, Scope};
use crate::engine::archive::Home;
use crate::engine::meanwhile::LockRoom;
use crate::engine::{DumpSummary, EngineError, PassEnd, Passed};
use crate::store::{layout, read_manifest};

/// How many backups are prepared, or given their manifests, at once.
const AT_ONCE: usize = 64;
/// How many have their manifests or wait for the catalog to know: it is told of some while others are written.
const SETTLING: usize = 4 * AT_ONCE;
/// How often it is looked whether a pass is still wanted.
const LOOK: Duration = Duration::from_millis(250);
/// How many passes may fail without the server knowing why before the rest is given up.
const BLIND: u32 = 12;

/// A backup to be taken with others.
pub struct Member {
    /// What is to be done.
    pub order: Order,
    /// Where to.
    pub destination: Destination,
    /// Says whether the lease is known to be lost.
    pub is_lost: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// What became of one.
#[derive(Debug)]
pub enum MemberEnd {
    /// It is there.
    Taken(Box<Taken>),
    /// It is not, and trying again under this instant would not help.
    Failed(BackupError),
    /// Its part of the database changed since the instant, or is in the way: it can only be taken apart.
    Apart(String),
    /// It did nothing wrong, but something of this attempt may be in the store: it needs another one.
    Again(BackupError),
    /// What tenants share is not there, and they name it.
    Unready,
    /// Its lease was lost.
    Lost,
}

/// Hears what became of a member, by its place; answers whether others may count on it.
pub type Settle<'a> = dyn Fn(usize, MemberEnd) -> BoxFuture<'a, bool> + Send + Sync + 'a;

/// A member whose attempt has begun.
struct Begun {
    started_at: Instant,
    begun: Monotonic,
    data_key: Option<DataKey>,
    keys: Vec<KeyObject>,
}

/// A member that begins, or whose backup an earlier attempt has made.
type Prepared = Result<Result<Begun, Taken>, BackupError>;

/// A member whose data is in the store: its place, its attempt, its parts, what is inside, and what it refers to.
type Ready = (usize, Begun, Vec<DataPart>, Box<DumpSummary>, Vec<(String, String)>);

/// What is done together.
struct Run<'a> {
    members: &'a [Member],
    source: &'a dyn Source,
    settle: &'a Settle<'a>,
    begun: Vec<Option<Begun>>,
    /// How many passes there were: objects of a later one have other names.
    passes: u32,
    blind: u32,
    /// The pass that comes next, if it has begun. What is under way cannot be looked at by two, hence the lock.
    early: Mutex<Option<Early>>,
    /// Tenants whose backups an earlier attempt has made.
    there: Vec<(usize, Taken)>,
    /// Whether what the tenants share was not taken.
    unready: AtomicBool,
    /// The roles that go with what is shared, once they are in the store; a pass that is made again has them already.
    globals: Option<Globals>,
    /// Turns at writing manifests.
    writing: Semaphore,
}

/// The roles, or why they are not there, and how long they took.
type Globals = (Result<Option<DataPart>, BackupError>, PhaseTiming);

/// Takes the backups of members: of one database, at one source's instant, with one key of digests. The one of what is
/// shared, if it is among them, comes first, and tenants that name it wait for it. Everyone is told of once.
pub async fn run_many<'a>(members: &'a [Member], source: &'a dyn Source, settle: &'a Settle<'a>) {
    let mut run = Run {
        members,
        source,
        settle,
        begun: Vec::new(),
        passes: 0,
        blind: 0,
        early: Mutex::default(),
        there: Vec::new(),
        unready: AtomicBool::new(false),
        globals: None,
        writing: Semaphore::new(AT_ONCE),
    };
    run.begun.resize_with(members.len(), || None);
    let room = source.room().await;
    if let Ok(room) = &room {
        let all = run.cut(room, (0..members.len()).collect()).into_iter().next();
        run.foresee(all);
    }
    let waiting = run.prepare().await;
    if !waiting.is_empty() {
        match room {
            Ok(room) => run.take(&room, waiting).await,
            Err(error) => run.fail_all(waiting, error).await,
        }
    }
    for (place, taken) in std::mem::take(&mut run.there) {
        let unready = run.unready.load(Ordering::Relaxed);
        let _ = run.tell(place, if unready { MemberEnd::Unready } else { MemberEnd::Taken(Box::new(taken)) }).await;
    }
}

impl<'a> Run<'a> {
    /// Takes what is not there yet.
    async fn take(&mut self, room: &LockRoom, waiting: Vec<usize>) {
        let mut passes: VecDeque<Vec<usize>> = self.cut(room, waiting).into();
        while let Some(pass) = passes.pop_front() {
            let after = passes.front().cloned();
            for next in self.pass(pass, after).await.into_iter().rev() {
                passes.push_front(next);
            }
        }
    }

    fn begin(&self, wanted: &[usize]) -> Result<Passing, EngineError> {
        let (shared, tenants) = self.homes(wanted);
        let schemas: Vec<String> = tenants.iter().map(|place| self.schema(*place).to_owned()).collect();
        let leave_out = shared.map(|place| self.members[place].order.work.leave_out.as_slice());
        self.source.pass(&schemas, leave_out, self.members[wanted[0]].destination.row_key())
    }

    /// Returns who is shared by the others, and the tenants in the order of their homes.
    fn homes(&self, wanted: &[usize]) -> (Option<usize>, Vec<usize>) {
        let shared = wanted.iter().copied().find(|place| self.shared(*place));
        (shared, wanted.iter().copied().filter(|place| !self.shared(*place)).collect())
    }

    fn shared(&self, place: usize) -> bool {
        self.members[place].order.work.scope == Scope::Shared
    }

    fn schema(&self, place: usize) -> &str {
        self.members[place].order.work.tenant.as_ref().map_or("", |tenant| tenant.schema.as_str())
    }

    async fn tell(&self, place: usize, end: MemberEnd) -> bool {
        let settled = (self.settle)(place, end).await;
        if self.shared(place) && !settled {
            self.unready.store(true, Ordering::Relaxed);
        }
        settled
    }

    /// Looks whether each is there already, and writes the keys of those that are not.
    async fn prepare(&mut self) -> Vec<usize> {
        let members = self.members;
        let prepared: Vec<(usize, Prepared)> = stream::iter(0..members.len())
            .map(|place| async move { (place, prepare(&members[place]).await) })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut waiting = Vec::new();
        for (place, prepared) in prepared {
            match prepared {
                Ok(Ok(begun)) => {
                    self.begun[place] = Some(begun);
                    waiting.push(place);
                }
                // A tenant's must not count before what it shares does.
                Ok(Err(taken)) if !self.shared(place) => self.there.push((place, taken)),
                Ok(Err(taken)) => {
                    let _ = self.tell(place, MemberEnd::Taken(Box::new(taken))).await;
                }
                Err(error) => {
                    let _ = self.tell(place, MemberEnd::Failed(error)).await;
                }
            }
        }
        waiting
    }

    /// Cuts into passes by what each locks. One that is too large by itself has a pass of its own: the server says it.
    fn cut(&self, room: &LockRoom, mut waiting: Vec<usize>) -> Vec<Vec<usize>> {
        waiting.sort_unstable_by_key(|place| (!self.shared(*place), *place));
        let budget = room.budget();
        let mut passes: Vec<Vec<usize>> = Vec::new();
        let mut taken = 0;
        for place in waiting {
            let work = &self.members[place].order.work;
            let locks = match &work.tenant {
                Some(tenant) => room.of(&tenant.schema),
                None => room.of_all_but(&work.leave_out),
            };
            match passes.last_mut() {
                Some(pass) if taken + locks <= budget => {
                    pass.push(place);
                    taken += locks;
                }
                _ => {
                    passes.push(vec![place]);
                    taken = locks;
                }
            }
        }
        passes
    }

    /// Makes one pass, and begins the one `after` it once this one's manifests are all that is left to write; returns the
    /// passes that are to be made instead or besides.
    async fn pass(&mut self, pass: Vec<usize>, after: Option<Vec<usize>>) -> Vec<Vec<usize>> {
        let (mut wanted, mut lost, mut unready) = (Vec::new(), Vec::new(), Vec::new());
        for place in pass {
            if self.unready.load(Ordering::Relaxed) && !self.shared(place) {
                unready.push(place);
            } else if (self.members[place].is_lost)() {
                lost.push(place);
            } else {
                wanted.push(place);
            }
        }
        self.tell_all(unready, || MemberEnd::Unready).await;
        self.tell_all(lost, || MemberEnd::Lost).await;
        let early = self.foreseen(&wanted);
        if wanted.is_empty() {
            return Vec::new();
        }
        self.passes += 1;
        // Who refers to whom is only told in the manifests: the server need not be done with it before the pass begins.
        let references = async {
            tokio::select! {
                _told_again = self.source.references() => {}
                () = self.no_use(&wanted, true) => {}
            }
        };
        let (dumped, globals, ()) = tokio::join!(self.dump(&wanted, early), self.globals(&wanted), references);
        self.globals = globals.or(self.globals.take());
        match dumped {
            Ok(dumped) => self.conclude(dumped, after).await,
            Err(broke) => self.recover(wanted, broke).await,
        }
    }

    /// Dumps, splits and uploads. Nothing is visible afterwards.
    async fn dump(&self, wanted: &[usize], early: Option<Passing>) -> Result<Dumped, Broke> {
        let (shared, tenants) = self.homes(wanted);
        let of = |home: Home| match home {
            Home::Tenant(index) => tenants.get(index).copied(),
            Home::Shared | Home::Bridge => shared,
        };
        let first = &self.members[wanted[0]].destination;
        let request = |home: Home| {
            let place = of(home)?;
            let member = &self.members[place];
            let data_key = self.begun[place].as_ref()?.data_key.as_ref();
            let (kind, name) = match home {
                Home::Bridge => (PartKind::Bridge, "bridge"),
                Home::Shared | Home::Tenant(_) => (PartKind::Archive, "archive"),
            };
            // An upload of an earlier pass may still arrive: it must not meet this one's object.
            let nth = if self.passes == 1 { String::new() } else { format!("-{}", self.passes) };
            Some(logical::request(&member.order, &member.destination, data_key, kind, &format!("{name}{nth}.dump")))
        };
        let gone = |home: Home| of(home).is_none_or(|place| (self.members[place].is_lost)());
        let mut lanes = Lanes::new(&request, &gone, Arc::clone(&first.store) as _);
        let passing = early.map_or_else(|| self.begin(wanted), Ok);
        let Passing { mut portions, end } =
            passing.map_err(|error| Broke { error: error.into(), at: None, touched: Vec::new() })?;
        let mut broke = None;
        let mut came = false;
        loop {
            let passed = tokio::select! {
                biased;
                passed = portions.recv() => passed,
                () = self.no_use(wanted, came) => {
                    broke = Some(BackupError::Fenced);
                    break;
                }
            };
            let Some(passed) = passed else { break };
            came = true;
            let taken = match passed {
                Passed::Bytes { home, bytes } => lanes.take(home, bytes).await,
                Passed::End { home, inside } => lanes.end(home, inside).await,
            };
            if let Err(error) = taken {
                broke = Some(error);
                break;
            }
        }
        let touched: Vec<usize> = lanes.touched.iter().filter_map(|home| of(*home)).collect();
        if let Some(error) = broke {
            // The program is killed by being dropped.
            return Err(Broke { error, at: None, touched });
        }
        let end = end.await.map_err(|failure| Broke {
            at: failure.at.and_then(of),
            error: failure.error.into(),
            touched: touched.clone(),
        })?;
        let ends = lanes.finish().await.map_err(|error| Broke { error, at: None, touched: touched.clone() })?;
        let ends = ends.into_iter().filter_map(|(home, lane)| Some((of(home)?, home, lane))).collect();
        Ok(Dumped { tenants, ends, end })
    }

    /// Resolves when a pass is of no use: nobody wants it any more, or, before anything of it `came`, somebody does not:
    /// it may be theirs that it waits for, and to begin again without them costs the others little.
    async fn no_use(&self, wanted: &[usize], came: bool) {
        let is_lost = |place: &usize| (self.members[*place].is_lost)();
        while !(wanted.iter().all(is_lost) || !came && wanted.iter().any(is_lost)) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Writes the manifests of a pass that is whole.
    async fn conclude(&mut self, dumped: Dumped, after: Option<Vec<usize>>) -> Vec<Vec<usize>> {
        let Dumped { tenants, ends, end } = dumped;
        let emptied = self.emptied(&ends).await;
        let mut whole: Vec<(usize, Vec<DataPart>, Box<DumpSummary>)> = Vec::new();
        let mut aside = Vec::new();
        let mut failed = BTreeSet::new();
        // In the order of homes: what is shared first, its bridge last.
        for (place, home, lane) in ends {
            if failed.contains(&place) {
                continue;
            }
            let why_not = match lane {
                LaneEnd::Whole(part, inside) => match &emptied {
                    Err(words) if has_empty(&inside) => {
                        Some(MemberEnd::Failed(EngineError::SnapshotLost(words.clone()).into()))
                    }
                    Ok(emptied) if let Some(table) = emptied_of(&inside, emptied) => {
                        Some(MemberEnd::Apart(format!("{table} was emptied or rewritten while the dump began")))
                    }
                    _ => {
                        match whole.iter_mut().find(|(other, ..)| *other == place) {
                            Some((_, parts, summary)) => {
                                parts.push(part);
                                add(summary, *inside);
                            }
                            None => whole.push((place, vec![part], inside)),
                        }
                        None
                    }
                },
                LaneEnd::SetAside if home == Home::Bridge => Some(MemberEnd::Again(BackupError::Interrupted)),
                LaneEnd::SetAside => {
                    aside.push(place);
                    failed.insert(place);
                    None
                }
                LaneEnd::Gone => Some(MemberEnd::Lost),
                LaneEnd::Failed(BackupError::Engine(EngineError::Changed(words))) => Some(MemberEnd::Apart(words)),
                LaneEnd::Failed(error) => Some(MemberEnd::Failed(error)),
            };
            if let Some(why_not) = why_not {
                failed.insert(place);
                whole.retain(|(other, ..)| *other != place);
                let _ = self.tell(place, why_not).await;
            }
        }
        let told = |place: usize| -> Vec<(String, String)> {
            let name = |home: &Home| match home {
                Home::Tenant(index) => tenants.get(*index).map(|place| self.schema(*place).to_owned()),
                Home::Shared | Home::Bridge => None,
            };
            let named = end.references.iter().filter_map(|(from, to)| Some((name(from)?, name(to)?)));
            let own = self.schema(place).to_owned();
            named.filter(|(from, to)| *from == own || *to == own).collect()
        };
        let has_shared = whole.iter().any(|(place, ..)| self.shared(*place));
        let other_instant = if has_shared { None } else { self.other_instant(&whole).await };
        let note = |place: usize, inside: &mut DumpSummary| {
            if self.shared(place) || !has_shared {
                inside.notes.extend(end.warnings.iter().cloned());
            }
            let bridged = |home: Home| end.references.contains(&(home, Home::Bridge));
            if tenants.iter().position(|other| *other == place).is_some_and(|index| bridged(Home::Tenant(index))) {
                inside.notes.push("it refers to what is only restored after the tenants".to_owned());
            }
            inside.notes.extend(other_instant.iter().filter(|_| !self.shared(place)).cloned());
        };
        for (place, _, inside) in &mut whole {
            note(*place, inside);
        }
        let told: Vec<Vec<(String, String)>> = whole.iter().map(|(place, ..)| told(*place)).collect();
        let mut ready = Vec::new();
        for ((place, parts, inside), told) in whole.into_iter().zip(told) {
            if let Some(begun) = self.begun[place].take() {
                ready.push((place, begun, parts, inside, told));
            }
        }
        let (shared, tenants): (Vec<_>, Vec<_>) = ready.into_iter().partition(|(place, ..)| self.shared(*place));
        for one in shared {
            let globals = self.globals.take();
            self.publish(one, globals).await;
        }
        // What is set aside comes first, and without what is shared nothing comes.
        let is_next = aside.is_empty() && !self.unready.load(Ordering::Relaxed);
        self.foresee(after.filter(|_| is_next));
        let run = &*self;
        let publish = |one: Ready| async move {
            if run.unready.load(Ordering::Relaxed) {
                let _ = run.tell(one.0, MemberEnd::Unready).await;
            } else {
                run.publish(one, None).await;
            }
        };
        run.not_for_long(stream::iter(tenants).for_each_concurrent(SETTLING, publish)).await;
        if aside.is_empty() { Vec::new() } else { vec![aside] }
    }

    /// Says so where what tenants share was taken at another instant.
    async fn other_instant(&self, whole: &[(usize, Vec<DataPart>, Box<DumpSummary>)]) -> Option<String> {
        let member = &self.members[whole.first()?.0];
        let work = &member.order.work;
        let key = layout::manifest(work.database.as_ref(), &Scope::Shared, work.shared.as_ref()?);
        let shared = read_manifest(member.destination.store.as_ref(), &key).await.ok()?;
        let facts = self.source.facts();
        let same = shared.snapshot.as_deref() == Some(facts.id.as_str())
            && (member.order.simulated.is_some() || shared.consistent_at == facts.consistent_at.to_string());
        (!same).then(|| format!("its instant is another one than that of {}", shared.backup_id))
    }

    async fn publish(&self, (place, begun, mut parts, inside, told): Ready, globals: Option<Globals>) {
        let member = &self.members[place];
        let mut timings = vec![lap("dump", begun.begun)];
        if let Some((globals, timing)) = globals {
            match globals {
                Ok(globals) => parts.extend(globals),
                Err(error) => {
                    let _ = self.tell(place, MemberEnd::Failed(error)).await;
                    return;
                }
            }
            timings.push(timing);
        }
        let turn = self.writing.acquire().await;
        let end = self.write(member, begun, parts, timings, *inside, &told).await;
        drop(turn);
        let end = match end {
            Ok(taken) => MemberEnd::Taken(Box::new(taken)),
            Err(BackupError::Fenced) => MemberEnd::Lost,
            Err(error) => MemberEnd::Failed(error),
        };
        let _ = self.tell(place, end).await;
    }

    /// Stores the roles where what is shared is among these and they are not there yet. They are of no snapshot, so that
    /// they need not wait for the pass.
    async fn globals(&self, wanted: &[usize]) -> Option<Globals> {
        let (Some(place), None) = (self.homes(wanted).0, &self.globals) else { return None };
        let Member { order, destination, .. } = &self.members[place];
        let data_key = self.begun[place].as_ref()?.data_key.as_ref();
        let clock = Monotonic::now();
        let stored = async {
            let globals = logical::globals(order, self.source, destination, data_key).await?;
            if let Some(globals) = &globals {
                prove(Arc::clone(&destination.store) as _, globals).await?;
            }
            Ok(globals)
        };
        let stored = tokio::select! {
            stored = stored => stored,
            () = self.no_use(wanted, true) => Err(BackupError::Fenced),
        };
        Some((stored, lap("globals", clock)))
    }

    async fn write(
        &self,
        member: &Member,
        begun: Begun,
        parts: Vec<DataPart>,
        timings: Vec<PhaseTiming>,
        inside: DumpSummary,
        told: &[(String, String)],
    ) -> Result<Taken, BackupError> {
        let Begun { started_at, data_key, keys, .. } = begun;
        let written = Written { started_at, data_key, keys, parts, timings, content_digest: None };
        conclude(&member.order, self.source, &member.destination, written, inside, told).await
    }

    /// Returns the tables that came empty and are other files by now. An error, in words: nobody can say.
    async fn emptied(&self, ends: &[(usize, Home, LaneEnd)]) -> Result<BTreeSet<(String, String)>, String> {
        let asks =
            |(_, _, lane): &(usize, Home, LaneEnd)| matches!(lane, LaneEnd::Whole(_, inside) if has_empty(inside));
        if !ends.iter().any(asks) {
            return Ok(BTreeSet::new());
        }
        self.source.rewritten().await.map_err(|error| error.to_string())
    }
}

/// A pass that is whole.
struct Dumped {
    /// The tenants, in the order of their homes.
    tenants: Vec<usize>,
    /// How each archive ended, in the order of homes.
    ends: Vec<(usize, Home, LaneEnd)>,
    end: PassEnd,
}

/// A pass that is of no use.
struct Broke {
    error: BackupError,
    /// Whose data was under way.
    at: Option<usize>,
    /// Who may have left something in the store.
    touched: Vec<usize>,
}

async fn prepare(member: &Member) -> Prepared {
    let (order, destination) = (&member.order, &member.destination);
    if let Some(taken) = already(order, destination).await? {
        return Ok(Err(taken));
    }
    let started_at = (order.now)();
    let begun = Monotonic::now();
    let (data_key, keys) = seal_keys(order, destination).await?;
    Ok(Ok(Begun { started_at, begun, data_key, keys }))
}

fn has_empty(inside: &DumpSummary) -> bool {
    inside.tables.iter().any(|table| table.rows == 0)
}

fn emptied_of(inside: &DumpSummary, emptied: &BTreeSet<(String, String)>) -> Option<String> {
    let empty = inside.tables.iter().filter(|table| table.rows == 0);
    let mut of_these = empty.filter(|table| emptied.contains(&(table.schema.clone(), table.table.clone())));
    of_these.next().map(|table| crate::engine::sql::quote_qualified(&table.schema, &table.table))
}

/// Adds what a bridge holds to what is shared: one manifest names both.
fn add(summary: &mut DumpSummary, bridge: DumpSummary) {
    let DumpSummary { schemas, tables, sequences, extensions, roles, notes, .. } = bridge;
    for (into, more) in
        [(&mut summary.schemas, schemas), (&mut summary.extensions, extensions), (&mut summary.roles, roles)]
    {
        into.extend(more);
        into.sort_unstable();
        into.dedup();
    }
    summary.tables.extend(tables);
    summary.sequences.extend(sequences);
    summary.notes.extend(notes);
    summary.large_objects += bridge.large_objects;
    summary.entries += bridge.entries;
    summary.bytes += bridge.bytes;
}
