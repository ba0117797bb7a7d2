//! The report of a restore, gathered as it goes on.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::source::Source;
use super::target::Target;
use crate::domain::{
    Bytes, Instant, KeptServer, RESTORATION_FORMAT, Restoration, RestoreProof, Swapped, TableRestored,
};
use crate::engine::Connection;
use crate::restore::Done;

/// A report on its way.
pub(super) struct Report(Restoration, bool);

impl Report {
    /// Begins one.
    pub(super) fn new(source: &Source, target: &Target) -> Self {
        let manifest = source.manifest();
        let mut notes = source.notes.clone();
        let others = source.apart_from();
        if matches!(target, Target::LiveTenant(_)) && !others.is_empty() {
            let others = others.join(", ");
            notes.push(format!("look at what referred to this tenant, or was referred to by it, in: {others}"));
        }
        notes.extend(manifest.notes.iter().cloned());
        Self(
            Restoration {
                format_version: RESTORATION_FORMAT.to_owned(),
                backup: manifest.backup_id.clone(),
                backups: source.origins.iter().map(|origin| origin.manifest.backup_id.clone()).collect(),
                database: manifest.database.clone(),
                scope: manifest.scope.scope.clone(),
                consistent_at: manifest.consistent_at.clone(),
                store: source.store.to_string(),
                catalog: source.catalog.is_some(),
                into: target.words(),
                proofs: Vec::new(),
                left_out: Vec::new(),
                bytes_fetched: 0,
                elapsed_ms: 0,
                phases: Vec::new(),
                kept: None,
                swap: None,
                table: None,
                sanitized: false,
                notes,
            },
            manifest.adopted_from.is_some(),
        )
    }

    /// Adds what was loaded and proven in one place.
    pub(super) fn add(&mut self, place: &str, done: Done) {
        let report = &mut self.0;
        report.phases.extend(done.loaded.phases);
        report.bytes_fetched += done.loaded.fetched.0;
        let of_others = done.loaded.deferred.iter().map(|entry| (entry, self.1));
        let of_tenants = done.loaded.torn.iter().map(|entry| (entry, false));
        for (entry, adopted) in of_others.chain(of_tenants) {
            let words = entry.to_string();
            if adopted {
                report.notes.push(format!("left out, for want of what is not in the backup: {words}"));
                continue;
            }
            if !report.left_out.contains(&words) {
                report.left_out.push(words);
            }
        }
        for proof in done.proofs {
            let files = proof.files.unwrap_or_default();
            if files.left_out + files.unsettled > 0 {
                report.notes.push(format!(
                    "{} of what matched are not in the backup, and {} changed or failed while they were read; its list of \
                     the files names them",
                    files.left_out, files.unsettled
                ));
            }
            report.proofs.push(RestoreProof {
                place: place.to_owned(),
                backup: proof.backup,
                scope: proof.scope,
                tables: proof.comparison.tables,
                rows: proof.comparison.rows,
                sequences: proof.sequences,
                files: files.files,
                file_bytes: files.bytes.0,
            });
        }
    }

    /// Adds the server that was left running.
    pub(super) fn keep(&mut self, folder: &Path, inside: &Connection, until: Instant) {
        let folder = folder.display().to_string();
        self.0.kept = Some(KeptServer {
            connection: inside.url().expose_secret().to_owned(),
            until: until.to_string(),
            stop: format!("bkup restore --stop {folder}"),
            folder,
        });
    }

    /// Says how a configuration is applied from the folder it was written into.
    pub(super) fn how_to_apply(&mut self, dir: &Path) {
        if self.0.scope == "configuration" {
            let dir = dir.display();
            self.0.notes.push(format!("{dir}/README.txt says what is in it"));
            self.0.notes.push(format!("roles: psql -d postgres -f {dir}/globals.sql"));
            self.0.notes.push(format!("database settings and extensions: psql -d DATABASE -f {dir}/database.sql"));
        }
    }

    /// Adds the swap that put it in place.
    pub(super) fn swapped(&mut self, swapped: Swapped) {
        self.0.swap = Some(swapped);
    }

    /// Adds the one table that was asked for.
    pub(super) fn table(&mut self, table: TableRestored) {
        self.0.table = Some(table);
    }

    /// Says whether the copy was changed after it was proven: then it proves nothing itself.
    pub(super) fn sanitized(&mut self, sanitized: bool) {
        self.0.sanitized = sanitized;
        if sanitized {
            self.0.notes.push("sanitised after it was compared: the copy is no proof, and is not for live".to_owned());
        }
    }

    /// Says how long it took.
    pub(super) fn took(&mut self, time: Duration) {
        self.0.elapsed_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    }

    /// Returns how much was fetched.
    pub(super) const fn fetched(&self) -> Bytes {
        Bytes(self.0.bytes_fetched)
    }

    /// Returns it.
    pub(super) fn finish(self) -> Restoration {
        self.0
    }
}
