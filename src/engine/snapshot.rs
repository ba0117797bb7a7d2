//! One exported snapshot, under which all dumps of a run see the same instant.
//!
//! The exporting transaction must stay open until the last dump has *begun* its own; it is held until the last one has
//! ended, and asked once more then: a pooler or a timeout that took it away in between is found, not hoped against.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Executor as _, Row as _};

use super::failure::words_of;
use super::kept_globals::{self, SharedState};
use super::{Connection, EngineError};
use crate::domain::{Instant, Lsn};

/// An exported snapshot, alive as long as the value: dropping it ends the transaction on the server.
#[derive(Debug)]
pub struct Snapshot {
    connection: PgConnection,
    facts: SnapshotFacts,
    begun: std::time::Instant,
    sees_roles: bool,
}

/// What the server said when the snapshot was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// Its name, for `--snapshot`.
    pub id: String,
    /// Everything committed before this instant is inside: the begin of the exporting transaction, by the server's clock.
    pub consistent_at: Instant,
    /// The server's clock just after the export.
    pub server_clock: Instant,
    /// The log's position at the export; on a standby, how far it has replayed.
    pub lsn: Option<Lsn>,
    /// The cluster's system identifier, decimal, where it may be read.
    pub system_identifier: Option<String>,
    /// `server_version`.
    pub server_version: String,
    /// `server_version_num`.
    pub version_num: u32,
    /// The database's own name.
    pub datname: String,
    /// The database's encoding.
    pub encoding: String,
}

impl SnapshotFacts {
    /// Returns the server's major version.
    #[must_use]
    pub const fn major(&self) -> u32 {
        self.version_num / 10_000
    }
}

