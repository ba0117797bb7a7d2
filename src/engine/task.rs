//! Tasks that end with their handle, so that nothing goes on behind the back of a caller that gave up.

use tokio::task::JoinHandle;

use super::EngineError;

/// The handle of a task. Dropping it aborts the task, which drops what the task holds: programs are killed.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<T>);

/// Starts a task.
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task(tokio::spawn(work))
}

impl<T> Task<Result<T, EngineError>> {
    /// Waits for the task.
    ///
    /// # Errors
    /// Its own, or that it ended by itself.
    pub async fn join(mut self) -> Result<T, EngineError> {
        let ended = (&mut self.0).await;
        ended.map_err(|e| EngineError::io("waiting for a task", std::io::Error::other(e.to_string())))?
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
