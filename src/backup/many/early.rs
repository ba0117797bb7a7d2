//! A pass that is begun before it is known whether all of it is wanted. `pg_dump` reads the server's catalog for a while,
//! on one core, before anything comes; meanwhile keys are written, or the manifests of the pass before.

use std::sync::{Mutex, PoisonError};

use super::Run;
use crate::backup::Passing;

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

    /// Returns what was begun early if it is this pass. What nobody wants of it after all is dropped, and its program with
    /// it.
    pub(super) fn foreseen(&mut self, wanted: &[usize]) -> Option<Passing> {
        let early = self.early.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        early.filter(|early| early.wanted == wanted).map(|early| early.passing)
    }
}