const FACTS: &str = "
    SELECT pg_catalog.pg_export_snapshot() AS id,
           (extract(epoch FROM pg_catalog.transaction_timestamp()) * 1000000)::int8 AS consistent_at,
           (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8 AS clock,
           (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                 ELSE pg_catalog.pg_current_wal_lsn() END)::text AS lsn,
           pg_catalog.current_setting('server_version') AS server_version,
           pg_catalog.current_setting('server_version_num')::int4 AS version_num,
           pg_catalog.current_database()::text AS datname,
           pg_catalog.current_setting('server_encoding') AS encoding,
           pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS sees_roles";

/// Which schemas refer to which: any recorded dependency between objects that have a schema, foreign keys and views
/// (through their rules) included. Triggers of foreign
/// keys are left out: they stand at the referenced table and would turn each reference round.
const REFERENCES: &str = "
    WITH object(classid, objid, nspid) AS (
        SELECT 'pg_class'::regclass::oid, oid, relnamespace FROM pg_catalog.pg_class
        UNION ALL SELECT 'pg_proc'::regclass::oid, oid, pronamespace FROM pg_catalog.pg_proc
        UNION ALL SELECT 'pg_type'::regclass::oid, oid, typnamespace FROM pg_catalog.pg_type
        UNION ALL SELECT 'pg_constraint'::regclass::oid, oid, connamespace FROM pg_catalog.pg_constraint
        UNION ALL SELECT 'pg_rewrite'::regclass::oid, r.oid, c.relnamespace
            FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
        UNION ALL SELECT 'pg_trigger'::regclass::oid, t.oid, c.relnamespace
            FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
            WHERE NOT t.tgisinternal
        UNION ALL SELECT 'pg_policy'::regclass::oid, p.oid, c.relnamespace
            FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
        UNION ALL SELECT 'pg_attrdef'::regclass::oid, a.oid, c.relnamespace
            FROM pg_catalog.pg_attrdef a JOIN pg_catalog.pg_class c ON c.oid = a.adrelid)
    SELECT DISTINCT f.nspname::text AS from_schema, t.nspname::text AS to_schema
    FROM pg_catalog.pg_depend d
    JOIN object o ON o.classid = d.classid AND o.objid = d.objid
    JOIN object r ON r.classid = d.refclassid AND r.objid = d.refobjid
    JOIN pg_catalog.pg_namespace f ON f.oid = o.nspid
    JOIN pg_catalog.pg_namespace t ON t.oid = r.nspid
    WHERE o.nspid <> r.nspid
      AND f.nspname !~ '^pg_' AND t.nspname !~ '^pg_'
      AND 'information_schema' NOT IN (f.nspname, t.nspname)
    ORDER BY 1, 2";

impl Snapshot {
    /// Exports a snapshot.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub async fn export(to: &Connection) -> Result<Self, EngineError> {
        let failed = |e: &sqlx::Error| EngineError::server(format!("exporting a snapshot of {to}"), e);
        let begun = std::time::Instant::now();
        let mut connection = to.connect().await?;
        // Before the transaction: a refusal inside would end it. Null where the role may not ask.
        let identity = sqlx::query("SELECT system_identifier::text FROM pg_catalog.pg_control_system()");
        let system_identifier = match identity.fetch_one(&mut connection).await {
            Ok(row) => row.try_get(0).ok(),
            Err(sqlx::Error::Database(_)) => None,
            Err(error) => return Err(failed(&error)),
        };
        connection
            .execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await
            .map_err(|e| failed(&e))?;
        let row = sqlx::query(FACTS).fetch_one(&mut connection).await.map_err(|e| failed(&e))?;
        let facts = read_facts(&row, system_identifier).map_err(|e| failed(&e))?;
        let sees_roles = row.try_get("sees_roles").map_err(|e| failed(&e))?;
        Ok(Self { connection, facts, begun, sees_roles })
    }

    /// Returns what the server said.
    #[must_use]
    pub const fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    /// Returns what the server's shared catalogs say, as of the snapshot; absent where the role may not ask, or nobody
    /// answers: that the snapshot is lost is for others to tell.
    pub async fn shared(&mut self) -> Option<SharedState> {
        let system = self.facts.system_identifier.clone().filter(|_| self.sees_roles)?;
        // A refusal must not end the transaction, and the snapshot with it.
        self.connection.execute("SAVEPOINT shared").await.ok()?;
        let query = sqlx::AssertSqlSafe(kept_globals::query(self.facts.version_num));
        let digest = sqlx::query_scalar(query).fetch_one(&mut self.connection).await;
        self.connection.execute("ROLLBACK TO SAVEPOINT shared").await.ok()?;
        Some(SharedState { system, digest: digest.ok()?, begun: self.begun })
    }

    /// Asks whether it is still held. To be asked after the last dump too.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    pub async fn check(&mut self) -> Result<(), EngineError> {
        let held =
            sqlx::query("SELECT pg_catalog.transaction_timestamp() IS NOT NULL AND pg_catalog.now() = $1::timestamptz")
                .bind(format!("{}", self.facts.consistent_at))
                .fetch_one(&mut self.connection)
                .await
                .and_then(|row| row.try_get::<bool, _>(0));
        match held {
            Ok(true) => Ok(()),
            Ok(false) => Err(EngineError::SnapshotLost("its transaction is another one by now".to_owned())),
            Err(error) => Err(EngineError::SnapshotLost(words_of(&error))),
        }
    }

    /// Returns which schemas' objects refer to objects of which other schemas, as of the snapshot; system schemas are
    /// left out. What a function's body names is not known to the server, so neither is it here.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    pub async fn references(&mut self) -> Result<Vec<(String, String)>, EngineError> {
        let rows = sqlx::query(REFERENCES).fetch_all(&mut self.connection).await;
        let rows = rows.map_err(|e| EngineError::SnapshotLost(words_of(&e)))?;
        Ok(rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?))).collect())
    }

    /// Runs a query inside the exporting transaction.
    pub(super) async fn rows(&mut self, query: &'static str) -> Result<Vec<PgRow>, EngineError> {
        let rows = sqlx::query(query).fetch_all(&mut self.connection).await;
        rows.map_err(|e| EngineError::SnapshotLost(words_of(&e)))
    }

    /// Ends it, after a last [`Snapshot::check`].
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    pub async fn close(mut self) -> Result<(), EngineError> {
        self.check().await?;
        // Said aloud: the server may take a while to notice that a session is gone, and the snapshot holds back vacuum.
        let _ended_anyway = sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await;
        let _ended_anyway = self.connection.close().await;
        Ok(())
    }
}

fn read_facts(row: &PgRow, system_identifier: Option<String>) -> Result<SnapshotFacts, sqlx::Error> {
    let instant = |name: &str| -> Result<Instant, sqlx::Error> {
        Instant::from_microsecond(row.try_get(name)?).map_err(|e| sqlx::Error::Decode(Box::new(e)))
    };
    Ok(SnapshotFacts {
        id: row.try_get("id")?,
        consistent_at: instant("consistent_at")?,
        server_clock: instant("clock")?,
        lsn: row.try_get::<Option<String>, _>("lsn")?.and_then(|lsn| lsn.parse().ok()),
        system_identifier,
        server_version: row.try_get("server_version")?,
        version_num: u32::try_from(row.try_get::<i32, _>("version_num")?).unwrap_or(0),
        datname: row.try_get("datname")?,
        encoding: row.try_get("encoding")?,
    })
}
