//! What happens to a backup after it was made: proven, quarantined, tombstoned, brought back, purged. The row is locked
//! first and judged then, so that a reader that names the backup meanwhile is seen.

use sqlx::{PgConnection, Row};

use super::claims::Lease;
use super::failure::CatalogError;
use super::stamp::{Cells, Stamp, bigint, plain};
use super::state::verification_word;
use super::writer::{Writer, fence};
use crate::domain::{BackupId, Between, Instant, Name, PruneWork, RunId, Verification};

/// What came of marking a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkOutcome {
    /// It is marked.
    Done,
    /// It was so already.
    AlreadyDone,
    /// It may not be marked; why.
    Refused(String),
}

/// A look at a backup's objects, and what it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation<'a> {
    /// The backup.
    pub backup: &'a BackupId,
    /// Where it was read.
    pub store: &'a Name,
    /// How deep the look was.
    pub depth: Verification,
    /// Whether all was well.
    pub passed: bool,
    /// What was seen, in words.
    pub detail: Option<&'a str>,
    /// How much was read.
    pub bytes_read: u64,
    /// In which run.
    pub run: Option<&'a RunId>,
    /// When.
    pub at: Instant,
}

/// The state of a backup's row, locked.
struct Marked {
    marks: u64,
    tombstoned: bool,
    deleted: bool,
    purging: bool,
    quarantined: bool,
    protected: bool,
    pinned_until: Option<Instant>,
    purge_after: Option<Instant>,
    locked_until: Option<Instant>,
    leased: bool,
    needed: bool,
}

async fn lock(connection: &mut PgConnection, backup: &BackupId) -> Result<Option<Marked>, CatalogError> {
    let row = sqlx::query(
        "SELECT marks, tombstoned_at IS NOT NULL AS tombstoned, deleted, purge_begun_at IS NOT NULL AS purging, \
                quarantine IS NOT NULL AS quarantined, protected, pinned_until, purge_after, locked_until \
         FROM bkup.executions WHERE backup_id = $1 AND status = 'COMPLETED' FOR UPDATE",
    )
    .bind(backup.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    // A statement of its own: the one above may have waited for a reader whose row it was too early to see. An attempt that
    // was not collected yet may have died behind its manifest: it is a backup then, and needs what the manifest names.
    let leased = sqlx::query(
        "SELECT EXISTS (SELECT FROM bkup.restores WHERE lease_until > clock_timestamp() AND $1 = ANY(backups)) AS held, \
                EXISTS (SELECT FROM bkup.executions e WHERE (e.shared = $1 OR e.parent = $1) AND NOT e.deleted \
                        AND (e.status = 'COMPLETED' OR e.collected_at IS NULL)) AS needed",
    )
    .bind(backup.as_str())
    .fetch_one(connection)
    .await?;
    Ok(Some(Marked {
        marks: row.count("marks")?,
        tombstoned: row.flag("tombstoned")?,
        deleted: row.flag("deleted")?,
        purging: row.flag("purging")?,
        quarantined: row.flag("quarantined")?,
        protected: row.flag("protected")?,
        pinned_until: row.maybe_at("pinned_until")?,
        purge_after: row.maybe_at("purge_after")?,
        locked_until: row.maybe_at("locked_until")?,
        leased: leased.flag("held")?,
        needed: leased.flag("needed")?,
    }))
}

fn refused(why: &str) -> Result<MarkOutcome, CatalogError> {
    Ok(MarkOutcome::Refused(why.to_owned()))
}

/// Returns why a backup is its scope's floor right now, whatever the plan knew: one of the last `min_keep` that can be
/// restored, the newest verified one, or the newest one a drill restored.
async fn floor(
    connection: &mut PgConnection,
    backup: &BackupId,
    min_keep: u32,
    any_schedule: bool,
) -> Result<Option<&'static str>, CatalogError> {
    let row = sqlx::query(
        "SELECT count(o.*) AS others, \
                me.verification IN ('checksum', 'restore') \
                    AND NOT coalesce(bool_or(o.verification IN ('checksum', 'restore') \
                                             AND o.consistent_at >= me.consistent_at), false) AS newest_verified, \
                me.drilled_at IS NOT NULL \
                    AND NOT coalesce(bool_or(o.drilled_at IS NOT NULL AND o.consistent_at >= me.consistent_at), false) \
                    AS newest_drilled \
         FROM bkup.executions me LEFT JOIN bkup.executions o \
              ON (o.schedule = me.schedule) <> $2 AND o.database IS NOT DISTINCT FROM me.database AND o.scope = me.scope \
             AND o.backup_id <> me.backup_id AND o.status = 'COMPLETED' AND NOT o.deleted \
             AND o.tombstoned_at IS NULL AND o.quarantine IS NULL \
         WHERE me.backup_id = $1 AND me.status = 'COMPLETED' \
         GROUP BY me.verification, me.consistent_at, me.drilled_at",
    )
    .bind(backup.as_str())
    .bind(any_schedule)
    .fetch_one(connection)
    .await?;
    Ok(if row.count("others")? < u64::from(min_keep) {
        Some("it is among the last restorable ones of its scope")
    } else if row.flag("newest_verified")? {
        Some("it is the newest verified one of its scope")
    } else if row.flag("newest_drilled")? {
        Some("it is the newest one of its scope that a drill restored")
    } else {
        None
    })
}

