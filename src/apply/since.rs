//! What came since a saved plan was made, for the report: whoever looks at it does so beside the work.

use std::time::Duration;

use tokio::sync::watch;

use super::runtime::Runtime;
use crate::domain::CameSince;

/// How long a run that is through with its work waits at most. Whoever looks is told when the waiting begins.
const LAST_LOOK: Duration = Duration::from_secs(20);

/// The executor's end.
#[derive(Clone)]
pub struct Looking {
    known: watch::Receiver<Option<CameSince>>,
    wanted: watch::Sender<bool>,
}

/// The end of whoever looks.
pub struct Lookout {
    tell: watch::Sender<Option<CameSince>>,
    wanted: watch::Receiver<bool>,
}

impl Looking {
    /// Makes both ends.
    #[must_use]
    pub fn new() -> (Self, Lookout) {
        let (tell, known) = watch::channel(None);
        let (want, wanted) = watch::channel(false);
        (Self { known, wanted: want }, Lookout { tell, wanted })
    }

    /// Returns what nobody looks at any more: it is known, or why not.
    #[must_use]
    pub fn over(came: CameSince) -> Self {
        Self { known: watch::channel(Some(came)).1, wanted: watch::channel(false).0 }
    }
}

impl Lookout {
    /// Resolves when everything else is done, so that the answer is waited for.
    pub async fn wanted(&self) {
        // An executor that has gone wants nothing any more.
        let _ = self.wanted.clone().wait_for(|wanted| *wanted).await;
    }

    /// Answers.
    pub fn tell(self, came: CameSince) {
        self.tell.send_replace(Some(came));
    }
}

/// Returns what came since the plan was made: waits a while for whoever looks, and not at all in a run that must stop.
pub(super) async fn came(runtime: &Runtime) -> CameSince {
    let Looking { mut known, wanted } = runtime.since.clone();
    wanted.send_replace(true);
    tokio::select! {
        biased;
        known = known.wait_for(Option::is_some) => {
            let known = known.ok().and_then(|known| known.clone());
            known.unwrap_or_else(|| CameSince::unknown("the look at it broke off at a fault of bkup's own"))
        }
        () = runtime.until_stopped() => CameSince::unknown("the run was told to stop before it had been looked at"),
        () = tokio::time::sleep(LAST_LOOK) => CameSince::unknown("it had not been looked at when everything else was done"),
    }
}
