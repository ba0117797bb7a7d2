//! Makes a lost catalog again, all of it in one transaction: whoever is killed half-way leaves nothing, what is shown
//! before the approval is what is committed, and nobody sees a half of it. What is written comes from the stores; this
//! file reads none of them.

use std::collections::BTreeMap;

use sqlx::types::Json;
use sqlx::{Acquire, PgConnection, Postgres, Row, Transaction};

use super::audit::{self, AuditEvent};
use super::backups::Completed;
use super::claims::Lease;
use super::completion::{Completing, Facts, write};
use super::documents::{self, DocumentChange};
use super::failure::CatalogError;
use super::migrate::{LOCK, link_tenants, migrate, presence};
use super::moves::carry_rebuilt;
use super::rebuilt::Recovered;
use super::stamp::{Cells, Stamp, bigint};
use super::writer::Writer;
use crate::domain::{
    Address, Applied, BackupId, DocumentOp, Instant, Manifest, RunId, Section, SourceLocation, StateFile, Verification,
};

/// A catalog in the making. Dropped without [`Rebuilding::commit`], it leaves nothing.
pub struct Rebuilding {
    pub(super) transaction: Transaction<'static, Postgres>,
    pub(super) at: Instant,
    /// What old names are called now: manifests say them for good.
    moves: BTreeMap<Address, Address>,
}

/// What a rebuilt catalog begins with.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// Its identity.
    pub lineage: &'a str,
    /// Its serial.
    pub serial: i64,
    /// The value of its clock, where that is simulated.
    pub simulated: Option<Instant>,
    /// The newest state that a store holds; absent where none does.
    pub state: Option<&'a StateFile>,
    /// When it is rebuilt.
    pub at: Instant,
}

impl Writer {
    /// Begins a rebuild: in a database without a catalog, or with one that nothing was ever recorded in.
    ///
    /// # Errors
    /// [`CatalogError::NotEmpty`] over a catalog that is in use; as [`Writer::create`].
    pub async fn begin_rebuild(&self, base: &Base<'_>) -> Result<Rebuilding, CatalogError> {
        let mut transaction = self.session().begin().await?;
        sqlx::query("SET LOCAL lock_timeout = '60s'").execute(&mut *transaction).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
        if presence(&mut transaction).await?.version()?.is_some() {
            refuse_used(&mut transaction).await?;
        }
        // A large store takes long to read, and a person to answer; nobody waits for this transaction meanwhile.
        sqlx::query("SET LOCAL statement_timeout = '30min'").execute(&mut *transaction).await?;
        sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut *transaction).await?;
        migrate(&mut transaction).await?;
        sqlx::query(
            "CREATE TEMPORARY TABLE bkup_attempts (store text, backup_id text COLLATE \"C\", database text, scope text, \
             attempt bigint) ON COMMIT DROP",
        )
        .execute(&mut *transaction)
        .await?;
        let moves = base.state.map(|state| state.kept.moves.clone()).unwrap_or_default();
        let mut rebuilding = Rebuilding { transaction, at: base.at, moves };
        rebuilding.begin(base).await?;
        Ok(rebuilding)
    }
}

async fn refuse_used(connection: &mut PgConnection) -> Result<(), CatalogError> {
    let row = sqlx::query(
        "SELECT lineage, serial, serial > 0 OR audit_rows > 0 OR EXISTS (SELECT FROM bkup.policies) \
             OR EXISTS (SELECT FROM bkup.executions) OR EXISTS (SELECT FROM bkup.drills) AS used FROM bkup.meta",
    )
    .fetch_optional(connection)
    .await?;
    match row {
        Some(row) if row.flag("used")? => {
            Err(CatalogError::NotEmpty { lineage: row.text("lineage")?, serial: row.try_get("serial")? })
        }
        _ => Ok(()),
    }
}

impl Rebuilding {
    async fn begin(&mut self, base: &Base<'_>) -> Result<(), CatalogError> {
        let connection = &mut *self.transaction;
        // Without both of them there is nothing that a chain could hang on.
        let chain = base.state.map(|state| &state.kept).filter(|kept| kept.audit_rows > 0 && kept.audit_head.is_some());
        sqlx::query("DELETE FROM bkup.meta").execute(&mut *connection).await?;
        sqlx::query(
            "INSERT INTO bkup.meta (lineage, serial, serial_run, simulated, clock, audit_rows, audit_head, \
                 audit_base_rows, audit_base_head, rebuilt_at) \
             VALUES ($1, $2, $3, $4::timestamptz IS NOT NULL, $4, $5, $6, $5, $6, $7)",
        )
        .bind(base.lineage)
        .bind(base.serial)
        .bind(base.state.map(|state| state.run.as_str()))
        .bind(Stamp::maybe(base.simulated))
        .bind(chain.map_or(0, |kept| bigint(kept.audit_rows)))
        .bind(chain.and_then(|kept| kept.audit_head.as_deref()))
        .bind(Stamp(base.at))
        .execute(&mut *connection)
        .await?;
        let Some(state) = base.state else {
            let _ = link_tenants(&mut *connection, None).await?;
            return Ok(());
        };
        let cascade = state.kept.tenant_fk.as_deref().map(|rule| rule == "cascade");
        let _ = link_tenants(&mut *connection, cascade).await?;
        // Stores first: how a schedule is shown depends on whether its store encrypts.
        let stores = |address: &Address| address.section() != Section::Store;
        let mut applied: Vec<(&Address, &Applied)> = state.applied.iter().collect();
        applied.sort_by_key(|(address, _)| stores(address));
        for (address, thing) in applied {
            document(connection, state, address, thing).await?;
        }
        self.seen(state).await
    }

