//! What a server says beside its tenants: settings, standbys, other databases. Each is read behind a savepoint of its
//! own, so that one that is denied is not known and takes nothing else with it. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor as _, Row as _};
use tokio::sync::OnceCell;

use super::{ServerError, classify};
use crate::domain::{Bytes, Neighbours, Observation, Period, ServerSetting, ServerSigns, Standby};

const SETTINGS: &str = "
    SELECT name::text AS name, setting::text AS value, pending_restart FROM pg_catalog.pg_settings
    WHERE name IN ('wal_level', 'archive_mode', 'archive_command', 'archive_library', 'archive_timeout',
                   'summarize_wal', 'max_wal_senders')";

// Who may not see the standbys gets rows without facts. Where a standby answers, the log it received is the newest.
const STANDBYS: &str = "
    SELECT coalesce(application_name, '')::text AS name, state IS NULL AS hidden,
           extract(epoch FROM replay_lag)::float8 AS lag,
           pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()
                                           ELSE pg_catalog.pg_current_wal_lsn() END, replay_lsn)::int8 AS bytes
    FROM pg_catalog.pg_stat_replication
    WHERE coalesce(state, 'streaming') IN ('streaming', 'catchup')
      AND coalesce(application_name, '') NOT IN ('pg_basebackup', 'pg_receivewal')
    ORDER BY application_name, pid";

const SYSTEM: &str = "SELECT system_identifier::text AS system FROM pg_catalog.pg_control_system()";

// A size is asked for only where that is allowed, else the question as a whole would fail. A database that was never
// used is about as large as the template of new ones.
const DATABASES: &str = "
    WITH seen AS (
        SELECT d.datname::text AS name, d.datistemplate AS template, d.datallowconn AS open,
               CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')
                      OR pg_catalog.pg_has_role('pg_read_all_stats', 'MEMBER')
                    THEN pg_catalog.pg_database_size(d.oid) END AS size
        FROM pg_catalog.pg_database d)
    SELECT name, size, size < (SELECT size FROM seen WHERE name = 'template1') + 4194304 AS empty
    FROM seen WHERE open AND NOT template ORDER BY name";

/// What is the same in every database of a server, by the server's identity and the role that looked: to ask each of
/// them would cost a session of every runner more than its connection, and the sizes their number squared.
#[derive(Default)]
pub struct Surveyed(Mutex<BTreeMap<(String, String), Arc<Once>>>);

/// What was read of a server, each part once somebody could.
#[derive(Default)]
struct Once {
    settings: OnceCell<BTreeMap<String, ServerSetting>>,
    standbys: OnceCell<Vec<Standby>>,
    neighbours: OnceCell<Arc<Neighbours>>,
}

impl Surveyed {
    fn of(&self, system: &str, role: &str) -> Arc<Once> {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(servers.entry((system.to_owned(), role.to_owned())).or_default())
    }
}

/// Reads all of it, within a transaction.
pub(super) async fn read(session: &mut PgConnection, role: &str, surveyed: &Surveyed) -> ServerSigns {
    let system: Option<String> = part(session, SYSTEM).await.ok().and_then(|rows| rows.first()?.try_get("system").ok());
    // Where it cannot be told which server it is, it may be any, and what is read of it is its own.
    let once = system.as_ref().map_or_else(Arc::default, |system| surveyed.of(system, role));
    let settings = once.settings.get_or_try_init(|| settings(session)).await.cloned();
    let standbys = once.standbys.get_or_try_init(|| standbys(session)).await.cloned();
    let neighbours = once.neighbours.get_or_try_init(|| beside(session, system)).await.cloned();
    ServerSigns { settings: seen(settings), standbys: seen(standbys), neighbours: seen(neighbours) }
}

async fn settings(session: &mut PgConnection) -> Result<BTreeMap<String, ServerSetting>, ServerError> {
    let pair = |row: &PgRow| {
        let setting = ServerSetting { value: row.try_get("value")?, pending_restart: row.try_get("pending_restart")? };
        Ok((row.try_get("name")?, setting))
    };
    let rows = part(session, SETTINGS).await?;
    rows.iter().map(pair).collect::<Result<_, sqlx::Error>>().map_err(|e| classify(&e))
}

async fn standbys(session: &mut PgConnection) -> Result<Vec<Standby>, ServerError> {
    let rows = part(session, STANDBYS).await?;
    if rows.iter().any(|row| row.try_get("hidden").unwrap_or(true)) {
        return Err(ServerError::Permission("grant it pg_monitor to see who follows".to_owned()));
    }
    rows.iter().map(standby).collect::<Result<_, sqlx::Error>>().map_err(|e| classify(&e))
}

async fn beside(session: &mut PgConnection, system: Option<String>) -> Result<Arc<Neighbours>, ServerError> {
    let rows = part(session, DATABASES).await?;
    neighbours(&rows, system).map(Arc::new).map_err(|e| classify(&e))
}

/// What is known where the server stopped answering.
pub(super) fn unknown(silent: &ServerError) -> ServerSigns {
    let why = silent.to_string();
    ServerSigns {
        settings: Observation::Unreachable(why.clone()),
        standbys: Observation::Unreachable(why.clone()),
        neighbours: Observation::Unreachable(why),
    }
}

fn seen<T>(read: Result<T, ServerError>) -> Observation<T> {
    match read {
        Ok(value) => Observation::Known(value),
        Err(error) => Observation::Unreachable(error.to_string()),
    }
}

/// Asks one of the questions above, all in one message to the server and back.
async fn part(session: &mut PgConnection, sql: &'static str) -> Result<Vec<PgRow>, ServerError> {
    let whole = format!("SAVEPOINT part; {sql}; RELEASE SAVEPOINT part");
    match sqlx::raw_sql(sqlx::AssertSqlSafe(whole)).fetch_all(&mut *session).await {
        Ok(rows) => Ok(rows),
        Err(why) => {
            session.execute("ROLLBACK TO SAVEPOINT part").await.map_err(|e| classify(&e))?;
            Err(classify(&why))
        }
    }
}

fn standby(row: &PgRow) -> Result<Standby, sqlx::Error> {
    let lag: Option<f64> = row.try_get("lag")?;
    let bytes: Option<i64> = row.try_get("bytes")?;
    Ok(Standby {
        name: row.try_get("name")?,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast from a float ends at the limits of the whole number"
        )]
        lag: lag.map(|seconds| Period::seconds(seconds.ceil().clamp(0.0, 1e12) as i64)),
        bytes: bytes.map(|bytes| Bytes(u64::try_from(bytes).unwrap_or(0))),
    })
}

fn neighbours(rows: &[PgRow], system: Option<String>) -> Result<Neighbours, sqlx::Error> {
    let (mut databases, mut empty) = (BTreeMap::new(), BTreeSet::new());
    for row in rows {
        let name: String = row.try_get("name")?;
        let size: Option<i64> = row.try_get("size")?;
        if row.try_get::<Option<bool>, _>("empty")? == Some(true) {
            empty.insert(name.clone());
        }
        databases.insert(name, size.map(|size| Bytes(u64::try_from(size).unwrap_or(0))));
    }
    Ok(Neighbours { system, databases, empty })
}
