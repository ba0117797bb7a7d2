//! A restore, step by step: proven in scratch, then put where it is wanted. Whatever ends it early takes back what was
//! half done.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant as Monotonic;

use tokio::sync::watch;

use super::archive::{Loaded, Opened, Proof, expected, load, prove_but};
use super::failure::RestoreError;
use super::sanitize::sanitize;
use super::together::load_all;
use super::workshop::{ScratchSpec, Workshop};
use crate::domain::{Bytes, Manifest, Phase};
use crate::engine::restore::{
    create_database, data_folder, database_exists, drop_database, schema_exists, server_major,
};
use crate::engine::scratch::free_bytes;
use crate::engine::sql::quote_ident;
use crate::engine::swap::database::{mark_database, put_in_place};
use crate::engine::swap::{Keeper, Mark, beside};
use crate::engine::{Connection, EngineError, Program, RestoreOptions, Scratch};

/// Hears of each step, in words that may hold names from databases.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// A restore to make.
pub struct Job {
    /// The backups with their keys open: the shared archive first, what was asked for last.
    pub backups: Vec<Opened>,
    /// Where scratch servers are made.
    pub workshop: Workshop,
    /// What tells this restore's server and files from others: random digits.
    pub tag: String,
    /// Hears of each step.
    pub tell: Tell,
    /// Turns true when it must stop.
    pub stop: watch::Receiver<bool>,
    /// Turns true when the lease on the backups is lost; absent without one.
    pub lost: Option<watch::Receiver<bool>>,
    /// SQL that is run in a copy once it was compared; never for live.
    pub sanitize: Option<String>,
    /// Whether a tenant must come back with all of it: what a live schema is swapped for must not lack the foreign keys
    /// and views that need another tenant.
    pub whole: bool,
}

/// What was loaded and proven.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// The load.
    pub loaded: Loaded,
    /// The proofs, in the order of the backups.
    pub proofs: Vec<Proof>,
}

/// A scratch server that holds the backups, proven equal.
pub struct Proven {
    /// The server.
    pub scratch: Scratch,
    /// The database.
    pub target: Connection,
    /// What was done.
    pub done: Done,
}

impl Job {
    pub(super) fn wanted(&self) -> Result<&Opened, RestoreError> {
        self.backups.last().ok_or_else(|| RestoreError::NotServed("there is no backup to restore".to_owned()))
    }

    fn major(&self) -> u32 {
        self.backups.iter().map(|backup| major_of(&backup.origin.manifest)).max().unwrap_or(0)
    }

    fn list(&self) -> PathBuf {
        self.workshop.folder.join(format!("bkup-{}.list", self.tag))
    }

    /// Returns how much is to be loaded.
    #[must_use]
    pub fn expected(&self) -> Bytes {
        self.backups.iter().map(|backup| expected(&backup.origin.manifest)).sum()
    }

    /// Returns how much was loaded so far.
    #[must_use]
    pub fn loaded(&self) -> Bytes {
        self.backups.iter().map(Opened::loaded).sum()
    }

    /// Checks that there is room on a live server, where its disk is one of this machine's.
    ///
    /// # Errors
    /// [`RestoreError::NoRoom`], or when the server cannot be asked.
    pub async fn check_room(&self, server: &Connection) -> Result<(), RestoreError> {
        let Some(folder) = data_folder(&server.with_database("postgres")).await? else { return Ok(()) };
        let Ok(free) = free_bytes(&folder) else { return Ok(()) };
        let (needed, _) = self.workshop.room(self.expected())?;
        if free >= needed.0 {
            return Ok(());
        }
        let (needed, free) = (needed.to_string(), Bytes(free).to_string());
        Err(RestoreError::NoRoom { folder: folder.display().to_string(), needed, free })
    }

