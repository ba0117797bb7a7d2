//! Where a restore goes: a scratch server, a new database, a tenant's place in a live database.

use std::path::PathBuf;
use std::time::Instant as Monotonic;

use super::archive::{Loaded, Opened, load, prove};
use super::failure::RestoreError;
use crate::domain::{Bytes, Manifest, Phase};
use crate::engine::restore::{create_database, drop_database, schema_exists};
use crate::engine::scratch::free_bytes;
use crate::engine::{Comparison, Connection, Program, Programs, RestoreOptions, Scratch, ScratchOptions, Search};

/// Room a scratch server needs beside the data: its own files and log.
const SCRATCH_FLOOR: u64 = 200 << 20;

/// Where scratch servers are made, and with what.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// Where PostgreSQL's programs are looked for.
    pub search: Search,
    /// The folder in which scratch servers get theirs: short, and passable for an unprivileged user.
    pub folder: PathBuf,
}

/// A scratch server to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchSpec {
    /// The oldest major version it may have.
    pub major: u32,
    /// What tells it from others: random digits.
    pub tag: String,
    /// Bytes that will be loaded, before compression.
    pub expected: Bytes,
}

/// What a restore into a live database did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveReport {
    /// The load into the live database.
    pub loaded: Loaded,
    /// The proof in the live database.
    pub proof: Comparison,
}

impl Workshop {
    /// Starts a scratch server of the newest fitting version, once there is room for what it will hold.
    ///
    /// # Errors
    /// When the programs or the room are lacking, or it does not start.
    pub async fn start(&self, spec: &ScratchSpec) -> Result<(Scratch, Programs), RestoreError> {
        let programs = self.search.find(&Program::SERVER, spec.major).await?;
        // Loaded tables with their indexes and log take about twice the dump's size.
        let needed = spec.expected.0.saturating_mul(2).saturating_add(SCRATCH_FLOOR);
        let free = free_bytes(&self.folder)?;
        if free < needed {
            return Err(RestoreError::NoRoom {
                folder: self.folder.display().to_string(),
                needed: Bytes(needed).to_string(),
                free: Bytes(free).to_string(),
            });
        }
        let folder = self.folder.join(format!("bkup-{}", spec.tag));
        let options = ScratchOptions { programs: programs.clone(), folder, settings: Vec::new(), template: None };
        Ok((Scratch::start(options).await?, programs))
    }
}

/// Returns the major version of the server a backup is of.
#[must_use]
pub fn major_of(manifest: &Manifest) -> u32 {
    let digits: String = manifest.server_version.chars().take_while(char::is_ascii_digit).collect();
    let dumped = manifest.dump_version.as_deref().and_then(|line| line.rsplit(' ').next().map(str::to_owned));
    let dump_digits: String =
        dumped.unwrap_or_default().trim_matches(')').chars().take_while(char::is_ascii_digit).collect();
    // An archive is read by its own pg_dump's version or a newer one, whatever the server was.
    digits.parse::<u32>().unwrap_or(0).max(dump_digits.parse().unwrap_or(0))
}

/// Loads backups, shared archives first, into a database of a scratch server, and proves each of them equal.
///
/// # Errors
/// When one cannot be loaded, or is not what was backed up.
pub async fn into_scratch(
    scratch: &Scratch,
    programs: &Programs,
    database: &str,
    backups: &[Opened],
) -> Result<(Connection, Loaded, Vec<Comparison>), RestoreError> {
    if database != "postgres" {
        create_database(&scratch.connection("postgres"), database).await?;
    }
    let target = scratch.connection(database);
    let mut all = Loaded::default();
    let mut proofs = Vec::new();
    for backup in backups {
        let loaded = load(backup, programs, &target, RestoreOptions::default()).await?;
        all.phases.extend(loaded.phases);
        all.fetched = all.fetched.plus(loaded.fetched);
        all.deferred.extend(loaded.deferred);
    }
    for backup in backups {
        let begun = Monotonic::now();
        let proof = prove(backup, &target).await?;
        all.phases.push(Phase {
            phase: "compare".to_owned(),
            subject: backup.origin.manifest.backup_id.clone(),
            milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        must_equal(&backup.origin.manifest, &proof)?;
        proofs.push(proof);
    }
    Ok((target, all, proofs))
}

/// Loads backups into a new database beside the live one; on failure the new database is dropped again.
///
/// # Errors
/// When the database exists, cannot be loaded, or is not what was backed up.
pub async fn into_new_database(
    server: &Connection,
    programs: &Programs,
    database: &str,
    backups: &[Opened],
) -> Result<(Loaded, Vec<Comparison>), RestoreError> {
    let maintenance = server.with_database("postgres");
    create_database(&maintenance, database).await?;
    let target = server.with_database(database);
    let fill = async {
        let mut all = Loaded::default();
        let mut proofs = Vec::new();
        for backup in backups {
            let loaded = load(backup, programs, &target, RestoreOptions::default()).await?;
            all.phases.extend(loaded.phases);
            all.fetched = all.fetched.plus(loaded.fetched);
            all.deferred.extend(loaded.deferred);
        }
        for backup in backups {
            let proof = prove(backup, &target).await?;
            must_equal(&backup.origin.manifest, &proof)?;
            proofs.push(proof);
        }
        Ok((all, proofs))
    };
    match fill.await {
        Ok(done) => Ok(done),
        Err(error) => {
            // It was made here a moment ago and nobody was told of it: a half-filled one must not be found.
            drop_database(&maintenance, database).await?;
            Err(error)
        }
    }
}

/// Loads a tenant's backup into a live database that lacks its schema, in one transaction, and proves it. The backup
/// must have been proven in scratch before.
///
/// # Errors
/// When the schema exists, the load fails (then nothing is left of it), or the result is not equal.
pub async fn into_live_tenant(
    live: &Connection,
    programs: &Programs,
    backup: &Opened,
) -> Result<LiveReport, RestoreError> {
    for schema in &backup.origin.manifest.scope.schemas {
        if schema_exists(live, schema).await? {
            return Err(RestoreError::TargetExists {
                what: format!("schema {}", crate::engine::sql::quote_ident(schema)),
            });
        }
    }
    let options = RestoreOptions { single_transaction: true, ..RestoreOptions::default() };
    let loaded = load(backup, programs, live, options).await?;
    let proof = prove(backup, live).await?;
    must_equal(&backup.origin.manifest, &proof)?;
    Ok(LiveReport { loaded, proof })
}

/// Turns a difference into an error that names the tables.
fn must_equal(manifest: &Manifest, proof: &Comparison) -> Result<(), RestoreError> {
    if proof.is_equal() {
        return Ok(());
    }
    let mut what: Vec<String> = proof.differences.iter().map(|difference| difference.table.clone()).collect();
    what.extend(
        proof.sequences.iter().map(|d| crate::engine::sql::quote_qualified(&d.recorded.schema, &d.recorded.sequence)),
    );
    Err(RestoreError::NotEqual { backup: manifest.backup_id.clone(), what: what.join(", ") })
}
