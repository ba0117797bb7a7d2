//! What a server says about the time between an exported instant and now: how much room its table of locks has, which
//! schemas were changed, locked or cannot be read, and which tables were emptied without a word. Asked of the exporting
//! transaction, which still sees the instant, and of a fresh session, which sees now.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Connection as _;
use sqlx::Row as _;

use super::{Connection, EngineError, Snapshot};

/// What a dump locks, and how much the server can hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockRoom {
    /// Locks that the server's table has room for, by its settings.
    pub slots: u64,
    /// Locks that are in it.
    pub taken: u64,
    /// Per schema, what a dump of it locks.
    pub schemas: BTreeMap<String, u64>,
}

/// A dump locks some 170 relations of the system besides.
const SYSTEM: u64 = 300;

impl LockRoom {
    /// Returns how many relations one dump may lock: four fifths of what is free, since others work too.
    #[must_use]
    pub fn budget(&self) -> u64 {
        (self.slots.saturating_sub(self.taken) / 5 * 4).saturating_sub(SYSTEM)
    }

    /// Returns what a schema takes of it.
    #[must_use]
    pub fn of(&self, schema: &str) -> u64 {
        self.schemas.get(schema).copied().unwrap_or(0)
    }

    /// Returns what all schemas but these take of it.
    #[must_use]
    pub fn of_all_but(&self, schemas: &[String]) -> u64 {
        let left_out: BTreeSet<&String> = schemas.iter().collect();
        self.schemas.iter().filter(|(schema, _)| !left_out.contains(schema)).map(|(_, locks)| locks).sum()
    }
}

const SLOTS: &str = "
    SELECT pg_catalog.current_setting('max_locks_per_transaction')::int8
           * (pg_catalog.current_setting('max_connections')::int8
              + pg_catalog.current_setting('max_prepared_transactions')::int8) AS slots,
           (SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT fastpath) AS taken";

/// Up to 17, `pg_dump` also locks sequences.
const LOCKED: &str = "
    SELECT n.nspname::text AS schema, count(*) AS locks
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE (c.relkind IN ('r', 'p', 'v', 'm')
           OR (c.relkind = 'S' AND pg_catalog.current_setting('server_version_num')::int4 < 180000))
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    GROUP BY 1";

/// `pg_relation_filenode` tells the file as of now, the row that of the instant. A table whose file is another one was
/// truncated or rewritten: to the instant it is empty, without an error. One that is gone by now gives null.
const REWRITTEN: &str = "
    SELECT n.nspname::text AS schema, c.relname::text AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relfilenode <> 0
      AND c.relfilenode <> pg_catalog.pg_relation_filenode(c.oid)
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// One sum per schema over everything in it that a dump reads: who wrote which row of the catalogs. Statistics are
/// written in place and do not count, and neither do the triggers of foreign keys, which stand at the other table too.
const FINGERPRINTS: &str = "
    WITH part(nsp, hash) AS (
        SELECT oid, pg_catalog.hashtextextended(pg_catalog.concat_ws('.', oid, xmin, nspname), 0)
            FROM pg_catalog.pg_namespace
        UNION ALL SELECT relnamespace, pg_catalog.hashtextextended(pg_catalog.concat_ws('.', oid, xmin, relname), 1)
            FROM pg_catalog.pg_class WHERE relkind <> 't'
        UNION ALL SELECT c.relnamespace,
                pg_catalog.hashtextextended(pg_catalog.concat_ws('.', a.attrelid, a.attnum, a.xmin), 2)
            FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
            WHERE a.attnum > 0 AND c.relkind <> 't'
        UNION ALL SELECT pronamespace, pg_catalog.hashtextextended(pg_catalog.concat_ws('.', oid, xmin), 3)
            FROM pg_catalog.pg_proc
        UNION ALL SELECT typnamespace, pg_catalog.hashtextextended(pg_catalog.concat_ws('.', oid, xmin), 4)
            FROM pg_catalog.pg_type
        UNION ALL SELECT connamespace, pg_catalog.hashtextextended(pg_catalog.concat_ws('.', oid, xmin), 5)
            FROM pg_catalog.pg_constraint
        UNION ALL SELECT c.relnamespace, pg_catalog.hashtextextended(pg_catalog.concat_ws('.', t.oid, t.xmin), 6)
            FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
        UNION ALL SELECT stxnamespace, pg_catalog.hashtextextended(pg_catalog.concat_ws('.', oid, xmin), 7)
            FROM pg_catalog.pg_statistic_ext)
    SELECT n.oid::text AS id, n.nspname::text AS schema, sum(part.hash)::text AS print
    FROM part JOIN pg_catalog.pg_namespace n ON n.oid = part.nsp
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    GROUP BY n.oid, n.nspname";

