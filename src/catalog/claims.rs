//! Claims: who does which piece of work, unique by action id across plans. Leases run by the database's own clock,
//! also in a simulated catalog; the token only grows, and becomes the attempt.

use std::collections::BTreeSet;

use sqlx::Row;

use super::failure::CatalogError;
use super::stamp::{Cells, bigint};
use super::writer::Writer;
use crate::domain::{ActionId, Instant, Period};

/// How long a claim lasts without a heartbeat.
pub const LEASE: Period = Period::minutes(1);

/// The right to do a piece of work, until someone takes it over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// The work.
    pub action: ActionId,
    /// The fencing token: grows with each claim of the work. It is the attempt.
    pub token: u64,
}

/// What came of asking for a piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// It is the asker's.
    Claimed(Lease),
    /// Someone else does it.
    HeldBy {
        /// Who.
        runner: String,
        /// When the lease ends if that runner is dead, by the database's clock.
        until: Instant,
    },
}

impl Writer {
    /// Claims a piece of work, or says who holds it. A lease that has ended is taken over; so is the asker's own, whose
    /// answer it may never have seen. A runner's name is of one run only, and it asks for no work that it is at.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn claim(&self, action: ActionId, runner: &str, lease: Period) -> Result<ClaimOutcome, CatalogError> {
        let mut connection = self.session().connection().await?;
        loop {
            let row = sqlx::query(
                "WITH got AS ( \
                     INSERT INTO bkup.claims AS c (action_id, token, runner, claimed_at, heartbeat_at, lease_until) \
                     VALUES ($1, 1, $2, clock_timestamp(), clock_timestamp(), \
                             clock_timestamp() + make_interval(secs => $3)) \
                     ON CONFLICT (action_id) DO UPDATE SET token = c.token + 1, runner = excluded.runner, \
                         claimed_at = excluded.claimed_at, heartbeat_at = excluded.heartbeat_at, \
                         lease_until = excluded.lease_until \
                     WHERE c.lease_until IS NULL OR c.lease_until < clock_timestamp() OR c.runner = excluded.runner \
                     RETURNING token) \
                 SELECT token, NULL AS runner, NULL AS lease_until FROM got \
                 UNION ALL \
                 SELECT NULL, runner, lease_until FROM bkup.claims \
                 WHERE action_id = $1 AND lease_until IS NOT NULL AND NOT EXISTS (SELECT FROM got)",
            )
            .bind(action.to_string())
            .bind(runner)
            .bind(seconds(lease))
            .fetch_optional(&mut *connection)
            .await?;
            match row {
                Some(row) if row.try_get::<Option<i64>, _>("token")?.is_some() => {
                    return Ok(ClaimOutcome::Claimed(Lease { action, token: row.count("token")? }));
                }
                Some(row) => {
                    return Ok(ClaimOutcome::HeldBy { runner: row.text("runner")?, until: row.at("lease_until")? });
                }
                // The holder's row was not yet to be seen when the statement began, or was released meanwhile.
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// Claims up to `most` of the pieces of work, the first ones first, in one round trip; rows that others are about
    /// to claim are passed over, so a batch never waits.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn claim_many(
        &self,
        actions: &[ActionId],
        runner: &str,
        lease: Period,
        most: u32,
    ) -> Result<Vec<Lease>, CatalogError> {
        let ids: Vec<String> = actions.iter().map(ActionId::to_string).collect();
        let mut connection = self.session().connection().await?;
        // New rows go in by id: two batches with the same new work in different orders would wait for each other.
        let rows = sqlx::query(
            "WITH wanted AS (SELECT action_id, min(place) AS place \
                             FROM unnest($1::text[]) WITH ORDINALITY AS w (action_id, place) GROUP BY action_id), \
             free AS (SELECT c.action_id FROM bkup.claims c JOIN wanted w USING (action_id) \
                      WHERE c.lease_until IS NULL OR c.lease_until < clock_timestamp() OR c.runner = $2 \
                      ORDER BY w.place LIMIT $4 FOR UPDATE OF c SKIP LOCKED), \
             renewed AS (UPDATE bkup.claims c SET token = c.token + 1, runner = $2, claimed_at = clock_timestamp(), \
                             heartbeat_at = clock_timestamp(), \
                             lease_until = clock_timestamp() + make_interval(secs => $3) \
                         FROM free WHERE c.action_id = free.action_id RETURNING c.action_id, c.token), \
             unknown AS (SELECT w.action_id FROM wanted w \
                         WHERE NOT EXISTS (SELECT FROM bkup.claims c WHERE c.action_id = w.action_id) \
                         ORDER BY w.place LIMIT greatest(0, $4 - (SELECT count(*) FROM free))), \
             fresh AS (INSERT INTO bkup.claims (action_id, token, runner, claimed_at, heartbeat_at, lease_until) \
                       SELECT action_id, 1, $2, clock_timestamp(), clock_timestamp(), \
                              clock_timestamp() + make_interval(secs => $3) FROM unknown ORDER BY action_id \
                       ON CONFLICT (action_id) DO NOTHING RETURNING action_id, token) \
             SELECT c.action_id, c.token FROM (SELECT * FROM renewed UNION ALL SELECT * FROM fresh) c \
             JOIN wanted w USING (action_id) ORDER BY w.place",
        )
        .bind(ids)
        .bind(runner)
        .bind(seconds(lease))
        .bind(i64::from(most))
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(|row| Ok(Lease { action: row.parsed("action_id")?, token: row.count("token")? })).collect()
    }

    /// Renews leases, and returns those that are lost: their work belongs to someone else now and must be dropped.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn heartbeat(&self, leases: &[Lease], lease: Period) -> Result<Vec<Lease>, CatalogError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = leases.iter().map(|lease| lease.action.to_string()).collect();
        let tokens: Vec<i64> = leases.iter().map(|lease| bigint(lease.token)).collect();
        let mut connection = self.session().connection().await?;
        let rows = sqlx::query(
            "WITH mine AS (SELECT c.action_id FROM bkup.claims c \
                           JOIN unnest($1::text[], $2::bigint[]) AS h (action_id, token) \
                             ON c.action_id = h.action_id AND c.token = h.token \
                           WHERE c.lease_until IS NOT NULL ORDER BY c.action_id FOR UPDATE OF c), \
             alive AS (UPDATE bkup.claims c SET heartbeat_at = clock_timestamp(), \
                           lease_until = clock_timestamp() + make_interval(secs => $3) \
                       FROM mine WHERE c.action_id = mine.action_id RETURNING c.action_id, c.token, c.lease_until), \
             shown AS (UPDATE bkup.executions e SET lease_until = alive.lease_until FROM alive \
                       WHERE e.action_id = alive.action_id AND e.attempt = alive.token AND e.status = 'RUNNING') \
             SELECT action_id, token FROM alive",
        )
        .bind(ids)
        .bind(tokens)
        .bind(seconds(lease))
        .fetch_all(&mut *connection)
        .await?;
        let alive = rows.iter().map(|row| Ok(Lease { action: row.parsed("action_id")?, token: row.count("token")? }));
        let alive = alive.collect::<Result<BTreeSet<Lease>, CatalogError>>()?;
        Ok(leases.iter().filter(|lease| !alive.contains(lease)).cloned().collect())
    }

