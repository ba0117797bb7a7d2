//! Backups of more than one archive: a whole database whose rows were read by several programs, and single tables with
//! what they need to stand alone.

use std::path::Path;
use std::time::Instant as Monotonic;

use futures_util::future::try_join_all;
use tokio::io::AsyncWriteExt;

use super::RestoreError;
use super::archive::{Loaded, Opened, cause_of, phase};
use crate::domain::{DataPart, PartKind};
use crate::engine::{
    Connection, EngineError, Programs, RestoreOptions, RestoreReport, RestoreRequest, Sections, restore, restore_file,
    restore_loose, restore_tables,
};

/// Loads the archives of a backup that has more than one; `None` where it has one.
///
/// # Errors
/// [`RestoreError`]; the database may hold a part of it then.
pub(super) async fn load(
    opened: &Opened,
    programs: &Programs,
    target: &Connection,
    options: RestoreOptions,
) -> Result<Option<Loaded>, RestoreError> {
    let into = Way { opened, programs, target, options };
    if let Some(definitions) = opened.part(PartKind::Definitions) {
        return into.whole(definitions).await.map(Some);
    }
    match opened.part(PartKind::Prelude) {
        Some(prelude) => into.tables(prelude).await.map(Some),
        None => Ok(None),
    }
}

/// What goes where, and how.
struct Way<'a> {
    opened: &'a Opened,
    programs: &'a Programs,
    target: &'a Connection,
    options: RestoreOptions,
}

impl Way<'_> {
    /// Loads a whole database: what comes before the rows, all rows at once, what comes after them.
    async fn whole(&self, definitions: &DataPart) -> Result<Loaded, RestoreError> {
        let manifest = &self.opened.origin.manifest;
        let mut loaded = Loaded::default();
        let begun = Monotonic::now();
        let _ = self.one(definitions, Sections::Before, restore).await?;
        loaded.phases.push(phase("definitions", manifest, begun));
        let begun = Monotonic::now();
        let rows: Vec<&DataPart> = manifest.parts.iter().filter(|part| part.kind == PartKind::Rows).collect();
        let _ = try_join_all(rows.iter().map(|part| self.one(part, Sections::Rows, restore))).await?;
        loaded.phases.push(phase("fetch and restore", manifest, begun));
        let begun = Monotonic::now();
        match &self.opened.room {
            Some(file) => self.after_with_jobs(definitions, file, rows.len()).await?,
            None => drop(self.one(definitions, Sections::After, restore).await?),
        }
        loaded.phases.push(phase("indexes and constraints", manifest, begun));
        Ok(loaded)
    }

    /// Makes indexes and constraints with several sessions at once, for which the definitions, which are small, have to
    /// lie in a file.
    async fn after_with_jobs(&self, definitions: &DataPart, file: &Path, jobs: usize) -> Result<(), RestoreError> {
        let done = async {
            self.write(definitions, file).await?;
            let options = RestoreOptions { sections: Sections::After, ..self.options };
            let jobs = u32::try_from(jobs).unwrap_or(1);
            restore_file(self.programs, self.target, file, jobs, options).await?;
            Ok(())
        };
        let done = done.await;
        // Why it failed matters more than a file whose name says what it is.
        let _ = std::fs::remove_file(file);
        done
    }

    async fn write(&self, part: &DataPart, file: &Path) -> Result<(), RestoreError> {
        let io = |e| RestoreError::Engine(EngineError::io(format!("writing {}", file.display()), e));
        let mut options = tokio::fs::OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(0o600).open(file).await.map_err(io)?;
        let (mut reader, task) = self.opened.stream(part);
        let written = async {
            while let Some(piece) = reader.next().await {
                let piece = piece.map_err(|error| RestoreError::NotServed(error.to_string()))?;
                out.write_all(&piece).await.map_err(io)?;
            }
            out.flush().await.map_err(io)
        };
        let written = written.await;
        drop(reader);
        cause_of(written, task).await
    }

    /// Loads tables: first what they may need, as far as it can be made without what was left out.
    async fn tables(&self, prelude: &DataPart) -> Result<Loaded, RestoreError> {
        let manifest = &self.opened.origin.manifest;
        let mut loaded = Loaded::default();
        let begun = Monotonic::now();
        // In a live database all of it is there, and a transaction would end with the first thing that is.
        if !self.options.single_transaction {
            let report = self.one(prelude, Sections::All, restore_loose).await?;
            loaded.deferred.extend(report.deferred);
            loaded.phases.push(phase("what the tables need", manifest, begun));
        }
        let begun = Monotonic::now();
        let Some(archive) = self.opened.part(PartKind::Archive) else {
            return Err(RestoreError::NotServed(format!("backup {} has no archive", manifest.backup_id)));
        };
        let report = match self.options.single_transaction {
            true => self.one(archive, Sections::All, restore).await?,
            false => self.one(archive, Sections::All, restore_tables).await?,
        };
        loaded.deferred.extend(report.deferred);
        loaded.phases.push(phase("fetch and restore", manifest, begun));
        Ok(loaded)
    }

    async fn one<F, R>(&self, part: &DataPart, sections: Sections, how: F) -> Result<RestoreReport, RestoreError>
    where
        F: FnOnce(RestoreRequest) -> R,
        R: Future<Output = Result<RestoreReport, EngineError>>,
    {
        let (archive, task) = self.opened.archive_of(part);
        let request = RestoreRequest {
            programs: self.programs.clone(),
            target: self.target.clone(),
            archive,
            options: RestoreOptions { sections, ..self.options },
        };
        cause_of(how(request).await.map_err(RestoreError::from), task).await
    }
}
