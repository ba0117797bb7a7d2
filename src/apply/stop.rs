//! Whether a run must stop, and why: a signal to the process, or a word in the catalog.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The one place that a run asks whether to go on.
#[derive(Clone)]
pub(super) struct Halt {
    sender: Arc<watch::Sender<bool>>,
    why: Arc<Mutex<Option<String>>>,
}

/// Passes a signal on for as long as it lives.
pub(super) struct Forward(JoinHandle<()>);

impl Drop for Forward {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Halt {
    /// Makes one that stops when `stop` says so, too.
    pub(super) fn over(mut stop: watch::Receiver<bool>) -> (Self, Forward) {
        let now = *stop.borrow();
        let halt = Self { sender: Arc::new(watch::Sender::new(now)), why: Arc::default() };
        let sender = Arc::clone(&halt.sender);
        let forward = tokio::spawn(async move {
            // A sender that is gone never stops the run.
            if stop.wait_for(|stopped| *stopped).await.is_ok() {
                sender.send_replace(true);
            }
        });
        (halt, Forward(forward))
    }

    /// Returns the end that work watches.
    pub(super) fn receiver(&self) -> watch::Receiver<bool> {
        self.sender.subscribe()
    }

    /// Stops the run. The first reason counts.
    pub(super) fn stop(&self, why: String) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.sender.send_replace(true);
    }

    /// Returns why the run was stopped, where that was said.
    pub(super) fn why(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::Halt;

    #[tokio::test]
    async fn a_signal_and_a_word_both_stop_and_only_the_word_says_why() {
        let signal = watch::Sender::new(false);
        let (halt, _forward) = Halt::over(signal.subscribe());
        let mut watched = halt.receiver();
        assert!(!*watched.borrow());
        signal.send_replace(true);
        watched.wait_for(|stopped| *stopped).await.map(drop).unwrap();
        assert_eq!(halt.why(), None);
        halt.stop("canceled by ann".to_owned());
        halt.stop("canceled by bob".to_owned());
        assert_eq!(halt.why().as_deref(), Some("canceled by ann"));
    }
}