    /// Gives work back, done or not. A lease that is lost already is nothing to give back. A backup that still runs
    /// under it is abandoned from now on.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn release(&self, lease: &Lease) -> Result<(), CatalogError> {
        self.release_many(std::slice::from_ref(lease)).await
    }

    /// Gives pieces of work back, as [`Writer::release`], in one round trip.
    ///
    /// # Errors
    /// As every statement: unreachable, refused.
    pub async fn release_many(&self, leases: &[Lease]) -> Result<(), CatalogError> {
        let mut connection = self.session().connection().await?;
        sqlx::query(
            "WITH mine AS (SELECT c.action_id, c.token FROM bkup.claims c \
                           JOIN unnest($1::text[], $2::bigint[]) AS h (action_id, token) \
                             ON c.action_id = h.action_id AND c.token = h.token \
                           ORDER BY c.action_id FOR UPDATE OF c), \
             freed AS (UPDATE bkup.claims c SET lease_until = NULL FROM mine \
                       WHERE c.action_id = mine.action_id AND c.token = mine.token RETURNING c.action_id, c.token) \
             UPDATE bkup.executions e SET lease_until = clock_timestamp() FROM freed \
             WHERE e.action_id = freed.action_id AND e.attempt = freed.token AND e.status = 'RUNNING'",
        )
        .bind(leases.iter().map(|lease| lease.action.to_string()).collect::<Vec<_>>())
        .bind(leases.iter().map(|lease| bigint(lease.token)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
        Ok(())
    }
}

fn seconds(lease: Period) -> f64 {
    f64::from(i32::try_from(lease.as_seconds()).unwrap_or(i32::MAX))
}
