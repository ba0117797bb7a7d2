//! What the demo stands on: one folder with a server, a store, keys and policies, made at the begin and taken away at
//! the end, however that comes.

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use secrecy::ExposeSecret;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

use super::application::{self, Size};
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::domain::{Instant, Period};
use crate::engine::{
    Connection, EngineError, Input, Invocation, Program, Programs, Scratch, ScratchOptions, Search, scratch,
};

/// The policies as they stand in `examples/policies/demo`.
const POLICIES: [(&str, &str); 4] = [
    ("databases.yaml", include_str!("../../../examples/policies/demo/databases.yaml")),
    ("recovery.yaml", include_str!("../../../examples/policies/demo/recovery.yaml")),
    ("schedules.yaml", include_str!("../../../examples/policies/demo/schedules.yaml")),
    ("stores.yaml", include_str!("../../../examples/policies/demo/stores.yaml")),
];
/// What differs in the demo's copy of them.
const STORE_URL: &str = "file:///tmp/bkup-demo/store";
const RECIPIENT: &str = "age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych";
/// How long a path the server's socket can live with, less what is added to it here.
const LONGEST_PARENT: usize = 40;
/// How long a command that was asked to stop may take to do so.
const PATIENCE: Duration = Duration::from_secs(15);

/// How it is made.
pub(in crate::cli) struct Making {
    /// Where PostgreSQL's programs are looked for.
    pub search: Search,
    /// Folders in which the demo's own may be made; the first that will do is taken.
    pub parents: Vec<PathBuf>,
    /// What tells this demo's folder from others.
    pub tag: String,
    /// The binary that the story runs.
    pub program: PathBuf,
    /// Variables for it that say how its text is laid out.
    pub looks: Vec<(String, String)>,
}

/// A running demo. Dropping it takes everything away.
pub(super) struct Environment {
    root: PathBuf,
    server: Option<Scratch>,
    programs: Programs,
    program: PathBuf,
    looks: Vec<(String, String)>,
}

/// How a command ended and what it said.
pub(super) struct Ran {
    /// The exit code; absent where a signal killed it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Environment {
    /// Finds PostgreSQL, makes the folder, and starts the server.
    pub(super) async fn make(making: Making) -> Result<Self, CliError> {
        let wanted = [Program::Postgres, Program::Initdb, Program::PgDump, Program::PgDumpall, Program::PgRestore];
        let programs = making.search.find(&wanted, 14).await.map_err(|error| CliError::Setting {
            words: format!("the demo needs a PostgreSQL server of its own to start: {error}"),
            help:
                "install one (Debian and Ubuntu: apt-get install postgresql; scripts/demo does it), or point --pg-bin \
                   or BKUP_PG_BIN at the folder that holds postgres, initdb, pg_dump, pg_dumpall and pg_restore"
                    .to_owned(),
        })?;
        let root = parent(&making.parents)?.join(format!("bkup-demo-{}", making.tag));
        make_folder(&root)?;
        // From here on, dropping the value removes the folder.
        let mut made = Self { root, server: None, programs, program: making.program, looks: making.looks };
        for folder in [made.scratch_folder(), made.root.join("policies"), made.root.join("store")] {
            make_folder(&folder)?;
        }
        let options = ScratchOptions {
            programs: made.programs.clone(),
            folder: made.root.join("pg"),
            settings: vec![("cluster_name".to_owned(), "bkup demo".to_owned())],
            template: None,
        };
        made.server = Some(Scratch::start(options).await.map_err(|error| failed(&error))?);
        Ok(made)
    }

    /// Makes the databases of the catalog and of the application, and fills the latter.
    pub(super) async fn fill(&self) -> Result<Size, EngineError> {
        let server = self.connection("postgres")?;
        for name in ["bkup", "app"] {
            application::create_database(&server, name).await?;
        }
        application::create(&self.app()?).await
    }

