//! Runs the binary without anything of this machine: cleared environment, own HOME and working folder, UTC, a fixed
//! width. What a test sees on one machine it sees on all.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use assert_cmd::Command;

/// A place to run the binary in, removed afterwards.
pub struct Cli {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
    stdin: Option<String>,
}

/// How a run ended and what it said.
#[must_use = "a run that nobody looks at proves nothing"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Makes a place to run the binary in: a Unicode terminal's width, but no terminal, and no colour.
pub fn cli() -> Cli {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for folder in ["home", "work"] {
        std::fs::create_dir(dir.path().join(folder)).expect("a folder");
    }
    Cli { dir, env: Vec::new(), stdin: None }
}

impl Cli {
    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.set_env(name, value);
        self
    }

    /// Sets an environment variable of a place that is in use; the last setting holds.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Sets `BKUP_NOW`.
    pub fn at(self, now: &str) -> Self {
        self.env("BKUP_NOW", now)
    }

    /// Gives the run something to read.
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.to_owned());
        self
    }

    /// Writes a file, with its folders, below the working folder.
    pub fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
        self
    }

    /// Returns a path below the working folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.work().join(name)
    }

    /// Reads a file below the working folder.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Returns the working folder.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Returns the command as it would be run, for tests that need the process itself.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("bkup"));
        command.env_clear().current_dir(self.work()).args(args);
        let home = self.dir.path().join("home");
        for (name, value) in
            [("TZ", "UTC"), ("COLUMNS", "100"), ("LANG", "C.UTF-8"), ("NO_COLOR", "1"), ("PATH", "/usr/bin:/bin")]
        {
            command.env(name, value);
        }
        command.env("HOME", &home).env("TMPDIR", self.dir.path()).envs(self.env.iter().cloned());
        command
    }

    /// Returns the folder for scratch servers, where one was set as TMPDIR.
    pub fn scratch(&self) -> PathBuf {
        let set = self.env.iter().rev().find(|(name, _)| name == "TMPDIR");
        PathBuf::from(&set.expect("TMPDIR is set").1)
    }

    /// Starts the binary, to be watched and interrupted.
    #[expect(clippy::disallowed_methods, reason = "a process that is sent a signal while it runs")]
    pub fn spawn(&self, args: &[&str]) -> Running {
        let plain = self.command(args);
        let mut command = std::process::Command::new(plain.get_program());
        command.args(plain.get_args()).env_clear().current_dir(self.work());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        Running { child, stderr, said: String::new() }
    }

    /// Runs the binary to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        if let Some(text) = &self.stdin {
            command.write_stdin(text.as_str());
        }
        let output = command.timeout(std::time::Duration::from_secs(120)).output().expect("the binary runs");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }
}

/// A run that goes on.
pub struct Running {
    child: std::process::Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Running {
    /// Waits until standard error says something.
    #[track_caller]
    pub fn wait_for(&mut self, words: &str) {
        while !self.said.contains(words) {
            let read = self.stderr.read_line(&mut self.said).expect("UTF-8");
            assert!(read > 0, "it ended without {words:?}:\n{}", self.said);
        }
    }

    /// Sends SIGINT.
    pub fn interrupt(&self) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Ran {
        self.stderr.read_to_string(&mut self.said).expect("UTF-8");
        let output = self.child.wait_with_output().expect("it ends");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: self.said,
        }
    }
}

impl Ran {
    /// Asserts success and returns standard output.
    #[track_caller]
    pub fn success(self) -> String {
        self.exits(0).stdout
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code; stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that standard error says something.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "{words:?} is not in:\n{}", self.stderr);
        self
    }

    /// Reads standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", self.stdout))
    }

    /// Replaces the temporary folder's path, for snapshots.
    pub fn without(mut self, path: &Path) -> Self {
        let path = path.display().to_string();
        self.stdout = self.stdout.replace(&path, "@WORK@");
        self.stderr = self.stderr.replace(&path, "@WORK@");
        self
    }
}
