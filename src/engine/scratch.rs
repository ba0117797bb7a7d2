//! Throw-away servers: own folder, own unix socket, no TCP, no archiving, no fsync, an unprivileged user; stopped and
//! removed when dropped. A kept one carries a mark that says until when.

use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use sqlx::Connection as _;

use super::{Connection, EngineError, Invocation, Output, Process, Program, Programs, User};
use crate::domain::Instant;

/// The superuser of every scratch server.
const SUPERUSER: &str = "postgres";
/// Sockets are told apart by their folders.
const PORT: u16 = 5432;
/// A socket's path may have 107 bytes; `/s/.s.PGSQL.5432.lock` must still fit.
const LONGEST_FOLDER: usize = 80;
const MARK: &str = "bkup-scratch.json";
const START_LIMIT: Duration = Duration::from_secs(90);

/// How a scratch server is made.
#[derive(Debug, Clone)]
pub struct ScratchOptions {
    /// The programs; their version is the server's.
    pub programs: Programs,
    /// Its folder: absent yet, its parent present and open to the unprivileged user, at most 80 bytes long.
    pub folder: PathBuf,
    /// Further settings for `postgres -c`; later ones win over bkup's own.
    pub settings: Vec<(String, String)>,
    /// A data folder made by `initdb` (see [`make_template`]) to copy instead of running it.
    pub template: Option<PathBuf>,
}

/// A running throw-away server. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    major: u32,
    process: Option<Process>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// The server's process, while it runs.
    pid: Option<u32>,
    /// Until when it is kept; absent: as long as bkup runs.
    until: Option<Instant>,
}

impl Scratch {
    /// Makes and starts one, and waits until it answers.
    ///
    /// # Errors
    /// [`EngineError::Scratch`], with the end of the server's log where it did not start.
    pub async fn start(options: ScratchOptions) -> Result<Self, EngineError> {
        let folder = options.folder.clone();
        if !folder.is_absolute() || folder.as_os_str().len() > LONGEST_FOLDER {
            return Err(failed(format!(
                "needs an absolute folder of at most {LONGEST_FOLDER} bytes, not {}",
                folder.display()
            )));
        }
        let user = User::for_servers()?;
        make_folder(&folder, user.as_ref())?;
        // From here on, dropping the value removes the folder.
        let mut scratch = Self { folder, major: options.programs.major, process: None };
        scratch.mark(None, None)?;
        make_folder(&scratch.folder.join("s"), user.as_ref())?;
        let data = scratch.folder.join("data");
        match &options.template {
            None => init(&options.programs, &data, user.as_ref()).await?,
            Some(template) => {
                let (from, to, user) = (template.clone(), data.clone(), user.clone());
                tokio::task::spawn_blocking(move || copy_tree(&from, &to, user.as_ref()))
                    .await
                    .map_err(|e| failed(format!("could not be copied: {e}")))??;
            }
        }
        let process = server(&options, &scratch.folder, user).spawn()?;
        scratch.mark(process.id(), None)?;
        scratch.process = Some(process);
        scratch.wait_until_ready().await?;
        Ok(scratch)
    }

    async fn wait_until_ready(&mut self) -> Result<(), EngineError> {
        let options = self.connection(SUPERUSER).options();
        let attempts = async {
            loop {
                if let Ok(connection) = sqlx::postgres::PgConnection::connect_with(&options).await {
                    let _closed = connection.close().await;
                    return true;
                }
                if self.process.as_mut().is_none_or(Process::has_ended) {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(START_LIMIT, attempts).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed(format!("did not start: {}", self.log_end()))),
            Err(_) => Err(failed(format!("did not answer within {START_LIMIT:?}: {}", self.log_end()))),
        }
    }

    /// Returns how a database of it is reached, as superuser.
    #[must_use]
    pub fn connection(&self, database: &str) -> Connection {
        Connection::socket(self.folder.join("s").to_string_lossy(), PORT, SUPERUSER, database)
    }

    /// Returns its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns its major version.
    #[must_use]
    pub const fn major(&self) -> u32 {
        self.major
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::id)
    }

