//! Backups of one slot that are taken together, out of one dump. Each keeps its own claim, intent, attempt and outcome;
//! which ones go together changes nothing of what is done, only how often the server's catalog is read.
//!
//! A group is bounded, so that several runners share a slot and one failure is not everyone's: by a count, by the bytes
//! expected, by an equal share for each runner at work where there are more runners than groups, and by urgency, since
//! what is more urgent elsewhere goes first.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant as Monotonic;

use super::backups::{
    End, Ended, RETRIES, Shop, TELL, attempt, attempt_order, canceled, confirm, intend_all, urgencies, urgency_by,
    work_of,
};
use super::batch::{Batch, Common};
use super::claims::Claimed;
use super::ensure::{failed, failed_with};
use super::progress::{Progress, millis};
use super::queue::Queue;
use super::runtime::Runtime;
use crate::backup::{BackupError, Destination, Member, MemberEnd, Policies, run_many};
use crate::domain::{Action, ActionId, BackupWork, Bytes, Engine, Event, Instant, Outcome, Scope};
use crate::store::Metered;

/// How many backups a runner takes together at most: each group is a dump, and reads the whole of the server's catalog.
const MOST: usize = 2500;
/// How many stored bytes are expected of them together; the first is taken however large it is.
const BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// A backup of a group, while it is this run's.
struct Piece {
    action: Action,
    claimed: Claimed,
    retries: u32,
    begun: Monotonic,
}

/// One that is to be tried once more.
struct Left {
    action: Action,
    retries: u32,
    begun: Monotonic,
    /// Why it must be taken apart, where it must.
    apart: Option<String>,
}

/// What a group was claimed by.
pub(super) struct Share {
    /// How many backups of the plan may be taken together, those that are done or held among them, and the lead: to share
    /// what is left would make each share smaller than the one before, and each is a dump.
    of: usize,
    /// How many runners were at work.
    runners: usize,
    /// How many such groups waited, this one among them: a dump that is not shared is read once, so that runners share a
    /// group only where there are more of them than groups.
    groups: usize,
}

impl Share {
    /// Returns how many of them this runner takes at once: of its share, in as few groups as can be and equal ones, since
    /// a last one of a few costs a dump, too.
    const fn most(&self) -> usize {
        let own = self.of.div_ceil(self.runners.div_ceil(self.groups));
        own.div_ceil(own.div_ceil(MOST))
    }
}

/// Returns how many runners are at work; a catalog that does not answer is met again by what is asked of it next.
async fn runners(runtime: &Runtime) -> usize {
    let runners = runtime.catalog.reader().runners().await.unwrap_or(1).max(1);
    usize::try_from(runners).unwrap_or(1)
}

/// Claims what is taken together with an action that was claimed just now.
pub(super) async fn companions(
    progress: &mut Progress<'_>,
    queue: &mut Queue,
    lead: &Action,
    now: Instant,
) -> (Vec<(Action, Claimed)>, Share) {
    let none = || (Vec::new(), Share { of: 1, runners: 1, groups: 1 });
    let Some(work) = work_of(lead) else { return none() };
    if work.engine != Engine::Logical || !matches!(work.scope, Scope::Shared | Scope::Tenant(_)) {
        return none();
    }
    let key = Batch::key(work);
    let alike = |other: &BackupWork| {
        Batch::key(other) == key
            && other.store == work.store
            && other.engine == work.engine
            && other.start_before.is_none_or(|before| now <= before)
    };
    let together =
        |action: &Action| work_of(action).is_some_and(|other| alike(other) && matches!(other.scope, Scope::Tenant(_)));
    let is_one = |action: &&Action| {
        work_of(action).is_some_and(|other| alike(other) && matches!(other.scope, Scope::Shared | Scope::Tenant(_)))
    };
    let waiting = queue.waiting();
    let urgency = urgencies(waiting);
    // What others are at goes first already, and so does what waits for it.
    let elsewhere = waiting.iter().filter(|action| work_of(action).is_some_and(|other| Batch::key(other) != key));
    let free = elsewhere.filter(|action| !queue.is_others(action));
    let before = free.filter_map(|action| Some((urgency_by(&urgency, action), Batch::key(work_of(action)?)))).min();
    let first = |priority: u32| before.as_ref().is_none_or(|(urgency, other)| (priority, &key) < (*urgency, other));
    let fits = |action: &Action| together(action) && work_of(action).is_some_and(|work| first(work.priority));
    let of_these: Vec<u64> =
        queue.others_last(fits).iter().map(|action| action.bytes.map_or(0, |bytes| bytes.0)).collect();
    if of_these.is_empty() {
        return none();
    }
    let groups: BTreeSet<_> = waiting.iter().filter_map(|action| Some(Batch::key(work_of(action)?))).collect();
    let of = progress.plan.actions.iter().filter(is_one).count().max(1);
    let share = Share { of, runners: runners(progress.runtime).await, groups: groups.len() };
    let mut bytes = lead.bytes.map_or(0, |bytes| bytes.0);
    let by_bytes = of_these.iter().take_while(|more| {
        bytes = bytes.saturating_add(**more);
        bytes <= BYTES
    });
    let most = by_bytes.count().min(share.most() - 1);
    let more = if most == 0 { Vec::new() } else { queue.more(progress, &lead.id, fits, most).await };
    (more, share)
}

