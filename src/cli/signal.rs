//! SIGINT and SIGTERM: the first asks running work to stop, write its report and release its leases; the second ends
//! the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::exit::{Exit, at_once};

/// Whether work should stop, and because of which signal.
#[derive(Clone)]
pub(super) struct Stop {
    sender: Arc<watch::Sender<bool>>,
    code: Arc<AtomicU8>,
}

impl Stop {
    pub(super) fn new() -> Self {
        Self { sender: Arc::new(watch::Sender::new(false)), code: Arc::new(AtomicU8::new(0)) }
    }

    /// Returns the end that work watches.
    pub(super) fn receiver(&self) -> watch::Receiver<bool> {
        self.sender.subscribe()
    }

    /// Returns the exit code of the signal that came, if one did.
    pub(super) fn exit(&self) -> Option<Exit> {
        [Exit::Interrupted, Exit::Terminated].into_iter().find(|exit| exit.code() == self.code.load(Ordering::Acquire))
    }

    /// Takes the signals over from now on.
    pub(super) fn listen(&self, runtime: &tokio::runtime::Runtime) -> std::io::Result<()> {
        let _guard = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = self.clone();
        runtime.spawn(async move {
            let first = next(&mut interrupt, &mut terminate).await;
            stop.code.store(first.code(), Ordering::Release);
            stop.sender.send_replace(true);
            at_once(next(&mut interrupt, &mut terminate).await)
        });
        Ok(())
    }
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> Exit {
    tokio::select! {
        _ = interrupt.recv() => Exit::Interrupted,
        _ = terminate.recv() => Exit::Terminated,
    }
}

#[cfg(test)]
mod tests {
    use super::Stop;
    use crate::cli::exit::Exit;

    #[test]
    fn the_first_signal_asks_to_stop_and_is_remembered() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stop = Stop::new();
        stop.listen(&runtime).unwrap();
        let mut receiver = stop.receiver();
        assert!(!*receiver.borrow());
        assert_eq!(stop.exit(), None);
        let pid = std::process::id().to_string();
        assert_cmd::Command::new("kill").args(["-TERM", &pid]).assert().success();
        runtime.block_on(async { receiver.wait_for(|stop| *stop).await.map(drop) }).unwrap();
        assert_eq!(stop.exit(), Some(Exit::Terminated));
    }
}
