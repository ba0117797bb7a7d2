//! The rest of a rebuild: marks, drills, keys, plans, what dead attempts left behind, and what follows from all of it.

use std::collections::BTreeSet;

use sqlx::Row;
use sqlx::types::Json;

use super::failure::CatalogError;
use super::readings::{Attempt, write_drill};
use super::rebuild::{Rebuilding, parts_of};
use super::stamp::{Cells, Stamp, bigint, plain};
use super::stores::DigestKey;
use crate::domain::{BackupId, Digest, DrillRecord, Evidence, Instant, Manifest, Name, RunId, Scope, StateFile};

/// A backup whose manifest was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The manifest.
    pub manifest: Manifest,
    /// Its key below the store's prefix.
    pub key: String,
    /// The store's name.
    pub store: Name,
}

/// What the marks of a backup say in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The backup.
    pub backup: BackupId,
    /// Its database.
    pub database: Option<Name>,
    /// Its scope.
    pub scope: Scope,
    /// Its store.
    pub store: Name,
    /// The number of the newest mark.
    pub number: u32,
    /// What the newest mark is.
    pub last: LastMark,
}

/// What the newest mark of a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastMark {
    /// A tombstone.
    Tombstone {
        /// Since when.
        at: Instant,
        /// From when on it may be purged.
        purge_after: Option<Instant>,
    },
    /// It was brought back.
    Undelete,
    /// It was purged.
    Purge {
        /// When.
        at: Instant,
    },
}

/// Traces of an attempt that a store holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptSeen {
    /// The store.
    pub store: Name,
    /// The backup.
    pub backup: BackupId,
    /// Its database.
    pub database: Option<Name>,
    /// Its scope.
    pub scope: Scope,
    /// The attempt.
    pub attempt: u64,
}

/// A plan that a run finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedPlan {
    /// Its digest.
    pub plan: Digest,
    /// The run.
    pub run: RunId,
    /// The serial afterwards.
    pub serial: i64,
    /// When the run began.
    pub begin: Instant,
    /// When it ended.
    pub end: Instant,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each is the number of what it is called")]
pub struct RebuiltCounts {
    pub documents: u64,
    pub backups: u64,
    pub tombstoned: u64,
    pub quarantined: u64,
    pub protected: u64,
    pub purged: u64,
    pub drills: u64,
    pub plans: u64,
    pub abandoned: u64,
}

