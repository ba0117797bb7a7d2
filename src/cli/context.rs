//! The one reader of clock, environment, randomness and terminal facts. Everything else gets them from here.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::args::{Colour, GlobalArgs};
use super::exit::Exit;
use super::failure::CliError;
use super::output::Output;
use super::signal::Stop;
use super::ui::Ui;
use crate::domain::Instant;
use crate::render::Style;

/// Looks an environment variable up; one that is not UTF-8 counts as absent.
pub type EnvLookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the terminal is.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Whether someone can type.
    pub stdin: bool,
    /// Whether standard output is seen.
    pub stdout: bool,
    /// Whether standard error is seen.
    pub stderr: bool,
    /// Columns.
    pub width: usize,
    /// Whether the locale is UTF-8.
    pub utf8: bool,
}

/// Everything a command may know of the machine it runs on.
pub struct Context {
    /// The clock, read once at the begin. A plan and its apply speak of one instant.
    pub now: Instant,
    /// `BKUP_NOW`. Only a simulated catalog may be given it; see [`Context::simulated_now`].
    pub simulated_now: Option<Instant>,
    /// The working folder.
    pub cwd: PathBuf,
    /// What the terminal is.
    pub terminal: Terminal,
    /// The options of every command.
    pub global: GlobalArgs,
    /// Printing and asking.
    pub ui: Ui,
    env: EnvLookup,
    stop: Stop,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Context {
    /// Reads the process's clock, environment and terminal.
    ///
    /// # Errors
    /// Where `BKUP_NOW` is no instant.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock and the environment")]
    pub fn of_process(global: GlobalArgs) -> Result<Self, CliError> {
        let env: EnvLookup = Arc::new(|name| std::env::var(name).ok());
        let terminal = terminal(&env);
        let ui = Ui::new(
            Output::new(Box::new(std::io::stdout())),
            Output::new(Box::new(std::io::stderr())),
            Box::new(std::io::BufReader::new(std::io::stdin())),
            style(global.color, terminal.stdout, terminal, &env),
            style(global.color, terminal.stderr, terminal, &env),
            &global,
            terminal,
        );
        Ok(Self {
            now: Instant::now(),
            simulated_now: simulated_now(&env)?,
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            terminal,
            global,
            ui,
            env,
            stop: Stop::new(),
            runtime: None,
        })
    }

    /// Returns the instant for what only looks at calendars: `BKUP_NOW` where it is set, else the clock's.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.simulated_now.unwrap_or(self.now)
    }

    /// Returns an environment variable; an empty one counts as absent.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// Returns whether standard error is a plain file, so that nobody reads it while it is written.
    #[must_use]
    pub fn err_is_file(&self) -> bool {
        std::fs::metadata("/dev/stderr").is_ok_and(|kind| kind.is_file())
    }

    /// Returns the lookup itself, for the modules that resolve `${NAME}` where they use it.
    #[must_use]
    pub fn env_lookup(&self) -> EnvLookup {
        Arc::clone(&self.env)
    }

    /// Returns the folders in which PostgreSQL's programs are looked for first: the options, or else `BKUP_PG_BIN`.
    #[must_use]
    pub fn pg_bin(&self) -> Vec<PathBuf> {
        let named = || self.env("BKUP_PG_BIN").map(|list| std::env::split_paths(&list).collect()).unwrap_or_default();
        let folders: Vec<PathBuf> = if self.global.pg_bin.is_empty() { named() } else { self.global.pg_bin.clone() };
        folders
            .into_iter()
            .filter(|folder| !folder.as_os_str().is_empty())
            .map(|folder| self.cwd.join(folder))
            .collect()
    }