/// Takes the backups of a group and tells how each ended.
pub(super) async fn run(
    shop: &Shop,
    (members, share): (Vec<(Action, Claimed)>, Share),
    batch: &Batch,
    tell: &UnboundedSender<End>,
) {
    let begun = Monotonic::now();
    let mut pieces: Vec<Piece> =
        members.into_iter().map(|(action, claimed)| Piece { action, claimed, retries: 0, begun }).collect();
    let runtime = &shop.runtime;
    // To open takes a moment, in which the others of a fleet that was started at once are here, too. How it ended is
    // asked again by the round.
    if let Some(work) = pieces.first().and_then(|piece| work_of(&piece.action)) {
        let _ = batch.open(runtime, work).await;
        let now = Share { runners: runners(runtime).await.max(share.runners), ..share };
        let others = pieces.split_off(now.most().min(pieces.len()));
        end_all(shop, tell, others, &Ended::Back).await;
    }
    let mut ready = !pieces.iter().any(is_shared);
    let mut apart = Vec::new();
    while !pieces.is_empty() {
        let (left, shared) = round(shop, pieces, batch, tell).await;
        ready |= shared;
        let (alone, again): (Vec<Left>, Vec<Left>) = left.into_iter().partition(|left| left.apart.is_some());
        apart.extend(alone);
        if ready {
            for one in apart.drain(..) {
                let end = taken_apart(shop, one).await;
                let _ = tell.send(end);
            }
        }
        if again.is_empty() {
            break;
        }
        let wait = again.iter().map(|left| left.retries).max().unwrap_or(0);
        tokio::select! {
            biased;
            () = runtime.until_stopped() => {}
            () = tokio::time::sleep(Duration::from_secs(u64::from(wait))) => {}
        }
        pieces = retaken(shop, again, tell).await;
        // Tenants name what they share. Where that is not there and not this group's any more, they wait in the queue.
        if !ready && !pieces.iter().any(is_shared) {
            end_all(shop, tell, std::mem::take(&mut pieces), &Ended::Back).await;
        }
    }
    for Left { action, retries, begun, .. } in apart {
        let _ = tell.send(End { action, ended: Ended::Back, elapsed_ms: millis(begun), retries });
    }
}

fn is_shared(piece: &Piece) -> bool {
    work_of(&piece.action).is_some_and(|work| work.scope == Scope::Shared)
}

/// Claims once more what is to be tried once more: each try is an attempt of its own.
async fn retaken(shop: &Shop, again: Vec<Left>, tell: &UnboundedSender<End>) -> Vec<Piece> {
    let say = |left: Left, ended: Ended| {
        let Left { action, retries, begun, .. } = left;
        let _ = tell.send(End { action, ended, elapsed_ms: millis(begun), retries });
    };
    if shop.runtime.stopped() {
        again.into_iter().for_each(|left| say(left, Ended::Settled(Outcome::NotReached)));
        return Vec::new();
    }
    let ids: Vec<ActionId> = again.iter().map(|left| left.action.id).collect();
    let mut claimed = match shop.claims.take_many(&ids, u32::try_from(ids.len()).unwrap_or(u32::MAX)).await {
        Ok(claimed) => claimed,
        Err(error) => {
            again.into_iter().for_each(|left| say(left, Ended::Settled(failed(&error))));
            return Vec::new();
        }
    };
    let mut pieces = Vec::new();
    for left in again {
        match claimed.iter().position(|one| one.lease.action == left.action.id) {
            Some(place) => pieces.push(Piece {
                claimed: claimed.swap_remove(place),
                action: left.action,
                retries: left.retries,
                begun: left.begun,
            }),
            None => say(left, Ended::Back),
        }
    }
    pieces
}

