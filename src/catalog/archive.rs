//! Rows that are gone for good move to the archive after a while, and stay there for audit: a table that is read with
//! every plan holds what plans are made of.

use super::failure::CatalogError;
use super::stamp::Stamp;
use super::writer::Writer;
use crate::domain::{Instant, Period};

/// How long a row stays where people look for it first.
pub const ARCHIVED_AFTER: Period = Period::days(90);

impl Writer {
    /// Moves what was purged or taken out of the policies longer ago than [`ARCHIVED_AFTER`]; returns how many rows. Their
    /// slots stay done. Does nothing for a role that may not delete.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn archive(&self, now: Instant) -> Result<u64, CatalogError> {
        let mut transaction = self.session().begin().await?;
        let may: bool = sqlx::query_scalar(
            "SELECT has_table_privilege('bkup.executions', 'DELETE') \
                AND has_table_privilege('bkup.executions_archive', 'INSERT') AND bkup.may_delete()",
        )
        .fetch_one(&mut *transaction)
        .await?;
        if !may {
            return Ok(0);
        }
        let before = Stamp(ARCHIVED_AFTER.before(now));
        let mut moved = 0;
        // By name, not by place: a column that a later migration adds comes behind `archived_at` in the archive.
        for statement in [
            "WITH gone AS (DELETE FROM bkup.executions WHERE deleted AND purged_at < $1 RETURNING *) \
             INSERT INTO bkup.executions_archive \
             SELECT row.* FROM gone, jsonb_populate_record(NULL::bkup.executions_archive, \
                 to_jsonb(gone) || jsonb_build_object('archived_at', $2)) AS row ON CONFLICT DO NOTHING",
            "WITH gone AS (DELETE FROM bkup.schedules s WHERE deleted AND coalesce((SELECT p.archived_at \
                 FROM bkup.policies p WHERE p.address = 'schedule.' || s.policy_name), s.updated_at) < $1 RETURNING *) \
             INSERT INTO bkup.schedules_archive \
             SELECT row.* FROM gone, jsonb_populate_record(NULL::bkup.schedules_archive, \
                 to_jsonb(gone) || jsonb_build_object('archived_at', $2)) AS row ON CONFLICT DO NOTHING",
            "WITH gone AS (DELETE FROM bkup.recovery_plans r WHERE deleted AND coalesce((SELECT p.archived_at \
                 FROM bkup.policies p WHERE p.address = 'recovery-plan.' || r.policy_name), r.updated_at) < $1 RETURNING *) \
             INSERT INTO bkup.recovery_plans_archive \
             SELECT row.* FROM gone, jsonb_populate_record(NULL::bkup.recovery_plans_archive, \
                 to_jsonb(gone) || jsonb_build_object('archived_at', $2)) AS row ON CONFLICT DO NOTHING",
        ] {
            let done = sqlx::query(statement).bind(before).bind(Stamp(now)).execute(&mut *transaction).await?;
            moved += done.rows_affected();
        }
        transaction.commit().await?;
        Ok(moved)
    }
}