/// Returns whether the newest backup of a backup's schedule and scope is of that time.
async fn newest_is(connection: &mut PgConnection, backup: &BackupId, time: Between) -> Result<bool, CatalogError> {
    let row = sqlx::query(
        "SELECT max(o.consistent_at) AS newest FROM bkup.executions me JOIN bkup.executions o \
              ON o.schedule = me.schedule AND o.database IS NOT DISTINCT FROM me.database AND o.scope = me.scope \
             AND o.status = 'COMPLETED' AND NOT o.deleted AND o.tombstoned_at IS NULL \
         WHERE me.backup_id = $1 AND me.status = 'COMPLETED'",
    )
    .bind(backup.as_str())
    .fetch_one(connection)
    .await?;
    Ok(row.maybe_at("newest")?.is_some_and(|at| time.has(at)))
}

const OTHER_BUCKET: &str = "its successor is of another hour, day or month than the plan counted on; plan again";
const NOT_THERE: &str = "the catalog has no such completed backup";

impl Writer {
    /// Tombstones a backup: it is out of `latest` and stays restorable.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; what stands against it is an outcome.
    pub async fn tombstone(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Result<MarkOutcome, CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let Some(row) = lock(&mut transaction, &work.backup).await? else { return refused(NOT_THERE) };
        let mark = u64::from(work.mark);
        match row {
            Marked { marks, tombstoned: true, .. } if marks == mark + 1 => return Ok(MarkOutcome::AlreadyDone),
            Marked { deleted: true, .. } => return refused("it is purged"),
            Marked { marks, .. } if marks != mark => return refused("it was marked since the plan was made"),
            Marked { tombstoned: true, .. } => return refused("it is tombstoned already"),
            Marked { quarantined: true, .. } => return refused("it is quarantined"),
            Marked { protected: true, .. } => return refused("it is protected"),
            Marked { pinned_until: Some(until), .. } if until > at => return refused("it was brought back meanwhile"),
            Marked { leased: true, .. } => return refused("something reads it"),
            Marked { needed: true, .. } => return refused("a backup that is there, or being made, needs it"),
            _ => {}
        }
        if work.min_keep > 0
            && let Some(why) = floor(&mut transaction, &work.backup, work.min_keep, work.any_schedule).await?
        {
            return refused(why);
        }
        if !work.newest.is_all() && !newest_is(&mut transaction, &work.backup, work.newest).await? {
            return refused(OTHER_BUCKET);
        }
        sqlx::query(
            "UPDATE bkup.executions SET tombstoned_at = $2, purge_after = $3, expires_at = $3, marks = marks + 1, \
                 updated_at = now() WHERE backup_id = $1 AND status = 'COMPLETED'",
        )
        .bind(work.backup.as_str())
        .bind(Stamp(at))
        .bind(Stamp::maybe(work.purge_after))
        .execute(&mut *transaction)
        .await?;
        self.seal(transaction).await?;
        Ok(MarkOutcome::Done)
    }