impl Rebuilding {
    /// Records what marks say. A purged backup has no manifest any more, and its slot stays done all the same.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn marks(&mut self, batch: &[Marked]) -> Result<(), CatalogError> {
        let ids = |marks: &[&Marked]| marks.iter().map(|m| m.backup.as_str().to_owned()).collect::<Vec<_>>();
        let connection = &mut *self.transaction;
        let all: Vec<&Marked> = batch.iter().collect();
        // A purge begins with the manifest and ends with its mark: one that has both was put back by hand, and is purged
        // again rather than believed.
        sqlx::query(
            "UPDATE bkup.executions e SET marks = m.number + CASE WHEN m.purge THEN 0 ELSE 1 END, \
                 tombstoned_at = m.at, purge_after = m.until, expires_at = m.until, \
                 purge_begun_at = CASE WHEN m.purge THEN m.at END \
             FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::boolean[]) \
                  AS m (backup_id, number, at, until, purge) \
             WHERE e.backup_id = m.backup_id AND e.status = 'COMPLETED'",
        )
        .bind(ids(&all))
        .bind(all.iter().map(|m| i64::from(m.number)).collect::<Vec<_>>())
        .bind(all.iter().map(|m| m.last.at().map(Stamp)).collect::<Vec<_>>())
        .bind(all.iter().map(|m| m.last.until().map(Stamp)).collect::<Vec<_>>())
        .bind(all.iter().map(|m| matches!(m.last, LastMark::Purge { .. })).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
        let purged: Vec<(&Marked, Instant, &str)> = all
            .iter()
            .filter(|m| matches!(m.last, LastMark::Purge { .. }))
            .filter_map(|m| parts_of(&m.backup).map(|(slot, schedule)| (*m, slot, schedule)))
            .collect();
        let marked: Vec<&Marked> = purged.iter().map(|(m, ..)| *m).collect();
        sqlx::query(
            "INSERT INTO bkup.executions (backup_id, backup_type, backup_name, backup_method, status, scheduled_at, \
                 schedule, slot, database, scope, tenant_slug, store, deleted, marks, tombstoned_at, purged_at) \
             SELECT m.backup_id, coalesce(s.backup_type, CASE WHEN m.tenant IS NULL THEN 'DATABASE' ELSE 'TENANT_DATA' END), \
                    m.backup_id, 'SCHEDULED', 'COMPLETED', m.slot, m.schedule, m.slot, m.database, m.scope, m.tenant, \
                    m.store, true, m.number + 1, m.at, m.at \
             FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], \
                         $8::bigint[], $9::timestamptz[]) \
                  AS m (backup_id, schedule, slot, database, scope, tenant, store, number, at) \
             LEFT JOIN bkup.schedules s ON s.policy_name = m.schedule \
             WHERE NOT EXISTS (SELECT FROM bkup.executions e WHERE e.backup_id = m.backup_id AND e.status = 'COMPLETED') \
             ON CONFLICT DO NOTHING",
        )
        .bind(ids(&marked))
        .bind(purged.iter().map(|(.., schedule)| *schedule).collect::<Vec<_>>())
        .bind(purged.iter().map(|(_, slot, _)| Stamp(*slot)).collect::<Vec<_>>())
        .bind(marked.iter().map(|m| m.database.as_ref().map(Name::as_str)).collect::<Vec<_>>())
        .bind(marked.iter().map(|m| m.scope.to_string()).collect::<Vec<_>>())
        .bind(marked.iter().map(|m| m.scope.tenant()).collect::<Vec<_>>())
        .bind(marked.iter().map(|m| m.store.as_str()).collect::<Vec<_>>())
        .bind(marked.iter().map(|m| i64::from(m.number)).collect::<Vec<_>>())
        .bind(marked.iter().map(|m| m.last.at().map(Stamp)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Notes traces of attempts; which of them are of completed backups is known at the end.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn attempts(&mut self, batch: &[AttemptSeen]) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO pg_temp.bkup_attempts (store, backup_id, database, scope, attempt) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])",
        )
        .bind(batch.iter().map(|a| a.store.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|a| a.backup.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|a| a.database.as_ref().map(Name::as_str)).collect::<Vec<_>>())
        .bind(batch.iter().map(|a| a.scope.to_string()).collect::<Vec<_>>())
        .bind(batch.iter().map(|a| bigint(a.attempt)).collect::<Vec<_>>())
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Records a drill attempt with what it proved, in the order of the chain of evidence.
    ///
    /// # Errors
    /// As every statement; [`CatalogError::Unfit`] where the evidence's instant cannot be read.
    pub async fn drill(&mut self, evidence: &Evidence, attempt: u64) -> Result<(), CatalogError> {
        let plan_digest = evidence.plan_digest.as_str();
        let drill = Attempt { plan: &evidence.plan, plan_digest, number: attempt };
        write_drill(&mut self.transaction, &drill, evidence, None).await.map(|_| ())
    }