    /// Writes the policies, with this demo's own store and key, and the file to source.
    pub(super) fn write_files(&self, recipient: &str) -> Result<(), CliError> {
        let store = format!("file://{}", self.root.join("store").display());
        for (name, text) in POLICIES {
            let text = text.replace(STORE_URL, &store).replace(RECIPIENT, recipient);
            self.write(&format!("policies/{name}"), &text, 0o644)?;
        }
        self.write("env", &self.env_file()?, 0o600)?;
        self.write("stop.sh", &self.stop_script(), 0o755)
    }

    /// Returns the folder of everything.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the programs of the server.
    pub(super) const fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Returns how the application's database is reached.
    pub(super) fn app(&self) -> Result<Connection, EngineError> {
        self.connection("app")
    }

    /// Runs bkup as a user would, in the demo's folder. When somebody stops the demo, the command is asked to stop
    /// first: it has servers and uploads of its own to take back.
    pub(super) async fn bkup(
        &self,
        now: Option<Instant>,
        args: &[&str],
        mut stop: watch::Receiver<bool>,
    ) -> Result<Ran, CliError> {
        let mut process = self.invocation(now, args)?.spawn().map_err(|error| failed(&error))?;
        let mut stdout = process.take_stdout();
        let reading = async {
            let mut text = Vec::new();
            if let Some(stdout) = &mut stdout {
                // A pipe that breaks ends the text; the exit code says whether all was well.
                let _ = stdout.read_to_end(&mut text).await;
            }
            text
        };
        tokio::pin!(reading);
        let text = tokio::select! {
            text = &mut reading => text,
            _ = stop.wait_for(|stop| *stop) => {
                process.signal(Signal::INT);
                let _ended = tokio::time::timeout(PATIENCE, async { (reading.await, process.wait().await) }).await;
                return Err(interrupted());
            }
        };
        let ended = process.wait().await.map_err(|error| failed(&error))?;
        if *stop.borrow() {
            return Err(interrupted());
        }
        Ok(Ran { code: ended.status.code(), stdout: String::from_utf8_lossy(&text).into_owned(), stderr: ended.stderr })
    }

    /// Leaves everything as it is; the stop command takes it away.
    pub(super) fn keep(mut self, now: Instant) -> Result<PathBuf, CliError> {
        if let Some(server) = self.server.take() {
            server.keep(Period::days(365).after(now)).map_err(|error| failed(&error))?;
        }
        Ok(std::mem::take(&mut self.root))
    }

    /// Takes everything away, and waits for it.
    pub(super) async fn remove(mut self) -> Result<(), CliError> {
        // A drill that was killed may have left a server of its own.
        if let Ok(folders) = std::fs::read_dir(self.scratch_folder()) {
            for folder in folders.flatten() {
                // What is no server's folder goes with the whole.
                let _ = scratch::remove(&folder.path()).await;
            }
        }
        if let Some(server) = self.server.take() {
            server.stop().await.map_err(|error| failed(&error))?;
        }
        let root = std::mem::take(&mut self.root);
        std::fs::remove_dir_all(&root).map_err(|error| CliError::unwritable(&root, &error))
    }

