//! The only place that starts programs: no shell, arguments as data, secrets in the environment, stderr kept, the
//! whole process group killed and reaped when the handle is dropped.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::EngineError;

/// How much of stderr is kept: its end.
const STDERR_KEPT: usize = 64 * 1024;

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

/// A user of the system that a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl User {
    /// Returns whom servers run as: `None` means as ourselves, since PostgreSQL only refuses root. For root it is
    /// `postgres` where that user exists, else `nobody`.
    ///
    /// # Errors
    /// When bkup is root and the system has neither user.
    pub fn for_servers() -> Result<Option<Self>, EngineError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").map_err(|e| EngineError::io("reading /etc/passwd", e))?;
        Self::pick(&passwd).map(Some).ok_or_else(|| {
            EngineError::Scratch("cannot run as root, and the users postgres and nobody do not exist".to_owned())
        })
    }

    fn pick(passwd: &str) -> Option<Self> {
        ["postgres", "nobody"].into_iter().find_map(|wanted| {
            passwd.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next().filter(|name| *name == wanted)?;
                let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?;
                Some(Self { name: name.to_owned(), uid, gid: fields.next()?.parse().ok()? })
            })
        })
    }
}

/// What a program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Input {
    /// Nothing.
    #[default]
    Nothing,
    /// A pipe: [`Process::take_stdin`].
    Pipe,
}

/// Where a program's stdout goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Output {
    /// A pipe: [`Process::take_stdout`].
    #[default]
    Pipe,
    /// Nowhere.
    Nothing,
    /// Together with stderr to the end of this file: for servers, which may outlive bkup.
    Log(PathBuf),
}

/// A program to start: all of it is data, and shown without the values of its environment.
#[derive(Clone)]
pub struct Invocation {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    clean: bool,
    cwd: Option<PathBuf>,
    input: Input,
    output: Output,
    user: Option<User>,
    stderr_kept: usize,
}

impl Invocation {
    /// Names the program; a name without a slash is looked up in PATH by the system.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            clean: false,
            cwd: None,
            input: Input::Nothing,
            output: Output::Pipe,
            user: None,
            stderr_kept: STDERR_KEPT,
        }
    }

    /// Adds one argument. Arguments are visible to every user of the machine: never a secret.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; the value is never shown.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets environment variables.
    #[must_use]
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(mut self, envs: impl IntoIterator<Item = (N, V)>) -> Self {
        self.env.extend(envs.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Starts it with the given variables alone. Otherwise bkup's own environment is handed on, without libpq's.
    #[must_use]
    pub const fn clean_env(mut self) -> Self {
        self.clean = true;
        self
    }

    /// Sets the folder it starts in.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Sets what it reads.
    #[must_use]
    pub const fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// Sets where its stdout goes.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Sets whom it runs as; `None`: as bkup itself.
    #[must_use]
    pub fn run_as(mut self, user: Option<User>) -> Self {
        self.user = user;
        self
    }

    /// Sets how many bytes of the end of stderr are kept.
    #[must_use]
    pub const fn keep_stderr(mut self, bytes: usize) -> Self {
        self.stderr_kept = bytes;
        self
    }

    /// Returns the arguments, for people and tests.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        self.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    /// Returns the program's own name.
    #[must_use]
    pub fn name(&self) -> String {
        self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy().into_owned()
    }

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
        match &self.output {
            Output::Pipe => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
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
        Ok(Process { name: self.name(), child, group: id, stderr })
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

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Invocation")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &names)
            .field("cwd", &self.cwd)
            .field("user", &self.user.as_ref().map(|user| &user.name))
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.display())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", shown(arg)))
    }
}

/// Quotes an argument for people where it needs it.
fn shown(arg: &OsStr) -> String {
    let text = arg.to_string_lossy();
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=./:,+@%".contains(&b));
    if plain { text.into_owned() } else { format!("'{}'", text.replace('\'', "'\\''").escape_debug()) }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that starts programs")]
fn command(program: &Path) -> tokio::process::Command {
    tokio::process::Command::new(program)
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
    use super::{Invocation, Tail, User};

    #[test]
    fn the_environment_is_shown_by_name_only() {
        let invocation = Invocation::new("/bin/x").arg("a b").env("PGPASSWORD", "geheim");
        let shown = format!("{invocation:?} {invocation}");
        assert!(shown.contains("PGPASSWORD") && shown.contains("'a b'") && !shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn servers_run_as_postgres_or_nobody_and_never_as_root() {
        let passwd = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65533:n:/:/x\n";
        let nobody = User::pick(passwd).expect("nobody");
        assert_eq!((nobody.uid, nobody.gid), (65534, 65533));
        let both = format!("{passwd}postgres:x:101:104:a,b:/v:/bin/bash\n");
        assert_eq!(User::pick(&both).expect("postgres").uid, 101);
        assert_eq!(User::pick("postgres:x:0:0::/:/bin/sh\n"), None);
    }

    #[test]
    fn only_the_end_of_stderr_is_kept() {
        let mut tail = Tail::new(5);
        tail.push(b"abcdef");
        tail.push(b"gh");
        assert_eq!(tail.text(), "defgh");
    }
}
