//! Backups, the most important first, whatever their schedule and slot: all scopes of a slot under one exported
//! snapshot, so that they are of one instant; the shared archive before the tenants that need it; as many dumps at once
//! as the schedule allows, and many tenants in each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant as Monotonic;

use super::batch::{Batch, BatchKey, Common};
use super::claims::{Claimed, Claims, Done};
use super::ensure::{failed, failed_with};
use super::group;
use super::health::Health;
use super::progress::{Progress, millis};
use super::queue::{Next, POLL, Queue};
use super::runtime::Runtime;
use crate::backup::{self, BackupError, Destination, Fence, Order, Policies, Taken};
use crate::catalog::{Completion, Intended, Intent, Lease};
use crate::domain::{
    Action, ActionId, ActionKind, BackupId, BackupWork, Bytes, Digest, Event, Instant, Outcome, Scope,
};
use crate::store::Metered;

/// How often a backup is tried again after a failure that may pass.
pub(super) const RETRIES: u32 = 2;
/// How often it is told how many bytes a backup has moved.
pub(super) const TELL: Duration = Duration::from_secs(1);

/// What every backup of a run works with.
pub(super) struct Shop {
    pub runtime: Runtime,
    pub claims: Arc<Claims>,
    pub health: Arc<Health>,
    pub policy_digest: Digest,
    pub lineage: String,
}

/// How an action ended in this run.
#[derive(Clone)]
pub(super) enum Ended {
    /// So.
    Settled(Outcome),
    /// Someone else took it between two tries, or what it needs is not there yet: it is looked at again later.
    Back,
}

/// An action that ended.
pub(super) struct End {
    pub action: Action,
    pub ended: Ended,
    pub elapsed_ms: u64,
    pub retries: u32,
}

/// A try that did not succeed.
pub(super) struct Miss {
    pub outcome: Outcome,
    pub transient: bool,
    pub lease_lost: bool,
}

impl Miss {
    pub const fn lasting(outcome: Outcome) -> Self {
        Self { outcome, transient: false, lease_lost: false }
    }
}

/// Takes every backup of the plan.
pub(super) async fn run(progress: &mut Progress<'_>) {
    let shop = Arc::new(Shop {
        runtime: progress.runtime.clone(),
        claims: Arc::clone(&progress.claims),
        health: Arc::clone(&progress.health),
        policy_digest: progress.plan.policy_digest,
        lineage: progress.lineage.clone(),
    });
    let mut queue = Queue::new(by_priority(progress.actions(taken_here)));
    let mut batches: BTreeMap<BatchKey, Arc<Batch>> = BTreeMap::new();
    // Tasks, so that what they do goes on while this one writes outcomes down; dropped, they are ended.
    let mut running: JoinSet<BatchKey> = JoinSet::new();
    let mut at_work: BTreeMap<BatchKey, usize> = BTreeMap::new();
    let (tell, mut ends) = unbounded_channel::<End>();
    loop {
        let now = (shop.runtime.now)();
        queue.settle(progress, |action| too_late(action, now)).await;
        // A schedule's limit holds for everything that runs beside its backups, so that it is one for the server, too.
        let at_once = running.len();
        let fits = |action: &Action| {
            work_of(action).is_none_or(|work| at_once < usize::try_from(work.parallel).unwrap_or(usize::MAX).max(1))
        };
        match queue.next(progress, fits, at_once > 0).await {
            Next::Work(action, claimed) => {
                let Some(key) = work_of(&action).map(Batch::key) else { continue };
                progress.begin(&action);
                let (others, share) = group::companions(progress, &mut queue, &action, now).await;
                others.iter().for_each(|(action, _)| progress.begin(action));
                let batch = Arc::clone(batches.entry(key.clone()).or_default());
                *at_work.entry(key.clone()).or_default() += 1;
                let (shop, tell) = (Arc::clone(&shop), tell.clone());
                running.spawn(async move {
                    if others.is_empty() {
                        alone(&shop, *action, &batch, claimed, &tell).await;
                    } else {
                        let members = std::iter::once((*action, claimed)).chain(others).collect();
                        group::run(&shop, (members, share), &batch, &tell).await;
                    }
                    key
                });
                continue;
            }
            Next::Wait => {}
            Next::Done if at_once == 0 && ends.is_empty() => break,
            Next::Done => {}
        }
        // Room that is left is for what others hold: it may become free before anything of this run ends.
        let room = queue.waiting().iter().any(fits);
        let look_again = async { if room { tokio::time::sleep(POLL).await } else { std::future::pending().await } };
        let mut ended = Vec::new();
        let done = tokio::select! {
            biased;
            Some(end) = ends.recv() => {
                ended.push(end);
                None
            }
            Some(done) = running.join_next() => Some(done),
            () = look_again => continue,
        };
        ended.extend(std::iter::from_fn(|| ends.try_recv().ok()));
        settle(progress, &mut queue, ended).await;
        let key = match done {
            None => continue,
            Some(Ok(key)) => key,
            // A fault of bkup's own is told as such, not swallowed by its task.
            Some(Err(died)) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
            Some(Err(_)) => continue,
        };
        let left = at_work.get_mut(&key).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0
            && !queue.waiting().iter().filter_map(work_of).any(|work| Batch::key(work) == key)
            && let Some(batch) = batches.remove(&key)
        {
            batch.close().await;
            progress.flush_audit().await;
        }
    }
    drop(running);
    for batch in batches.into_values() {
        batch.close().await;
    }
    progress.flush_audit().await;
}

