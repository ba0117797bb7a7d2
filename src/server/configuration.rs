//! The configuration of a server, read part by part in one read-only transaction. What the role may not read is told
//! and left out; nothing of it is a secret, and what could be one is masked.
//!
//! Every query fixes its order and gives no time, no position in a file, and no setting of this very session: the same
//! configuration is the same text in every reading.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::types::Json;

use super::{ServerError, VERSIONS, answered, classify, close, open};
use crate::domain::{MASKED, ServerConfiguration, is_secret};

/// A part: its name, and a query that gives one JSON value for each of its rows, in order.
type Part = (&'static str, &'static str);

const PARTS: [Part; 10] = [
    (
        "server",
        "SELECT jsonb_build_object('version', current_setting('server_version'),
                'encoding', current_setting('server_encoding'), 'in_recovery', pg_is_in_recovery())",
    ),
    (
        "roles",
        "SELECT jsonb_build_object('name', rolname, 'superuser', rolsuper, 'inherit', rolinherit,
                'create_role', rolcreaterole, 'create_database', rolcreatedb, 'login', rolcanlogin,
                'replication', rolreplication, 'bypass_row_security', rolbypassrls, 'connection_limit', rolconnlimit,
                'valid_until', (rolvaliduntil AT TIME ZONE 'UTC')::text)
         FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname COLLATE \"C\"",
    ),
    (
        "memberships",
        // The options beside `admin` came with 16.
        "SELECT (to_jsonb(m) - '{oid,roleid,member,grantor}'::text[]) || jsonb_build_object(
                'role', pg_get_userbyid(m.roleid), 'member', pg_get_userbyid(m.member),
                'grantor', pg_get_userbyid(m.grantor))
         FROM pg_auth_members m
         ORDER BY pg_get_userbyid(m.roleid)::text COLLATE \"C\", pg_get_userbyid(m.member)::text COLLATE \"C\",
                  pg_get_userbyid(m.grantor)::text COLLATE \"C\"",
    ),
    (
        "overrides",
        // Of this database and of all of them; what another database has is that one's configuration.
        "SELECT jsonb_build_object('role', r.rolname, 'database', d.datname, 'name', split_part(c.setting, '=', 1),
                'setting', substr(c.setting, strpos(c.setting, '=') + 1))
         FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c(setting)
         LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
         WHERE s.setdatabase = 0 OR d.datname = current_database()
         ORDER BY r.rolname COLLATE \"C\" NULLS FIRST, d.datname COLLATE \"C\" NULLS FIRST, c.setting COLLATE \"C\"",
    ),
    (
        "tablespaces",
        "SELECT jsonb_build_object('name', spcname, 'owner', pg_get_userbyid(spcowner),
                'location', pg_tablespace_location(oid), 'grants', spcacl::text, 'options', to_jsonb(spcoptions))
         FROM pg_tablespace WHERE spcname !~ '^pg_' ORDER BY spcname COLLATE \"C\"",
    ),
    (
        "database",
        "SELECT jsonb_build_object('name', d.datname, 'owner', pg_get_userbyid(d.datdba),
                'encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate, 'ctype', d.datctype,
                'provider', to_jsonb(d) ->> 'datlocprovider',
                'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'),
                'connection_limit', d.datconnlimit, 'allows_connections', d.datallowconn,
                'tablespace', t.spcname, 'grants', d.datacl::text)
         FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database()",
    ),
    (
        "extensions",
        "SELECT jsonb_build_object('name', e.extname, 'version', e.extversion, 'schema', n.nspname,
                'owner', pg_get_userbyid(e.extowner))
         FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname COLLATE \"C\"",
    ),
    (
        "settings",
        // `override` is what the server worked out or was built with; `client` and `session` are of this session;
        // `database` and `user` of who asks, and stand among the overrides.
        "SELECT jsonb_build_object('name', name, 'setting', setting, 'unit', unit, 'source', source,
                'pending_restart', pending_restart)
         FROM pg_settings
         WHERE source NOT IN ('default', 'override', 'client', 'session', 'interactive', 'test', 'user', 'database',
                              'database user')
            OR name IN ('config_file', 'data_directory', 'hba_file', 'ident_file', 'wal_segment_size', 'data_checksums')
         ORDER BY name COLLATE \"C\"",
    ),
    (
        "file_settings",
        "SELECT jsonb_build_object('file', sourcefile, 'name', name, 'setting', setting, 'applied', applied,
                'error', error)
         FROM pg_file_settings ORDER BY seqno",
    ),
    (
        "hba",
        "SELECT jsonb_build_object('type', type, 'database', to_jsonb(database), 'user', to_jsonb(user_name),
                'address', address, 'netmask', netmask, 'method', auth_method, 'options', to_jsonb(options),
                'error', error)
         FROM pg_hba_file_rules ORDER BY line_number",
    ),
];