    /// Writes stores, progress and tenants as the state has them.
    async fn seen(&mut self, state: &StateFile) -> Result<(), CatalogError> {
        let connection = &mut *self.transaction;
        for store in &state.kept.stores {
            sqlx::query(
                "INSERT INTO bkup.stores (store, url, store_id, capabilities, probed_at) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(store.store.as_str())
            .bind(&store.url)
            .bind(&store.store_id)
            .bind(Json(&store.capabilities))
            .bind(Stamp(store.probed_at))
            .execute(&mut *connection)
            .await?;
        }
        let progress = &state.progress;
        sqlx::query(
            "INSERT INTO bkup.schedule_progress (schedule, database, settled) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[])",
        )
        .bind(progress.iter().map(|p| p.schedule.as_str()).collect::<Vec<_>>())
        .bind(progress.iter().map(|p| p.database.as_ref().map_or("", |d| d.as_str())).collect::<Vec<_>>())
        .bind(progress.iter().map(|p| Stamp(p.settled)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
        for (address, backups) in &state.kept.removals {
            sqlx::query("INSERT INTO bkup.removals (address, backups, recorded_at, run) VALUES ($1, $2, $3, $4)")
                .bind(address.to_string())
                .bind(backups.word())
                .bind(Stamp(state.at))
                .bind(state.run.as_str())
                .execute(&mut *connection)
                .await?;
        }
        for gone in &state.kept.offboarded {
            sqlx::query(
                "INSERT INTO bkup.tenants (database, slug, schema_name, tenant_id, class, first_seen_at, last_seen_at, \
                     offboarded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(gone.database.as_str())
            .bind(&gone.slug)
            .bind(&gone.schema)
            .bind(&gone.id)
            .bind(gone.class.as_ref().map(|class| class.as_str()))
            .bind(Stamp(gone.first_seen_at))
            .bind(Stamp(gone.last_seen_at))
            .bind(Stamp(gone.at))
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    /// Records backups whose manifests were read. Returns those that cannot be, by their place in the batch, and why.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn backups(&mut self, batch: &[Recovered]) -> Result<Vec<(usize, String)>, CatalogError> {
        let mut refused = Vec::new();
        let all: Vec<usize> = (0..batch.len()).collect();
        if !self.try_backups(batch, &all, &mut refused).await? {
            // One of them has a slot that another one has. Each by itself says which.
            refused.clear();
            for index in all {
                if !self.try_backups(batch, &[index], &mut refused).await? {
                    refused.push((index, "another backup holds its slot".to_owned()));
                }
            }
        }
        let of_tenants = batch.iter().map(|b| &b.manifest).filter(|m| m.scope.scope.starts_with("tenant="));
        let schemas: Vec<(&Manifest, &str)> =
            of_tenants.filter_map(|m| Some((m, m.scope.schemas.first()?.as_str()))).collect();
        sqlx::query(
            "UPDATE bkup.executions e SET tenant_schema = s.name \
             FROM unnest($1::text[], $2::text[]) AS s (backup_id, name) WHERE e.backup_id = s.backup_id",
        )
        .bind(schemas.iter().map(|(manifest, _)| manifest.backup_id.as_str()).collect::<Vec<_>>())
        .bind(schemas.iter().map(|(_, schema)| *schema).collect::<Vec<_>>())
        .execute(&mut *self.transaction)
        .await?;
        Ok(refused)
    }

    /// Writes some of a batch, or, where two of them want one slot, none of them: false.
    async fn try_backups(
        &mut self,
        batch: &[Recovered],
        which: &[usize],
        refused: &mut Vec<(usize, String)>,
    ) -> Result<bool, CatalogError> {
        let done: Vec<(usize, Completed<'_>)> = which
            .iter()
            .filter_map(|index| {
                let recovered = batch.get(*index)?;
                let completed_at = recovered.manifest.completed_at.parse().ok();
                let done = Completed {
                    manifest: &recovered.manifest,
                    manifest_key: &recovered.key,
                    store: &recovered.store,
                    // A manifest is written after its parts were read back, never before.
                    verified: completed_at.map(|at| (Verification::Checksum, at)),
                };
                Some((*index, done))
            })
            .collect();
        let mut read: Vec<(Facts, Lease, &Completed<'_>)> = Vec::new();
        for (index, done) in &done {
            let facts = Facts::of(done).and_then(|facts| {
                let action = done.manifest.action_id.parse().map_err(CatalogError::unfit)?;
                Ok((facts, Lease { action, token: done.manifest.attempt }, done))
            });
            match facts {
                Ok(one) => read.push(one),
                Err(CatalogError::Unfit { reason }) => refused.push((*index, reason)),
                Err(error) => return Err(error),
            }
        }
        let (leases, facts): (Vec<Lease>, Vec<_>) = read.into_iter().map(|(f, lease, done)| (lease, (f, done))).unzip();
        let all: Vec<Completing<'_>> =
            leases.iter().zip(facts).map(|(lease, (facts, done))| Completing { lease, facts, done }).collect();
        let mut savepoint = self.transaction.begin().await?;
        match write(&mut savepoint, &all).await {
            Ok(()) => {}
            Err(CatalogError::Conflict { .. }) => {
                savepoint.rollback().await?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        savepoint.commit().await?;
        Ok(true)
    }

    /// Returns when the catalog is rebuilt, by its own clock.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// Takes the chain on with an event, and makes the catalog visible to everybody.
    ///
    /// # Errors
    /// As every statement: unreachable, refused. Nothing is there then.
    pub async fn commit(mut self, event: AuditEvent) -> Result<(), CatalogError> {
        carry_rebuilt(&mut self.transaction, &self.moves, self.at).await?;
        audit::append(&mut self.transaction, &[event]).await?;
        Ok(self.transaction.commit().await?)
    }

    /// Gives the rebuild up.
    ///
    /// # Errors
    /// Where the server is gone; then the catalog is not there either.
    pub async fn give_up(self) -> Result<(), CatalogError> {
        Ok(self.transaction.rollback().await?)
    }
}

async fn document(
    connection: &mut PgConnection,
    state: &StateFile,
    address: &Address,
    thing: &Applied,
) -> Result<(), CatalogError> {
    let approval = state.kept.approvals.get(address);
    let file = approval.and_then(|by| by.file.clone());
    let location = file.map(|file| SourceLocation { file, line: approval.and_then(|by| by.line).unwrap_or(1) });
    let run = approval.and_then(|by| by.run.as_deref()).and_then(|run| super::state::run_id(run).ok());
    let run: &RunId = run.as_ref().unwrap_or(&state.run);
    let change = DocumentChange {
        address,
        op: DocumentOp::Create,
        body: Some(&thing.body),
        location: location.as_ref(),
        commit: approval.and_then(|by| by.commit.as_deref()),
        by: approval.and_then(|by| by.by.as_deref()).unwrap_or("unknown"),
        run,
        at: thing.since,
    };
    documents::record(connection, &change, &thing.body).await?;
    if let Some(at) = thing.archived_at {
        documents::archive(connection, &DocumentChange { op: DocumentOp::Archive, body: None, at, ..change }).await?;
    }
    if let Some(approval) = approval {
        sqlx::query("UPDATE bkup.policies SET applied_at = $2 WHERE address = $1")
            .bind(address.to_string())
            .bind(Stamp(approval.at))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Takes a backup's id apart into slot and schedule; `None` for one that bkup did not make.
pub(super) fn parts_of(id: &BackupId) -> Option<(Instant, &str)> {
    let text = id.as_str();
    let (slot, rest) = text.split_once('-')?;
    let (schedule, hash) = rest.rsplit_once('-')?;
    if hash.len() != 16 || schedule.is_empty() {
        return None;
    }
    let slot = jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", slot).ok()?.to_datetime().ok()?;
    Some((slot.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(), schedule))
}

#[cfg(test)]
mod tests {
    use super::parts_of;
    use crate::domain::BackupId;

    #[test]
    fn an_id_says_its_slot_and_its_schedule() {
        let id = BackupId::from_text("20260301T020000Z-night-ly-0123456789abcdef".to_owned());
        let (slot, schedule) = parts_of(&id).unwrap();
        assert_eq!((slot.to_string().as_str(), schedule), ("2026-03-01T02:00:00Z", "night-ly"));
        for other in ["", "x", "20260301T020000Z-nightly", "20260301-nightly-0123456789abcdef"] {
            assert_eq!(parts_of(&BackupId::from_text(other.to_owned())), None, "{other}");
        }
    }
}
