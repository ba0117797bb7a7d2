//! A pass that is begun before it is known whether all of it is wanted. `pg_dump` reads the server's catalog for a while,
//! on one core, before anything comes; meanwhile keys are written, or the manifests of the pass before.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Run;
use crate::backup::Passing;

/// How long it may stand still: less than a dump waits for a lock, so that one that waits in vain is still watched then.
const HOLD: Duration = Duration::from_secs(20);

/// Such a pass.
pub(super) struct Early {
    wanted: Vec<usize>,
    passing: Passing,
}

impl Run<'_> {
    /// Begins a pass as it is. One that cannot begin is met again.
    pub(super) fn foresee(&mut self, wanted: Option<Vec<usize>>) {
        let begun = wanted.and_then(|wanted| Some((self.begin(&wanted).ok()?, wanted)));
        self.early = Mutex::new(begun.map(|(passing, wanted)| Early { wanted, passing }));
    }

    /// Waits for manifests to be written. A store that takes long must not make migrations wait for what was begun early,
    /// whose tables are locked and whose rows nobody takes: it is dropped, and begun again in its turn.
    pub(super) async fn not_for_long(&self, written: impl Future<Output = ()>) {
        let mut written = pin!(written);
        tokio::select! {
            () = &mut written => return,
            () = tokio::time::sleep(HOLD) => {}
        }
        drop(self.early.lock().unwrap_or_else(PoisonError::into_inner).take());
        written.await;
    }

    /// Returns what was begun early if it is this pass. What nobody wants of it after all is dropped, and its program with
    /// it.
    pub(super) fn foreseen(&mut self, wanted: &[usize]) -> Option<Passing> {
        let early = self.early.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        early.filter(|early| early.wanted == wanted).map(|early| early.passing)
    }
}
