//! The only place that starts programs: no shell, arguments as data, secrets in the environment, stderr kept, the
//! whole process group killed and reaped when the handle is dropped.

use std::collections::VecDeque;
use std::io::PipeReader;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::{EngineError, Input, Invocation, Output};

/// libpq reads these; what the shell of the operator holds in them must not change what a backup is of.
const LIBPQ: [&str; 33] = [
    "PGAPPNAME",
    "PGCHANNELBINDING",
    "PGCLIENTENCODING",
    "PGCONNECT_TIMEOUT",
    "PGDATABASE",
    "PGDATESTYLE",
    "PGGEQO",
    "PGGSSDELEGATION",
    "PGGSSENCMODE",
    "PGGSSLIB",
    "PGHOST",
    "PGHOSTADDR",
    "PGKRBSRVNAME",
    "PGLOADBALANCEHOSTS",
    "PGLOCALEDIR",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLCERT",
    "PGSSLCRL",
    "PGSSLKEY",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSYSCONFDIR",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
    "PGUSER",
];

/// The largest pipe that Linux gives to an unprivileged user.
#[cfg(target_os = "linux")]
const WIDE_PIPE: usize = 1024 * 1024;

impl Invocation {
    /// Starts it.
    ///
    /// # Errors
    /// [`EngineError::Start`] when the system refuses.
    pub fn spawn(&self) -> Result<Process, EngineError> {
        let start = |reason: String| EngineError::Start { program: self.program.display().to_string(), reason };
        let mut command = command(&self.program);
        if self.clean {
            command.env_clear();
        } else {
            LIBPQ.iter().for_each(|name| {
                command.env_remove(name);
            });
        }
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(if self.input == Input::Pipe { Stdio::piped() } else { Stdio::null() });
        let mut stream = None;
        match &self.output {
            Output::Pipe => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
            Output::Stream => {
                let (reader, writer) = wide_pipe().map_err(|e| EngineError::io("making a pipe", e))?;
                stream = Some(reader);
                command.stdout(Stdio::from(writer)).stderr(Stdio::piped())
            }
            Output::Nothing => command.stdout(Stdio::null()).stderr(Stdio::piped()),
            Output::Log(path) => {
                let log = std::fs::OpenOptions::new().append(true).create(true).open(path);
                let log = log.map_err(|e| EngineError::io(format!("opening {}", path.display()), e))?;
                let second = log.try_clone().map_err(|e| EngineError::io("doubling a file handle", e))?;
                command.stdout(Stdio::from(log)).stderr(Stdio::from(second))
            }
        };
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        // An own group, so that its children die with it and the terminal's Ctrl-C reaches bkup alone.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| start(reason_of(&error, &self.program)))?;
        let stderr = child.stderr.take().map(|mut pipe| {
            let kept = Arc::new(Mutex::new(Tail::new(self.stderr_kept)));
            let into = Arc::clone(&kept);
            let reader = tokio::spawn(async move {
                let mut buffer = vec![0; 8192];
                while let Ok(count) = pipe.read(&mut buffer).await {
                    if count == 0 {
                        break;
                    }
                    into.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..count]);
                }
            });
            (kept, reader)
        });
        let id = child.id();
        Ok(Process { name: self.name(), child, group: id, stream, stderr })
    }

    /// Runs it to its end and returns its stdout.
    ///
    /// # Errors
    /// [`EngineError::Start`], or [`EngineError::Program`] when it does not exit with 0.
    pub async fn run(&self) -> Result<Vec<u8>, EngineError> {
        let mut process = self.spawn()?;
        let mut out = Vec::new();
        if let Some(mut stdout) = process.take_stdout() {
            stdout.read_to_end(&mut out).await.map_err(|e| EngineError::io(format!("reading {}", self.name()), e))?;
        }
        process.wait().await?.success()?;
        Ok(out)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that starts programs")]
fn command(program: &Path) -> tokio::process::Command {
    tokio::process::Command::new(program)
}

/// Makes a pipe as large as an unprivileged user may have it, where the system can: a stream of gigabytes through 64 KiB
/// wakes both sides for each of them. Never to be given to the runtime: Linux wakes whoever polls a pipe at every write
/// to it, and `pg_dump` writes 4 KiB at a time.
fn wide_pipe() -> std::io::Result<(PipeReader, std::io::PipeWriter)> {
    let (reader, writer) = std::io::pipe()?;
    #[cfg(target_os = "linux")]
    let _stays_as_it_was = rustix::pipe::fcntl_setpipe_size(&reader, WIDE_PIPE);
    Ok((reader, writer))
}

fn reason_of(error: &std::io::Error, program: &Path) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound if program.is_file() => {
            "what it needs (its interpreter, or the folder it starts in) was not found".to_owned()
        }
        std::io::ErrorKind::NotFound => "it was not found".to_owned(),
        std::io::ErrorKind::PermissionDenied => "it may not be executed by this user".to_owned(),
        std::io::ErrorKind::ArgumentListTooLong => "the list of arguments is too long for the system".to_owned(),
        _ => error.to_string(),
    }
}

