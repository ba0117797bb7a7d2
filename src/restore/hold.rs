//! The lease on what a restore reads: pruning leaves it alone meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::catalog::{CatalogError, LEASE, Ledger, Reading, ReadingEnd, ReadingKind};
use crate::domain::{BackupId, Instant};

/// How often it is renewed: four times within one lease.
const KEEP: Duration = Duration::from_secs(15);

/// A lease that renews itself until it is ended or dropped.
pub struct Hold {
    ledger: Arc<dyn Ledger>,
    reading: Reading,
    heart: JoinHandle<()>,
    lost: watch::Receiver<bool>,
}

impl Hold {
    /// Takes it. `target` says where to the backups go, for people.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where one of them is being purged; anything else: the catalog takes no leases.
    pub async fn begin(
        ledger: Arc<dyn Ledger>,
        backups: &[BackupId],
        target: &str,
        runner: &str,
        at: Instant,
    ) -> Result<Self, CatalogError> {
        let reading = ledger.begin_reading(ReadingKind::Restore, backups, target, runner, LEASE, at).await?;
        let (sender, lost) = watch::channel(false);
        let (keeper, kept) = (Arc::clone(&ledger), reading.clone());
        let heart = tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEEP).await;
                // A catalog that does not answer for a moment has not given the lease to anybody.
                if matches!(keeper.keep_reading(&kept, LEASE).await, Ok(false)) {
                    let _ = sender.send(true);
                    return;
                }
            }
        });
        Ok(Self { ledger, reading, heart, lost })
    }

    /// Returns what turns true when it is lost.
    #[must_use]
    pub fn lost(&self) -> watch::Receiver<bool> {
        self.lost.clone()
    }

    /// Ends it. What cannot be recorded any more ends by itself with the lease.
    pub async fn end(self, end: &ReadingEnd, at: Instant) {
        self.heart.abort();
        let _ = self.ledger.end_reading(&self.reading, end, at).await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.heart.abort();
    }
}
