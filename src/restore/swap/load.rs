//! From the proven scratch copy to a schema beside the one in use: renamed in scratch, since `pg_restore` cannot rename;
//! without the foreign keys to tables of others, which are added once the rows are there; and compared again.

use std::time::Instant as Monotonic;

use super::super::archive::{Loaded, Proof, phase, roles};
use super::super::failure::RestoreError;
use super::super::job::{Done, Job, Proven};
use super::{InUse, SwapError};
use crate::domain::{SequenceDigest, TableDigest};
use crate::engine::restore::{from_channel, run_statement};
use crate::engine::sql::{quote_ident, quote_qualified};
use crate::engine::swap::{self, Keeper, Mark, Patience};
use crate::engine::{
    Connection, DumpRequest, DumpScope, Program, RestoreOptions, RestoreRequest, RowKey, compare, create_roles, dump,
    restore,
};

/// What was loaded beside a schema in use, equal to what was proven in scratch.
pub struct Beside {
    /// The comment it will have.
    pub comment: Option<String>,
    /// Its tables' plain digests, under the names they will have.
    pub tables: Vec<TableDigest>,
    /// Its sequences, likewise.
    pub sequences: Vec<SequenceDigest>,
    /// What was done.
    pub done: Done,
    pub(super) keeper: Keeper,
}

/// A scratch copy, read under the names its tables will have.
pub struct Copy {
    /// Its comment.
    pub comment: Option<String>,
    /// Plain digests.
    pub tables: Vec<TableDigest>,
    /// Sequences.
    pub sequences: Vec<SequenceDigest>,
}

impl Job {
    /// Reads the proven copy of a schema, to be compared with what is in use.
    ///
    /// # Errors
    /// Where the copy lacks what others refer to.
    pub async fn read_copy(&self, proven: &Proven, in_use: &InUse) -> Result<Copy, RestoreError> {
        let schema = &in_use.plan.name;
        let inside = swap::review(&proven.target, schema).await?.map(|review| review.tables).unwrap_or_default();
        let mut lacking: Vec<String> = in_use
            .review
            .keys
            .iter()
            .filter(|key| !inside.contains(&key.target))
            .map(|key| {
                let (name, table) = (quote_ident(&key.name), quote_qualified(&key.schema, &key.table));
                format!("{name} of {table} refers to {}, which is not in the backup: drop it", quote_ident(&key.target))
            })
            .collect();
        lacking.dedup();
        if !lacking.is_empty() {
            return Err(SwapError::Refused { name: quote_ident(schema), reasons: lacking }.into());
        }
        let (tables, sequences) = swap::content(&proven.target, schema).await?;
        Ok(Copy { comment: swap::own_comment(&proven.target, schema).await?, tables, sequences })
    }

    /// Loads the proven copy beside the schema in use, and compares it there. The copy in scratch has the other name
    /// then.
    ///
    /// # Errors
    /// [`RestoreError`]; what was loaded is removed then.
    pub async fn load_beside(
        &self,
        proven: &Proven,
        copy: Copy,
        live: &Connection,
        in_use: &InUse,
        at: &str,
        patience: &Patience,
    ) -> Result<Beside, RestoreError> {
        self.refuse_sanitized()?;
        let (id, incoming) = (&in_use.plan.id, &in_use.plan.incoming);
        let keeper = self.keep(live, id).await?;
        (self.tell)(format!("loading it beside the schema in use, as {}", quote_ident(incoming)));
        let loaded = self.unless_stopped(self.fill_beside(proven, live, in_use, at, patience)).await;
        match loaded {
            Ok(done) => {
                Ok(Beside { comment: copy.comment, tables: copy.tables, sequences: copy.sequences, done, keeper })
            }
            Err(error) => {
                // A mark says what it is, should this fail as well: the next restore removes it.
                let _ = swap::drop_schema(live, incoming, patience).await;
                keeper.end().await;
                Err(error)
            }
        }
    }

    async fn fill_beside(
        &self,
        proven: &Proven,
        live: &Connection,
        in_use: &InUse,
        at: &str,
        patience: &Patience,
    ) -> Result<Done, RestoreError> {
        let wanted = self.wanted()?;
        let manifest = &wanted.origin.manifest;
        let (schema, incoming) = (&in_use.plan.name, &in_use.plan.incoming);
        let scratch = &proven.target;
        let mut done = Done::default();
        let begun = Monotonic::now();
        let keys = swap::outgoing(scratch, schema).await?;
        let rename = format!("ALTER SCHEMA {} RENAME TO {}", quote_ident(schema), quote_ident(incoming));
        run_statement(scratch, "renaming the copy in scratch", rename).await?;
        swap::take_out(scratch, incoming, &keys, patience).await?;
        let mark = Mark::loading(&in_use.plan.id, schema, &manifest.backup_id, at);
        // It is in the archive, too, so that what is loaded is marked from its first moment.
        swap::set_comment(scratch, incoming, &mark.text()).await?;
        create_roles(live, &roles(wanted).await?).await?;
        let search = &self.workshop.search;
        let programs = search.find(&[Program::PgDump, Program::PgRestore], proven.scratch.major()).await?;
        let request = DumpRequest {
            programs: programs.clone(),
            connection: scratch.clone(),
            scope: DumpScope::Schema(incoming.clone()),
            snapshot: None,
            lock_wait: patience.total,
            row_key: RowKey::none(),
            encoding: "UTF8".to_owned(),
        };
        let mut running = dump(&request)?;
        let chunks = from_channel(running.take_chunks());
        let request =
            RestoreRequest { programs, target: live.clone(), archive: chunks, options: RestoreOptions::default() };
        let restored = restore(request).await;
        let dumped = running.finish().await;
        restored?;
        let summary = dumped?;
        swap::add_keys(live, incoming, &keys, patience).await?;
        swap::check_keys(live, incoming, &keys).await?;
        done.loaded.phases.push(phase("load beside", manifest, begun));
        let begun = Monotonic::now();
        (self.tell)("comparing it with what was proven".to_owned());
        let comparison = compare(live, &summary.tables, &summary.sequences, &RowKey::none()).await?;
        let proof = Proof {
            backup: manifest.backup_id.clone(),
            scope: manifest.scope.scope.clone(),
            comparison,
            sequences: summary.sequences.len() as u64,
            left_out: Vec::new(),
            files: None,
        };
        done.proofs.push(proof.must_hold()?);
        done.loaded.phases.push(phase("compare", manifest, begun));
        swap::analyze(live, incoming).await?;
        done.loaded = Loaded { phases: done.loaded.phases, ..Loaded::default() };
        Ok(done)
    }
}