    /// Brings a tombstoned backup back, and keeps it until `pinned_until` whatever the rules say. One that is not
    /// tombstoned is only kept. Once its purge has begun neither is possible. Gives the marks it has now.
    ///
    /// # Errors
    /// As every statement; what stands against it is an outcome.
    pub async fn undelete(
        &self,
        backup: &BackupId,
        pinned_until: Option<Instant>,
    ) -> Result<(MarkOutcome, u32), CatalogError> {
        let mut transaction = self.session().begin().await?;
        let Some(row) = lock(&mut transaction, backup).await? else { return Ok((refused(NOT_THERE)?, 0)) };
        match row {
            Marked { deleted: true, .. } => return Ok((refused("it is purged")?, 0)),
            Marked { purging: true, .. } => return Ok((refused("its purge has begun")?, 0)),
            _ => {}
        }
        let marks: i64 = sqlx::query(
            "UPDATE bkup.executions SET marks = marks + CASE WHEN tombstoned_at IS NULL THEN 0 ELSE 1 END, \
                 tombstoned_at = NULL, purge_after = NULL, expires_at = NULL, pinned_until = $2, updated_at = now() \
             WHERE backup_id = $1 AND status = 'COMPLETED' RETURNING marks",
        )
        .bind(backup.as_str())
        .bind(Stamp::maybe(pinned_until))
        .fetch_one(&mut *transaction)
        .await?
        .try_get("marks")?;
        transaction.commit().await?;
        let outcome = if row.tombstoned { MarkOutcome::Done } else { MarkOutcome::AlreadyDone };
        Ok((outcome, u32::try_from(marks).unwrap_or(u32::MAX)))
    }

