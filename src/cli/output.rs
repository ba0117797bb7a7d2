//! Where text goes: standard output and error, or a buffer in tests. A reader that went away (`| head`) ends output
//! quietly and never the work: an apply must not stop because nobody watches it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// A shared sink for text.
#[derive(Clone)]
pub struct Output(Arc<Mutex<Sink>>);

struct Sink {
    writer: Box<dyn Write + Send>,
    /// Set after the first failure; nothing is written from then on.
    failed: Option<io::Error>,
}

impl Output {
    /// Writes to a writer.
    #[must_use]
    pub fn new(writer: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(Sink { writer, failed: None })))
    }

    /// Writes text and passes it on at once.
    pub fn write(&self, text: &str) {
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sink.failed.is_none()
            && let Err(error) = sink.writer.write_all(text.as_bytes()).and_then(|()| sink.writer.flush())
        {
            sink.failed = Some(error);
        }
    }

    /// Returns why text was lost, where that was not a reader that went away.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sink.failed.as_ref().filter(|error| error.kind() != io::ErrorKind::BrokenPipe).map(super::failure::reason)
    }
}