    /// Records the newest drill attempt of a plan whose evidence no store holds: it is not due again before its time.
    /// Returns whether there was none.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn drill_without_evidence(&mut self, plan: &Name, record: &DrillRecord) -> Result<bool, CatalogError> {
        let number = record.attempts.saturating_sub(1);
        let body = serde_json::json!({ "plan": plan, "note": "no store holds the evidence of this attempt" });
        let added = sqlx::query(
            "INSERT INTO bkup.drills (drill_id, plan, plan_digest, attempt, drilled_at, passed, backups, tenants, \
                 backup_age_seconds, restore_ms, evidence, evidence_digest) \
             VALUES ($1, $2, $3, $4, $5, $6, '{}', '{}', $7, $8, $9, $10) ON CONFLICT (plan, attempt) DO NOTHING",
        )
        .bind(format!("{plan}-{number:06}"))
        .bind(plan.as_str())
        .bind(record.plan_digest.to_string())
        .bind(bigint(number))
        .bind(Stamp(record.at))
        .bind(record.passed)
        .bind(record.backup_age.as_seconds())
        .bind(record.restore.as_seconds().saturating_mul(1000))
        .bind(Json(&body))
        .bind(crate::domain::digest_of(&body).to_string())
        .execute(&mut *self.transaction)
        .await?;
        Ok(added.rows_affected() == 1)
    }

    /// Keeps a digest key that a key object held.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn digest_key(&mut self, store: &Name, database: &Name, key: &DigestKey) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO bkup.digest_keys (store, database, key_id, key) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (store, database) DO NOTHING",
        )
        .bind(store.as_str())
        .bind(database.as_str())
        .bind(&key.id)
        .bind(key.key.as_slice())
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Returns, for each store and database with keyed digests, the manifest of the newest backup and the key's id.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn keyed(&mut self) -> Result<Vec<(Name, Name, String, String)>, CatalogError> {
        let rows = sqlx::query(
            "SELECT DISTINCT ON (store, database) store, database, manifest_key, digest_key_id FROM bkup.executions \
             WHERE status = 'COMPLETED' AND NOT deleted AND digest_key_id IS NOT NULL AND database IS NOT NULL \
             ORDER BY store, database, completed_at DESC, backup_id DESC",
        )
        .fetch_all(&mut *self.transaction)
        .await?;
        rows.iter()
            .map(|row| {
                let (store, database) = (row.parsed("store")?, row.parsed("database")?);
                Ok((store, database, row.text("manifest_key")?, row.text("digest_key_id")?))
            })
            .collect()
    }

    /// Records a plan that a run's report says is finished: it is not applied again.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn finished_plan(&mut self, report: &FinishedPlan, lineage: &str) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO bkup.plans (digest, change_digest, policy_digest, lineage, serial, as_of, document, run, \
                 status, begun_at, finished_at) VALUES ($1, '', '', $2, $3, $4, '{}', $5, 'FINISHED', $4, $6) \
             ON CONFLICT (digest) DO NOTHING",
        )
        .bind(report.plan.to_string())
        .bind(lineage)
        .bind(report.serial)
        .bind(Stamp(report.begin))
        .bind(report.run.as_str())
        .bind(Stamp(report.end))
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Draws the conclusions, once everything was read, and counts. `untouched` are backups that have a manifest which is
    /// not recorded: nothing of them is taken for garbage.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn conclude(
        &mut self,
        state: Option<&StateFile>,
        untouched: &BTreeSet<BackupId>,
    ) -> Result<RebuiltCounts, CatalogError> {
        if let Some(state) = state {
            self.pinned_and_quarantined(state).await?;
        }
        self.abandoned(untouched).await?;
        let connection = &mut *self.transaction;
        for conclusion in [
            "UPDATE bkup.executions e SET slot_zone = s.timezone, slot_local = e.slot AT TIME ZONE s.timezone \
             FROM bkup.schedules s WHERE s.policy_name = e.schedule AND e.slot IS NOT NULL AND e.slot_zone IS NULL",
            "INSERT INTO bkup.tenants (database, slug, schema_name, tenant_id, first_seen_at, last_seen_at) \
             SELECT DISTINCT ON (database, tenant_slug) database, tenant_slug, tenant_schema, tenant_id, \
                    min(started_at) OVER of_it, max(started_at) OVER of_it \
             FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted AND database IS NOT NULL \
               AND tenant_slug IS NOT NULL AND tenant_schema IS NOT NULL AND started_at IS NOT NULL \
             WINDOW of_it AS (PARTITION BY database, tenant_slug) \
             ORDER BY database, tenant_slug, started_at DESC ON CONFLICT (database, slug) DO NOTHING",
            "UPDATE bkup.executions SET backup_tenant_id = tenant_id::uuid \
             WHERE tenant_id ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' AND NOT deleted \
               AND NOT EXISTS (SELECT FROM bkup.meta WHERE tenant_fk IS NOT NULL)",
        ] {
            sqlx::query(conclusion).execute(&mut *connection).await?;
        }
        let linked: bool =
            sqlx::query_scalar("SELECT tenant_fk IS NOT NULL FROM bkup.meta").fetch_one(&mut *connection).await?;
        if linked {
            sqlx::query(
                "UPDATE bkup.executions e SET backup_tenant_id = t.id FROM tnnt.tenants t \
                 WHERE t.id::text = lower(e.tenant_id) AND NOT e.deleted",
            )
            .execute(&mut *connection)
            .await?;
        }
        self.counts().await
    }

    async fn pinned_and_quarantined(&mut self, state: &StateFile) -> Result<(), CatalogError> {
        let connection = &mut *self.transaction;
        // What the state knew it decides; a backup that came later is as its manifest says.
        sqlx::query(
            "UPDATE bkup.executions SET protected = backup_id = ANY($1) OR protected AND completed_at > $2 \
             WHERE status = 'COMPLETED' AND NOT deleted AND (protected OR backup_id = ANY($1))",
        )
        .bind(state.protected.iter().map(BackupId::as_str).collect::<Vec<_>>())
        .bind(Stamp(state.at))
        .execute(&mut *connection)
        .await?;
        let quarantined = &state.kept.quarantined;
        sqlx::query(
            "UPDATE bkup.executions e SET quarantine = q.reason, quarantined_at = q.at \
             FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS q (backup_id, reason, at) \
             WHERE e.backup_id = q.backup_id AND e.status = 'COMPLETED' AND NOT e.deleted",
        )
        .bind(quarantined.iter().map(|q| q.backup.as_str()).collect::<Vec<_>>())
        .bind(quarantined.iter().map(|q| plain(&q.reason).into_owned()).collect::<Vec<_>>())
        .bind(quarantined.iter().map(|q| Stamp::maybe(q.at)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Attempts that left something and are not the backup's are garbage from now on; new ones are numbered above all.
    async fn abandoned(&mut self, untouched: &BTreeSet<BackupId>) -> Result<(), CatalogError> {
        let connection = &mut *self.transaction;
        let left = sqlx::query(
            "SELECT DISTINCT ON (a.backup_id, a.attempt) a.store, a.backup_id, a.database, a.scope, a.attempt \
             FROM pg_temp.bkup_attempts a WHERE a.backup_id <> ALL($1) AND NOT EXISTS \
                 (SELECT FROM bkup.executions e WHERE e.backup_id = a.backup_id AND e.attempt = a.attempt) \
             ORDER BY a.backup_id, a.attempt, a.store",
        )
        .bind(untouched.iter().map(BackupId::as_str).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
        for row in left {
            let id = BackupId::from_text(row.text("backup_id")?);
            let Some((slot, schedule)) = parts_of(&id) else { continue };
            let scope = row.text("scope")?;
            let tenant = scope.strip_prefix("tenant=");
            let hash = id.as_str().rsplit('-').next().unwrap_or_default();
            sqlx::query(
                "INSERT INTO bkup.executions (backup_id, attempt, action_id, backup_type, backup_name, backup_method, \
                     status, scheduled_at, schedule, slot, database, scope, tenant_slug, store, error_message, \
                     abandoned_at, simulated) \
                 SELECT $1, $2, $3, coalesce((SELECT backup_type FROM bkup.schedules WHERE policy_name = $4), $5), $1, \
                     'SCHEDULED', 'FAILED', $6, $4, $6, $7, $8, $9, $10, \
                     'found in the store when the catalog was rebuilt: an attempt without a manifest', $11, simulated \
                 FROM bkup.meta",
            )
            .bind(id.as_str())
            .bind(row.try_get::<i64, _>("attempt")?)
            .bind(hash)
            .bind(schedule)
            .bind(if tenant.is_some() { "TENANT_DATA" } else { "DATABASE" })
            .bind(Stamp(slot))
            .bind(row.maybe_text("database")?)
            .bind(&scope)
            .bind(tenant)
            .bind(row.text("store")?)
            .bind(Stamp(self.at))
            .execute(&mut *connection)
            .await?;
        }
        sqlx::query(
            "UPDATE bkup.meta SET claims_base = greatest( \
                 (SELECT coalesce(max(attempt), 0) FROM bkup.executions), \
                 (SELECT coalesce(max(attempt), 0) FROM pg_temp.bkup_attempts))",
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn counts(&mut self) -> Result<RebuiltCounts, CatalogError> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM bkup.policies) AS documents, (SELECT count(*) FROM bkup.drills) AS drills, \
                    (SELECT count(*) FROM bkup.plans) AS plans, \
                    count(*) FILTER (WHERE status = 'COMPLETED' AND NOT deleted) AS backups, \
                    count(*) FILTER (WHERE status = 'COMPLETED' AND NOT deleted AND tombstoned_at IS NOT NULL) AS tombstoned, \
                    count(*) FILTER (WHERE status = 'COMPLETED' AND NOT deleted AND quarantine IS NOT NULL) AS quarantined, \
                    count(*) FILTER (WHERE status = 'COMPLETED' AND NOT deleted AND protected) AS protected, \
                    count(*) FILTER (WHERE deleted) AS purged, count(*) FILTER (WHERE status = 'FAILED') AS abandoned \
             FROM bkup.executions",
        )
        .fetch_one(&mut *self.transaction)
        .await?;
        Ok(RebuiltCounts {
            documents: row.count("documents")?,
            backups: row.count("backups")?,
            tombstoned: row.count("tombstoned")?,
            quarantined: row.count("quarantined")?,
            protected: row.count("protected")?,
            purged: row.count("purged")?,
            drills: row.count("drills")?,
            plans: row.count("plans")?,
            abandoned: row.count("abandoned")?,
        })
    }
}

impl LastMark {
    const fn at(self) -> Option<Instant> {
        match self {
            Self::Tombstone { at, .. } | Self::Purge { at } => Some(at),
            Self::Undelete => None,
        }
    }

    const fn until(self) -> Option<Instant> {
        match self {
            Self::Tombstone { purge_after, .. } => purge_after,
            Self::Purge { at } => Some(at),
            Self::Undelete => None,
        }
    }
}
