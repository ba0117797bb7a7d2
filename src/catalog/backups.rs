//! How an attempt ends: completed after its manifest, failed, or collected. Those of a group are completed in one
//! transaction where nothing is wrong with any of them.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::audit::AuditEvent;
use super::claims::Lease;
use super::completion::{Completing, Facts, looks, refer_to_tenants, write};
use super::failure::CatalogError;
use super::slots::settle_slot;
use super::stamp::{Cells, Stamp, bigint, plain};
use super::writer::{Writer, fence, fenced, held, seal};
use crate::domain::{BackupId, Instant, Manifest, Name, Scope, Verification};

/// A backup whose manifest is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed<'a> {
    /// The manifest as it stands in the store; its attempt may be an earlier one, whose runner died before this call.
    pub manifest: &'a Manifest,
    /// Its key below the store's prefix.
    pub manifest_key: &'a str,
    /// The store's name.
    pub store: &'a Name,
    /// How deeply it is proven already, and when.
    pub verified: Option<(Verification, Instant)>,
}

/// What came of recording a completed backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// It is recorded.
    Recorded,
    /// It was recorded already.
    Already,
    /// Another backup has the slot: this attempt is garbage.
    SlotTaken,
}

/// A completed backup that is to be recorded together with others.
#[derive(Debug, Clone)]
pub struct ToComplete<'a> {
    /// The lease of the action that made it.
    pub lease: &'a Lease,
    /// The backup.
    pub done: Completed<'a>,
    /// What the audit chain is told of it, if this records it.
    pub told: AuditEvent,
    /// When.
    pub at: Instant,
}

/// An attempt that failed and is to be recorded together with others.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The lease of the action that made it; its token is the attempt.
    pub lease: Lease,
    /// The backup.
    pub backup: BackupId,
    /// Why.
    pub error: String,
}

impl Writer {
    /// Records a backup as completed with all that its manifest says. Where the manifest is an earlier attempt's, that
    /// attempt is the completed one, and this one's data is garbage.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; [`CatalogError::Unfit`] for a manifest whose fields cannot be read.
    pub async fn complete_backup(
        &self,
        lease: &Lease,
        done: &Completed<'_>,
        at: Instant,
    ) -> Result<Completion, CatalogError> {
        only(self.complete(&[(lease, done, at)], &[self.told()]).await?)
    }

