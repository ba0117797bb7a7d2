//! What becomes of the members of a pass that failed: who is in the way is taken apart, and the others go on.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{BLIND, Broke, MemberEnd, Run};
use crate::backup::BackupError;
use crate::engine::EngineError;

impl Run<'_> {
    /// Tells of many that ended alike, at the same time, so that the catalog is told of them together.
    pub(super) async fn tell_all(&self, places: Vec<usize>, end: impl Fn() -> MemberEnd) {
        let _all = join_all(places.into_iter().map(|place| self.tell(place, end()))).await;
    }

    pub(super) async fn fail_all(&self, places: Vec<usize>, error: EngineError) {
        let error = Arc::new(error);
        self.tell_all(places, || MemberEnd::Failed(BackupError::Pass(Arc::clone(&error)))).await;
    }

    /// Finds out who is in the way of a pass that failed, and goes on without.
    pub(super) async fn recover(&mut self, wanted: Vec<usize>, broke: Broke) -> Vec<Vec<usize>> {
        let Broke { error, at, touched } = broke;
        if matches!(error, BackupError::Fenced) {
            // Whose lease is lost leaves; to the others nothing has come.
            return vec![wanted];
        }
        let BackupError::Engine(error) = error else {
            let error = Arc::new(error);
            self.tell_all(wanted, || MemberEnd::Again(BackupError::Shared(Arc::clone(&error)))).await;
            return Vec::new();
        };
        let suspects = match self.source.suspects().await {
            Ok(suspects) => suspects,
            // Who cannot be asked is gone, and so is the instant.
            Err(_) => {
                self.fail_all(wanted, error).await;
                return Vec::new();
            }
        };
        let error = Arc::new(error);
        let suspicious = |place: &usize| {
            let work = &self.members[*place].order.work;
            at == Some(*place)
                || match &work.tenant {
                    Some(tenant) => suspects.contains(&tenant.schema),
                    None => suspects.iter().any(|schema| !work.leave_out.contains(schema)),
                }
        };
        // What is shared is suspected last: without it nobody goes on, and changes of tenants leave traces in it.
        let tenants_are = wanted.iter().any(|place| !self.shared(*place) && suspicious(place));
        let out = |place: &usize| suspicious(place) && !(tenants_are && self.shared(*place));
        let (apart, rest): (Vec<usize>, Vec<usize>) = wanted.into_iter().partition(out);
        if apart.is_empty() {
            return self.halve(rest, &touched, &error).await;
        }
        self.tell_all(apart, || MemberEnd::Apart(error.to_string())).await;
        self.go_on(rest, &touched, &error).await.into_iter().collect()
    }

    /// Nobody is known to be in the way: the halves are tried, down to one, whose failure it is then.
    async fn halve(&mut self, mut rest: Vec<usize>, touched: &[usize], error: &Arc<EngineError>) -> Vec<Vec<usize>> {
        self.blind += 1;
        let blind = self.blind > BLIND || !matches!(**error, EngineError::Program { .. } | EngineError::Locks(_));
        if blind || rest.len() == 1 {
            self.tell_all(rest, || MemberEnd::Failed(BackupError::Pass(Arc::clone(error)))).await;
            return Vec::new();
        }
        let second = rest.split_off(rest.len() / 2);
        let mut passes = Vec::new();
        for half in [rest, second] {
            passes.extend(self.go_on(half, touched, error).await);
        }
        passes
    }

    /// Lets those go on that have left nothing in the store; the others need another attempt.
    async fn go_on(&self, rest: Vec<usize>, touched: &[usize], error: &Arc<EngineError>) -> Option<Vec<usize>> {
        let (again, rest): (Vec<usize>, Vec<usize>) = rest.into_iter().partition(|place| touched.contains(place));
        self.tell_all(again, || MemberEnd::Again(BackupError::Pass(Arc::clone(error)))).await;
        (!rest.is_empty()).then_some(rest)
    }
}
