//! `pg_restore --list` over a stream: whether the program that restores can read an archive's table of contents.

use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

use super::process::Process;
use super::{EngineError, Input, Invocation, Output, Program, Programs};

/// A program at work. Dropping it ends it.
pub struct Listing {
    process: Process,
    stdin: Option<ChildStdin>,
}

/// Starts the program. To be called inside the runtime.
///
/// # Errors
/// [`EngineError::Start`].
pub fn list_archive(programs: &Programs) -> Result<Listing, EngineError> {
    let invocation = Invocation::new(programs.path(Program::PgRestore))
        .args(["--list", "--format=custom"])
        .input(Input::Pipe)
        .output(Output::Nothing);
    let mut process = invocation.spawn()?;
    let stdin = process.take_stdin();
    Ok(Listing { process, stdin })
}

impl Listing {
    /// Gives it the next bytes of the archive; returns whether it wants more: it stops behind the table of contents.
    pub async fn feed(&mut self, bytes: &[u8]) -> bool {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(bytes).await.is_ok(),
            None => false,
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`EngineError::Program`] where it made no sense of the archive.
    pub async fn finish(mut self) -> Result<(), EngineError> {
        drop(self.stdin.take());
        self.process.wait().await?.success()?;
        Ok(())
    }
}
