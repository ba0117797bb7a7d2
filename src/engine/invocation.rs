//! A program to start, as data: what it is, its arguments, its environment. Pure; [`super::process`] starts it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use super::User;

/// How much of stderr is kept: its end.
const STDERR_KEPT: usize = 64 * 1024;

/// What a program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Input {
    /// Nothing.
    #[default]
    Nothing,
    /// A pipe: [`super::Process::take_stdin`].
    Pipe,
}

/// Where a program's stdout goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Output {
    /// A pipe: [`super::Process::take_stdout`].
    #[default]
    Pipe,
    /// A wide pipe for a thread that reads gigabytes: [`super::Process::take_stream`].
    Stream,
    /// Nowhere.
    Nothing,
    /// Together with stderr to the end of this file: for servers, which may outlive bkup.
    Log(PathBuf),
}

/// A program to start: all of it is data, and shown without the values of its environment.
#[derive(Clone)]
pub struct Invocation {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) clean: bool,
    pub(super) cwd: Option<PathBuf>,
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) user: Option<User>,
    pub(super) stderr_kept: usize,
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

#[cfg(test)]
mod tests {
    use super::Invocation;

    #[test]
    fn the_environment_is_shown_by_name_only() {
        let invocation = Invocation::new("/bin/x").arg("a b").env("PGPASSWORD", "geheim");
        let shown = format!("{invocation:?} {invocation}");
        assert!(shown.contains("PGPASSWORD") && shown.contains("'a b'") && !shown.contains("geheim"), "{shown}");
    }
}