/// Takes one backup at an instant of its own, and says so in its manifest.
async fn taken_apart(shop: &Shop, left: Left) -> End {
    let Left { action, retries, begun, apart } = left;
    let outcome = apart_outcome(shop, &action, apart.unwrap_or_default()).await;
    let ended = outcome.map_or(Ended::Back, Ended::Settled);
    End { action, ended, elapsed_ms: millis(begun), retries: retries + 1 }
}

/// `None`: someone else took it meanwhile.
async fn apart_outcome(shop: &Shop, action: &Action, why: String) -> Option<Outcome> {
    let runtime = &shop.runtime;
    let Some(work) = work_of(action) else { return Some(failed_with("the action is no backup")) };
    if runtime.stopped() {
        return Some(Outcome::NotReached);
    }
    let claimed = match shop.claims.take(&[action.id]).await {
        Ok(Some(claimed)) => claimed,
        Ok(None) => return None,
        Err(error) => return Some(failed(&error)),
    };
    let token = claimed.lease.token;
    let taken = match Batch::apart(runtime, work).await {
        Ok(common) => {
            let note = format!("it is of an instant of its own, not of its slot's others: {why}");
            let taken = attempt(shop, action, work, &common, &claimed, vec![note]).await;
            common.close().await;
            taken
        }
        Err(outcome) => Err(super::backups::Miss::lasting(outcome)),
    };
    shop.claims.release(claimed).await;
    match taken {
        Ok(outcome) => Some(outcome),
        Err(miss) => {
            shop.health.note(&work.store, &miss.outcome);
            let canceled = if miss.lease_lost { canceled(runtime, work, token).await } else { None };
            Some(canceled.unwrap_or(miss.outcome))
        }
    }
}

/// What the members of a round are settled with.
struct Round<'a> {
    shop: &'a Shop,
    pieces: Vec<Mutex<Option<Piece>>>,
    left: Mutex<Vec<Left>>,
    /// Whether what tenants share is there.
    ready: AtomicBool,
    tell: &'a UnboundedSender<End>,
}

/// Tries a group once; returns what is to be tried once more, and whether what is shared was of it and is there.
async fn round(shop: &Shop, pieces: Vec<Piece>, batch: &Batch, tell: &UnboundedSender<End>) -> (Vec<Left>, bool) {
    let runtime = &shop.runtime;
    let none = || (Vec::new(), false);
    let Some(first) = pieces.first().and_then(|piece| work_of(&piece.action)).cloned() else { return none() };
    let opened = match shop.health.refusal(runtime, &first.store).await {
        Some(refusal) => Err(refusal),
        None => batch.open(runtime, &first).await,
    };
    let common = match opened {
        Ok(common) => common,
        Err(outcome) => {
            end_all(shop, tell, pieces, &Ended::Settled(outcome)).await;
            return none();
        }
    };
    let (pieces, ready) = intended(shop, pieces, tell).await;
    let moved: Vec<Arc<AtomicU64>> = pieces.iter().map(|_| Arc::default()).collect();
    let members: Vec<Member> =
        pieces.iter().zip(&moved).filter_map(|(piece, moved)| member(shop, piece, &common, moved)).collect();
    let ids: Vec<ActionId> = pieces.iter().map(|piece| piece.action.id).collect();
    let pieces = pieces.into_iter().map(|piece| Mutex::new(Some(piece))).collect();
    let round = Round { shop, pieces, left: Mutex::default(), ready: AtomicBool::new(ready), tell };
    let settle = |place: usize, end: MemberEnd| -> BoxFuture<'_, bool> { round.settle(place, end).boxed() };
    // A stop drops the work: its program is killed and its uploads aborted, and nothing is visible.
    tokio::select! {
        biased;
        () = run_many(&members, common.source(), &settle) => {}
        () = runtime.until_stopped() => {}
        () = progress_of(shop, &ids, &moved) => {}
    }
    round.give_up().await;
    let ready = round.ready.load(Ordering::Relaxed);
    (round.left.into_inner().unwrap_or_else(PoisonError::into_inner), ready)
}

