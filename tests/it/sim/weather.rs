//! What goes wrong for one runner: its requests to stores and catalog fail, lie, come late or never end; it stands still
//! for a while; it dies at an effect. What the catalog's connection does to a request stands here too.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bkup::catalog::CatalogError;
use bkup::store::faults::{Fault, Judge, Judgement, Operation};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::random::Random;

/// How often what goes wrong, in a thousand requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Odds {
    pub busy: u64,
    pub lost: u64,
    pub late: u64,
    pub echo: u64,
    pub dropped: u64,
    pub denied: u64,
    pub flipped: u64,
    pub truncated: u64,
    pub stale: u64,
    /// The catalog's connection breaks before a statement.
    pub unasked: u64,
    /// It breaks after.
    pub unheard: u64,
    /// The server's exports and dumps fail.
    pub dumps: u64,
    /// How long a request takes at most, in milliseconds.
    pub latency: u64,
}

/// Where in an effect a runner dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
    /// It does not die: only the reply is lost.
    Unheard,
}

/// The state of a runner's world.
#[derive(Debug, Default)]
struct State {
    odds: Odds,
    store_down: Option<Instant>,
    catalog_down: Option<Instant>,
    frozen: Option<Instant>,
    dead: bool,
    effects: u64,
    fall: Option<(u64, Moment)>,
    /// What was written lately: what a stale listing does not show.
    fresh: Vec<(String, Instant)>,
    happened: Vec<String>,
    /// Keys whose write came when nobody waited for it any longer.
    late: Vec<String>,
}

/// One runner's weather.
pub struct Weather {
    random: Mutex<Random>,
    state: Mutex<State>,
    /// Told when the runner dies.
    pub died: Notify,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What becomes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Holds,
    BreaksBefore,
    BreaksAfter,
    Hangs,
    DoneThenHangs,
}

impl Weather {
    /// Calm weather.
    pub fn new(random: Random) -> Arc<Self> {
        Arc::new(Self { random: Mutex::new(random), state: Mutex::default(), died: Notify::new() })
    }

    /// Sets the odds, and ends what was going on.
    pub fn set(&self, odds: Odds) {
        let mut state = held(&self.state);
        *state = State { odds, dead: state.dead, fresh: std::mem::take(&mut state.fresh), ..State::default() };
    }

    /// Lets stores be down for so long, or the catalog.
    pub fn outage(&self, store: bool, catalog: bool, by: Duration) {
        let until = Some(Instant::now() + by);
        let mut state = held(&self.state);
        if store {
            state.store_down = until;
        }
        if catalog {
            state.catalog_down = until;
        }
    }

    /// Lets the runner stand still for so long.
    pub fn freeze(&self, by: Duration) {
        held(&self.state).frozen = Some(Instant::now() + by);
    }

    /// Lets the runner fall at its n-th effect, counted from now.
    pub fn fall(&self, effect: u64, moment: Moment) {
        let mut state = held(&self.state);
        state.effects = 0;
        state.fall = Some((effect, moment));
    }

    /// Kills the runner: nothing it still asks is ever done.
    pub fn kill(&self) {
        held(&self.state).dead = true;
        self.died.notify_one();
    }

    pub fn is_dead(&self) -> bool {
        held(&self.state).dead
    }

    /// How many effects it had since it was last told where to fall.
    pub fn effects(&self) -> u64 {
        held(&self.state).effects
    }

    /// What went wrong, in order.
    pub fn happened(&self) -> Vec<String> {
        std::mem::take(&mut held(&self.state).happened)
    }

    /// Keys whose write came when nobody waited for it any longer.
    pub fn late(&self) -> Vec<String> {
        std::mem::take(&mut held(&self.state).late)
    }

    pub fn chance(&self, in_thousand: u64) -> bool {
        held(&self.random).chance(in_thousand)
    }

    pub fn below(&self, end: u64) -> u64 {
        held(&self.random).below(end)
    }

    pub fn odds(&self) -> Odds {
        held(&self.state).odds
    }

    /// Counts an effect, and says whether the runner falls at it.
    fn falls(&self, what: &str) -> Option<Moment> {
        let mut state = held(&self.state);
        state.effects += 1;
        let falls = state.fall.filter(|(at, _)| *at == state.effects).map(|(_, moment)| moment);
        if let Some(moment) = falls {
            let words = format!("effect {}, {what}: falls {moment:?}", state.effects);
            state.happened.push(words);
            if moment != Moment::Unheard {
                state.dead = true;
            }
        }
        drop(state);
        if matches!(falls, Some(Moment::Before | Moment::After)) {
            self.died.notify_one();
        }
        falls
    }

    fn frozen_until(&self) -> Option<Instant> {
        held(&self.state).frozen.filter(|until| *until > Instant::now())
    }

    /// The judge of what the runner asks of a store.
    pub fn judge(self: &Arc<Self>, store: &str) -> Judge {
        let (own, store) = (Arc::clone(self), store.to_owned());
        Arc::new(move |operation, key| own.of_store(&store, operation, key))
    }

