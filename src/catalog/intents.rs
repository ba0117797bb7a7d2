//! Attempts that begin: each has a row before its first byte is written, so that what a dead one left behind stays to be
//! seen. Those of a group begin in one transaction.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::backups::{Slot, holders, name, only};
use super::claims::Lease;
use super::columns::word_of;
use super::failure::CatalogError;
use super::moves::check_names;
use super::stamp::{Cells, as_recorded};
use super::writer::{Writer, fenced, held};
use crate::domain::{BackupId, BackupWork, Instant, Name, RunId, ZoneName};

/// A backup that is about to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent<'a> {
    /// What is taken.
    pub work: &'a BackupWork,
    /// In which run.
    pub run: &'a RunId,
    /// When it begins.
    pub started_at: Instant,
}

/// What came of intending a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intended {
    /// It is this attempt's to take.
    Go,
    /// The slot has its backup already.
    SlotTaken(BackupId),
}

impl Writer {
    /// Records that a backup is about to be taken, before its first byte is written. Earlier attempts at it that still
    /// look alive are not: their lease was taken over.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; as every statement.
    pub async fn intend_backup(&self, lease: &Lease, intent: &Intent<'_>) -> Result<Intended, CatalogError> {
        only(self.intend_backups(&[(lease, intent)]).await?)
    }

