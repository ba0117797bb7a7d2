//! The audit chain: append-only rows, each of which carries the hash of the one before. Its head goes into every run's
//! report in the store, so that a rewritten chain can be told from the true one.

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::failure::CatalogError;
use super::stamp::{Cells, Stamp, as_recorded, bigint, plain, plain_json};
use super::state::{self, Reader};
use super::writer::Writer;
use crate::domain::{Digest, Instant, RunId, digest_of};

/// Something that happened, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When.
    pub at: Instant,
    /// Who: a person or a runner.
    pub actor: String,
    /// In which run of apply; absent outside one.
    pub run: Option<RunId>,
    /// What: `backup completed`.
    pub event: String,
    /// To what: an address, a backup's id.
    pub subject: String,
    /// Anything else worth keeping; no floating point, no secrets.
    pub facts: Value,
}

/// Whether the chain is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every row agrees with the one before and with the recorded head.
    Whole {
        /// How many rows it has.
        rows: u64,
        /// How many of them are known by their last hash alone: they were lost with a catalog that was rebuilt.
        base: u64,
        /// The newest row's hash; absent where there is none.
        head: Option<Digest>,
    },
    /// A row was changed, put in or taken out.
    Broken {
        /// The first row that does not agree.
        row: u64,
        /// What does not.
        reason: String,
    },
}

fn hash(seq: i64, event: &AuditEvent, previous: Option<&str>) -> Digest {
    digest_of(&json!({
        "version": 1, "seq": seq, "at": as_recorded(event.at).to_string(), "actor": event.actor,
        "run": event.run.as_ref().map(RunId::as_str), "event": event.event, "subject": event.subject,
        "facts": event.facts, "previous": previous,
    }))
}

impl Writer {
    /// Appends events, and returns the chain's new head. Two writers at once wait for each other.
    ///
    /// # Errors
    /// As every statement; [`CatalogError::Absent`] without a catalog.
    pub async fn audit(&self, events: &[AuditEvent]) -> Result<Option<Digest>, CatalogError> {
        if events.is_empty() {
            return self.reader().audit_head().await;
        }
        let mut transaction = self.session().begin().await?;
        let head = append(&mut transaction, events).await?;
        transaction.commit().await?;
        head.map(|head| head.parse().map_err(|error| CatalogError::corrupt("audit_head", error))).transpose()
    }
}

/// Appends events to the chain, whose row in `meta` stays locked until the transaction ends; returns the new head.
pub(super) async fn append(
    connection: &mut PgConnection,
    events: &[AuditEvent],
) -> Result<Option<String>, CatalogError> {
    // What PostgreSQL cannot hold must not undo the effect that is told; the hash is of what is kept.
    let kept = |event: &AuditEvent| AuditEvent {
        actor: plain(&event.actor).into(),
        subject: plain(&event.subject).into(),
        facts: plain_json(event.facts.clone()),
        ..event.clone()
    };
    let events: Vec<AuditEvent> = events.iter().map(kept).collect();
    let row = sqlx::query("SELECT audit_rows, audit_head FROM bkup.meta FOR UPDATE")
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(CatalogError::Absent)?;
    let first = row.try_get::<i64, _>("audit_rows")? + 1;
    let mut previous = row.maybe_text("audit_head")?;
    let (mut links, mut hashes) = (Vec::new(), Vec::new());
    for (seq, event) in (first..).zip(&events) {
        let own = hash(seq, event, previous.as_deref()).to_string();
        links.push(previous.replace(own.clone()));
        hashes.push(own);
    }
    let last = first + i64::try_from(events.len()).unwrap_or(i64::MAX) - 1;
    sqlx::query(
        "INSERT INTO bkup.audit_log (seq, at, actor, run, event, subject, facts, previous, hash) \
             SELECT $1 + place - 1, at, actor, run, event, subject, facts::jsonb, previous, hash \
             FROM unnest($2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
                         $9::text[]) \
                  WITH ORDINALITY AS e (at, actor, run, event, subject, facts, previous, hash, place) ORDER BY place",
    )
    .bind(first)
    .bind(events.iter().map(|e| Stamp(e.at)).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.actor.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.run.as_ref().map(RunId::as_str)).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.event.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.subject.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.facts.to_string()).collect::<Vec<_>>())
    .bind(links)
    .bind(hashes)
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE bkup.meta SET audit_rows = $1, audit_head = $2")
        .bind(last)
        .bind(&previous)
        .execute(connection)
        .await?;
    Ok(previous)
}