    /// Returns the last lines of its log.
    #[must_use]
    pub fn log_end(&self) -> String {
        let log = std::fs::read(self.folder.join("server.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Stops it and removes its folder, and waits for both.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the folder cannot be removed.
    pub async fn stop(mut self) -> Result<(), EngineError> {
        if let Some(process) = self.process.take() {
            // SIGQUIT is the immediate stop: what is thrown away needs no checkpoint.
            process.signal(Signal::QUIT);
            let _ended_or_killed = tokio::time::timeout(Duration::from_secs(10), process.wait()).await;
        }
        remove_folder(&self.folder)
    }

    /// Leaves it running for inspection until `until`, when [`sweep`] takes it. Returns its folder, for [`remove`].
    ///
    /// # Errors
    /// [`EngineError::Io`] when the mark cannot be written; then it is stopped.
    pub fn keep(mut self, until: Instant) -> Result<PathBuf, EngineError> {
        self.mark(self.pid(), Some(until))?;
        if let Some(process) = self.process.take() {
            process.release();
        }
        Ok(std::mem::take(&mut self.folder))
    }

    fn mark(&self, pid: Option<u32>, until: Option<Instant>) -> Result<(), EngineError> {
        let text = serde_json::to_vec(&Mark { pid, until }).map_err(|e| failed(e.to_string()))?;
        let path = self.folder.join(MARK);
        std::fs::write(&path, text).map_err(|e| EngineError::io(format!("writing {}", path.display()), e))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // First the immediate stop, which takes milliseconds: a killed postmaster leaves shared memory behind, and
            // backends that run on in their own process groups.
            process.signal(Signal::QUIT);
            for _ in 0..400 {
                if process.has_ended() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if !self.folder.as_os_str().is_empty() {
            let _left_behind = remove_folder(&self.folder);
        }
    }
}

fn failed(words: String) -> EngineError {
    EngineError::Scratch(words)
}

/// Makes a data folder that many servers can be copied from.
///
/// # Errors
/// [`EngineError::Scratch`] when it exists, [`EngineError::Program`] when `initdb` fails.
pub async fn make_template(programs: &Programs, folder: &Path) -> Result<(), EngineError> {
    let user = User::for_servers()?;
    make_folder(folder, user.as_ref())?;
    init(programs, &folder.join("data"), user.as_ref()).await
}

async fn init(programs: &Programs, data: &Path, user: Option<&User>) -> Result<(), EngineError> {
    let invocation = |locale: &str| {
        Invocation::new(programs.path(Program::Initdb))
            .args(["--no-sync", "--no-instructions", "--auth=trust", "--encoding=UTF8"])
            .arg(format!("--username={SUPERUSER}"))
            .arg(format!("--locale={locale}"))
            .arg("-D")
            .arg(data)
            .cwd("/")
            .env("LC_ALL", "C")
            .run_as(user.cloned())
    };
    // C.UTF-8 classifies letters beyond ASCII and is on every current Linux; C is on all.
    match invocation("C.UTF-8").run().await {
        Err(EngineError::Program { stderr, .. }) if stderr.contains("locale") => invocation("C").run().await.map(drop),
        other => other.map(drop),
    }
}

fn server(options: &ScratchOptions, folder: &Path, user: Option<User>) -> Invocation {
    let mut settings: Vec<(&str, &str)> = vec![
        ("listen_addresses", ""),
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("archive_mode", "off"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("max_wal_size", "4GB"),
        ("shared_buffers", "64MB"),
        ("maintenance_work_mem", "128MB"),
        ("max_connections", "50"),
        ("max_locks_per_transaction", "1024"),
        ("shared_preload_libraries", ""),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        ("lc_messages", "C"),
        ("jit", "off"),
        ("timezone", "UTC"),
        ("cluster_name", "bkup scratch"),
    ];
    settings.extend(options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Invocation::new(options.programs.path(Program::Postgres))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder.join("s"))
        .args(["-p".to_owned(), PORT.to_string()])
        .args(settings.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]))
        .cwd(folder)
        .env("LC_ALL", "C")
        .output(Output::Log(folder.join("server.log")))
        .run_as(user)
}

/// Makes a folder that must not exist, for the user alone.
fn make_folder(folder: &Path, user: Option<&User>) -> Result<(), EngineError> {
    let io = |e| EngineError::io(format!("making the folder {}", folder.display()), e);
    std::fs::DirBuilder::new().mode(0o700).create(folder).map_err(io)?;
    user.map_or(Ok(()), |user| chown(folder, Some(user.uid), Some(user.gid)).map_err(io))
}

fn copy_tree(from: &Path, to: &Path, user: Option<&User>) -> Result<(), EngineError> {
    make_folder(to, user)?;
    let io = |e| EngineError::io(format!("copying {}", from.display()), e);
    for item in std::fs::read_dir(from).map_err(io)? {
        let item = item.map_err(io)?;
        let target = to.join(item.file_name());
        if item.file_type().map_err(io)?.is_dir() {
            copy_tree(&item.path(), &target, user)?;
        } else {
            std::fs::copy(item.path(), &target).map_err(io)?;
            if let Some(user) = user {
                chown(&target, Some(user.uid), Some(user.gid)).map_err(io)?;
            }
        }
    }
    Ok(())
}

/// Removes a folder of a server that is being killed: its last process may still write for a moment.
fn remove_folder(folder: &Path) -> Result<(), EngineError> {
    let mut last = Ok(());
    for _ in 0..20 {
        last = match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => return Ok(()),
        };
        std::thread::sleep(Duration::from_millis(10));
    }
    last.map_err(|e| EngineError::io(format!("removing {}", folder.display()), e))
}

/// Stops a kept server and removes its folder.
///
/// # Errors
/// [`EngineError::Scratch`] when the folder is not that of a scratch server.
pub async fn remove(folder: &Path) -> Result<(), EngineError> {
    let mark =
        read_mark(folder).ok_or_else(|| failed(format!("is not there: {} holds no mark of one", folder.display())))?;
    // The number may be another process's by now; only one that works in this folder is ours.
    let ours = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder.join("data"));
    if let Some(pid) = mark.pid.filter(ours) {
        let id = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _gone = rustix::process::kill_process(id, Signal::QUIT);
        }
        for _ in 0..200 {
            if !ours(&pid) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    remove_folder(folder)
}

fn read_mark(folder: &Path) -> Option<Mark> {
    let path = folder.join(MARK);
    // Anyone may make a folder in /tmp; a pipe of that name would hold the reader for ever.
    let plain = std::fs::symlink_metadata(&path).is_ok_and(|facts| facts.is_file() && facts.len() < 4096);
    if plain { serde_json::from_slice(&std::fs::read(path).ok()?).ok() } else { None }
}

/// Removes the kept servers directly below `parent` whose time is over; returns their folders.
///
/// # Errors
/// [`EngineError::Io`] when `parent` cannot be listed.
pub async fn sweep(parent: &Path, now: Instant) -> Result<Vec<PathBuf>, EngineError> {
    let listing = std::fs::read_dir(parent).map_err(|e| EngineError::io(format!("listing {}", parent.display()), e))?;
    let mut removed = Vec::new();
    for folder in listing.flatten().map(|item| item.path()) {
        if read_mark(&folder).and_then(|mark| mark.until).is_some_and(|until| until <= now) {
            remove(&folder).await?;
            removed.push(folder);
        }
    }
    Ok(removed)
}

/// Returns the bytes that are free for this user on the disk that `path` is on; `path` must exist.
///
/// # Errors
/// [`EngineError::Io`].
pub fn free_bytes(path: &Path) -> Result<u64, EngineError> {
    let facts = rustix::fs::statvfs(path)
        .map_err(|e| EngineError::io(format!("asking for the room at {}", path.display()), e.into()))?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}