    /// Does some work unless it is to stop; the work is dropped then.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, RestoreError>>,
    ) -> Result<T, RestoreError> {
        tokio::select! {
            done = work => done,
            () = turned(Some(self.stop.clone())) => Err(RestoreError::Interrupted),
            () = turned(self.lost.clone()) => Err(RestoreError::LeaseLost),
        }
    }

    /// Says on a server that what is loaded under an id is no leftover. Where another run of the same plan says so, it is
    /// waited for: what that one has changed is met by the checks that follow.
    pub(super) async fn keep(&self, server: &Connection, id: &str) -> Result<Keeper, RestoreError> {
        if let Some(keeper) = Keeper::open_if_free(server, id).await? {
            return Ok(keeper);
        }
        (self.tell)(format!("the same restore, {id}, is running elsewhere, or its session has not ended yet: waiting"));
        self.unless_stopped(async { Ok(Keeper::open(server, id).await?) }).await
    }

    /// Loads into a database that is new, and proves every backup in it.
    async fn fill(&self, programs: &crate::engine::Programs, target: &Connection) -> Result<Done, RestoreError> {
        let mut done = Done {
            loaded: load_all(&self.backups, programs, target, &self.list(), &*self.tell).await?,
            proofs: Vec::new(),
        };
        if let Some(torn) = done.loaded.torn.first().filter(|_| self.whole) {
            return Err(EngineError::Restore(torn.to_string()).into());
        }
        for backup in &self.backups {
            self.prove(backup, target, &mut done).await?;
        }
        if let Some(sql) = &self.sanitize {
            (self.tell)("sanitising the copy".to_owned());
            sanitize(target, sql).await?;
        }
        Ok(done)
    }

    async fn prove(&self, backup: &Opened, target: &Connection, done: &mut Done) -> Result<(), RestoreError> {
        let manifest = &backup.origin.manifest;
        if backup.is_adopted() {
            (self.tell)(format!("nothing was recorded to compare {} with", manifest.backup_id));
            return Ok(());
        }
        (self.tell)(format!("comparing {} with what was recorded", manifest.backup_id));
        let begun = Monotonic::now();
        let proof = prove_but(backup, target, &done.loaded.deferred).await?.must_hold()?;
        done.proofs.push(proof);
        done.loaded.phases.push(Phase {
            phase: "compare".to_owned(),
            subject: manifest.backup_id.clone(),
            milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        Ok(())
    }

    /// Starts a scratch server, loads all backups into a database of it, and proves each of them equal.
    ///
    /// # Errors
    /// [`RestoreError`]; the server is gone then.
    pub async fn prove_in_scratch(&self, database: &str) -> Result<Proven, RestoreError> {
        self.unless_stopped(async {
            (self.tell)(format!("starting a scratch server in {}", self.workshop.folder.display()));
            let begun = Monotonic::now();
            let spec = ScratchSpec { major: self.major(), tag: self.tag.clone(), expected: self.expected() };
            let (scratch, programs) = self.workshop.start(&spec).await?;
            let started = Phase {
                phase: "start server".to_owned(),
                subject: programs.line.clone(),
                milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            };
            if !["postgres", "template0", "template1"].contains(&database) {
                create_database(&scratch.connection("postgres"), database).await?;
            }
            let target = scratch.connection(database);
            let mut done = self.fill(&programs, &target).await?;
            done.loaded.phases.insert(0, started);
            Ok(Proven { scratch, target, done })
        })
        .await
    }

    /// Checks that there are programs that can restore into a server. Since 17, `pg_restore` sets `transaction_timeout`
    /// in every session, and older servers refuse that.
    ///
    /// # Errors
    /// [`RestoreError::TooNew`], or when there are none, or the server cannot be asked.
    pub async fn check_programs(&self, server: &Connection) -> Result<(), RestoreError> {
        let programs = self.workshop.search.find(&Program::RESTORE, self.major()).await?;
        let server = server_major(&server.with_database("postgres")).await?;
        if programs.major >= 17 && server < 17 {
            return Err(RestoreError::TooNew { program: programs.major, server });
        }
        Ok(())
    }

    /// Checks that a database is not there yet.
    ///
    /// # Errors
    /// [`RestoreError::TargetExists`], or when the server cannot be asked.
    pub async fn check_no_database(server: &Connection, name: &str) -> Result<(), RestoreError> {
        if database_exists(&server.with_database("postgres"), name).await? {
            return Err(RestoreError::TargetExists { what: format!("database {}", quote_ident(name)) });
        }
        Ok(())
    }

    /// Loads all backups into a new database and proves each of them. It is filled under a name of its own and gets the
    /// asked one at the end, so that nobody ever meets a half-filled database under the name they know.
    ///
    /// # Errors
    /// [`RestoreError`]; the new database is dropped again then.
    pub async fn into_database(&self, server: &Connection, name: &str) -> Result<Done, RestoreError> {
        Self::check_no_database(server, name).await?;
        let programs = self.workshop.search.find(&Program::RESTORE, self.major()).await?;
        let maintenance = server.with_database("postgres");
        let id = self.tag.get(..8).unwrap_or(&self.tag);
        let own = beside(name, "new", id);
        let mark = Mark::loading(id, name, &self.wanted()?.origin.manifest.backup_id, "");
        self.remove_leftovers(server, name).await;
        let keeper = self.keep(&maintenance, id).await?;
        create_database(&maintenance, &own).await?;
        let target = server.with_database(&own);
        let filled = self
            .unless_stopped(async {
                mark_database(&maintenance, &own, &mark).await?;
                let done = self.fill(&programs, &target).await?;
                put_in_place(&maintenance, &own, name).await?;
                Ok(done)
            })
            .await;
        if filled.is_err() {
            // Why the restore failed matters more than a database that could not be dropped: the next restore does it.
            let _ = drop_database(&maintenance, &own).await;
        }
        keeper.end().await;
        filled
    }

    /// Tells that a leftover is gone.
    pub fn tell_removed(&self, leftover: &str) {
        (self.tell)(format!("removed {leftover}, which an earlier restore left half loaded"));
    }

    pub(super) fn refuse_sanitized(&self) -> Result<(), RestoreError> {
        match self.sanitize {
            None => Ok(()),
            Some(_) => Err(RestoreError::NotServed("what is sanitised never goes into a live database".to_owned())),
        }
    }

    /// Loads all backups into a database that is new, and proves each of them.
    pub(super) async fn fill_database(&self, server: &Connection, name: &str) -> Result<Done, RestoreError> {
        let programs = self.workshop.search.find(&Program::RESTORE, self.major()).await?;
        let target = server.with_database(name);
        self.unless_stopped(self.fill(&programs, &target)).await
    }

    /// Checks that the asked tenant's schemas are not there.
    ///
    /// # Errors
    /// [`RestoreError::TargetExists`], or when the database cannot be asked.
    pub async fn check_no_schema(live: &Connection, manifest: &Manifest) -> Result<(), RestoreError> {
        for schema in &manifest.scope.schemas {
            if schema_exists(live, schema).await? {
                return Err(RestoreError::TargetExists { what: format!("schema {}", quote_ident(schema)) });
            }
        }
        Ok(())
    }

    /// Loads a tenant's backup into a live database that lacks its schema, in one transaction, and proves it. The job
    /// must have been proven in scratch before.
    ///
    /// # Errors
    /// When the schema exists, or the load fails: nothing is left of it then. When the result is not equal, it stays:
    /// someone may have written to it already.
    pub async fn into_live_tenant(&self, live: &Connection) -> Result<Done, RestoreError> {
        self.refuse_sanitized()?;
        let backup = self.wanted()?;
        Self::check_no_schema(live, &backup.origin.manifest).await?;
        let programs = self.workshop.search.find(&Program::RESTORE, self.major()).await?;
        let options = RestoreOptions { single_transaction: true, ..RestoreOptions::default() };
        (self.tell)(format!("loading {} into the live database", backup.origin.manifest.backup_id));
        // Stopped before its end, pg_restore is killed and the server rolls its transaction back.
        let loaded = self.unless_stopped(load(backup, &programs, live, options)).await?;
        let mut done = Done { loaded, proofs: Vec::new() };
        let proven = self.prove(backup, live, &mut done).await;
        let schemas = &backup.origin.manifest.scope.schemas;
        let what = || schemas.iter().map(|schema| quote_ident(schema)).collect::<Vec<_>>().join(", ");
        proven.map_err(|error| RestoreError::InPlace { what: what(), error: Box::new(error) })?;
        Ok(done)
    }
}

async fn turned(watched: Option<watch::Receiver<bool>>) {
    if let Some(mut watched) = watched
        && watched.wait_for(|turned| *turned).await.is_ok()
    {
        return;
    }
    // A sender that is gone never turns it.
    std::future::pending::<()>().await;
}

/// Returns the major version of the server a backup is of.
#[must_use]
pub fn major_of(manifest: &Manifest) -> u32 {
    let digits: String = manifest.server_version.chars().take_while(char::is_ascii_digit).collect();
    let dumped = manifest.dump_version.as_deref().and_then(|line| line.split_once("(PostgreSQL) "));
    let dump_digits: String =
        dumped.map(|(_, version)| version.chars().take_while(char::is_ascii_digit).collect()).unwrap_or_default();
    // An archive is read by its own pg_dump's version or a newer one, whatever the server was.
    digits.parse::<u32>().unwrap_or(0).max(dump_digits.parse().unwrap_or(0))
}
