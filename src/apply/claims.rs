//! Leases on work: taken from the catalog, kept alive by a heartbeat, given back at the end. Work whose lease is lost
//! belongs to someone else and is dropped at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ensure::failed;
use super::runtime::Runtime;
use crate::catalog::{CatalogError, ClaimOutcome, LEASE, Lease};
use crate::domain::{ActionId, Outcome};

/// How often leases are renewed: four times within one.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a heartbeat may take before it counts as failed.
const ANSWER: Duration = Duration::from_secs(10);
/// How long before the end of an unrenewed lease its work is dropped: the lease's 60 s, less two heartbeats' worth of
/// doubt about when the catalog began to count.
const DEADLINE: Duration = Duration::from_secs(40);
/// How often work that someone else holds is asked for again.
const POLL: Duration = Duration::from_millis(500);

/// The leases this run holds.
pub struct Claims {
    runtime: Runtime,
    held: Arc<Mutex<BTreeMap<ActionId, Held>>>,
    heart: JoinHandle<()>,
}

struct Held {
    lease: Lease,
    lost: watch::Sender<bool>,
    renewed: tokio::time::Instant,
}

/// A piece of work that this run holds.
pub struct Claimed {
    /// The lease; its token is the attempt.
    pub lease: Lease,
    lost: watch::Receiver<bool>,
}

impl Claimed {
    /// Resolves when the lease is lost.
    pub async fn until_lost(&self) {
        let mut lost = self.lost.clone();
        if lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What came of asking for a piece of work.
enum Asked {
    /// It is this run's.
    Mine(Claimed),
    /// Someone else held it for longer than the run waits.
    Theirs(String),
    /// The run stops.
    Stopped,
}

impl Claims {
    /// Begins to keep leases alive.
    pub fn new(runtime: &Runtime) -> Self {
        let held: Arc<Mutex<BTreeMap<ActionId, Held>>> = Arc::default();
        let heart = tokio::spawn(beat(runtime.clone(), Arc::clone(&held)));
        Self { runtime: runtime.clone(), held, heart }
    }

    /// Claims a piece of work, waiting for someone else's lease up to the run's limit.
    ///
    /// # Errors
    /// When the catalog cannot be asked.
    async fn claim(&self, action: ActionId) -> Result<Asked, CatalogError> {
        let patience = tokio::time::Instant::now() + self.runtime.lock_timeout;
        loop {
            if self.runtime.stopped() {
                return Ok(Asked::Stopped);
            }
            // The lease counts from before the question was asked, never from when the answer came.
            let asked = tokio::time::Instant::now();
            match self.runtime.catalog.claim(action, &self.runtime.runner, LEASE).await? {
                ClaimOutcome::Claimed(lease) => return Ok(Asked::Mine(self.hold(lease, asked))),
                ClaimOutcome::HeldBy { runner, .. } if tokio::time::Instant::now() >= patience => {
                    return Ok(Asked::Theirs(runner));
                }
                ClaimOutcome::HeldBy { .. } => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Claims a piece of work for an action; what came instead of it is the action's outcome.
    ///
    /// # Errors
    /// The outcome of an action whose work this run did not get.
    pub async fn take(&self, action: ActionId) -> Result<Claimed, Outcome> {
        match self.claim(action).await {
            Ok(Asked::Mine(claimed)) => Ok(claimed),
            Ok(Asked::Theirs(by)) => Err(Outcome::Claimed { by }),
            Ok(Asked::Stopped) => Err(Outcome::NotReached),
            Err(error) => Err(failed(&error)),
        }
    }

    fn hold(&self, lease: Lease, renewed: tokio::time::Instant) -> Claimed {
        let (lost, receiver) = watch::channel(false);
        let held = Held { lease: lease.clone(), lost, renewed };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(lease.action, held);
        Claimed { lease, lost: receiver }
    }

    /// Gives a piece of work back, done or not.
    ///
    /// # Errors
    /// When the catalog cannot be told; the lease then ends by itself.
    pub async fn release(&self, claimed: Claimed) -> Result<(), CatalogError> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&claimed.lease.action);
        self.runtime.catalog.release(&claimed.lease).await
    }

    /// Gives everything back.
    pub async fn release_all(&self) {
        self.heart.abort();
        let left: Vec<Lease> = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *held).into_values().map(|held| held.lease).collect()
        };
        for lease in left {
            // A catalog that is gone ends the leases by time.
            let _ = self.runtime.catalog.release(&lease).await;
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        // A run that is dropped midway must not keep leases alive that nobody works under.
        self.heart.abort();
    }
}

async fn beat(runtime: Runtime, held: Arc<Mutex<BTreeMap<ActionId, Held>>>) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let leases: Vec<Lease> = {
            let held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.values().map(|held| held.lease.clone()).collect()
        };
        if leases.is_empty() {
            continue;
        }
        let asked = tokio::time::Instant::now();
        let answer = tokio::time::timeout(ANSWER, runtime.catalog.heartbeat(&leases, LEASE)).await;
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(Ok(lost)) = answer {
            for lease in &leases {
                match held.get_mut(&lease.action) {
                    Some(held) if lost.iter().any(|l| l.action == lease.action) => {
                        let _ = held.lost.send(true);
                    }
                    Some(held) => held.renewed = asked,
                    None => {}
                }
            }
        }
        // A catalog that does not answer may have given the work to someone else: whoever cannot renew must stop.
        for held in held.values().filter(|held| held.renewed.elapsed() > DEADLINE) {
            let _ = held.lost.send(true);
        }
    }
}