/// The end of a text, bounded.
#[derive(Debug)]
struct Tail {
    bytes: VecDeque<u8>,
    limit: usize,
}

impl Tail {
    const fn new(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), limit }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let over = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..over);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.iter().copied().collect::<Vec<u8>>()).into_owned()
    }
}

type Stderr = (Arc<Mutex<Tail>>, tokio::task::JoinHandle<()>);

/// A running program. Dropping it kills its whole process group and reaps it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    group: Option<u32>,
    stream: Option<PipeReader>,
    stderr: Option<Stderr>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// The program's name.
    pub program: String,
    /// Its status.
    pub status: ExitStatus,
    /// The end of what it wrote to stderr.
    pub stderr: String,
}

impl Ended {
    /// Accepts exit code 0 alone.
    ///
    /// # Errors
    /// [`EngineError::Program`] with the last lines of stderr.
    pub fn success(self) -> Result<Self, EngineError> {
        if self.status.success() { Ok(self) } else { Err(self.failure()) }
    }

    /// Returns the end as a failure, whatever its code.
    #[must_use]
    pub fn failure(self) -> EngineError {
        let how = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "ended in an unknown way".to_owned(),
        };
        let lines: Vec<&str> = self.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(12)..].join("\n");
        EngineError::Program { program: self.program, how, stderr: last }
    }
}

impl Process {
    /// Returns the process id while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Takes the pipe it reads from.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Takes the pipe it writes to.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Returns what is kept of stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        let kept = self.stderr.as_ref().map(|(kept, _)| kept.lock().unwrap_or_else(PoisonError::into_inner).text());
        kept.unwrap_or_default()
    }

    /// Takes the wide pipe it writes to. It ends when the program does, or is killed by dropping this handle.
    pub const fn take_stream(&mut self) -> Option<PipeReader> {
        self.stream.take()
    }

    /// Sends a signal to the program itself.
    pub fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = self.child.id().and_then(pid_of) {
            let _gone = rustix::process::kill_process(pid, signal);
        }
    }

    /// Returns whether it has ended, without waiting.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the system cannot say how it ended.
    pub async fn wait(mut self) -> Result<Ended, EngineError> {
        drop(self.child.stdin.take());
        let status = self.child.wait().await.map_err(|e| EngineError::io(format!("waiting for {}", self.name), e))?;
        self.group = None;
        if let Some((_, reader)) = &mut self.stderr {
            // A grandchild may hold the pipe open; what is there by then is enough.
            let _late = tokio::time::timeout(Duration::from_secs(2), reader).await;
        }
        Ok(Ended { program: self.name.clone(), status, stderr: self.stderr() })
    }

    /// Lets it live on after bkup; nothing kills it any more.
    pub fn release(mut self) {
        self.group = None;
        // Forgetting the handle is what keeps `kill_on_drop` from acting; the process is init's to reap.
        std::mem::forget(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(group) = self.group.take() else { return };
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Some(pid) = pid_of(group) {
            let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
        // SIGKILL acts within milliseconds; the runtime reaps what this short wait does not.
        for _ in 0..50 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn pid_of(id: u32) -> Option<rustix::process::Pid> {
    i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::Tail;

    #[test]
    fn only_the_end_of_stderr_is_kept() {
        let mut tail = Tail::new(5);
        tail.push(b"abcdef");
        tail.push(b"gh");
        assert_eq!(tail.text(), "defgh");
    }
}