impl Reader {
    /// Returns the hash of the chain's newest row, if it has any.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn audit_head(&self) -> Result<Option<Digest>, CatalogError> {
        let mut connection = self.session().connection().await?;
        sqlx::query("SELECT audit_head FROM bkup.meta")
            .fetch_optional(&mut *connection)
            .await?
            .ok_or(CatalogError::Absent)?
            .maybe_parsed("audit_head")
    }

    /// Compares heads that runs have left in the stores, each with the number of its row, with the chain. Returns the
    /// first row that has another hash, or none. Rows from before a rebuild cannot be compared and are passed over.
    ///
    /// # Errors
    /// As every question: unreachable, refused, corrupt.
    pub async fn first_other_head(&self, heads: &[(u64, String)]) -> Result<Option<u64>, CatalogError> {
        let mut connection = self.session().connection().await?;
        let row: Option<i64> = sqlx::query_scalar(
            "SELECT h.seq FROM unnest($1::bigint[], $2::text[]) AS h (seq, hash) CROSS JOIN bkup.meta m \
             LEFT JOIN bkup.audit_log a ON a.seq = h.seq \
             WHERE CASE WHEN h.seq > m.audit_base_rows THEN a.hash IS DISTINCT FROM h.hash \
                        WHEN h.seq = m.audit_base_rows THEN m.audit_base_head IS DISTINCT FROM h.hash \
                        ELSE false END \
             ORDER BY h.seq LIMIT 1",
        )
        .bind(heads.iter().map(|(row, _)| bigint(*row)).collect::<Vec<_>>())
        .bind(heads.iter().map(|(_, hash)| hash.as_str()).collect::<Vec<_>>())
        .fetch_optional(&mut *connection)
        .await?;
        Ok(row.and_then(|row| u64::try_from(row).ok()))
    }

    /// Computes every hash of the chain again.
    ///
    /// # Errors
    /// As every question; a broken chain is a verdict, not an error.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, CatalogError> {
        let mut transaction = self.session().begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *transaction).await?;
        let row = sqlx::query("SELECT audit_rows, audit_head, audit_base_rows, audit_base_head FROM bkup.meta")
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or(CatalogError::Absent)?;
        let (rows, head) = (row.count("audit_rows")?, row.maybe_text("audit_head")?);
        // A rebuilt catalog holds the rows since its rebuild; they hang on the head that the store recorded.
        let base = row.count("audit_base_rows")?;
        let mut seen = base;
        let mut previous: Option<String> = row.maybe_text("audit_base_head")?;
        let mut log = sqlx::query(
            "SELECT seq, at, actor, run, event, subject, facts, previous, hash FROM bkup.audit_log ORDER BY seq",
        )
        .fetch(&mut *transaction);
        while let Some(row) = log.try_next().await? {
            seen += 1;
            match broken(&row, seen, previous.as_deref())? {
                Some(reason) => return Ok(AuditVerdict::Broken { row: seen, reason: reason.to_owned() }),
                None => previous = row.maybe_text("hash")?,
            }
        }
        if seen != rows || previous != head {
            let reason = format!("the chain ends after {seen} rows, and {rows} were written");
            return Ok(AuditVerdict::Broken { row: seen.min(rows) + 1, reason });
        }
        let head = head.map(|head| head.parse().map_err(|error| CatalogError::corrupt("audit_head", error)));
        Ok(AuditVerdict::Whole { rows, base, head: head.transpose()? })
    }
}

/// Says what is wrong with the row that should be number `seq`.
fn broken(row: &PgRow, seq: u64, previous: Option<&str>) -> Result<Option<&'static str>, CatalogError> {
    let number: i64 = row.try_get("seq")?;
    if u64::try_from(number) != Ok(seq) {
        return Ok(Some("is missing"));
    }
    if row.maybe_text("previous")?.as_deref() != previous {
        return Ok(Some("does not name the hash of the row before"));
    }
    let event = AuditEvent {
        at: row.at("at")?,
        actor: row.text("actor")?,
        run: row.maybe_text("run")?.map(|run| state::run_id(&run)).transpose()?,
        event: row.text("event")?,
        subject: row.text("subject")?,
        facts: state::json(row, "facts")?.unwrap_or_default(),
    };
    let agrees = hash(number, &event, previous).to_string() == row.text("hash")?;
    Ok((!agrees).then_some("does not agree with its hash"))
}