    /// Records that backups are about to be taken, in one transaction; each has an answer of its own, in their order.
    ///
    /// # Errors
    /// As every statement: then none is recorded.
    pub async fn intend_backups(
        &self,
        intents: &[(&Lease, &Intent<'_>)],
    ) -> Result<Vec<Result<Intended, CatalogError>>, CatalogError> {
        let mut transaction = self.session().begin().await?;
        let leases: Vec<&Lease> = intents.iter().map(|(lease, _)| *lease).collect();
        let held = held(&mut transaction, &leases).await?;
        let mut moved = BTreeMap::new();
        for (_, Intent { work, .. }) in intents {
            let names = (&work.schedule, work.database.as_ref(), &work.store);
            if let Entry::Vacant(entry) = moved.entry(names) {
                let (schedule, database, store) = names;
                entry.insert(check_names(&mut transaction, schedule, database, store).await?);
            }
        }
        let slots: Vec<Slot<'_>> = intents
            .iter()
            .map(|(_, Intent { work, .. })| {
                (work.schedule.as_str(), work.database.as_ref().map(Name::as_str), &work.scope, work.slot)
            })
            .collect();
        let holders = holders(&mut transaction, &slots).await?;
        // The name may have been another schedule's, which was renamed: its backup of this slot has the very same id.
        let used: Vec<String> = sqlx::query_scalar(
            "SELECT backup_id FROM bkup.executions WHERE backup_id = ANY($1) AND status = 'COMPLETED'",
        )
        .bind(intents.iter().map(|(_, intent)| intent.work.backup.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut *transaction)
        .await?;
        let used: BTreeSet<String> = used.into_iter().collect();
        let zones = zones(&mut transaction, intents).await?;
        let (mut answers, mut begun) = (Vec::new(), Vec::new());
        for ((lease, intent), holder) in intents.iter().zip(holders) {
            let work = intent.work;
            let names = (&work.schedule, work.database.as_ref(), &work.store);
            answers.push(if !held.contains(lease) {
                Err(fenced(lease))
            } else if let Some(Some(moved)) = moved.get(&names) {
                Err(CatalogError::Conflict { reason: format!("{moved}; plan again") })
            } else if let Some((holder, _)) = holder {
                Ok(Intended::SlotTaken(holder))
            } else if used.contains(work.backup.as_str()) {
                Ok(Intended::SlotTaken(work.backup.clone()))
            } else {
                begun.push(Begun::of(lease, intent, zones.get(&work.schedule))?);
                Ok(Intended::Go)
            });
        }
        if !begun.is_empty() {
            begin(&mut transaction, begun).await?;
            transaction.commit().await?;
        }
        Ok(answers)
    }
}

/// Returns the time zones of the schedules that have one.
async fn zones(
    connection: &mut PgConnection,
    intents: &[(&Lease, &Intent<'_>)],
) -> Result<BTreeMap<Name, ZoneName>, CatalogError> {
    let schedules: BTreeSet<&Name> = intents.iter().map(|(_, intent)| &intent.work.schedule).collect();
    let rows = sqlx::query("SELECT policy_name, timezone FROM bkup.schedules WHERE policy_name = ANY($1)")
        .bind(schedules.iter().map(|name| name.as_str()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let mut zones = BTreeMap::new();
    for row in rows {
        if let Some(Ok(zone)) = row.maybe_text("timezone")?.map(ZoneName::try_from) {
            zones.insert(row.parsed("policy_name")?, zone);
        }
    }
    Ok(zones)
}

/// A row of an attempt that begins, by its columns' names.
#[derive(Serialize)]
struct Begun<'a> {
    backup_id: &'a str,
    attempt: u64,
    action_id: String,
    run: &'a str,
    backup_type: String,
    backup_name: String,
    backup_method: String,
    started_at: String,
    schedule: &'a str,
    slot: String,
    slot_local: String,
    slot_zone: String,
    database: Option<&'a str>,
    scope: String,
    tenant_slug: Option<&'a str>,
    tenant_schema: Option<&'a str>,
    tenant_id: Option<&'a str>,
    engine: String,
    shared: Option<&'a str>,
    store: &'a str,
}

impl<'a> Begun<'a> {
    fn of(lease: &Lease, intent: &Intent<'a>, zone: Option<&ZoneName>) -> Result<Self, CatalogError> {
        let work = intent.work;
        let zone = zone.cloned().unwrap_or_default();
        let database = work.database.as_ref().map(Name::as_str);
        Ok(Self {
            backup_id: work.backup.as_str(),
            attempt: lease.token,
            action_id: lease.action.to_string(),
            run: intent.run.as_str(),
            backup_type: work.backup_type.sql(),
            backup_name: name(work.schedule.as_str(), database, &work.scope, work.slot),
            backup_method: word_of(&work.method)?,
            started_at: as_recorded(intent.started_at).to_string(),
            schedule: work.schedule.as_str(),
            slot: as_recorded(work.slot).to_string(),
            slot_local: work.slot.to_zoned(zone.zone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            slot_zone: zone.to_string(),
            database,
            scope: work.scope.to_string(),
            tenant_slug: work.scope.tenant(),
            tenant_schema: work.tenant.as_ref().map(|tenant| tenant.schema.as_str()),
            tenant_id: work.tenant.as_ref().and_then(|tenant| tenant.id.as_deref()),
            engine: word_of(&work.engine)?,
            shared: work.shared.as_ref().map(BackupId::as_str),
            store: work.store.as_str(),
        })
    }
}

/// Writes the rows of attempts that begin, and gives up those before them.
async fn begin(connection: &mut PgConnection, begun: Vec<Begun<'_>>) -> Result<(), CatalogError> {
    let simulated: Option<bool> =
        sqlx::query_scalar("SELECT simulated FROM bkup.meta").fetch_optional(&mut *connection).await?;
    let simulated = simulated.ok_or(CatalogError::Absent)?;
    sqlx::query(
        "UPDATE bkup.executions e SET status = 'FAILED', abandoned_at = w.started_at, lease_until = NULL, \
             error_message = 'its runner stopped: the lease ended', updated_at = now() \
         FROM jsonb_to_recordset($1) AS w (action_id text, attempt bigint, started_at timestamptz) \
         WHERE e.action_id = w.action_id AND e.attempt < w.attempt AND e.status = 'RUNNING'",
    )
    .bind(Json(&begun))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO bkup.executions (backup_id, attempt, action_id, run, runner, lease_until, backup_type, \
             backup_name, backup_method, status, scheduled_at, started_at, retry_count, schedule, slot, \
             slot_local, slot_zone, database, scope, tenant_slug, tenant_schema, tenant_id, engine, shared, store, \
             simulated) \
         SELECT w.backup_id, w.attempt, w.action_id, w.run, c.runner, c.lease_until, w.backup_type, \
                w.backup_name, w.backup_method, 'RUNNING', w.slot, w.started_at, \
                (SELECT count(*)::integer FROM bkup.executions e \
                 WHERE e.backup_id = w.backup_id AND e.attempt < w.attempt), \
                w.schedule, w.slot, w.slot_local, w.slot_zone, w.database, w.scope, w.tenant_slug, w.tenant_schema, \
                w.tenant_id, w.engine, w.shared, w.store, $2 \
         FROM jsonb_populate_recordset(NULL::bkup.executions, $1) w JOIN bkup.claims c ON c.action_id = w.action_id \
         ON CONFLICT (backup_id, attempt) DO NOTHING",
    )
    .bind(Json(&begun))
    .bind(simulated)
    .execute(connection)
    .await?;
    Ok(())
}
