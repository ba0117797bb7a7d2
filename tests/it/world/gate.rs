//! A numbered list of effects: whatever changes the world outside passes here, one after the other, under the number it
//! has in the list. A test watches it, loses the reply of one, or keeps one from happening.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

/// What happens at the gate.
#[derive(Default)]
pub enum Mode {
    /// Everything passes.
    #[default]
    Open,
    /// Every effect is told of before and after, and waits each time until it may go on.
    Watched(mpsc::UnboundedSender<Reached>),
    /// The effect of this number, from 1, happens, and its connection breaks off before the reply.
    LosesReply(usize),
    /// The connection of the effect of this number breaks off before it happens.
    Breaks(usize),
}

/// An effect that is about to happen, or just has.
pub struct Reached {
    /// What it is.
    pub label: String,
    /// Whether it has happened.
    pub happened: bool,
    /// Lets it go on.
    pub go_on: oneshot::Sender<()>,
}

/// The gate.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    mode: Mode,
    count: usize,
}

/// An effect on its way.
#[must_use = "an effect whose end nobody tells of stops the next one"]
pub struct Passage {
    gate: Arc<Gate>,
    label: String,
    number: usize,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Gate {
    /// Sets what happens from now on, and begins to count anew.
    pub fn set(&self, mode: Mode) {
        *self.lock() = State { mode, count: 0 };
    }

    /// Returns how many effects have passed since it was set.
    pub fn count(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an effect in; `None`: its connection breaks off instead.
    pub async fn enter(self: &Arc<Self>, label: &str) -> Option<Passage> {
        let watched = matches!(self.lock().mode, Mode::Watched(_));
        let turn = if watched { Some(Arc::clone(&self.turn).lock_owned().await) } else { None };
        let number = {
            let mut state = self.lock();
            state.count += 1;
            let number = state.count;
            if matches!(state.mode, Mode::Breaks(at) if at == number) {
                return None;
            }
            number
        };
        let passage = Passage { gate: Arc::clone(self), label: label.to_owned(), number, _turn: turn };
        passage.tell(false).await;
        Some(passage)
    }
}

impl Passage {
    /// Says that the effect has happened. True: its reply is lost.
    pub async fn leave(self) -> bool {
        self.tell(true).await;
        matches!(self.gate.lock().mode, Mode::LosesReply(at) if at == self.number)
    }

    async fn tell(&self, happened: bool) {
        let (go_on, gone_on) = oneshot::channel();
        let told = match &self.gate.lock().mode {
            Mode::Watched(watcher) => watcher.send(Reached { label: self.label.clone(), happened, go_on }).is_ok(),
            _ => false,
        };
        if told {
            // A watcher that is gone watches no more.
            let _ = gone_on.await;
        }
    }
}