/// Settles what has ended, all at once: a group ends within a moment.
async fn settle(progress: &mut Progress<'_>, queue: &mut Queue, ends: Vec<End>) {
    let mut settled = Vec::new();
    for End { action, ended, elapsed_ms, retries } in ends {
        match ended {
            Ended::Back => queue.give_back(action),
            Ended::Settled(outcome) => {
                audit(progress, &action, &outcome);
                settled.push((action.id, outcome, elapsed_ms, retries));
            }
        }
    }
    progress.settle_all(settled).await;
}

/// Takes one backup by itself.
async fn alone(shop: &Shop, action: Action, batch: &Batch, claimed: Claimed, tell: &UnboundedSender<End>) {
    let begun = Monotonic::now();
    let (ended, retries) = one(shop, &action, batch, claimed).await;
    // A run that nobody waits for any more has settled it as not reached.
    let _ = tell.send(End { action, ended, elapsed_ms: millis(begun), retries });
}

/// Whether an action takes a backup; one that was found is adopted instead.
const fn taken_here(kind: &ActionKind) -> bool {
    matches!(kind, ActionKind::BackUp(work) if work.found.is_none())
}

/// Orders backups by the priority of their class, then by slot and name. What others wait for counts as the most
/// important of them: a shared archive of low classes must not go before the backups of high ones.
fn by_priority(mut actions: Vec<Action>) -> Vec<Action> {
    let urgency = urgencies(&actions);
    actions.sort_by_cached_key(|action| {
        let work = work_of(action);
        let own = work.map_or(u32::MAX, |work| work.priority);
        let priority = urgency.get(&action.id).copied().unwrap_or(own);
        let slot = work.map(Batch::key);
        (priority, slot, work.is_some_and(|work| work.scope != Scope::Shared), work.map(|work| work.scope.clone()))
    });
    actions
}

/// Returns how urgent those actions are that others wait for: as the most urgent of these.
pub(super) fn urgencies(actions: &[Action]) -> BTreeMap<ActionId, u32> {
    let mut urgency: BTreeMap<ActionId, u32> = BTreeMap::new();
    for action in actions {
        let Some(work) = work_of(action) else { continue };
        for needed in &action.after {
            urgency.entry(*needed).and_modify(|p| *p = (*p).min(work.priority)).or_insert(work.priority);
        }
    }
    urgency
}

