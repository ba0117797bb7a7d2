//! Leases on work: taken from the catalog, kept alive by a heartbeat, given back at the end. Work whose lease is lost
//! belongs to someone else and is dropped at once. What many pieces of work ask of the catalog at the same time, each
//! under its lease, is asked together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ensure::{failed, failed_with};
use super::runtime::Runtime;
use super::stop::Halt;
use super::together::Together;
use crate::backup::{BackupError, Taken};
use crate::catalog::{AuditEvent, CatalogError, Completed, Completion, Failure, LEASE, Lease, ToComplete};
use crate::domain::{ActionId, BackupWork, Instant, Name, Outcome, Verification};

/// How often leases are renewed, and the run looks whether somebody canceled it: many times within a lease.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a heartbeat may take before it counts as failed.
const ANSWER: Duration = Duration::from_secs(10);
/// How long an unrenewed lease's work goes on: the lease's 60 s, less doubt about when the catalog began to count.
const DEADLINE: Duration = Duration::from_secs(40);
/// How often the catalog is asked for work before it counts as gone, and how long between.
const ASKS: u32 = 3;
const BETWEEN: Duration = Duration::from_secs(1);

/// The leases this run holds.
pub struct Claims {
    runtime: Runtime,
    held: Arc<Mutex<BTreeMap<ActionId, Held>>>,
    heart: JoinHandle<()>,
    renewals: Together<Lease, bool>,
    completions: Together<Done, Result<Completion, Outcome>>,
    failures: Together<Failure, ()>,
    releases: Together<Lease, ()>,
}

/// A backup that was taken and is to be recorded.
pub(super) struct Done {
    /// The lease it was taken under.
    pub lease: Lease,
    /// The backup.
    pub taken: Taken,
    /// Where it is.
    pub store: Name,
    /// What the audit chain is told, if this records it.
    pub told: AuditEvent,
    /// When.
    pub at: Instant,
}

struct Held {
    lease: Lease,
    lost: watch::Sender<bool>,
    renewed: tokio::time::Instant,
}

impl Done {
    fn to_complete(&self) -> ToComplete<'_> {
        let done = Completed {
            manifest: &self.taken.manifest,
            manifest_key: &self.taken.manifest_key,
            store: &self.store,
            verified: Some((Verification::Checksum, self.at)),
        };
        ToComplete { lease: &self.lease, done, told: self.told.clone(), at: self.at }
    }
}

/// A piece of work that this run holds.
pub struct Claimed {
    /// The lease; its token is the attempt.
    pub lease: Lease,
    lost: watch::Receiver<bool>,
}