/// Schemas that a dump would wait for, or may not read.
const IN_THE_WAY: &str = "
    SELECT n.nspname::text AS schema
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE l.granted AND l.mode = 'AccessExclusiveLock'
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    UNION SELECT n.nspname::text
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND (NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
           OR (c.relkind IN ('r', 'p', 'S') AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT'))
           OR (c.relkind IN ('r', 'p') AND c.relrowsecurity AND pg_catalog.row_security_active(c.oid)))";

impl Snapshot {
    /// Returns what a dump locks and how much room there is.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    pub async fn room(&mut self) -> Result<LockRoom, EngineError> {
        let mut room = LockRoom::default();
        let count = |row: &sqlx::postgres::PgRow, name: &str| {
            u64::try_from(row.try_get::<i64, _>(name).unwrap_or(0)).unwrap_or(0)
        };
        if let Some(row) = self.rows(SLOTS).await?.first() {
            (room.slots, room.taken) = (count(row, "slots"), count(row, "taken"));
        }
        for row in self.rows(LOCKED).await? {
            if let Ok(schema) = row.try_get::<String, _>("schema") {
                room.schemas.insert(schema, count(&row, "locks"));
            }
        }
        Ok(room)
    }

    /// Returns the tables, as (schema, name), that were truncated or rewritten since the instant and are still there.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`].
    pub async fn rewritten(&mut self) -> Result<BTreeSet<(String, String)>, EngineError> {
        let rows = self.rows(REWRITTEN).await?;
        Ok(rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?))).collect())
    }

    /// Returns the schemas that may be why a dump of many failed: changed or dropped since the instant, locked by
    /// someone, or not to be read by this user.
    ///
    /// # Errors
    /// [`EngineError::SnapshotLost`], or when the server cannot be asked.
    pub async fn suspects(&mut self, connection: &Connection) -> Result<BTreeSet<String>, EngineError> {
        let failed = |e: sqlx::Error| EngineError::server("looking for what changed", &e);
        let mut session = connection.connect().await?;
        let now = sqlx::query(FINGERPRINTS).fetch_all(&mut session).await.map_err(failed)?;
        let in_the_way = sqlx::query(IN_THE_WAY).fetch_all(&mut session).await.map_err(failed)?;
        let _closed = session.close().await;
        let print = |row: &sqlx::postgres::PgRow| -> Option<(String, String)> {
            Some((row.try_get("id").ok()?, row.try_get("print").ok()?))
        };
        let now: BTreeMap<String, String> = now.iter().filter_map(print).collect();
        let mut found: BTreeSet<String> = in_the_way.iter().filter_map(|row| row.try_get("schema").ok()).collect();
        for row in self.rows(FINGERPRINTS).await? {
            let changed = print(&row).is_none_or(|(id, then)| now.get(&id) != Some(&then));
            if changed && let Ok(schema) = row.try_get("schema") {
                found.insert(schema);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::LockRoom;

    #[test]
    fn the_budget_leaves_room_for_others_and_never_wraps() {
        let room = LockRoom {
            slots: 6400,
            taken: 400,
            schemas: [("a".to_owned(), 10), ("b".to_owned(), 20), ("public".to_owned(), 5)].into(),
        };
        assert_eq!(room.budget(), 4500);
        assert_eq!((room.of("b"), room.of("gone")), (20, 0));
        assert_eq!(room.of_all_but(&["a".to_owned(), "b".to_owned()]), 5);
        assert_eq!(LockRoom { slots: 10, taken: 20, ..room }.budget(), 0);
    }
}
