//! Narrow questions that an apply asks while it works: each answers one thing, where the whole state would cost more
//! with every backup there is.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;

use super::failure::CatalogError;
use super::stamp::Cells;
use super::state::{Reader, applied, drills, meta, progress};
use crate::domain::{ActionId, Address, Applied, BackupId, Digest, DrillRecord, Instant, Name, Progress};

/// How a finished plan came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanEnd {
    /// The run that did the last of it.
    pub run: String,
    /// When it was finished.
    pub at: Instant,
}

/// What is recorded as applied: what a run leaves in the stores for a catalog that is ever rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The catalog's identity.
    pub lineage: String,
    /// The value of its clock, where that is simulated.
    pub simulated: Option<Instant>,
    /// Every policy thing as applied.
    pub applied: BTreeMap<Address, Applied>,
    /// The newest attempt at each drill.
    pub drills: BTreeMap<Name, DrillRecord>,
    /// How far each schedule has got with each database.
    pub progress: Vec<Progress>,
    /// The backups that are pinned.
    pub protected: Vec<BackupId>,
}

impl Reader {
    /// Returns what was recorded of the bytes of backups' parts, as [`checksum`](super::checksum) gives it, by their ids.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn checksums(&self, backups: &[&BackupId]) -> Result<BTreeMap<BackupId, String>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query(
            "SELECT backup_id, backup_checksum FROM bkup.executions \
             WHERE backup_id = ANY($1) AND status = 'COMPLETED' AND backup_checksum IS NOT NULL",
        )
        .bind(backups.iter().map(|id| id.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(|row| Ok((BackupId::from_text(row.text("backup_id")?), row.text("backup_checksum")?))).collect()
    }

    /// Returns which run finished a plan, and when; `None` where it is not finished.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn plan_end(&self, digest: &Digest) -> Result<Option<PlanEnd>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query(
            "SELECT p.finished_at, coalesce((SELECT a.run FROM bkup.plan_actions a \
                 WHERE a.plan_digest = p.digest AND a.run IS NOT NULL \
                 ORDER BY a.ended_at DESC NULLS LAST, a.ordinal DESC LIMIT 1), p.run) AS run \
             FROM bkup.plans p WHERE p.digest = $1 AND p.status = 'FINISHED' AND p.finished_at IS NOT NULL",
        )
        .bind(digest.to_string())
        .fetch_optional(&mut *connection)
        .await?;
        row.map(|row| Ok(PlanEnd { run: row.text("run")?, at: row.at("finished_at")? })).transpose()
    }

    /// Returns the newest plan with these changes that was finished: which run ended it, and when.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn changes_end(&self, begin_of_digest: &str) -> Result<Option<PlanEnd>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row = sqlx::query(
            "SELECT finished_at, run FROM bkup.plans WHERE starts_with(change_digest, $1) AND status = 'FINISHED' \
             AND finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1",
        )
        .bind(begin_of_digest)
        .fetch_optional(&mut *connection)
        .await?;
        row.map(|row| Ok(PlanEnd { run: row.text("run")?, at: row.at("finished_at")? })).transpose()
    }

    /// Returns the digests of policy things as applied, archived ones too; what is not there was never applied.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn applied_digests(&self, addresses: &[&Address]) -> Result<BTreeMap<Address, Digest>, CatalogError> {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query("SELECT address, digest FROM bkup.policies WHERE address = ANY($1)")
            .bind(addresses)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(|row| Ok((row.parsed("address")?, row.parsed("digest")?))).collect()
    }

    /// Returns which of these backups are completed, purged ones too: their slots are done.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn completed(&self, backups: &[&BackupId]) -> Result<BTreeSet<BackupId>, CatalogError> {
        let ids: Vec<&str> = backups.iter().map(|id| id.as_str()).collect();
        let mut connection = self.session().connection().await?;
        let done: Vec<String> = sqlx::query_scalar(
            "SELECT backup_id FROM bkup.executions WHERE backup_id = ANY($1) AND status = 'COMPLETED'",
        )
        .bind(ids)
        .fetch_all(&mut *connection)
        .await?;
        Ok(done.into_iter().map(BackupId::from_text).collect())
    }

    /// Returns the id that a store was found to have; `None` where it was never made ready.
    ///
    /// # Errors
    /// As every question: unreachable, refused.
    pub async fn store_id(&self, store: &Name) -> Result<Option<String>, CatalogError> {
        let mut connection = self.session().connection().await?;
        Ok(sqlx::query_scalar("SELECT store_id FROM bkup.stores WHERE store = $1")
            .bind(store.as_str())
            .fetch_optional(&mut *connection)
            .await?)
    }

    /// Returns whether a backup is there and can be restored, as far as the catalog knows.
    ///
    /// # Errors
    /// As every question: unreachable, refused.
    pub async fn restorable(&self, backup: &BackupId) -> Result<bool, CatalogError> {
        let mut connection = self.session().connection().await?;
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM bkup.executions WHERE backup_id = $1 AND status = 'COMPLETED' AND NOT deleted \
             AND quarantine IS NULL AND tombstoned_at IS NULL)",
        )
        .bind(backup.as_str())
        .fetch_one(&mut *connection)
        .await?)
    }

    /// Returns who holds these pieces of work now; what nobody holds is not in the answer.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn holders(&self, actions: &[ActionId]) -> Result<BTreeMap<ActionId, String>, CatalogError> {
        let ids: Vec<String> = actions.iter().map(ActionId::to_string).collect();
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query(
            "SELECT action_id, runner FROM bkup.claims WHERE action_id = ANY($1) AND lease_until >= clock_timestamp()",
        )
        .bind(ids)
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(|row| Ok((row.parsed("action_id")?, row.text("runner")?))).collect()
    }

    /// Returns how many attempts at a plan's drill there were.
    ///
    /// # Errors
    /// As every question: unreachable, refused.
    pub async fn drill_attempts(&self, plan: &Name) -> Result<u64, CatalogError> {
        let mut connection = self.session().connection().await?;
        sqlx::query("SELECT coalesce(max(attempt) + 1, 0) AS attempts FROM bkup.drills WHERE plan = $1")
            .bind(plan.as_str())
            .fetch_one(&mut *connection)
            .await?
            .count("attempts")
    }

    /// Returns what is recorded as applied, as of one snapshot; `None` where there is no catalog.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn recorded(&self) -> Result<Option<Recorded>, CatalogError> {
        let mut transaction = self.session().begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *transaction).await?;
        let Some(version) = super::migrate::presence(&mut transaction).await?.version()? else { return Ok(None) };
        let meta = meta(&mut transaction, version).await?;
        let rows = sqlx::query(
            "SELECT backup_id FROM bkup.executions \
             WHERE protected AND status = 'COMPLETED' AND NOT deleted AND backup_id IS NOT NULL ORDER BY backup_id",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let protected = rows.iter().map(|row| Ok(BackupId::from_text(row.try_get("backup_id")?)));
        let recorded = Recorded {
            lineage: meta.lineage,
            simulated: meta.simulated,
            applied: applied(&mut transaction).await?,
            drills: drills(&mut transaction).await?,
            progress: progress(&mut transaction).await?,
            protected: protected.collect::<Result<_, CatalogError>>()?,
        };
        transaction.commit().await?;
        Ok(Some(recorded))
    }
}
