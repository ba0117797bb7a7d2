//! Whether an action's preconditions still hold, asked just before it runs.

use sqlx::{PgConnection, Row};

use super::backups::holder;
use super::failure::CatalogError;
use super::stamp::{Cells, Stamp};
use super::state::Reader;
use crate::domain::{Action, ActionKind, Address, BackupId, Digest, Instant, Name, Precondition};

impl Reader {
    /// Returns the first precondition that no longer holds, in words; `None` where all of them do. A precondition that
    /// does not fit the action's kind holds no longer: it is never passed over.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn unmet(&self, action: &Action, now: Instant) -> Result<Option<String>, CatalogError> {
        let mut connection = self.session().connection().await?;
        for precondition in &action.preconditions {
            if let Some(words) = unmet(&mut connection, action, precondition, now).await? {
                return Ok(Some(words));
            }
        }
        Ok(None)
    }
}

impl Reader {
    /// Returns the digest of a policy thing as applied, archived or not; `None` where it was never applied.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn applied_digest(&self, address: &Address) -> Result<Option<Digest>, CatalogError> {
        let mut connection = self.session().connection().await?;
        sqlx::query("SELECT digest FROM bkup.policies WHERE address = $1")
            .bind(address.to_string())
            .fetch_optional(&mut *connection)
            .await?
            .map(|row| row.parsed("digest"))
            .transpose()
    }
}

async fn unmet(
    connection: &mut PgConnection,
    action: &Action,
    precondition: &Precondition,
    now: Instant,
) -> Result<Option<String>, CatalogError> {
    match (precondition, &action.kind) {
        (Precondition::Lineage(wanted), _) => {
            let lineage: Option<String> =
                sqlx::query_scalar("SELECT lineage FROM bkup.meta").fetch_optional(connection).await?;
            let same = lineage.as_ref() == Some(wanted);
            Ok((!same).then(|| "it is another catalog than the one the plan was made against".to_owned()))
        }
        (Precondition::DocumentDigest(wanted), _) => {
            let digest: Option<String> = sqlx::query_scalar("SELECT digest FROM bkup.policies WHERE address = $1")
                .bind(action.address.to_string())
                .fetch_optional(connection)
                .await?;
            let same = digest == wanted.map(|digest| digest.to_string());
            Ok((!same).then(|| format!("{} was changed since the plan was made", action.address)))
        }
        // What is no longer there was carried already, which is no obstacle; the rename itself says what is.
        (Precondition::HistoryAt(_), _) => Ok(None),
        (Precondition::SlotFree, ActionKind::BackUp(work)) => {
            let slot = (work.schedule.as_str(), work.database.as_ref().map(Name::as_str), &work.scope, work.slot);
            let holder = holder(connection, slot).await?;
            Ok(holder.map(|(backup, _)| format!("the slot has its backup already: {backup}")))
        }
        (Precondition::Prunable, ActionKind::Tombstone(work) | ActionKind::Purge(work)) => {
            prunable(connection, &work.backup).await
        }
        (Precondition::Purgeable, ActionKind::Tombstone(work) | ActionKind::Purge(work)) => {
            purgeable(connection, &work.backup, now).await
        }
        (Precondition::DrillAttempts(wanted), ActionKind::Drill(work)) => {
            let row = sqlx::query("SELECT max(attempt) + 1 AS attempts FROM bkup.drills WHERE plan = $1")
                .bind(work.plan.as_str())
                .fetch_one(connection)
                .await?;
            let same = row.count("attempts")? == *wanted;
            Ok((!same).then(|| format!("recovery plan {} was drilled since the plan was made", work.plan)))
        }
        (
            Precondition::SlotFree | Precondition::Prunable | Precondition::Purgeable | Precondition::DrillAttempts(_),
            kind,
        ) => Ok(Some(format!("a precondition that does not fit {}", kind.word()))),
    }
}

const LEASED: &str = "something reads it";

async fn prunable(connection: &mut PgConnection, backup: &BackupId) -> Result<Option<String>, CatalogError> {
    let row = sqlx::query(
        "SELECT deleted, tombstoned_at IS NOT NULL AS tombstoned, quarantine IS NOT NULL AS quarantined, protected, \
                EXISTS (SELECT FROM bkup.restores r WHERE r.lease_until > clock_timestamp() AND $1 = ANY(r.backups)) \
                    AS leased \
         FROM bkup.executions WHERE backup_id = $1 AND status = 'COMPLETED'",
    )
    .bind(backup.as_str())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Some("the catalog has no such completed backup".to_owned())) };
    let reasons = [
        ("deleted", "it is purged"),
        ("tombstoned", "it is tombstoned already"),
        ("quarantined", "it is quarantined"),
        ("protected", "it is protected"),
        ("leased", LEASED),
    ];
    for (column, reason) in reasons {
        if row.flag(column)? {
            return Ok(Some(reason.to_owned()));
        }
    }
    Ok(None)
}

async fn purgeable(
    connection: &mut PgConnection,
    backup: &BackupId,
    now: Instant,
) -> Result<Option<String>, CatalogError> {
    let row = sqlx::query(
        "SELECT deleted, tombstoned_at IS NULL AS undeleted, \
                purge_begun_at IS NULL AND coalesce(purge_after > $2, false) AS waiting, \
                EXISTS (SELECT FROM bkup.restores r WHERE r.lease_until > clock_timestamp() AND $1 = ANY(r.backups)) \
                    AS leased \
         FROM bkup.executions WHERE backup_id = $1 AND status = 'COMPLETED'",
    )
    .bind(backup.as_str())
    .bind(Stamp(now))
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Some("the catalog has no such completed backup".to_owned())) };
    let reasons = [
        ("deleted", "it is purged already"),
        ("undeleted", "it is not tombstoned, or was brought back"),
        ("waiting", "its grace period is not over"),
        ("leased", LEASED),
    ];
    for (column, reason) in reasons {
        if row.try_get::<bool, _>(column)? {
            return Ok(Some(reason.to_owned()));
        }
    }
    Ok(None)
}