// A SCRAM verifier holds its own random salt, so that a digest of it tells nothing that could be guessed. Of any other
// verifier only its kind is told.
const PASSWORDS: &str = "
    SELECT rolname::text AS name,
           CASE WHEN rolpassword LIKE 'SCRAM-SHA-256$%' THEN encode(sha256(convert_to(rolpassword, 'UTF8')), 'hex')
                ELSE left(rolpassword, 3) END AS told
    FROM pg_authid WHERE rolname !~ '^pg_' AND rolpassword IS NOT NULL ORDER BY rolname COLLATE \"C\"";

/// Reads the configuration of the server of a database. `passwords` also reads what tells passwords of roles apart.
/// `limit` bounds connecting and each statement, and three of it
/// the whole.
///
/// # Errors
/// [`ServerError`], where nothing can be read; what single parts lack is in the result.
pub async fn configuration(
    options: &PgConnectOptions,
    passwords: bool,
    limit: Duration,
) -> Result<ServerConfiguration, ServerError> {
    answered(limit, look(options, passwords, limit)).await
}

async fn look(
    options: &PgConnectOptions,
    passwords: bool,
    limit: Duration,
) -> Result<ServerConfiguration, ServerError> {
    let mut session = open(options, limit).await?;
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int4")
        .fetch_one(&mut session)
        .await
        .map_err(|e| classify(&e))?;
    if !VERSIONS.contains(&(version.unsigned_abs() / 10_000)) {
        return Err(ServerError::Version((version / 10_000).to_string()));
    }
    let mut found = ServerConfiguration::default();
    for (name, query) in PARTS {
        match rows(&mut session, query).await? {
            Ok(rows) => {
                let rows = rows.into_iter().map(|row| masked(name, row)).collect();
                found.parts.insert(name.to_owned(), Value::Array(rows));
            }
            Err(why) => {
                found.unread.insert(name.to_owned(), why);
            }
        }
    }
    if passwords {
        let told = attempt(&mut session, async |session| {
            sqlx::query_as::<_, (String, Option<String>)>(PASSWORDS).fetch_all(session).await
        });
        match told.await? {
            Ok(told) => {
                let told = told.into_iter().map(|(role, told)| (role, told.unwrap_or_default()));
                found.passwords = Some(told.collect::<BTreeMap<String, String>>());
            }
            Err(why) => {
                found.unread.insert("passwords".to_owned(), why);
            }
        }
    }
    close(session, limit).await;
    Ok(found)
}

async fn rows(session: &mut PgConnection, query: &'static str) -> Result<Result<Vec<Value>, String>, ServerError> {
    let read = attempt(session, async |session| sqlx::query_scalar::<_, Json<Value>>(query).fetch_all(session).await);
    Ok(read.await?.map(|rows| rows.into_iter().map(|Json(row)| row).collect()))
}

/// Asks, and keeps the transaction usable where the role may not ask: that is the inner error, in words.
async fn attempt<T>(
    session: &mut PgConnection,
    ask: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<Result<T, String>, ServerError> {
    session.execute("SAVEPOINT part").await.map_err(|e| classify(&e))?;
    match ask(&mut *session).await {
        Ok(rows) => Ok(Ok(rows)),
        // 42501: no permission; 0A000: not while in recovery, or not on this platform.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42501" | "0A000")) => {
            session.execute("ROLLBACK TO SAVEPOINT part").await.map_err(|e| classify(&e))?;
            Ok(Err(error.message().to_owned()))
        }
        Err(error) => Err(classify(&error)),
    }
}

/// Masks what could be a secret in a row that has settings.
fn masked(part: &str, mut row: Value) -> Value {
    let named = row.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if matches!(part, "settings" | "file_settings" | "overrides")
        && let Some(Value::String(setting)) = row.get_mut("setting")
        && is_secret(&named, setting)
    {
        MASKED.clone_into(setting);
    }
    if part == "hba"
        && let Some(Value::Array(options)) = row.get_mut("options")
    {
        for option in options {
            if let Value::String(text) = option
                && let Some((name, value)) = text.split_once('=')
                && is_secret(name, value)
            {
                *text = format!("{name}={MASKED}");
            }
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{MASKED, masked};

    #[test]
    fn secrets_in_rows_are_masked_and_the_rest_stays() {
        let rule = json!({ "options": ["ldapserver=a", "ldapbindpasswd=geheim"] });
        assert_eq!(masked("hba", rule)["options"], json!(["ldapserver=a", format!("ldapbindpasswd={MASKED}")]));
        let setting = |name: &str, text: &str| json!({ "name": name, "setting": text });
        assert_eq!(masked("settings", setting("app.jwt_secret", "abc"))["setting"], MASKED);
        assert_eq!(masked("settings", setting("work_mem", "4096"))["setting"], "4096");
    }
}