/// Writes down what begins; ends those that need not or cannot. Without what they share, tenants do not begin. Returns
/// those that begin, and whether what is shared was of them and is there already.
async fn intended(shop: &Shop, pieces: Vec<Piece>, tell: &UnboundedSender<End>) -> (Vec<Piece>, bool) {
    let mut begun = Vec::new();
    let (mut unready, mut ready) = (false, false);
    // First what the others need: they must not have begun where it cannot.
    let (shared, tenants): (Vec<Piece>, Vec<Piece>) = pieces.into_iter().partition(is_shared);
    for pieces in [shared, tenants].into_iter().filter(|pieces| !pieces.is_empty()) {
        if unready {
            end_all(shop, tell, pieces, &Ended::Back).await;
            continue;
        }
        let all: Vec<(&BackupWork, &Claimed)> =
            pieces.iter().filter_map(|piece| Some((work_of(&piece.action)?, &piece.claimed))).collect();
        let answers = intend_all(&shop.runtime, &all).await;
        for (piece, answer) in pieces.into_iter().zip(answers) {
            let shared = is_shared(&piece);
            match answer {
                Ok(None) => begun.push(piece),
                Ok(Some(outcome)) => {
                    ready |= shared;
                    end(shop, tell, piece, Ended::Settled(outcome)).await;
                }
                Err(outcome) => {
                    unready |= shared;
                    end(shop, tell, piece, Ended::Settled(outcome)).await;
                }
            }
        }
    }
    (begun, ready)
}

fn member(shop: &Shop, piece: &Piece, common: &Common, moved: &Arc<AtomicU64>) -> Option<Member> {
    let work = work_of(&piece.action)?;
    let lineage = (shop.lineage.clone(), Policies::default());
    let store = Arc::new(Metered::new(Arc::clone(&common.destination.store), Arc::clone(moved)));
    Some(Member {
        order: attempt_order(
            (&shop.runtime, &shop.claims),
            &piece.action,
            work,
            &piece.claimed,
            shop.policy_digest,
            lineage,
        ),
        destination: Destination { store, ..common.destination.clone() },
        is_lost: piece.claimed.watch(),
    })
}

/// Gives a piece back and says how it ended.
async fn end(shop: &Shop, tell: &UnboundedSender<End>, piece: Piece, ended: Ended) {
    let Piece { action, claimed, retries, begun } = piece;
    shop.claims.release(claimed).await;
    // A run that nobody waits for any more has settled it as not reached.
    let _ = tell.send(End { action, ended, elapsed_ms: millis(begun), retries });
}

/// Gives many back at the same time, so that the catalog is told of them together: of a stop it is told within seconds.
async fn end_all(shop: &Shop, tell: &UnboundedSender<End>, pieces: Vec<Piece>, ended: &Ended) {
    join_all(pieces.into_iter().map(|piece| end(shop, tell, piece, ended.clone()))).await;
}

/// Tells how many bytes each has moved, for as long as it is let.
async fn progress_of(shop: &Shop, ids: &[ActionId], moved: &[Arc<AtomicU64>]) {
    let mut told = vec![0; ids.len()];
    loop {
        tokio::time::sleep(TELL).await;
        for ((id, moved), told) in ids.iter().zip(moved).zip(&mut told) {
            let bytes = moved.load(Ordering::Relaxed);
            if bytes != *told {
                *told = bytes;
                shop.runtime.tell(Event::Progress { id: *id, bytes: Bytes(bytes) });
            }
        }
    }
}