impl Claimed {
    /// Returns what says whether the lease is known to be lost.
    pub fn watch(&self) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let lost = self.lost.clone();
        Arc::new(move || *lost.borrow())
    }

    /// Resolves when the lease is lost.
    pub async fn until_lost(&self) {
        let mut lost = self.lost.clone();
        if lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Claims {
    /// Begins to keep leases alive, and to look whether the run was canceled.
    pub fn new(runtime: &Runtime, halt: Halt) -> Self {
        let held: Arc<Mutex<BTreeMap<ActionId, Held>>> = Arc::default();
        let heart = tokio::spawn(beat(runtime.clone(), halt, Arc::clone(&held)));
        let (renewals, completions, failures, releases) = Default::default();
        Self { runtime: runtime.clone(), held, heart, renewals, completions, failures, releases }
    }

    /// Claims the first of these pieces of work that nobody holds; never waits for what someone else holds.
    ///
    /// # Errors
    /// When the catalog cannot be asked, also a while later.
    pub async fn take(&self, actions: &[ActionId]) -> Result<Option<Claimed>, CatalogError> {
        Ok(self.take_many(actions, 1).await?.into_iter().next())
    }

    /// Claims up to `most` of these pieces of work, the first ones first.
    ///
    /// # Errors
    /// As [`Claims::take`].
    pub async fn take_many(&self, actions: &[ActionId], most: u32) -> Result<Vec<Claimed>, CatalogError> {
        let mut asks = 0;
        loop {
            // The lease counts from before the question was asked, never from when the answer came.
            let asked = tokio::time::Instant::now();
            match self.runtime.catalog.claim_many(actions, &self.runtime.runner, LEASE, most).await {
                Ok(leases) => return Ok(leases.into_iter().map(|lease| self.hold(lease, asked)).collect()),
                Err(error) if !error.is_transient() || asks + 1 == ASKS || self.runtime.stopped() => return Err(error),
                Err(_) => {
                    asks += 1;
                    tokio::time::sleep(BETWEEN).await;
                }
            }
        }
    }

    fn hold(&self, lease: Lease, renewed: tokio::time::Instant) -> Claimed {
        let (lost, receiver) = watch::channel(false);
        let held = Held { lease: lease.clone(), lost, renewed };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(lease.action, held);
        Claimed { lease, lost: receiver }
    }

    /// Asks the catalog itself, by renewing the lease, whether it is still held. Not to know is not to hold it.
    pub(super) async fn renew(&self, lease: &Lease) -> bool {
        let all = async |leases: Vec<Lease>| match self.runtime.catalog.heartbeat(&leases, LEASE).await {
            Ok(lost) => leases.iter().map(|lease| !lost.contains(lease)).collect(),
            Err(_) => vec![false; leases.len()],
        };
        self.renewals.ask(lease.clone(), all).await.unwrap_or(false)
    }

    /// Records a backup that was taken.
    ///
    /// # Errors
    /// The outcome of one that could not be recorded.
    pub(super) async fn complete(&self, done: Done) -> Result<Completion, Outcome> {
        let unheard = || failed_with("it was not heard whether the catalog recorded it; the next plan looks");
        self.completions.ask(done, |all| self.complete_all(all)).await.unwrap_or_else(|| Err(unheard()))
    }

    async fn complete_all(&self, all: Vec<Done>) -> Vec<Result<Completion, Outcome>> {
        let to_complete: Vec<ToComplete<'_>> = all.iter().map(Done::to_complete).collect();
        match self.runtime.catalog.complete_backups(&to_complete).await {
            Ok(answers) => answers.into_iter().map(|answer| answer.map_err(|error| failed(&error))).collect(),
            Err(error) => vec![Err(failed(&error)); all.len()],
        }
    }

    /// Records that an attempt left nothing that counts. Where that cannot be recorded, the end of its lease says it.
    pub(super) async fn fail(&self, claimed: &Claimed, work: &BackupWork, error: &str) {
        let failure = Failure { lease: claimed.lease.clone(), backup: work.backup.clone(), error: error.to_owned() };
        let all = async |failures: Vec<Failure>| {
            let _ = self.runtime.catalog.fail_backups(&failures, (self.runtime.now)()).await;
            vec![(); failures.len()]
        };
        let _ = self.failures.ask(failure, all).await;
    }

    /// The same of an attempt that ended with an error; returns the outcome.
    pub(super) async fn fail_with(&self, claimed: &Claimed, work: &BackupWork, error: &BackupError) -> Outcome {
        self.fail(claimed, work, &error.to_string()).await;
        if matches!(error, BackupError::Interrupted) { Outcome::NotReached } else { failed(error) }
    }

    /// Gives a piece of work back, done or not. A lease that cannot be given back ends by itself.
    pub async fn release(&self, claimed: Claimed) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&claimed.lease.action);
        let all = async |leases: Vec<Lease>| {
            let _ = self.runtime.catalog.release_many(&leases).await;
            vec![(); leases.len()]
        };
        let _ = self.releases.ask(claimed.lease, all).await;
    }

    /// Gives everything back. The run is kept alive, and can be canceled, until it has written its report.
    pub async fn release_all(&self) {
        let left: Vec<Lease> = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *held).into_values().map(|held| held.lease).collect()
        };
        if !left.is_empty() {
            // A catalog that is gone ends the leases by time.
            let _ = self.runtime.catalog.release_many(&left).await;
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        // A run that is dropped midway must not keep leases alive that nobody works under.
        self.heart.abort();
    }
}

async fn beat(runtime: Runtime, halt: Halt, held: Arc<Mutex<BTreeMap<ActionId, Held>>>) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        // A catalog that does not answer cancels nothing.
        if let Ok(Ok(Some(words))) = tokio::time::timeout(ANSWER, runtime.catalog.keep_run(&runtime.run)).await {
            halt.stop(format!("the run was {words}"));
        }
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
