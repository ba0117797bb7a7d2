//! The work of a phase, in its order, shared with any number of other runners. What someone else holds is passed over
//! and looked at again later; only when nothing else is left does a runner wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::claims::Claimed;
use super::ensure::failed;
use super::progress::{Progress, Standing, Turn};
use crate::domain::{Action, ActionId, ActionKind, BackupId, Outcome, Scope};

/// How often work that someone else holds is looked at again.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// How long a row may be locked by nobody who holds the work.
const PASSING: Duration = Duration::from_secs(5);
/// How many pieces of work one question to the catalog is about.
const WINDOW: usize = 16;
/// How many of those that others hold: one that became free must not hide behind many that did not.
const AGAIN: usize = 1000;

/// What a queue has to offer.
pub(super) enum Next {
    /// An action, whose work this run holds now.
    Work(Box<Action>, Claimed),
    /// Nothing at the moment: it waits for what this run is at, or for others.
    Wait,
    /// Nothing any more.
    Done,
}

/// The actions of a phase that are not settled and not begun.
pub(super) struct Queue {
    waiting: Vec<Action>,
    held: BTreeSet<ActionId>,
    asked: Option<Instant>,
    idle_since: Option<Instant>,
    /// How many outcomes had been no success when it was last looked what can never begin.
    judged: Option<usize>,
}

impl Queue {
    /// Takes the actions in their order.
    pub fn new(waiting: Vec<Action>) -> Self {
        Self { waiting, held: BTreeSet::new(), asked: None, idle_since: None, judged: None }
    }

    /// Returns what waits.
    pub fn waiting(&self) -> &[Action] {
        &self.waiting
    }

    /// Returns whether someone else is known to hold an action, or what it waits for.
    pub fn is_others(&self, action: &Action) -> bool {
        self.held.contains(&action.id) || action.after.iter().any(|needed| self.held.contains(needed))
    }

    /// Takes an action back that this run began and someone else goes on with.
    pub fn give_back(&mut self, action: Action) {
        self.held.insert(action.id);
        self.asked = Some(Instant::now());
        // What it waits for may have failed while it was away.
        self.judged = None;
        self.waiting.push(action);
    }

    /// Settles every waiting action that `judge` has an outcome for.
    pub async fn settle(&mut self, progress: &mut Progress<'_>, judge: impl Fn(&Action) -> Option<Outcome>) {
        let mut settled = Vec::new();
        self.waiting.retain(|action| match judge(action) {
            Some(outcome) => {
                settled.push((action.id, outcome, 0, 0));
                false
            }
            None => true,
        });
        progress.settle_all(settled).await;
    }

    /// Takes the next action's turn, one at a time; waits for others where nothing else is left. `None` at the end.
    pub async fn turn(&mut self, progress: &mut Progress<'_>) -> Option<(Action, Turn)> {
        loop {
            match self.next(progress, |_| true, false).await {
                Next::Work(action, claimed) => {
                    progress.begin(&action);
                    return Some((*action, Turn::new(claimed)));
                }
                Next::Wait => {}
                Next::Done => return None,
            }
        }
    }