    fn of_store(&self, store: &str, operation: Operation, key: &str) -> Judgement {
        if self.is_dead() {
            return Judgement { fault: Some(Fault::Hang), ..Judgement::default() };
        }
        let now = Instant::now();
        let frozen = self.frozen_until().map_or(Duration::ZERO, |until| until - now);
        let writes = operation.writes();
        let falls = writes.then(|| self.falls(&format!("{operation:?} {store}/{key}"))).flatten();
        let mut random = held(&self.random);
        let mut state = held(&self.state);
        let odds = state.odds;
        let delay = frozen + Duration::from_millis(random.below(odds.latency + 1));
        state.fresh.retain(|(_, at)| now - *at < Duration::from_secs(90));
        if operation == Operation::Put {
            state.fresh.push((key.to_owned(), now));
        }
        let fault = match falls {
            Some(Moment::Before) => Some(Fault::Hang),
            Some(Moment::After) => Some(Fault::DoneThenHang),
            Some(Moment::Unheard) => Some(Fault::LostReply),
            None if state.store_down.is_some_and(|until| until > now) => Some(Fault::Dropped),
            None if random.chance(odds.busy) => Some(Fault::Busy),
            None if random.chance(odds.dropped) => Some(Fault::Dropped),
            None if random.chance(odds.denied) => Some(Fault::Denied),
            None if writes && random.chance(odds.lost) => Some(Fault::LostReply),
            None if writes && random.chance(odds.late) => Some(Fault::Late(Duration::from_secs(random.below(200)))),
            None if operation == Operation::Put && random.chance(odds.echo) => Some(Fault::Echo),
            None if matches!(operation, Operation::Get | Operation::GetRange) && random.chance(odds.flipped) => {
                Some(Fault::Flipped(random.next()))
            }
            None if operation == Operation::ListPage && random.chance(odds.truncated) => Some(Fault::Truncated),
            None if operation == Operation::ListPage && random.chance(odds.stale) => {
                let keys: BTreeSet<String> = state.fresh.iter().map(|(key, _)| key.clone()).collect();
                Some(Fault::Without(Arc::new(keys)))
            }
            None => None,
        };
        // What a runner sends that stood still comes when its attempt may long be collected.
        let stood = operation == Operation::Put && !frozen.is_zero();
        if stood || matches!(fault, Some(Fault::Late(_))) {
            state.late.push(key.to_owned());
        }
        if let Some(fault) = fault.as_ref().filter(|_| falls.is_none()) {
            state.happened.push(format!("{operation:?} {store}/{key}: {fault:?}"));
        }
        Judgement { delay, fault }
    }

    fn of_catalog(&self, writes: bool, what: &str) -> (Duration, Line) {
        if self.is_dead() {
            return (Duration::ZERO, Line::Hangs);
        }
        let now = Instant::now();
        let frozen = self.frozen_until().map_or(Duration::ZERO, |until| until - now);
        let falls = writes.then(|| self.falls(what)).flatten();
        let mut random = held(&self.random);
        let mut state = held(&self.state);
        let odds = state.odds;
        let delay = frozen + Duration::from_millis(random.below(odds.latency / 4 + 1));
        let line = match falls {
            Some(Moment::Before) => Line::Hangs,
            Some(Moment::After) => Line::DoneThenHangs,
            Some(Moment::Unheard) => Line::BreaksAfter,
            None if state.catalog_down.is_some_and(|until| until > now) => Line::BreaksBefore,
            None if random.chance(odds.unasked) => Line::BreaksBefore,
            None if random.chance(odds.unheard) => Line::BreaksAfter,
            None => Line::Holds,
        };
        if line != Line::Holds && falls.is_none() {
            state.happened.push(format!("{what}: {line:?}"));
        }
        (delay, line)
    }

    /// Passes a statement to the catalog over the runner's line.
    pub async fn ask<T>(
        &self,
        writes: bool,
        what: &str,
        statement: impl Future<Output = Result<T, CatalogError>> + Send,
    ) -> Result<T, CatalogError> {
        let (delay, line) = self.of_catalog(writes, what);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let broken = |reason: &str| CatalogError::Unreachable { reason: reason.to_owned() };
        match line {
            Line::Holds => statement.await,
            Line::BreaksBefore => Err(broken("the connection broke")),
            Line::BreaksAfter => {
                let _ = statement.await;
                Err(broken("the connection broke after the statement"))
            }
            Line::Hangs => std::future::pending().await,
            Line::DoneThenHangs => {
                let _ = statement.await;
                std::future::pending().await
            }
        }
    }
}

/// Work that stands still while its runner does.
pub struct Still<F> {
    work: Pin<Box<F>>,
    weather: Arc<Weather>,
    thaw: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Still<F> {
    pub fn new(weather: &Arc<Weather>, work: F) -> Self {
        Self { work: Box::pin(work), weather: Arc::clone(weather), thaw: None }
    }
}

impl<F: Future> Future for Still<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if let Some(until) = self.weather.frozen_until() {
            let mut thaw = Box::pin(sleep_until(until));
            if thaw.as_mut().poll(context).is_pending() {
                self.thaw = Some(thaw);
                return Poll::Pending;
            }
        }
        self.thaw = None;
        self.work.as_mut().poll(context)
    }
}
