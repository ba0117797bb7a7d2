//! PostgreSQL's programs, found per server version.
//!
//! The same major version is preferred, else the next newer one: an older `pg_dump` refuses or misreads a newer
//! server, an older `pg_restore` refuses a newer archive, and a much newer `pg_dump` writes settings that an old server
//! does not know (`transaction_timeout` since 17), which a restore into that server would stumble over.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;

use super::{EngineError, Invocation};

/// A program of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the programs' own names")]
pub enum Program {
    PgDump,
    PgDumpall,
    PgRestore,
    Psql,
    Initdb,
    Postgres,
}

impl Program {
    /// What a logical backup needs.
    pub const DUMP: [Self; 2] = [Self::PgDump, Self::PgDumpall];
    /// What a restore needs.
    pub const RESTORE: [Self; 1] = [Self::PgRestore];
    /// What a scratch server needs.
    pub const SERVER: [Self; 3] = [Self::Initdb, Self::Postgres, Self::PgRestore];

    /// Returns the file's name.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::PgDump => "pg_dump",
            Self::PgDumpall => "pg_dumpall",
            Self::PgRestore => "pg_restore",
            Self::Psql => "psql",
            Self::Initdb => "initdb",
            Self::Postgres => "postgres",
        }
    }
}

/// A folder with programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The folder.
    pub dir: PathBuf,
    /// The major version.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
    /// The line a program says of itself: `pg_dump (PostgreSQL) 17.11`.
    pub line: String,
}

impl Programs {
    /// Returns the path of a program.
    #[must_use]
    pub fn path(&self, program: Program) -> PathBuf {
        self.dir.join(program.file())
    }
}

/// Where to look. All of it comes from outside: the environment is never read here.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// `--pg-bin` or `BKUP_PG_BIN`: one folder or several with `:` between; when given, nothing else is looked at.
    pub pg_bin: Option<OsString>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// More folders, after all others.
    pub extra: Vec<PathBuf>,
    /// What programs have said already.
    pub said: Said,
}

/// What programs said of their versions, for as long as their files stay as they are: a run over many databases would
/// start each of them for each database.
#[derive(Debug, Clone, Default)]
pub struct Said(Arc<Mutex<HashMap<PathBuf, (Stamp, Programs)>>>);

/// What changes when a file is replaced: its inode, its size, and when it was written or renamed last.
type Stamp = (u64, u64, i64, i64);

impl Said {
    fn get(&self, program: &Path, stamp: Stamp) -> Option<Programs> {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(program).filter(|(then, _)| *then == stamp).map(|(_, programs)| programs.clone())
    }

    fn put(&self, program: PathBuf, stamp: Stamp, programs: Programs) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(program, (stamp, programs));
    }
}

/// Where Debian and its kin put each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Where Red Hat's kin put each version is `/usr/pgsql-17`.
const PGDG: &str = "/usr";

impl Search {
    /// Finds the folder that holds all `wanted` programs for a server of version `needed` or an archive of it.
    ///
    /// # Errors
    /// [`EngineError::ProgramMissing`], which says what was seen where.
    pub async fn find(&self, wanted: &[Program], needed: u32) -> Result<Programs, EngineError> {
        let mut seen = Vec::new();
        let mut best: Option<Programs> = None;
        let Some(first) = wanted.first() else {
            return Err(EngineError::ProgramMissing { program: "program".into(), needed, looked: "none asked".into() });
        };
        let mut folders = self.folders();
        folders.retain(|dir| match wanted.iter().find(|program| !dir.join(program.file()).is_file()) {
            Some(lacking) if self.pg_bin.is_some() => {
                seen.push(format!("{} has no {}", dir.display(), lacking.file()));
                false
            }
            Some(_) => false,
            None => self.pg_bin.is_some() || !is_wrapper(&dir.join(first.file())),
        });
        // Side by side: a backup waits for the answers, with its instant open.
        let asked = join_all(folders.iter().map(|dir| self.ask(dir, *first))).await;
        for (dir, found) in folders.iter().zip(asked) {
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    seen.push(format!("{}: {error}", dir.display()));
                    continue;
                }
            };
            if found.major < needed {
                seen.push(format!("{} {}.{} in {} is too old", first.file(), found.major, found.minor, dir.display()));
                continue;
            }
            let better = best
                .as_ref()
                .is_none_or(|best| found.major < best.major || (found.major == best.major && found.minor > best.minor));
            if better {
                best = Some(found);
            }
        }
        let looked = || if seen.is_empty() { "none was seen anywhere".to_owned() } else { seen.join("; ") };
        best.ok_or_else(|| EngineError::ProgramMissing { program: first.file().to_owned(), needed, looked: looked() })
    }

    fn folders(&self) -> Vec<PathBuf> {
        if let Some(given) = &self.pg_bin {
            return std::env::split_paths(given).collect();
        }
        let mut folders = Vec::new();
        if let Ok(versions) = std::fs::read_dir(DEBIAN) {
            folders.extend(versions.flatten().map(|version| version.path().join("bin")));
        }
        folders.extend((14..=30).map(|major| Path::new(PGDG).join(format!("pgsql-{major}/bin"))));
        folders.sort();
        // A relative entry of PATH would make what runs depend on the current folder.
        folders.extend(self.path.iter().flat_map(std::env::split_paths).filter(|dir| dir.is_absolute()));
        folders.extend(self.extra.iter().cloned());
        folders
    }

    async fn ask(&self, dir: &Path, program: Program) -> Result<Programs, EngineError> {
        let path = dir.join(program.file());
        // Looked at before it is asked: one that is replaced in between is asked again the next time.
        let stamp = stamp(&path);
        if let Some(said) = stamp.and_then(|stamp| self.said.get(&path, stamp)) {
            return Ok(said);
        }
        let out = Invocation::new(&path).arg("--version").run().await?;
        let line = String::from_utf8_lossy(&out).trim().to_owned();
        let (major, minor) = version_of(&line).ok_or_else(|| EngineError::Start {
            program: path.display().to_string(),
            reason: format!("it does not say its version: {line:?}"),
        })?;
        let programs = Programs { dir: dir.to_owned(), major, minor, line };
        if let Some(stamp) = stamp {
            self.said.put(path, stamp, programs.clone());
        }
        Ok(programs)
    }
}

fn stamp(program: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let file = program.metadata().ok()?;
    Some((file.ino(), file.len(), file.ctime(), file.ctime_nsec()))
}

/// Returns whether a program is Debian's, which only starts one of those in [`DEBIAN`], and takes ten times as long.
fn is_wrapper(program: &Path) -> bool {
    program.canonicalize().is_ok_and(|path| path.ends_with("pg_wrapper"))
}

/// Reads `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`; betas (`18beta1`) have the minor version 0.
fn version_of(line: &str) -> Option<(u32, u32)> {
    let version = line.split_once("(PostgreSQL) ")?.1;
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let major = digits(version);
    let minor = version[major.len()..].strip_prefix('.').map(digits).unwrap_or_default();
    Some((major.parse().ok()?, minor.parse().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        assert_eq!(version_of("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some((15, 18)));
        assert_eq!(version_of("postgres (PostgreSQL) 17.11"), Some((17, 11)));
        assert_eq!(version_of("pg_dump (PostgreSQL) 18beta1"), Some((18, 0)));
        assert_eq!(version_of("pg_dump (Something) 15"), None);
    }
}