    /// Claims the first action that may begin, fits, and is not held by someone else. Where this run is at something
    /// (`busy`) it returns instead of waiting.
    pub async fn next(&mut self, progress: &mut Progress<'_>, fits: impl Fn(&Action) -> bool, busy: bool) -> Next {
        loop {
            if progress.runtime.stopped() {
                // Not a word to the catalog for each of them: a run that was told to stop has seconds.
                self.waiting.clear();
            }
            let ready = self.look(progress, &fits).await;
            if self.waiting.is_empty() {
                return Next::Done;
            }
            let fresh: Vec<ActionId> = ready.iter().filter(|id| !self.held.contains(*id)).copied().collect();
            let is_again = fresh.is_empty();
            let mut candidates = match (is_again, self.asked.is_none_or(|asked| asked.elapsed() >= POLL)) {
                (false, _) => fresh,
                (true, true) => ready.clone(),
                (true, false) => Vec::new(),
            };
            candidates.truncate(if is_again { AGAIN } else { WINDOW });
            if !candidates.is_empty() {
                if let Some((action, claimed)) = self.claim(progress, candidates, is_again).await {
                    return Next::Work(Box::new(action), claimed);
                }
                continue;
            }
            if busy {
                return Next::Wait;
            }
            if ready.is_empty() {
                // What it waits for is neither settled nor under way: nothing in this run can bring it.
                let reason = "what it waits for was not reached";
                self.settle(progress, |_| Some(Outcome::Skipped { reason: reason.to_owned() })).await;
                continue;
            }
            let since = *self.idle_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= progress.runtime.lock_timeout {
                self.give_up(progress, &ready, since.elapsed()).await;
                if !ready.iter().all(|id| self.waiting.iter().any(|action| action.id == *id)) {
                    continue;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = progress.runtime.until_stopped() => {}
            }
        }
    }

    /// Returns the waiting actions that fit: first those that nobody else is known to hold. The others may be free again.
    pub fn others_last(&self, fits: impl Fn(&Action) -> bool) -> Vec<&Action> {
        let all = self.waiting.iter().filter(|action| fits(action));
        let (others, free): (Vec<&Action>, Vec<&Action>) = all.partition(|action| self.is_others(action));
        free.into_iter().chain(others).collect()
    }

    /// Claims up to `most` more actions that may be done beside `lead`, in the order of [`Queue::others_last`]. What someone
    /// else holds is passed over.
    pub async fn more(
        &mut self,
        progress: &mut Progress<'_>,
        lead: &ActionId,
        fits: impl Fn(&Action) -> bool,
        most: usize,
    ) -> Vec<(Action, Claimed)> {
        let beside = self.others_last(|action| progress.ready_beside(action, lead) && fits(action));
        // Others may be claiming the first of them at this moment.
        let offered = most.saturating_mul(2).max(AGAIN);
        let mut candidates: Vec<ActionId> = beside.into_iter().take(offered).map(|a| a.id).collect();
        if candidates.is_empty() {
            return Vec::new();
        }
        self.settle_done(progress, &mut candidates).await;
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        // A catalog that does not answer is met again by the next claim.
        let claimed = progress.claims.take_many(&candidates, most).await.unwrap_or_default();
        let mine: BTreeSet<ActionId> = claimed.iter().map(|claimed| claimed.lease.action).collect();
        // Of those behind the last one nothing is known.
        let last = candidates.iter().rposition(|id| mine.contains(id)).map_or(candidates.len(), |last| last + 1);
        self.held.extend(candidates.into_iter().take(last).filter(|id| !mine.contains(id)));
        let mut taken = self.take_out_all(&mine);
        claimed.into_iter().filter_map(|one| Some((taken.remove(&one.lease.action)?, one))).collect()
    }

    /// Settles what can never begin, and returns what could begin now. It is called whenever something ends, of thousands.
    async fn look(&mut self, progress: &mut Progress<'_>, fits: &impl Fn(&Action) -> bool) -> Vec<ActionId> {
        while self.judged != Some(progress.misses) {
            self.judged = Some(progress.misses);
            let standing = |action: &Action| match progress.standing(action) {
                Standing::Never(outcome) => Some((action.id, outcome)),
                _ => None,
            };
            let hopeless: Vec<(ActionId, Outcome)> = self.waiting.iter().filter_map(standing).collect();
            if hopeless.is_empty() {
                break;
            }
            self.take_out_all(&hopeless.iter().map(|(id, _)| *id).collect());
            progress.settle_all(hopeless.into_iter().map(|(id, outcome)| (id, outcome, 0, 0)).collect()).await;
        }
        let ready = self.waiting.iter().filter(|a| fits(a) && matches!(progress.standing(a), Standing::Ready));
        ready.map(|action| action.id).collect()
    }

    /// Claims the first of these that is free. Where they are not all known to be held (`is_again`), those that turn out to
    /// be are left for later.
    async fn claim(
        &mut self,
        progress: &mut Progress<'_>,
        mut candidates: Vec<ActionId>,
        is_again: bool,
    ) -> Option<(Action, Claimed)> {
        self.settle_done(progress, &mut candidates).await;
        candidates.retain(|id| is_again || !self.held.contains(id));
        if candidates.is_empty() {
            return None;
        }
        self.asked = Some(Instant::now());
        let claimed = match progress.claims.take(&candidates).await {
            Ok(claimed) => claimed,
            Err(error) => {
                // The catalog was asked several times. What needs it cannot be done; to ask for each would take hours.
                let outcome = failed(&error);
                self.settle(progress, |_| Some(outcome.clone())).await;
                return None;
            }
        };
        // Those that come before it were passed over: someone holds them. Of those behind it nothing is known.
        let mine = claimed.as_ref().map(|claimed| claimed.lease.action);
        self.held.extend(candidates.into_iter().take_while(|id| Some(*id) != mine));
        let claimed = claimed?;
        // Where one was free, more may be: they are asked for at once.
        (self.idle_since, self.asked) = (None, None);
        Some((self.take_out(claimed.lease.action)?, claimed))
    }

    /// Settles the backups that others have taken meanwhile, without a claim for each.
    async fn settle_done(&mut self, progress: &mut Progress<'_>, candidates: &mut Vec<ActionId>) {
        // Of a group there are thousands, and of what waits many more.
        let asked: BTreeSet<ActionId> = candidates.iter().copied().collect();
        let mut done = self.taken(progress, |action| asked.contains(&action.id)).await;
        self.leave_open(progress, &mut done).await;
        candidates.retain(|candidate| !done.contains_key(candidate));
        self.take_out_all(&done.keys().copied().collect());
        let mut settled = Vec::new();
        for (id, backup) in done {
            let summary = format!("the slot is held by {backup}");
            settled.push((id, Outcome::AlreadyDone { summary }, 0, 0));
            self.idle_since = None;
        }
        progress.settle_all(settled).await;
    }

    /// Leaves out a shared archive of which a tenant is still to be backed up: it is looked at by whoever holds its claim,
    /// because it must also be restorable. Tenants that are backed up are settled with it: left waiting, they would look
    /// like work that goes before the next group, and that would be taken one by one.
    async fn leave_open(&mut self, progress: &Progress<'_>, done: &mut BTreeMap<ActionId, BackupId>) {
        let is_shared =
            |action: &&Action| matches!(&action.kind, ActionKind::BackUp(work) if work.scope == Scope::Shared);
        let shared = self.waiting.iter().filter(is_shared).filter(|action| done.contains_key(&action.id));
        let shared: BTreeSet<ActionId> = shared.map(|action| action.id).collect();
        if shared.is_empty() {
            return;
        }
        let names_one = |action: &Action| action.after.iter().any(|id| shared.contains(id));
        let over = self.taken(progress, names_one).await;
        let by = self.waiting.iter().filter(|action| names_one(action));
        let (tenants, open): (Vec<&Action>, Vec<&Action>) = by.partition(|action| over.contains_key(&action.id));
        let ids: Vec<ActionId> = open.iter().map(|action| action.id).collect();
        let holders = match ids.as_slice() {
            [] => BTreeMap::new(),
            ids => progress.runtime.catalog.reader().holders(ids).await.unwrap_or_default(),
        };
        let at_work = open.iter().copied().filter(|action| holders.contains_key(&action.id)).collect();
        let named = |by: Vec<&Action>| -> BTreeSet<ActionId> {
            by.into_iter().flat_map(|action| &action.after).copied().filter(|id| shared.contains(id)).collect()
        };
        let (named_by_some, open, at_work) = (named(tenants), named(open), named(at_work));
        done.retain(|id, _| !shared.contains(id) || named_by_some.contains(id) && !open.contains(id));
        done.extend(over);
        // Where someone is at its tenants, what nobody has begun goes first.
        self.held.extend(at_work);
    }

    /// Returns the waiting backups of these actions that were completed meanwhile.
    async fn taken(&self, progress: &Progress<'_>, among: impl Fn(&Action) -> bool) -> BTreeMap<ActionId, BackupId> {
        let backup = |action: &Action| match &action.kind {
            ActionKind::BackUp(work) => Some((action.id, work.backup.clone())),
            _ => None,
        };
        let mut backups: BTreeMap<ActionId, BackupId> =
            self.waiting.iter().filter(|action| among(action)).filter_map(backup).collect();
        if !backups.is_empty() {
            let ids: Vec<&BackupId> = backups.values().collect();
            // A catalog that does not answer is met again by the claim.
            let done = progress.runtime.catalog.reader().completed(&ids).await.unwrap_or_default();
            backups.retain(|_, backup| done.contains(backup));
        }
        backups
    }

    /// Settles what others have held for longer than this run waits. What nobody is known to hold was passed over because
    /// its row was locked for a moment, by a runner that has just gone: it is asked for again for a while.
    async fn give_up(&mut self, progress: &mut Progress<'_>, ready: &[ActionId], waited: Duration) {
        let holders = progress.runtime.catalog.reader().holders(ready).await.unwrap_or_default();
        let over = waited >= progress.runtime.lock_timeout + PASSING;
        for id in ready.iter().filter(|id| over || holders.contains_key(*id)) {
            self.take_out(*id);
            let by = holders.get(id).cloned().unwrap_or_else(|| "another runner".to_owned());
            progress.settle(*id, Outcome::Claimed { by }, 0, 0).await;
        }
    }

    /// Takes actions out, all in one pass: of a group there are thousands.
    fn take_out_all(&mut self, ids: &BTreeSet<ActionId>) -> BTreeMap<ActionId, Action> {
        self.held.retain(|id| !ids.contains(id));
        self.waiting.extract_if(.., |action| ids.contains(&action.id)).map(|action| (action.id, action)).collect()
    }

    fn take_out(&mut self, id: ActionId) -> Option<Action> {
        self.held.remove(&id);
        let place = self.waiting.iter().position(|action| action.id == id)?;
        Some(self.waiting.remove(place))
    }
}