/// Returns how urgent an action is, by [`urgencies`] of those that wait: lower goes first.
pub(super) fn urgency_by(urgencies: &BTreeMap<ActionId, u32>, action: &Action) -> u32 {
    let own = work_of(action).filter(|work| work.scope != Scope::Shared).map(|work| work.priority);
    urgencies.get(&action.id).copied().into_iter().chain(own).min().unwrap_or(u32::MAX)
}

pub(super) const fn work_of(action: &Action) -> Option<&BackupWork> {
    if let ActionKind::BackUp(work) = &action.kind { Some(work) } else { None }
}

fn too_late(action: &Action, now: Instant) -> Option<Outcome> {
    let before = work_of(action)?.start_before?;
    (now > before).then(|| Outcome::Skipped {
        reason: format!("its slot passed at {}; the next plan records it", before.strftime("%Y-%m-%d %H:%M:%S UTC")),
    })
}

fn audit(progress: &mut Progress<'_>, action: &Action, outcome: &Outcome) {
    let Some(work) = work_of(action) else { return };
    // What was taken is told by its completion itself.
    if let Outcome::Failed { code, error } = outcome {
        let facts = json!({ "code": code, "error": error, "scope": work.scope, "database": work.database });
        progress.note("backup failed", work.backup.as_str(), facts);
    }
}

/// Returns what an attempt is told. `policies` are for backups of the configuration.
pub(super) fn attempt_order(
    (runtime, claims): (&Runtime, &Arc<Claims>),
    action: &Action,
    work: &BackupWork,
    claimed: &Claimed,
    policy_digest: Digest,
    (lineage, policies): (String, Policies),
) -> Order {
    Order {
        work: work.clone(),
        action: action.id,
        attempt: claimed.lease.token,
        policy_digest,
        simulated: runtime.simulated,
        now: Arc::clone(&runtime.now),
        tool_version: runtime.tool_version.clone(),
        lineage,
        policies: Arc::new(policies),
        still_mine: fence(claims, claimed),
        notes: Vec::new(),
    }
}

/// Returns the policies as they are applied now; the plan's own changes are among them. Only backups of the
/// configuration hold them.
async fn policies(runtime: &Runtime, work: &BackupWork) -> Result<Policies, Outcome> {
    if work.scope != Scope::Configuration {
        return Ok(Policies::default());
    }
    let recorded = runtime.catalog.reader().recorded().await.map_err(|error| failed(&error))?;
    let recorded = recorded.ok_or_else(|| failed_with("the catalog is gone"))?;
    let live = recorded.applied.into_iter().filter(|(_, applied)| applied.archived_at.is_none());
    let documents = live.map(|(address, applied)| (address, (applied.body, applied.digest)));
    Ok(Policies { documents: documents.collect(), texts: runtime.policy_texts.clone() })
}

/// Takes one backup, trying again what may pass. Each try is a claim of its own: its token is the attempt, and nothing
/// is ever written under another attempt's prefix.
async fn one(shop: &Shop, action: &Action, batch: &Batch, first: Claimed) -> (Ended, u32) {
    let Some(work) = work_of(action) else { return (Ended::Settled(failed_with("the action is no backup")), 0) };
    let runtime = &shop.runtime;
    let mut retries = 0;
    let mut claimed = first;
    loop {
        let token = claimed.lease.token;
        let result = match shop.health.refusal(runtime, &work.store).await {
            Some(refusal) => Err(Miss::lasting(refusal)),
            None => match batch.open(runtime, work).await {
                Ok(common) => attempt(shop, action, work, &common, &claimed, Vec::new()).await,
                Err(outcome) => Err(Miss::lasting(outcome)),
            },
        };
        shop.claims.release(claimed).await;
        let miss = match result {
            Ok(outcome) => return (Ended::Settled(outcome), retries),
            Err(miss) => miss,
        };
        shop.health.note(&work.store, &miss.outcome);
        if miss.lease_lost
            && let Some(canceled) = canceled(runtime, work, token).await
        {
            return (Ended::Settled(canceled), retries);
        }
        if !miss.transient || retries == RETRIES || runtime.stopped() || shop.health.is_gone(&work.store) {
            return (Ended::Settled(miss.outcome), retries);
        }
        retries += 1;
        tokio::select! {
            biased;
            () = runtime.until_stopped() => return (Ended::Settled(Outcome::NotReached), retries),
            () = tokio::time::sleep(Duration::from_secs(u64::from(retries))) => {}
        }
        claimed = match shop.claims.take(&[action.id]).await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return (Ended::Back, retries),
            Err(error) => return (Ended::Settled(failed(&error)), retries),
        };
    }
}