    /// Records that a purge begins, before the first object goes: from here on nobody reads the backup or brings it
    /// back. A purge that died is begun again; that is `Done` too.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; what stands against it is an outcome.
    pub async fn intend_purge(
        &self,
        lease: &Lease,
        work: &PruneWork,
        at: Instant,
    ) -> Result<MarkOutcome, CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let Some(row) = lock(&mut transaction, &work.backup).await? else { return refused(NOT_THERE) };
        match row {
            Marked { deleted: true, .. } => return Ok(MarkOutcome::AlreadyDone),
            Marked { tombstoned: false, .. } => return refused("it is not tombstoned"),
            Marked { marks, .. } if marks != u64::from(work.mark) => {
                return refused("it was marked since the plan was made");
            }
            // A purge that has begun is finished whatever came since: half of it is gone.
            Marked { purging: true, .. } => {}
            Marked { leased: true, .. } => return refused("something reads it"),
            Marked { needed: true, .. } => return refused("a backup that is there, or being made, needs it"),
            Marked { quarantined: true, .. } => return refused("it is quarantined"),
            Marked { protected: true, .. } => return refused("it is protected"),
            Marked { purge_after: Some(after), .. } if after > at => return refused("its grace period is not over"),
            Marked { locked_until: Some(until), .. } if until > at => return refused("the store's lock keeps it"),
            _ => {}
        }
        sqlx::query(
            "UPDATE bkup.executions SET purge_begun_at = coalesce(purge_begun_at, $2), updated_at = now() \
             WHERE backup_id = $1 AND status = 'COMPLETED'",
        )
        .bind(work.backup.as_str())
        .bind(Stamp(at))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(MarkOutcome::Done)
    }

    /// Records a backup as purged, after its objects are gone. The row stays, so that its slot is never done again.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; what stands against it is an outcome.
    pub async fn purged(&self, lease: &Lease, backup: &BackupId, at: Instant) -> Result<MarkOutcome, CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        match lock(&mut transaction, backup).await? {
            None => return refused(NOT_THERE),
            Some(Marked { deleted: true, .. }) => return Ok(MarkOutcome::AlreadyDone),
            Some(Marked { purging: false, .. }) => return refused("its purge was not begun"),
            Some(_) => {}
        }
        sqlx::query(
            "UPDATE bkup.executions SET deleted = true, purged_at = $2, marks = marks + 1, updated_at = now() \
             WHERE backup_id = $1 AND status = 'COMPLETED'",
        )
        .bind(backup.as_str())
        .bind(Stamp(at))
        .execute(&mut *transaction)
        .await?;
        self.seal(transaction).await?;
        Ok(MarkOutcome::Done)
    }

    /// Quarantines a backup: it is never deleted by itself and never stands in for a clean one. The first reason stays.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn quarantine(&self, backup: &BackupId, reason: &str, at: Instant) -> Result<MarkOutcome, CatalogError> {
        let mut transaction = self.session().begin().await?;
        let row = sqlx::query(
            "WITH row AS (SELECT id, quarantine FROM bkup.executions \
                          WHERE backup_id = $1 AND status = 'COMPLETED' AND NOT deleted), \
             marked AS (UPDATE bkup.executions e SET quarantine = $2, quarantined_at = $3, updated_at = now() \
                        FROM row WHERE e.id = row.id AND row.quarantine IS NULL) \
             SELECT quarantine IS NULL AS fresh FROM row",
        )
        .bind(backup.as_str())
        .bind(plain(reason))
        .bind(Stamp(at))
        .fetch_optional(&mut *transaction)
        .await?;
        match row {
            None => refused(NOT_THERE),
            Some(row) if row.try_get("fresh")? => {
                self.seal(transaction).await?;
                Ok(MarkOutcome::Done)
            }
            Some(_) => Ok(MarkOutcome::AlreadyDone),
        }
    }

    /// Records a look at a backup. A good one raises how deeply it is proven; a bad one quarantines it.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn validated(&self, look: &Validation<'_>) -> Result<(), CatalogError> {
        if look.depth == Verification::None {
            return Err(CatalogError::unfit("a validation without depth"));
        }
        let depth = verification_word(look.depth);
        let mut transaction = self.session().begin().await?;
        sqlx::query(
            "INSERT INTO bkup.validations (backup_id, store, depth, passed, detail, bytes_read, run, validated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(look.backup.as_str())
        .bind(look.store.as_str())
        .bind(depth)
        .bind(look.passed)
        .bind(look.detail.map(plain))
        .bind(bigint(look.bytes_read))
        .bind(look.run.map(RunId::as_str))
        .bind(Stamp(look.at))
        .execute(&mut *transaction)
        .await?;
        sqlx::query(if look.passed {
            "UPDATE bkup.executions SET verified_at = greatest(verified_at, $3), updated_at = now(), \
                 verification = CASE WHEN array_position(ARRAY['none', 'exists', 'checksum', 'restore'], verification) \
                                        < array_position(ARRAY['none', 'exists', 'checksum', 'restore'], $2) \
                                     THEN $2 ELSE verification END \
             WHERE backup_id = $1 AND status = 'COMPLETED' AND NOT deleted"
        } else {
            "UPDATE bkup.executions SET quarantine = coalesce(quarantine, $2 || ' verification failed'), \
                 quarantined_at = coalesce(quarantined_at, $3), updated_at = now() \
             WHERE backup_id = $1 AND status = 'COMPLETED' AND NOT deleted"
        })
        .bind(look.backup.as_str())
        .bind(depth)
        .bind(Stamp(look.at))
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}
