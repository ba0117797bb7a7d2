//! Slots that are settled: done, or recorded as missed, once.

use super::claims::Lease;
use super::failure::CatalogError;
use super::stamp::{Stamp, bigint};
use super::writer::{Writer, fence};
use crate::domain::{Instant, Name};

impl Writer {
    /// Records slots that nobody ran in time; they are settled from now on. Recording them again changes nothing.
    /// Returns how many of them nobody had recorded yet.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`]; as every statement.
    pub async fn settle(
        &self,
        lease: &Lease,
        schedule: &Name,
        database: Option<&Name>,
        slots: &[Instant],
        scopes: u64,
        at: Instant,
    ) -> Result<u64, CatalogError> {
        let Some(newest) = slots.iter().max() else { return Ok(0) };
        let database = database.map_or("", Name::as_str);
        let mut transaction = self.session().begin().await?;
        fence(&mut transaction, lease).await?;
        let recorded = sqlx::query(
            "INSERT INTO bkup.missed_slots (schedule, database, slot, scopes, recorded_at) \
             SELECT $1, $2, slot, $4, $5 FROM unnest($3::timestamptz[]) AS s (slot) ORDER BY slot \
             ON CONFLICT (schedule, database, slot) DO NOTHING",
        )
        .bind(schedule.as_str())
        .bind(database)
        .bind(slots.iter().copied().map(Stamp).collect::<Vec<_>>())
        .bind(bigint(scopes))
        .bind(Stamp(at))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        sqlx::query(ADVANCE)
            .bind(schedule.as_str())
            .bind(database)
            .bind(Stamp(*newest))
            .execute(&mut *transaction)
            .await?;
        // Told once, also where the reply to the first time was lost.
        if recorded == 0 {
            transaction.commit().await?
        } else {
            self.seal(transaction).await?
        }
        Ok(recorded)
    }

    /// Records that every slot up to and including this one is settled. It never goes back.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn settle_through(
        &self,
        schedule: &Name,
        database: Option<&Name>,
        slot: Instant,
    ) -> Result<(), CatalogError> {
        let mut connection = self.session().connection().await?;
        sqlx::query(ADVANCE)
            .bind(schedule.as_str())
            .bind(database.map_or("", Name::as_str))
            .bind(Stamp(slot))
            .execute(&mut *connection)
            .await?;
        Ok(())
    }

    /// Shows people when each schedule runs next.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn show_next_runs(&self, next: &[(Name, Option<Instant>)]) -> Result<(), CatalogError> {
        let mut connection = self.session().connection().await?;
        sqlx::query(
            "UPDATE bkup.schedules s SET next_run_at = n.next_run_at, updated_at = now() \
             FROM unnest($1::text[], $2::timestamptz[]) AS n (policy_name, next_run_at) \
             WHERE s.policy_name = n.policy_name AND s.next_run_at IS DISTINCT FROM n.next_run_at",
        )
        .bind(next.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())
        .bind(next.iter().map(|(_, at)| Stamp::maybe(*at)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
        Ok(())
    }
}

/// Records within a transaction that every slot up to and including this one is settled.
pub(super) async fn settle_slot(
    connection: &mut sqlx::PgConnection,
    schedule: &str,
    database: Option<&str>,
    slot: Instant,
) -> Result<(), CatalogError> {
    sqlx::query(ADVANCE)
        .bind(schedule)
        .bind(database.unwrap_or_default())
        .bind(Stamp(slot))
        .execute(connection)
        .await?;
    Ok(())
}

const ADVANCE: &str = "INSERT INTO bkup.schedule_progress AS p (schedule, database, settled) VALUES ($1, $2, $3) \
     ON CONFLICT (schedule, database) DO UPDATE SET settled = excluded.settled, updated_at = now() \
     WHERE p.settled < excluded.settled";