    fn invocation(&self, now: Option<Instant>, args: &[&str]) -> Result<Invocation, CliError> {
        let mut invocation = Invocation::new(&self.program)
            .args(args.iter().copied())
            .input(Input::Nothing)
            .cwd(&self.root)
            .envs(self.looks.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .env("TMPDIR", self.scratch_folder())
            // An empty value counts as absent: what the caller's shell holds is not the demo's.
            .env("BKUP_NOW", now.map(|now| now.to_string()).unwrap_or_default())
            .env("BKUP_LOG", "")
            // From within the folder the policies have short names.
            .env("BKUP_POLICIES", "policies");
        for (name, value) in self.variables()? {
            invocation = invocation.env(name, value);
        }
        Ok(invocation)
    }

    /// Returns the variables that bkup needs, by name.
    fn variables(&self) -> Result<Vec<(&'static str, OsString)>, CliError> {
        let url = |database: &str| -> Result<OsString, CliError> {
            let connection = self.connection(database).map_err(|error| failed(&error))?;
            Ok(connection.url().expose_secret().to_owned().into())
        };
        Ok(vec![
            ("BKUP_CATALOG_URL", url("bkup")?),
            ("APP_URL", url("app")?),
            ("BKUP_AGE_IDENTITY", self.root.join("key.txt").into()),
            ("BKUP_PG_BIN", self.programs.dir.clone().into()),
        ])
    }

    fn env_file(&self) -> Result<String, CliError> {
        let root = self.root.display().to_string();
        let mut text =
            format!("# The environment of a bkup demo. Read it with: . {}\n", quoted(&format!("{root}/env")));
        for (name, value) in self.variables()? {
            text.push_str(&format!("export {name}={}\n", quoted(&value.to_string_lossy())));
        }
        text.push_str(&format!("export BKUP_POLICIES={}\n", quoted(&format!("{root}/policies"))));
        if let Some(folder) = self.program.parent() {
            text.push_str(&format!("export PATH={}:\"$PATH\"\n", quoted(&folder.to_string_lossy())));
        }
        text.push_str("unset BKUP_NOW\n");
        Ok(text)
    }

    /// Returns the command that stops this demo's server and no other, and removes the folder.
    fn stop_script(&self) -> String {
        let pid = self.server.as_ref().and_then(Scratch::pid).unwrap_or_default();
        include_str!("stop.sh")
            .replace("{folder}", &quoted(&self.root.to_string_lossy()))
            .replace("{pid}", &pid.to_string())
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> Result<(), CliError> {
        let path = self.root.join(name);
        std::fs::write(&path, text)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)))
            .map_err(|error| CliError::unwritable(&path, &error))
    }

    fn connection(&self, database: &str) -> Result<Connection, EngineError> {
        let server = self.server.as_ref().ok_or_else(|| EngineError::Scratch("is stopped".to_owned()))?;
        Ok(server.connection(database))
    }

    /// Returns where the commands make their own scratch servers.
    fn scratch_folder(&self) -> PathBuf {
        self.root.join("t")
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        drop(self.server.take());
        if !self.root.as_os_str().is_empty() {
            // Nobody is left to be told.
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

fn failed(error: &EngineError) -> CliError {
    CliError::of(error, Exit::Failed)
}

/// Returns the error of a demo that somebody stopped.
pub(super) fn interrupted() -> CliError {
    CliError::Story { words: "interrupted; the demo's server and folder are taken away".to_owned() }
}

/// Makes a folder that the server's user can pass through, where that is not ourselves.
fn make_folder(folder: &Path) -> Result<(), CliError> {
    let mode = if rustix::process::geteuid().is_root() { 0o755 } else { 0o700 };
    std::fs::DirBuilder::new()
        .mode(mode)
        .create(folder)
        // The umask takes away what the server's user needs.
        .and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)))
        .map_err(|error| CliError::unwritable(folder, &error))
}

/// Returns the first folder that is short enough for a socket and that the server's user can pass.
fn parent(parents: &[PathBuf]) -> Result<PathBuf, CliError> {
    let root = rustix::process::geteuid().is_root();
    let passable = |folder: &Path| {
        !root
            || folder.ancestors().all(|part| {
                std::fs::metadata(part).is_ok_and(|facts| facts.is_dir() && facts.permissions().mode() & 0o001 != 0)
            })
    };
    let found = parents
        .iter()
        .filter_map(|parent| std::fs::canonicalize(parent).ok())
        .find(|parent| parent.as_os_str().len() <= LONGEST_PARENT && passable(parent));
    found.ok_or_else(|| CliError::Setting {
        words: "no temporary folder will do for a server".to_owned(),
        help: format!(
            "set TMPDIR to a folder whose path has at most {LONGEST_PARENT} bytes and that every user can enter"
        ),
    })
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
