//! What is proven of a set of policies before anything is merged: whether it *can* keep what it promises, with the
//! counter-example where it cannot. One file per proof. Pure: the instant from which calendars are walked and what was
//! measured are parameters.

mod alarm;
mod classes;
mod clocks;
mod crowd;
mod ended;
mod files;
mod measured;
mod plans;
mod reach;
mod rpo;
mod rto;
mod rules;
mod secrecy;
mod standby;
mod steps;
mod view;
mod windows;
mod witness;
mod words;

use std::collections::BTreeMap;

use crate::diag::Diagnostic;
use crate::domain::{Instant, Name};

use super::decode::Context;
use super::set::PolicySet;

pub use measured::{Measured, changed_plans};

/// What a proof may count on, beside the policies.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The instant from which calendars are walked; a witness is the first one after it.
    pub now: Instant,
    /// What a catalog has measured; absent offline.
    pub measured: Option<Measured>,
    /// When each recovery plan was changed after what was applied, its approval aside; empty offline.
    pub changed: BTreeMap<Name, Instant>,
}

impl Facts {
    /// What is known without a catalog and a history: the instant.
    #[must_use]
    pub const fn at(now: Instant) -> Self {
        Self { now, measured: None, changed: BTreeMap::new() }
    }
}

impl PolicySet {
    /// Proves what the set promises, or finds where it cannot be kept. Meaningful for a set that was read without
    /// errors; findings come in the order of the files and of the places in them.
    #[must_use]
    pub fn prove(&self, facts: &Facts) -> Vec<Diagnostic> {
        let mut cx = Context::new(&self.sources);
        prove(self, facts, &mut cx);
        let mut found = cx.found;
        found.sort_by_cached_key(|finding| finding.span.as_ref().map(|s| (s.file.clone(), s.begin, finding.code)));
        found
    }
}

/// Runs every proof.
fn prove(set: &PolicySet, facts: &Facts, cx: &mut Context<'_>) {
    let mut view = view::View::new(set, facts);
    rpo::prove(&mut view, cx);
    files::prove(&mut view, cx);
    rto::prove(&view, cx);
    classes::prove(set, cx);
    standby::prove(set, cx);
    clocks::prove(&mut view, cx);
    crowd::prove(&mut view, cx);
    alarm::prove(&mut view, cx);
    windows::prove(&mut view, cx);
    rules::prove(&mut view, cx);
    plans::prove(&mut view, cx);
    steps::prove(&mut view, cx);
    secrecy::prove(set, cx);
    ended::prove(set, facts, cx);
}