    /// Records backups as completed, in one transaction where nothing is wrong with any of them; each has an answer of
    /// its own, in their order.
    ///
    /// # Errors
    /// As every statement: then none is recorded.
    pub async fn complete_backups(
        &self,
        all: &[ToComplete<'_>],
    ) -> Result<Vec<Result<Completion, CatalogError>>, CatalogError> {
        let told: Vec<&[AuditEvent]> = all.iter().map(|one| std::slice::from_ref(&one.told)).collect();
        let done: Vec<(&Lease, &Completed<'_>, Instant)> =
            all.iter().map(|one| (one.lease, &one.done, one.at)).collect();
        match self.complete(&done, &told).await {
            Ok(answers) => Ok(answers),
            Err(error) if error.is_transient() => Err(error),
            // One of them is not as it should be. It must not fail the others: each is recorded by itself.
            Err(_) => {
                let mut answers = Vec::new();
                for (one, told) in done.iter().zip(&told) {
                    answers.push(
                        self.complete(std::slice::from_ref(one), std::slice::from_ref(told)).await.and_then(only),
                    );
                }
                Ok(answers)
            }
        }
    }

    async fn complete(
        &self,
        all: &[(&Lease, &Completed<'_>, Instant)],
        told: &[&[AuditEvent]],
    ) -> Result<Vec<Result<Completion, CatalogError>>, CatalogError> {
        let mut transaction = self.session().begin().await?;
        let leases: Vec<&Lease> = all.iter().map(|(lease, ..)| *lease).collect();
        let held = held(&mut transaction, &leases).await?;
        let collected = collected(&mut transaction, all).await?;
        let facts: Vec<Result<Facts, CatalogError>> = all.iter().map(|(_, done, _)| Facts::of(done)).collect();
        let slots: Vec<Slot<'_>> = all
            .iter()
            .zip(&facts)
            .filter_map(|((_, done, _), facts)| Some(slot_of(done, facts.as_ref().ok()?)))
            .collect();
        let mut holders = holders(&mut transaction, &slots).await?.into_iter();
        let (mut answers, mut fresh, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let mut changed = false;
        // Slots that those before have taken just now.
        let mut taken: BTreeMap<OwnSlot, (BackupId, u64)> = BTreeMap::new();
        for ((&(lease, done, at), facts), told) in all.iter().zip(facts).zip(told) {
            let manifest = done.manifest;
            let holder = facts.is_ok().then(|| holders.next().flatten()).flatten();
            let id = (manifest.backup_id.clone(), manifest.attempt);
            let facts = match facts {
                Ok(_) if !held.contains(lease) => Err(fenced(lease)),
                // What was collected is gone from the store: its manifest, however it came there, is of a backup without
                // data.
                Ok(_) if collected.contains(&id) => {
                    let reason = format!("attempt {} of backup {} was collected", manifest.attempt, manifest.backup_id);
                    Err(CatalogError::Conflict { reason })
                }
                facts => facts,
            };
            let facts = match facts {
                Ok(facts) => facts,
                Err(error) => {
                    answers.push(Err(error));
                    continue;
                }
            };
            if manifest.attempt != lease.token {
                abandon(&mut transaction, &[(lease, &manifest.backup_id, "an earlier attempt had completed it")], at)
                    .await?;
                changed = true;
            }
            let slot = (manifest.schedule.clone(), manifest.database.clone(), manifest.scope.scope.clone(), facts.slot);
            answers.push(Ok(match holder.or_else(|| taken.get(&slot).cloned()) {
                Some((holder, attempt)) if holder.as_str() == manifest.backup_id && attempt == manifest.attempt => {
                    Completion::Already
                }
                Some(_) => {
                    abandon(&mut transaction, &[(lease, &manifest.backup_id, "another backup has the slot")], at)
                        .await?;
                    changed = true;
                    Completion::SlotTaken
                }
                None => {
                    taken.insert(slot, (BackupId::from_text(manifest.backup_id.clone()), manifest.attempt));
                    fresh.push(Completing { lease, facts, done });
                    events.extend(told.iter().cloned());
                    Completion::Recorded
                }
            }));
        }
        if fresh.is_empty() {
            if changed {
                transaction.commit().await?;
            }
            return Ok(answers);
        }
        match (write(&mut transaction, &fresh).await, all) {
            // Two different actions for one slot, at the same moment: the index lets one of them in.
            (Err(CatalogError::Conflict { .. }), &[(lease, done, at)]) => {
                transaction.rollback().await?;
                let mut connection = self.session().connection().await?;
                abandon(&mut connection, &[(lease, &done.manifest.backup_id, "another backup has the slot")], at)
                    .await?;
                return Ok(vec![Ok(Completion::SlotTaken)]);
            }
            (other, _) => other?,
        }
        refer_to_tenants(&mut transaction, &fresh).await?;
        for Completing { facts, done, .. } in fresh.iter().filter(|one| one.facts.scope == Scope::Configuration) {
            // Slots of `on: change` go on from the newest one, also when every backup of the schedule was purged.
            let (schedule, database) = (&done.manifest.schedule, done.manifest.database.as_deref());
            settle_slot(&mut transaction, schedule, database, facts.slot).await?;
        }
        looks(&mut transaction, &fresh).await?;
        seal(transaction, &events).await?;
        Ok(answers)
    }

    /// Records attempts that failed; what they have written is garbage from now on. Those whose leases are over are passed
    /// over: others have recorded them. Their errors hold no secrets.
    ///
    /// # Errors
    /// When the catalog cannot be asked.
    pub async fn fail_backups(&self, failures: &[Failure], at: Instant) -> Result<(), CatalogError> {
        let mut transaction = self.session().begin().await?;
        let leases: Vec<&Lease> = failures.iter().map(|failure| &failure.lease).collect();
        let held = held(&mut transaction, &leases).await?;
        let of_these = failures.iter().filter(|failure| held.contains(&failure.lease));
        let ended: Vec<Abandoned<'_>> =
            of_these.map(|one| (&one.lease, one.backup.as_str(), one.error.as_str())).collect();
        abandon(&mut transaction, &ended, at).await?;
        Ok(transaction.commit().await?)
    }

    /// Records that what an attempt left behind is gone from the store. `lease` is the collecting action's.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; [`CatalogError::Conflict`] where the attempt is completed or still has its lease.
    pub async fn collected(
        &self,
        lease: &Lease,
        backup: &BackupId,
        attempt: u64,
        at: Instant,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let collected = sqlx::query(
            "UPDATE bkup.executions SET collected_at = coalesce(collected_at, $3), updated_at = now(), \
                 status = CASE status WHEN 'RUNNING' THEN 'FAILED' ELSE status END, \
                 error_message = coalesce(error_message, 'its runner stopped: the lease ended') \
             WHERE backup_id = $1 AND attempt = $2 \
               AND (status IN ('FAILED', 'CANCELED') \
                    OR status = 'RUNNING' AND (lease_until IS NULL OR lease_until < clock_timestamp()))",
        )
        .bind(backup.as_str())
        .bind(bigint(attempt))
        .bind(Stamp(at))
        .execute(&mut *transaction)
        .await?;
        if collected.rows_affected() == 0 {
            let reason = format!("attempt {attempt} of backup {backup} is no garbage");
            return Err(CatalogError::Conflict { reason });
        }
        self.seal(transaction).await
    }
}

/// The lease that an attempt was made under, its backup, and why it does not count.
type Abandoned<'a> = (&'a Lease, &'a str, &'a str);

async fn abandon(connection: &mut PgConnection, attempts: &[Abandoned<'_>], at: Instant) -> Result<(), CatalogError> {
    sqlx::query(
        "UPDATE bkup.executions e SET status = 'FAILED', error_message = w.error, abandoned_at = $4, \
             lease_until = NULL, updated_at = now() \
         FROM unnest($1::text[], $2::bigint[], $3::text[]) AS w (backup_id, attempt, error) \
         WHERE e.backup_id = w.backup_id AND e.attempt = w.attempt AND e.status IN ('PENDING', 'RUNNING')",
    )
    .bind(attempts.iter().map(|(_, backup, _)| *backup).collect::<Vec<_>>())
    .bind(attempts.iter().map(|(lease, ..)| bigint(lease.token)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|(.., error)| plain(error).into_owned()).collect::<Vec<_>>())
    .bind(Stamp(at))
    .execute(connection)
    .await?;
    Ok(())
}

/// A schedule, a database, a scope, and when.
pub(super) type Slot<'a> = (&'a str, Option<&'a str>, &'a Scope, Instant);

/// The same, owned.
type OwnSlot = (String, Option<String>, String, Instant);

fn slot_of<'a>(done: &Completed<'a>, facts: &'a Facts) -> Slot<'a> {
    (done.manifest.schedule.as_str(), done.manifest.database.as_deref(), &facts.scope, facts.slot)
}

/// Returns which backup, of which attempt, has the slot; purged ones and archived rows count too.
pub(super) async fn holder(
    connection: &mut PgConnection,
    slot: Slot<'_>,
) -> Result<Option<(BackupId, u64)>, CatalogError> {
    Ok(holders(connection, &[slot]).await?.pop().flatten())
}

/// Returns which backup, of which attempt, has each of the slots, in their order.
pub(super) async fn holders(
    connection: &mut PgConnection,
    slots: &[Slot<'_>],
) -> Result<Vec<Option<(BackupId, u64)>>, CatalogError> {
    let rows = sqlx::query(
        "SELECT w.place, h.backup_id, h.attempt \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) \
              WITH ORDINALITY AS w (schedule, database, scope, slot, place) \
         CROSS JOIN LATERAL ( \
             SELECT backup_id, attempt FROM bkup.executions e WHERE e.schedule = w.schedule \
                 AND coalesce(e.database, '') = w.database AND e.scope = w.scope AND e.slot = w.slot \
                 AND status = 'COMPLETED' \
             UNION ALL \
             SELECT backup_id, attempt FROM bkup.executions_archive a WHERE a.schedule = w.schedule \
                 AND coalesce(a.database, '') = w.database AND a.scope = w.scope AND a.slot = w.slot \
                 AND status = 'COMPLETED' LIMIT 1) AS h",
    )
    .bind(slots.iter().map(|(schedule, ..)| *schedule).collect::<Vec<_>>())
    .bind(slots.iter().map(|(_, database, ..)| database.unwrap_or_default()).collect::<Vec<_>>())
    .bind(slots.iter().map(|(_, _, scope, _)| scope.to_string()).collect::<Vec<_>>())
    .bind(slots.iter().map(|(.., slot)| Stamp(*slot)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut holders = vec![None; slots.len()];
    for row in rows {
        let place = usize::try_from(row.count("place")?).unwrap_or(usize::MAX);
        let id = row.maybe_text("backup_id")?.unwrap_or_else(|| "put in by hand".to_owned());
        if let Some(holder) = holders.get_mut(place.wrapping_sub(1)) {
            *holder = Some((BackupId::from_text(id), row.count("attempt")?));
        }
    }
    Ok(holders)
}

/// Returns those attempts whose leftovers were collected.
async fn collected(
    connection: &mut PgConnection,
    all: &[(&Lease, &Completed<'_>, Instant)],
) -> Result<BTreeSet<(String, u64)>, CatalogError> {
    let rows = sqlx::query(
        "SELECT e.backup_id, e.attempt FROM bkup.executions e \
         JOIN unnest($1::text[], $2::bigint[]) AS w (backup_id, attempt) \
           ON e.backup_id = w.backup_id AND e.attempt = w.attempt WHERE e.collected_at IS NOT NULL",
    )
    .bind(all.iter().map(|(_, done, _)| done.manifest.backup_id.as_str()).collect::<Vec<_>>())
    .bind(all.iter().map(|(_, done, _)| bigint(done.manifest.attempt)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.text("backup_id")?, row.count("attempt")?))).collect()
}

/// Returns the answer of the only one.
pub(super) fn only<T>(answers: Vec<Result<T, CatalogError>>) -> Result<T, CatalogError> {
    answers.into_iter().next().unwrap_or_else(|| Err(CatalogError::corrupt("answers", "there is none")))
}

pub(super) fn name(schedule: &str, database: Option<&str>, scope: &Scope, slot: Instant) -> String {
    format!("{schedule} {} {scope} - {}", database.unwrap_or("_"), slot.strftime("%Y-%m-%d %H:%M UTC"))
}