    /// Reads the clock again: for reports of work that takes its time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn clock() -> Instant {
        Instant::now()
    }

    /// Returns random bits, for run ids.
    ///
    /// # Errors
    /// Where the system has none.
    pub fn random() -> Result<u64, CliError> {
        let mut bytes = [0; 8];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| CliError::NoRuntime("the system has no randomness".to_owned()))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Returns what tells long work to stop: true after SIGINT or SIGTERM.
    #[must_use]
    pub fn stop(&self) -> tokio::sync::watch::Receiver<bool> {
        self.stop.receiver()
    }

    /// Returns the exit code of the signal that came, if one did.
    #[must_use]
    pub fn stopped_by(&self) -> Option<Exit> {
        self.stop.exit()
    }

    /// Runs asynchronous work. The runtime and the signal handlers are made at the first call, so that commands that
    /// need none start fast and die by signals as every program does.
    ///
    /// # Errors
    /// Where the system refuses threads or handlers.
    pub fn block_on<F: Future>(&mut self, work: F) -> Result<F::Output, CliError> {
        let failed = |error: std::io::Error| CliError::NoRuntime(super::failure::reason(&error));
        if self.runtime.is_none() {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
            self.stop.listen(&runtime).map_err(failed)?;
            self.runtime = Some(runtime);
        }
        self.runtime
            .as_ref()
            .map(|runtime| runtime.block_on(work))
            .ok_or_else(|| CliError::NoRuntime("there is no runtime".to_owned()))
    }

    /// Runs work that only reads, and drops it when a signal comes. Work that writes watches [`Context::stop`] itself.
    ///
    /// # Errors
    /// As [`Context::block_on`], and when a signal comes.
    pub fn block_on_reading<F: Future>(&mut self, work: F) -> Result<F::Output, CliError> {
        let mut stop = self.stop();
        let done = self.block_on(async move {
            tokio::select! {
                done = work => Some(done),
                _ = stop.wait_for(|stop| *stop) => None,
            }
        })?;
        done.ok_or_else(|| CliError::Interrupted(self.stopped_by().unwrap_or(Exit::Interrupted)))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A thread that is stuck in the system must not keep the process alive after its result is out.
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        }
    }
}

/// Returns the style of standard error before the arguments are known: for errors in them.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(super) fn bare_styles() -> (Style, Style) {
    let env: EnvLookup = Arc::new(|name| std::env::var(name).ok());
    let terminal = terminal(&env);
    (style(Colour::Auto, terminal.stdout, terminal, &env), style(Colour::Auto, terminal.stderr, terminal, &env))
}

/// Writes to the process's standard output or error before there is a context. A closed reader is no failure.
pub(super) fn bare_print(text: &str, to_stderr: bool) {
    // Nobody can be told that printing failed.
    let _ = if to_stderr {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
    };
}

fn terminal(env: &EnvLookup) -> Terminal {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default().to_lowercase();
    let stdout = std::io::stdout().is_terminal();
    let measured = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let width = set("COLUMNS").and_then(|text| text.parse().ok()).or_else(measured).unwrap_or(100);
    Terminal {
        stdin: std::io::stdin().is_terminal(),
        stdout,
        stderr: std::io::stderr().is_terminal(),
        width: width.clamp(60, 240),
        utf8: locale.ends_with("utf-8") || locale.ends_with("utf8"),
    }
}

fn style(colour: Colour, is_terminal: bool, terminal: Terminal, env: &EnvLookup) -> Style {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let forced = |name: &str| set(name).is_some_and(|value| value != "0");
    let colour = match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto if set("NO_COLOR").is_some() => false,
        Colour::Auto if forced("FORCE_COLOR") || forced("CLICOLOR_FORCE") => true,
        Colour::Auto => is_terminal && set("TERM").is_none_or(|term| term != "dumb"),
    };
    Style { unicode: terminal.utf8, colour, width: terminal.width }
}

fn simulated_now(env: &EnvLookup) -> Result<Option<Instant>, CliError> {
    let Some(text) = env("BKUP_NOW").filter(|text| !text.is_empty()) else { return Ok(None) };
    let zoned = || text.parse::<jiff::Zoned>().map(|zoned| zoned.timestamp());
    text.parse::<Instant>().or_else(|_| zoned()).map(Some).map_err(|_| {
        CliError::usage(
            format!("BKUP_NOW is {text:?}, which is no instant"),
            "write it as 2026-11-20T02:00:00Z or 2026-03-29T01:30[Europe/Berlin]; it moves simulated catalogs only",
        )
    })
}
