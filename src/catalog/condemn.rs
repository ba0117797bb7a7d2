//! Taking an abandoned attempt's right to finish away, before anything of it is deleted. A runner that was only slow
//! finds its lease gone and never writes its manifest.

use sqlx::Row;

use super::claims::Lease;
use super::failure::CatalogError;
use super::marks::MarkOutcome;
use super::stamp::{Cells, Stamp, bigint};
use super::writer::{Writer, fence};
use crate::domain::{BackupId, Instant};

impl Writer {
    /// Condemns an attempt: whoever still works at it is fenced off from now on. Refused while its lease lives.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`] for the collecting action's own lease; as every statement.
    pub async fn condemn(
        &self,
        lease: &Lease,
        backup: &BackupId,
        attempt: u64,
        at: Instant,
    ) -> Result<MarkOutcome, CatalogError> {
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let row = sqlx::query(
            "SELECT action_id, status, collected_at IS NOT NULL AS collected FROM bkup.executions \
             WHERE backup_id = $1 AND attempt = $2 FOR UPDATE",
        )
        .bind(backup.as_str())
        .bind(bigint(attempt))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(MarkOutcome::Refused("the catalog has no such attempt".to_owned())) };
        if row.flag("collected")? {
            return Ok(MarkOutcome::AlreadyDone);
        }
        if row.text("status")? == "COMPLETED" {
            return Ok(MarkOutcome::Refused("it is a completed backup".to_owned()));
        }
        let action = row.text("action_id")?;
        let claim = sqlx::query(
            "SELECT token, coalesce(lease_until >= clock_timestamp(), false) AS live FROM bkup.claims \
             WHERE action_id = $1 FOR UPDATE",
        )
        .bind(&action)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(claim) = claim
            && claim.count("token")? == attempt
        {
            if claim.try_get("live")? {
                return Ok(MarkOutcome::Refused("its runner is alive".to_owned()));
            }
            sqlx::query("UPDATE bkup.claims SET token = token + 1, lease_until = NULL WHERE action_id = $1")
                .bind(&action)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query(
            "UPDATE bkup.executions SET status = CASE status WHEN 'RUNNING' THEN 'FAILED' ELSE status END, \
                 error_message = coalesce(error_message, 'its runner stopped: the lease ended'), \
                 abandoned_at = coalesce(abandoned_at, $3), lease_until = NULL, updated_at = now() \
             WHERE backup_id = $1 AND attempt = $2",
        )
        .bind(backup.as_str())
        .bind(bigint(attempt))
        .bind(Stamp(at))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(MarkOutcome::Done)
    }
}