/// Writes down that an attempt begins. `Some`: it need not, and the action ends so.
///
/// # Errors
/// The outcome of an action that cannot begin.
async fn intend(runtime: &Runtime, work: &BackupWork, claimed: &Claimed) -> Result<Option<Outcome>, Outcome> {
    let [answer] = <[_; 1]>::try_from(intend_all(runtime, &[(work, claimed)]).await)
        .unwrap_or_else(|_| [Err(failed_with("the catalog did not say whether it may begin"))]);
    answer
}

/// Writes down that attempts begin, each with an answer as of [`intend`], in their order.
pub(super) async fn intend_all(
    runtime: &Runtime,
    all: &[(&BackupWork, &Claimed)],
) -> Vec<Result<Option<Outcome>, Outcome>> {
    let started_at = (runtime.now)();
    let intents: Vec<Intent<'_>> = all.iter().map(|(work, _)| Intent { work, run: &runtime.run, started_at }).collect();
    let pairs: Vec<(&Lease, &Intent<'_>)> =
        all.iter().zip(&intents).map(|((_, c), intent)| (&c.lease, intent)).collect();
    let answers = match runtime.catalog.intend_backups(&pairs).await {
        Ok(answers) => answers,
        Err(error) => return vec![Err(failed(&error)); all.len()],
    };
    let mut outcomes = Vec::new();
    for ((work, _), answer) in all.iter().zip(answers) {
        outcomes.push(match answer {
            Ok(Intended::Go) => Ok(None),
            Ok(Intended::SlotTaken(by)) => taken_by(runtime, work, &by).await.map(Some),
            Err(error) => Err(failed(&error)),
        });
    }
    outcomes
}

/// What holds a slot is of no use to the tenants that would name it, unless it can be restored. It is asked when the slot
/// turns out to be taken, never before: another runner may have made it since.
async fn taken_by(runtime: &Runtime, work: &BackupWork, by: &BackupId) -> Result<Outcome, Outcome> {
    let reader = runtime.catalog.reader();
    if work.scope == Scope::Shared && !reader.restorable(by).await.map_err(|error| failed(&error))? {
        return Err(failed_with(format!("the slot is held by {by}, which cannot be restored")));
    }
    Ok(Outcome::AlreadyDone { summary: format!("the slot is held by {by}") })
}

/// Takes one backup by itself, in one try. `notes` are for the people who read its manifest.
pub(super) async fn attempt(
    shop: &Shop,
    action: &Action,
    work: &BackupWork,
    common: &Common,
    claimed: &Claimed,
    notes: Vec<String>,
) -> Result<Outcome, Miss> {
    let runtime = &shop.runtime;
    let lasting = |outcome: Outcome| Miss::lasting(outcome);
    if let Some(outcome) = intend(runtime, work, claimed).await.map_err(lasting)? {
        return Ok(outcome);
    }
    let policies = policies(runtime, work).await.map_err(lasting)?;
    let lineage = (shop.lineage.clone(), policies);
    let order =
        Order { notes, ..attempt_order((runtime, &shop.claims), action, work, claimed, shop.policy_digest, lineage) };
    let begun = Monotonic::now();
    let moved = Arc::new(AtomicU64::new(0));
    let store = Arc::new(Metered::new(Arc::clone(&common.destination.store), Arc::clone(&moved)));
    let destination = Destination { store, ..common.destination.clone() };
    let lost = || Miss {
        outcome: failed_with("its lease was lost; someone else does it now"),
        transient: true,
        lease_lost: true,
    };
    // A lost lease or a stop drops the work: its program is killed and its upload aborted, and nothing is visible.
    let taken = tokio::select! {
        biased;
        taken = backup::run(&order, common.source(), &destination) => taken,
        () = claimed.until_lost() => return Err(lost()),
        () = runtime.until_stopped() => Err(BackupError::Interrupted),
        () = tell(runtime, action.id, &moved) => Err(BackupError::Interrupted),
    };
    match taken {
        Ok(taken) => confirm((runtime, &shop.claims), work, claimed, taken, begun).await.map_err(lasting),
        Err(BackupError::Fenced) => Err(Miss { lease_lost: true, ..Miss::lasting(failed(&BackupError::Fenced)) }),
        Err(error) => {
            let outcome = shop.claims.fail_with(claimed, work, &error).await;
            Err(Miss { outcome, transient: error.is_worth_another(), lease_lost: false })
        }
    }
}

/// Whoever lost its right to the work either was slow, and someone else goes on, or was canceled: then its outcome.
pub(super) async fn canceled(runtime: &Runtime, work: &BackupWork, attempt: u64) -> Option<Outcome> {
    let words = runtime.catalog.reader().canceled(&work.backup, attempt).await.ok()??;
    let error = format!("the backup was {words}; nothing of it is visible, and its slot is not taken again");
    Some(Outcome::Failed { code: "BK910".to_owned(), error })
}

/// Tells how many bytes were moved, for as long as it is let.
async fn tell(runtime: &Runtime, id: ActionId, moved: &AtomicU64) {
    let mut told = 0;
    loop {
        tokio::time::sleep(TELL).await;
        let bytes = moved.load(Ordering::Relaxed);
        if bytes != told {
            told = bytes;
            runtime.tell(Event::Progress { id, bytes: Bytes(bytes) });
        }
    }
}

/// Asks the catalog itself, by renewing the lease: only a renewed one leaves time to write the manifest.
fn fence(claims: &Arc<Claims>, claimed: &Claimed) -> Fence {
    let (claims, lease) = (Arc::clone(claims), claimed.lease.clone());
    Arc::new(move || {
        let (claims, lease) = (Arc::clone(&claims), lease.clone());
        async move { claims.renew(&lease).await }.boxed()
    })
}

/// Writes down that the backup is there. The manifest is the truth already: were this lost, the next run would find it.
pub(super) async fn confirm(
    (runtime, claims): (&Runtime, &Claims),
    work: &BackupWork,
    claimed: &Claimed,
    taken: Taken,
    begun: Monotonic,
) -> Result<Outcome, Outcome> {
    let facts =
        json!({ "scope": work.scope, "database": work.database, "schedule": work.schedule, "store": work.store });
    let told = runtime.event("backup completed", work.backup.as_str(), facts);
    let size: Bytes = taken.manifest.parts.iter().map(|part| Bytes(part.size)).sum();
    let (findings, by_this_attempt) = (backup::findings(&taken.manifest), taken.by_this_attempt);
    let done = Done { lease: claimed.lease.clone(), taken, store: work.store.clone(), told, at: (runtime.now)() };
    match claims.complete(done).await? {
        Completion::Recorded => {}
        Completion::Already => return Ok(Outcome::AlreadyDone { summary: "it was there already".to_owned() }),
        Completion::SlotTaken => {
            return Ok(Outcome::AlreadyDone { summary: "another backup holds the slot".to_owned() });
        }
    }
    let summary = if by_this_attempt {
        let findings = match findings {
            0 => String::new(),
            1 => ", with a finding that its manifest tells".to_owned(),
            many => format!(", with {many} findings that its manifest tells"),
        };
        format!("{size} in {}.{:01} s{findings}", millis(begun) / 1000, millis(begun) % 1000 / 100)
    } else {
        "an earlier attempt had written it; recorded now".to_owned()
    };
    Ok(Outcome::Done { summary })
}
