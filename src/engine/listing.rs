//! `pg_restore --list` over a stream: whether the program that restores can read an archive's table of contents.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;

use super::process::Process;
use super::task::{self, Task};
use super::{EngineError, Input, Invocation, Output, Program, Programs};

/// The most of a listing that is read: some million entries.
const LONGEST: u64 = 512 << 20;

/// A program at work.
pub struct Listing {
    process: Process,
    stdin: Option<ChildStdin>,
    lines: Task<Result<u64, EngineError>>,
}

/// Starts the program. To be called inside the runtime.
///
/// # Errors
/// [`EngineError::Start`].
pub fn list_archive(programs: &Programs) -> Result<Listing, EngineError> {
    let invocation = Invocation::new(programs.path(Program::PgRestore))
        .args(["--list", "--format=custom"])
        .input(Input::Pipe)
        .output(Output::Pipe);
    let mut process = invocation.spawn()?;
    let broken = || EngineError::io("listing an archive", std::io::ErrorKind::BrokenPipe.into());
    let stdin = process.take_stdin().ok_or_else(broken)?;
    let stdout = process.take_stdout().ok_or_else(broken)?;
    let lines = task::spawn(async move { count(stdout).await });
    Ok(Listing { process, stdin: Some(stdin), lines })
}

/// Counts the lines that are no comments.
async fn count(stdout: impl tokio::io::AsyncRead + Unpin) -> Result<u64, EngineError> {
    let mut stdout = stdout.take(LONGEST);
    let mut buffer = vec![0; 64 * 1024];
    let (mut entries, mut begins) = (0, true);
    loop {
        let read = stdout.read(&mut buffer).await.map_err(|e| EngineError::io("reading pg_restore", e))?;
        if read == 0 {
            return Ok(entries);
        }
        for byte in &buffer[..read] {
            entries += u64::from(begins && byte.is_ascii_digit());
            begins = *byte == b'\n';
        }
    }
}

impl Listing {
    /// Gives it the next bytes of the archive; returns whether it wants more.
    pub async fn feed(&mut self, bytes: &[u8]) -> bool {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(bytes).await.is_ok(),
            None => false,
        }
    }

    /// Waits for its end, and returns how many entries it listed.
    ///
    /// # Errors
    /// [`EngineError::Program`].
    pub async fn finish(mut self) -> Result<u64, EngineError> {
        drop(self.stdin.take());
        let entries = self.lines.join().await?;
        self.process.wait().await?.success()?;
        Ok(entries)
    }
}