impl Round<'_> {
    /// Settles a member, once. Returns whether its backup is there.
    async fn settle(&self, place: usize, member: MemberEnd) -> bool {
        let shared = self
            .pieces
            .get(place)
            .is_some_and(|piece| piece.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(is_shared));
        let there = self.settled(place, member).await;
        self.ready.fetch_or(shared && there, Ordering::Relaxed);
        there
    }

    async fn settled(&self, place: usize, member: MemberEnd) -> bool {
        let piece = self.pieces.get(place).and_then(|p| p.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(piece) = piece else { return false };
        let Some(work) = work_of(&piece.action).cloned() else { return false };
        let runtime = &self.shop.runtime;
        match member {
            MemberEnd::Taken(taken) => {
                let ours = (runtime, &*self.shop.claims);
                let outcome = confirm(ours, &work, &piece.claimed, *taken, piece.begun).await;
                let there = outcome.is_ok();
                let outcome = outcome.unwrap_or_else(|outcome| outcome);
                end(self.shop, self.tell, piece, Ended::Settled(outcome)).await;
                there
            }
            MemberEnd::Failed(error) => {
                self.abandon(&piece, &error.to_string()).await;
                self.missed(piece, failed(&error), error.is_worth_another()).await;
                false
            }
            MemberEnd::Again(error) => {
                self.abandon(&piece, &error.to_string()).await;
                self.missed(piece, failed(&error), true).await;
                false
            }
            MemberEnd::Lost => {
                let lost = failed_with("its lease was lost; someone else does it now");
                match canceled(runtime, &work, piece.claimed.lease.token).await {
                    Some(canceled) => end(self.shop, self.tell, piece, Ended::Settled(canceled)).await,
                    None => self.missed(piece, lost, true).await,
                }
                false
            }
            MemberEnd::Unready => {
                self.abandon(&piece, "what it shares with others was not taken").await;
                end(self.shop, self.tell, piece, Ended::Back).await;
                false
            }
            MemberEnd::Apart(why) => {
                self.abandon(&piece, &why).await;
                let shared = work.scope == Scope::Shared;
                let left = self.release(piece, Some(why)).await;
                if !shared {
                    self.left.lock().unwrap_or_else(PoisonError::into_inner).push(left);
                    return false;
                }
                // The others wait for it.
                let ended = taken_apart(self.shop, left).await;
                let there = matches!(&ended.ended, Ended::Settled(Outcome::Done { .. } | Outcome::AlreadyDone { .. }));
                let _ = self.tell.send(ended);
                there
            }
        }
    }

    async fn abandon(&self, piece: &Piece, error: &str) {
        let Some(work) = work_of(&piece.action) else { return };
        self.shop.claims.fail(&piece.claimed, work, error).await;
    }

    async fn release(&self, piece: Piece, apart: Option<String>) -> Left {
        let Piece { action, claimed, retries, begun } = piece;
        self.shop.claims.release(claimed).await;
        Left { action, retries, begun, apart }
    }

    /// Ends a piece that was missed, or keeps it for another try.
    async fn missed(&self, piece: Piece, outcome: Outcome, transient: bool) {
        let store = work_of(&piece.action).map(|work| work.store.clone());
        if let Some(store) = &store {
            self.shop.health.note(store, &outcome);
        }
        let gone = store.is_some_and(|store| self.shop.health.is_gone(&store));
        if !transient || piece.retries == RETRIES || self.shop.runtime.stopped() || gone {
            return end(self.shop, self.tell, piece, Ended::Settled(outcome)).await;
        }
        let mut left = self.release(piece, None).await;
        left.retries += 1;
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(left);
    }

    /// Ends what a stop left.
    async fn give_up(&self) {
        let left = self.pieces.iter().filter_map(|piece| piece.lock().unwrap_or_else(PoisonError::into_inner).take());
        let left: Vec<Piece> = left.collect();
        let why = BackupError::Interrupted.to_string();
        join_all(left.iter().map(|piece| self.abandon(piece, &why))).await;
        end_all(self.shop, self.tell, left, &Ended::Settled(Outcome::NotReached)).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// No group is larger than the bound, none of a runner's is needless, and the last is no remainder of a few.
        #[test]
        fn a_share_is_cut_into_few_and_equal_groups(of in 1..30_000_usize, runners in 1..9_usize, groups in 1..9_usize) {
            let most = Share { of, runners, groups }.most();
            let own = of.div_ceil(runners.div_ceil(groups));
            prop_assert!((1..=MOST).contains(&most));
            prop_assert_eq!(own.div_ceil(most), own.div_ceil(MOST));
            let last = own - most * (own.div_ceil(most) - 1);
            prop_assert!(most - last < own.div_ceil(most), "{} of {most}", last);
        }
    }

    #[test]
    fn two_thousand_tenants_and_what_they_share_are_one_group() {
        let alone = |of| Share { of, runners: 1, groups: 1 }.most();
        assert_eq!((alone(1), alone(2001), alone(2501), alone(10_001)), (1, 2001, 1251, 2001));
        assert_eq!(Share { of: 2001, runners: 4, groups: 1 }.most(), 501);
        assert_eq!(Share { of: 2001, runners: 4, groups: 4 }.most(), 2001);
    }
}
